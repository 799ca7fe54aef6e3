"""Tiles that are cut out of a scene: their pixels, their tags, and splits by place."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from conftest import TINY, leave_out_finish
from refused import refused
from scene_files import LEFT, STEP, TOP, UTM, Pixels, ground, write_scene

from amazon_ml.cli.main import main
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.errors import InputError
from amazon_ml.scenes.config import CutConfig
from amazon_ml.scenes.cut import cut_scene
from amazon_ml.scenes.demo import write_scenes
from amazon_ml.scenes.labelling import split_by_place

URN = {"type": "name", "properties": {"name": UTM}}


def write_labels(path: Path, *features: tuple[str, list[list[int]]]) -> Path:
    """Write features by their tags and pixels (row, column): one pixel is a point, several an outline."""
    listed = []
    for tags, pixels in features:
        at = [[LEFT + column * STEP, TOP - row * STEP] for row, column in pixels]
        geometry = {"type": "Polygon", "coordinates": [[*at, at[0]]]} if len(at) > 1 else {
            "type": "Point", "coordinates": at[0]}  # fmt: skip
        listed.append({"type": "Feature", "properties": {"tags": tags}, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": URN, "features": listed}))
    return path


def box(top: int, left: int, height: int, width: int) -> list[list[int]]:
    return [[top, left], [top, left + width], [top + height, left + width], [top + height, left]]


@pytest.fixture
def no_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put all tiles into training, for tests of tags and pixels on few tiles."""
    monkeypatch.setattr("amazon_ml.scenes.cut.split_by_place", lambda places, *_: ["train"] * len(places))


def cut(scene: Path, labels: Path, out: Path, **options: object) -> dict[str, str]:
    """Cut tiles of 16 px; give the tags by name."""
    cut_scene([str(scene)], labels=labels, out=out, how=CutConfig(size=16, **options))  # type: ignore[arg-type]
    table = pd.read_csv(out / "labels.csv")
    return dict(zip(table["image_name"].tolist(), table["tags"].tolist(), strict=True))


def read_tile(path: Path) -> Pixels:
    with rasterio.open(path) as file:
        pixels: Pixels = file.read()
    return pixels


@pytest.mark.usefixtures("no_split")
def test_polygons_give_their_tags_to_the_tiles_that_they_cover(tmp_path: Path) -> None:
    bands = ground(64, 64)
    scene = write_scene(tmp_path / "a.tif", bands)
    labels = write_labels(
        tmp_path / "l.geojson",
        ("forest", box(0, 0, 16, 40)),  # two tiles, and half of a third
        ("road river", box(0, 30, 16, 2)),  # wholly in the second, though it covers an eighth
        ("mine", box(32, 14, 4, 4)),  # half in each of two tiles
        ("field", box(48, 48, 7, 8)),
    )
    found = cut(scene, labels, tmp_path / "out")
    assert found == {
        "r000000_c000000": "forest", "r000000_c000016": "forest river road", "r000000_c000032": "forest",
        "r000032_c000000": "mine", "r000032_c000016": "mine", "r000048_c000048": "field",
    }  # fmt: skip
    for name in found:
        row, column = int(name[1:7]), int(name[9:])
        path = tmp_path / "out" / "tiles" / f"{name}.tif"
        assert np.array_equal(read_tile(path), bands[:, row : row + 16, column : column + 16])
        with rasterio.open(path) as tile:
            assert tile.transform @ (0, 0) == (LEFT + column * STEP, TOP - row * STEP)
            assert tile.descriptions == ("red", "green", "blue") and tile.crs.to_epsg() == 32720


@pytest.mark.usefixtures("no_split")
def test_points_have_a_tile_around_them_that_stays_on_the_scene(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(64, 64))
    labels = write_labels(
        tmp_path / "l.geojson", ("a", [[30, 40]]), ("b", [[1, 63]]), ("c", [[90, 5]]), ("d", [[30, 40]])
    )
    assert cut(scene, labels, tmp_path / "out") == {"r000000_c000048": "b", "r000022_c000032": "a d"}


@pytest.mark.usefixtures("no_split")
def test_16_bit_bands_keep_their_values_and_missing_pixels_a_mask(tmp_path: Path) -> None:
    bands = ground(32, 32, count=4, dtype="uint16", top=4000)
    bands[:, :4, :4] = 0
    bands[:, 16:, 16:] = 0
    scene = write_scene(tmp_path / "a.tif", bands, photometric="MINISBLACK", nodata=0)
    labels = write_labels(tmp_path / "l.geojson", ("a", box(0, 0, 32, 32)))
    found = cut(scene, labels, tmp_path / "out", bands="bgrn")
    assert sorted(found) == ["r000000_c000000", "r000000_c000016", "r000016_c000000"]
    with rasterio.open(tmp_path / "out" / "tiles" / "r000000_c000000.tif") as tile:
        assert np.array_equal(tile.read(), bands[[2, 1, 0, 3], :16, :16])
        assert (tile.dataset_mask() == 0).sum() == 16
        assert tile.descriptions == ("red", "green", "blue", "nir")


def test_splits_hold_whole_blocks_and_no_tile_of_training_overlaps_another_split() -> None:
    rng = np.random.default_rng(0)
    places = sorted({(int(r), int(c)) for r, c in rng.integers(0, 600, (400, 2))})
    targets = (rng.random((len(places), 3)) < 0.3).astype(np.uint8)
    how = CutConfig(size=16, block=4)
    splits = split_by_place(places, targets, how)
    assert set(splits) == {"", "train", "val", "test"} and splits.count("train") > 150
    for at, (row, column) in enumerate(places):
        for other, (r, c) in enumerate(places):
            if abs(row - r) < 16 and abs(column - c) < 16 and splits[at] and splits[other]:
                assert splits[at] == splits[other]
            same = (row + 8) // 64 == (r + 8) // 64 and (column + 8) // 64 == (c + 8) // 64
            if same and splits[at] and splits[other]:
                assert splits[at] == splits[other]


def test_the_demo_is_cut_and_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_finish(monkeypatch)
    write_scenes(tmp_path / "scn", rows=8, columns=8, size=32)
    out = tmp_path / "set"
    words = ["scene", "cut", str(tmp_path / "scn" / "after.tif"), "--labels", str(tmp_path / "scn" / "after.geojson"),
             "--size", "32", "--block", "2", "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    truth = pd.read_csv(tmp_path / "scn" / "truth.csv")
    table = pd.read_csv(out / "labels.csv").set_index("image_name")
    for at, tags in enumerate(truth["after"].tolist()):
        name = f"r{at // 8 * 32:06}_c{at % 8 * 32:06}"
        assert table.loc[name, "tags"] == tags
    assert (table["split"].value_counts() >= 8).all() and len(table) == 64
    options = yaml.safe_load((out / "train.yaml").read_text())["data"]
    assert options["gsd"] == 24.0 and options["split_column"] == "split"
    assert main(["train", "--config", str(out / "train.yaml"), "--run", str(tmp_path / "run"),
                 *[word for word in TINY if "n_folds" not in word], "--trainer.max_epochs=1"]) == 0  # fmt: skip
    data = PlanetDataModule(**options)
    data.setup()
    path = str(data.catalog.labelled["path"].iloc[0])
    assert np.array_equal(np.moveaxis(data.read(path, path), -1, 0), read_tile(Path(path)))


@pytest.mark.usefixtures("no_split")
@pytest.mark.parametrize("tag", ["crops, pasture", "crops;pasture", "bare,rocks", "crops • soil"])
def test_a_text_of_a_list_that_holds_a_separator_is_one_tag_in_training(tmp_path: Path, tag: str) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(64, 64))
    labels = write_labels(tmp_path / "l.geojson", *(
        (json.dumps(tags), box(16 * at, 0, 16, 16)) for at, tags in enumerate([["crops"], [tag], ["pasture", tag]])
    ))  # fmt: skip
    cut(scene, labels, tmp_path / "out")
    options = yaml.safe_load((tmp_path / "out" / "train.yaml").read_text())["data"]
    data = PlanetDataModule(**{**options, "split_column": None, "n_folds": 3})
    data.setup()
    assert data.catalog.tags.names == tuple(sorted(("crops", tag, "pasture")))
    assert data.catalog.targets.sum(axis=0).tolist() == [{"crops": 1, tag: 2, "pasture": 1}[name]
                                                         for name in data.catalog.tags.names]  # fmt: skip


def test_wrong_calls_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ground(64, 64))
    one = write_labels(tmp_path / "one.geojson", ("a", box(0, 0, 16, 16)))
    for labels, options, option in (
        (one, {}, "block"),  # one block is no split
        (write_labels(tmp_path / "far.geojson", ("a", box(900, 0, 16, 16))), {}, "labels"),
        (write_labels(tmp_path / "bare.geojson", ("", box(0, 0, 16, 16))), {}, "tags_column"),
        (one, {"tags_column": "label"}, "tags_column"),
        (tmp_path / "missing.geojson", {}, "labels"),
        (one, {"stride": 17}, "stride"),
        (one, {"bands": "rg"}, "bands"),
    ):
        with pytest.raises(InputError) as error:
            cut(scene, labels, tmp_path / "out", **options)
        assert error.value.option == option
        assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(InputError) as error:
        cut(scene, one, tmp_path / "full")
    assert error.value.option == "out"
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name in ("file", "link"):
        with refused(option="out"):
            cut(scene, one, tmp_path / name)
    (tmp_path / "begun" / "tiles").mkdir(parents=True)
    with refused(option="out", says="not finished"):
        cut(scene, one, tmp_path / "begun")
    with pytest.raises(InputError) as error:
        cut_scene([str(scene)], labels=one, out=tmp_path / "out")
    assert error.value.option == "size"


def test_files_of_different_types_are_no_scene(tmp_path: Path) -> None:
    bands = ground(64, 128)
    scene = [str(write_scene(tmp_path / "a.tif", bands[:, :, :64]))]
    labels = write_labels(tmp_path / "l.geojson", ("a", box(0, 0, 64, 128)))
    other = write_scene(tmp_path / "b.tif", bands[:, :, 64:].astype("uint16") * 100, column=64)
    for files in ([*scene, str(other)], [str(other), *scene]):
        with pytest.raises(InputError) as error:
            cut_scene(files, labels=labels, out=tmp_path / "out", how=CutConfig(size=16, block=1))
        assert error.value.option == "scene" and str(error.value.file) in files
        assert not (tmp_path / "out").exists()
