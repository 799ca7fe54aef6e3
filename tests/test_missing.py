"""Rows without a file and files without a row: the message fits what the table shows."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_tiles import checked, rgb8, values, write_png, write_tif
from refused import refused

from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.config import ReadingConfig, RgbSource

TILES = 6


def tiles(folder: Path, first: int = 0) -> None:
    for i in range(first, first + TILES):
        write_png(folder / f"{i}.png", rgb8(i))


def table(path: Path, names: list[object], header: str = "filename,tags") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{name},{'forest' if at % 2 else 'river'}" for at, name in enumerate(names)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


# ------------------------------------------------------------------ rows that a list excludes


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", ["1", "im/1.png"])
def test_excluded_tiles_have_a_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, *, several: bool
) -> None:
    tiles(tmp_path / "im")
    tables = [table(tmp_path / "a.csv", [0, 2]), table(tmp_path / "b.csv", [1, 3])]
    if not several:
        tables = [table(tmp_path / "a.csv", [0, 1, 2, 3])]
        (tmp_path / "b.csv").unlink()
    out = tmp_path / "out" / "exclude.csv"
    out.parent.mkdir()
    out.write_text(f"image_name\n{name}\n")
    config = ReadingConfig(labels_file=[str(path) for path in tables], exclude=str(out), image_dir="im")
    assert read_catalog(tmp_path, config).labelled["image_name"].isin(["0", "2", "3"]).sum() == 3
    said = next(record.message for record in caplog.records if "no row" in record.message)
    assert said.startswith("2 images") and "4, 5" in said
    options = ["--labels_file", f"[{','.join(map(str, tables))}]", "--exclude", str(out), "--image_dir", "im"]
    found = checked(tmp_path, *options)[1]
    assert found["surplus_files"]["items"] == ["4", "5"]


# ------------------------------------------------------------------ paths of another machine


@pytest.mark.parametrize(
    "name", ["/home/u/data/{}.png", r"C:\data\images\{}.png", "https://x.org/a/{}.png", "file:///home/u/{}.png"]
)
def test_a_path_of_another_machine_is_answered_with_the_name_alone(tmp_path: Path, name: str) -> None:
    tiles(tmp_path / "im")
    with refused(file=table(tmp_path / "l.csv", [name.format(i) for i in range(TILES)]), option="", says="0") as caught:
        read_catalog(tmp_path)
    assert "data.image_dir" not in str(caught.value)
    table(tmp_path / "l.csv", list(range(TILES)))
    assert len(read_catalog(tmp_path).labelled) == TILES


def test_a_folder_in_front_may_be_named(tmp_path: Path) -> None:
    tiles(tmp_path / "im")
    with refused(option="data.image_dir", says="`data.image_dir`"):
        read_catalog(tmp_path, ReadingConfig(labels_file=str(table(tmp_path / "l.csv", ["other/0", "other/1"]))))


# ------------------------------------------------------------------ names that count rows


@pytest.mark.parametrize("header", [",tags", "id,tags"])
def test_a_count_that_is_shifted_is_not_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture, header: str) -> None:
    tiles(tmp_path / "im", first=1)
    path = table(tmp_path / "l.csv", list(range(TILES)), header)
    with refused(file=path, option="data.name_column", says=["0", "5", "6"]) as caught:
        read_catalog(tmp_path)
    assert "allow_missing" not in str(caught.value)
    read_catalog(tmp_path, ReadingConfig(allow_missing=True))
    assert any("count the rows" in record.message for record in caplog.records if record.levelname == "WARNING")


def test_an_untitled_count_is_not_left_out_even_where_no_file_is_left(tmp_path: Path) -> None:
    tiles(tmp_path / "im", first=1)
    (tmp_path / "im" / f"{TILES}.png").unlink()
    path = table(tmp_path / "l.csv", list(range(TILES)), ",tags")
    with refused(file=path, option="data.name_column"):
        read_catalog(tmp_path)


def test_names_that_are_numbers_may_lack_files(tmp_path: Path) -> None:
    tiles(tmp_path / "im", first=1)
    with refused(option="data.allow_missing", says="`data.allow_missing`"):  # the column says what it holds
        read_catalog(
            tmp_path, ReadingConfig(labels_file=str(table(tmp_path / "l.csv", [1, 2, 3, 4, 5, 6, 7], "id,tags")))
        )


@pytest.mark.parametrize("other", ["overview", "0", "8", "17"])
@pytest.mark.parametrize("header", [",tags", "id,tags"])
def test_a_file_that_is_missing_beside_another_one_is_no_shift(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, header: str, other: str
) -> None:
    tiles(tmp_path / "im", first=1)
    write_png(tmp_path / "im" / "7.png", rgb8(7))
    (tmp_path / "im" / "4.png").unlink()
    write_png(tmp_path / "im" / f"{other}.png", rgb8(9))
    path = table(tmp_path / "l.csv", [1, 2, 3, 4, 5, 6, 7], header)
    with refused(file=path, option="data.allow_missing", says=["1 of 7", "4", "`data.allow_missing`"]):
        read_catalog(tmp_path)
    assert len(read_catalog(tmp_path, ReadingConfig(allow_missing=True)).labelled) == 6
    assert "count the rows" not in caplog.text


@pytest.mark.parametrize("missing", [None, 3])
def test_rows_from_1_and_files_from_0_are_a_shift(tmp_path: Path, missing: int | None) -> None:
    tiles(tmp_path / "im")
    if missing is not None:
        (tmp_path / "im" / f"{missing}.png").unlink()
    path = table(tmp_path / "l.csv", list(range(1, TILES + 1)), "id,tags")
    with refused(file=path, option="data.name_column", says=["1", "6", "0"]) as caught:
        read_catalog(tmp_path)
    assert "allow_missing" not in str(caught.value)


# ------------------------------------------------------------------ files of another kind for all rows


@pytest.mark.parametrize("allow_missing", [False, True])
@pytest.mark.parametrize("rgb_source", [None, "jpg"])
def test_other_bands_without_any_tif_name_the_bands_or_the_folder(
    tmp_path: Path, rgb_source: RgbSource | None, *, allow_missing: bool
) -> None:
    tiles(tmp_path / "im")
    path = table(tmp_path / "l.csv", list(range(TILES)), "id,tags")
    config = ReadingConfig(bands="rgbn", allow_missing=allow_missing, rgb_source=rgb_source)
    with refused(file=path, option="data.bands", says=["6 of 6", "rgb", "`data.image_dir`"]) as caught:
        read_catalog(tmp_path, config)
    assert "allow_missing" not in str(caught.value) and "rgb_source" not in str(caught.value)
    assert len(read_catalog(tmp_path, replace(config, bands="rgb")).labelled) == TILES
    for i in range(TILES):
        write_tif(tmp_path / "tifs" / f"{i}.tif", values(i))
    assert len(read_catalog(tmp_path, replace(config, image_dir="tifs", rgb_source=None)).labelled) == TILES


@pytest.mark.parametrize(("ending", "source", "works"), [("png", "tif", None), ("tif", "jpg", "tif")])
@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_source_that_no_tile_has_is_answered_with_one_that_works(
    tmp_path: Path, ending: str, source: RgbSource, works: RgbSource | None, *, allow_missing: bool
) -> None:
    for i in range(TILES):
        file = tmp_path / "im" / f"{i}.{ending}"
        write_tif(file, values(i)) if ending == "tif" else write_png(file, rgb8(i))
    path = table(tmp_path / "l.csv", list(range(TILES)), "id,tags")
    config = ReadingConfig(rgb_source=source, allow_missing=allow_missing)
    with refused(file=path, option="data.rgb_source", says=["6 of 6", "`data.rgb_source`"]) as caught:
        read_catalog(tmp_path, config)
    assert "allow_missing" not in str(caught.value)
    assert len(read_catalog(tmp_path, replace(config, rgb_source=works)).labelled) == TILES


def test_tifs_alone_and_pngs_alone_name_the_source_that_some_have(tmp_path: Path) -> None:
    for i in range(TILES):
        file = tmp_path / "im" / f"{i}.{'tif' if i % 2 else 'png'}"
        write_tif(file, values(i)) if i % 2 else write_png(file, rgb8(i))
    path = table(tmp_path / "l.csv", list(range(TILES)), "id,tags")
    config = ReadingConfig(bands="rgbn", allow_missing=True)
    with refused(file=path, option="data.rgb_source", says=["6 of 6", "tif"]):
        read_catalog(tmp_path, config)
    assert len(read_catalog(tmp_path, replace(config, rgb_source="tif")).labelled) == TILES // 2
    with refused(file=path, option="data.allow_missing", says=["3 of 6", "`data.allow_missing`"]):
        read_catalog(tmp_path, replace(config, rgb_source="tif", allow_missing=False))
