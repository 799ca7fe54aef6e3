"""Tiles whose pixels were exchanged: between a kill and a resume, in a packed store, under a table in another order."""

import logging
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import TINY
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.store.packed import check_pixels, open_store
from amazon_ml.runs.folder import Run
from amazon_ml.runs.tile_files import changed_tiles, check_tiles


@pytest.fixture
def tiles(demo_tiles: Path, tmp_path: Path) -> Path:
    """Tiles that may be changed."""
    return Path(shutil.copytree(demo_tiles, tmp_path / "tiles"))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run that may be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def train(run: Path, tiles: Path) -> int:
    return main(["train", "--run", str(run), "--data.root", str(tiles), "--folds=[0, 2]", "--model.tta=flips", *TINY])


def jpg(tiles: Path, name: str) -> Path:
    (found,) = tiles.rglob(f"{name}.jpg")
    return found


def repaint(path: Path, *, same_size: bool = False) -> None:
    """Put other pixels in the place of a tile's, as a file of the same length if need be."""
    before = path.read_bytes()
    pixels = cv2.imread(str(path))
    assert pixels is not None
    cv2.imwrite(str(path), 255 - pixels, [cv2.IMWRITE_JPEG_QUALITY, 10 if same_size else 95])
    if same_size:  # a comment fills what is missing
        after = path.read_bytes()
        room = len(before) - len(after) - 2
        path.write_bytes(after[:2] + b"\xff\xfe" + room.to_bytes(2, "big") + bytes(room - 2) + after[2:])
        assert path.stat().st_size == len(before)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("same_size", [False, True])
@pytest.mark.parametrize("name", ["train_7", "test_3"])
def test_exchanged_pixels_are_noticed_when_a_run_goes_on(
    run: Path, tiles: Path, capsys: pytest.CaptureFixture[str], name: str, same_size: bool
) -> None:
    changed = jpg(tiles, name)
    repaint(changed, same_size=same_size)
    before = (run / "provenance.json").read_bytes()
    assert train(run, tiles) == 2
    shown = last_line(capsys)
    assert str(changed) in shown and name in shown and str(run) in shown
    assert (run / "provenance.json").read_bytes() == before


def test_a_folder_that_was_copied_is_the_same(run: Path, tiles: Path) -> None:
    catalog = read_catalog(tiles)
    for path in catalog.labelled["path"]:
        os.utime(path)
    check_tiles(Run(run), catalog)
    times = pd.read_parquet(run / "tiles.parquet").set_index(["labelled", "image_name"])["mtime_ns"]
    for name, path in zip(catalog.labelled["image_name"], catalog.labelled["path"], strict=True):
        assert times.loc[(True, name)] == Path(path).stat().st_mtime_ns  # so that no file is read the next time
    assert changed_tiles(Run(run), catalog) == []


def test_untagged_tiles_may_be_others_until_a_fold_has_predicted_them(run: Path, tiles: Path) -> None:
    repaint(jpg(tiles, "test_3"))
    jpg(tiles, "test_4").unlink()
    catalog = read_catalog(tiles)
    with refused(file=jpg(tiles, "test_3"), says=["1", "test_3", run]):
        check_tiles(Run(run), catalog)
    for fold in ("fold-0", "fold-2"):
        (run / fold / "test.parquet").unlink()
    check_tiles(Run(run), catalog)
    recorded = pd.read_parquet(run / "tiles.parquet").set_index(["labelled", "image_name"])
    assert (False, "test_4") not in recorded.index
    repaint(jpg(tiles, "train_7"))
    with refused(file=jpg(tiles, "train_7"), says=["1", "train_7", run]):
        check_tiles(Run(run), catalog)


def test_a_page_shows_no_tiles_that_changed(run: Path, tiles: Path, caplog: pytest.LogCaptureFixture) -> None:
    repaint(jpg(tiles, "train_7"))
    assert main(["report", str(run), "--tiles", str(tiles), "--saliency", "false"]) == 0
    assert "no tiles are drawn" in caplog.text and "train_7" in caplog.text


def test_a_record_of_tiles_that_is_gone_is_named(run: Path, tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "tiles.parquet").unlink()
    assert train(run, tiles) == 2
    assert str(run / "tiles.parquet") in last_line(capsys)


# ---------------------------------------------------------------- packed stores


@pytest.fixture
def store(tiles: Path) -> Path:
    """A packed store of more than one block."""
    assert main(["data", "pack", str(tiles), "--size=32"]) == 0
    return tiles / "packed-rgb-32"


def change_pixel(store: Path, tile: int, *, keep_time: bool = False) -> None:
    """Change one value of one tile in the array."""
    file = store / "tiles.npy"
    before = file.stat()
    array = np.load(file, mmap_mode="r+")
    array[tile, 3, 3, 1] ^= 255
    array.flush()
    if keep_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(file)


@pytest.mark.parametrize("tile", [0, 127, 128, 229])
def test_one_other_pixel_is_noticed(store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, tile: int) -> None:
    change_pixel(store, tile)
    with refused(file=store / "tiles.npy", says=["train_0", "train_127"] if tile < 128 else ["train_128", "test_19"]):
        check_pixels(open_store(store))
    assert train(tmp_path / "run", store.parent) == 2
    assert str(store / "tiles.npy") in last_line(capsys)
    assert main(["data", "pack", str(store.parent), "--size=32"]) == 0  # packed anew
    check_pixels(open_store(store), whole=True)


def test_an_exchanged_array_is_noticed_though_its_time_is_kept(store: Path, tiles: Path) -> None:
    for tile in (0, 128):
        change_pixel(store, tile, keep_time=True)
    with refused(file=store / "tiles.npy"):
        check_pixels(open_store(store))
    assert main(["data", "pack", str(tiles), "--size=32"]) == 0
    check_pixels(open_store(store), whole=True)


def test_a_copied_store_is_the_same_and_need_not_be_read(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy, plain = tmp_path / "copy", Path(shutil.copytree(store, tmp_path / "plain"))
    with caplog.at_level(logging.INFO):
        assert main(["data", "copy", str(store), str(copy)]) == 0
        check_pixels(open_store(copy))
        assert "checking all of" not in caplog.text
        os.utime(plain / "tiles.npy")
        check_pixels(open_store(plain))
        assert f"checking all of {plain / 'tiles.npy'}" in caplog.text
    change_pixel(copy, 5)
    assert main(["data", "copy", str(store), str(copy)]) == 0  # copied anew
    check_pixels(open_store(copy), whole=True)


# ---------------------------------------------------------------- tables


def shuffled(catalog: Catalog) -> Catalog:
    return catalog.subset(np.random.default_rng(0).permutation(len(catalog.labelled)), len(catalog.unlabelled))


def test_the_hash_of_the_data_does_not_depend_on_order(tiles: Path) -> None:
    catalog = read_catalog(tiles)
    assert shuffled(catalog).sha256 == catalog.sha256
    reversed_tags = read_catalog(tiles, ReadingConfig(tags=list(catalog.tags.names[::-1])))
    assert reversed_tags.sha256 == catalog.sha256
    swapped = Catalog(catalog.tags, catalog.labelled, catalog.targets[::-1], catalog.unlabelled)
    assert swapped.sha256 != catalog.sha256
    assert catalog.subset(range(len(catalog.labelled) - 1), 0).sha256 != catalog.sha256


def test_evaluating_on_the_training_table_warns_whatever_its_order(
    run: Path, tiles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tiles / "train_v2.csv"
    pd.read_csv(table).sample(frac=1, random_state=0).to_csv(table, index=False)
    assert main(["evaluate", str(run / "bundle"), "--data", str(tiles)]) == 0
    assert "200 of these 200 tiles have names of tiles" in caplog.text
