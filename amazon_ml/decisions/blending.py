"""Blending: combines the probabilities of several runs.

Runs make different errors, so their average is more accurate than each. Beyond the average, weights can be learned for
each run (`weighted`), or for each tag of each run (`stacked`). Both are fitted on labels. A blended probability for
tuning and scoring must not depend on the label of its own tile, so `cross_blend` fits on other tiles.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions import plain
from amazon_ml.decisions.crossfit import PARTS, random_parts
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.matrices import Bools, Floats, as_multi_hot, as_probabilities, check_no_gaps, check_same_order
from amazon_ml.decisions.stacking import Stack, stack

#: The search for weights ends if no weights could lower the log loss of a label by more than this.
_LEAST_GAIN = 1e-7
_MOST_STEPS = 2000


class Blender(Protocol):
    """Combines the probabilities of several runs."""

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""

    def to_dict(self) -> dict[str, object]:
        """Return the fitted values as plain data."""


@dataclass(frozen=True)
class Mixture:
    """A weighted mean of probabilities.

    Parameters
    ----------
    weights
        One for each run; not below 0, with the sum 1.
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
        """Return the weights as plain data."""
        return {"weights": list(self.weights)}

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it from the data of `to_dict`."""
        return cls(plain.numbers(content["weights"]))


@dataclass(frozen=True)
class LogitMean:
    """The mean of log odds; compared with the mean of probabilities, certain runs have more weight."""

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""
        return sigmoid(logit(as_members(members)).mean(axis=0))

    def to_dict(self) -> dict[str, object]:
        """Return an empty mapping, since nothing is fitted."""
        return {}

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it."""
        return cls()


@dataclass(frozen=True)
class RankMean:
    """The mean of ranks, for runs whose probabilities are of different scale.

    The rank of a probability is the number of lower values of the same run and tag in `reference`, linear between two
    of them. The rank of the mean rank over runs is converted to a probability, so that the blended probabilities of
    the reference tiles are distributed like the plain means. The blend of a new tile depends only on the reference, not
    on other new tiles.

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

        def joint(members: Floats) -> Floats:  # sums of halves are exact, so equal ranks stay equal
            total: Floats = np.sum([np.interp(one, *of) for one, of in zip(members, known, strict=True)], axis=0)
            return total

        values, places = _ranks(reference.mean(axis=0))
        blended: Floats = np.interp(np.interp(joint(p), *_ranks(joint(reference))), places, values)
        return blended

    def to_dict(self) -> dict[str, object]:
        """Return an empty mapping, since the reference is in the files of the members."""
        return {}

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it from the out-of-fold probabilities of the members."""
        return cls(reference)


@dataclass(frozen=True)
class Stacked:
    """A `Stack` of all tags of all runs."""

    stack: Stack

    def apply(self, members: npt.ArrayLike) -> Floats:
        """Blend probabilities of shape (runs, tiles, tags) to (tiles, tags)."""
        return self.stack.apply(_side_by_side(as_members(members)))

    def to_dict(self) -> dict[str, object]:
        """Return the weights as plain data."""
        return self.stack.to_dict()

    @classmethod
    def from_dict(cls, content: Mapping[str, object], reference: Floats) -> Self:
        """Make it from the data of `to_dict`."""
        return cls(Stack.from_dict(content))


def mean(members: npt.ArrayLike, targets: npt.ArrayLike) -> Mixture:
    """Weight all runs equally."""
    runs = len(as_members(members))
    return Mixture((1 / runs,) * runs)


def logit_mean(members: npt.ArrayLike, targets: npt.ArrayLike) -> LogitMean:
    """Weight the log odds of all runs equally."""
    return LogitMean()


def rank(members: npt.ArrayLike, targets: npt.ArrayLike) -> RankMean:
    """Use these tiles as the reference of ranks."""
    return RankMean(as_members(members))


def weighted(members: npt.ArrayLike, targets: npt.ArrayLike) -> Mixture:
    """Find the weights whose mean has the least log loss.

    With ``q`` the probabilities of the runs for the true value of each label, the log loss of the
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
    given = np.where(true, p, 1 - p).reshape(len(p), -1).clip(1e-7)  # avoids log(0) for a label with probability 0
    weights = np.full(len(p), 1 / len(p))
    for _ in range(_MOST_STEPS):
        growth = (given / (weights @ given)).mean(axis=1)
        weights = weights * growth
        if np.log(growth.max()) < _LEAST_GAIN:
            break
    return Mixture(tuple((weights / weights.sum()).tolist()))


def stacked(members: npt.ArrayLike, targets: npt.ArrayLike) -> Stacked:
    """Fit each tag on all tags of all runs, with a penalty towards the mean of the log odds."""
    p, true = _as_rows(members, targets)
    return Stacked(stack(_side_by_side(p), true))


#: A function from (members, targets) to a fitted blender.
FitBlend = Callable[[npt.ArrayLike, npt.ArrayLike], Blender]


@dataclass(frozen=True)
class Way:
    """A way to blend.

    Parameters
    ----------
    fit
        ``fit(members, targets)`` returns the fitted blender.
    kind
        Class of the blender.
    sees_labels
        Whether it is fitted on labels, so that its tiles must not be scored.
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
    """Blend each tile with a blender that was fitted on the labels of other tiles.

    Parameters
    ----------
    way
        One of `WAYS`. If it sees no labels, it is fitted on all tiles at once.
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
    """Convert probabilities to float64 of shape (runs, tiles, tags); a ValueError if that is not possible."""
    if isinstance(values, list | tuple):  # of tables, perhaps
        check_no_gaps(*values)
        for table in values[1:]:
            check_same_order(values[0], table)
    check_no_gaps(values)
    p = np.asarray(values, dtype=np.float64)
    if p.ndim != 3 or not len(p) or runs not in (None, len(p)):
        raise ValueError(f"expected probabilities of shape ({runs or 'runs'}, tiles, tags), got {p.shape}")
    as_probabilities(p.reshape(-1, p.shape[-1]))
    return p


def _as_rows(members: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Floats, Bools]:
    if isinstance(members, list | tuple):
        check_same_order(members[0] if members else None, targets)
    p, true = as_members(members), as_multi_hot(targets)
    if p.shape[1:] != true.shape or not true.size:
        raise ValueError(f"expected shapes (runs, tiles, tags) and (tiles, tags), got {p.shape} and {true.shape}")
    return p, true


def _side_by_side(members: Floats) -> Floats:
    """Concatenate the tags of all runs: shape (tiles, runs x tags)."""
    return np.concatenate(members, axis=1)


def _ranks(values: Floats) -> tuple[Floats, Floats]:
    """Return the distinct values, ascending, and the number of values below each; equal values count one half."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct, counts.cumsum() - counts / 2
