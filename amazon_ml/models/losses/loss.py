"""The base class of losses: a scalar from logits and targets, and the link from logits to probabilities."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from amazon_ml.errors import InputError


class Loss(nn.Module):
    """The objective of training; ``loss(logits, targets)`` is a scalar.

    Logits are float, targets in 0..1, both of shape (tiles, tags); different shapes raise an `InputError`. The loss of
    a batch is the mean of the losses of its tiles. The probabilities of logits depend on the loss of the training, so
    the loss defines the link. A loss stores no values in checkpoints; inference needs none. `weighted` maps `forward`
    over tiles by `torch.vmap`, where it can neither call ``item()`` nor decide by values of tensors.

    Parameters
    ----------
    tags
        The tag list, in the order of logits.
    """

    #: Whether the loss depends on a call of `learn_frequencies`.
    needs_frequencies = False

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()
        self.register_forward_pre_hook(_check_call, with_kwargs=True)  # here, so that no loss can lack the check

    def learn_frequencies(self, frequencies: torch.Tensor) -> None:
        """Set the share of training tiles with each tag, in 0..1, shape (tags,); most losses ignore it."""

    def weighted(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Compute the mean of the losses of the tiles, weighted; with equal weights it is the loss of the batch.

        Parameters
        ----------
        logits, targets
            Of shape (tiles, tags).
        weights
            Weight of each tile, 0 or more, shape (tiles,). If all are 0, the loss is 0.

        Raises
        ------
        InputError
            If the shapes do not fit.
        """
        _check_shapes(logits, targets)
        if weights.shape != logits.shape[:1]:
            raise InputError(f"`weight` must have the shape {tuple(logits.shape[:1])}, not {tuple(weights.shape)}",
                             option="weight", remedy="give one weight for each tile")  # fmt: skip
        alone: torch.Tensor = torch.vmap(lambda z, y: self(z[None], y[None]))(logits, targets)
        return (weights * alone).sum() / weights.sum().clamp_min(torch.finfo(alone.dtype).tiny)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Compute one probability for each tag, of the shape of the logits: their sigmoid."""
        return logits.sigmoid()

    def prior_logits(self, frequencies: torch.Tensor) -> torch.Tensor:
        """Compute the logits for which `probabilities` gives the frequency of each tag, shape (tags,)."""
        return prior_logits(frequencies)


def _check_call(loss: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Check the shapes of a call of a loss."""
    tensors = [*given, *named.values()]
    if len(tensors) == 2:
        _check_shapes(named.get("logits", tensors[0]), named.get("targets", tensors[1]))


def _check_shapes(logits: torch.Tensor, targets: torch.Tensor) -> None:
    """Check that logits and targets have one shape: others would be broadcast, to a number that means nothing."""
    if logits.shape != targets.shape:
        shapes = f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        raise InputError(f"logits and targets must have one shape (tiles, tags), not {shapes}", option="target",
                         remedy="give a row of targets for each tile, with one number for each tag")  # fmt: skip


def prior_logits(frequencies: torch.Tensor) -> torch.Tensor:
    """Compute the logits whose sigmoid is the frequency of each tag, as the first bias of the head.

    Cross-entropy then begins at the entropy of the frequencies instead of log 2.

    Parameters
    ----------
    frequencies
        Share of tiles with each tag, in 0..1; clamped to 1e-4..1 - 1e-4, so that logits are finite.
    """
    return torch.logit(frequencies, eps=1e-4)


def in_range(option: str, value: Any, low: float, high: float) -> float:
    """Return the value of one of ``model.loss_args``; an `InputError` if it is out of range."""
    if not isinstance(value, int | float) or not low <= value <= high:
        problem = f"`model.loss_args`: {option} must be in {low:g}..{high:g}, not {value}"
        raise InputError(problem, option="model.loss_args")
    return value
