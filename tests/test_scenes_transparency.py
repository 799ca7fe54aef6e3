"""Bands of transparency of scenes: they are found wherever they are, and mean the same to warped and unwarped files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from refused import refused
from scene_files import RGB, Pixels, ground, write_scene

from amazon_ml.scenes.placing import place_files
from amazon_ml.scenes.sources import describe_file
from amazon_ml.scenes.strips import MosaicReader
from amazon_ml.scenes.values import order_letters

#: Metres a pixel: the file as it is, averaged to half of its pixels, and enlarged to twice as many.
AS_IT_IS, SHRUNK, ENLARGED = 10.0, 20.0, 5.0
CLEAR = np.zeros((64, 64), dtype=bool)
CLEAR[16:40, 8:48] = True


def read(path: Path, gsd: float, bands: str | None = None, rows: int = 7) -> tuple[dict[str, Pixels], Pixels]:
    """Read a scene in strips: its bands by their letters, and which pixels have data."""
    file = describe_file(str(path))
    mosaic = place_files([file], gsd)
    found: list[dict[str, Pixels]] = []
    valid: list[Pixels] = []
    with MosaicReader(mosaic, order_letters([file], bands, None)) as reader:
        for top in range(0, mosaic.grid.height, rows):
            strip, shown = reader.rows(top, min(top + rows, mosaic.grid.height))
            found.append(strip)
            valid.append(shown)
    return {letter: np.concatenate([one[letter] for one in found]) for letter in found[0]}, np.concatenate(valid)


def scaled(mask: Pixels, gsd: float) -> Pixels:
    """Scale a mask whose edges lie at even pixels."""
    return mask[::2, ::2] if gsd == SHRUNK else mask.repeat(2, 0).repeat(2, 1) if gsd == ENLARGED else mask


def with_alpha(path: Path, at: int, dtype: str, opaque: float, names: Sequence[str] = ()) -> Path:
    """Write red, green, blue and a dark near infrared of even values, 0 where clear, with transparency at a place."""
    bands = [np.where(CLEAR, 0, value).astype(dtype) for value in (90, 100, 110, 60)]
    colours = [*RGB, ColorInterp.undefined]
    bands.insert(at, np.where(CLEAR, 0, opaque).astype(dtype))
    colours.insert(at, ColorInterp.alpha)
    described = ["red", "green", "blue", "nir"]
    described.insert(at, "alpha")
    return write_scene(path, np.stack(bands), colours=colours, names=names or described)


@pytest.mark.parametrize("gsd", [AS_IT_IS, SHRUNK, ENLARGED])
@pytest.mark.parametrize(
    ("dtype", "opaque"),
    [("uint8", 255), ("uint16", 255), ("uint16", 65535), ("uint32", 2**32 - 1), ("float32", 1.0)],
)
@pytest.mark.parametrize("at", [0, 3])
def test_transparency_is_found_at_any_place_and_in_any_type(
    tmp_path: Path, at: int, dtype: str, opaque: float, gsd: float
) -> None:
    found, valid = read(with_alpha(tmp_path / "a.tif", at, dtype, opaque), gsd)
    assert np.array_equal(valid, ~scaled(CLEAR, gsd))
    for letter, value in zip("rgbn", (90, 100, 110, 60), strict=True):
        assert np.allclose(found[letter][valid], value, atol=1e-3), letter  # and clear pixels darken no other


@pytest.mark.parametrize("gsd", [AS_IT_IS, SHRUNK])
def test_transparency_that_only_the_option_names(tmp_path: Path, gsd: float) -> None:
    path = with_alpha(tmp_path / "a.tif", 4, "uint8", 255)
    with rasterio.open(path) as file:
        bands = file.read()
    swapped = write_scene(  # the header gives the colour of transparency to near infrared
        tmp_path / "b.tif", bands[[4, 0, 1, 2, 3]], colours=(*[ColorInterp.undefined] * 4, ColorInterp.alpha)
    )
    found, valid = read(swapped, gsd, bands="argbn")
    assert np.array_equal(valid, ~scaled(CLEAR, gsd))
    assert (found["r"][valid] == 90).all() and (found["n"][valid] == 60).all()


@pytest.mark.parametrize("gsd", [AS_IT_IS, SHRUNK])
def test_transparency_in_a_virtual_file(tmp_path: Path, gsd: float) -> None:
    path = with_alpha(tmp_path / "a.tif", 3, "uint8", 255)
    copy(str(path), str(tmp_path / "a.vrt"), driver="VRT")
    found, valid = read(tmp_path / "a.vrt", gsd)
    assert np.array_equal(valid, ~scaled(CLEAR, gsd))
    assert (found["n"][valid] == 60).all()


@pytest.mark.parametrize("gsd", [AS_IT_IS, SHRUNK])
@pytest.mark.parametrize("opaque", [1, 100])
def test_a_band_named_transparency_with_other_values_is_refused(tmp_path: Path, opaque: int, gsd: float) -> None:
    path = with_alpha(tmp_path / "a.tif", 4, "uint8", opaque)
    with refused(file=path, option="bands"):
        read(path, gsd)


@pytest.mark.parametrize("gsd", [AS_IT_IS, SHRUNK])
def test_data_that_is_named_transparency_is_refused_and_can_be_renamed(tmp_path: Path, gsd: float) -> None:
    path = write_scene(tmp_path / "a.tif", ground(64, 64, count=4), colours=(*RGB, ColorInterp.alpha))
    with refused(file=path, option="bands"):
        read(path, gsd)
    assert read(path, gsd, bands="bgrn")[1].all()


def test_the_value_of_opaque_pixels_does_not_depend_on_the_strips(tmp_path: Path) -> None:
    """Rows with faint pixels only, as at the edge of a warped file, are judged as the rest of their file."""
    alpha = np.full((64, 64), 65535, dtype="uint16")
    alpha[:32] = np.arange(0, 640, 20)[:, None]  # nearly clear, although some are more than half of 255
    bands = np.concatenate([ground(64, 64, dtype="uint16"), alpha[None]])
    path = write_scene(tmp_path / "a.tif", bands, colours=(*RGB, ColorInterp.alpha), blockysize=1)
    _, valid = read(path, ENLARGED, rows=128)
    assert not valid[:60].any() and valid[64:].all()
    for rows in (1, 7, 32):
        assert np.array_equal(read(path, ENLARGED, rows=rows)[1], valid)


def test_a_file_that_is_clear_everywhere_has_no_data(tmp_path: Path) -> None:
    bands = np.concatenate([ground(64, 64), np.zeros((1, 64, 64), dtype="uint8")])
    path = write_scene(tmp_path / "a.tif", bands, colours=(*RGB, ColorInterp.alpha))
    for gsd in (AS_IT_IS, SHRUNK):
        assert not read(path, gsd)[1].any()
