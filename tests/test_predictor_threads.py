"""One predictor in several threads: each records the engine of its own folder, and keeps to what is recorded there."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scene_files import ground, write_scene

import amazon_ml as am
from amazon_ml.models.engines import Method
from amazon_ml.runs.engine_choice import SAMPLE, read_method, save_method
from amazon_ml.scenes.parts import PartStore
from amazon_ml.scenes.tagging import Found, Job, predict_windows

TILES = np.zeros((SAMPLE, 32, 32, 3), dtype=np.uint8)
FOLDED = Method("folded", "float32")


@pytest.fixture
def tagger(trained: Path, monkeypatch: pytest.MonkeyPatch) -> am.Predictor:
    """A predictor that would choose an engine at its first call."""
    monkeypatch.setattr("amazon_ml.predictor.choose_method", lambda *_: FOLDED)
    return am.Predictor.load(trained / "bundle", device="cpu", engine="auto", precision="float32")


def at_once(*calls: Callable[[threading.Barrier], object]) -> None:
    """Call functions in threads; each waits at the barrier for the others."""
    barrier = threading.Barrier(len(calls), timeout=60)
    with ThreadPoolExecutor(len(calls)) as threads:
        for call in [threads.submit(call, barrier) for call in calls]:
            call.result()


def test_each_thread_records_the_engine_in_its_own_folder(tmp_path: Path, tagger: am.Predictor) -> None:
    files = [tmp_path / f"{number}.json" for number in range(2)]

    def predict(file: Path) -> Callable[[threading.Barrier], None]:
        def call(barrier: threading.Barrier) -> None:
            with tagger.recorded(file, has_parts=False):
                barrier.wait()
                tagger.predict_proba(TILES, scale=True)
                assert file.exists() and tagger.engine == "folded float32"

        return call

    at_once(*map(predict, files))
    assert [read_method(file) for file in files] == [FOLDED] * 2
    third = tmp_path / "3.json"  # by now the engine is known
    with tagger.recorded(third, has_parts=False):
        tagger.predict_proba(TILES, scale=True)
    assert read_method(third) == FOLDED


def test_each_thread_keeps_to_the_engine_of_the_parts_in_its_folder(tmp_path: Path, tagger: am.Predictor) -> None:
    folded, plain = tmp_path / "folded.json", tmp_path / "plain.json"
    save_method(folded, FOLDED)
    save_method(plain, Method("torch", "float32"))

    def predict(file: Path) -> Callable[[threading.Barrier], None]:
        def call(barrier: threading.Barrier) -> None:
            with tagger.recorded(file, has_parts=True):
                barrier.wait()  # the other folder is recorded, too
                tagger.predict_proba(TILES, scale=True)
                assert str(tagger.engine).startswith(read_method(file).engine)
                barrier.wait()

        return call

    at_once(predict(folded), predict(plain))


def test_two_scenes_at_once_have_the_engine_beside_their_parts(
    tmp_path: Path, tagger: am.Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    barrier = threading.Barrier(2, timeout=60)

    def both(job: Job, store: PartStore) -> Found:
        barrier.wait()
        found = predict_windows(job, store)
        seen.append(store.engine is not None and store.engine.exists())
        return found

    monkeypatch.setattr("amazon_ml.scenes.finish.predict_windows", both)
    scenes = [write_scene(tmp_path / f"{number}.tif", ground(32 * 8, 32 * 8, seed=number)) for number in range(2)]
    at_once(*((lambda _, scene=scene: tagger.predict_scene(scene, scene.with_suffix(""))) for scene in scenes))
    assert seen == [True, True]
