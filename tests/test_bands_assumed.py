"""Orders of bands that no name in the files tells: what is assumed, with which warning, and what is refused."""

import logging
from pathlib import Path

import numpy as np
import pytest
from made_tiles import RGBA, TILES, checked, folder, read_all, tifs, values, write_tif
from rasterio.enums import ColorInterp
from refused import refused
from test_bands import bgrn


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give the warnings about the order of bands."""
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    return [text for text in said if "data.tif_order" in text]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_transparency_that_holds_data_needs_the_order(tmp_path: Path, dtype: str) -> None:
    """Rasterio calls the fourth of four 8-bit bands transparency."""
    top = 250 if dtype == "uint8" else 4000
    root = tifs(tmp_path, lambda i: values(i, 4, dtype, 5, top), colours=None if dtype == "uint8" else RGBA)
    with refused(file=root / "tiles" / "t0.tif", option="data.tif_order", says=["rgbn", "bgrn"]):
        read_all(root, bands="rgbn", rgb_source="tif")
    assert checked(root)[0] == 1
    reader, tiles = read_all(root, bands="rgbn", rgb_source="tif", tif_order="rgbn")
    if dtype == "uint8":
        np.testing.assert_array_equal(tiles[0], values(0, 4, dtype, 5, top))
    assert reader.tif_order == "rgbn"


@pytest.mark.parametrize(("count", "order"), [(3, "rgb"), (4, "bgrn")])
def test_an_order_by_the_number_of_bands_alone_is_warned_of(
    tmp_path: Path, count: int, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = tifs(tmp_path, lambda i: values(i, count))
    reader, _ = read_all(root)
    assert reader.tif_order == order
    (warning,) = warnings_of(caplog)
    assert order in warning and "t0.tif" in warning
    caplog.clear()
    read_all(root, tif_order=order)
    assert not warnings_of(caplog)


def test_ignored_names_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_all(tifs(tmp_path, values, colours=RGBA))
    assert any("bgrn" in text for text in warnings_of(caplog))


@pytest.mark.parametrize("colours", [RGBA, None], ids=["named transparency", "without names"])
def test_the_order_of_the_competition_is_a_fact(
    tmp_path: Path, colours: list[ColorInterp] | None, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder(tmp_path, lambda path, i: write_tif(path, bgrn(i), colours=colours), ".tif")
    (root / "tiles").rename(root / "train-tif-v2")
    rows = [f"t{i},clear {'water' if i % 2 else 'primary'}" for i in range(TILES)]
    (root / "train_v2.csv").write_text("\n".join(["image_name,tags", *rows]) + "\n")
    (root / "labels.csv").unlink()
    with caplog.at_level(logging.INFO):
        reader, _ = read_all(root)
    assert reader.tif_order == "bgrn"
    assert not warnings_of(caplog)
    assert any("bgrn" in each.getMessage() for each in caplog.records)
