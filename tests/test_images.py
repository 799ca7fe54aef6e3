import errno
import io
import os
import struct
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from refused import refused

from amazon_ml.data.readers.images import read_picture, read_tile, resize

Pixels = npt.NDArray[np.uint8]


def smooth(height: int, width: int) -> Pixels:
    """A picture without sharp edges, which JPEG keeps well, and with three different channels."""
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = 40 + 160 * x / width, 200 - 150 * y / height, 90 + 60 * np.sin(x / width * 3 + y / height)
    return np.stack([red, green, blue], axis=2).round().astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@cache
def jpeg(progressive: bool = False) -> bytes:
    return encoded(Image.fromarray(smooth(48, 40)), "JPEG", quality=90, progressive=progressive)


def cmyk_jpeg(rgb: Pixels) -> bytes:
    """A JPEG like the competition's: C, M, Y = 255 - R, G, B and K = 0, and no Adobe marker."""
    ink = np.concatenate([255 - rgb, np.zeros((*rgb.shape[:2], 1), dtype=np.uint8)], axis=2)
    data = encoded(Image.fromarray(ink, mode="CMYK"), "JPEG", quality=98, subsampling=0)
    adobe = data.find(b"\xff\xee\x00\x0eAdobe")
    return data if adobe < 0 else data[:adobe] + data[adobe + 16 :]


def stored(tmp_path: Path, data: bytes, name: str = "tile.jpg") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def assert_near(image: Pixels, expected: npt.ArrayLike, within: int) -> None:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    np.testing.assert_allclose(image.astype(int), np.asarray(expected).astype(int), rtol=0, atol=within)


def test_cmyk_jpeg_is_read_as_pillow_converts_it(tmp_path: Path) -> None:
    rgb = smooth(48, 40)
    data = cmyk_jpeg(rgb)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "CMYK"
        assert b"Adobe" not in data
        assert np.asarray(image)[..., 3].max() == 0
        reference = np.asarray(image.convert("RGB"))
    tile = read_tile(stored(tmp_path, data))
    assert_near(tile, reference, within=1)
    assert_near(tile, rgb, within=6)  # the compression loses a little


def test_cmyk_jpeg_without_black_is_read_exactly_as_pillow_converts_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(256, size=(24, 40, 3), dtype=np.uint8)
    for rgb in (smooth(48, 40), noise, np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)):
        data = cmyk_jpeg(rgb)
        reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(read_tile(stored(tmp_path, data)), reference)


def test_black_ink_darkens(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), dtype=np.uint8)
    ink[..., 3] = 128
    data = encoded(Image.fromarray(ink, mode="CMYK"), "JPEG", quality=98)
    assert_near(read_tile(stored(tmp_path, data)), np.full((16, 16, 3), 127), within=2)


def test_rgb_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    tile = read_tile(stored(tmp_path, jpeg()))
    assert tile.shape == (48, 40, 3)
    # Both use the same library, but may interpolate the colours of neighbouring pixels differently.
    assert_near(tile, np.asarray(Image.open(io.BytesIO(jpeg()))), within=3)
    assert_near(tile, smooth(48, 40), within=8)


@pytest.mark.parametrize(("channel", "colour"), [(0, (255, 0, 0)), (1, (0, 255, 0)), (2, (0, 0, 255))])
def test_channels_are_red_green_blue(tmp_path: Path, channel: int, colour: tuple[int, int, int]) -> None:
    flat = np.full((16, 16, 3), colour, dtype=np.uint8)
    for data in (
        encoded(Image.fromarray(flat), "JPEG", quality=95), encoded(Image.fromarray(flat), "PNG"), cmyk_jpeg(flat)
    ):  # fmt: skip
        tile = read_tile(stored(tmp_path, data))
        assert tile[..., channel].min() > 245
        assert np.delete(tile, channel, axis=2).max() < 10


def test_grey_jpeg_gets_three_equal_channels(tmp_path: Path) -> None:
    grey = smooth(24, 32)[..., 0]
    tile = read_tile(stored(tmp_path, encoded(Image.fromarray(grey), "JPEG", quality=98)))
    assert_near(tile, np.repeat(grey[..., None], 3, axis=2), within=4)
    assert (tile == tile[..., :1]).all()


def test_png_of_every_kind_is_read_exactly(tmp_path: Path) -> None:
    rgb = smooth(20, 12)
    few = (rgb // 64) * 64
    opaque = np.dstack([rgb, np.full((20, 12), 255, dtype=np.uint8)])
    half = np.dstack([rgb, np.full((20, 12), 128, dtype=np.uint8)])
    grey = rgb[..., 1]
    palette = Image.fromarray(few).quantize(256, dither=Image.Dither.NONE)
    np.testing.assert_array_equal(np.asarray(palette.convert("RGB")), few)
    for name, image, expected in (
        ("rgb", Image.fromarray(rgb), rgb),
        ("rgba", Image.fromarray(opaque), rgb),
        ("half transparent", Image.fromarray(half), rgb),
        ("palette", palette, few),
        ("grey", Image.fromarray(grey), np.dstack([grey] * 3)),
    ):
        tile = read_tile(stored(tmp_path, encoded(image, "PNG"), f"{name}.png"))
        assert tile.dtype == np.uint8
        np.testing.assert_array_equal(tile, expected, err_msg=name)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_png_is_no_tile_of_eight_bits(tmp_path: Path, channels: int) -> None:
    wide = np.random.default_rng(0).integers(65536, size=(10, 14, channels), dtype=np.uint16)
    path = tmp_path / "wide.png"
    assert cv2.imwrite(str(path), wide[..., ::-1])  # OpenCV writes blue first
    with refused(file=path, says="16-bit"):
        read_tile(path)
    picture = read_picture(path)
    assert picture.pixels.dtype == np.uint16 and picture.valid is None
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(wide, (10, 14, 3)))


@pytest.mark.parametrize("progressive", [False, True])
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_proper_prefix_of_a_jpeg_is_refused(tmp_path: Path, progressive: bool, data: st.DataObject) -> None:
    whole = jpeg(progressive)
    length = data.draw(st.integers(0, len(whole) - 1))
    with refused(file=tmp_path / "tile.jpg"):
        read_tile(stored(tmp_path, whole[:length]))


@pytest.mark.parametrize("missing", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_cut_near_its_end_is_said_to_be_cut_short(tmp_path: Path, missing: int, progressive: bool) -> None:
    data = jpeg(progressive)[:-missing]
    with refused(file=tmp_path / "tile.jpg", says=f"{len(data):,} bytes"):
        read_tile(stored(tmp_path, data))


def with_thumbnail() -> tuple[bytes, int]:
    """A JPEG with a whole small JPEG in its EXIF segment, and where that segment ends."""
    thumbnail = encoded(Image.fromarray(smooth(12, 10)), "JPEG")
    payload = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00" + thumbnail
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    return jpeg()[:2] + segment + jpeg()[2:], 2 + len(segment)


def test_jpeg_with_a_thumbnail_is_read(tmp_path: Path) -> None:
    whole, _ = with_thumbnail()
    np.testing.assert_array_equal(read_tile(stored(tmp_path, whole)), read_tile(stored(tmp_path, jpeg(), "plain.jpg")))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(0.0)
@example(0.999)
@given(st.floats(0, 1, exclude_max=True))
def test_end_of_a_thumbnail_is_not_the_end_of_the_image(tmp_path: Path, share: float) -> None:
    whole, behind = with_thumbnail()
    cut = behind + int(share * (len(whole) - behind))
    with refused(file=tmp_path / "tile.jpg"):
        read_tile(stored(tmp_path, whole[:cut]))


def test_bytes_behind_the_end_do_no_harm(tmp_path: Path) -> None:
    whole = read_tile(stored(tmp_path, jpeg()))
    np.testing.assert_array_equal(read_tile(stored(tmp_path, jpeg() + b"\x00" * 100)), whole)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_is_not_applied(tmp_path: Path, orientation: int) -> None:
    image = Image.fromarray(smooth(30, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "JPEG", quality=95, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.getexif()[0x0112] == orientation
    assert_near(read_tile(stored(tmp_path, data)), smooth(30, 20), within=8)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.97])
def test_png_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "PNG")
    cut = data[: int(share * len(data))]
    with refused(file=tmp_path / "tile.png", says=f"{len(cut):,} bytes"):
        read_tile(stored(tmp_path, cut, "tile.png"))


def test_empty_file_is_refused(tmp_path: Path) -> None:
    with refused(file=tmp_path / "tile.jpg"):
        read_tile(stored(tmp_path, b""))


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\xff\xd8", b"\x89PNG", bytes(1000)])
def test_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    with refused(file=tmp_path / "tile.jpg"):
        read_tile(stored(tmp_path, content))


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with refused(file=tmp_path / "gone.jpg", says=os.strerror(errno.ENOENT)):
        read_tile(tmp_path / "gone.jpg")
    with refused(file=tmp_path):
        read_tile(tmp_path)


def test_resize_to_its_own_size_changes_nothing() -> None:
    noise = np.random.default_rng(1).integers(256, size=(16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(noise, 16), noise)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shrinking_averages_areas(factor: int) -> None:
    noise = np.random.default_rng(2).integers(256, size=(32, 32, 3), dtype=np.uint8)
    small = 32 // factor
    means = noise.reshape(small, factor, small, factor, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize(noise, small), means, rtol=0, atol=0.5 + 1e-6)


def test_shrinking_averages_areas_that_are_not_whole_pixels() -> None:
    noise = np.random.default_rng(3).integers(256, size=(9, 9, 3), dtype=np.uint8)
    weights = np.zeros((6, 9))
    for cell in range(6):
        for pixel in range(9):
            weights[cell, pixel] = max(0.0, min(pixel + 1, (cell + 1) * 1.5) - max(pixel, cell * 1.5)) / 1.5
    means = np.einsum("ij,kl,jlc->ikc", weights, weights, noise.astype(float))
    np.testing.assert_allclose(resize(noise, 6), means, rtol=0, atol=1)


@pytest.mark.parametrize("shape", [(10, 10), (12, 7), (7, 12), (40, 20), (8, 50)])
@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_constant_image_stays_constant(shape: tuple[int, int], value: int) -> None:
    image = np.full((*shape, 3), value, dtype=np.uint8)
    np.testing.assert_array_equal(resize(image, 23), np.full((23, 23, 3), value))


def test_non_square_tile_becomes_square_and_keeps_its_sides() -> None:
    image = np.zeros((20, 60, 3), dtype=np.uint8)
    image[:, 30:, 0] = 200  # the right half is red
    for size in (10, 90):
        square = resize(image, size)
        assert square.shape == (size, size, 3)
        assert square[:, : size // 2 - 3].max() == 0
        assert square[:, size // 2 + 3 :, 0].min() == 200


def test_enlarging_is_smooth_not_in_blocks() -> None:
    ramp = np.repeat(np.linspace(50, 200, 8).astype(np.uint8)[None, :, None], 8, axis=0).repeat(3, axis=2)
    large = resize(ramp, 32)
    assert len(np.unique(large[16, :, 0])) > 16


@pytest.mark.parametrize("size", [8, 40])
def test_any_number_of_bands_is_scaled_as_each_alone(size: int) -> None:
    image = np.random.default_rng(0).integers(256, size=(20, 24, 6), dtype=np.uint8)
    each = [resize(image[..., [band]], size) for band in range(6)]
    assert_near(resize(image, size), np.concatenate(each, axis=-1), within=1)
