"""Learning-rate and batch-size finders."""

import logging
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from amazon_ml.data.batches.dataset import Batch
from amazon_ml.data.config import without_teacher
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.errors import InputError, WorkError
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.tagger import TileTagger, make_tagger
from amazon_ml.report.figures import draw_sweep
from amazon_ml.runs.access import BEFORE_TRAINING, check_run_folder
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import write_table
from amazon_ml.runtime.random_states import kept_random_states
from amazon_ml.training.fit import make_trainer
from amazon_ml.training.launch import check_accelerator
from amazon_ml.training.signals import interruptible
from amazon_ml.training.tiles import fold_data, on_gpu, prepare_tiles

log = logging.getLogger(__name__)

#: Weight of the former value in the smoothed loss.
_SMOOTH = 0.9
#: A sweep ends if the smoothed loss is this many times its minimum.
_DIVERGED = 4
#: The smallest batch that is tried.
_SMALLEST = 8
#: Share of the highest speed that counts as equally fast.
_AS_FAST = 0.95
#: Messages of full memory that are no `torch.OutOfMemoryError`: of the CPU, and of libraries of CUDA.
_FULL = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
#: Options of a trainer that does only steps of training.
_BARE: dict[str, Any] = {
    "logger": False, "enable_checkpointing": False, "limit_val_batches": 0, "devices": 1, "num_nodes": 1,
    "strategy": "auto", "max_epochs": -1, "max_time": None, "min_epochs": None, "min_steps": None,
    "limit_train_batches": None, "val_check_interval": None, "check_val_every_n_epoch": 1,
}  # fmt: skip


def find_rate(config: RunConfig, lowest: float = 1e-6, highest: float = 1.0, steps: int = 100) -> float:
    """Train at rising rates, find where the loss falls and where it diverges, and write lr.csv and lr.png to the run.

    Parameters
    ----------
    config
        The configuration; tile size and frozen layers are those of its first epoch.
    lowest, highest
        Learning rates of the first and the last step.
    steps
        Number of steps, at least 10.

    Returns
    -------
    The suggested rate.
    """
    check_accelerator(config.trainer)
    if not 0 < lowest < highest < math.inf:
        raise InputError(f"`lowest` {lowest:g} must be above 0 and below `highest` {highest:g}", option="lowest")
    if steps < 10:
        raise InputError(f"`steps` must be at least 10, not {steps}", option="steps")
    run = Run(config.folder)
    check_run_folder(run, BEFORE_TRAINING)
    found = sweep(config, np.geomspace(lowest, highest, steps))
    suggested = suggest_rate(found)
    write_table(run.path / "lr.csv", found)
    draw_sweep(run.path / "lr.png", found, suggested)
    log.info("wrote %s and lr.png", run.path / "lr.csv")
    return suggested


@kept_random_states()
def sweep(config: RunConfig, rates: np.ndarray) -> pd.DataFrame:
    """Train a new network, each step at the next rate, until its loss diverges (Smith 2017).

    Parameters
    ----------
    config
        The configuration.
    rates
        Rising learning rates of the head; other layers use fixed shares of them.

    Returns
    -------
    One row for each batch: ``step``, ``learning_rate``, ``loss`` and ``smoothed_loss``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        data = _first_fold(Path(scratch), config)
        pl.seed_everything(config.seed, verbose=False)
        tagger = _tagger(replace(config, model=_first_epoch(config.model)), data)
        rising = RisingRate(rates)
        trainer = make_trainer(config.trainer, [rising], **_BARE, default_root_dir=scratch, max_steps=len(rates))
        with interruptible(trainer):
            # Only the loader: with the data module, each step would seed dropout.
            trainer.fit(tagger, data.train_dataloader())
    if not rising.rows:
        raise WorkError(f"the loss is not finite at the `lowest` rate {rates[0]:g}")
    return pd.DataFrame(rising.rows, columns=["step", "learning_rate", "loss", "smoothed_loss"])


class RisingRate(pl.Callback):
    """Sets the learning rate of each step, and stores the losses in `rows`."""

    def __init__(self, rates: np.ndarray) -> None:
        self.rates = rates
        self.rows: list[tuple[int, float, float, float]] = []
        self._mean, self._weight = 0.0, 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Set the rate instead of that of the schedule."""
        self._step = trainer.global_step
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.rates[self._step] * group["initial_lr"] / module.hparams["lr"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Store the loss; stop if it diverges."""
        loss = float(outputs["loss"])
        self._mean = _SMOOTH * self._mean + (1 - _SMOOTH) * loss
        self._weight = _SMOOTH * self._weight + (1 - _SMOOTH)
        smoothed = self._mean / self._weight
        if math.isfinite(smoothed):
            self.rows.append((self._step, float(self.rates[self._step]), loss, smoothed))
        if not math.isfinite(smoothed) or smoothed > _DIVERGED * min(row[-1] for row in self.rows):
            trainer.should_stop = True


def suggest_rate(found: pd.DataFrame) -> float:
    """Suggest a tenth of the rate at which the smoothed loss was least.

    There the loss still falls steeply; at its minimum it is about to rise (Howard and Gugger 2020).
    """
    least = int(found["smoothed_loss"].to_numpy().argmin())
    if least in (0, len(found) - 1):
        log.warning("the loss was least at an end of the sweep: widen `lowest` and `highest`")
    return float(found["learning_rate"].iloc[least]) / 10


def measure_batches(config: RunConfig, limit: int = 512, steps: int = 5) -> tuple[dict[int, float], bool]:
    """Time training steps on batches of doubling size.

    Tiles are noise that is made once: speed and memory do not depend on the pixels, and loading is not measured.

    Parameters
    ----------
    config
        The configuration.
    limit
        The largest batch to try, at least 8.
    steps
        Number of timed steps for each size; their median counts.

    Returns
    -------
    Images/s of each size, and whether full memory ended the measurement.
    """
    check_accelerator(config.trainer)
    if limit < _SMALLEST:
        raise InputError(f"`limit` must be at least {_SMALLEST}, not {limit}", option="limit")
    if steps < 1:
        raise InputError(f"`steps` must be at least 1, not {steps}", option="steps")
    with tempfile.TemporaryDirectory() as scratch:
        data = _first_fold(Path(scratch), config)
        tagger = _tagger(replace(config, model=replace(config.model, progressive_resizing={}, unfreeze={})), data)
    speeds: dict[int, float] = {}
    for size in _doubled(_SMALLEST, limit):
        try:
            speeds[size] = size / _seconds_a_step(tagger, config, size, steps)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if not speeds:
                raise WorkError(f"not even {size} tiles of {config.data.size} px fit in memory") from error
            return speeds, True
        log.info("batches of %d: %.0f images/s", size, speeds[size])
    return speeds, False


def enough(speeds: dict[int, float]) -> int:
    """Choose the smallest batch that is about as fast as the fastest."""
    return min(size for size, speed in speeds.items() if speed >= _AS_FAST * max(speeds.values()))


def out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory is full, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _FULL)
    )


class StepClock(pl.Callback):
    """Records the times at which steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Record the time when the device is done."""
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def _seconds_a_step(tagger: TileTagger, config: RunConfig, size: int, steps: int) -> float:
    edge, bands, tags = config.data.size, tagger.hparams["in_chans"], len(tagger.hparams["tags"])
    batch = {
        "image": torch.randint(0, 256, (size, edge, edge, bands)).to(getattr(torch, config.data.dtype)),
        "target": torch.zeros(size, tags),
    }
    if on_gpu(config.trainer):  # as loaders do; from other memory, each step would wait for its tiles
        batch = {key: value.pin_memory() for key, value in batch.items()}
    clock, count = StepClock(), steps + 2  # the first step includes initialisation
    trainer = make_trainer(config.trainer, [clock], **_BARE, max_steps=count, accumulate_grad_batches=1)
    with interruptible(trainer):
        trainer.fit(tagger, DataLoader([batch] * count, batch_size=None))  # type: ignore[arg-type]
    return statistics.median(np.diff(clock.ends[1:]).tolist())


def _first_fold(scratch: Path, config: RunConfig) -> PlanetDataModule:
    """Read the tiles of fold 0, without those that a teacher tags: for a few steps, it predicts nothing."""
    if config.data.teacher is not None:
        log.info("only tagged tiles are used here, and the teacher predicts nothing")
    run, config = Run(scratch), replace(config, data=without_teacher(config.data))
    return fold_data(run, config, 0, prepare_tiles(run, config).catalog)


def _first_epoch(model: ModelConfig) -> ModelConfig:
    """Remove changes in later epochs, which a sweep of many steps would reach."""
    sizes = {epoch: edge for epoch, edge in model.progressive_resizing.items() if epoch == 0}
    stages = {epoch: count for epoch, count in model.unfreeze.items() if epoch == 0}
    return replace(model, progressive_resizing=sizes, unfreeze=stages)


def _tagger(config: RunConfig, data: PlanetDataModule) -> TileTagger:
    """Make a network that has learnt from the training tiles what it learns before the first step of a run."""
    model = replace(config.model, ema=None, swa=None)
    tagger = make_tagger(model, data.catalog.tags.names, config.data.size, data.stretch, config.data.dtype)
    tagger.take_data(data)  # checks the options, as in a run
    if model.normalization == "training":
        tagger.learn_statistics(*data.statistics())
    tagger.learn_frequencies(data.frequencies)
    return tagger


def _doubled(first: int, limit: int) -> Iterator[int]:
    while first <= limit:
        yield first
        first *= 2
