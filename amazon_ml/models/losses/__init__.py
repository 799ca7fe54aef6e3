"""Losses by name; read `bce` first, since the others describe how they differ from it."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.models.losses.bce import BCE
from amazon_ml.models.losses.focal import Asymmetric, Focal
from amazon_ml.models.losses.grouped_softmax import GroupedSoftmax
from amazon_ml.models.losses.loss import Loss, prior_logits
from amazon_ml.models.losses.reweighted import LabelSmoothing, PosWeight
from amazon_ml.models.losses.soft_f import SoftF

__all__ = ["LOSSES", "Loss", "check_loss", "make_loss", "prior_logits"]

#: Classes of losses by name; each is made from the tag list and its own arguments.
LOSSES: dict[str, type[Loss]] = {
    "bce": BCE,
    "pos_weight": PosWeight,
    "label_smoothing": LabelSmoothing,
    "focal": Focal,
    "asymmetric": Asymmetric,
    "soft_f2": SoftF,
    "grouped_softmax": GroupedSoftmax,
}


def make_loss(name: str, args: Mapping[str, Any] = {}, tags: Sequence[str] = ()) -> Loss:
    """Make a loss by name.

    Parameters
    ----------
    name
        One of `LOSSES`.
    args
        Arguments of that loss.
    tags
        The tag list, in the order of logits; ``grouped_softmax`` looks for its group in it.

    Raises
    ------
    InputError
        If a name or an argument is unknown, a value is out of range, or the loss does not fit the tags.
    """
    check_loss(name, args)
    return LOSSES[name](tags, **args)


def check_loss(name: str, args: Mapping[str, Any] = {}) -> None:
    """Check that there is a loss of this name with these arguments, before the tags are known.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in LOSSES:
        raise InputError(f"`model.loss`: there is no loss {name!r}", option="model.loss",
                         remedy=f"there are {', '.join(LOSSES)}")  # fmt: skip
    known = [*inspect.signature(LOSSES[name]).parameters][1:]
    unknown = [arg for arg in args if arg not in known]
    if unknown:
        problem = f"`model.loss_args`: {name} has the arguments {', '.join(known) or 'none'}, not {', '.join(unknown)}"
        raise InputError(problem, option="model.loss_args")
