"""What a file says of its pixels is believed: masks, depth, names of bands; check and training agree on it."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from conftest import TINY
from made_tiles import (
    RGBA,
    SIZE,
    TILES,
    WIDE,
    Pixels,
    checked,
    cut,
    fitted_limits,
    folder,
    jpeg,
    read_all,
    rgb8,
    tifs,
    values,
    with_alpha,
    write_png,
    write_tif,
)
from PIL import Image
from rasterio.enums import ColorInterp
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.data.readers.band_order import by_letter
from amazon_ml.data.readers.bands import RGB, TileReader
from amazon_ml.data.readers.images import read_picture, read_tile
from amazon_ml.data.readers.reader_file import read_reader
from amazon_ml.data.readers.tif import open_tif
from amazon_ml.data.readers.values import values_alone
from amazon_ml.errors import InputError

# ------------------------------------------------------------------ masks of TIFs


def holed(i: int, value: float, dtype: str = "float32", share: float = 0.2) -> Pixels:
    bands = values(i, 3, dtype)
    bands[: round(SIZE * share)] = value
    return bands


@pytest.mark.parametrize(
    ("value", "options"),
    [(-9999.0, {"nodata": -9999.0}), (np.nan, {}), (np.inf, {}), (-np.inf, {}), (np.nan, {"nodata": np.nan})],
)
def test_masked_pixels_stay_out_of_limits_and_become_zero(
    tmp_path: Path, value: float, options: dict[str, Any]
) -> None:
    root = tifs(tmp_path, lambda i: holed(i, value), **options)
    read, tiles = read_all(root)
    masked = round(SIZE * 0.2)
    for letter in "rgb":
        low, high = read.limits[letter]
        assert 300 <= low < 400 and 3900 < high <= 4000
    assert (tiles[:, :masked] == 0).all()
    assert len(np.unique(tiles[:, masked:])) > 200
    status, findings = checked(root)
    assert status == 0
    assert findings["masked_parts"]["count"] == TILES
    assert f"{100 * masked / SIZE:.1f} %" in findings["masked_parts"]["items"][0]


def test_a_mask_in_the_file_counts_like_a_nodata_value(tmp_path: Path) -> None:
    mask = np.full((SIZE, SIZE), 255, dtype=np.uint8)
    mask[:, :10] = 0

    def make(i: int) -> Pixels:
        bands = values(i, 3)
        bands[:, :10] = 60000
        return bands

    read, tiles = read_all(tifs(tmp_path, make, mask=mask))
    assert max(high for _, high in read.limits.values()) <= 4000
    assert (tiles[:, :, :10] == 0).all() and tiles[:, :, 10:].max() == 255


def test_a_band_without_a_value_is_masked_alone_and_its_index_is_neutral(tmp_path: Path) -> None:
    bands = values(0, 4)
    bands[0, :, 3] = 0  # near infrared alone has no data there
    path = str(write_tif(tmp_path / "tile.tif", bands, nodata=0))
    tile = TileReader(("r", "n", "ndvi", "ndwi"), WIDE, "bgrn", "tif")(path)
    assert (tile[0, :, 1] == 0).all()
    assert (tile[0, :, 2:] == 128).all()
    assert tile[0, :, 0].min() > 0


def test_percentiles_are_those_of_the_valid_pixels_however_few(tmp_path: Path) -> None:
    """A tile with a sliver of other values must not count as much as a whole one."""

    def make(i: int) -> Pixels:
        bands = np.full((64, 64, 3), -1, dtype=np.int16)
        if i:
            bands[:16] = np.random.default_rng(i).integers(0, 1001, size=(16, 64, 3))
        else:
            bands[0, :8] = 30000  # 8 of 11 x 1,024 valid pixels
        return bands

    paths = [str(write_tif(tmp_path / f"{i}.tif", make(i), nodata=-1)) for i in range(TILES)]
    for low, high in fitted_limits(paths).values():
        assert low == pytest.approx(10, abs=4) and high == pytest.approx(990, abs=4)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_tile_without_a_valid_pixel_is_refused_and_named(
    tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tifs(tmp_path, lambda i: values(i, 3, dtype) * (0 if i == 5 else 1), nodata=0)
    with refused(file=root / "tiles" / "t5.tif"):
        read_all(root)
    status, findings = checked(root)
    assert status == 1
    assert any("t5.tif" in item for finding in findings.values() for item in finding["items"])
    assert main(["train", "--run", str(tmp_path / "run"), "--data.root", str(root), *TINY]) == 2
    assert "t5.tif" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "dtype"), [(0, "uint16"), (65535, "uint16"), (-9999, "float32"), (-32768, "int16")])
def test_undeclared_nodata_on_the_borders_sets_no_limit(
    tmp_path: Path, value: float, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    def make(i: int) -> Pixels:
        bands = values(i, 3, dtype)
        if i % 3 == 0:
            bands[:, : SIZE // 2 + 2] = value
        return bands

    root = tifs(tmp_path, make)
    read, tiles = read_all(root)
    for low, high in read.limits.values():
        assert 300 <= low < 500 and 3800 < high <= 4000
    assert f"{value:g}" in caplog.text and "4 of 12" in caplog.text
    assert (tiles[0, :, : SIZE // 2 + 2] == 0).all()
    assert read_reader(root.parent / "work" / "bands.json") == read
    status, findings = checked(root)
    assert status == 0 and findings["undeclared_nodata"]["count"] == 4


def test_black_borders_of_8_bit_tifs_are_remarked_on(tmp_path: Path) -> None:
    root = tifs(tmp_path, lambda i: holed(i, 0, "uint8", 0.6) % 251)
    status, findings = checked(root)
    assert status == 0 and findings["undeclared_nodata"]["count"] == TILES


def test_limits_that_squeeze_the_values_are_refused(tmp_path: Path) -> None:
    def make(i: int) -> Pixels:  # no border shows what stands for no data
        bands = values(i, 3, "float32", 0.0, 0.3)
        bands[5:9, 5:9] = -9999
        return bands

    root = tifs(tmp_path, make)
    with refused(option="data.tif_limits", says=["r", "-9999", root / "tiles" / "t0.tif"]):
        read_all(root)
    status, findings = checked(root)
    assert status == 1 and "band r" in findings["reading"]["items"][0]
    limits = {letter: [0.0, 0.3] for letter in "rgb"}
    assert len(np.unique(read_all(root, tif_limits=limits)[1])) > 200
    assert checked(root, f"--tif_limits={json.dumps(limits)}")[0] == 0


# ------------------------------------------------------------------ depth


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_pngs_are_scaled_by_limits_that_are_stored(tmp_path: Path, channels: int) -> None:
    def write(path: Path, i: int) -> Path:
        return write_png(path, values(i, channels))

    root = folder(tmp_path, write, ".png")
    read, tiles = read_all(root)
    assert read.expected.image == "uint16"
    assert read_reader(root.parent / "work" / "bands.json") == read
    stored = values(0, channels)[..., ::-1].astype(float)
    for channel, letter in enumerate(RGB):
        low, high = read.limits[letter]
        expected = np.clip(np.rint(255 * (stored[..., channel % channels] - low) / (high - low)), 0, 255)
        assert np.abs(tiles[0, ..., channel] - expected).max() <= 1
    status, findings = checked(root)
    assert status == 0 and findings["deep"]["count"] == TILES


@pytest.mark.parametrize("value", [0, 65535])
def test_undeclared_nodata_of_16_bit_pngs_sets_no_limit(tmp_path: Path, value: int) -> None:
    def write(path: Path, i: int) -> Path:
        pixels = values(i, 3)
        pixels[: SIZE // 2 + 2] = value
        return write_png(path, pixels)

    read, tiles = read_all(folder(tmp_path, write, ".png"))
    assert all(300 <= low < 500 and 3800 < high <= 4000 for low, high in read.limits.values())
    assert (tiles[:, : SIZE // 2 + 2] == 0).all()
    assert checked(tmp_path / "set")[1]["undeclared_nodata"]["count"] == TILES


@pytest.mark.parametrize("deep", [1, 6, 11])
def test_images_of_two_depths_are_refused_and_named(tmp_path: Path, deep: int) -> None:
    def write(path: Path, i: int) -> Path:
        return write_png(path, values(i, 3) if i < deep else values(i, 3, "uint8", 0, 255))

    root = folder(tmp_path, write, ".png")
    with refused(says=["uint16", "uint8", deep, TILES - deep, root / "tiles" / "t0.png"]):
        read_all(root)
    status, findings = checked(root)
    assert status == 1
    named = [finding for kind, finding in findings.items() if kind in ("odd_depths", "odd_formats")]
    assert named and named[0]["count"] == min(deep, TILES - deep)


def test_a_deep_png_named_jpg_is_refused(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", values(0, 3)).rename(tmp_path / "a.jpg")
    with refused(file=path, option="data.tif_limits", says="uint16"):
        TileReader()(str(path))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_pngs_of_few_bits_fill_the_range(tmp_path: Path, depth: int) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16) % 2**depth
    path = tmp_path / "grey.png"
    path.write_bytes(png(grey, depth))
    np.testing.assert_array_equal(read_tile(path)[..., 0], grey * (255 // (2**depth - 1)))


# ------------------------------------------------------------------ transparency


def png(grey: Pixels, depth: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A grey PNG of 1, 2, 4, 8 or 16 bits, with more chunks."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = grey.shape
    if depth < 8:
        bits = (grey[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]
    else:
        rows = [row.astype(f">u{depth // 8}").tobytes() for row in grey]
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_pixels_under_alpha_0_become_0(tmp_path: Path, mode: str) -> None:
    colours = values(0, 3, "uint8", 10, 255) // 32 * 32 + 7
    clear = np.zeros((SIZE, SIZE), dtype=bool)
    clear[3:9, 4:20] = True
    image = Image.fromarray(colours)
    if mode == "P":
        image = image.quantize(254)
        indices = np.asarray(image).copy()
        indices[clear] = 255
        palette = image.getpalette() or []
        image = Image.fromarray(indices, mode="P")
        image.putpalette(palette + [1] * (768 - len(palette)))
        image.save(tmp_path / "tile.png", transparency=255)
    else:
        image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
        image.convert(mode).save(tmp_path / "tile.png")
    tile = TileReader()(str(tmp_path / "tile.png"))
    assert (tile[clear] == 0).all() and (tile[~clear] > 0).any(axis=-1).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_grey_value_may_stand_for_transparency(tmp_path: Path, depth: int) -> None:
    grey = (np.arange(256).reshape(16, 16) % min(2**depth, 200)).astype(np.uint16)
    path = tmp_path / "grey.png"
    path.write_bytes(png(grey, depth, (b"tRNS", struct.pack(">H", 1))))
    picture = read_picture(path)
    assert picture.valid is not None
    np.testing.assert_array_equal(picture.valid, grey != 1)


def test_masks_of_both_files_of_a_tile_are_remarked_on(tmp_path: Path) -> None:
    clear = np.full((SIZE, SIZE, 1), 255, dtype=np.uint8)
    clear[0] = 0

    def write(path: Path, i: int) -> None:
        write_png(path, np.concatenate([rgb8(i), clear], axis=-1))
        bands = values(i)
        bands[-1] = 0
        write_tif(path.with_suffix(".tif"), bands, nodata=0)

    root = folder(tmp_path, write, ".png")
    _, tiles = read_all(root, bands="rgbn", rgb_source="jpg")
    assert (tiles[:, 0, :, :3] == 0).all() and (tiles[:, -1, :, 3] == 0).all() and tiles[:, -1, :, :3].any()
    findings = checked(root, "--bands=rgbn", "--rgb_source=jpg")[1]
    assert f"{200 / SIZE:.1f} %" in findings["masked_parts"]["items"][0]


def test_an_image_that_is_transparent_all_over_is_refused(tmp_path: Path) -> None:
    def write(path: Path, i: int) -> Path:
        return write_png(path, np.dstack([values(i, 3, "uint8", 0, 255), np.full((SIZE, SIZE), 0 if i == 3 else 255)]))

    root = folder(tmp_path, write, ".png")
    status, findings = checked(root)
    assert status == 1 and "t3.png" in findings["refused"]["items"][0]
    with refused(file=root / "tiles" / "t3.png"):
        read_all(root)


# ------------------------------------------------------------------ names of bands


def declared(path: Path, bands: Pixels, colours: list[ColorInterp] | None = None, **options: Any) -> dict[str, Pixels]:
    return by_letter(open_tif(write_tif(path, bands, colours=colours, **options)), None, str(path)).pixels


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("uint16", 255)])
def test_a_tif_that_declares_red_green_blue_alpha_is_believed(
    tmp_path: Path, dtype: str, top: int, caplog: pytest.LogCaptureFixture
) -> None:
    root = tifs(tmp_path, lambda i: with_alpha(i, dtype, top), colours=RGBA)
    caplog.set_level("INFO")
    read, tiles = read_all(root)
    assert read.tif_order == "rgb"
    assert (tiles[:, :4] == 0).all()
    if dtype == "uint8":
        np.testing.assert_array_equal(tiles[0, 4:], with_alpha(0)[4:, :, :3])
    assert sum("name their bands r, g, b" in record.message for record in caplog.records) == 1


def test_a_band_called_alpha_that_holds_data_is_near_infrared(tmp_path: Path) -> None:
    root = tifs(tmp_path, values, colours=RGBA)
    read, tiles = read_all(root, bands="rgbn", rgb_source="tif")
    assert read.tif_order == "bgrn" and read.expected.declared == ""
    expected = TileReader(("r", "g", "b", "n"), read.limits, "bgrn", "tif")(str(root / "tiles" / "t0.tif"))
    np.testing.assert_array_equal(tiles[0], expected)


@pytest.mark.parametrize("names", [("x", "y", "z"), ("red edge", "swir", "pan"), ("B1", "B5", "B7")])
def test_names_of_bands_that_are_not_understood_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = tifs(tmp_path, lambda i: values(i, 3), names=names)
    with refused(file=root / "tiles" / "t0.tif", option="data.tif_order", says=names):
        read_all(root)
    assert checked(root)[0] == 1
    assert checked(root, "--tif_order=rgb")[0] == 0


@pytest.mark.parametrize(
    ("colours", "names", "letters"),
    [
        (["blue", "green", "red"], None, "bgr"),
        (["red", "green", "blue", "nir"], None, "rgbn"),
        (["red", "green", "blue", "undefined"], None, "rgb"),
        (["undefined"] * 4, ("B02", "B03", "B04", "B08"), "bgrn"),
        (["red", "green", "blue"], ("blue", "green", "red"), "bgr"),
        (["gray", "undefined", "undefined", "undefined"], ("Near-Infrared", "RED", "Green", "blue"), "nrgb"),
        (["gray", "undefined", "undefined"], None, "rgb"),
        (["gray", "undefined", "undefined"], ("", "band 2", "Layer_3"), "rgb"),
        (["gray"] + ["undefined"] * 4, ("B4", "B3", "B2", "B8", "B8A"), "rgbn"),
        (["gray", "undefined", "undefined"], ("B02", "B03", "B04"), "bgr"),
        (["gray"] + ["undefined"] * 4, ("SR_B4", "SR_B3", "SR_B2", "SR_B5", "SR_B6"), "rgbn"),
        (["gray"] + ["undefined"] * 3, ("B04_10m", "B03_10m", "B02_10m", "B08_10m"), "rgbn"),
        (["gray"] + ["undefined"] * 3, ("Red (665 nm)", "green band", "Band 3 - Blue", "NIR1"), "rgbn"),
        (["undefined"] * 6, ("coastal", "B02", "B03", "B04", "B05", "B08"), "bgrn"),
    ],
)
def test_bands_go_by_the_names_that_the_file_gives_them(
    tmp_path: Path, colours: list[str], names: tuple[str, ...] | None, letters: str
) -> None:
    bands = values(0, len(colours), "uint8", 0, 255)
    interpreted = [ColorInterp[name] for name in colours]
    read = declared(tmp_path / "tile.tif", bands, interpreted, names=names, photometric="MINISBLACK")
    assert "".join(read) == letters
    known = [i for i in range(len(colours)) if len(letters) == len(colours)]
    for i in known:
        np.testing.assert_array_equal(read[letters[i]], bands[..., i])


def test_a_given_order_wins_over_the_names(tmp_path: Path) -> None:
    root = tifs(tmp_path, lambda i: with_alpha(i), colours=RGBA)
    read, tiles = read_all(root, tif_order="bgrn", bands="rgbn", rgb_source="tif")
    np.testing.assert_array_equal(tiles[0], with_alpha(0)[..., [2, 1, 0, 3]])
    assert read.tif_order == "bgrn"


@pytest.mark.parametrize(
    ("options", "option", "value"),
    [
        ({"names": ("red", "red", "blue")}, "data.tif_order", "r, r, b"),
        ({"photometric": "palette"}, "", "gdal_translate"),
    ],
)
def test_names_that_cannot_be_right_are_refused(
    tmp_path: Path, options: dict[str, Any], option: str, value: str
) -> None:
    count = 1 if "photometric" in options else 3
    path = write_tif(tmp_path / "tile.tif", values(0, count, "uint8", 0, 255), **options)
    if count == 1:
        with rasterio.open(path, "r+") as file:
            file.write_colormap(1, {i: (i, 0, 0, 255) for i in range(256)})
    with refused(file=path, option=option, says=value):
        TileReader(rgb_source="tif")(str(path))


def test_tifs_of_one_folder_that_differ_in_their_names_are_refused(tmp_path: Path) -> None:
    def write(path: Path, i: int) -> Path:
        return write_tif(path, values(i, 3), names=("blue", "green", "red") if i == 7 else ("red", "green", "blue"))

    root = folder(tmp_path, write, ".tif")
    with refused(file=root / "tiles" / "t7.tif", option="data.tif_order", says=["rgb", "bgr"]):
        read_all(root)
    assert checked(root)[0] == 1


# ------------------------------------------------------------------ check and training agree

Maker = Callable[[Path, int], object]
#: What lies in a folder: ending, maker of each file, options of training; and whether training takes it.
FOLDERS: dict[str, tuple[str, Maker, dict[str, Any], bool]] = {
    "rgb tif": (".tif", lambda p, i: write_tif(p, values(i, 3)), {}, True),
    "1 band": (".tif", lambda p, i: write_tif(p, values(i, 1)), {}, False),
    "2 bands": (".tif", lambda p, i: write_tif(p, values(i, 2)), {}, False),
    "12 bands": (".tif", lambda p, i: write_tif(p, values(i, 12)), {}, False),
    "12 bands named": (".tif", lambda p, i: write_tif(p, values(i, 12)), {"tif_order": "?bgr???n????"}, True),
    "too long an order": (".tif", lambda p, i: write_tif(p, values(i, 3)), {"tif_order": "bgrn"}, False),
    "no near infrared": (".tif", lambda p, i: write_tif(p, values(i, 3)), {"bands": "rgbn"}, False),
    "rgb and rgba tif": (".tif", lambda p, i: write_tif(p, with_alpha(i)[..., : 3 + i % 2]), {}, True),
    "complex": (".tif", lambda p, i: write_tif(p, values(i, 3, "complex64")), {}, False),
    "one complex": (".tif", lambda p, i: write_tif(p, values(i, 3, "complex64" if i == 4 else "float32")), {}, False),
    "two types": (".tif", lambda p, i: write_tif(p, values(i, 3, "int16" if i % 2 else "uint16")), {}, False),
    "3 and 4 bands": (".tif", lambda p, i: write_tif(p, values(i, 3 + i % 2)), {}, False),
    "1-bit tif": (".tif", lambda p, i: write_tif(p, values(i, 3, "uint8", 0, 2), nbits=1), {}, False),
    "limits of other bands": (".tif", lambda p, i: write_tif(p, values(i, 3)), {"tif_limits": {"n": [0, 9]}}, False),
    "negative": (".tif", lambda p, i: write_tif(p, -values(i, 3, "int16")), {}, True),
    "all nan": (".tif", lambda p, i: write_tif(p, values(i, 3, "float32") * np.nan), {}, False),
    "grey jpg": (".jpg", lambda p, i: Image.fromarray(values(i, 1, "uint8", 0, 255)[..., 0]).save(p), {}, True),
    "grey png": (".png", lambda p, i: write_png(p, values(i, 1, "uint8", 0, 255)), {}, True),
    "one pixel": (".png", lambda p, i: write_png(p, rgb8(i)[:1, :1]), {}, False),
    "one is small": (".png", lambda p, i: write_png(p, rgb8(i)[: 3 if i == 2 else 24]), {}, False),
    "strips": (".png", lambda p, i: write_png(p, np.tile(rgb8(i), (1, 40, 1))), {}, True),
    "damaged jpg": (".jpg", lambda p, i: p.write_bytes(cut(jpeg(i), 0.5) if i == 1 else jpeg(i)), {}, False),
    "no image": (".png", lambda p, i: p.write_bytes(b"hello" * 99) if i == 1 else write_png(p, rgb8(i)), {}, False),
    "too many pixels": (".png", lambda p, i: write_png(p, rgb8(i)), {"max_pixels": 500}, False),
    "enough pixels": (".png", lambda p, i: write_png(p, rgb8(i)), {"max_pixels": SIZE**2}, True),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_check_and_training_agree(tmp_path: Path, name: str) -> None:
    ending, write, options, taken = FOLDERS[name]
    root = folder(tmp_path, write, ending)
    said = [f"--{key}={json.dumps(value) if isinstance(value, dict) else value}" for key, value in options.items()]
    status, findings = checked(root, *said)
    assert (status == 0) == taken, findings
    if taken:
        read_all(root, **options)
    else:
        with pytest.raises(InputError):
            read_all(root, **options)


# ------------------------------------------------------------------ values that stand alone, bands that show nothing


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(65535, "uint16"), (0, "uint16"), (-32768, "int16"), (-9999, "int16"), (-32767, "int16"), (9999, "int16"),
     (-99999, "int32"), (-99999, "float32"), (-3.4e38, "float32"), (1e20, "float32"), (1e38, "float64")],
)  # fmt: skip
def test_a_value_within_one_band_that_stretches_limits_is_named(tmp_path: Path, value: float, dtype: str) -> None:
    def write(path: Path, i: int) -> None:
        bands = 1000 + values(i, 3, dtype, 0, 1000)
        if i == 3:
            bands[5:20, 5:20, 1] = value
        write_tif(path, bands)

    root = folder(tmp_path, write, ".tif")
    with refused(option="data.tif_limits", says=["g", root / "tiles" / "t3.tif", f"-a_nodata {value:g}"]):
        read_all(root)
    assert "reading" in checked(root)[1]
    read_all(root, tif_limits={letter: [1000, 2000] for letter in "rgb"})


def test_values_that_are_many_stand_with_the_others() -> None:
    rng = np.random.default_rng(0)
    bright = np.concatenate([rng.normal(2000, 300, 50_000), rng.uniform(2000, 30_000, 5000)]).round()
    assert values_alone(np.minimum(bright, 12_000)) == []
    assert values_alone(rng.integers(0, 4, 1000).astype(float)) == []


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
def test_tiles_of_0_and_1_are_a_fault_and_training_warns(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    def write(path: Path, i: int) -> None:
        pixels = values(i, 3, "uint8", 0, 2)
        write_tif(path, pixels) if ending == ".tif" else Image.fromarray(pixels).save(path)

    root = folder(tmp_path, write, ending)
    status, findings = checked(root)
    assert status == 1 and "empty_bands" in findings
    read_all(root)
    assert "no value is above 1" in caplog.text


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_bands_that_show_nothing_are_found_in_both_types(tmp_path: Path, dtype: str) -> None:
    for name in ("same", "dark"):

        def write(path: Path, i: int, name: str = name) -> None:
            pixels = rgb8(i) if name == "same" else values(i, 3, "uint8", 0, 2)
            if name == "same":
                pixels[..., 2] = 200
            write_png(path, pixels)

        root = folder(tmp_path / name, write, ".png")
        status, findings = checked(root, f"--dtype={dtype}")
        assert status == 1 and "empty_bands" in findings, name


def test_a_band_that_is_the_same_all_over_is_a_fault_and_training_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder(tmp_path, lambda p, i: write_png(p, rgb8(i) * np.array([1, 1, 0], dtype=np.uint8)), ".png")
    status, findings = checked(root)
    assert status == 1 and "empty_bands" in findings
    read_all(root)
    assert "band r" in caplog.text


@pytest.mark.parametrize(("tiles", "folds", "status"), [(1, 2, 1), (3, 5, 1), (3, 3, 0), (5, 5, 0)])
def test_fewer_tiles_than_folds_are_a_fault(tmp_path: Path, tiles: int, folds: int, status: int) -> None:
    root = folder(tmp_path, lambda p, i: write_png(p, rgb8(i)), ".png", tiles)
    (root / "labels.csv").write_text("image,tags\n" + "".join(f"t{i},{'a b'[i % 2 :]}\n" for i in range(tiles)))
    found, findings = checked(root, f"--n_folds={folds}")
    assert ("few_tiles" in findings) == bool(status)
    if tiles > 1:  # one tile has the same tags as all
        assert found == status
