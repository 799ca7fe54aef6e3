"""How two submissions differ, against a count by hand and by sets of pairs."""

import json
from pathlib import Path

import pytest
from conftest import as_written, write_config
from hypothesis import given
from hypothesis import strategies as st
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.kaggle.diff import diff, diff_submissions

ANSWERS = st.dictionaries(st.sampled_from("pqrstu"), st.frozensets(st.sampled_from(["clear", "road", "water"])))


def write(path: Path, *rows: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["image_name,tags", *rows]) + "\n")
    return path


@given(ANSWERS, ANSWERS)
def test_counts_are_those_of_pairs_of_tile_and_tag(a: dict[str, frozenset[str]], b: dict[str, frozenset[str]]) -> None:
    found = diff(a, b)
    both = set(a) & set(b)
    pairs_a, pairs_b = ({(name, tag) for name in both for tag in answers[name]} for answers in (a, b))
    sets = {"a": pairs_a, "b": pairs_b, "only_a": pairs_a - pairs_b, "only_b": pairs_b - pairs_a}
    differing = sorted({tag for _, tag in pairs_a ^ pairs_b})
    assert found["tags"] == [
        {"tag": tag, **{key: sum(other == tag for _, other in pairs) for key, pairs in sets.items()}}
        for tag in differing
    ]
    assert found["differing"] == len({name for name, _ in pairs_a ^ pairs_b}) == len(found["changes"])
    assert (found["tiles"], set(found["only_a"]), set(found["only_b"])) == (len(both), set(a) - both, set(b) - both)
    assert diff(b, a)["changes"] == {
        name: {"a": change["b"], "b": change["a"]} for name, change in found["changes"].items()
    }


def test_command_prints_the_tags_that_differ_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.csv", "p,road clear", "q,clear", "r,haze", "s,clear")
    b = write(tmp_path / "b.csv", "q,haze", "p,clear road", "r,haze water", "t,clear")
    assert main(["submit", "diff", str(a), str(b), "--json", str(tmp_path / "d.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line.split() for line in lines if line.split()[:1] in (["clear"], ["haze"], ["water"])]
    assert table == [["clear", "2", "1", "1", "0"], ["haze", "1", "2", "0", "1"], ["water", "0", "1", "0", "1"]]
    assert lines[-1] == "2 of 3 tiles differ; 1 are only in A, such as s; 1 are only in B, such as t"
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["changes"] == {"q": {"a": ["clear"], "b": ["haze"]}, "r": {"a": [], "b": ["water"]}}


def test_equal_submissions_have_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.csv", "p,road clear", "q,")
    b = write(tmp_path / "b.csv", "q,", "p,clear road")
    assert main(["submit", "diff", str(a), str(b)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"A {a}", f"B {b}", "0 of 2 tiles differ"]


def test_tags_of_a_run_are_split_by_its_own_separator(tmp_path: Path) -> None:
    run = tmp_path / "run"
    a = write(run / "a.csv", "p,bare soil;sand")
    b = write(run / "b.csv", "p,bare soil")
    write_config(run, {"data.tag_separator": ";"})
    (run / "provenance.json").write_text(json.dumps({"data": {"tags": {"bare soil": 1, "sand": 1}}}))
    as_written(run)
    diff_submissions(a, b, json=tmp_path / "d.json")
    assert json.loads((tmp_path / "d.json").read_text())["tags"] == [
        {"tag": "sand", "a": 1, "b": 0, "only_a": 1, "only_b": 0}
    ]


def run_of(folder: Path, separator: str) -> Path:
    folder.mkdir()
    write_config(folder, {"data.tag_separator": separator})
    (folder / "provenance.json").write_text(json.dumps({"data": {"tags": {"bare soil": 1, "sand": 1}}}))
    return as_written(folder)


def test_a_copy_outside_of_its_run_is_split_as_the_run_does(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", ";")
    rows = ("p,bare soil;sand", "q,bare soil")
    inside, copy, other = write(run / "a.csv", *rows), write(tmp_path / "copy.csv", *rows), tmp_path / "other.csv"
    write(other, "p,sand;bare soil", "q,sand")
    for a, b in ((inside, copy), (copy, inside)):
        assert (diff_submissions(a, b)["tiles"], diff_submissions(a, b)["differing"]) == (2, 0)
    assert main(["submit", "diff", str(copy), str(other), "--run", str(run), "--json", str(tmp_path / "d.json")]) == 0
    assert json.loads((tmp_path / "d.json").read_text())["changes"] == {"q": {"a": ["bare soil"], "b": ["sand"]}}


def test_submissions_of_two_runs_are_split_by_the_separator_of_each(tmp_path: Path) -> None:
    a = write(run_of(tmp_path / "one", ";") / "a.csv", "p,bare soil;sand")
    b = write(run_of(tmp_path / "two", "|") / "b.csv", "p,bare soil|sand")
    assert diff_submissions(a, b)["differing"] == 0


def test_no_difference_is_written_over_a_file_of_the_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", ";")
    a = write(tmp_path / "a.csv", "p,sand")
    with refused(option="json"):
        diff_submissions(a, a, run=run, json=run / "config.yaml", overwrite=True)


@pytest.mark.parametrize(
    ("content", "line", "values"),
    [
        ("image_name,tags\np,clear\nq,clear,haze\n", 3, ["3", "2"]),
        ("p,clear\n", 1, ["'p,clear'"]),
        ('image_name,tags\np,"clear\n', 2, []),
        ("image_name,tags\np,clear\nq,haze\np,haze\n", 4, ["p"]),
    ],
)
def test_what_is_no_submission_is_refused_by_the_line(
    tmp_path: Path, content: str, line: int, values: list[str]
) -> None:
    good, bad = write(tmp_path / "good.csv", "p,clear"), tmp_path / "bad.csv"
    bad.write_text(content)
    with refused(file=bad, line=line, says=[f"submit lint {bad}", *values]):
        diff_submissions(good, bad)
    with refused(file=tmp_path / "none.csv"):
        diff_submissions(tmp_path / "none.csv", good)
