"""Training has seeds of its own, and leaves the random numbers of its caller as they were."""

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, leave_out_finish
from refused import refused
from requested import config_of

import amazon_ml as am
from amazon_ml.pipeline.find import sweep
from amazon_ml.runtime.random_states import kept_random_states


def drawn() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(1))]  # noqa: NPY002


def seed(value: int) -> None:
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002
    torch.manual_seed(value)


@pytest.mark.parametrize("before", [None, "5"])
def test_states_and_the_seed_of_lightning_are_put_back(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    if before is not None:
        monkeypatch.setenv("PL_GLOBAL_SEED", before)
    seed(1)
    expected = drawn()
    seed(1)
    with pytest.raises(ZeroDivisionError), kept_random_states():
        seed(2)
        os.environ["PL_GLOBAL_SEED"] = "7"
        _ = 1 / 0
    assert drawn() == expected and os.environ.get("PL_GLOBAL_SEED") == before


def test_training_and_a_sweep_leave_the_random_numbers_of_the_caller(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_finish(monkeypatch)
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    weights: list[Any] = []
    for number in (3, 4):
        words = [f"--data.root={demo_tiles}", *TINY, "--trainer.max_epochs=1", f"--run={tmp_path / str(number)}"]
        config = config_of(words)
        seed(number)
        expected = drawn()
        seed(number)
        am.train(config)
        assert drawn() == expected
        weights.append(next((tmp_path / str(number)).rglob("*.safetensors")).read_bytes())
    assert weights[0] == weights[1]
    seed(3)
    expected = drawn()
    seed(3)
    sweep(config, np.geomspace(1e-5, 1e-4, 2))
    assert drawn() == expected and "PL_GLOBAL_SEED" not in os.environ


def test_a_second_thread_cannot_train_at_the_same_time(demo_tiles: Path, tmp_path: Path) -> None:
    """The weights of both would depend on how the threads take turns."""
    config = config_of([f"--data.root={demo_tiles}", *TINY, f"--run={tmp_path / 'run'}"])
    with ThreadPoolExecutor(1) as pool:
        with kept_random_states():
            for call in (lambda: am.train(config), lambda: sweep(config, np.geomspace(1e-5, 1e-4, 2))):
                with refused(says="process"):
                    pool.submit(call).result()
            assert not (tmp_path / "run").exists()
            with kept_random_states():  # in the same thread, one ends before the other goes on
                pass
            with refused(says="process"):
                pool.submit(kept_random_states().__enter__).result()
        with pytest.raises(ZeroDivisionError), kept_random_states():
            _ = 1 / 0
        pool.submit(enter_and_leave).result()


def enter_and_leave() -> None:
    with kept_random_states():
        pass


def test_a_forked_process_can_train_while_a_thread_of_its_parent_does() -> None:
    entered, done = threading.Event(), threading.Event()

    def train() -> None:
        with kept_random_states():
            entered.set()
            done.wait(60)

    thread = threading.Thread(target=train)
    thread.start()
    assert entered.wait(60)
    child = os.fork()
    if not child:
        try:
            enter_and_leave()
            os._exit(0)
        except BaseException:
            os._exit(1)
    ended = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert ended == 0
