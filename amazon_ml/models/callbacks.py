"""What happens beside training: checkpoints to resume from, and a line for each epoch."""

import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amazon_ml.data.loading import Batch
from amazon_ml.lightning import pl

log = logging.getLogger(__name__)

#: How much work a killed run may lose, at most.
SAVE_EVERY = timedelta(seconds=60)


def resume_points(checkpoint: Path, whole_steps: bool) -> list[pl.Callback]:
    """Keep one checkpoint: written every minute and after each epoch, whole or not at all.

    Parameters
    ----------
    checkpoint
        Where it is kept.
    whole_steps
        Whether each batch is a step. Where gradients are accumulated over batches, a checkpoint
        between them would lose them, so there is one after each epoch only.
    """
    place: dict[str, Any] = {"dirpath": checkpoint.parent, "filename": checkpoint.stem, "enable_version_counter": False}
    after_epochs = pl.callbacks.ModelCheckpoint(**place, save_on_train_epoch_end=True)
    timed = pl.callbacks.ModelCheckpoint(**place, train_time_interval=SAVE_EVERY)
    return [timed, after_epochs] if whole_steps else [after_epochs]


class StepSeed(pl.Callback):
    """Seed each batch's dropout by (seed, rank, epoch, batch), so that resuming changes no draw."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Seed PyTorch."""
        entropy = np.random.SeedSequence((self.seed, trainer.global_rank, trainer.current_epoch, batch_idx))
        torch.manual_seed(int(entropy.generate_state(1)[0]))


class EpochLine(pl.Callback):
    """Log each epoch's figures and training speed; `speeds` keeps the images/s of whole epochs."""

    def __init__(self) -> None:
        self.speeds: list[float] = []
        self._tiles, self._began = 0, 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock."""
        self._tiles, self._began = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Count tiles; the clock stops at the last batch, before validation."""
        self._tiles += len(batch["image"])
        if trainer.is_last_batch:
            if module.device.type == "cuda":
                torch.cuda.synchronize()
            speed = self._tiles * trainer.world_size / (time.perf_counter() - self._began)
            self.speeds.append(speed)
            module.log("images_per_second", speed, batch_size=1)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log the line."""
        figures = trainer.callback_metrics
        named = {"train loss": "train_loss_epoch", "val loss": "val_loss", "val F2 at 0.2": "val_f2"}
        told = [f"{name} {float(figures[key]):.4f}" for name, key in named.items() if key in figures]
        last = f"{self.speeds[-1]:.0f} images/s" if self.speeds else ""
        log.info("epoch %d/%s: %s", trainer.current_epoch + 1, trainer.max_epochs, ", ".join([*told, last]))
