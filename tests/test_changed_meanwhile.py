"""Files that change during long work: between folds, between networks that predict, and while a scene is tagged."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import rasterio
from refused import refused
from scene_files import ground, write_scene

import amazon_ml as am
from amazon_ml.errors import InputError, WorkError
from amazon_ml.pipeline import train
from amazon_ml.runs.bundle import Networks, open_bundle
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import FoldFolder
from amazon_ml.runs.inference import load_taggers
from amazon_ml.scenes import finish, tagging
from amazon_ml.scenes.outputs import PARTS
from amazon_ml.scenes.parts import PartStore
from amazon_ml.scenes.tagging import Found, Job, predict_windows
from amazon_ml.scenes.unchanged import Watch


@pytest.mark.parametrize("changed", ["doubted.csv", "folds.csv", "bands.json"])
def test_a_fold_is_not_trained_on_other_files_than_the_ones_before(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    run, table = tmp_path / "run", tmp_path / "doubted.csv"
    table.write_text("image_name,tag,probability\ntrain_0,water,0.5\n")
    file, trained = table if changed == table.name else run / changed, []

    def edit(folder: FoldFolder, *_: object) -> None:
        trained.append(folder.number)
        file.write_text(file.read_text() + "\n")

    monkeypatch.setattr(train, "fit_fold", edit)
    options = {"data.root": str(demo_tiles), "data.soft_labels": str(table), "folds": "all"}
    config = RunConfig.load([], {"run": str(run), "data.n_folds": 3, **options})
    with refused(file=file):
        train.train(config)
    assert trained == [0]


def test_networks_of_two_trainings_do_not_predict_together(trained: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(trained / "bundle", tmp_path / "bundle")
    networks = open_bundle(bundle).networks
    assert isinstance(networks, Networks) and len(list(load_taggers(networks))) == 2
    first, second = networks.weights
    taggers = load_taggers(networks)
    next(taggers)
    shutil.copyfile(first, second)
    with pytest.raises(WorkError, match=re.escape(str(second))):
        next(taggers)


def test_networks_whose_time_alone_changes_are_the_same(trained: Path, tmp_path: Path) -> None:
    networks = open_bundle(shutil.copytree(trained / "bundle", tmp_path / "bundle")).networks
    assert isinstance(networks, Networks)
    taggers = load_taggers(networks)
    next(taggers)
    for file in networks.weights:
        os.utime(file, ns=(10**9,) * 2)
    assert len(list(taggers)) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_a_scene_that_changes_while_it_is_tagged_gives_no_map(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    predictor = am.Predictor.load(trained / "bundle", device="cpu")
    scene = write_scene(tmp_path / "a.tif", ground(70, 100))
    other = write_scene(tmp_path / "b.tif", ground(70, 100, seed=1))

    def change(job: Job, store: PartStore) -> Found:
        found = predict_windows(job, store)
        shutil.move(other, scene) if not gone else Path(scene).unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(finish, "predict_windows", change)
        with pytest.raises(WorkError, match="`overwrite`"):
            predictor.predict_scene(scene, out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PARTS]
    if not gone:
        with pytest.raises(InputError):
            predictor.predict_scene(scene, out=tmp_path / "out")
        predictor.predict_scene(scene, out=tmp_path / "out", overwrite=True)
        assert not (tmp_path / "out" / PARTS).exists()


@pytest.mark.parametrize("virtual", [False, True])
def test_a_scene_whose_time_alone_changes_is_the_same_scene(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, virtual: bool
) -> None:
    predictor = am.Predictor.load(trained / "bundle", device="cpu")
    source = scene = write_scene(tmp_path / "a.tif", ground(96, 64))
    if virtual:
        scene = tmp_path / "a.vrt"
        rasterio.shutil.copy(source, scene, driver="VRT")
    monkeypatch.setattr(tagging, "_STRIP", 1)  # a row of windows in each strip
    predict, calls = predictor.predict_proba, list[int]()

    def touched(tiles: Any, **options: Any) -> Any:
        calls.append(len(tiles))
        os.utime(source, ns=(len(calls) * 10**9,) * 2)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict(tiles, **options)

    monkeypatch.setattr(predictor, "predict_proba", touched)
    with pytest.raises(KeyboardInterrupt):
        predictor.predict_scene(scene, out=tmp_path / "out")
    assert len(list((tmp_path / "out" / PARTS).glob("strip-*"))) == 1
    assert str(scene) in caplog.text
    predictor.predict_scene(scene, out=tmp_path / "out")
    assert len(calls) == 4 and not (tmp_path / "out" / PARTS).exists()  # the strips 0; 1, stopped; 1 and 2


def test_a_change_ends_the_tagging_at_the_next_strip(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = am.Predictor.load(trained / "bundle", device="cpu")
    scene = write_scene(tmp_path / "a.tif", ground(96, 64))
    monkeypatch.setattr(tagging, "_STRIP", 1)  # a row of windows in each strip
    predict, calls = predictor.predict_proba, list[int]()

    def edit(tiles: Any, **options: Any) -> Any:
        calls.append(len(tiles))
        content = scene.read_bytes()
        scene.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        return predict(tiles, **options)

    monkeypatch.setattr(predictor, "predict_proba", edit)
    with pytest.raises(WorkError, match="`overwrite`"):
        predictor.predict_scene(scene)
    assert len(calls) == 1


def test_a_change_beyond_the_first_megabyte_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    for size, edit in ((5 * 2**20, slice(3 * 2**20, 4 * 2**20)), (2**20 + 7, slice(2**20 + 6, 2**20 + 7))):
        content = bytearray(size)
        file.write_bytes(content)
        watch = Watch([str(file)])
        watch.check()
        content[edit] = b"1" * (edit.stop - edit.start)
        file.write_bytes(content)
        with pytest.raises(WorkError):
            watch.check()
