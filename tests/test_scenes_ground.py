"""Hectares and metres a pixel of scenes, whatever their projection says: against areas in a projection that is true."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform
from refused import refused
from scene_files import write_scene

import amazon_ml as am
from amazon_ml.scenes.placing import Mosaic, metres_per_unit, pixel_hectares, place_files
from amazon_ml.scenes.sources import describe_file

#: Edge of the scenes in pixels, and metres a pixel by the units of their projection.
EDGE, STEP = 40, 30.0


def placed(folder: Path, crs: str, longitude: float, latitude: float, gsd: float | None = None) -> Mosaic:
    """Place a scene around a place."""
    wkt = rasterio.CRS.from_user_input(crs).to_wkt()
    step = STEP / (metres_per_unit(wkt) if rasterio.CRS.from_wkt(wkt).is_projected else 111_320)
    x, y = (value[0] for value in transform("EPSG:4326", wkt, [longitude], [latitude]))
    corner = from_origin(x - EDGE / 2 * step, y + EDGE / 2 * step, step, step)
    path = write_scene(folder / "a.tif", np.full((3, EDGE, EDGE), 9, "uint8"), crs=wkt, transform=corner)
    return place_files([describe_file(str(path))], gsd)


def true_hectares(mosaic: Mosaic) -> float:
    """Area of the file on the ground, by the corners in an equal-area projection around it."""
    file = mosaic.places[0].file
    a, _, left, _, e, top = file.transform
    x, y = np.array([0, 1, 1, 0]) * EDGE * a + left, np.array([0, 0, 1, 1]) * EDGE * e + top
    (longitude,), (latitude,) = transform(file.crs, "EPSG:4326", [x.mean()], [y.mean()])
    local = f"+proj=laea +lat_0={latitude} +lon_0={longitude} +datum=WGS84"
    x, y = map(np.array, transform(file.crs, local, x, y))
    return float(abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2 / 10_000)


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude"),
    [
        ("EPSG:4087", 10, 60), ("EPSG:32662", 10, 60), ("EPSG:4087", -61, -20), ("EPSG:6933", 10, 60),
        ("EPSG:3857", 10, 60), ("EPSG:3857", 10, 1), ("EPSG:4326", 10, 60), ("EPSG:8857", -61, -3),
        ("EPSG:5641", -50, -3),
    ],
)  # fmt: skip
def test_units_that_are_not_metres_on_the_ground_are_warped_to_the_local_zone(
    tmp_path: Path, crs: str, longitude: float, latitude: float
) -> None:
    mosaic = placed(tmp_path, crs, longitude, latitude)
    zone = (32600 if latitude >= 0 else 32700) + int((longitude + 180) // 6) + 1
    assert rasterio.CRS.from_wkt(mosaic.grid.crs).to_epsg() == zone
    assert any(str(zone) in note for note in mosaic.notes) and not mosaic.places[0].aligned
    hectares = pixel_hectares(mosaic.grid)
    assert hectares is not None and hectares * EDGE**2 == pytest.approx(true_hectares(mosaic), rel=0.005)
    assert placed(tmp_path, crs, longitude, latitude, 40.0).grid.dx == 40.0


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude"),
    [
        ("EPSG:32720", -63, -9), ("EPSG:32632", 5.5, 60), ("EPSG:31982", -51, -15), ("EPSG:2154", 3, 46.5),
        ("EPSG:2154", 9.2, 41.5), ("EPSG:27700", -7.5, 58), ("EPSG:5880", -60, -3), ("EPSG:3035", 10, 52),
        ("EPSG:3035", -16, 28), ("EPSG:3035", 33, 35), ("EPSG:2263", -74, 40.7), ("EPSG:5070", -81, 25.5),
        ("EPSG:4087", -60, -3),
    ],
)  # fmt: skip
def test_metres_and_feet_on_the_ground_are_taken_as_they_are(
    tmp_path: Path, crs: str, longitude: float, latitude: float
) -> None:
    mosaic = placed(tmp_path, crs, longitude, latitude, STEP)
    assert mosaic.grid.crs == mosaic.places[0].file.crs and mosaic.places[0].aligned and not mosaic.notes
    hectares = pixel_hectares(mosaic.grid)
    assert hectares is not None and hectares == pytest.approx(STEP**2 / 10_000)
    assert hectares * EDGE**2 == pytest.approx(true_hectares(mosaic), rel=0.03)


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude", "lengths", "hectares"),
    [
        ("EPSG:3577", 147, -42.9, "3.1%", "0.0%"), ("EPSG:5880", -35, -8, "5.1%", "5.4%"),
        ("EPSG:5880", -66, -10, None, None), ("ESRI:102033", -50, -22, "5.2%", "0.0%"),
        ("EPSG:3347", -80, 43.5, None, None), ("EPSG:3413", -45, 61, None, None), ("EPSG:3031", 0, -65, None, None),
    ],
)  # fmt: skip
def test_national_and_continental_grids_are_kept_at_their_borders_with_a_note(
    tmp_path: Path, crs: str, longitude: float, latitude: float, lengths: str | None, hectares: str | None
) -> None:
    mosaic = placed(tmp_path, crs, longitude, latitude, STEP)
    assert mosaic.grid.crs == mosaic.places[0].file.crs and mosaic.places[0].aligned
    (note,) = mosaic.notes
    known = pixel_hectares(mosaic.grid)
    assert known is not None
    off = abs(known * EDGE**2 / true_hectares(mosaic) - 1)
    assert note.endswith(f" {off:.1%}") and crs in note and (hectares is None or note.endswith(f" {hectares}"))
    assert lengths is None or f" {lengths} " in note


def test_the_poles_have_no_zone(tmp_path: Path) -> None:
    mosaic = placed(tmp_path, "EPSG:3031", 0, -88, STEP)  # 2.8 % off there, and nothing better is at hand
    assert mosaic.grid.crs == mosaic.places[0].file.crs and len(mosaic.notes) == 1
    for crs in ("EPSG:4087", "EPSG:3857"):
        with refused(file="a.tif", option="scene"):
            placed(tmp_path, crs, 10, 84.9)


@pytest.mark.parametrize("projection", ["tmerc +lat_0=0 +lon_0=10", "eqc", "stere +lat_0=90", "merc"])
def test_the_ground_may_be_that_of_another_body(tmp_path: Path, projection: str) -> None:
    crs = rasterio.CRS.from_string(f"+proj={projection} +R=1737400 +units=m").to_wkt()
    scene = write_scene(tmp_path / "a.tif", np.full((3, EDGE, EDGE), 9, "uint8"), crs=crs,
                        transform=from_origin(700_000, 1_000_000, STEP, STEP))  # fmt: skip
    mosaic = place_files([describe_file(str(scene))], STEP)
    assert mosaic.grid.crs == mosaic.places[0].file.crs and mosaic.places[0].aligned and len(mosaic.notes) == 1


def test_an_error_of_the_projection_is_short(tmp_path: Path) -> None:
    moon = rasterio.CRS.from_string("+proj=longlat +R=1737400").to_wkt()
    scene = write_scene(tmp_path / "a.tif", np.full((3, EDGE, EDGE), 9, "uint8"), crs=moon,
                        transform=from_origin(10, 10, 0.001, 0.001))  # fmt: skip
    with refused(file="a.tif", option="scene") as error:
        place_files([describe_file(str(scene))], STEP)
    assert len(error.value.problem) < 300


def test_a_map_of_another_body_is_written_without_longitude_and_latitude(tmp_path: Path, trained: Path) -> None:
    crs = rasterio.CRS.from_string("+proj=eqc +R=1737400 +units=m").to_wkt()
    scene = write_scene(tmp_path / "a.tif", np.full((3, EDGE, EDGE), 9, "uint8"), crs=crs,
                        transform=from_origin(700_000, 1_000_000, STEP, STEP))  # fmt: skip
    tagger = am.Predictor.load(trained / "bundle", device="cpu")
    with refused(option="geojson"):
        tagger.predict_scene(scene, out=tmp_path / "out", geojson=True)
    assert not (tmp_path / "out").exists()
    tagger.predict_scene(scene, out=tmp_path / "out")
    assert {"map.html", "cells.gpkg"} <= {path.name for path in (tmp_path / "out").iterdir()}
