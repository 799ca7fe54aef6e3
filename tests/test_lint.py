"""The lint of submissions: faults are put into a right one by the line, and just these are to be found."""

import json
import random
import re
import time
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refused import holds

from amazon_ml.cli.main import main
from amazon_ml.data.checks.findings import Finding
from amazon_ml.kaggle.form import Form, official_names
from amazon_ml.kaggle.lint import KINDS, Expected, Lint, lint
from amazon_ml.kaggle.rows import read_submission
from amazon_ml.labels import PLANET, PLANET_COUNTS, PLANET_TILES

NAMES = [f"test_{n}" for n in range(12)]
FORM = Form(NAMES, "the list")
#: Right answers of another length each.
ANSWERS = ("clear primary", "cloudy", "haze primary water road", "partly_cloudy agriculture primary")


def right(names: list[str] = NAMES) -> list[str]:
    """The lines of a submission without a fault; what stands at i is line i + 1 of the file."""
    return ["image_name,tags", *(f"{name},{ANSWERS[i % len(ANSWERS)]}" for i, name in enumerate(names))]


def linted(
    tmp_path: Path, content: list[str] | str | bytes, form: Form = FORM, expected: Expected | None = None
) -> Lint:
    path = tmp_path / "submission.csv"
    text = "\n".join(content) + "\n" if isinstance(content, list) else content
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return lint(read_submission(path), form, expected)


def kinds(found: Lint) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.items for finding in found.findings}


def test_right_submission_has_no_finding(tmp_path: Path) -> None:
    found = linted(tmp_path, right())
    assert found.findings == () and found.faults == []
    assert (found.rows, found.order) == (12, "the list")
    assert found.tags_per_tile == pytest.approx((2 + 1 + 4 + 3) / 4)
    counts = {record["tag"]: record["tiles"] for record in found.tags}
    assert counts == dict.fromkeys(PLANET.names, 0) | {
        "clear": 3, "cloudy": 3, "haze": 3, "partly_cloudy": 3, "primary": 9, "water": 3, "road": 3, "agriculture": 3
    }  # fmt: skip


Change = Callable[[list[str], int], None]


def _retag(change: Callable[[str], str]) -> Change:
    def apply(lines: list[str], i: int) -> None:
        name, _, tags = lines[i].partition(",")
        lines[i] = f"{name},{change(tags)}"

    return apply


#: Changes of one line, and the kinds that they are: of the line itself, or of the name that was on it.
CHANGES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "untagged": (_retag(lambda tags: ""), ("untagged",)),
    "blank tags": (_retag(lambda tags: "  "), ("untagged",)),
    "unknown tag": (_retag(lambda tags: f"{tags} claer"), ("unknown_tags",)),
    "other case": (_retag(lambda tags: tags.title()), ("unknown_tags",)),
    "repeated tag": (_retag(lambda tags: f"{tags} {tags.split()[0]}"), ("repeated_tags",)),
    "two weathers": (_retag(lambda tags: "clear haze primary"), ("label_logic",)),
    "no weather": (_retag(lambda tags: "primary water"), ("label_logic",)),
    "three columns": (_retag(lambda tags: f"{tags},water"), ("columns",)),
    "other name": (
        lambda lines, i: lines.__setitem__(i, lines[i].replace("test_", "tset_")),
        ("unexpected", "missing"),
    ),
    "ending": (lambda lines, i: lines.__setitem__(i, lines[i].replace(",", ".jpg,")), ("unexpected", "missing")),
    "name of another": (lambda lines, i: lines.__setitem__(i, "test_0,clear"), ("repeated", "missing")),
}


@given(st.dictionaries(st.integers(2, len(NAMES)), st.sampled_from(sorted(CHANGES)), max_size=len(NAMES) - 1))
@settings(max_examples=80)
def test_exactly_the_faults_that_were_put_in_are_found(
    tmp_path_factory: pytest.TempPathFactory, chosen: dict[int, str]
) -> None:
    lines, wanted = right(), set()
    for i, change in chosen.items():
        apply, of_kinds = CHANGES[change]
        apply(lines, i)
        wanted |= {(kind, NAMES[i - 1] if kind == "missing" else f"line {i + 1}") for kind in of_kinds}
    found = linted(tmp_path_factory.mktemp("lint"), lines)
    assert {(kind, re.split("[:,]", item)[0]) for kind, items in kinds(found).items() for item in items} == wanted
    assert {finding.kind for finding in found.faults} == {kind for kind, _ in wanted} - {"label_logic"}


@given(st.permutations(range(len(NAMES))))
@settings(max_examples=30)
def test_another_order_is_a_remark_on_each_row_out_of_place(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    header, *rows = right()
    found = linted(tmp_path_factory.mktemp("lint"), [header, *(rows[i] for i in order)])
    moved = tuple(
        f"line {line}: {NAMES[i]}, where the list has {NAMES[line - 2]}"
        for line, i in enumerate(order, start=2)
        if i != line - 2
    )
    assert found.faults == []
    assert kinds(found) == ({"order": moved} if moved else {})


def test_missing_rows_do_not_put_the_others_out_of_order(tmp_path: Path) -> None:
    lines = right()
    del lines[1:4]
    assert kinds(linted(tmp_path, lines)) == {
        "missing": tuple(f"test_{n}, line {n + 2} in the list" for n in range(3)),
    }


def test_items_say_what_is_wrong(tmp_path: Path) -> None:
    lines = right()
    lines[2] = "test_1,clear  primry"
    lines[4] = "test_3,clear\tprimary"
    lines[6] = "test_5,haze haze road road"
    lines[8] = " test_7,clear"
    lines[10] = "test_0,clear"
    assert kinds(linted(tmp_path, lines)) == {
        "missing": ("test_7, line 9 in the list", "test_9, line 11 in the list"),
        "unexpected": ("line 9: ' test_7'",),
        "repeated": ("line 11: test_0, as on line 2",),
        "unknown_tags": ("line 3: 'primry' (nearest: 'primary')", "line 5: 'clear\\tprimary' (nearest: 'primary')"),
        "repeated_tags": ("line 7: haze, road",),
    }


BODY = "\n".join(right()[1:]) + "\n"


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", {"header": ("line 1: ''",), "missing": 12}),
        (b"\n\n", {"header": ("line 1: ''",), "form": ("line 2: blank",), "missing": 12}),
        (BODY, {"header": ("line 1: 'test_0,clear primary'",), "missing": 1}),
        ("image,labels\n" + BODY, {"header": ("line 1: 'image,labels'",)}),
        ("Image_Name,Tags\n" + BODY, {"header": ("line 1: 'Image_Name,Tags'",)}),
        (
            "tags,image_name\n" + "".join(",".join(row.split(",")[::-1]) + "\n" for row in BODY.splitlines()),
            {"header": ("line 1: 'tags,image_name'",)},
        ),
        (
            "image_name,tags,score\n" + BODY.replace("\n", ",0.5\n"),
            {"header": ("line 1: 'image_name,tags,score'",)},
        ),
        (
            "\ufeffimage_name,tags\n" + BODY,
            {"unreadable": ("line 1: a byte order mark, which becomes part of the header",)},
        ),
        ("image_name,tags\r\n" + BODY.replace("\n", "\r\n"), {"form": ("line ends other than a single line feed",)}),
        ("image_name,tags\r" + BODY.replace("\n", "\r"), {"form": ("line ends other than a single line feed",)}),
        ("image_name,tags\n\n" + BODY + "\n", {"form": ("line 2: blank", "line 15: blank")}),
        ('"image_name","tags"\n' + BODY.replace("test_2,", '"test_2",'), {}),
        (
            "image_name;tags\n" + BODY.replace(",", ";"),
            {"header": ("line 1: 'image_name;tags'",), "columns": 12, "missing": 12, "unexpected": 12},
        ),
        (
            "image_name,tags\n" + BODY.replace("cloudy\n", "clo\0udy\n", 1),
            {"unreadable": ("line 3: a NUL byte",), "unknown_tags": 1},
        ),
        (
            ("image_name,tags\n" + BODY).encode().replace(b"haze", b"h\xe4ze", 1),
            {"unreadable": ("line 4: bytes that are not UTF-8",), "unknown_tags": 1},
        ),
        (
            "image_name,tags\n" + BODY.replace("haze", '"haze', 1),
            {"unreadable": ("line 4: unexpected end of data",), "missing": 1},
        ),
        ("image_name,tags\n" + BODY.replace("haze primary", '"haze" primary', 1), {"unreadable": 1, "missing": 1}),
        (
            "image_name,tags\n" + BODY + "test_3\n,\n",
            {"columns": ("line 14: 1 column, not 2",), "repeated": 1, "unexpected": ("line 15: ''",), "untagged": 1},
        ),
    ],
)
def test_damaged_files_are_told_by_the_line(
    tmp_path: Path, content: str | bytes, wanted: dict[str, int | tuple[str, ...]]
) -> None:
    found = linted(tmp_path, content)
    counts = {kind: len(told) if isinstance(told, tuple) else told for kind, told in wanted.items()}
    assert {finding.kind: finding.count for finding in found.findings} == counts
    for kind, told in wanted.items():
        if isinstance(told, tuple):
            assert kinds(found)[kind] == told


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_break_the_lint(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    found = linted(tmp_path_factory.mktemp("lint"), content)
    assert kinds(found)["missing"]
    json.dumps([finding.items for finding in found.findings], allow_nan=False)


def test_utf_16_is_told(tmp_path: Path) -> None:
    found = linted(tmp_path, ("\n".join(right()) + "\n").encode("utf-16"))
    assert kinds(found)["unreadable"][0] == "line 1: bytes that are not UTF-8"


def test_label_logic_is_counted_by_rule(tmp_path: Path) -> None:
    lines = right()
    lines[1], lines[2], lines[3] = "test_0,clear haze", "test_1,water", "test_2,cloudy water"
    lines[4] = "test_3,clear haze"
    found = linted(tmp_path, lines)
    weather = "clear, partly_cloudy, haze, cloudy"
    assert found.logic == {f"none of {weather}": 1, f"more than one of {weather}": 2, "cloudy beside other tags": 1}
    assert [f.severity for f in found.findings] == ["remark"]


def test_drift_is_measured_against_sampling_noise(tmp_path: Path) -> None:
    names = [f"test_{n}" for n in range(400)]
    lines = ["image_name,tags", *(f"{name},{'clear' if n % 4 else 'haze water'}" for n, name in enumerate(names))]
    counts = dict.fromkeys(PLANET.names, 0) | {"clear": 740, "haze": 100, "water": 210, "blow_down": 3}
    found = linted(tmp_path, lines, Form(names, "the list"), Expected(counts, 1000, "others"))
    by_tag = {record["tag"]: record for record in found.tags}
    pooled = 200 / 1400
    assert by_tag["haze"]["z"] == pytest.approx((0.25 - 0.1) / sqrt(pooled * (1 - pooled) * (1 / 400 + 1 / 1000)))
    assert by_tag["primary"]["z"] == 0
    assert kinds(found) == {"drift": ("haze: 25.00% of the rows, expected 10.00%, z = +7",)}
    assert found.faults == []


def test_training_counts_of_the_competition_agree_with_each_other() -> None:
    assert tuple(PLANET_COUNTS) == PLANET.names
    weather = sum(PLANET_COUNTS[tag] for tag in PLANET.exactly_one)
    assert weather == PLANET_TILES - 1  # train_24448 has none
    assert sum(PLANET_COUNTS.values()) / PLANET_TILES == pytest.approx(2.87, abs=0.005)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_command_ends_with_0_for_right_files_and_1_for_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = write(tmp_path / "sample.csv", right())
    good = write(tmp_path / "good.csv", right()[:1] + right()[:0:-1])
    assert main(["submit", "lint", str(good), "--sample", str(sample)]) == 0
    assert "rows in another order" in capsys.readouterr().out
    bad = write(tmp_path / "bad.csv", [*right()[:-1], "test_11,"])
    report = tmp_path / "report.json"
    assert main(["submit", "lint", str(bad), "--sample", str(sample), "--json", str(report)]) == 1
    assert capsys.readouterr().err.strip() == f"amazon-ml: {bad} has faults: untagged"
    found = json.loads(report.read_text())
    assert [(f["kind"], f["severity"], f["items"]) for f in found["findings"] if f["kind"] != "drift"] == [
        ("untagged", "fault", ["line 13"])
    ]


def test_command_ends_with_2_when_there_is_nothing_to_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "lint", str(tmp_path / "none.csv")]) == 2
    assert holds(capsys.readouterr().err, tmp_path / "none.csv")
    assert main(["submit", "lint", str(tmp_path)]) == 2
    assert main(["submit", "lint", str(write(tmp_path / "s.csv", right())), "--examples", "0"]) == 2
    assert main(["submit", "lint", str(tmp_path / "s.csv"), "--run", str(tmp_path)]) == 2
    assert holds(capsys.readouterr().err, tmp_path, "config.yaml")


def test_submission_in_a_run_is_held_against_the_run(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "lint", str(trained / "submission.csv"), "--json", str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["rows"], found["expected"]) == (30, "what the run predicted on held-out tiles")
    metrics = json.loads((trained / "metrics.json").read_text())
    expected = {record["tag"]: record["predicted"] / metrics["tiles"] for record in metrics["tags"]}
    assert {record["tag"]: record["expected"] for record in found["tags"]} == pytest.approx(expected)

    elsewhere = tmp_path / "copy.csv"
    elsewhere.write_bytes((trained / "submission.csv").read_bytes())
    assert main(["submit", "lint", str(elsewhere)]) == 1
    assert main(["submit", "lint", str(elsewhere), "--run", str(trained), "--json", str(tmp_path / "b.json")]) == 0
    again = json.loads((tmp_path / "b.json").read_text())
    assert {**again, "file": None} == {**found, "file": None}


def test_whole_submission_is_linted_quickly_whatever_is_wrong(tmp_path: Path) -> None:
    names = official_names()
    rng = np.random.default_rng(0)
    on = rng.random((len(names), len(PLANET))) < 0.2
    rows = [f"{name},{tags}" for name, tags in zip(names, PLANET.decode(on), strict=True)]
    path = write(tmp_path / "submission.csv", ["image_name,tags", *rows])
    garbage = [f"{random.Random(i).random()},{i}" for i in range(len(names))]
    for lines, status in ((rows, 1), (garbage, 1)):
        write(path, ["image_name,tags", *lines])
        began = time.process_time()
        assert main(["submit", "lint", str(path)]) == status
        assert time.process_time() - began < 5


def test_findings_have_their_kinds(tmp_path: Path) -> None:
    lines = right()
    lines[3] = "test_2,"
    (finding,) = linted(tmp_path, lines).findings
    about = KINDS["untagged"]
    assert finding == Finding("untagged", "fault", about.what, about.remedy, 1, ("line 4",))
