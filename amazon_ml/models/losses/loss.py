"""What every loss is: a number from logits and targets, and the link from logits to probabilities."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from amazon_ml.errors import InputError


class Loss(nn.Module):
    """What training makes small; ``loss(logits, targets)`` is a scalar.

    Logits are float, targets in 0..1, both of shape (tiles, tags). The network gives logits; what
    probabilities they stand for is settled by what they were trained for, so the link is the loss's.

    A loss stores nothing beside the weights: tables of weights hold what inference needs.

    Parameters
    ----------
    tags
        The tag list, in the order of logits.
    """

    #: Whether the loss is another one before `learn_frequencies` was called.
    needs_frequencies = False

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()

    def learn_frequencies(self, frequencies: torch.Tensor) -> None:
        """Take the share of training tiles with each tag, in 0..1, shape (tags,); most losses need none."""

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """One probability a tag, of the shape of the logits: their sigmoid."""
        return logits.sigmoid()

    def prior_logits(self, frequencies: torch.Tensor) -> torch.Tensor:
        """Logits at which `probabilities` gives each tag's frequency, shape (tags,)."""
        return prior_logits(frequencies)


def prior_logits(frequencies: torch.Tensor) -> torch.Tensor:
    """Logits at which the sigmoid gives each tag's frequency, as a start for the head's bias.

    Cross-entropy then begins at the entropy of the frequencies, rather than at log 2.

    Parameters
    ----------
    frequencies
        Share of tiles that carry each tag, in 0..1; clamped off 0 and 1 to stay finite.
    """
    return torch.logit(frequencies, eps=1e-4)


def in_range(option: str, value: Any, low: float, high: float) -> float:
    """Give back the value of one of ``model.loss_args``, or refuse it with an `InputError`."""
    if not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"model.loss_args: {option} must be in {low:g}..{high:g}, not {value}")
    return value
