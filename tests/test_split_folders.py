"""Files of one name in the folder of each split, as some sets are published: a table means those of its split."""

from pathlib import Path
from typing import Any

import pytest
from refused import refused
from test_several_tables import files, read, write_tile

from amazon_ml.data.catalog.tiles import NAME_BY_PATH
from amazon_ml.data.checks.check import check
from amazon_ml.data.config import ReadingConfig
from amazon_ml.settings import build

#: Numbers of the tiles of each split; the folders have them, and others hold more.
SPLITS = {"train": range(6), "val": range(4), "test": range(3)}
NAMED = {"train": "s_train.csv", "val": "s_val.csv", "test": "s_test.csv"}


def tag(split: str, number: int) -> str:
    return ("river", "field", "river field")[(number + len(split)) % 3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, numbers in SPLITS.items():
        for number in numbers:
            write_tile(tmp_path / "images" / split / f"{number}.png")
        rows = [f"{number},{tag(split, number)}" for number in numbers]
        (tmp_path / NAMED[split]).write_text("\n".join(["image,tags", *rows, ""]))
    return tmp_path


def one_table(root: Path) -> dict[str, Any]:
    rows = [f"{number},{tag(split, number)},{split}" for split, numbers in SPLITS.items() for number in numbers]
    (root / "all.csv").write_text("\n".join(["image,tags,part", *rows, ""]))
    return {"labels_file": str(root / "all.csv"), "split_column": "part"}


@pytest.mark.parametrize("way", ["found", "named", "column"])
def test_a_name_means_the_file_in_the_folder_of_its_split(root: Path, way: str) -> None:
    options: dict[str, Any] = {"found": {}, "named": {"labels_file": NAMED}, "column": one_table(root)}[way]
    for path in [root / "all.csv"] if way == "found" else []:
        path.unlink()
    catalog = read(root, **options)
    assert catalog.valid is not None
    tables = {"train": catalog.labelled[~catalog.valid], "val": catalog.labelled[catalog.valid], "test": catalog.tested}
    for split, numbers in SPLITS.items():
        tiles = tables[split]
        assert files(tiles["path"].tolist(), root) == [f"images/{split}/{number}" for number in numbers]
        meant = {Path(path).stem: tags for path, tags in zip(tiles["path"], tiles["tags"], strict=True)}
        assert meant == {str(number): tag(split, number) for number in numbers}
    assert check(root, build(ReadingConfig, options), num_workers=1).faults == []
    (root / "out.csv").write_text("image\nimages/val/0\n")  # the list that `data check` writes has these names
    without = read(root, exclude=str(root / "out.csv"), **({"labels_file": NAMED} if way == "found" else options))
    assert len(without.labelled) == len(catalog.labelled) - 1
    assert "images/val/0" not in files(without.labelled["path"].tolist(), root)


def test_names_that_one_split_alone_has_keep_their_names(root: Path) -> None:
    for split in ("val", "test"):
        (root / NAMED[split]).unlink()
        (root / "images" / split).rename(root / split)
    (root / NAMED["val"]).write_text("image,tags\n10,river\n11,field\n")
    for number in (10, 11):
        write_tile(root / "images" / "val" / f"{number}.png")
    for path in (root / "val").iterdir():
        path.unlink()
    catalog = read(root)  # `test` without a table holds tiles without tags, also of these names
    assert catalog.labelled["image_name"].tolist() == ["0", "1", "2", "3", "4", "5", "10", "11"]


def test_where_no_folder_is_that_of_a_split_the_remedy_is_the_path(root: Path) -> None:
    for split in SPLITS:
        (root / "images" / split).rename(root / "images" / f"part {len(split)}{split[0]}")
    with refused(file="s_val.csv", line=2, says=[root / "images" / "part 5t" / "0", NAME_BY_PATH]):
        read(root)
    with refused(file="all.csv", says=[root / "images" / "part 3v" / "0", NAME_BY_PATH]):
        read(root, **one_table(root))


def test_a_tile_that_really_is_in_two_splits_loses_a_row(root: Path) -> None:
    (root / NAMED["val"]).write_text("image,tags\n5,river\n4,field\n")
    with refused(file="s_val.csv", line=3) as caught:
        read(root, labels_file={"train": NAMED["train"], "val": NAMED["val"]}, image_dir=str(root / "images" / "train"))
    assert NAME_BY_PATH not in caught.value.remedy


@pytest.mark.parametrize("together", [False, True])
def test_a_name_of_several_categories_is_to_be_named_by_its_path(tmp_path: Path, together: bool) -> None:
    rows = {"airplane": "0,plane\n1,plane field\n", "beach": "0,sand\n1,sand sea\n"}
    for kind in rows:
        for number in range(2):
            write_tile(tmp_path / "images" / kind / f"{number}.png")
    (tmp_path / "labels").mkdir()
    if together:
        (tmp_path / "labels" / "all.csv").write_text("image,tags\n" + "".join(rows.values()))
    else:
        for kind, text in rows.items():
            (tmp_path / "labels" / f"{kind}.csv").write_text(f"image,tags\n{text}")
    with refused(says=[tmp_path / "images" / "beach" / "0", NAME_BY_PATH]):
        read(tmp_path, labels_file="labels/*.csv")


@pytest.mark.parametrize("above", ["dev/set", "train"])
@pytest.mark.parametrize("named", [False, True])
def test_folders_above_the_tiles_say_no_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: str, named: bool
) -> None:
    root = tmp_path / above
    other, known = ("masks", "train") if above == "dev/set" else ("a", "val")
    for folder in (other, known):
        for number in range(2):
            write_tile(root / "images" / folder / f"{number}.png")
    for split in ("train", "val"):
        (tmp_path / NAMED[split] if named else root / NAMED[split]).write_text("image,tags\n0,river\n1,field\n")
    options: dict[str, Any] = {}
    if named:  # the table may lie above such a folder, too
        options = {"labels_file": {split: str(tmp_path / NAMED[split]) for split in ("train", "val")}}
        options["image_dir"] = str(root / "images")
    monkeypatch.chdir(tmp_path)
    for place in (root, Path(above)):
        with refused(says=f"{other}/0"):
            read(place, **options)


@pytest.mark.parametrize("way", ["named", "column"])
@pytest.mark.parametrize("more", ["", "images/train/3\n"])
def test_a_list_of_excluded_tiles_names_them_by_their_paths(root: Path, way: str, more: str) -> None:
    options: dict[str, Any] = {"named": {"labels_file": NAMED}, "column": one_table(root)}[way]
    (root / "out.csv").write_text(f"image\n0\n{more}")
    val = root / "images" / "val" / "0"
    with refused(file=root / "out.csv", option="data.exclude", says=[val, NAME_BY_PATH]):
        read(root, exclude=str(root / "out.csv"), **options)
