"""Reading of scenes: mosaics, masks, warps, strips and hostile files, against rasterio's plain reading."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.merge import merge
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform
from refused import refused
from scene_files import LEFT, RGBA, STEP, TOP, UTM, Pixels, ground, quarters, write_scene

from amazon_ml.data.readers.band_order import Bands
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.named import Layer, NamedBands
from amazon_ml.errors import InputError
from amazon_ml.scenes.placing import Mosaic, place_files
from amazon_ml.scenes.sources import describe_file, find_files
from amazon_ml.scenes.strips import MosaicReader, read_ahead, read_strips
from amazon_ml.scenes.values import choose_scaling, order_bands

READER = TileReader(("r", "g", "b"))


def mosaic_of(*files: Path, gsd: float | None = None, **options: Any) -> Mosaic:
    return place_files([describe_file(str(file)) for file in files], gsd, **options)


def read(mosaic: Mosaic, *, bands: str | None = None, nodata: float | None = None) -> tuple[Pixels, Pixels]:
    """Read a whole mosaic in strips of seven rows: values (bands, height, width), and which pixels have data."""
    needed = order_bands([place.file for place in mosaic.places], READER, bands, nodata)
    values, valid = [], []
    with MosaicReader(mosaic, needed) as reader:
        for top in range(0, mosaic.grid.height, 7):
            found, shown = reader.rows(top, min(top + 7, mosaic.grid.height))
            values.append(np.stack([found[letter] for letter in "rgb"]))
            valid.append(shown)
    return np.concatenate(values, axis=1), np.concatenate(valid)


# ---------------------------------------------------------------- mosaics


def test_four_files_are_read_as_the_merged_file(tmp_path: Path) -> None:
    bands = ground(50, 70)
    parts = quarters(tmp_path / "parts", bands, 23, 41)
    whole = write_scene(tmp_path / "whole.tif", bands)
    one, four = mosaic_of(whole), mosaic_of(*parts)
    assert one.grid == four.grid
    assert all(place.aligned for place in four.places)
    for mosaic in (one, four):
        values, valid = read(mosaic)
        assert np.array_equal(values, bands) and valid.all()


def test_the_first_file_with_data_counts_as_in_rasterio(tmp_path: Path) -> None:
    first, second = ground(30, 40, seed=1), ground(30, 40, seed=2)
    first[:, 5:12, 30:] = 0
    files = [
        write_scene(tmp_path / "1.tif", first, nodata=0), write_scene(tmp_path / "2.tif", second, column=25, row=-4,
                                                                      nodata=0),
    ]  # fmt: skip
    expected, _ = merge(files)
    values, valid = read(mosaic_of(*files))
    assert np.array_equal(values, expected)
    assert np.array_equal(valid, expected.any(axis=0))


def test_files_that_do_not_touch_leave_a_gap_without_data(tmp_path: Path) -> None:
    files = [write_scene(tmp_path / f"{at}.tif", ground(10, 10, seed=at), column=30 * at) for at in range(2)]
    _, valid = read(mosaic_of(*files))
    assert valid.shape == (10, 40)
    assert valid[:, :10].all() and valid[:, 30:].all() and not valid[:, 10:30].any()


def test_a_file_that_lies_between_pixels_is_warped(tmp_path: Path) -> None:
    first = write_scene(tmp_path / "1.tif", ground(20, 20))
    shifted = write_scene(tmp_path / "2.tif", np.full((3, 20, 20), 90, "uint8"), transform=from_origin(
        LEFT + 20.5 * STEP, TOP, STEP, STEP))  # fmt: skip
    mosaic = mosaic_of(first, shifted)
    assert [place.aligned for place in mosaic.places] == [True, False]
    assert any("warped" in note for note in mosaic.notes)
    values, valid = read(mosaic)
    assert (values[:, :, 22:39] == 90).all() and valid[:, 22:39].all()


# ---------------------------------------------------------------- the ground


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_degrees_and_web_mercator_are_warped_to_the_local_zone(tmp_path: Path, crs: str) -> None:
    x, y = (value[0] for value in transform(UTM, crs, [LEFT], [TOP]))
    step = 1e-4 if crs == "EPSG:4326" else 10.0
    scene = write_scene(tmp_path / "a.tif", np.full((3, 60, 60), 77, "uint8"), crs=crs,
                        transform=from_origin(x, y, step, step))  # fmt: skip
    mosaic = mosaic_of(scene)
    assert rasterio.CRS.from_wkt(mosaic.grid.crs).to_epsg() == 32720
    assert any("32720" in note for note in mosaic.notes)
    # the corner of the file, projected by itself, lies within a pixel of the corner of the grid
    assert abs(mosaic.grid.left - LEFT) < 2 * mosaic.grid.dx
    metres = mosaic.grid.dx
    degree = 111_320 * np.cos(np.radians(9.95))
    assert metres == pytest.approx(11.0 if crs == "EPSG:4326" else 10 * degree / 111_320, rel=0.02)
    values, valid = read(mosaic)
    assert valid.mean() > 0.95 and (values[:, valid] == 77).all()


def test_another_resolution_is_averaged_to_that_of_the_networks(tmp_path: Path) -> None:
    bands = ground(60, 80)
    mosaic = mosaic_of(write_scene(tmp_path / "a.tif", bands), gsd=20.0)
    assert (mosaic.grid.height, mosaic.grid.width, mosaic.grid.dx) == (30, 40, 20.0)
    values, valid = read(mosaic)
    by_hand = bands.reshape(3, 30, 2, 40, 2).mean(axis=(2, 4))
    assert valid.all() and np.abs(values - by_hand).max() <= 0.5


def test_the_same_resolution_is_not_warped(tmp_path: Path) -> None:
    mosaic = mosaic_of(write_scene(tmp_path / "a.tif", ground(20, 20)), gsd=10.05)
    assert mosaic.places[0].aligned and not mosaic.notes


def test_a_scene_without_a_known_resolution_is_taken_as_it_is_and_that_is_said(tmp_path: Path) -> None:
    mosaic = mosaic_of(write_scene(tmp_path / "a.tif", ground(20, 20)))
    assert mosaic.places[0].aligned
    assert len(mosaic.notes) == 1 and "10 m a pixel" in mosaic.notes[0]


def test_a_scene_with_the_south_at_the_top_is_turned(tmp_path: Path) -> None:
    bands = ground(20, 30)
    upside_down = Affine(STEP, 0, LEFT, 0, STEP, TOP - 20 * STEP)
    mosaic = mosaic_of(write_scene(tmp_path / "a.tif", bands[:, ::-1], transform=upside_down))
    assert (mosaic.grid.left, mosaic.grid.top) == (LEFT, TOP)
    values, valid = read(mosaic)
    assert valid.all() and np.array_equal(values, bands)


def test_a_rotated_scene_is_warped_to_north(tmp_path: Path) -> None:
    bands = np.full((3, 40, 40), 120, "uint8")
    turned = Affine.translation(LEFT, TOP) @ Affine.rotation(30) @ Affine.scale(STEP, -STEP)
    mosaic = mosaic_of(write_scene(tmp_path / "a.tif", bands, transform=turned))
    corners = [turned @ corner for corner in ((0, 0), (40, 0), (0, 40), (40, 40))]
    assert mosaic.grid.left == pytest.approx(min(x for x, _ in corners))
    assert mosaic.grid.top == pytest.approx(max(y for _, y in corners))
    values, valid = read(mosaic)
    inside = valid.sum() * mosaic.grid.dx * mosaic.grid.dy
    assert inside == pytest.approx(40 * 40 * STEP * STEP, rel=0.06)
    assert (values[:, valid] == 120).all()


def test_a_file_without_coordinates_is_refused_or_mapped_in_pixels(tmp_path: Path) -> None:
    bands = ground(20, 30)
    scene = write_scene(tmp_path / "a.tif", bands, crs=None)
    with pytest.raises(InputError) as error:
        mosaic_of(scene)
    assert error.value.file == str(scene) and "pixel_coordinates" in error.value.remedy
    mosaic = mosaic_of(scene, pixel_coordinates=True)
    assert (mosaic.grid.crs, mosaic.grid.left, mosaic.grid.y(20)) == ("", 0.0, -20.0)
    assert np.array_equal(read(mosaic)[0], bands)


# ---------------------------------------------------------------- pixels without data


@pytest.mark.parametrize("warped", [False, True])
@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha", "nan", "nan declared", "option"])
def test_every_way_to_mark_pixels_without_data(tmp_path: Path, kind: str, warped: bool) -> None:
    float_ = kind.startswith("nan")
    bands = ground(60, 60, dtype="float32" if float_ else "uint8")
    hole = np.zeros((60, 60), dtype=bool)
    hole[20:40, 10:50] = True
    options: dict[str, Any] = {}
    if kind in ("nodata", "option"):
        bands[:, hole] = 0
        options = {"nodata": 0} if kind == "nodata" else {}
    elif kind == "mask":
        options = {"mask": np.where(hole, 0, 255).astype("uint8")}
    elif kind == "alpha":
        bands = np.concatenate([bands, np.where(hole, 0, 255).astype("uint8")[None]])
        options = {"colours": RGBA}
    else:
        bands[:, hole] = np.nan
        options = {"nodata": np.nan} if kind == "nan declared" else {}
    mosaic = mosaic_of(write_scene(tmp_path / "a.tif", bands, **options), gsd=20.0 if warped else None)
    _, valid = read(mosaic, nodata=0 if kind == "option" else None)
    expected = ~hole[::2, ::2] if warped else ~hole
    assert np.array_equal(valid, expected)


def test_one_band_of_zeros_is_data(tmp_path: Path) -> None:
    bands = ground(20, 20)
    bands[0] = 0
    _, valid = read(mosaic_of(write_scene(tmp_path / "a.tif", bands, nodata=0)))
    assert valid.all()


# ---------------------------------------------------------------- bands


def test_bands_are_found_by_descriptions_before_colours(tmp_path: Path) -> None:
    bands = ground(20, 20, count=4)
    scene = write_scene(tmp_path / "a.tif", bands, names=("blue", "green", "red", "nir"))
    assert describe_file(str(scene)).letters == "bgrn"
    assert np.array_equal(read(mosaic_of(scene))[0], bands[[2, 1, 0]])


def test_bands_without_names_need_the_option(tmp_path: Path) -> None:
    bands = ground(20, 20, count=4)
    scene = write_scene(tmp_path / "a.tif", bands, photometric="MINISBLACK")
    with pytest.raises(InputError) as error:
        read(mosaic_of(scene))
    assert (error.value.option, error.value.file) == ("bands", str(scene))
    assert np.array_equal(read(mosaic_of(scene), bands="?rgb")[0], bands[1:])


@pytest.mark.parametrize("bands", ["rg", "rgx", "rrg", "", "rgbnn"])
def test_letters_that_do_not_fit_are_refused(tmp_path: Path, bands: str) -> None:
    with pytest.raises(InputError) as error:
        read(mosaic_of(write_scene(tmp_path / "a.tif", ground(20, 20))), bands=bands)
    assert error.value.option == "bands"


def test_a_band_of_data_that_is_named_transparency_is_not_taken_for_a_mask(tmp_path: Path) -> None:
    bands = ground(20, 20, count=4)
    scene = write_scene(tmp_path / "a.tif", bands, colours=RGBA)
    with pytest.raises(InputError) as error:
        read(mosaic_of(scene))
    assert error.value.option == "bands"
    values, valid = read(mosaic_of(scene), bands="bgrn")
    assert valid.all() and np.array_equal(values, bands[[2, 1, 0]])


def test_bands_are_found_by_the_names_of_a_sensor(tmp_path: Path) -> None:
    bands = ground(20, 20, count=5, dtype="uint16", top=4000)
    names = ("B02", "B03", "B04", "B08", "B11")
    source = NamedBands({"B04": ("B04",), "ndvi": ("nir", "B04")}, layers={"B04": Layer("uint16", 1.0)})
    reader = TileReader(("B04", "ndvi"), limits={"B04": (0.0, 4000.0)}, source=source)
    described = write_scene(tmp_path / "a.tif", bands, names=names, photometric="MINISBLACK")
    plain = write_scene(tmp_path / "b.tif", bands, photometric="MINISBLACK")
    for scene, named in ((described, None), (plain, ",".join(names))):
        mosaic = mosaic_of(scene)
        needed = order_bands([mosaic.places[0].file], reader, named, None)
        assert needed.letters == ("B04", "nir")
        scaling, _ = choose_scaling(mosaic, needed, reader, "bundle")
        with MosaicReader(mosaic, needed) as strips:
            found, _ = strips.rows(0, 20)
        assert np.array_equal(found["B04"], bands[2]) and np.array_equal(found["nir"], bands[3])
        channels = scaling(Bands(found, dict.fromkeys(found)))
        red, nir = bands[2].astype("float64"), bands[3].astype("float64")
        assert np.abs(channels[..., 0] - red * 255 / 4000).max() <= 0.51
        assert np.abs(channels[..., 1] - ((nir - red) / (nir + red) + 1) * 127.5).max() <= 0.51
    for named in (None, "B02,B03"):
        with pytest.raises(InputError) as error:
            order_bands([describe_file(str(plain))], reader, named, None)
        assert error.value.option == "bands"


def test_jpeg_2000_is_read(tmp_path: Path) -> None:
    bands = ground(60, 70)
    path = tmp_path / "a.jp2"
    about = {"width": 70, "height": 60, "count": 3, "dtype": "uint8", "crs": UTM, "QUALITY": 100, "REVERSIBLE": "YES"}
    place = from_origin(LEFT, TOP, STEP, STEP)
    with rasterio.open(path, "w", driver="JP2OpenJPEG", transform=place, **about) as file:
        file.write(bands)
    assert describe_file(str(path)).driver == "JP2OpenJPEG"
    assert np.array_equal(read(mosaic_of(path), bands="rgb")[0], bands)


# ---------------------------------------------------------------- strips


def test_each_row_is_read_once_and_in_order_in_one_other_thread() -> None:
    asked: list[tuple[int, int]] = []
    threads = set()

    def rows(top: int, end: int) -> tuple[Pixels, Pixels]:
        asked.append((top, end))
        threads.add(threading.get_ident())
        column = np.arange(top, end, dtype=np.uint8)
        return column[:, None, None], np.ones((end - top, 1), dtype=bool)

    spans = [(0, 32), (16, 48), (40, 72), (90, 122)]
    strips = list(read_ahead(read_strips(rows, spans)))
    assert asked == [(0, 32), (32, 48), (48, 72), (90, 122)]
    assert [strip.channels[:, 0, 0].tolist() for strip in strips] == [list(range(*span)) for span in spans]
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_one_strip_is_read_ahead_and_no_more() -> None:
    asked: list[int] = []

    def rows(top: int, end: int) -> tuple[Pixels, Pixels]:
        asked.append(top)
        return np.zeros((end - top, 1, 1), dtype=np.uint8), np.ones((end - top, 1), dtype=bool)

    strips = read_ahead(read_strips(rows, [(top, top + 4) for top in range(0, 40, 4)]))
    for number, _ in enumerate(strips, start=1):
        deadline = time.monotonic() + 10
        while len(asked) < min(10, number + 1) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.005)  # one that is read too early would be asked for now
        assert len(asked) == min(10, number + 1)


def test_an_error_of_the_reader_reaches_the_user() -> None:
    def rows(top: int, end: int) -> tuple[Pixels, Pixels]:
        raise InputError("the file is cut", file="a.tif")

    with refused(file="a.tif"):
        list(read_ahead(read_strips(rows, [(0, 4)])))


# ---------------------------------------------------------------- hostile files


def test_a_folder_gives_its_rasters_by_name_and_no_vrt(tmp_path: Path) -> None:
    for name in ("b.tif", "a.TIF", "x/c.tiff", "notes.txt", "d.vrt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [Path(path).name for path in find_files([tmp_path])] == ["a.TIF", "b.tif", "c.tiff"]


@pytest.mark.parametrize("name", ["http://localhost/a.tif", "/vsicurl/http://localhost/a.tif", "s3://bucket/a.tif",
                                  "/vsizip/a.zip/a.tif"])  # fmt: skip
def test_addresses_are_refused_unless_they_are_allowed(name: str) -> None:
    with pytest.raises(InputError) as error:
        find_files([name])
    assert error.value.option == "scene" and "allow_remote" in error.value.remedy
    assert find_files([name], allow_remote=True) == [name]


def vrt_of(path: Path, source: str, *, relative: int = 1, extra: str = "", band: str = "") -> Path:
    path.write_text(
        f'<VRTDataset rasterXSize="20" rasterYSize="20"><SRS>{UTM}</SRS><GeoTransform>{LEFT}, {STEP}, 0, {TOP}, 0, '
        f"-{STEP}</GeoTransform>{extra}"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{at}"{band}><ColorInterp>{colour}</ColorInterp><SimpleSource>'
            f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>{at}</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
            for at, colour in ((1, "Red"), (2, "Green"), (3, "Blue"))
        )
        + "</VRTDataset>"
    )
    return path


def test_a_vrt_of_files_below_its_folder_is_read(tmp_path: Path) -> None:
    bands = ground(20, 20)
    write_scene(tmp_path / "data" / "a.tif", bands)
    values, valid = read(mosaic_of(vrt_of(tmp_path / "a.vrt", "data/a.tif")))
    assert valid.all() and np.array_equal(values, bands)


def test_a_vrt_that_reaches_elsewhere_is_refused(tmp_path: Path) -> None:
    outside = write_scene(tmp_path / "a.tif", ground(20, 20))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.tif").symlink_to(outside)
    (tmp_path / "in" / "fake.tif").write_text("<VRTDataset/>")
    write_scene(tmp_path / "in" / "good.tif", ground(20, 20))
    vrt = tmp_path / "in" / "a.vrt"
    for source, options in (
        ("../a.tif", {}), (str(outside), {"relative": 0}), ("link.tif", {}), ("fake.tif", {}), ("good.tif", {
            "relative": 0}), ("/vsicurl/http://localhost/a.tif", {}), ("missing.tif", {}), ("", {}),
        ("good.tif", {"band": ' subClass="VRTDerivedRasterBand"'}),
        ("good.tif", {"extra": "<PixelFunctionCode>import os</PixelFunctionCode>"}),
        ("good.tif", {"extra": "<RawRasterBand/>"}),
    ):  # fmt: skip
        with pytest.raises(InputError) as error:
            describe_file(str(vrt_of(vrt, source, **options)))
        assert error.value.option == "scene", source
    vrt.write_text('<!DOCTYPE x [<!ENTITY a "b">]><VRTDataset>&a;</VRTDataset>')
    with refused(file=vrt, option="scene", says="XML"):
        describe_file(str(vrt))


def test_files_of_other_formats_are_refused_before_a_driver_sees_them(tmp_path: Path) -> None:
    bands = ground(20, 20)
    for name, driver in (("a.png", "PNG"), ("b.tif", "PNG"), ("c.tif", "ENVI")):
        with rasterio.open(tmp_path / name, "w", driver=driver, width=20, height=20, count=3, dtype="uint8") as file:
            file.write(bands)
    (tmp_path / "d.tif").write_bytes(b"II*\0" + b"<VRTDataset>")
    (tmp_path / "e.tif").touch()
    for name in ("a.png", "b.tif", "c.tif", "d.tif", "e.tif", "missing.tif"):
        with pytest.raises(InputError) as error:
            describe_file(str(tmp_path / name))
        assert str(error.value.file) == str(tmp_path / name)


def test_a_palette_and_complex_values_are_refused(tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "p.tif", "w", driver="GTiff", width=9, height=9, count=1, dtype="uint8") as file:
        file.write(ground(9, 9, 1))
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    write_scene(tmp_path / "c.tif", np.ones((3, 9, 9), "complex64"), colours=None)
    for name in ("p.tif", "c.tif"):
        with pytest.raises(InputError) as error:
            describe_file(str(tmp_path / name))
        assert error.value.file == str(tmp_path / name)


def test_a_header_that_declares_a_huge_block_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(90, 90), blockysize=90, compress="deflate", interleave="pixel")
    assert describe_file(str(scene)).block == (90, 90)
    monkeypatch.setattr("amazon_ml.scenes.sources.MOST_BLOCK", 3 * 90 * 90 - 1)
    with pytest.raises(InputError) as error:
        describe_file(str(scene))
    assert error.value.file == str(scene)


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(200, 200), tiled=True, blockxsize=64, blockysize=64)
    scene.write_bytes(scene.read_bytes()[:60_000])
    with pytest.raises(InputError) as error:
        read(mosaic_of(scene))
    assert error.value.file == str(scene)
