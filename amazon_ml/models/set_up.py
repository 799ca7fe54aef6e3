"""Sets a network up before the other callbacks of a trainer, and checks the form of its batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from amazon_ml.errors import InputError

#: What a batch holds in training, and in validation and test, and in prediction.
_TRAINED, _SCORED, _PREDICTED = ("image", "target"), ("image", "target", "index"), ("image", "index")

#: What every error of a batch advises.
_REMEDY = "give loaders whose batches are like those of PlanetDataModule"

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
        check_batch(batch, _TRAINED, ("weight",))
        check_shapes(batch, (*_TRAINED[1:], "weight"), pl_module.hparams["tags"])
        if not self._checked:
            check_targets(batch["target"])
            if batch.get("weight") is not None:
                check_weights(batch["weight"])
            self._checked = True

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        """Check the form of a batch."""
        check_batch(batch, _SCORED)
        check_shapes(batch, _SCORED[1:], pl_module.hparams["tags"])

    def on_test_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        """Check the form of a batch."""
        check_batch(batch, _SCORED)
        check_shapes(batch, _SCORED[1:], pl_module.hparams["tags"])

    def on_predict_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        """Check the form of a batch."""
        check_batch(batch, _PREDICTED)


def check_batch(batch: Any, needed: tuple[str, ...], used: tuple[str, ...] = ()) -> None:
    """Check that a batch is a dictionary, or another mapping, with the tensors that a step needs.

    Parameters
    ----------
    batch
        What the loader gave.
    needed, used
        Names that the batch must have, and names that it may have.

    Raises
    ------
    InputError
        If it is something else.
    """
    form = f"a batch is a dictionary with {', '.join(needed)} here"
    if not isinstance(batch, Mapping):
        raise InputError(f"{form}, not {type(batch).__name__}", option="image", remedy=_REMEDY)
    if missing := [name for name in needed if name not in batch]:
        raise InputError(f"{form}, and this one has {', '.join(map(str, batch))}", option=missing[0], remedy=_REMEDY)
    for name in (*needed, *(name for name in used if batch.get(name) is not None)):
        if not isinstance(batch[name], torch.Tensor):
            target = ": for each tile an array, such as numpy.float32([1, 0])" if name == "target" else ""
            raise InputError(f"{form}, each a tensor, and {name} is a {type(batch[name]).__name__}", option=name,
                             remedy=f"give a tensor{target}")  # fmt: skip


def check_shapes(batch: Mapping[str, torch.Tensor], names: tuple[str, ...], tags: Sequence[str]) -> None:
    """Check that there is one row of targets for each tile, with a column for each tag: another shape is broadcast.

    Only shapes are looked at, which does not wait for a GPU.

    Parameters
    ----------
    batch
        A batch as `check_batch` wants it.
    names
        What to check; targets have a column for each tag, and other names one number for each tile. Names that the
        batch lacks are skipped.
    tags
        The tags of the network.

    Raises
    ------
    InputError
        If a shape is another one.
    """
    for name in names:
        if batch.get(name) is None:
            continue
        found, tiles = tuple(batch[name].shape), len(batch["image"])
        wanted = (tiles, len(tags)) if name == "target" else (tiles,)
        if found == wanted:
            continue
        problem = f"{name} of a batch must have the shape {wanted}, for {tiles} tiles"
        remedy = "give one number for each tile"
        if name == "target":
            problem += f" and {len(tags)} tag{'s' * (len(tags) != 1)}"
            remedy = "give a list of numbers for each tile, one for each tag"
            remedy += ", as numpy.float32([1])" * (len(tags) == 1)
        raise InputError(f"{problem}, not {found}", option=name, remedy=remedy)


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


def check_weights(weights: torch.Tensor) -> None:
    """Check that weights of training tiles are finite and not negative.

    Raises
    ------
    InputError
        If one is.
    """
    odd = weights[~(torch.isfinite(weights) & (weights >= 0))]
    if len(odd):
        raise InputError(f"weights of training tiles must be 0 or more, and one is {odd[0].item():g}", option="weight")
