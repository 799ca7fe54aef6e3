"""Plain TIFs, which are decoded here, give the same as by GDAL; all others are left to it."""

import struct
import zlib
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from made_tiles import Pixels, values, write_tif
from rasterio.enums import ColorInterp

from amazon_ml.data.readers import tif
from amazon_ml.data.readers.plain_tif import read_plain
from amazon_ml.data.readers.scaling import scale_levels
from amazon_ml.data.readers.tif import open_tif
from amazon_ml.errors import InputError

MANY = 10**8


def by_gdal(path: Path, monkeypatch: pytest.MonkeyPatch) -> tif.Tif:
    with monkeypatch.context() as patch:
        patch.setattr(tif, "_plain", lambda path, max_pixels: None)
        return open_tif(path)


def assert_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = open_tif(path), by_gdal(path, monkeypatch)
    assert here.pixels.dtype == there.pixels.dtype
    np.testing.assert_array_equal(here.pixels, there.pixels)
    assert (here.valid is None) == (there.valid is None)
    if here.valid is not None:
        np.testing.assert_array_equal(here.valid, there.valid)
    assert here[2:] == there[2:]


TILED = {"tiled": True, "blockxsize": 16, "blockysize": 16}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interleave": "band"},
        {"compress": "deflate"},
        {"compress": "deflate", "predictor": 2, **TILED},
        {"compress": "deflate", "interleave": "band", "blockysize": 7},
        {"ENDIANNESS": "BIG", **TILED},
        {"ENDIANNESS": "BIG", "interleave": "band"},
        {"blockysize": 5},
    ],
    ids=["plain", "separate", "deflate", "predictor", "separate deflate", "big tiled", "big separate", "strips"],
)
def test_a_plain_tif_gives_the_same_as_gdal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, count: int, options: dict[str, Any]
) -> None:
    if options.get("predictor") and dtype[0] == "f":
        return
    pixels = values(count, count, dtype, 0, 255)
    path = write_tif(tmp_path / "t.tif", pixels, names=tuple(f"B{i:02}" for i in range(count)), **options)
    assert read_plain(path, path.read_bytes(), MANY) is not None
    assert_same(path, monkeypatch)


def test_values_that_are_no_numbers_are_masked_as_by_gdal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = values(0, 2, "float32")
    pixels[3, 4, 1], pixels[5, 6, 0] = np.nan, np.inf
    assert_same(write_tif(tmp_path / "t.tif", pixels), monkeypatch)


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (values(0, 2), {"nodata": 5}),
        (values(0, 2), {"compress": "lzw"}),
        (values(0, 2), {"compress": "deflate", "predictor": 1, "NBITS": 12}),
        (values(0, 3, "uint8", 0, 255), {"compress": "jpeg"}),
        (values(0, 2), {"mask": np.eye(24, dtype=bool)}),
        (values(0, 4), {"colours": [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]}),
        (values(0, 2, "float32"), {"compress": "deflate", "predictor": 3}),
        (values(0, 2), {"BIGTIFF": "YES"}),
        (values(0, 2).astype("complex64"), {}),
        (values(0, 1, "uint8", 0, 1), {"NBITS": 1}),
        (values(0, 1, "uint8", 0, 255), {"photometric": "miniswhite"}),
    ],
    ids=["nodata", "lzw", "12 bits", "jpeg", "mask", "alpha", "float predictor", "big", "complex", "1 bit", "white"],
)
def test_other_tifs_are_left_to_gdal(tmp_path: Path, pixels: Pixels, options: dict[str, Any]) -> None:
    path = write_tif(tmp_path / "t.tif", pixels, **options)
    assert read_plain(path, path.read_bytes(), MANY) is None


def test_metadata_and_files_beside_are_left_to_gdal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tif(tmp_path / "t.tif", values(0, 2), names=("a & b", "<c>"))
    assert read_plain(path, path.read_bytes(), MANY) is None
    assert open_tif(path).descriptions == ("a & b", "<c>")
    path = write_tif(tmp_path / "u.tif", values(0, 2))
    assert read_plain(path, path.read_bytes(), MANY) is not None
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, ns="IMAGE_STRUCTURE", NBITS=7)
        file.scales = (2.0, 2.0)
    assert read_plain(path, path.read_bytes(), MANY) is None
    path = write_tif(tmp_path / "v.tif", values(0, 2))
    (tmp_path / "v.tif.msk").touch()
    assert read_plain(path, path.read_bytes(), MANY) is None


def test_a_header_that_promises_too_much_is_refused_before_pixels_are_made(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "t.tif", values(0, 12))
    assert read_plain(path, path.read_bytes(), 24 * 24 * 12 - 1) is None
    with pytest.raises(InputError) as caught:
        open_tif(path, 24 * 24 * 3 - 1)
    assert caught.value.option == "data.max_pixels"


def deflated(pixels: Pixels, strip: bytes) -> bytes:
    """Write a TIF of one strip and one band of 16 bits, with these bytes as its strip."""
    height, width = pixels.shape
    tags = {256: width, 257: height, 258: 16, 259: 8, 262: 1, 273: 0, 277: 1, 278: height, 279: len(strip)}
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, start if tag == 273 else value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip


@pytest.mark.parametrize("change", [-2, 0, 2, 10**6])
def test_a_deflated_strip_must_have_the_length_of_the_header(tmp_path: Path, change: int) -> None:
    pixels = values(0, 1)[..., 0]
    raw = pixels.tobytes()
    strip = zlib.compress(raw[:change] if change < 0 else raw + bytes(change))
    found = read_plain(tmp_path / "t.tif", deflated(pixels, strip), MANY)
    assert (found is not None) == (change == 0)
    if found is not None:
        np.testing.assert_array_equal(found.pixels[..., 0], pixels)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1)])
def test_strips_may_lie_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    """With two strange bytes between them, too: no writer here makes such files, but TIF allows them."""
    pixels = values(0, 1)[:, :, 0]
    height, width = pixels.shape
    strips = [part.tobytes() for part in np.split(pixels, 3)]
    tags = {256: (width,), 257: (height,), 258: (16,), 259: (1,), 262: (1,), 277: (1,), 278: (height // 3,)}
    lists = 8 + 2 + 12 * (len(tags) + 2) + 4
    start = lists + 2 * 12
    body, offsets = b"", [0, 0, 0]
    for strip in order:
        body += b"xx"
        offsets[strip] = start + len(body)
        body += strips[strip]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, (value,) in tags.items()]
    entries += [struct.pack("<HHII", 273, 4, 3, lists), struct.pack("<HHII", 279, 4, 3, lists + 12)]
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    lengths = [len(strip) for strip in strips]
    content = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    content += struct.pack("<3I", *offsets) + struct.pack("<3I", *lengths) + body
    path = tmp_path / "t.tif"
    path.write_bytes(content)
    found = read_plain(path, content, MANY)
    assert found is not None
    np.testing.assert_array_equal(found.pixels[..., 0], pixels)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), pixels)


@hypothesis.settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_tif_gives_what_gdal_gives_or_nothing(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Whatever byte is changed or cut off: what is decoded has the shape of the header, and there is no other error."""
    folder = tmp_path_factory.mktemp("damaged")
    options = data.draw(st.sampled_from([{}, {"compress": "deflate"}, {"interleave": "band"}]))
    path = write_tif(folder / "t.tif", values(0, 3), names=("a", "b", "c"), **options)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content), 600) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    found = read_plain(path, whole, 10**6)
    assert found is None or found.pixels.size <= 10**6


@pytest.mark.parametrize("limits", [(300.0, 4000.0), (0.0, 65535.0), (10.0, 11.0), (-5.5, 70000.25)])
def test_a_table_scales_as_arithmetic_does(limits: tuple[float, float]) -> None:
    every = np.arange(2**16, dtype=np.uint16)
    low, high = limits
    plain = np.clip(np.rint((every.astype(np.float32) - low) * np.float32(255 / (high - low))), 0, 255)
    np.testing.assert_array_equal(scale_levels(every, low, high), plain)
    np.testing.assert_array_equal(scale_levels(every.astype(np.float32), low, high), plain)
