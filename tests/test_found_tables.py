"""Which file is the table: names of which one fits, a lone table of another format, and what else may be meant."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from refused import refused

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.config import ReadingConfig
from amazon_ml.settings import build

FRAME = pd.DataFrame({"image_name": ["t0", "t1", "t2"], "tags": ["river", "field", "field river"]})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tiles").mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "tiles" / f"t{number}.png")
    return tmp_path


def read(root: Path, **options: Any) -> Catalog:
    return read_catalog(root, build(ReadingConfig, options))


def as_json(path: Path) -> None:
    path.write_text(json.dumps(dict(zip(FRAME["image_name"], FRAME["tags"].str.split(), strict=True))))


@pytest.mark.parametrize(("name", "write"), [("set.parquet", FRAME.to_parquet), ("labels/set.json", as_json)])
def test_a_lone_table_of_another_format_is_found(root: Path, name: str, write: Callable[[Path], None]) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    write(root / name)
    assert read(root).labelled["image_name"].tolist() == ["t0", "t1", "t2"]
    FRAME.assign(tags="forest river").to_csv(root / "named.csv", index=False)  # a CSV still goes before
    assert read(root, tags=["river", "forest"]).labelled["tags"].tolist() == ["forest river"] * 3


@pytest.mark.parametrize(
    ("name", "write", "beside"),
    [("a.parquet", FRAME.to_parquet, "annotations.ndjson"), ("a.json", as_json, "stats.jsonl")],
)
def test_json_lines_beside_a_table_of_parquet_or_json_are_no_second_table(
    root: Path, name: str, write: Callable[[Path], None], beside: str
) -> None:
    write(root / name)
    (root / beside).write_text('{"loss": 1}\n')
    assert read(root).labelled["image_name"].tolist() == ["t0", "t1", "t2"]
    (root / name).unlink()
    with refused(file=root / beside, says="`data.labels_file`"):  # alone, it is taken for the table
        read(root)


def test_two_tables_without_a_csv_are_named_with_the_option(root: Path) -> None:
    FRAME.to_parquet(root / "a.parquet")
    as_json(root / "b.json")
    with refused(file=root, says={root / "a.parquet", root / "b.json", "`data.labels_file`"}):
        read(root)


@pytest.mark.parametrize("named", ["lables.csv", "lables.parquet", "lables*.csv", "lables.csv|labels/*.csv"])
def test_where_no_table_has_the_name_the_message_lists_those_of_the_folder(root: Path, named: str) -> None:
    (root / "about").mkdir()
    tables = [root / "labels.csv", root / "about" / "classes.txt"]
    for table in tables:
        FRAME.to_csv(table, index=False)
    with refused(option="data.labels_file", says={*tables, "`data.labels_file`"}):
        read(root, labels_file=named)


def test_of_several_names_the_first_that_fits_counts(root: Path) -> None:
    FRAME.to_csv(root / "b.csv", index=False)
    FRAME.head(2).to_csv(root / "c.csv", index=False)
    assert len(read(root, labels_file="a.csv|b.csv|*.csv").labelled) == 3
    FRAME.head(2).to_csv(root / "b.csv|c.csv", index=False)  # unless a file is called so
    assert len(read(root, labels_file="b.csv|c.csv").labelled) == 2


@pytest.mark.parametrize(("write", "ending"), [(FRAME.to_parquet, ".parquet"), (as_json, ".json")])
def test_a_table_with_the_ending_of_another_format_is_to_be_renamed(
    root: Path, write: Callable[[Path], None], ending: str
) -> None:
    write(root / "labels.csv")
    with refused(file="labels.csv", says=[ending, "`data.labels_file`"]):
        read(root)


COCO = {
    "images": [{"id": 1, "file_name": "t0.png"}],
    "annotations": [{"id": 1, "image_id": 1, "segmentation": [[0.5] * 100]}],
}


@pytest.mark.parametrize(
    "content", [COCO, {"version": "1.0", "authors": ["A B"]}, {"year": 2020}, ["a"], {"t0": "river", "t1": ""}]
)
def test_a_lone_file_that_is_no_table_may_be_another_than_meant(root: Path, content: object) -> None:
    (root / "about.json").write_text(json.dumps(content))
    with refused(file=root / "about.json", says="`data.labels_file`") as caught:
        read(root)
    assert str(root / "about.json") in caught.value.remedy
    with refused(file=root / "about.json") as caught:  # the option says that it is the table
        read(root, labels_file="about.json")
    assert str(root / "about.json") not in caught.value.remedy


def test_a_value_in_a_message_is_written_as_the_file_has_it(root: Path) -> None:
    (root / "about.json").write_text(json.dumps(COCO))
    with refused(file=root / "about.json", says='{"id": 1, "file_name": "t0.png"}'):
        read(root)
    (root / "about.json").write_text(json.dumps(dict(reversed(COCO.items()))))
    with refused(file=root / "about.json") as caught:
        read(root)
    assert len(caught.value.problem) < 200
    pd.DataFrame({"image_name": ["t0"], "tags": [[["river", 1.5]]]}).to_json(root / "about.json", orient="records")
    with refused(file=root / "about.json", says=1.5):
        read(root)


def test_a_folder_is_no_file_that_a_name_fits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "labels").mkdir()
    FRAME.to_csv(root / "labels.csv", index=False)
    assert len(read(root, labels_file="labels|labels.csv").labelled) == 3
    (root / "elsewhere" / "labels.csv").mkdir(parents=True)  # a folder here does not hide the table of the tiles
    monkeypatch.chdir(root / "elsewhere")
    assert len(read(root, labels_file="labels.csv").labelled) == 3
    with refused(file=root / "labels"):  # alone, it is what the option means
        read(root, labels_file="labels")


def test_a_pattern_may_hold_the_mark_between_names(root: Path) -> None:
    FRAME.to_csv(root / "my|set.csv", index=False)
    FRAME.head(2).to_csv(root / "set.csv", index=False)
    assert len(read(root, labels_file="my|*.csv").labelled) == 3
