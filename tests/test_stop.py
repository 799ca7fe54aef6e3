"""Asked to stop by a scheduler's signals: when, with which status, and that nothing is lost."""

import json
import multiprocessing
import os
import random
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch
from conftest import FEW, TINY
from forked import Forked

from amazon_ml.cli.main import main
from amazon_ml.data.batches.dataset import _start_worker
from amazon_ml.errors import WorkError
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.access import locked_fold
from amazon_ml.runs.folder import Run
from amazon_ml.runtime import preemption
from amazon_ml.runtime.preemption import Stopped
from amazon_ml.training.callbacks import AtomicCheckpointIO

EVERYTHING = [
    "--model.ema=0.9",
    "--model.progressive_resizing={0: 24, 2: 32}",
    "--model.backbone_args={drop_rate: 0.3}",
]


pytestmark = pytest.mark.usefixtures("former_handlers")


def _arguments(run: Path, tiles: Path, *options: str) -> list[str]:
    return ["train", "--run", str(run), "--data.root", str(tiles), *TINY, *options]


def _same_weights(first: Path, second: Path) -> bool:
    a, b = (safetensors.torch.load_file(run / "fold-0" / "model.safetensors") for run in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _signal_in(patch: pytest.MonkeyPatch, method: str, when: Callable[[], bool], sign: int = signal.SIGUSR1) -> None:
    """Send a signal to this process during a step of the tagger, where it is time to."""
    step = getattr(TileTagger, method)

    def signalled(self: TileTagger, *arguments: Any) -> Any:
        if when():
            signal.raise_signal(sign)
        return step(self, *arguments)

    patch.setattr(TileTagger, method, signalled)


# ---------------------------------------------------------------- when a signal stops


def test_signal_stops_at_once_and_once_only() -> None:
    preemption.listen()
    with pytest.raises(Stopped) as stopped:
        signal.raise_signal(signal.SIGUSR2)
    signal.raise_signal(signal.SIGTERM)
    assert stopped.value.code == 85
    assert str(stopped.value) == "stopped by SIGUSR2; the same command resumes"


def test_held_signal_stops_at_the_end_of_the_block_at_the_latest() -> None:
    preemption.listen()
    reached = []
    with pytest.raises(Stopped), preemption.held():
        assert not preemption.requested()
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        reached.append(preemption.requested())
    assert reached == [True]


def test_signals_are_only_taken_by_who_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preemption, "_request", preemption._Request())
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    preemption.reclaim()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN


# ---------------------------------------------------------------- a run that is stopped goes on exactly


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize(
    ("stops", "epochs", "options"),
    [(4, 4, []), (3, 3, [*EVERYTHING, "--data.num_workers=1"]), (3, 3, ["--trainer.accumulate_grad_batches=3"])],
    ids=["often", "everything", "accumulating"],
)
def test_stopped_again_and_again_a_run_ends_with_the_same_weights(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    stops: int, epochs: int, options: list[str],
) -> None:  # fmt: skip
    run, undisturbed = tmp_path / "stopped", tmp_path / "undisturbed"
    length = [*FEW, "--trainer.max_epochs", str(epochs), "--trainer.log_every_n_steps=1"]
    rng = random.Random(0)
    reached = []
    for _ in range(stops):
        wait = iter(range(rng.randrange(1, 10), -1, -1))
        with monkeypatch.context() as patch:
            _signal_in(patch, "training_step", lambda wait=wait: next(wait, -1) == 0, rng.choice(preemption.SIGNALS))  # type: ignore[misc]
            assert main(_arguments(run, demo_tiles, *length, *options)) == 85
        told = re.fullmatch(
            r"amazon-ml: stopped by SIG\w+ (?:at step|in the validation after step) (\d+); the same command resumes",
            capsys.readouterr().err.splitlines()[-1],
        )
        assert told
        reached.append(int(told[1]))
    assert len(set(reached)) > stops // 2, "hardly a stop kept what was trained"
    assert main(_arguments(run, demo_tiles, *length, *options)) == 0
    assert main(_arguments(undisturbed, demo_tiles, *length, *options)) == 0
    assert _same_weights(run, undisturbed)
    names = ("per_tag.csv", "metrics.csv")
    (tags, curves), (tags_then, curves_then) = (
        [pd.read_csv(folder / "fold-0" / name) for name in names] for folder in (run, undisturbed)
    )
    pd.testing.assert_frame_equal(tags, tags_then)
    for column in ("train_loss_step", "val_loss", "val_f2"):
        kept, expected = (table.dropna(subset=column)[["step", column]] for table in (curves, curves_then))
        pd.testing.assert_frame_equal(kept.reset_index(drop=True), expected.reset_index(drop=True))


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize(
    ("step", "options"),
    [
        (4, ["--trainer.val_check_interval=0.5"]),
        (9, ["--trainer.val_check_interval=3", "--trainer.check_val_every_n_epoch=null"]),
    ],
)
def test_stopped_before_a_validation_within_an_epoch_it_is_not_skipped(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, options: list[str]
) -> None:
    run, undisturbed, options = tmp_path / "stopped", tmp_path / "undisturbed", [*FEW, *options]
    wait = iter(range(step - 1, -1, -1))
    with monkeypatch.context() as patch:
        _signal_in(patch, "training_step", lambda: next(wait, -1) == 0)
        assert main(_arguments(run, demo_tiles, *options)) == 85
    assert main(_arguments(run, demo_tiles, *options)) == 0
    assert main(_arguments(undisturbed, demo_tiles, *options)) == 0
    assert _same_weights(run, undisturbed)
    kept, expected = (
        pd.read_csv(folder / "fold-0" / "metrics.csv").dropna(subset="val_f2")[["step", "val_f2"]]
        for folder in (run, undisturbed)
    )
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), expected.reset_index(drop=True))


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize("phase", ["validation_step", "predict_step", "start_from_frequencies"])
def test_stopped_beside_training_it_goes_on(
    trained: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], phase: str,
) -> None:  # fmt: skip
    run, options = tmp_path / "run", ["--folds=[0]", "--model.tta=flips", "--data.predict_batch_size=16"]
    calls = iter(range(10_000))
    with monkeypatch.context() as patch:
        _signal_in(patch, phase, lambda: next(calls) == 0, signal.SIGTERM)
        assert main(_arguments(run, demo_tiles, *options)) == 85
    assert next(calls) == 1, "it went on in spite of the signal"
    assert "stopped by SIGTERM" in capsys.readouterr().err.splitlines()[-1]
    assert main(_arguments(run, demo_tiles, *options)) == 0
    assert _same_weights(run, trained)


def test_signals_to_every_process_of_a_job(demo_tiles: Path, tmp_path: Path) -> None:
    options = ["--trainer.max_epochs=1000", "--data.num_workers=2"]
    process = Forked(_arguments(tmp_path / "run", demo_tiles, *options), new_session=True)
    _wait_for(tmp_path / "run" / "fold-0" / "checkpoints" / "last.ckpt", process)
    os.killpg(process.pid, signal.SIGUSR1)
    time.sleep(random.uniform(0, 0.05))
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 85, told
    assert "stopped by SIGUSR1" in told.splitlines()[-1]
    with pytest.raises(ProcessLookupError):  # nobody is left of the session
        os.killpg(process.pid, 0)


def test_loaders_of_a_killed_process_end_by_themselves(demo_tiles: Path, tmp_path: Path) -> None:
    options = ["--trainer.max_epochs=1000", "--data.num_workers=2"]
    process = Forked(_arguments(tmp_path / "run", demo_tiles, *options), new_session=True)
    _wait_for(tmp_path / "run" / "fold-0" / "checkpoints" / "last.ckpt", process)
    process.kill()
    process.wait()
    os.killpg(process.pid, 0)  # the loaders are still there
    with locked_fold(Run(tmp_path / "run").fold(0)):
        pass  # but do not keep the next process from the fold
    end = time.monotonic() + 60
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def _wait_for(checkpoint: Path, process: Forked) -> None:
    end = time.monotonic() + 240
    while not checkpoint.exists() and time.monotonic() < end:
        assert process.poll() is None, "training ended before it could be stopped"
        time.sleep(0.02)


def _load_forever(started: Any) -> None:
    _start_worker(0)
    started.set()
    while True:
        time.sleep(1)


def test_loader_obeys_its_parent_only() -> None:
    fork = multiprocessing.get_context("fork")
    started = fork.Event()
    loader = fork.Process(target=_load_forever, args=(started,))
    loader.start()
    assert started.wait(10) and loader.pid
    for name in ("USR1", "USR2", "TERM"):
        subprocess.run(["sh", "-c", f"kill -{name} {loader.pid}"], check=True)
    loader.join(0.5)
    assert loader.is_alive()
    loader.terminate()
    loader.join(10)
    assert loader.exitcode == 0


# ---------------------------------------------------------------- checkpoints are whole


def test_killed_while_saving_the_checkpoint_is_whole(tmp_path: Path) -> None:
    path, rng = tmp_path / "last.ckpt", random.Random(0)
    content = {"weights": torch.arange(500_000)}
    began = time.perf_counter()
    AtomicCheckpointIO().save_checkpoint(content, path)
    taken = time.perf_counter() - began
    interrupted = tries = 0
    while interrupted < 4:
        tries += 1
        assert tries < 200, "hardly a kill falls into a save"
        reading, writing = os.pipe()
        saver = os.fork()
        if saver == 0:
            os.write(writing, b".")  # a process that is measured takes some time before it begins
            while True:
                AtomicCheckpointIO().save_checkpoint(content, path)
        os.read(reading, 1)
        os.close(reading)
        os.close(writing)
        time.sleep(rng.uniform(0, 2 * taken))
        os.kill(saver, signal.SIGKILL)
        os.waitpid(saver, 0)
        assert torch.equal(torch.load(path, weights_only=True)["weights"], content["weights"])
        left = list(tmp_path.glob(".*.part"))
        interrupted += len(left)
        for part in left:
            part.unlink()


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_checkpoint_that_does_not_fit_the_disk_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(3)}, path)
    before = path.read_bytes()
    with pytest.raises(WorkError, match=re.escape(str(path))), _files_of_at_most(1_000_000):
        AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(2_000_000)}, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_checkpoint_that_was_read_is_loaded_once_without_its_file(tmp_path: Path) -> None:
    path, files = tmp_path / "last.ckpt", AtomicCheckpointIO()
    files.save_checkpoint({"weights": torch.arange(3), "global_step": 1}, path)
    content = files.read(path)
    path.unlink()
    assert files.load_checkpoint(str(path), weights_only=True) is content  # as Lightning names it
    assert torch.equal(content["weights"], torch.arange(3))
    with pytest.raises(FileNotFoundError):
        files.load_checkpoint(str(path), weights_only=True)


# ---------------------------------------------------------------- several processes


_RANK = """
import json, signal, sys, torch
from pathlib import Path
from torch.utils.data import DataLoader
from amazon_ml.runtime import distributed
from amazon_ml.runtime import preemption
import pytorch_lightning as pl
from amazon_ml.training.callbacks import PreemptionCheckpoint, AtomicCheckpointIO

phase, rank, batch, checkpoint = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.validated = 0

    def training_step(self, x, index):
        self.signal("training", index)
        return self.layer(x).sum()

    def validation_step(self, x, index):
        self.signal("validation", index)
        self.validated += 1

    def signal(self, now, index):
        if (now, self.global_rank, index) == (phase, rank, batch):
            signal.raise_signal(signal.SIGTERM)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def train_dataloader(self):
        self.signal("starting", 0)
        return DataLoader(torch.ones(10, 2))

    def val_dataloader(self):
        return DataLoader(torch.ones(5 - self.trainer.global_rank, 2))  # one more on rank 0

preemption.listen()
module = Module()
trainer = pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False, enable_checkpointing=True,
    enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
    callbacks=[PreemptionCheckpoint(checkpoint)], plugins=[AtomicCheckpointIO()],
)
trainer.strategy.setup_environment()
try:
    with distributed.together(), preemption.held():
        trainer.fit(module)
finally:
    print(json.dumps([trainer.global_step, module.validated]))
"""


@pytest.mark.parametrize(
    ("phase", "rank", "batch", "reached", "saved"),
    [
        ("starting", 1, 0, [[1, 0], [1, 0]], 1),
        ("training", 1, 4, [[5, 0], [5, 0]], 5),  # both save after the batch in which one was asked
        ("validation", 0, 1, [[10, 2], [10, 2]], None),
        ("validation", 0, 4, [[11, 5], [11, 4]], 11),  # in the batch that rank 1 has not got
    ],
)
def test_signal_to_one_process_stops_all_at_the_same_batch(
    tmp_path: Path, phase: str, rank: int, batch: int, reached: list[list[int]], saved: int | None
) -> None:
    script, checkpoint = tmp_path / "rank.py", tmp_path / "last.ckpt"
    script.write_text(_RANK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        Forked(
            [str(script), phase, str(rank), str(batch), str(checkpoint)],
            environment={**os.environ, "LOCAL_RANK": str(local), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1",
                         "MASTER_PORT": str(port)},
            folder=tmp_path,
        )
        for local in range(2)
    ]  # fmt: skip
    told = [process.communicate(timeout=240)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [85, 85]
    assert [json.loads(lines) for lines in told] == reached
    step = torch.load(checkpoint, weights_only=True)["global_step"] if checkpoint.exists() else None
    assert step == saved
