"""Tagging of scenes: the probabilities of `Predictor` on the same pixels, outputs read back, and calls that go on."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import rasterio
from rasterio.merge import merge
from rasterio.warp import transform
from refused import refused
from scene_files import LEFT, RGBA, STEP, TOP, Pixels, ground, quarters, write_scene

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.data.readers.bands import Expected
from amazon_ml.errors import InputError
from amazon_ml.runs.bundle import Networks
from amazon_ml.scenes.predict import predict_scene
from amazon_ml.scenes.vectors import read_geometry

SIZE = 32


@pytest.fixture(scope="module")
def tagger(trained: Path) -> am.Predictor:
    return am.Predictor.load(trained / "bundle", device="cpu")


def tiles_at(bands: Pixels, rows: list[int], columns: list[int]) -> npt.NDArray[np.uint8]:
    """Cut windows out of bands of shape (count, height, width), row by row."""
    tiles = [bands[:, top : top + SIZE, left : left + SIZE] for top in rows for left in columns]
    return np.ascontiguousarray(np.moveaxis(np.stack(tiles), 1, -1))


# ---------------------------------------------------------------- probabilities


@pytest.mark.parametrize("stride", [32, 16])
def test_each_cell_has_the_probabilities_of_its_window(tmp_path: Path, tagger: am.Predictor, stride: int) -> None:
    bands = ground(70, 100)
    result = tagger.predict_scene(write_scene(tmp_path / "a.tif", bands), stride=stride)
    rows, columns = ([0, 32, 38], [0, 32, 64, 68]) if stride == 32 else ([0, 16, 32, 38], [0, 16, 32, 48, 64, 68])
    expected = tagger.predict_proba(tiles_at(bands, rows, columns))
    assert result.p.shape == (len(rows), len(columns), len(tagger.tags))
    assert np.abs(result.p.reshape(expected.shape) - expected).max() <= 1e-6
    assert np.array_equal(result.predicted.reshape(expected.shape), tagger.rule.predict(expected))
    assert (result.valid == 1).all() and result.known.all()


def test_a_mosaic_gives_what_the_merged_file_gives_byte_for_byte(tmp_path: Path, tagger: am.Predictor) -> None:
    bands = ground(80, 100)
    bands[:, 10:50, 20:60] = 0
    parts = quarters(tmp_path / "parts", bands, 37, 45, nodata=0)
    whole = write_scene(tmp_path / "whole.tif", merge(parts)[0], nodata=0)
    one = tagger.predict_scene(whole, tmp_path / "one", stride=16)
    four = tagger.predict_scene(tmp_path / "parts", tmp_path / "four", stride=16)
    assert one.p.tobytes() == four.p.tobytes() and one.valid.tobytes() == four.valid.tobytes()
    for name in ("probabilities.tif", "cells.parquet", "summary.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "four" / name).read_bytes()


def test_pixels_without_data_are_the_mean_of_the_others_and_few_of_them_give_no_tags(
    tmp_path: Path, tagger: am.Predictor
) -> None:
    bands = ground(32, 96)
    shown = np.full((1, 32, 96), 255, dtype="uint8")
    shown[:, :, 20:32] = 0  # 37 % of the first window
    shown[:, :20, 32:64] = 0  # 62 % of the second
    scene = write_scene(tmp_path / "a.tif", np.concatenate([bands, shown]), colours=RGBA)
    result = tagger.predict_scene(scene)
    assert result.valid.tolist() == [pytest.approx([20 / 32, 12 / 32, 1.0])]
    assert result.known.tolist() == [[True, False, True]]
    tile = tiles_at(bands, [0], [0])[0]
    tile[:, 20:] = np.rint(tile[:, :20].reshape(-1, 3).mean(axis=0))
    assert np.abs(result.p[0, 0] - tagger.predict_proba(tile[None])[0]).max() <= 1e-6
    assert np.isnan(result.p[0, 1]).all() and not result.predicted[0, 1].any()
    assert tagger.predict_scene(scene, valid=0.3).known.all()


def test_a_scene_without_any_data_has_no_tags_and_no_area(tmp_path: Path, tagger: am.Predictor) -> None:
    scene = write_scene(tmp_path / "a.tif", np.zeros((3, 40, 40), "uint8"), nodata=0)
    result = tagger.predict_scene(scene, tmp_path / "out", valid=0)
    assert not result.known.any() and len(result.table()) == 4
    assert pd.read_csv(tmp_path / "out" / "summary.csv")["cells"].tolist() == [0] * len(tagger.tags)


@pytest.mark.parametrize(("height", "width"), [(1, 50), (20, 9), (1, 1), (40, 31)])
def test_a_scene_smaller_than_a_window_is_reflected_and_that_is_said(
    tmp_path: Path, tagger: am.Predictor, height: int, width: int
) -> None:
    bands = ground(height, width)
    result = tagger.predict_scene(write_scene(tmp_path / "a.tif", bands))
    pads = [(0, 0), (0, max(0, SIZE - height)), (0, max(0, SIZE - width))]
    padded = np.pad(bands, pads, mode="reflect")
    starts = [sorted({0, max(0, length - SIZE)}) for length in (height, width)]
    expected = tagger.predict_proba(tiles_at(padded, *starts))
    assert np.abs(result.p.reshape(expected.shape) - expected).max() <= 1e-6
    assert any("reflection" in note for note in result.notes)


def test_a_scene_without_georeference_is_mapped_in_pixels_on_request(tmp_path: Path, tagger: am.Predictor) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(40, 64), crs=None)
    with refused(file=scene, option="scene", says="`pixel_coordinates`"):
        tagger.predict_scene(scene)
    result = tagger.predict_scene(scene, tmp_path / "out", pixel_coordinates=True)
    assert result.layer().bounds[3].tolist() == [32.0, -40.0, 64.0, -20.0]
    assert result.summary()["hectares"].isna().all() and result.summary()["share"].notna().all()
    with pytest.raises(InputError) as error:
        tagger.predict_scene(scene, tmp_path / "other", pixel_coordinates=True, geojson=True)
    assert error.value.option == "geojson"


# ---------------------------------------------------------------- values


def test_16_bit_values_are_refused_unless_the_scene_gives_the_limits(tmp_path: Path, tagger: am.Predictor) -> None:
    bands = ground(64, 64, dtype="uint16", top=4000)
    scene = write_scene(tmp_path / "a.tif", bands)
    with pytest.raises(InputError) as error:
        tagger.predict_scene(scene)
    assert (error.value.option, error.value.file) == ("limits", str(scene))
    result = tagger.predict_scene(scene, limits="scene")
    assert any("percentiles" in note for note in result.notes)
    rows = np.unique(np.linspace(0, 63, 32).round().astype(int))
    low, high = np.percentile(bands[:, rows].reshape(3, -1), [1, 99], axis=1)
    scaled = np.clip(np.rint((bands.T - low) * 255 / (high - low)), 0, 255).astype("uint8").T
    expected = tagger.predict_proba(tiles_at(scaled, [0, 32], [0, 32]))
    assert np.abs(result.p.reshape(expected.shape) - expected).max() < 0.02  # values at .5 may round otherwise


def test_16_bit_values_are_scaled_by_the_limits_of_the_bundle(
    tmp_path: Path, tagger: am.Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = ground(32, 64, dtype="uint16", top=4000)
    scene = write_scene(tmp_path / "a.tif", bands)
    networks = tagger.bundle.networks
    assert isinstance(networks, Networks)
    read = replace(
        networks.read, rgb_source="tif", limits=dict.fromkeys("rgb", (200.0, 3000.0)), expected=Expected(tif="uint16")
    )
    monkeypatch.setattr(tagger, "_bundle", replace(
        tagger.bundle, networks=replace(networks, read=read)))  # fmt: skip
    result = predict_scene(tagger, scene)
    scaled = np.clip(np.rint((bands.astype("float32") - 200) * np.float32(255 / 2800)), 0, 255).astype("uint8")
    expected = tagger.predict_proba(tiles_at(scaled, [0], [0, 32]))
    assert np.abs(result.p.reshape(expected.shape) - expected).max() <= 1e-6
    with pytest.raises(InputError) as error:
        predict_scene(tagger, write_scene(tmp_path / "b.tif", ground(32, 32)))
    assert error.value.option == "limits"
    assert not any("beyond the limits" in note for note in result.notes)
    bright = write_scene(tmp_path / "c.tif", ground(32, 32, dtype="uint16", top=30_000))
    assert any("beyond the limits" in note for note in predict_scene(tagger, bright).notes)


def test_black_that_no_file_declares_is_reported(tmp_path: Path, tagger: am.Predictor) -> None:
    bands = ground(32, 64)
    bands[:, :, :10] = 0
    scene = write_scene(tmp_path / "a.tif", bands)
    assert any("`nodata`" in note for note in tagger.predict_scene(scene).notes)
    declared = tagger.predict_scene(scene, nodata=0)
    assert not any("`nodata`" in note for note in declared.notes)
    assert declared.valid[0, 0] == pytest.approx(22 / 32)


# ---------------------------------------------------------------- outputs


@pytest.fixture(scope="module")
def mapped(tagger: am.Predictor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Tag a scene with a hole, with all outputs."""
    folder = tmp_path_factory.mktemp("mapped")
    bands = ground(100, 130)
    bands[:, :40, :40] = 0
    scene = write_scene(folder / "scene.tif", bands, nodata=0)
    return folder / "out", tagger.predict_scene(scene, folder / "out", geojson=True)


def test_the_geopackage_holds_each_cell_with_its_corners(mapped: tuple[Path, Any]) -> None:
    out, result = mapped
    with sqlite3.connect(out / "cells.gpkg") as base:
        assert base.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert base.execute("SELECT srs_id FROM gpkg_geometry_columns").fetchone() == (32720,)
        bounds = base.execute("SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = 'cells'")
        assert bounds.fetchone() == (LEFT, TOP - 1000, LEFT + 1300, TOP)
        cells = pd.read_sql('SELECT * FROM cells ORDER BY "row", "column"', base)
        index = base.execute("SELECT minx, maxy FROM rtree_cells_geom WHERE id = 1").fetchone()
        # QGIS asks for the styles of a table so, and takes the first default.
        asked = "f_table_schema = '' AND f_table_name = 'cells' AND f_geometry_column = 'geom'"
        styles = base.execute(f"SELECT styleName, styleQML, useAsDefault FROM layer_styles WHERE {asked}").fetchall()
    assert index == (LEFT, TOP)
    assert len(cells) == 4 * 5
    x, y = [0, 32, 64, 96, 113, 130], [0, 32, 64, 82, 100]  # the last windows begin at 98 and at 68
    for row, column, blob in zip(cells["row"].tolist(), cells["column"].tolist(), cells["geom"].tolist(), strict=True):
        _, polygons = read_geometry(blob)
        (ring,) = polygons[0]
        assert ring.min(axis=0).tolist() == [LEFT + x[column] * STEP, TOP - y[row + 1] * STEP]
        assert ring.max(axis=0).tolist() == [LEFT + x[column + 1] * STEP, TOP - y[row] * STEP]
    p = cells[[f"p_{tag}" for tag in result.tags]].to_numpy(dtype=float).reshape(result.p.shape)
    assert np.array_equal(p, result.p, equal_nan=True)
    assert cells["tags"].isna().tolist() == (~result.known).ravel().tolist() and not result.known.all()
    assert sorted(name for name, _, _ in styles) == sorted(result.tags)
    assert [default for *_, default in styles] == [1] + [0] * (len(styles) - 1)
    for tag, style, _ in styles:
        root = ElementTree.fromstring(style)
        renderer = root.find("renderer-v2")
        assert renderer is not None and renderer.get("attr") == f'"p_{tag}"'
        assert root.findtext("layerGeometryType") == "2"  # polygons
        # As QGIS reads it: each range takes the symbol of that name, and the ranges cover 0 to 1 without a gap.
        parts = list(renderer.iter("range"))
        ranges = [(float(one.get("lower", "")), float(one.get("upper", "")), one.get("symbol")) for one in parts]
        assert [low for low, _, _ in ranges] == [0.0, *(high for _, high, _ in ranges[:-1])] and ranges[-1][1] == 1
        symbols = renderer.findall("symbols/symbol[@type='fill']/layer[@class='SimpleFill']/..")
        assert [symbol.get("name") for symbol in symbols] == [name for *_, name in ranges]
        for symbol in symbols:
            given = {one.get("name"): one.get("value", "") for one in symbol.iterfind("layer/Option/Option")}
            assert len(given["color"].split(",")) == 4 and given["style"] == given["outline_style"] == "solid"


def test_the_raster_has_a_band_for_each_tag_and_a_pixel_for_each_window(mapped: tuple[Path, Any]) -> None:
    out, result = mapped
    with rasterio.open(out / "probabilities.tif") as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.descriptions == result.tags and np.isnan(raster.nodata)
        assert raster.crs.to_epsg() == 32720
        assert raster.transform @ (0, 0) == (LEFT, TOP) and raster.transform @ (1, 1) == (LEFT + 320, TOP - 320)
        assert np.array_equal(np.moveaxis(raster.read(), 0, -1), result.p, equal_nan=True)


def test_the_raster_of_many_windows_has_overviews(tmp_path: Path, tagger: am.Predictor) -> None:
    from amazon_ml.scenes.grid import Grid, place_windows
    from amazon_ml.scenes.raster import write_raster
    from amazon_ml.scenes.result import SceneResult

    grid = Grid(rasterio.CRS.from_epsg(32720).to_wkt(), LEFT, TOP, STEP, STEP, 300, 300)
    windows = place_windows(grid, 1, 1)
    p = np.random.default_rng(0).random((300, 300, 2)).astype("float32")
    ones = np.ones((300, 300), "float32")
    write_raster(tmp_path / "p.tif", SceneResult(grid, windows, ("a", "b"), p, (p > 0.5).astype("uint8"), ones, ones))
    with rasterio.open(tmp_path / "p.tif") as raster:
        assert raster.overviews(1) == [2, 4] and raster.descriptions == ("a", "b")
        assert np.array_equal(raster.read(1), p[..., 0])


def test_the_geoparquet_holds_the_same_cells(mapped: tuple[Path, Any]) -> None:
    out, result = mapped
    table = pq.read_table(out / "cells.parquet")
    about = json.loads(table.schema.metadata[b"geo"])
    column = about["columns"]["geometry"]
    assert (about["primary_column"], column["encoding"], column["geometry_types"]) == ("geometry", "WKB", ["Polygon"])
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32720}
    assert column["bbox"] == [LEFT, TOP - 1000, LEFT + 1300, TOP]
    cells = table.to_pandas()
    with sqlite3.connect(out / "cells.gpkg") as base:
        blobs = [blob for (blob,) in base.execute("SELECT geom FROM cells ORDER BY fid")]
    assert [blob[40:] for blob in blobs] == cells["geometry"].tolist()
    p = cells[[f"p_{tag}" for tag in result.tags]].to_numpy(dtype=float).reshape(result.p.shape)
    assert np.array_equal(p, result.p, equal_nan=True)


def test_the_geojson_is_in_longitude_and_latitude(mapped: tuple[Path, Any]) -> None:
    out, result = mapped
    features = json.loads((out / "cells.geojson").read_text())["features"]
    assert len(features) == result.p[..., 0].size
    ring = np.array(features[0]["geometry"]["coordinates"][0])
    x, y = transform("EPSG:4326", "EPSG:32720", ring[:, 0], ring[:, 1])
    assert np.abs(np.array(x) - [LEFT, LEFT + 320, LEFT + 320, LEFT, LEFT]).max() < 0.02
    assert np.abs(np.array(y) - [TOP - 320, TOP - 320, TOP, TOP, TOP - 320]).max() < 0.02
    assert features[0]["properties"]["tags"] is None and features[-1]["properties"]["valid"] == 1


def test_areas_are_sums_over_cells_with_their_interval(mapped: tuple[Path, Any]) -> None:
    out, result = mapped
    summary = pd.read_csv(out / "summary.csv").set_index("tag")
    cells = [
        {**row, "tags": None if row["tags"] != row["tags"] else row["tags"]}
        for row in result.table().to_dict("records")
    ]
    for tag in result.tags:
        area = variance = tagged = whole = 0.0
        for cell, (left, bottom, right, top) in zip(cells, result.layer().bounds.tolist(), strict=True):
            if cell["tags"] is not None:
                hectares = (right - left) * (top - bottom) / 10_000 * cell["valid"]
                area += hectares * cell[tag]
                variance += hectares**2 * cell[tag] * (1 - cell[tag])
                tagged += hectares * (tag in cell["tags"].split())
                whole += hectares
        row = summary.loc[tag]
        assert row["hectares"] == pytest.approx(area, abs=1e-3)
        assert row["low"] == pytest.approx(max(0, area - 1.96 * variance**0.5), abs=1e-2)
        assert row["high"] == pytest.approx(min(whole, area + 1.96 * variance**0.5), abs=1e-2)
        assert row["tagged_hectares"] == pytest.approx(tagged, abs=1e-3)
        assert row["hectares_with_data"] == pytest.approx(whole, abs=1e-3)


def test_only_cells_of_the_area_of_interest_are_tagged(tmp_path: Path, tagger: am.Predictor) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(64, 96))
    x, y = [LEFT + 400, LEFT + 640, LEFT + 640, LEFT + 400, LEFT + 400], [TOP, TOP, TOP - 160, TOP - 160, TOP]
    longitude, latitude = transform("EPSG:32720", "EPSG:4326", x, y)
    polygon = {"type": "Polygon", "coordinates": [list(zip(longitude, latitude, strict=True))]}
    (tmp_path / "aoi.geojson").write_text(json.dumps({"type": "Feature", "geometry": polygon, "properties": {}}))
    result = tagger.predict_scene(scene, aoi=str(tmp_path / "aoi.geojson"))
    assert result.known.tolist() == [[False, True, False], [False, False, False]]
    assert result.inside[0, 1] == pytest.approx(0.75 * 0.5, abs=0.02)
    assert len(result.table()) == 1
    assert result.summary()["hectares_with_data"][0] == pytest.approx(240 * 160 / 10_000, rel=0.05)
    (tmp_path / "far.geojson").write_text(json.dumps({"type": "Point", "coordinates": [0, 0]}))
    with pytest.raises(InputError) as error:
        tagger.predict_scene(scene, aoi=str(tmp_path / "far.geojson"))
    assert error.value.option == "aoi"


def test_an_area_of_interest_may_be_a_geopackage(
    tmp_path: Path, tagger: am.Predictor, mapped: tuple[Path, Any]
) -> None:
    out, whole = mapped
    scene = out.parent / "scene.tif"
    result = tagger.predict_scene(scene, aoi=str(out / "cells.gpkg"))
    assert np.array_equal(result.p, whole.p, equal_nan=True) and (result.inside == 1).all()


# ---------------------------------------------------------------- calls that go on


def test_a_call_that_was_killed_goes_on(tmp_path: Path, tagger: am.Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(160, 64))
    monkeypatch.setattr("amazon_ml.scenes.tagging._STRIP", 0)  # a part for each row of windows
    whole = tagger.predict_scene(scene, tmp_path / "whole")
    predict, calls = tagger.predict_proba, []

    def killed_after_three(tiles: Any, **options: Any) -> Any:
        calls.append(len(tiles))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(tiles, **options)

    out = tmp_path / "out"
    monkeypatch.setattr(tagger, "predict_proba", killed_after_three)
    with pytest.raises(KeyboardInterrupt):
        tagger.predict_scene(scene, out)
    assert not (out / "scene.json").exists()
    parts = sorted((out / "parts").glob("*.npz"))
    assert len(parts) == 3
    parts[1].write_bytes(parts[1].read_bytes()[:100])  # as if the disk had lost the rest
    resumed = tagger.predict_scene(scene, out)
    assert calls == [2] * 7  # rows 2, 4 and 5 of windows again
    assert np.array_equal(resumed.p, whole.p) and np.array_equal(resumed.valid, whole.valid)
    assert not (out / "parts").exists() and (out / "scene.json").exists()
    assert (out / "map.html").read_bytes() == (tmp_path / "whole" / "map.html").read_bytes()


def test_a_changed_request_is_refused_or_starts_anew(
    tmp_path: Path, tagger: am.Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(64, 64))
    out = tmp_path / "out"

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("amazon_ml.scenes.finish.write_outputs", killed)
        with pytest.raises(KeyboardInterrupt):
            tagger.predict_scene(scene, out)
    with pytest.raises(InputError) as error:
        tagger.predict_scene(scene, out, stride=16)
    assert error.value.option == "out"
    write_scene(tmp_path / "a.tif", ground(64, 64, seed=9))
    with refused(file=out / "parts", option="out", says="`overwrite`"):
        tagger.predict_scene(scene, out)
    tagger.predict_scene(scene, out, stride=16, overwrite=True)
    assert json.loads((out / "scene.json").read_text())["stride"] == 16


def test_a_call_that_failed_before_its_first_strip_does_not_stand_in_the_way(
    tmp_path: Path, tagger: am.Predictor
) -> None:
    path = write_scene(tmp_path / "a.tif", ground(200, 200), tiled=True, blockxsize=64, blockysize=64)
    whole = path.read_bytes()
    path.write_bytes(whole[:20_000])
    with pytest.raises(InputError) as error:
        tagger.predict_scene(path, tmp_path / "out")
    assert error.value.file == str(path)
    path.write_bytes(whole)
    assert tagger.predict_scene(path, tmp_path / "out").known.all()


def test_results_are_replaced_only_on_request_and_never_a_scene(tmp_path: Path, tagger: am.Predictor) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(32, 32))
    out = tmp_path / "out"
    tagger.predict_scene(scene, out, geojson=True)
    for _ in range(2):  # a refused call leaves nothing that the next one takes for its beginning
        with pytest.raises(InputError) as error:
            tagger.predict_scene(scene, out)
        assert error.value.option == "out" and "overwrite" in error.value.remedy
    tagger.predict_scene(scene, out, overwrite=True)
    assert not (out / "cells.geojson").exists()
    own = write_scene(tmp_path / "own" / "probabilities.tif", ground(32, 32))
    before = own.read_bytes()
    with refused(option="out", says=[tmp_path / "own", "probabilities.tif"]):
        tagger.predict_scene(own, tmp_path / "own", overwrite=True)
    assert own.read_bytes() == before
    (tmp_path / "foreign" / "parts").mkdir(parents=True)
    (tmp_path / "foreign" / "parts" / "mine.txt").touch()
    with refused(file=tmp_path / "foreign" / "parts", option="out"):
        tagger.predict_scene(scene, tmp_path / "foreign", overwrite=True)
    assert (tmp_path / "foreign" / "parts" / "mine.txt").exists()


def test_the_beginning_of_a_call_does_not_replace_older_results(
    tmp_path: Path, tagger: am.Predictor, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, out = write_scene(tmp_path / "a.tif", ground(64, 64)), tmp_path / "out"
    tagger.predict_scene(scene, out)
    before = (out / "cells.parquet").read_bytes()
    shard = ["scene", "predict", str(trained), "--scene", str(scene), "--out", str(out), "--stride=16", "--shard=0/1"]
    assert main(shard) == 0
    requests: list[dict[str, Any]] = [{"stride": 16}, {}]
    for options in requests:
        with pytest.raises(InputError) as error:
            tagger.predict_scene(scene, out, **options)
        assert error.value.option == "out"
    assert (out / "cells.parquet").read_bytes() == before
    with monkeypatch.context() as patch:
        patch.setattr("amazon_ml.scenes.finish.write_outputs", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tagger.predict_scene(scene, out, stride=16, overwrite=True)
    tagger.predict_scene(scene, out, stride=16)  # stopped while it wrote, it goes on
    assert json.loads((out / "scene.json").read_text())["stride"] == 16


# ---------------------------------------------------------------- the command


def test_the_command_writes_the_same_map(
    tmp_path: Path, trained: Path, tagger: am.Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = quarters(tmp_path / "parts", ground(64, 64), 30, 30)
    named = ",".join(map(str, parts))
    assert main(["scene", "predict", str(trained), "--scene", named, "--out", str(tmp_path / "out")]) == 0
    expected = tagger.predict_scene(parts)
    with rasterio.open(tmp_path / "out" / "probabilities.tif") as raster:
        assert np.abs(np.moveaxis(raster.read(), 0, -1) - expected.p).max() <= 1e-6
    assert "primary" in capsys.readouterr().out
    about = json.loads((tmp_path / "out" / "scene.json").read_text())
    assert about["crs"] == "EPSG:32720" and about["scene"] == [str(part) for part in parts]


@pytest.mark.parametrize(
    ("words", "option"),
    [(["--scene", "missing.tif"], "missing.tif"), (["--scene", "http://localhost/a.tif"], "--allow_remote"),
     (["--stride", "64"], "--stride"), (["--valid", "2"], "--valid"), (["--aoi", "missing.geojson"], "missing")],
)  # fmt: skip
def test_wrong_calls_end_with_status_2_and_write_nothing(
    words: list[str], option: str, tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(40, 40))
    given = words if "--scene" in words else ["--scene", str(scene), *words]
    try:
        status = main(["scene", "predict", str(trained), *given, "--out", str(tmp_path / "out")])
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2 and option in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
