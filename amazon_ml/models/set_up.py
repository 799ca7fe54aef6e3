"""Sets a network up before the other callbacks of a trainer, and checks the form of its batches."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from amazon_ml.errors import InputError

#: What a batch holds in training, and in validation and test, and in prediction.
_TRAINED, _SCORED, _PREDICTED = ("image", "target"), ("image", "target", "index"), ("image", "index")

_ROUNDING = 1e-3


class SetUp(pl.Callback):
    """Sets the network up before the later callbacks, which may copy it, and checks batches of loaders of one's own."""

    #: Whether the targets of this fit have been looked at.
    _checked = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Call `setup` of the network."""
        self._checked = False
        pl_module.setup(stage)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        """Check the form of a batch, and the range of the targets of the first one: each look waits for a GPU."""
        check_batch(batch, _TRAINED)
        if not self._checked:
            check_targets(batch["target"])
            self._checked = True

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        """Check the form of a batch."""
        check_batch(batch, _SCORED)

    def on_test_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        """Check the form of a batch."""
        check_batch(batch, _SCORED)

    def on_predict_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        """Check the form of a batch."""
        check_batch(batch, _PREDICTED)


def check_batch(batch: Any, needed: tuple[str, ...]) -> None:
    """Check that a batch is a dictionary, or another mapping, with what a step needs.

    Raises
    ------
    InputError
        If it is something else.
    """
    form = f"a batch is a dictionary with {', '.join(needed)} here"
    if not isinstance(batch, Mapping):
        raise InputError(f"{form}, not {type(batch).__name__}", option="image",
                         remedy="give loaders whose batches are like those of PlanetDataModule")  # fmt: skip
    if missing := [name for name in needed if name not in batch]:
        raise InputError(f"{form}, and this one has {', '.join(map(str, batch))}", option=missing[0],
                         remedy="give loaders whose batches are like those of PlanetDataModule")  # fmt: skip


def check_targets(targets: torch.Tensor) -> None:
    """Check that targets of training are in 0..1, or beside it by no more than the rounding of mixed tiles.

    Raises
    ------
    InputError
        If a target is below or above, or not a number.
    """
    odd = targets[~((targets >= -_ROUNDING) & (targets <= 1 + _ROUNDING))]
    if len(odd):
        raise InputError(f"targets of training must be in 0..1, and one is {odd[0].item():g}", option="target",
                         remedy="give 1 for a tag that the tile has, and 0 for one that it lacks")  # fmt: skip
