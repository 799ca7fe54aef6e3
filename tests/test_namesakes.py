"""A TIF and another image of one name: the table or an option says which is read, and nothing else is read silently."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_tiles import Pixels, checked, values, write_png, write_tif
from refused import command_refused, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.layout import tiles_below
from amazon_ml.data.catalog.tiles import choose_files
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.taught import list_untagged
from amazon_ml.errors import InputError

TILES = 6
PNG, TIF = TileReader(), TileReader(rgb_source="tif")
BOTH = TileReader(("r", "g", "b", "n"), {"n": (0, 4000)})


def rgb(i: int) -> Pixels:
    return np.random.default_rng(i).integers(256, size=(16, 16, 3), dtype=np.uint8)


def pairs(root: Path, images: str, masks: str, ending: str = "", table: bool = True) -> Path:
    """Write two files of each name, such as images/t0.tif and masks/t0.png, and a table with the ending given."""
    for i in range(TILES):
        for folder in (images, masks):
            path = root / f"{folder.replace('NAME', f't{i}')}"
            write_tif(path, rgb(i)) if path.suffix == ".tif" else write_png(path, rgb(i))
    if table:
        named(root, ending or "t{}")
    return root


def named(root: Path, *names: str) -> Path:
    """Write a table; each name stands for one row of each tile."""
    rows = [f"{name.format(i)},{'forest' if i % 2 else 'river'}" for name in names for i in range(TILES)]
    (root / "labels.csv").write_text("\n".join(["filename,tags", *rows]) + "\n")
    return root


def read_from(catalog: Catalog, root: Path) -> tuple[str, str]:
    """Name the files that the second tile is read from."""
    row = catalog.labelled.iloc[1]
    return tuple(str(Path(row[column]).relative_to(root)) if row[column] else "" for column in ("path", "tif"))  # type: ignore[return-value]


TWO, ONE = ("images/NAME.tif", "masks/NAME.png"), ("im/NAME.tif", "im/NAME.png")


@pytest.mark.parametrize(
    ("files", "name", "expected", "source"),
    [
        (TWO, "t{}.tif", "images/t1.tif", "tif"),
        (TWO, "t{}.TIFF", "images/t1.tif", "tif"),
        (TWO, "images/t{}.tif", "images/t1.tif", "tif"),
        (TWO, "images/t{}", "images/t1.tif", "tif"),
        (TWO, "t{}.png", "masks/t1.png", "jpg"),
        (TWO, "masks/t{}.png", "masks/t1.png", "jpg"),
        (ONE, "t{}.tif", "im/t1.tif", "tif"),
        (ONE, "t{}.png", "im/t1.png", "jpg"),
        (ONE, "im/t{}.tif", "im/t1.tif", "tif"),
        (ONE, "im/t{}.png", "im/t1.png", "jpg"),
        (("images/NAME.png", "masks/NAME.tif"), "t{}.png", "images/t1.png", "jpg"),
        (("images/NAME.png", "masks/NAME.jpg"), "t{}.png", "images/t1.png", "jpg"),
        (("images/NAME.tif", "previews/low/NAME.jpg"), "t{}.tif", "images/t1.tif", "tif"),
    ],
)
def test_the_ending_or_the_path_in_the_table_chooses_the_file(
    tmp_path: Path, files: tuple[str, str], name: str, expected: str, source: str
) -> None:
    catalog = read_catalog(pairs(tmp_path, *files, name))
    assert (read_from(catalog, tmp_path), catalog.rgb_source) == ((expected, ""), source)
    assert len(catalog.labelled) == TILES
    status, found = checked(tmp_path)
    assert not {"file_names", "missing_files"} & found.keys(), (status, found)


def test_all_bands_come_from_the_tif_that_the_table_names(tmp_path: Path) -> None:
    for i in range(TILES):
        write_tif(tmp_path / "images" / f"t{i}.tif", values(i))
        write_png(tmp_path / "masks" / f"t{i}.png", rgb(i))
    catalog = read_catalog(named(tmp_path, "t{}.tif"), ReadingConfig(bands="rgbn"))
    assert (read_from(catalog, tmp_path), catalog.rgb_source) == (("images/t1.tif", ""), "tif")


@pytest.mark.parametrize(
    ("files", "name", "remedies"),
    [
        (TWO, "t{}", ["`data.image_dir`", "ending", "path", "`data.rgb_source`"]),
        (TWO, "t{}.jpg", ["`data.image_dir`", "ending", "path", "`data.rgb_source`"]),
        (ONE, "t{}", ["ending", "`data.rgb_source`"]),
        (ONE, "im/t{}", ["ending", "`data.rgb_source`"]),
    ],
)
def test_a_name_that_may_mean_two_files_is_refused(
    tmp_path: Path, files: tuple[str, str], name: str, remedies: list[str]
) -> None:
    root = pairs(tmp_path, *files, name)
    both = [root / file.replace("NAME", "t0") for file in files]
    for bands in ("rgb", "rgbn"):
        with refused(file=root / "labels.csv", line=2, says=[*both, *remedies, 5]) as caught:
            read_catalog(root, ReadingConfig(bands=bands))
    assert ("`data.image_dir`" in caught.value.remedy) == (files is TWO)
    status, found = checked(root)
    assert status == 1 and len(found["file_names"]["items"]) == TILES


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rgb_source": "jpg"}, ("masks/t1.png", "")),
        ({"rgb_source": "jpg", "bands": "rgbn"}, ("masks/t1.png", "images/t1.tif")),
        ({"rgb_source": "tif"}, ("images/t1.tif", "")),
        ({"bands": ["red", "green"]}, ("images/t1.tif", "")),
    ],
)
@pytest.mark.parametrize("name", ["t{}", "t{}.tif"])
def test_an_option_pairs_the_files_and_the_log_says_which_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: Mapping[str, Any], expected: tuple[str, str], name: str
) -> None:
    root = pairs(tmp_path, *TWO, name)
    assert read_from(read_catalog(root, ReadingConfig(**options)), root) == expected
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    if name == "t{}.tif" and not expected[0].endswith(".png"):  # the table names what is read
        assert not warnings
        return
    (said,) = warnings
    assert "masks/t0.png" in said and "images/t0.tif" in said
    assert ("though the table names it" in said) == (name == "t{}.tif" and not expected[1])


def test_a_table_may_name_either_file_of_a_pair_that_an_option_makes(tmp_path: Path) -> None:
    root = pairs(tmp_path, *TWO)
    for name, source in (("images/t{}.tif", "jpg"), ("masks/t{}.png", "tif")):
        catalog = read_catalog(named(root, name), ReadingConfig(rgb_source=source))  # type: ignore[arg-type]
        assert len(catalog.labelled) == TILES and catalog.rgb_source == source


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("t{}.tif", "images/t1.tif"),
        ("images/t{}.tif", "images/t1.tif"),
        ("images/t{}.png", "images/t1.png"),
        ("masks/t{}.png", "masks/t1.png"),
        ("masks/t{}", "masks/t1.png"),
        ("t{}.png", ""),
        ("images/t{}", ""),
    ],
)
def test_a_pair_beside_a_third_file_of_its_name(tmp_path: Path, name: str, expected: str) -> None:
    root = pairs(tmp_path, *TWO, name)
    for i in range(TILES):
        write_png(root / "images" / f"t{i}.png", rgb(i))
    if expected:
        assert read_from(read_catalog(root), root) == (expected, "")
        return
    with refused(file=root / "labels.csv", line=2, says=root / "images" / "t0.png"):
        read_catalog(root)


def test_a_list_of_bands_names_the_option_for_other_files(tmp_path: Path) -> None:
    for i in range(TILES):
        write_png(tmp_path / "im" / f"t{i}.png", rgb(i))
    named(tmp_path, "t{}.png")
    with refused(file=tmp_path / "labels.csv", option="data.files", says=["`data.files`", "{name}.png", "6 of 6"]):
        read_catalog(tmp_path, ReadingConfig(bands=["red", "green"]))
    config = ReadingConfig(bands=["red", "green"], files="{name}.png")
    assert len(read_catalog(tmp_path, config).labelled) == TILES


def test_the_folder_of_images_chooses(tmp_path: Path) -> None:
    root = pairs(tmp_path, *TWO)
    catalog = read_catalog(root, ReadingConfig(image_dir="images"))
    assert read_from(catalog, root) == ("images/t1.tif", "")


def test_rows_may_name_both_files_as_two_tiles(tmp_path: Path) -> None:
    for i in range(TILES):
        write_png(tmp_path / "a" / f"t{i}.png", rgb(i))
        write_tif(tmp_path / "b" / f"t{i}.tif", rgb(9 + i))
    with refused(option="data.allow_missing", says=["6 of 12", "PNG", "b/t0"]):  # one kind is read
        read_catalog(named(tmp_path, "a/t{}.png", "b/t{}.tif"))
    catalog = read_catalog(tmp_path, ReadingConfig(allow_missing=True))
    assert [Path(path).suffix for path in catalog.labelled["path"]] == [".png"] * TILES


def test_the_competitions_folders_are_paired_with_any_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = pairs(tmp_path, "train-jpg/NAME.jpg", "train-tif-v2/NAME.tif")
    for name in ("x", "y"):
        write_png(root / "test-jpg" / f"{name}.jpg", rgb(0))
        write_tif(root / "test-tif-v2" / f"{name}.tif", rgb(0))
    named(root, "t{}.tif")
    catalog = read_catalog(root, ReadingConfig(labels_file="labels.csv", bands="rgbn"))
    assert read_from(catalog, root) == ("train-jpg/t1.jpg", "train-tif-v2/t1.tif")
    assert catalog.unlabelled["tif"].str.endswith(".tif").tolist() == [True, True]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert tiles_below(root, PNG)["path"].str.endswith(".jpg").all()


@pytest.mark.parametrize(
    ("jpgs", "tifs"),
    [
        ("train-jpg/0", "train-tif-v2/0"),
        ("Train-JPG", "Train-TIF-v2"),
        ("train-jpg/train-jpg", "train-tif-v2/train-tif-v2"),
        ("train-jpg/0", "train-tif-v2"),
        ("a/train-jpg", "b/train-tif"),
        ("new/test-jpg/0", "new/test-tif-v2/0"),
    ],
)
def test_the_competitions_folders_may_have_subfolders_and_capitals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, jpgs: str, tifs: str
) -> None:
    root = pairs(tmp_path, f"{jpgs}/NAME.jpg", f"{tifs}/NAME.tif")
    catalog = read_catalog(root, ReadingConfig(bands="rgbn", labels_file="labels.csv"))
    assert read_from(catalog, root) == (f"{jpgs}/t1.jpg", f"{tifs}/t1.tif")
    assert tiles_below(root, PNG)["path"].str.endswith(".jpg").all()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_folders_inside_a_folder_of_the_competition_are_any_folders(tmp_path: Path) -> None:
    root = pairs(tmp_path / "train-jpg" / "train-tif-v2", "images/NAME.tif", "masks/NAME.jpg")
    with refused(file=root / "labels.csv", line=2, says=root / "masks" / "t0.jpg"):
        read_catalog(root)


def test_tifs_beside_other_images_of_other_names_are_the_tiles(tmp_path: Path) -> None:
    for i in range(TILES):
        write_tif(tmp_path / "images" / f"t{i}.tif", rgb(i))
        write_png(tmp_path / "masks" / f"t{i}_mask.png", rgb(i))
    assert read_catalog(named(tmp_path, "t{}")).rgb_source == "tif"
    assert checked(tmp_path)[1].keys().isdisjoint({"missing_files", "file_names"})


# ------------------------------------------------------------------ tiles without a table


@pytest.mark.parametrize("read", [PNG, TIF])
def test_two_folders_without_a_table_are_refused(tmp_path: Path, read: TileReader) -> None:
    root = pairs(tmp_path, *TWO, table=False)
    for option in ("tiles", "data.untagged"):
        with refused(option=option, says=[root / "images" / "t0.tif", root / "masks" / "t0.png", f"`{option}`"]):
            tiles_below(root, read, option)
    assert len(tiles_below(root / "images", read)) == TILES


def test_a_teacher_refuses_two_folders(tmp_path: Path) -> None:
    root = pairs(tmp_path, *TWO, "t{}.tif")
    with refused(option="data.untagged", says=root / "masks" / "t0.png"):
        list_untagged(read_catalog(root), root, TIF)


def test_prediction_refuses_two_folders(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = pairs(tmp_path / "new", *TWO, table=False), tmp_path / "p.csv"
    said = command_refused(capsys, "predict", trained, "--tiles", root, "--out", out)
    assert "masks/t0.png" in said and not out.exists()
    assert main(["predict", str(trained), "--tiles", str(root / "masks"), "--out", str(out)]) == 0
    assert pd.read_csv(out)["image_name"].tolist() == [f"t{i}" for i in range(TILES)]


@pytest.mark.parametrize(("files", "read"), [(ONE, PNG), (ONE, TIF), (TWO, BOTH)])
def test_other_pairs_without_a_table_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: tuple[str, str], read: TileReader
) -> None:
    assert len(tiles_below(pairs(tmp_path, *files, table=False), read)) == TILES
    assert "t0.tif" in caplog.text and "t0.png" in caplog.text


@pytest.mark.parametrize("folder", ["", "im/"])
@pytest.mark.parametrize(("read", "ending"), [(PNG, ".png"), (TIF, ".tif")])
def test_previews_in_a_subfolder_leave_the_kind_of_the_run(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    read: TileReader,
    ending: str,
) -> None:
    root = pairs(tmp_path, f"{folder}NAME.tif", f"{folder}previews/small/NAME.png", table=False)
    chosen, lacking = choose_files(tiles_below(root, read, "data.untagged"), read.bands, read.rgb_source)
    assert [Path(path).suffix for path in chosen["path"]] == [ending] * TILES and lacking.empty
    assert "t0.tif" in caplog.text and "previews/small/t0.png" in caplog.text
    monkeypatch.chdir(root)
    assert len(tiles_below(Path(), read)) == TILES


def test_a_folder_whose_name_begins_alike_is_another_folder(tmp_path: Path) -> None:
    root = pairs(tmp_path, "im/NAME.tif", "im2/NAME.png", table=False)
    with refused(option="tiles", says=root / "im2" / "t0.png"):
        tiles_below(root, TIF)


def test_test_folders_with_both_kinds_are_refused(tmp_path: Path) -> None:
    root = pairs(tmp_path, "images/NAME.tif", "images/other_NAME.tif", "t{}.tif")
    write_tif(root / "images" / "test" / "x.tif", rgb(0))
    write_png(root / "masks" / "test" / "x.png", rgb(0))
    with refused(option="data.rgb_source", says=[root / "images/test/x.tif", root / "masks/test/x.png"]):
        read_catalog(root)
    assert checked(root)[1]["file_names"]["count"] == 1
    catalog = read_catalog(root, ReadingConfig(rgb_source="tif"))
    assert catalog.unlabelled["path"].tolist() == [str(root / "images/test/x.tif")]


# ------------------------------------------------------------------ some tiles of one kind, some of the other


def test_a_mixed_folder_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    for i in range(TILES):
        write_tif(tmp_path / f"t{i}.tif", rgb(i)) if i < 2 else write_png(tmp_path / f"t{i}.png", rgb(i))
    named(tmp_path, "t{}")
    with refused(option="data.allow_missing", says=["2 of 6", "TIFs", "t0", "PNG"]) as caught:
        read_catalog(tmp_path)
    assert isinstance(caught.value, InputError) and "complete" not in caught.value.remedy
    for i in range(2):
        (tmp_path / f"t{i}.tif").unlink()
        write_png(tmp_path / f"t{i}.png", rgb(i))
    assert len(read_catalog(tmp_path).labelled) == TILES


def test_pngs_without_the_other_bands_name_the_option_that_pairs_them(tmp_path: Path) -> None:
    root = pairs(tmp_path, *TWO, "t{}.png")
    with refused(file=root / "labels.csv", option="data.rgb_source", says=["`data.rgb_source`", "jpg"]):
        read_catalog(root, ReadingConfig(bands="rgbn"))
    assert len(read_catalog(root, ReadingConfig(bands="rgbn", rgb_source="jpg")).labelled) == TILES
