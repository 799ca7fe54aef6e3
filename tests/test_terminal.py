"""Text from outside: escaped on its way to a terminal, drawn as it stands, quoted in tables, limited in number."""

import csv
import logging
import os
import pty
import subprocess
from pathlib import Path

import forked
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.labels import MOST_TAGS, TagSet
from amazon_ml.report.figures import draw_tiles
from amazon_ml.runs.saving import defused
from amazon_ml.runtime.files import write_table
from amazon_ml.runtime.terminal import SafeFormatter, escaped, one_line

ESCAPE = "\x1b]0;owned\x07\x1b[2J"


def tagged(root: Path, rows: list[tuple[str, str]]) -> Path:
    root.mkdir(exist_ok=True)
    for n, (name, _) in enumerate(rows):
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / f"{name}.png")
    pd.DataFrame(rows, columns=["image_name", "tags"]).to_csv(root / "labels.csv", index=False)
    return root


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_commands_a_terminal_is_left(text: str) -> None:
    line = one_line(text)
    assert not set(line) & {chr(n) for n in (*range(9), *range(10, 32), *range(127, 160))}
    line.encode()
    assert len(line.splitlines()) <= 1
    assert escaped("a\tb\nü ✓") == "a\tb\nü ✓"


def test_a_name_forges_no_line_of_a_log() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "wrote %s", (f"a\n12:00:00 all is well{ESCAPE}",), None)
    assert SafeFormatter("%(message)s").format(record).splitlines() == [
        "wrote a\\n12:00:00 all is well\\x1b]0;owned\\x07\\x1b[2J"
    ]


@pytest.mark.parametrize("on_terminal", [True, False])
def test_tags_and_names_reach_the_terminal_escaped(tmp_path: Path, on_terminal: bool) -> None:
    root = tagged(tmp_path / "tiles", [("a", "x"), ("b", "y")])
    (root / "labels.csv").write_text(f'image_name,tags\na,x\nb,y\n"{ESCAPE} gone 12:00:00 fine",x\n')
    command = [str(forked.python()), "-m", "amazon_ml.cli", "data", "check", str(root)]
    wide = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}  # so that no word is divided
    if on_terminal:
        mine, its = pty.openpty()
        done = subprocess.Popen(command, stdout=its, stderr=its, env=wide)
        os.close(its)
        shown = b""
        while True:
            try:
                part = os.read(mine, 65536)
            except OSError:  # the other end is closed
                break
            shown += part
        os.close(mine)
        assert done.wait() == 1
    else:
        run = subprocess.run(command, capture_output=True, check=False, env=wide)
        assert run.returncode == 1
        shown = run.stdout + run.stderr
    assert b"gone" in shown
    assert b"\x1b]0;" not in shown and b"\x1b[2J" not in shown and b"\x07" not in shown


def test_a_message_cannot_pass_for_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(tmp_path / f"x\namazon-ml: all is well{ESCAPE}")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("amazon-ml: ")] == lines[:1]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("tag", [r"$\frac{x$", "$x$", r"\alpha", "100 $", "a_b^c", "x" * 300])
def test_tags_are_drawn_as_they_stand(tmp_path: Path, tag: str) -> None:
    one = np.ones((2, 2), dtype=np.uint8)
    images = [np.zeros((8, 8, 3), dtype=np.uint8)] * 2
    draw_tiles(tmp_path / "tiles.png", images, [tag, "b"], one, one, title=tag)
    assert (tmp_path / "tiles.png").stat().st_size > 0


@pytest.mark.parametrize("tag", ["a\x1b[31m", "a\x00", "a\x85b", "\x07", "a\u2028b"])
def test_tags_with_control_characters_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], tag: str) -> None:
    root = tagged(tmp_path / "tiles", [("a", tag), ("b", "forest"), ("c", "field")])
    assert main(["data", "pack", str(root), "--size", "16", "--tag_separator", ";"]) == 2
    message = capsys.readouterr().err
    assert "labels.csv" in message and "\x1b" not in message and "\a" not in message
    with refused(says=ascii(tag)):
        TagSet((tag, "b"))


@pytest.mark.parametrize("command", [["data", "check"], ["data", "pack"]])
def test_more_tags_than_a_table_can_mean_are_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    rows = [(f"t{n}", " ".join(f"note_{n * 300 + k}" for k in range(300))) for n in range(60)]
    assert main([*command, str(tagged(tmp_path / "tiles", rows))]) == 2
    message = capsys.readouterr().err
    assert "18,000" in message and "labels.csv" in message
    TagSet(tuple(f"t{n}" for n in range(MOST_TAGS)))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1, max_size=5))
def test_defused_cells_begin_no_formula_and_can_be_read_again(cells: list[tuple[str, str]]) -> None:
    table = pd.DataFrame(cells, columns=["image_name", "tags"]).assign(**{"=1+1": 0.5, "plain": 0.25})
    safe = defused(table)
    text = [*safe.columns, *safe["image_name"], *safe["tags"]]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in text)
    for before, after in zip(table["image_name"], safe["image_name"], strict=True):
        assert after in (before, f"'{before}")


def test_line_breaks_in_cells_are_quoted(tmp_path: Path) -> None:
    out = tmp_path / "left_out.csv"
    write_table(out, pd.DataFrame({"image_name": ["c\nd"], "reason": ["missing_files"]}))
    with out.open(newline="") as stream:
        assert list(csv.reader(stream))[1:] == [["c\nd", "missing_files"]]
