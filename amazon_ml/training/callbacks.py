"""Callbacks of the trainer: checkpoints to resume from, a log line and a table of tags for each epoch."""

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

from amazon_ml.data.batches.dataset import Batch
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.curves import read_figures
from amazon_ml.runtime import distributed, preemption
from amazon_ml.runtime.files import atomic_write, write_table

log = logging.getLogger(__name__)

#: Most work that a killed run may lose.
SAVE_EVERY = timedelta(seconds=60)


def resume_points(checkpoint: Path) -> list[pl.Callback]:
    """Make the callbacks of one checkpoint, saved every minute, after each epoch, and when a signal requests a stop."""
    after_epochs = pl.callbacks.ModelCheckpoint(
        checkpoint.parent, checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True
    )
    return [after_epochs, PreemptionCheckpoint(checkpoint)]


#: Requests of a process after a step; all processes obey the largest.
_GO_ON, _SAVE, _STOP = range(3)


class PreemptionCheckpoint(pl.callbacks.Checkpoint):
    """Saves a checkpoint when it is time, and stops when a signal requests it; all processes at the same step.

    A signal to one process is enough: a scheduler may signal them at different times, or only one of them. Validation
    stops after a batch, without saving; the steps since the last checkpoint are then trained again. The processes agree
    through main memory, once per step, so that none waits for a device. As a ``Checkpoint``, this callback is called
    last, after averages have been updated.

    Parameters
    ----------
    checkpoint
        Path of the checkpoint.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._saved_at = 0.0
        self._stops = False
        self._shared_batches = 0

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Switch off Lightning's handler of SIGTERM, which calls the other processes at any time."""
        inside: Any = trainer
        inside._signal_connector.register_signal_handlers = preemption.reclaim
        inside.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # waits for the device in every step

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock."""
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Save if it is time, or a stop is requested."""
        if not _can_resume_after(trainer, batch_idx):
            return
        due = distributed.rank() == 0 and time.monotonic() - self._saved_at >= SAVE_EVERY.total_seconds()
        wanted = distributed.all_reduce_max(_STOP if preemption.requested() else _SAVE if due else _GO_ON)
        self._stops = wanted == _STOP
        if wanted != _GO_ON:
            trainer.save_checkpoint(self.checkpoint)
            self._saved_at = time.monotonic()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop after the loggers have the figures of the step."""
        if self._stops:
            raise preemption.Stopped(f"at step {trainer.global_step}")

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Find the number of batches that all processes have; after them, some processes could not answer."""
        self._shared_batches = min(distributed.all_gather(int(sum(trainer.num_val_batches))))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        """Stop if a signal has requested it."""
        if batch_idx < self._shared_batches and distributed.all_reduce_max(preemption.requested()):
            raise preemption.Stopped(f"in the validation after step {trainer.global_step}")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop after the last epoch, whose checkpoint is written."""
        if distributed.all_reduce_max(preemption.requested()):
            raise preemption.Stopped(f"at step {trainer.global_step}, the last")


def _can_resume_after(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether training can resume from a checkpoint after this batch without loss.

    Accumulated gradients would be lost. After the last batch of an epoch, or another batch before a validation,
    Lightning would resume after that validation, and skip it.
    """
    if (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch:
        return False
    every = trainer.val_check_batch
    done = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    # If a validation follows every batch, the work of an epoch is worth more than one validation.
    return every is None or every <= 1 or (done + 1) % every != 0


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints under a temporary name in their folder, then renames them.

    Lightning writes them to the folder for temporary files. On a cluster that is another file system than that of the
    run, and a kill during the copy would leave half a checkpoint instead of a complete one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[str, dict[str, Any]] = {}

    def read(self, path: Path) -> dict[str, Any]:
        """Read a checkpoint, and keep it for the trainer, which then need not read the file again.

        One of step 0 is not kept, since training begins anew.
        """
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["global_step"]:
            self._read[str(path)] = content
        return content

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Give a checkpoint that was read, once; others are loaded as Lightning does it."""
        if (content := self._read.pop(str(path), None)) is not None:
            return content
        loaded: dict[str, Any] = super().load_checkpoint(path, *arguments, **options)
        return loaded

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save, and force the file to disk before it replaces the former one."""
        content = io.BytesIO()  # in memory first, since PyTorch hides errors of the disk behind its own
        torch.save(checkpoint, content)
        with atomic_write(Path(path)) as temporary, temporary.open("wb") as stream:
            stream.write(content.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())


class EpochLogger(pl.Callback):
    """Logs the scores of each epoch, training speed, share of the time spent waiting for data, and peak of memory.

    Attributes
    ----------
    speeds
        Images/s of each epoch, or of the part of it since it was resumed.
    waits
        Share of the time of each epoch in which the training loop waited for a batch, in 0..1. A GPU continues to work
        meanwhile, so there it is the most that faster loading could save.
    peak
        Largest memory so far, GiB: that of PyTorch on a GPU, else that of this process.
    row
        Figures of the last finished epoch for the loggers. Checkpoints store it: loggers get it after the checkpoint
        at the end of the epoch is written, and a process may be killed in between.
    """

    row: Mapping[str, float]

    def __init__(self) -> None:
        self.row = {}
        self.speeds: list[float] = []
        self.waits: list[float] = []
        self.peak = 0.0
        self._tiles, self._began, self._ended, self._waited = 0, 0.0, 0.0, 0.0
        self._before = 0.0  # seconds of this epoch before it was resumed
        self._recorded = self._validated = False  # in this epoch

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Reset the peak of memory on the GPU."""
        if module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(module.device)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock; for an epoch that is resumed in its middle, only this method does so."""
        self._tiles, self._began, self._waited = 0, time.perf_counter(), _waited(trainer)
        self._ended, self._recorded, self._validated = self._began, False, False

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Restart the clock."""
        self._before = 0.0
        self.on_train_start(trainer, module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Count tiles; the clock stops at the last batch, before validation."""
        self._tiles += len(batch["image"])
        if trainer.is_last_batch and module.device.type == "cuda":
            torch.cuda.synchronize()
        self._ended = time.perf_counter()
        if trainer.is_last_batch:
            self._record(trainer, module)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note that the figures of validation are those of this epoch."""
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log a line with the figures of the epoch."""
        if self._tiles and not self._recorded:  # steps or time ended it in its middle
            self._record(trainer, module)
        figures = trainer.callback_metrics  # also those of former epochs
        named = {"train loss": "train_loss_epoch"} if self._recorded else {}
        if self._validated:
            named |= {"val loss": "val_loss", "val F2 at 0.2": "val_f2", "val AP macro": "val_average_precision_macro"}
        parts = [f"{name} {float(figures[key]):.4f}" for name, key in named.items() if key in figures]
        own = {key: float(value) for key, value in figures.items() if key in _ROW and self._recorded}
        self.row = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1, **own}
        if self._recorded:
            parts += [f"{self.speeds[-1]:.0f} images/s", f"{self.waits[-1]:.0%} wait for data", f"{self.peak:.1f} GiB"]
        of = f"/{trainer.max_epochs}" if trainer.max_epochs not in (None, -1) else ""
        log.info("epoch %d%s: %s", trainer.current_epoch + 1, of, ", ".join(parts))

    def _record(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Store and log the figures of the epoch so far."""
        seconds = self._ended - self._began
        self.speeds.append(self._tiles * trainer.world_size / seconds)
        self.waits.append((_waited(trainer) - self._waited) / seconds)
        self.peak = _peak_memory(module.device)
        self._recorded = True
        figures = {
            "images_per_second": self.speeds[-1],
            "data_wait": self.waits[-1],
            "peak_memory_gib": self.peak,
            "train_seconds": self._before + seconds,
        }
        module.log_dict(figures, on_step=False, on_epoch=True, batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        """Return the row, and the seconds of an epoch that has not ended, for a checkpoint."""
        seconds = 0.0 if self._recorded else self._before + self._ended - self._began
        return {"row": dict(self.row), "seconds": seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore them."""
        self.row, self._before = state["row"], state["seconds"]


#: Figures of an epoch of training in the loggers.
_ROW = {"train_loss_epoch", "images_per_second", "data_wait", "peak_memory_gib", "train_seconds"}


def _waited(trainer: pl.Trainer) -> float:
    """Return the seconds waited for batches so far, if the loader counts them."""
    return float(getattr(trainer.train_dataloader, "waited", 0.0))


def _peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts it in KiB


#: Names of the figures of a tag in the loggers, and their columns.
_LOGGED = {"f2": "fbeta", "precision": "precision", "recall": "recall", "average_precision": "average_precision"}


class TaskMark(pl.Callback):
    """Stores the task in each checkpoint, so that a checkpoint of another run is noticed."""

    def __init__(self, task: str | None) -> None:
        self.task = task

    def state_dict(self) -> dict[str, str | None]:
        """Return the task for a checkpoint."""
        return {"task": self.task}


class PerTagTable(pl.Callback):
    """Writes the scores of each tag to a CSV with one row for each epoch and tag, and to the loggers.

    A row of this epoch or a later one is from before an interruption: the epoch is trained again, and its new rows
    replace the old ones.

    Parameters
    ----------
    path
        The CSV, rewritten after each validation.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._named = False

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the table, and log the scores."""
        if not trainer.is_global_zero:
            return
        table = cast(TileTagger, module).per_tag
        now = table.assign(epoch=trainer.current_epoch)[["epoch", *table.columns]]
        if (former := read_figures(self.path, ("epoch", "tag"))) is not None:
            now = pd.concat([former[former["epoch"] < trainer.current_epoch], now])
        write_table(self.path, now)
        by_tag = table.set_index("tag")
        absent = by_tag.index[by_tag["support"] == 0]
        if len(absent) and not self._named:
            log.info("macro averages leave out tags that no held-out tile has: %s", ", ".join(absent))
            self._named = True
        scores = {
            f"per_tag/{figure}/{tag}": float(value)
            for figure, column in _LOGGED.items()
            for tag, value in by_tag[column].items()
        }
        for logger in trainer.loggers:
            if not isinstance(logger, pl.loggers.CSVLogger):  # it would get a column for each tag
                logger.log_metrics(scores, step=trainer.global_step - 1)  # the step that Lightning counts by
