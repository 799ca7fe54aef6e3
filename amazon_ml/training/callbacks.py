"""What happens beside training: checkpoints to resume from, a line and a table of the tags for each epoch."""

import io
import logging
import os
import resource
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from amazon_ml.data.batches.loading import Batch
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.curves import read_figures
from amazon_ml.runtime import distributed, preemption
from amazon_ml.runtime.files import atomic_write, write_table

log = logging.getLogger(__name__)

#: How much work a killed run may lose, at most.
SAVE_EVERY = timedelta(seconds=60)


def resume_points(checkpoint: Path) -> list[pl.Callback]:
    """Keep one checkpoint: written every minute, after each epoch, and when a signal asks to stop."""
    after_epochs = pl.callbacks.ModelCheckpoint(
        checkpoint.parent, checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True
    )
    return [after_epochs, PreemptionCheckpoint(checkpoint)]


#: What a process wants after a step; all do what the one does that wants the most.
_GO_ON, _SAVE, _STOP = range(3)


class PreemptionCheckpoint(pl.callbacks.Checkpoint):
    """Save after a step where it is time to, and stop where a signal asked for it; all processes at the same step.

    One process that is asked is enough: a scheduler may reach them at different times, or one of them only.
    Validation is left after a batch, without saving; what was trained since the last save is then trained again.
    They agree through main memory, once a step, so that none waits for a device.
    Being a ``Checkpoint`` it is called last, when averages have taken in the weights of the step.

    Parameters
    ----------
    checkpoint
        Where to save.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._saved_at = 0.0
        self._stops = False
        self._shared_batches = 0

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Do without Lightning's handler of SIGTERM, which talks to the others whatever they are at."""
        inside: Any = trainer
        inside._signal_connector.register_signal_handlers = preemption.reclaim
        inside.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # and waits for the device, in every step

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock."""
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Save."""
        if not _can_resume_behind(trainer, batch_idx):
            return
        due = distributed.rank() == 0 and time.monotonic() - self._saved_at >= SAVE_EVERY.total_seconds()
        wanted = distributed.all_reduce_max(_STOP if preemption.requested() else _SAVE if due else _GO_ON)
        self._stops = wanted == _STOP
        if wanted != _GO_ON:
            trainer.save_checkpoint(self.checkpoint)
            self._saved_at = time.monotonic()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop, now that loggers have the figures of the step."""
        if self._stops:
            raise preemption.Stopped(f"at step {trainer.global_step}")

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Find how many batches all processes have: behind them, some could not answer."""
        self._shared_batches = min(distributed.all_gather(int(sum(trainer.num_val_batches))))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        """Stop."""
        if batch_idx < self._shared_batches and distributed.all_reduce_max(preemption.requested()):
            raise preemption.Stopped(f"in the validation after step {trainer.global_step}")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop behind the last epoch, whose checkpoint is written."""
        if distributed.all_reduce_max(preemption.requested()):
            raise preemption.Stopped(f"at step {trainer.global_step}, the last")


def _can_resume_behind(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a checkpoint after this batch would lose nothing.

    It would lose gradients that are still accumulated. And after an epoch's last batch, or another that a
    validation follows, Lightning would resume behind that validation, and skip it.
    """
    if (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch:
        return False
    every = trainer.val_check_batch
    done = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    # Where a validation follows every batch, the work of an epoch is worth more than one of them.
    return every is None or every <= 1 or (done + 1) % every != 0


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints beside their place, then rename them.

    Lightning writes them to the folder for temporary files; on a cluster, that is another file system than
    the run's, and a kill during the copying would leave half a checkpoint in place of the whole one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save, and have it on the disk before the former one goes."""
        content = io.BytesIO()  # written from here, since PyTorch hides what the disk says behind an error of its own
        torch.save(checkpoint, content)
        with atomic_write(Path(path)) as temporary, temporary.open("wb") as stream:
            stream.write(content.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())


class EpochLogger(pl.Callback):
    """Log each epoch's figures, training speed, share of the time spent waiting for data, and peak of memory.

    Attributes
    ----------
    speeds
        Images/s of each epoch, or of the part of it since it was resumed.
    waits
        Share of each epoch's time in which the training loop waited for a batch, in 0..1. The work of a
        GPU goes on meanwhile, so there it is the most that faster loading could save.
    peak
        Most memory so far, GiB: PyTorch's on a GPU, this process's own otherwise.
    row
        What the loggers get of the last epoch that ended. It is stored in checkpoints: loggers are told after
        the one at the end of an epoch is written, and a process may be killed in between.
    """

    row: Mapping[str, float]

    def __init__(self) -> None:
        self.row = {}
        self.speeds: list[float] = []
        self.waits: list[float] = []
        self.peak = 0.0
        self._tiles, self._began, self._waited = 0, 0.0, 0.0

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Forget the memory of what ran before on the GPU."""
        if module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(module.device)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock; in an epoch that is resumed in its middle, this is the only time."""
        self._tiles, self._began, self._waited = 0, time.perf_counter(), _waited(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start it anew."""
        self.on_train_start(trainer, module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Count tiles; the clock stops at the last batch, before validation."""
        self._tiles += len(batch["image"])
        if trainer.is_last_batch:
            if module.device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - self._began
            self.speeds.append(self._tiles * trainer.world_size / seconds)
            self.waits.append((_waited(trainer) - self._waited) / seconds)
            self.peak = _peak_memory(module.device)
            figures = {
                "images_per_second": self.speeds[-1],
                "data_wait": self.waits[-1],
                "peak_memory_gib": self.peak,
                "train_seconds": seconds,
            }
            module.log_dict(figures, on_step=False, on_epoch=True, batch_size=1)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log the line."""
        figures = trainer.callback_metrics
        named = {"train loss": "train_loss_epoch", "val loss": "val_loss", "val F2 at 0.2": "val_f2"}
        told = [f"{name} {float(figures[key]):.4f}" for name, key in named.items() if key in figures]
        own = {key: float(value) for key, value in figures.items() if key in _ROW}
        self.row = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1, **own}
        if self.speeds:
            told += [f"{self.speeds[-1]:.0f} images/s", f"{self.waits[-1]:.0%} wait for data", f"{self.peak:.1f} GiB"]
        log.info("epoch %d/%s: %s", trainer.current_epoch + 1, trainer.max_epochs, ", ".join(told))

    def state_dict(self) -> dict[str, float]:
        """Give the row."""
        return dict(self.row)

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take the row back."""
        self.row = state


#: Figures of an epoch of training, as loggers get them.
_ROW = {"train_loss_epoch", "images_per_second", "data_wait", "peak_memory_gib", "train_seconds"}


def _waited(trainer: pl.Trainer) -> float:
    """Seconds waited for batches so far, as far as the loader counts them."""
    return float(getattr(trainer.train_dataloader, "waited", 0.0))


def _peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts it in KiB


#: Figures of a tag as loggers call them, and their columns.
_LOGGED = {"f2": "fbeta", "precision": "precision", "recall": "recall", "average_precision": "average_precision"}


class TaskMark(pl.Callback):
    """Keep in each checkpoint what it is trained for, so that one of another run is noticed."""

    def __init__(self, task: str | None) -> None:
        self.task = task

    def state_dict(self) -> dict[str, str | None]:
        """Give the task."""
        return {"task": self.task}


class PerTagTable(pl.Callback):
    """Keep each epoch's figures of each tag in a CSV of one row an epoch and tag, and send them to the loggers.

    A row of this epoch or a later one is from before an interruption: the epoch is done again, and
    its rows take their place.

    Parameters
    ----------
    path
        The CSV, written whole after each validation.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the table, and log."""
        if not trainer.is_global_zero:
            return
        table = cast(TileTagger, module).per_tag
        now = table.assign(epoch=trainer.current_epoch)[["epoch", *table.columns]]
        if (former := read_figures(self.path, ("epoch", "tag"))) is not None:
            now = pd.concat([former[former["epoch"] < trainer.current_epoch], now])
        write_table(self.path, now)
        by_tag = table.set_index("tag")
        scores = {
            f"per_tag/{figure}/{tag}": float(value)
            for figure, column in _LOGGED.items()
            for tag, value in by_tag[column].items()
        }
        for logger in trainer.loggers:
            if not isinstance(logger, pl.loggers.CSVLogger):  # which would grow a column for each tag
                logger.log_metrics(scores, step=trainer.global_step - 1)  # the step that Lightning counts by
