"""JSON Lines, an object on each line: read as a table, found alone, and recognised under another ending."""

import json
from pathlib import Path
from typing import Any

import pytest
from refused import refused
from test_table_formats import NAMES, TAGS, meaning, read, root

from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.checks.check import check

__all__ = ["root"]  # a fixture


def lines(**more: Any) -> list[str]:
    return [json.dumps({"file_name": f"{name}.png", "tags": sorted(TAGS[name]), **more}) for name in NAMES]


@pytest.mark.parametrize("name", ["metadata.jsonl", "l.NDJSON"])
@pytest.mark.parametrize(
    ("begin", "between", "end"), [("", "\n", "\n"), ("\ufeff", "\r\n", ""), ("\n", "\n\n", "\n \n")]
)
def test_json_lines_are_read(root: Path, name: str, begin: str, between: str, end: str) -> None:
    catalog = read(root, name, begin + between.join(lines(note="a\u2028b")) + end)
    assert meaning(catalog) == TAGS
    first = 1 + begin.count("\n")
    assert catalog.labelled["line"].tolist() == [first + at * between.count("\n") for at in range(len(NAMES))]


def test_shares_splits_and_columns_of_tags_are_those_of_json(root: Path) -> None:
    shares = [json.dumps({"file_name": name, "tags": dict.fromkeys(TAGS[name], 0.5) | {"road": 0.1}}) for name in NAMES]
    assert meaning(read(root, "l.jsonl", "\n".join(shares), min_share=0.2)) == TAGS
    catalog = read(
        root, "l.jsonl", "\n".join([*lines(split="train")[:3], *lines(split="test")[3:]]), split_column="split"
    )
    assert len(catalog.labelled) == 3 and len(catalog.tested) == 1
    wide = [json.dumps({"file_name": name, **{tag: int(tag in TAGS[name]) for tag in ("forest", "river", "bare soil")}})
            for name in NAMES]  # fmt: skip
    assert meaning(read(root, "l.jsonl", "\n".join(wide), tag_columns="all")) == TAGS


def test_a_lone_metadata_jsonl_is_found_and_one_of_several_tables_is_listed(root: Path) -> None:
    (root / "metadata.jsonl").write_text("\n".join(lines()))
    assert meaning(read_catalog(root)) == TAGS and check(root, num_workers=1).tags["river"] == 2
    (root / "other.tsv").write_text("image\ttags\n")
    with refused(says={root / "metadata.jsonl", root / "other.tsv", "`data.labels_file`"}):
        read_catalog(root)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ('{"file_name": "x.png", "tags": ["a"]', 3),
        ("[1, 2]", 3),
        ("null", 3),
        ('{"file_name": "x.png"}', 3),
        ('{"file_name": "x.png", "tags": ["a"], "tags": ["b"]}', 3),
        ('{"file_name": "x.png", "tags": [3]}', 3),
        ("[" * 100_000, 3),
    ],
)
def test_a_line_that_is_no_such_object_is_refused_with_its_number(root: Path, changed: str, line: int) -> None:
    with refused(file=root / "l.jsonl", line=line):
        read(root, "l.jsonl", "\n".join([*lines()[:2], changed, *lines()[3:]]))


@pytest.mark.parametrize("content", ["", "\n\n", b"\xff\xfe"])
def test_a_file_without_lines_of_text_is_refused(root: Path, content: str | bytes) -> None:
    with refused(file=root / "l.jsonl"):
        read(root, "l.jsonl", content)


@pytest.mark.parametrize("name", ["l.csv", "l.txt", "l.json"])
def test_under_another_ending_the_remedy_helps(root: Path, name: str) -> None:
    with refused(file=root / name, says=".jsonl"):
        read(root, name, "\n".join(lines()))
    (root / name).rename(root / "l.jsonl")
    assert meaning(read_catalog(root)) == TAGS


@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_json_under_the_ending_of_lines_is_refused_with_the_right_ending(
    root: Path, indent: int | None
) -> None:
    content = json.dumps([json.loads(line) for line in lines()], indent=indent)
    with refused(file=root / "l.jsonl", line=1, says=".json"):
        read(root, "l.jsonl", content)
    with refused(file=root / "l.csv", says=".json"):
        read(root, "l.csv", content)
    assert meaning(read(root, "l.json", content)) == TAGS
