"""Tiles that are given to a predictor from Python: the rows of the answer, and what is refused."""

import copy
import json
import multiprocessing
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from refused import refused

import amazon_ml as am
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.models.engines import Method
from amazon_ml.runs.bundle import Networks
from amazon_ml.runs.given_tiles import choose_files, list_scene
from amazon_ml.runs.reopening import origin_of


@pytest.fixture(scope="module")
def predictor(trained: Path) -> am.Predictor:
    return am.Predictor.load(trained / "bundle", device="cpu")


@pytest.fixture(scope="module")
def files(demo_tiles: Path) -> list[str]:
    folder = next(folder for folder in demo_tiles.iterdir() if folder.name.startswith("test-jpg"))
    return list(map(str, sorted(folder.glob("*.jpg"))))


@pytest.mark.parametrize("index", [[7, 0, 1], ["c", "a", "b"], [1, 1, 0]], ids=["numbers", "texts", "repeated"])
def test_tags_of_a_table_or_a_series_have_its_index(
    predictor: am.Predictor, files: list[str], index: list[object]
) -> None:
    chosen = files[:3]
    expected = predictor.predict(chosen)
    assert expected.index.tolist() == [0, 1, 2]
    for tiles in (pd.DataFrame({"path": chosen}, index=index), pd.Series(chosen, index=index)):
        given = predictor.predict(tiles)
        assert given.index.equals(tiles.index)
        pd.testing.assert_frame_equal(given.reset_index(drop=True), expected)
    empty = pd.DataFrame({"path": pd.Series([], dtype=object)}, index=pd.Index([], name="id"))
    assert predictor.predict(empty).index.name == "id"


def test_tags_can_be_assigned_to_rows_that_were_shuffled(predictor: am.Predictor, files: list[str]) -> None:
    table = pd.DataFrame({"path": files}).sample(frac=1, random_state=3)
    table["tags"] = predictor.predict(table)["tags"]
    by_file = dict(zip(files, predictor.predict(files)["tags"], strict=True))
    assert len(set(by_file.values())) > 1 and table["tags"].tolist() == [by_file[file] for file in table["path"]]


@pytest.mark.parametrize("name", ["path", "tif", "image_name"])
def test_a_table_with_a_column_twice_is_refused(predictor: am.Predictor, files: list[str], name: str) -> None:
    table = pd.DataFrame({"path": files[:2], "tif": "", "image_name": ["a", "b"]})
    table = pd.concat([table, table[[name]]], axis=1)
    with refused(option="tiles", says=name):
        predictor.predict(table)
    assert len(predictor.predict(table.loc[:, ~table.columns.duplicated()])) == 2


def test_rows_of_a_folder_are_in_natural_order(predictor: am.Predictor, files: list[str], tmp_path: Path) -> None:
    for number, file in zip((10, 2, 1), files, strict=False):
        (tmp_path / f"test_{number}.jpg").symlink_to(file)
    assert predictor.predict(tmp_path)["image_name"].tolist() == ["test_1", "test_2", "test_10"]
    in_order = [tmp_path / f"test_{number}.jpg" for number in (1, 2, 10)]
    np.testing.assert_array_equal(predictor.predict_proba(tmp_path), predictor.predict_proba(in_order))


@pytest.mark.parametrize(
    ("read", "path", "tif", "remedy"),
    [
        (TileReader(), "a.tif", "a.tif", "train on TIFs"),
        (TileReader(bands=("r", "g", "b", "n")), "a.tif", "a.tif", "column path"),
        (TileReader(bands=("r", "g", "b", "n")), "a.jpg", "", "column tif"),
        (TileReader(rgb_source="tif"), "a.jpg", "", "column tif"),
    ],
    ids=["TIF instead of JPG", "TIF without JPG", "JPG without TIF", "JPG instead of TIF"],
)
def test_a_tile_without_its_file_is_refused_with_a_remedy_that_helps(
    read: TileReader, path: str, tif: str, remedy: str
) -> None:
    with refused(file=path, option="tiles") as raised:
        choose_files(pd.DataFrame({"image_name": ["0"], "path": [path], "tif": [tif]}), read)
    assert remedy in raised.value.remedy


def test_a_predictor_is_loaded_again_in_another_process(
    trained: Path, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    own = am.Predictor.load(f"{trained.name}/bundle", device="cpu", batch_size=5, tta="none")
    monkeypatch.chdir(tmp_path)  # where the relative path does not lead to the run
    expected = own.predict_proba(files)
    assert len(pickle.dumps(own)) < 10_000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(own.predict_proba, files).result(), expected)
        assert pool.submit(loaded_once, own, pickle.dumps(own)).result()


def loaded_once(predictor: am.Predictor, pickled: bytes) -> bool:
    return pickle.loads(pickled) is predictor


def test_a_pickle_has_the_options_and_the_engine_that_was_chosen(
    trained: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amazon_ml.predictor.choose_method", lambda *_: Method("folded", "float32"))
    for options in ({"engine": "folded"}, {"engine": "auto"}, {"tta": "d4", "batch_size": 3}):
        own = am.Predictor.load(trained / "bundle", device="cpu", **options)
        for again in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own), copy.copy(own)):
            assert again is not own and again.requested == own.requested and again.engine == own.engine
        np.testing.assert_array_equal(again.predict_proba(files[:4]), own.predict_proba(files[:4]))
    own = am.Predictor.load(trained / "bundle", device="cpu", engine="auto")
    own.predict_proba([*files] * (1 + 64 // len(files)))
    assert own.engine is not None and pickle.loads(pickle.dumps(own)).engine == own.engine


def test_a_pickle_of_another_state_of_the_folder_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    pickled = pickle.dumps(am.Predictor.load(tmp_path / "run", device="cpu"))
    former = json.loads((tmp_path / "run" / "decision.json").read_text())["rule"]
    am.tune(tmp_path / "run", rule="global")
    with refused(file=tmp_path / "run", says="Predictor.load"):
        pickle.loads(pickled)
    am.tune(tmp_path / "run", rule=former)
    assert pickle.loads(pickled).tags
    bundle = am.Predictor.load(tmp_path / "run", device="cpu").bundle
    assert isinstance(bundle.networks, Networks)
    other = replace(bundle, networks=replace(bundle.networks, size=bundle.networks.size + 32))
    assert origin_of(tmp_path, {}, bundle) == origin_of(tmp_path, {}, bundle) != origin_of(tmp_path, {}, other)


class Own(am.Predictor):
    pass


def test_a_pickle_keeps_the_class(trained: Path) -> None:
    own = Own.load(trained / "bundle", device="cpu")
    assert type(pickle.loads(pickle.dumps(own))) is type(copy.copy(own)) is Own


def test_a_predictor_that_was_made_of_a_bundle_in_memory_is_not_pickled(predictor: am.Predictor) -> None:
    for call in (pickle.dumps, copy.deepcopy, lambda one: pickle.dumps(one.predict)):
        with refused(says="Predictor.load"):
            call(am.Predictor(predictor.bundle))


@pytest.mark.parametrize(
    "scene", [np.zeros((64, 64, 3), np.uint8), np.float64(3), pd.DataFrame({"path": ["a.tif"]}), ["a.tif", 3], None]
)
def test_what_is_no_path_of_a_scene_is_refused(predictor: am.Predictor, scene: Any) -> None:
    with refused(option="scene", says=type(scene).__name__):
        predictor.predict_scene(scene)


def test_files_of_a_scene_may_be_in_a_list_an_array_or_a_series() -> None:
    assert list_scene("a.tif") == list_scene(Path("a.tif")) == ["a.tif"]
    for files in (
        ["a.tif", Path("b.tif")],
        ("a.tif", "b.tif"),
        np.array(["a.tif", "b.tif"]),
        pd.Series(["a.tif", "b.tif"]),
    ):
        assert list_scene(files) == ["a.tif", "b.tif"]
