"""Tables in several folders: what one folder says of its tiles is not mixed up with what another says."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refused import holds, refused

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.checks.check import check
from amazon_ml.data.config import ReadingConfig
from amazon_ml.settings import build


def write_tile(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list(path.parent.name.encode() + path.stem.encode())
    Image.fromarray(np.random.default_rng(seed).integers(256, size=(16, 16, 3), dtype=np.uint8)).save(path)


def write_folder(folder: Path, tags: Sequence[str], start: int = 0) -> None:
    """Write a folder of tiles 0, 1, 2 … with these tags in a table beside them."""
    for number in range(start, start + len(tags)):
        write_tile(folder / f"{number}.jpg")
    rows = [f"{number},{tag}" for number, tag in enumerate(tags, start)]
    (folder / "labels.csv").write_text("\n".join(["image,tags", *rows, ""]))


def read(root: Path, **options: Any) -> Catalog:
    return read_catalog(root, build(ReadingConfig, options))


def files(paths: Sequence[str], root: Path) -> list[str]:
    return sorted(Path(path).relative_to(root).with_suffix("").as_posix() for path in paths)


@pytest.fixture
def tile_files(tmp_path: Path) -> Path:
    """Six tiles, each with a JSON that says its name, its tags and its split."""
    for number in range(6):
        folder = tmp_path / f"patch{number}"
        write_tile(folder / f"tile{number}.png")
        about = {"labels": ["river", "field"][number % 2 :], "split": ["train", "val", "test"][number % 3],
                 "tile": f"tile{number}", "area": 3, "season": "spring"}  # fmt: skip
        (folder / f"{number}_labels.json").write_text(json.dumps(about))
    return tmp_path


def test_the_json_of_a_tile_says_its_split_and_its_name(tile_files: Path) -> None:
    options = {"labels_file": "*/*_labels.json", "name_column": "tile"}
    catalog = read(tile_files, split_column="split", **options)
    assert catalog.valid is not None
    assert catalog.labelled["image_name"].tolist() == ["tile0", "tile1", "tile3", "tile4"]
    assert catalog.labelled["image_name"][catalog.valid].tolist() == ["tile1", "tile4"]
    assert catalog.tested["image_name"].tolist() == ["tile2", "tile5"]
    assert catalog.tested_targets.tolist() == [[1, 1], [1, 0]]
    assert len(read(tile_files, **options).labelled) == 6


@pytest.mark.parametrize(
    ("options", "option", "named"),
    [
        ({"split_column": "subset"}, "data.split_column", "'subset'"),
        ({"split_column": "area"}, "data.split_column", "'area'"),
        ({"split_column": "season"}, "data.split_column", "'spring'"),
        ({"split_column": "tile"}, "data.split_column", "tile"),
        ({"split_column": "labels"}, "data.split_column", "labels"),
        ({"name_column": "image"}, "data.name_column", "'image'"),
    ],
)
def test_a_key_that_the_json_of_a_tile_lacks_is_refused(
    tile_files: Path, options: Mapping[str, str], option: str, named: str
) -> None:
    with refused(file=tile_files / "patch0" / "0_labels.json", option=option, says=named):
        read(tile_files, labels_file="*/*_labels.json", **{"name_column": "tile", **options})


def test_a_least_share_is_refused_where_the_json_of_each_tile_has_none(tile_files: Path) -> None:
    options = {"labels_file": "*/*_labels.json", "name_column": "tile", "min_share": 0.2}
    with refused(option="data.min_share"):
        read(tile_files, **options)
    for number in range(6):
        shares = [["river", 0.1 * number], ["field", 0.5]]
        (tile_files / f"patch{number}" / f"{number}_labels.json").write_text(
            json.dumps({"labels": shares, "tile": f"tile{number}"})
        )
    assert read(tile_files, **options).targets.tolist() == [[1, int(number >= 2)] for number in range(6)]


def test_a_word_that_is_no_split_is_listed_with_the_file_of_its_tile(tile_files: Path) -> None:
    odd = tile_files / "patch4" / "4_labels.json"
    odd.write_text(odd.read_text().replace('"val"', '"holdout"'))
    options = {"labels_file": "*/*_labels.json", "name_column": "tile", "split_column": "split"}
    with refused(file=odd, line=1, says="'holdout'"):
        read(tile_files, **options)
    faults = check(tile_files, build(ReadingConfig, options)).faults
    assert [holds(item, odd, "'holdout'") for fault in faults for item in fault.items] == [True]


@pytest.mark.parametrize("tags", [["River", "field"], ["river, field"], ["unknown"], ["lake"]])
def test_a_fault_in_the_json_of_a_tile_names_its_file_and_no_number(tile_files: Path, tags: Sequence[str]) -> None:
    odd = [tile_files / f"patch{number}" / f"{number}_labels.json" for number in (3, 5)]
    for file in odd:
        file.write_text(json.dumps({**json.loads(file.read_text()), "labels": tags}))
    listed = ["river", "field"] if tags == ["lake"] else None
    with refused(file=odd[0], line=1) as caught:
        read(tile_files, labels_file="*/*_labels.json", name_column="tile", tags=listed)
    assert not holds(caught.value.problem, "line 4", "lines 4") and "lines 4" not in caught.value.problem
    assert tags not in (["River", "field"], ["lake"]) or holds(caught.value.problem, odd[1])


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two folders with tiles of the same names, each with a table."""
    write_folder(tmp_path / "a", ["river", "field", "river"])
    write_folder(tmp_path / "b", ["field", "river", "river"])
    return tmp_path


@pytest.mark.parametrize("name", ["a/1", "{root}/a/1.jpg"])
def test_a_list_to_leave_out_names_a_tile_of_one_of_several_tables(folders: Path, name: str) -> None:
    exclude = folders / "exclude.txt"
    exclude.write_text(f"image_name\n{name.format(root=folders)}\n")
    catalog = read(folders, labels_file="*/labels.csv", exclude=str(exclude))
    assert files(catalog.labelled["path"].tolist(), folders) == ["a/0", "a/2", "b/0", "b/1", "b/2"]
    assert catalog.labelled["image_name"].tolist() == ["a/0", "a/2", "b/0", "b/1", "b/2"]


def test_a_name_to_leave_out_that_no_table_has_is_warned_of(folders: Path, caplog: pytest.LogCaptureFixture) -> None:
    exclude = folders / "exclude.txt"
    exclude.write_text("image_name\na/1\nb/2\nc/7\n")
    with caplog.at_level(logging.WARNING, logger="amazon_ml"):
        read(folders, labels_file="*/labels.csv", exclude=str(exclude))
    warned = [record.getMessage() for record in caplog.records if holds(record.getMessage(), exclude)]
    assert len(warned) == 1 and holds(warned[0], "c/7") and not holds(warned[0], "a/1")


def test_a_name_to_leave_out_that_means_tiles_of_two_tables_is_refused(folders: Path) -> None:
    exclude = folders / "exclude.txt"
    exclude.write_text("image_name\n1\n")
    with refused(file=exclude, option="data.exclude", says=["1", *folders.glob("?/labels.csv")]):
        read(folders, labels_file="*/labels.csv", exclude=str(exclude))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder for each split, with tiles of the same names and a table in each."""
    for split, tags in (("train", "river field river"), ("val", "field river field"), ("test", "river river field")):
        write_folder(tmp_path / split, tags.split())
    return tmp_path


def test_a_folder_called_test_is_that_of_its_table_whatever_its_tiles_are_called(parts: Path) -> None:
    tables = {split: f"{split}/labels.csv" for split in ("train", "val", "test")}
    catalog = read(parts, labels_file=tables)
    assert catalog.labelled["image_name"].tolist() == [f"{split}/{i}" for split in ("train", "val") for i in range(3)]
    assert catalog.tested["image_name"].tolist() == ["test/0", "test/1", "test/2"]
    assert catalog.tested_targets.tolist() == [[0, 1], [0, 1], [1, 0]]
    report = check(parts, build(ReadingConfig, {"labels_file": tables}))
    assert report.rows == 9 and report.splits == {"train": 3, "val": 3, "test": 3}


def test_a_folder_called_test_without_tags_keeps_its_tiles(parts: Path) -> None:
    catalog = read(parts, labels_file={split: f"{split}/labels.csv" for split in ("train", "val")})
    assert (len(catalog.labelled), len(catalog.tested)) == (6, 0)
    assert files(catalog.unlabelled["path"].tolist(), parts) == ["test/0", "test/1", "test/2"]


@pytest.mark.parametrize("start", ["", "{root}/"])
def test_one_table_names_tiles_of_a_folder_called_test_by_their_paths(parts: Path, start: str) -> None:
    rows = [f"{start.format(root=parts)}{split}/{i}.jpg,{'ab'[i % 2]}" for split in ("train", "test") for i in range(3)]
    (parts / "all.csv").write_text("\n".join(["image,tags", *rows, ""]))
    catalog = read(parts, labels_file="all.csv")
    assert len(catalog.labelled) == 6 and catalog.unlabelled.empty
