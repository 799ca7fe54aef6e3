"""The painted scenes and their truth; points and polygons of other programs."""

import json
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.warp import transform

from amazon_ml.cli.main import main
from amazon_ml.data.demo.demo import draw_tile
from amazon_ml.errors import InputError
from amazon_ml.scenes.demo import write_scenes
from amazon_ml.scenes.vectors import crs_of, read_features


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("painted") / "scenes"
    assert main(["scene", "demo", str(folder), "--rows", "4", "--columns", "6", "--size", "32"]) == 0
    return folder


def test_each_cell_is_a_tile_with_the_tags_of_the_truth(painted: Path) -> None:
    truth = pd.read_csv(painted / "truth.csv")
    assert len(truth) == 24 and (truth["before"] != truth["after"]).any()
    for name in ("before", "after"):
        with rasterio.open(painted / f"{name}.tif") as scene:
            pixels = np.moveaxis(scene.read(), 0, -1)
            assert scene.crs.to_epsg() == 32720 and scene.res == (24.0, 24.0)
            centre = scene.xy(2 * 32 + 15.5, 3 * 32 + 15.5)
        at = 2 * 6 + 3
        assert (truth["x"][at], truth["y"][at]) == pytest.approx(centre)
        expected = draw_tile(truth[name][at].split(), 32, np.random.default_rng([0, 1, at]))
        assert np.array_equal(pixels[64:96, 96:128], expected)


def test_cells_that_did_not_change_look_the_same_and_later_tags_are_added(painted: Path) -> None:
    truth = pd.read_csv(painted / "truth.csv")
    pixels = []
    for name in ("before", "after"):
        with rasterio.open(painted / f"{name}.tif") as scene:
            pixels.append(scene.read())
    same = (pixels[0] == pixels[1]).reshape(3, 4, 32, 6, 32).all(axis=(0, 2, 4)).ravel()
    assert same.tolist() == (truth["before"] == truth["after"]).tolist()
    pairs = zip(truth["before"].tolist(), truth["after"].tolist(), strict=True)
    assert all(set(before.split()) <= set(after.split()) for before, after in pairs)


def test_labels_are_polygons_of_the_cells(painted: Path) -> None:
    truth = pd.read_csv(painted / "truth.csv")
    features = read_features(painted / "after.geojson", "labels").projected(crs_of(32720)).features
    assert [one.properties["tags"] for one in features] == truth["after"].tolist()
    ring = features[7].polygons[0][0]
    assert ring[:-1].mean(axis=0).tolist() == pytest.approx([truth["x"][7], truth["y"][7]], abs=0.01)


def test_existing_scenes_stay_unless_they_may_be_replaced(painted: Path) -> None:
    before = (painted / "before.tif").read_bytes()
    with pytest.raises(InputError) as error:
        write_scenes(painted, rows=4, columns=6, size=32)
    assert error.value.option == "folder"
    write_scenes(painted, rows=4, columns=6, size=32, overwrite=True)
    assert (painted / "before.tif").read_bytes() == before


@pytest.mark.parametrize("option", ["rows", "columns", "size", "seed"])
def test_numbers_out_of_range_are_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(InputError) as error:
        write_scenes(tmp_path / "a", **{option: -1})  # type: ignore[arg-type]
    assert error.value.option == option and not (tmp_path / "a").exists()


# ---------------------------------------------------------------- points and polygons


def test_a_geojson_with_another_crs_holes_and_several_parts(tmp_path: Path) -> None:
    square = [[[0, 0], [9, 0], [9, 9], [0, 0]], [[1, 1], [2, 1], [2, 2], [1, 1]]]
    content = {
        "type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32720"}},
        "features": [
            {"type": "Feature", "properties": {"tags": "a b", "n": 3, "none": None},
             "geometry": {"type": "MultiPolygon", "coordinates": [square, square]}},
            {"type": "Feature", "properties": None, "geometry": {"type": "Point", "coordinates": [5, 6, 7]}},
            {"type": "Feature", "properties": {}, "geometry": None},
        ],
    }  # fmt: skip
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    found = read_features(tmp_path / "a.geojson", "labels")
    first, second = found.features
    assert dict(first.properties) == {"tags": "a b", "n": "3"}
    assert [len(polygon) for polygon in first.polygons] == [2, 2]
    assert second.points.tolist() == [[5, 6]]
    moved = found.projected(crs_of(4326)).features[1].points[0]
    expected = transform("EPSG:32720", "EPSG:4326", [5], [6])
    assert moved.tolist() == pytest.approx([expected[0][0], expected[1][0]])


def test_a_geopackage_with_heights_and_many_points(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.gpkg"
    polygon = struct.pack(">BIII12d", 0, 1003, 1, 4, 0, 0, 7, 4, 0, 7, 4, 4, 7, 0, 0, 7)  # with a height of 7
    points = struct.pack("<BII", 1, 4, 2) + b"".join(struct.pack("<BI2d", 1, 1, x, 8) for x in (1, 2))
    header = struct.pack("<2sBBi", b"GP", 0, 1, 4326)
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE gpkg_spatial_ref_sys (srs_id, organization, organization_coordsys_id, definition)")
        base.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (4326, 'EPSG', 4326, '')")
        base.execute("CREATE TABLE gpkg_geometry_columns (table_name, column_name, srs_id)")
        base.execute("INSERT INTO gpkg_geometry_columns VALUES ('my \"table\"', 'shape', 4326)")
        base.execute('CREATE TABLE "my ""table""" (shape, tags)')
        rows = [(header + polygon, "a"), (None, "b"), (header + points, None)]
        base.executemany('INSERT INTO "my ""table""" VALUES (?, ?)', rows)
    first, second = read_features(path, "labels").features
    assert (first.number, second.number) == (1, 3) and ["feature 2" in text for text in caplog.messages] == [True]
    assert first.polygons[0][0].tolist() == [[0, 0], [4, 0], [4, 4], [0, 0]] and first.properties["tags"] == "a"
    assert second.points.tolist() == [[1, 8], [2, 8]] and not second.properties


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.geojson", b""), ("a.geojson", b"[]"), ("a.geojson", b'{"type": "FeatureCollection", "features": []}'),
        ("a.geojson", b'{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}'),
        ("a.geojson", b'{"type": "Point", "coordinates": ["x", 1]}'),
        ("a.geojson", b'{"type": "Point", "coordinates": [1e999, 1]}'),
        ("a.geojson", b'{"type": "Polygon", "coordinates": [[[1]]]}'),
        ("a.gpkg", b"no database"), ("a.gpkg", b""), ("a.shp", b"x"),
    ],
)  # fmt: skip
def test_files_that_hold_no_points_or_polygons_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_features(tmp_path / name, "aoi")
    assert str(error.value.file) == str(tmp_path / name)
