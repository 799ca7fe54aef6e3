"""Losses by name; `bce` is the page to begin with, and the others say what they change of it."""

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

__all__ = ["LOSSES", "Loss", "make_loss", "prior_logits"]

#: Name to what makes the loss, from the tag list and arguments of its own.
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
        For an unknown name or argument, a value out of range, or tags that the loss is not for.
    """
    if name not in LOSSES:
        raise InputError(f"model.loss: there is no loss {name!r}; there are {', '.join(LOSSES)}")
    known = [*inspect.signature(LOSSES[name]).parameters][1:]
    unknown = [arg for arg in args if arg not in known]
    if unknown:
        raise InputError(f"model.loss_args: {name} takes {', '.join(known) or 'none'}, not {', '.join(unknown)}")
    return LOSSES[name](tags, **args)
