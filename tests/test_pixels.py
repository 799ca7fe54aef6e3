"""What a file says of its pixels is believed: masks, depth, names of bands, damage, size; or the file is refused."""

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import simplejpeg
from conftest import TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import ColorInterp

from amazon_ml.cli import main
from amazon_ml.data.bands import COLOURS, TileReader, read_reader
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.formats import parse_header
from amazon_ml.data.images import read_picture, read_tile
from amazon_ml.data.limits import fit_limits
from amazon_ml.data.orders import by_letter
from amazon_ml.data.tif import open_tif
from amazon_ml.errors import InputError

Pixels = npt.NDArray[Any]
SIZE, TILES = 24, 12
#: Limits that all 12-bit values made here lie between.
WIDE = dict.fromkeys("rgbn", (0.0, 4096.0))
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


def values(seed: int, count: int = 4, dtype: str = "uint16", low: float = 300, high: float = 4000) -> Pixels:
    drawn = np.random.default_rng(seed).uniform(low, high, size=(SIZE, SIZE, count))
    return drawn.astype(dtype)


def rgb8(seed: int) -> Pixels:
    return values(seed, 3, "uint8", 0, 255)


def write_tif(
    path: Path, bands: Pixels, *, mask: Pixels | None = None, colours: list[ColorInterp] | None = None,
    names: tuple[str, ...] | None = None, **options: Any,
) -> Path:  # fmt: skip
    height, width, count = bands.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=count, dtype=bands.dtype,
            transform=rasterio.Affine(3, 0, 0, 0, -3, 0), **options,
        ) as file,
    ):  # fmt: skip
        if colours:
            file.colorinterp = colours
        file.write(np.moveaxis(bands, -1, 0))
        if names:
            file.descriptions = names
        if mask is not None:
            file.write_mask(mask)
    return path


def write_png(path: Path, pixels: Pixels) -> Path:
    """Write what OpenCV takes: grey, blue-green-red or with alpha, of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def jpeg(seed: int = 0, size: int = 48, **options: Any) -> bytes:
    image = np.random.default_rng(seed).integers(256, size=(size // 4, size // 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).resize((size, size)).save(stream, "JPEG", **options)
    return stream.getvalue()


def folder(root: Path, write: Callable[[Path, int], object], ending: str, tiles: int = TILES) -> Path:
    """Make a folder of tiles with a table of two tags."""
    root = root / "set"  # what training writes lies beside it
    (root / "tiles").mkdir(parents=True)
    for i in range(tiles):
        write(root / "tiles" / f"t{i}{ending}", i)
    rows = [f"t{i},{'forest' if i % 2 else 'river field'}" for i in range(tiles)]
    (root / "labels.csv").write_text("\n".join(["image,tags", *rows]) + "\n")
    return root


def tifs(root: Path, make: Callable[[int], Pixels], tiles: int = TILES, **options: Any) -> Path:
    return folder(root, lambda path, i: write_tif(path, make(i), **options), ".tif", tiles)


def read_all(root: Path, **options: Any) -> tuple[TileReader, Pixels]:
    """Read every tile as training does; an `InputError` where training would end with one."""
    work = root.parent / "work"
    work.mkdir(exist_ok=True)
    data = PlanetDataModule(
        str(root), size=SIZE, n_folds=2, augment=[], folds_file=str(work / "folds.csv"),
        bands_file=str(work / "bands.json"), **options,
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    labelled = data.catalog.labelled
    return data.read, np.stack(
        [data.read(path, tif) for path, tif in zip(labelled["path"], labelled["tif"], strict=True)]
    )


def checked(root: Path, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    out = root / "check.json"
    status = main(["data", "check", str(root), "--json", str(out), *options])
    return status, {finding["kind"]: finding for finding in json.loads(out.read_text())["findings"]}


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
    for low, high in fit_limits(paths, None, seed=0).values():
        assert low == pytest.approx(10, abs=4) and high == pytest.approx(990, abs=4)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_tile_without_a_valid_pixel_is_refused_and_named(
    tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tifs(tmp_path, lambda i: values(i, 3, dtype) * (0 if i == 5 else 1), nodata=0)
    with pytest.raises(InputError, match=r"t5\.tif"):
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
    with pytest.raises(InputError, match=r"band r.*data\.tif_limits"):
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
    for channel, letter in enumerate(COLOURS):
        low, high = read.limits[letter]
        expected = np.clip(np.rint(255 * (stored[..., channel % channels] - low) / (high - low)), 0, 255)
        assert np.abs(tiles[0, ..., channel] - expected).max() <= 1
    status, findings = checked(root)
    assert status == 0 and findings["deep"]["count"] == TILES


@pytest.mark.parametrize("deep", [1, 6, 11])
def test_images_of_two_depths_are_refused_and_named(tmp_path: Path, deep: int) -> None:
    def write(path: Path, i: int) -> Path:
        return write_png(path, values(i, 3) if i < deep else values(i, 3, "uint8", 0, 255))

    root = folder(tmp_path, write, ".png")
    with pytest.raises(InputError, match=r"t\d+\.png"):
        read_all(root)
    status, findings = checked(root)
    assert status == 1
    named = [finding for kind, finding in findings.items() if kind in ("odd_depths", "odd_formats")]
    assert named and named[0]["count"] == min(deep, TILES - deep)


def test_a_deep_png_named_jpg_is_refused(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", values(0, 3)).rename(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg holds uint16"):
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
    _, tiles = read_all(root, bands="rgbn")
    assert (tiles[:, 0, :, :3] == 0).all() and (tiles[:, -1, :, 3] == 0).all() and tiles[:, -1, :, :3].any()
    findings = checked(root, "--bands=rgbn")[1]
    assert f"{200 / SIZE:.1f} %" in findings["masked_parts"]["items"][0]


def test_an_image_that_is_transparent_all_over_is_refused(tmp_path: Path) -> None:
    def write(path: Path, i: int) -> Path:
        return write_png(path, np.dstack([values(i, 3, "uint8", 0, 255), np.full((SIZE, SIZE), 0 if i == 3 else 255)]))

    root = folder(tmp_path, write, ".png")
    status, findings = checked(root)
    assert status == 1 and "t3.png" in findings["refused"]["items"][0]
    with pytest.raises(InputError, match=r"t3\.png"):
        read_all(root)


# ------------------------------------------------------------------ names of bands


def declared(path: Path, bands: Pixels, colours: list[ColorInterp] | None = None, **options: Any) -> dict[str, Pixels]:
    return by_letter(open_tif(write_tif(path, bands, colours=colours, **options)), None, str(path)).pixels


def with_alpha(i: int, dtype: str = "uint8", top: int = 255) -> Pixels:
    bands = values(i, 4, dtype, 10, 250)
    bands[..., 3] = top
    bands[:4, :, 3] = 0
    return bands


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
    read, tiles = read_all(root, bands="rgbn", colours="tif")
    assert read.tif_order == "bgrn" and read.expected.declared == ""
    expected = TileReader(("r", "g", "b", "n"), read.limits, "bgrn", "tif")(str(root / "tiles" / "t0.tif"))
    np.testing.assert_array_equal(tiles[0], expected)


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
        (["gray", "undefined", "undefined"], ("", "band 2", "x"), "rgb"),
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
    read, tiles = read_all(root, tif_order="bgrn", bands="rgbn", colours="tif")
    np.testing.assert_array_equal(tiles[0], with_alpha(0)[..., [2, 1, 0, 3]])
    assert read.tif_order == "bgrn"


@pytest.mark.parametrize(
    ("options", "told"),
    [({"names": ("red", "red", "blue")}, "two bands alike"), ({"photometric": "palette"}, "palette")],
)
def test_names_that_cannot_be_right_are_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    count = 1 if "photometric" in options else 3
    path = write_tif(tmp_path / "tile.tif", values(0, count, "uint8", 0, 255), **options)
    if count == 1:
        with rasterio.open(path, "r+") as file:
            file.write_colormap(1, {i: (i, 0, 0, 255) for i in range(256)})
    with pytest.raises(InputError, match=rf"tile\.tif.*{told}"):
        TileReader(colours="tif")(str(path))


def test_tifs_of_one_folder_that_differ_in_their_names_are_refused(tmp_path: Path) -> None:
    def write(path: Path, i: int) -> Path:
        return write_tif(path, values(i, 3), names=("blue", "green", "red") if i == 7 else ("red", "green", "blue"))

    root = folder(tmp_path, write, ".tif")
    with pytest.raises(InputError, match=r"t\d+\.tif.*data\.tif_order"):
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


def cut(data: bytes, share: float) -> bytes:
    """A JPEG with the rest of its data missing, and its end marker put back."""
    start = data.rfind(b"\xff\xda") + 12
    return data[: start + int(share * (len(data) - start))] + b"\xff\xd9"


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


# ------------------------------------------------------------------ other tiles than those of the training


@pytest.fixture(scope="module")
def run_on_tifs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on 16-bit TIFs of four bands; not to be changed."""
    root = tmp_path_factory.mktemp("tifs")
    tifs(root / "data", values, tiles=30)
    options = [*TINY, "--data.bands=rgbn", "--data.batch_size=8", "--trainer.max_epochs=1"]
    assert main(["train", "--run", str(root / "run"), "--data.root", str(root / "data"), *options]) == 0
    return root


@pytest.mark.parametrize(
    "make",
    [
        lambda i: values(i, 4, "float32", 0, 1),
        lambda i: values(i, 4, "float32"),
        lambda i: values(i, 4, "uint8", 0, 255),
        lambda i: values(i, 4, "int32"),
        lambda i: -values(i, 4, "int16"),
        lambda i: values(i, 4, "complex64"),
        lambda i: values(i, 4, "float32") * np.nan,
        lambda i: values(i, 4, low=20000, high=60000),
        lambda i: values(i, 4, low=0, high=60000),
        lambda i: values(i, 4, low=0, high=200),
        lambda i: values(i, 3),
        lambda i: values(i, 5),
    ],
    ids=["reflectance", "float", "uint8", "int32", "negative", "complex", "nan", "above", "16-bit", "below", "3", "5"],
)
def test_predict_refuses_other_values(
    run_on_tifs: Path, tmp_path: Path, make: Callable[[int], Pixels], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tifs(tmp_path / "data", make, tiles=3)
    assert (
        main(["predict", str(run_on_tifs / "run" / "bundle"), "--tiles", str(root), "--out", str(tmp_path / "p.csv")])
        == 2
    )
    assert ".tif" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_evaluate_refuses_other_values_too(
    run_on_tifs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tifs(tmp_path / "data", lambda i: values(i, 4, "float32", 0, 1), tiles=4)
    assert main(["evaluate", str(run_on_tifs / "run"), "--data", str(root)]) == 2
    assert "float32" in capsys.readouterr().err


def test_saturated_tiles_are_warned_of(run_on_tifs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tifs(tmp_path / "data", lambda i: values(i, 4, low=3000, high=6000), tiles=4)
    out = tmp_path / "p.csv"
    assert main(["predict", str(run_on_tifs / "run"), "--tiles", str(root), "--out", str(out)]) == 0
    assert any(record.levelname == "WARNING" and "at a limit" in record.message for record in caplog.records)
    caplog.clear()
    assert main(["predict", str(run_on_tifs / "run"), "--tiles", str(run_on_tifs / "data"), "--out", str(out)]) == 0
    assert not [record for record in caplog.records if "at a limit" in record.message]


def test_other_names_of_bands_than_those_of_the_training_are_refused(run_on_tifs: Path, tmp_path: Path) -> None:
    read = read_reader(run_on_tifs / "run" / "bands.json")
    assert (read.expected.tif, read.tif_order) == ("uint16", "bgrn")
    right = write_tif(tmp_path / "right.tif", values(0), names=("B02", "B03", "B04", "B08"))
    wrong = write_tif(tmp_path / "wrong.tif", values(0), names=("red", "green", "blue", "nir"))
    clear = write_tif(tmp_path / "clear.tif", with_alpha(0, "uint16", 65535), colours=RGBA)
    read(str(right))
    for path in (wrong, clear):
        with pytest.raises(InputError, match=rf"{path.stem}\.tif names its bands"):
            read(str(path))


def test_8_bit_runs_refuse_16_bit_tiles(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        write_png(tmp_path / "tiles" / f"{name}.png", values(0, 3))
    out = tmp_path / "p.csv"
    assert main(["predict", str(trained), "--tiles", str(tmp_path / "tiles"), "--out", str(out)]) == 2
    assert "a.png holds uint16" in capsys.readouterr().err


# ------------------------------------------------------------------ damage and size


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.02, 0.98), seed=st.integers(0, 3), kind=st.sampled_from(["RGB", "L", "CMYK"]))
def test_a_jpeg_with_missing_data_is_refused(tmp_path: Path, share: float, seed: int, kind: str) -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg(seed))).convert(kind).save(stream, "JPEG", quality=95)
    path = tmp_path / "tile.jpg"
    path.write_bytes(cut(stream.getvalue(), share))
    with pytest.raises(InputError, match=r"tile\.jpg"):
        read_tile(path)


def test_predict_names_a_damaged_jpeg(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiles").mkdir()
    for i in range(3):
        (tmp_path / "tiles" / f"t{i}.jpg").write_bytes(cut(jpeg(i), 0.6) if i == 1 else jpeg(i))
    assert main(["predict", str(trained), "--tiles", str(tmp_path / "tiles"), "--out", str(tmp_path / "p.csv")]) == 2
    assert "t1.jpg" in capsys.readouterr().err


def test_a_progressive_jpeg_without_its_last_scans_is_refused(tmp_path: Path) -> None:
    whole = jpeg(2, progressive=True, quality=90)
    scans = [at for at in range(len(whole) - 1) if whole[at : at + 2] == b"\xff\xda"]
    tables = [whole.rfind(b"\xff\xc4", 0, at) for at in scans]
    assert len(scans) > 5
    path = tmp_path / "tile.jpg"
    for at in tables[1:]:
        path.write_bytes(whole[:at] + b"\xff\xd9")
        with pytest.raises(InputError, match=r"tile\.jpg"):
            read_tile(path)
    path.write_bytes(whole)
    assert read_tile(path).shape == (48, 48, 3)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 2}, {"quality": 30}, {"subsampling": 0}]
)
def test_jpegs_are_read_as_opencv_reads_them(tmp_path: Path, options: dict[str, Any]) -> None:
    data = jpeg(1, 50, **options)
    (tmp_path / "tile.jpg").write_bytes(data)
    expected = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_tile(tmp_path / "tile.jpg"), expected)


def bomb(ending: str, path: Path) -> Path:
    """A small file that announces 60,000 x 60,000 pixels."""
    edge = 60_000
    if ending == ".tif":
        size = {"height": edge, "width": edge, "count": 3, "dtype": "uint8", "sparse_ok": True, "compress": "deflate"}
        with rasterio.open(path, "w", driver="GTiff", transform=rasterio.Affine(3, 0, 0, 0, -3, 0), **size):
            return path
    small = np.zeros((8, 8, 3), dtype=np.uint8)
    data = bytearray(cv2.imencode(ending, small)[1].tobytes())
    if ending == ".png":
        data[16:24] = struct.pack(">II", edge, edge)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif ending == ".bmp":
        data[18:26] = struct.pack("<ii", edge, -edge)
    else:
        data = bytearray(simplejpeg.encode_jpeg(small) if path.stem == "rgb" else cmyk())
        at = data.find(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", edge, edge)
    path.write_bytes(data)
    return path


def cmyk() -> bytes:
    stream = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.tif", "a.png", "rgb.jpg", "cmyk.jpg", "bitmap.bmp"])
def test_a_header_that_announces_too_many_pixels_is_refused(tmp_path: Path, name: str) -> None:
    path = bomb(Path(name).suffix, tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}.*60,000.*max_pixels"):
        TileReader(colours="tif")(str(path))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("alpha", [True, False])
def test_headers_of_webp_tell_size_and_transparency(lossless: bool, alpha: bool) -> None:
    image = Image.fromarray(with_alpha(0)[:20, :, : 4 if alpha else 3])
    stream = io.BytesIO()
    image.save(stream, "WEBP", lossless=lossless)
    header = parse_header(stream.getvalue())
    assert header is not None
    assert (header.kind, header.width, header.height, header.alpha) == ("WebP", SIZE, 20, alpha)


def test_bitmaps_are_read_as_they_were_written(tmp_path: Path) -> None:
    pixels = values(0, 3, "uint8", 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(read_tile(tmp_path / "a.bmp"), pixels)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBP", b"BM"]))
def test_any_bytes_are_a_header_or_none(data: bytes, start: bytes) -> None:
    header = parse_header(start + data)
    assert header is None or header.width >= 0


@pytest.mark.parametrize("name", ["pipe.jpg", "pipe.tif"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}.*no regular file"):
        TileReader()(str(tmp_path / name))


def test_a_limit_of_pixels_that_is_none_is_refused(tmp_path: Path) -> None:
    root = tifs(tmp_path, values, tiles=2)
    assert main(["data", "check", str(root), "--max_pixels=0"]) == 2
    with pytest.raises(InputError, match="max_pixels"):
        PlanetDataModule(str(root), max_pixels=0)
