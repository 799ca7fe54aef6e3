"""Seeds of random numbers that depend only on the seed of the run and the step."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytorch_lightning as pl
import torch

from amazon_ml.data.batches.dataset import Batch
from amazon_ml.data.datamodule import PlanetDataModule


class PerStepSeed(pl.Callback):
    """Seeds the dropout of each batch by (seed, rank, epoch, batch), so that a resumed run draws the same numbers.

    Parameters
    ----------
    seed
        By default that of the network of the trainer's `PlanetDataModule`; nothing is seeded where there is no such
        data module.

    Examples
    --------
    A `TileTagger` adds this callback to its trainer. Other networks can use it, too.

    >>> trainer = pl.Trainer(max_epochs=1, callbacks=[PerStepSeed(0)], logger=False)
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed, self._used = seed, seed

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Use the seed of the data module if no other is given."""
        data = getattr(trainer, "datamodule", None)
        if self.seed is None:
            self._used = data.network_seed if isinstance(data, PlanetDataModule) else None

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Seed PyTorch."""
        if self._used is None:
            return
        entropy = np.random.SeedSequence((self._used, trainer.global_rank, trainer.current_epoch, batch_idx))
        # On a CPU, nothing draws from other generators, and PyTorch would write down the stack for each kind of device.
        seed = torch.default_generator.manual_seed if module.device.type == "cpu" else torch.manual_seed
        seed(int(entropy.generate_state(1)[0]))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch on the CPU for a block, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
