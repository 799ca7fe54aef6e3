"""Blending: one probability a tag from those of several runs.

Runs err apart, so that their average is surer than each. What may be learnt beyond the average is
which run to trust more (`weighted`), and, tag by tag, what one knows that another does not
(`stacked`). Both are fitted on labels. A blended probability that is tuned and scored on must not
have seen the label of its own tile, so `cross_blend` gives each tile what was fitted on other tiles.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions import plain
from amazon_ml.decisions.crossfit import PARTS, random_parts
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.matrices import Bools, Floats, as_multi_hot, as_probabilities
from amazon_ml.decisions.stacking import Stack, stack

#: The search for weights ends where none could lower the log loss of a label by more than this.
_LEAST_GAIN = 1e-7
_MOST_STEPS = 2000


class Blender(Protocol):
    """Turns the probabilities of several runs into one."""

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""

    def to_dict(self) -> dict[str, object]:
        """Give what was fitted as plain data."""


@dataclass(frozen=True)
class Mixture:
    """A weighted mean of probabilities.

    Parameters
    ----------
    weights
        One a run; not below 0, their sum is 1.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights) < 0 or not np.isclose(sum(self.weights), 1):
            raise ValueError(f"weights {self.weights} must not be below 0, and sum to 1")

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""
        blended: Floats = np.tensordot(self.weights, as_members(members, len(self.weights)), axes=1)
        return blended.clip(0, 1)  # rounding may lift a mean of ones above 1

    def to_dict(self) -> dict[str, object]:
        """Give the weights as plain data."""
        return {"weights": list(self.weights)}

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it from `to_dict`'s data."""
        return cls(plain.numbers(content["weights"]))


@dataclass(frozen=True)
class LogitMean:
    """The mean of log odds: beside that of probabilities it gives more say to the run that is surer."""

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""
        return sigmoid(logit(as_members(members)).mean(axis=0))

    def to_dict(self) -> dict[str, object]:
        """Give nothing: there is nothing to fit."""
        return {}

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it."""
        return cls()


@dataclass(frozen=True)
class RankMean:
    """The mean of ranks, for runs whose probabilities are of different scale.

    A probability's rank is the number of lower ones among those that the same run gave the same tag in
    `reference`, linear between two of them. The mean of the ranks over runs becomes a probability
    again by its own rank: the blend's probabilities of the reference tiles are distributed like the
    plain means. A new tile's blend depends on the reference alone, not on the tiles beside it.

    Parameters
    ----------
    reference
        Out-of-fold probabilities of shape (runs, tiles, tags).
    """

    reference: Floats

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""
        p = as_members(members, len(self.reference))
        blended = [self._blend_tag(self.reference[:, :, tag], p[:, :, tag]) for tag in range(p.shape[2])]
        return np.stack(blended, axis=1)

    @staticmethod
    def _blend_tag(reference: Floats, p: Floats) -> Floats:
        known = [_ranks(one) for one in reference]

        def joint(members: Floats) -> Floats:  # sums of halves are exact, so that what ties in rank stays tied
            total: Floats = np.sum([np.interp(one, *of) for one, of in zip(members, known, strict=True)], axis=0)
            return total

        values, places = _ranks(reference.mean(axis=0))
        blended: Floats = np.interp(np.interp(joint(p), *_ranks(joint(reference))), places, values)
        return blended

    def to_dict(self) -> dict[str, object]:
        """Give nothing: the reference lies in the members' files."""
        return {}

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it of the members' out-of-fold probabilities."""
        return cls(reference)


@dataclass(frozen=True)
class Stacked:
    """A `Stack` of all tags of all runs."""

    stack: Stack

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""
        return self.stack.apply(_side_by_side(as_members(members)))

    def to_dict(self) -> dict[str, object]:
        """Give the weights as plain data."""
        return self.stack.to_dict()

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it from `to_dict`'s data."""
        return cls(Stack.from_dict(content))


def mean(members: npt.ArrayLike, targets: npt.ArrayLike) -> Mixture:
    """Give every run the same weight."""
    runs = len(as_members(members))
    return Mixture((1 / runs,) * runs)


def logit_mean(members: npt.ArrayLike, targets: npt.ArrayLike) -> LogitMean:
    """Give every run's log odds the same weight."""
    return LogitMean()


def rank(members: npt.ArrayLike, targets: npt.ArrayLike) -> RankMean:
    """Take ranks among these tiles."""
    return RankMean(as_members(members))


def weighted(members: npt.ArrayLike, targets: npt.ArrayLike) -> Mixture:
    """Find the weights whose mean has the least log loss.

    With ``q`` the probabilities that the runs gave to what is true of a label, the log loss of the
    mixture is ``-mean(log(weights @ q))``, convex in the weights. It is minimised by
    ``weights *= mean(q / (weights @ q))``, which stays on the simplex and never raises the loss: the
    expectation-maximisation of mixture proportions (Dempster, Laird and Rubin 1977, *Maximum Likelihood
    from Incomplete Data via the EM Algorithm*, 4.3), of which Cover 1984, *An algorithm for maximizing
    expected log investment return*, shows that it ends at the global minimum, and that the loss lies
    above it by no more than ``log(max(mean(q / (weights @ q))))``.

    Parameters
    ----------
    members
        Out-of-fold probabilities of shape (runs, tiles, tags).
    targets
        Multi-hot truth, shape (tiles, tags).
    """
    p, true = _as_rows(members, targets)
    given = np.where(true, p, 1 - p).reshape(len(p), -1).clip(1e-7)  # a label held for impossible is not the end
    weights = np.full(len(p), 1 / len(p))
    for _ in range(_MOST_STEPS):
        growth = (given / (weights @ given)).mean(axis=1)
        weights = weights * growth
        if np.log(growth.max()) < _LEAST_GAIN:
            break
    return Mixture(tuple((weights / weights.sum()).tolist()))


def stacked(members: npt.ArrayLike, targets: npt.ArrayLike) -> Stacked:
    """Learn each tag from all tags of all runs, held to the mean of the log odds."""
    p, true = _as_rows(members, targets)
    return Stacked(stack(_side_by_side(p), true))


#: (members, targets) to a fitted blender.
FitBlend = Callable[[npt.ArrayLike, npt.ArrayLike], Blender]


@dataclass(frozen=True)
class Way:
    """A way to blend.

    Parameters
    ----------
    fit
        ``fit(members, targets)`` gives the fitted blender.
    kind
        What it gives.
    sees_labels
        Whether it is fitted on labels, so that tiles it was fitted on must not be scored.
    """

    fit: FitBlend
    kind: type[Mixture] | type[LogitMean] | type[RankMean] | type[Stacked]
    sees_labels: bool = False


#: From simple to complex.
WAYS = {
    "mean": Way(mean, Mixture),
    "logit_mean": Way(logit_mean, LogitMean),
    "rank": Way(rank, RankMean),
    "weighted": Way(weighted, Mixture, sees_labels=True),
    "stacked": Way(stacked, Stacked, sees_labels=True),
}


def cross_blend(
    way: Way, members: npt.ArrayLike, targets: npt.ArrayLike, *, parts: int = PARTS, seed: int = 0
) -> Floats:
    """Blend each tile by what was fitted on the labels of other tiles.

    Parameters
    ----------
    way
        One of `WAYS`. Where it sees no labels, it is fitted on all tiles at once.
    members
        Out-of-fold probabilities of shape (runs, tiles, tags). The folds of the runs may differ.
    targets
        Multi-hot truth, shape (tiles, tags).
    parts, seed
        As for `cross_predict`.

    Returns
    -------
    Probabilities of shape (tiles, tags).
    """
    p, true = _as_rows(members, targets)
    if not way.sees_labels:
        return way.fit(p, true).apply(p)
    part = random_parts(len(true), parts, seed)
    blended = np.empty(true.shape)
    for k in range(parts):
        blended[part == k] = way.fit(p[:, part != k], true[part != k]).apply(p[:, part == k])
    return blended


def as_members(values: npt.ArrayLike, runs: int | None = None) -> Floats:
    """Give probabilities as float64 of shape (runs, tiles, tags); a ValueError where they are none."""
    p = np.asarray(values, dtype=np.float64)
    if p.ndim != 3 or not len(p) or runs not in (None, len(p)):
        raise ValueError(f"expected probabilities of shape ({runs or 'runs'}, tiles, tags), got {p.shape}")
    as_probabilities(p.reshape(-1, p.shape[-1]))
    return p


def _as_rows(members: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Floats, Bools]:
    p, true = as_members(members), as_multi_hot(targets)
    if p.shape[1:] != true.shape or not true.size:
        raise ValueError(f"expected shapes (runs, tiles, tags) and (tiles, tags), got {p.shape} and {true.shape}")
    return p, true


def _side_by_side(members: Floats) -> Floats:
    """One run's tags beside the other's: shape (tiles, runs x tags)."""
    return np.concatenate(members, axis=1)


def _ranks(values: Floats) -> tuple[Floats, Floats]:
    """Give the distinct values, ascending, and how many of all values lie below each, those like it by half."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct, counts.cumsum() - counts / 2
