"""Scenes, areas and outputs as nobody should make them: understood, or refused with the option and the file."""

import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform
from refused import refused
from scene_files import LEFT, RGB, RGBA, STEP, TOP, UTM, Pixels, ground, write_scene

import amazon_ml as am
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.decisions.blending import Mixture
from amazon_ml.errors import InputError, WorkError
from amazon_ml.runs.bundle import Blended, Networks
from amazon_ml.scenes.area import shares_inside
from amazon_ml.scenes.cut import cut_scene
from amazon_ml.scenes.formats import _geometry, write_geojson
from amazon_ml.scenes.grid import Grid, place_windows
from amazon_ml.scenes.layer import Column, Layer
from amazon_ml.scenes.placing import place_files
from amazon_ml.scenes.raster import write_raster
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.sources import describe_file, find_files
from amazon_ml.scenes.strips import MosaicReader
from amazon_ml.scenes.tagging import check_memory
from amazon_ml.scenes.values import order_bands
from amazon_ml.scenes.vectors import crs_of

READER = TileReader(("r", "g", "b"))
GRID = Grid(crs_of(32720), LEFT, TOP, STEP, STEP, 96, 64)
SQUARE = [[LEFT + 100, TOP - 100], [LEFT + 500, TOP - 100], [LEFT + 500, TOP - 500], [LEFT + 100, TOP - 500],
          [LEFT + 100, TOP - 100]]  # fmt: skip


@pytest.fixture(scope="module")
def tagger(trained: Path) -> am.Predictor:
    return am.Predictor.load(trained / "bundle", device="cpu")


def polygon(*rings: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def area(path: Path, *geometries: dict[str, Any] | None, code: int = 32720, grid: Grid = GRID) -> Pixels:
    """Shares of cells of 1 pixel inside a GeoJSON of these geometries."""
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    crs = {"type": "name", "properties": {"name": f"EPSG:{code}"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return shares_inside(path, grid, place_windows(grid, 1, 1))


def read(*files: Path, bands: str | None = None, nodata: float | None = None, gsd: float | None = None) -> Any:
    """Read a mosaic: values of shape (bands, height, width), and which pixels have data."""
    described = [describe_file(str(file)) for file in files]
    mosaic = place_files(described, gsd)
    with MosaicReader(mosaic, order_bands(described, READER, bands, nodata)) as reader:
        values, valid = reader.rows(0, mosaic.grid.height)
    return np.stack(list(values.values())), valid


# ---------------------------------------------------------------- areas of interest


@pytest.mark.parametrize("empty", [
    polygon(), polygon([]), polygon([SQUARE[0]] * 4), polygon(SQUARE[:2]), polygon([SQUARE[0], SQUARE[2], SQUARE[0]]),
    {"type": "MultiPolygon", "coordinates": []}, {"type": "GeometryCollection", "geometries": []}, None,
])  # fmt: skip
def test_polygons_without_an_area_are_no_area_of_interest(tmp_path: Path, empty: dict[str, Any] | None) -> None:
    with pytest.raises(InputError) as error:
        area(tmp_path / "a.geojson", empty)
    assert (error.value.option, str(error.value.file)) == ("aoi", str(tmp_path / "a.geojson"))
    assert area(tmp_path / "b.geojson", empty, polygon(SQUARE)).sum() == 40 * 40


def test_lines_and_areas_elsewhere_are_refused(tmp_path: Path) -> None:
    far = [[x + 1e5, y] for x, y in SQUARE]
    for geometry in ({"type": "LineString", "coordinates": SQUARE}, polygon(far)):
        with pytest.raises(InputError) as error:
            area(tmp_path / "a.geojson", geometry)
        assert error.value.option == "aoi"
    with pytest.raises(InputError) as error:
        area(tmp_path / "a.geojson", polygon(SQUARE), code=4326)  # metres taken for degrees
    assert str(error.value.file) == str(tmp_path / "a.geojson")


def test_a_polygon_that_crosses_itself_holds_what_an_odd_number_of_borders_is_around(tmp_path: Path) -> None:
    bow = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]
    assert area(tmp_path / "a.geojson", polygon(bow)).sum() == pytest.approx(40 * 40 / 2, rel=0.1)


def test_the_whole_world_holds_the_scene(tmp_path: Path) -> None:
    world = [[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0], [-180.0, -90.0]]
    assert (area(tmp_path / "a.geojson", polygon(world), code=4326) == 1).all()


def test_long_edges_are_straight_in_their_own_coordinates(tmp_path: Path) -> None:
    x, y = np.meshgrid(LEFT + (np.arange(96) + 0.5) * STEP * 500, TOP - (np.arange(64) + 0.5) * STEP * 500)
    grid = replace(GRID, dx=STEP * 500, dy=STEP * 500)
    longitude, latitude = (np.reshape(axis, x.shape) for axis in transform(UTM, "EPSG:4326", x.ravel(), y.ravel()))
    south, north, west = -11.5, -10.4, -62.0  # a box whose corners lie far outside
    box = [[west, south], [40.0, south], [40.0, north], [west, north], [west, south]]
    inside = (latitude > south) & (latitude < north) & (longitude > west)
    assert 0.2 < inside.mean() < 0.8
    drawn = area(tmp_path / "a.geojson", polygon(box), code=4326, grid=grid)
    assert (drawn.astype(bool) != inside).mean() < 0.002  # at the borders


def test_an_area_across_the_180th_meridian(tmp_path: Path) -> None:
    (left, right), (top, _) = transform("EPSG:4326", "EPSG:32601", [179.999, -179.999], [10.0, 10.0])
    grid = Grid(crs_of(32601), left, top, (right - left) / 40, (right - left) / 40, 40, 40)
    crossing = [[179.999, 10.0], [180.0, 10.0], [180.0, 9.999], [179.999, 9.999], [179.999, 10.0]]
    inside = area(tmp_path / "a.geojson", polygon(crossing), code=4326, grid=grid)
    assert inside[:, :19].mean() > 0.45 and inside[:, 21:].sum() == 0


# ---------------------------------------------------------------- places


def test_files_whose_pixels_have_no_coordinates_are_refused_with_the_right_remedy(tmp_path: Path) -> None:
    points = [GroundControlPoint(0, 0, LEFT, TOP), GroundControlPoint(0, 40, LEFT + 400, TOP),
              GroundControlPoint(40, 0, LEFT, TOP - 400)]  # fmt: skip
    gcps = tmp_path / "gcps.tif"
    with rasterio.open(gcps, "w", driver="GTiff", height=40, width=40, count=3, dtype="uint8") as file:
        file.write(ground(40, 40))
        file.gcps = points, rasterio.CRS.from_string(UTM)
    nowhere = write_scene(tmp_path / "nowhere.tif", ground(40, 40), transform=Affine.identity())
    for path, hint in ((gcps, "gcps"), (nowhere, "crs")):
        described = describe_file(str(path))
        assert (described.crs, described.hint) == ("", hint)
        with pytest.raises(InputError) as error:
            place_files([described], None)
        assert str(error.value.file) == str(path) and "-a_srs" not in str(error.value.remedy)
        assert place_files([described], None, pixel_coordinates=True).grid.crs == ""


@pytest.mark.parametrize("crs", ["EPSG:4978", 'LOCAL_CS["x",UNIT["metre",1]]'])
def test_coordinates_that_are_no_map_are_refused(tmp_path: Path, crs: str) -> None:
    with pytest.raises(InputError) as error:
        place_files([describe_file(str(write_scene(tmp_path / "a.tif", ground(20, 20), crs=crs)))], None)
    assert str(error.value.file) == str(tmp_path / "a.tif")


def test_memory_is_counted_for_levels_of_two_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 rows of 96 pixels of 3 bands: values twice, 4 bytes on the way, and levels three times."""
    files = [describe_file(str(write_scene(tmp_path / "a.tif", ground(64, 96))))]
    mosaic, needed = place_files(files, None), order_bands(files, READER, None, None)
    windows = place_windows(mosaic.grid, 32, 32)
    monkeypatch.setattr("amazon_ml.scenes.tagging._MOST", 32 * 96 * 3 * (2 + 4 + 3 * 2) - 1)
    check_memory(mosaic, windows, needed, "uint8")
    with pytest.raises(InputError) as error:
        check_memory(mosaic, windows, needed, "uint16")
    assert error.value.option == "scene"


def test_a_scene_smaller_than_a_pixel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        place_files([describe_file(str(write_scene(tmp_path / "a.tif", ground(20, 20))))], 1e6)
    assert error.value.option == "gsd"


def test_cells_across_the_180th_meridian_are_two_polygons(tmp_path: Path) -> None:
    (left,), (top,) = transform("EPSG:4326", "EPSG:32601", [179.999], [10.0])
    bounds = np.array([[left, top - 300, left + 300, top], [left + 5000, top - 300, left + 5300, top]])
    write_geojson(tmp_path / "a.geojson", Layer("cells", crs_of(32601), bounds, (Column("row", np.arange(2)),)))
    crossing, plain = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert plain["geometry"]["type"] == "Polygon" and crossing["geometry"]["type"] == "MultiPolygon"
    sums = []
    for (ring,) in crossing["geometry"]["coordinates"]:
        x, y = np.array(ring).T
        assert ring[0] == ring[-1] and np.ptp(x) < 0.01
        sums.append((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)  # positive: counter-clockwise
        assert abs(x).min() >= 179.99 and abs(x).max() == 180
    whole = 300 * 300 / (111_320**2 * np.cos(np.radians(10)))
    assert min(sums) > 0 and sum(sums) == pytest.approx(whole, rel=0.01)


def test_cells_that_touch_the_180th_meridian_are_one_polygon(tmp_path: Path) -> None:
    """Corners on the meridian are at 180 or -180 degrees."""
    bounds = np.array([[179.99, 0, 180, 0.01], [-180, 0, -179.99, 0.01], [180, 0, 180.01, 0.01]])
    write_geojson(tmp_path / "a.geojson", Layer("cells", crs_of(4326), bounds, (Column("row", np.arange(3)),)))
    for feature in json.loads((tmp_path / "a.geojson").read_text())["features"]:
        assert feature["geometry"]["type"] == "Polygon"
    for ring in (
        [[179.99, 0.0], [-180.0, 0.0], [-180.0, 0.01], [179.99, 0.01], [179.99, 0.0]],
        [[180.0, 0.0], [-179.99, 0.0], [-179.99, 0.01], [180.0, 0.01], [180.0, 0.0]],
    ):
        geometry = _geometry(ring)
        assert geometry["type"] == "Polygon"
        (corners,) = np.array(geometry["coordinates"])
        x, y = corners.T
        assert np.ptp(x) == pytest.approx(0.01) and (corners[0] == corners[-1]).all()
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2 == pytest.approx(0.01**2)


# ---------------------------------------------------------------- files of a mosaic


def test_files_of_one_name_in_two_folders_and_other_orders_of_bands_are_one_scene(tmp_path: Path) -> None:
    bands = ground(30, 40)
    one = write_scene(tmp_path / "1" / "a.tif", bands[:, :, :15], colours=None, names=("r", "g", "b"))
    two = write_scene(tmp_path / "2" / "a.tif", bands[::-1, :, 15:], column=15, colours=None, names=("b", "g", "r"))
    (tmp_path / "folder.tif").mkdir()  # no file
    assert find_files([tmp_path]) == [str(one), str(two)]
    values, valid = read(*map(Path, find_files([tmp_path])))
    assert valid.all() and np.array_equal(values, bands)


def test_a_file_of_another_resolution_fills_what_the_first_lacks(tmp_path: Path) -> None:
    first = np.full((3, 40, 40), 50, "uint8")
    first[:, :, 30:] = 0
    fine = write_scene(tmp_path / "a.tif", first, nodata=0)
    coarse = write_scene(tmp_path / "b.tif", np.full((3, 20, 20), 200, "uint8"),
                         transform=from_origin(LEFT + 200, TOP, 2 * STEP, 2 * STEP))  # fmt: skip
    values, valid = read(fine, coarse)
    assert valid[:, :58].all()
    assert (values[:, :, :30] == 50).all() and (values[:, :38, 31:58] == 200).all()


@pytest.mark.parametrize("value", [-9999, 0.5, 300, -1, float("nan")])
def test_a_value_without_data_that_no_pixel_can_have_is_refused(tmp_path: Path, value: float) -> None:
    scene = write_scene(tmp_path / "a.tif", np.concatenate([np.full((3, 10, 20), 255, "uint8"), ground(3, 20)[:, :3]],
                                                           axis=1))  # fmt: skip
    with pytest.raises(InputError) as error:
        read(scene, nodata=value)
    assert (error.value.option, str(error.value.file)) == ("nodata", str(scene))


def test_negative_values_are_values(tmp_path: Path) -> None:
    bands = ground(20, 20, dtype="int16", top=4000) - 500
    bands[:, :5] = -9999
    values, valid = read(write_scene(tmp_path / "a.tif", bands.astype("int16"), nodata=-9999))
    assert np.array_equal(values[:, 5:], bands[:, 5:]) and valid[5:].all() and not valid[:5].any()


@pytest.mark.parametrize("gsd", [None, 20.0])
def test_a_band_of_data_with_the_colour_of_transparency_is_warped_like_any_other(
    tmp_path: Path, gsd: float | None
) -> None:
    bands = ground(40, 60, count=4)
    bands[:, 10:20, 10:20] = 0
    coloured = write_scene(tmp_path / "a.tif", bands, colours=RGBA)
    plain = write_scene(tmp_path / "b.tif", bands, photometric="MINISBLACK")
    values, valid = read(coloured, bands="bgrn", nodata=0, gsd=gsd)
    others, there = read(plain, bands="bgrn", nodata=0, gsd=gsd)
    assert np.array_equal(values, others) and np.array_equal(valid, there) and (~valid).sum() > 0


# ---------------------------------------------------------------- blends


def blend_of(tagger: am.Predictor, *members: Networks) -> am.Predictor:
    weights = (1 / len(members),) * len(members)
    blended = Blended(Path("blend"), members, tagger.tags, Mixture(weights))
    return am.Predictor(replace(tagger.bundle, networks=blended), device="cpu")


def test_members_of_a_blend_that_read_smaller_tiles_get_the_windows_scaled(
    tmp_path: Path, tagger: am.Predictor
) -> None:
    network = tagger.bundle.networks
    assert isinstance(network, Networks)
    large = replace(network, gsd=10.0)
    small = replace(network, size=16, gsd=20.0)
    bands = ground(64, 32)
    result = blend_of(tagger, small, large).predict_scene(write_scene(tmp_path / "a.tif", bands))
    assert result.windows.size == 32
    tiles = np.moveaxis(np.stack([bands[:, :32], bands[:, 32:]]), 1, -1)
    alone = am.Predictor(replace(tagger.bundle, networks=small), device="cpu")
    expected = (tagger.predict_proba(tiles) + alone.predict_proba(tiles, scale=True)) / 2
    assert np.abs(result.p[:, 0] - expected).max() <= 1e-6
    for wrong in (replace(small, gsd=25.0), replace(large, gsd=None), replace(small, read=TileReader(("r", "g", "n")))):
        with pytest.raises(InputError) as error:
            blend_of(tagger, large, wrong).predict_scene(tmp_path / "a.tif")
        assert error.value.option == "run"


# ---------------------------------------------------------------- outputs


def test_results_do_not_lie_in_a_folder_of_the_scene_or_replace_what_is_read(
    tmp_path: Path, tagger: am.Predictor
) -> None:
    scene = write_scene(tmp_path / "in" / "a.tif", ground(40, 40))
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder, name in (("in", "in/map"), ("in", "in"), ("link", "in/map"), ("in", "link/map")):
        with pytest.raises(InputError) as error:
            tagger.predict_scene(tmp_path / folder, tmp_path / name)
        assert error.value.option == "out" and not (tmp_path / name / "scene.json").exists()
    with refused(option="out", says=[tmp_path / "in" / "tiles", tmp_path / "in"]):
        cut_scene([str(tmp_path / "in")], labels=tmp_path / "a.geojson", out=tmp_path / "in" / "tiles")
    out = tmp_path / "in" / "map"
    tagger.predict_scene(scene, out)  # beside a file that is named
    before = (out / "cells.gpkg").read_bytes()
    named: tuple[dict[str, Any], ...] = {"aoi": str(out / "cells.gpkg")}, {"like": str(out)}
    for option in named:
        with pytest.raises(InputError) as error:
            tagger.predict_scene(scene, out, overwrite=True, **option)
        assert error.value.option == "out"
    assert (out / "cells.gpkg").read_bytes() == before


@pytest.mark.parametrize("at", [0, 3, 6])
def test_a_call_that_was_killed_between_two_outputs_goes_on(
    tmp_path: Path, tagger: am.Predictor, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    scene, out = write_scene(tmp_path / "a.tif", ground(40, 70)), tmp_path / "out"
    tagger.predict_scene(scene, out, valid=0.9)
    monkeypatch.setattr("amazon_ml.scenes.geopackage.datetime", _Still)
    tagger.predict_scene(scene, tmp_path / "whole", stride=16)
    written: list[Path] = []
    replaced = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.parent == out and len(written) == at:
            raise KeyboardInterrupt
        written.extend([target] if target.parent == out else [])
        return replaced(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            tagger.predict_scene(scene, out, stride=16, overwrite=True)
    assert not (out / "scene.json").exists() and len(written) == at
    tagger.predict_scene(scene, out, stride=16)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes(), path.name


class _Still:
    """A clock that stands still."""

    @staticmethod
    def now(_: object) -> Any:
        from datetime import datetime

        return datetime(2026, 1, 1)


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Have files end after some bytes, as on a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.mark.parametrize("room", [600, 20_000, 60_000])
def test_a_full_disk_is_said_and_the_same_call_goes_on(tmp_path: Path, tagger: am.Predictor, room: int) -> None:
    scene, out = write_scene(tmp_path / "a.tif", ground(40, 70)), tmp_path / "out"
    with full_disk(room), pytest.raises(WorkError):
        tagger.predict_scene(scene, out)
    assert not (out / "scene.json").exists()
    assert all(path.name in ("parts", "cells.parquet") or path.stat().st_size < room for path in out.iterdir())
    assert tagger.predict_scene(scene, out).known.all()


@pytest.mark.parametrize("room", [0, 200, 500])
def test_a_small_raster_on_a_full_disk_is_an_error(tmp_path: Path, room: int) -> None:
    """GDAL writes it when it is closed, and rasterio reports no error there."""
    windows = place_windows(GRID, 32, 32)
    p, ones = np.zeros((2, 3, 2), "float32"), np.ones((2, 3), "float32")
    result = SceneResult(GRID, windows, ("a", "b"), p, np.zeros((2, 3, 2), "uint8"), ones, ones)
    with full_disk(room), pytest.raises(OSError):
        write_raster(tmp_path / "p.tif", result)
    scene = write_scene(tmp_path / "a.tif", np.full((3, 64, 96), 7, "uint8"), colours=RGB)
    points = [[LEFT + 100 * at, TOP - 100.0] for at in range(1, 9)]
    features = [{"type": "Feature", "properties": {"tags": "water"}, "geometry": {"type": "Point", "coordinates": at}}
                for at in points]  # fmt: skip
    crs = {"type": "name", "properties": {"name": UTM}}
    (tmp_path / "l.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    from amazon_ml.scenes.config import CutConfig

    with full_disk(min(room, 300)), pytest.raises(WorkError):
        cut_scene([str(scene)], labels=tmp_path / "l.geojson", out=tmp_path / "cut", how=CutConfig(size=16, block=1))
