"""What happens beside training: checkpoints to resume from, and a line for each epoch."""

import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from amazon_ml.data.datamodule import Batch
from amazon_ml.lightning import pl

log = logging.getLogger(__name__)

#: How much work a killed run may lose, at most.
SAVE_EVERY = timedelta(seconds=60)


def resume_points(checkpoint: Path) -> list[pl.Callback]:
    """Keep one checkpoint: written every minute and after each epoch, whole or not at all."""
    place: dict[str, Any] = {"dirpath": checkpoint.parent, "filename": checkpoint.stem, "enable_version_counter": False}
    return [
        pl.callbacks.ModelCheckpoint(**place, train_time_interval=SAVE_EVERY),
        pl.callbacks.ModelCheckpoint(**place, save_on_train_epoch_end=True),
    ]


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
