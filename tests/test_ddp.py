"""Several processes train one network: the same folds, probabilities and scores as of one; stopped, resumed, failed."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from conftest import TINY

from amazon_ml.data.demo import write_demo
from amazon_ml.data.loading import TileDataset, tile_loader
from amazon_ml.data.sources import TileSource
from amazon_ml.labels import PLANET

#: Of 16 tiles a batch, so that processes have shares of several batches.
OPTIONS = [*TINY, "--data.predict_batch_size=16"]
#: Far beyond what a command takes, on a machine that is busy, too.
LONG = 240


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """161 labelled tiles, 55 of them in fold 0, and 31 untagged ones: odd numbers, which padding would make even."""
    folder = tmp_path_factory.mktemp("tiles") / "demo"
    write_demo(folder, tiles=161, test_tiles=31, size=32)
    return folder


@pytest.fixture(scope="module")
def pair(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of two processes; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "pair"
    done = _run(_train(run, tiles, "--trainer.devices=2"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is done after") == 1
    assert "2 processes: a step is of 32 tiles, 16 in each; the learning rate is 0.01" in done.stderr
    return run


def _train(run: Path, tiles: Path, *options: str) -> list[str]:
    return ["-m", "amazon_ml.cli", "train", "--run", str(run), "--data.root", str(tiles), *OPTIONS, *options]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=LONG, env=_environment()
    )


def _torchrun(*options: str) -> list[str]:
    return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *options]


def _same_weights(first: Path, second: Path) -> bool:
    a, b = (safetensors.torch.load_file(run / "fold-0" / "model.safetensors") for run in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _probabilities(run: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(run / name).set_index("image_name")[list(PLANET.names)]


# ---------------------------------------------------------------- shares


class _Counted(TileSource):
    def __init__(self, tiles: int) -> None:
        self.tiles = tiles

    def __len__(self) -> int:
        return self.tiles

    def fetch(self, rows: np.ndarray, symmetries: np.ndarray | None = None) -> np.ndarray:
        return np.zeros((len(rows), 8, 8, 3), np.uint8)


@pytest.mark.parametrize("tiles", [1, 2, 5, 16, 37, 64])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shares_hold_every_tile_once_and_none_is_empty_where_there_are_enough(tiles: int, ranks: int) -> None:
    dataset = TileDataset(_Counted(tiles))
    shares = [[batch["index"] for batch in tile_loader(dataset, 16, 0, rank, ranks)] for rank in range(ranks)]
    seen = torch.cat([index for share in shares for index in share])
    assert torch.equal(seen.sort().values, torch.arange(tiles))
    assert tiles < ranks or all(shares)
    assert max(len(index) for share in shares for index in share) <= 16


# ---------------------------------------------------------------- the same as one process


def test_one_process_predicts_and_scores_as_two(pair: Path, tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pair, run)
    for name in ("fold-0/valid.parquet", "fold-0/test.parquet", "oof.parquet", "test.parquet", "metrics.json"):
        (run / name).unlink()
    done = _run(_train(run, tiles, "--trainer.devices=1"))
    assert done.returncode == 0, done.stderr
    for name, rows in (("oof.parquet", 55), ("test.parquet", 31)):
        one, two = _probabilities(run, name), _probabilities(pair, name)
        assert len(one) == rows and one.index.equals(two.index)
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)
    scores = [json.loads((folder / "metrics.json").read_text())["f2"]["fixed_0.2"]["value"] for folder in (run, pair)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    # What the two processes found when they validated, of the weights that they kept.
    curves = pd.read_csv(pair / "fold-0" / "metrics.csv")
    assert curves["val_f2"].dropna().iloc[-1] == pytest.approx(scores[0], abs=1e-6)


def test_folds_are_those_of_one_process(pair: Path, trained_alone: Path) -> None:
    assert (pair / "folds.csv").read_bytes() == (trained_alone / "folds.csv").read_bytes()
    assert len(pd.read_csv(pair / "fold-0" / "per_tag.csv")) == 2 * len(PLANET)


@pytest.fixture(scope="module")
def trained_alone(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of one process."""
    run = tmp_path_factory.mktemp("runs") / "alone"
    done = _run(_train(run, tiles, "--trainer.max_epochs=1"))
    assert done.returncode == 0, done.stderr
    return run


# ---------------------------------------------------------------- torchrun, stops and failures

#: Trains as ``amazon-ml train`` does, saves every second, and ends hard in the second process in the second epoch.
DYING = """
import os, sys
from datetime import timedelta
from amazon_ml.models import callbacks
callbacks.SAVE_EVERY = timedelta(0)
start = callbacks.StepSeed.on_train_batch_start
def dying(self, trainer, module, batch, batch_idx):
    first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if first and trainer.global_rank == 1 and (trainer.current_epoch, batch_idx) == (1, 2):
        os._exit(17)
    start(self, trainer, module, batch, batch_idx)
callbacks.StepSeed.on_train_batch_start = dying
from amazon_ml.cli import main
sys.exit(main())
"""


def test_torchrun_starts_again_after_a_process_died_and_ends_at_the_same_weights(
    pair: Path, tiles: Path, tmp_path: Path
) -> None:
    script, run = tmp_path / "dying.py", tmp_path / "run"
    script.write_text(DYING)
    train = _train(run, tiles)[2:]
    done = _run([*_torchrun("--max-restarts=1", "--monitor-interval=0.2"), "--", str(script), *train])
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr and "at step 5" in done.stderr
    assert _same_weights(run, pair)
    assert (run / "oof.parquet").read_bytes() == (pair / "oof.parquet").read_bytes()
    assert pd.read_csv(run / "fold-0" / "metrics.csv")["val_f2"].count() == 2


def test_failure_of_one_process_ends_all_with_its_message_and_status(tiles: Path, tmp_path: Path) -> None:
    broken = tmp_path / "tiles"
    shutil.copytree(tiles, broken)
    (broken / "train-jpg" / "train_3.jpg").write_bytes(b"no JPEG")
    began = time.monotonic()
    done = _run(_train(tmp_path / "run", broken, "--trainer.devices=2"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("amazon-ml: ") == 1 and "train_3.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < LONG


def test_run_goes_on_with_as_many_processes_only(pair: Path, tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pair, run)
    done = _run(_train(run, tiles, "--trainer.devices=1", "--folds=1"))
    assert done.returncode == 2 and "was begun by 2 processes, and these are 1" in done.stderr
