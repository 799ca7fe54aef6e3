"""Thresholds that hold on other tiles: averaged over bootstraps, and shrunk to a common one.

The exact search finds the best thresholds for the tiles it is given, and for tiles it is not given they
are often worse than a common threshold: where a tag is rare, a single tile moves its threshold far. Two
remedies, from the same bootstraps. Bagging (Breiman 1996, *Bagging predictors*) averages the thresholds
found on resampled tiles. Shrinking draws them toward a common threshold, as far as tiles that the
bootstraps did not contain ask for; the common threshold is itself drawn to 0.2, as far as the bootstraps
disagree on it. All averages are of log odds, where 0.01 and 0.02 lie as far apart as 0.5 and 0.67.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.crossfit import simplest
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.matrices import Bools, Floats, as_rows
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD, all_tagged, apply_thresholds, common_search, own_search

#: Bootstraps. Each tile is left out of about a third of them.
BOOTSTRAPS = 20

#: What a seed of bootstraps may be.
RandomState = int | np.random.Generator | np.random.RandomState | None

#: How far thresholds may go from the common one (0) to the tags' own (1).
AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: An amount is preferred to the best where it falls short by less than so many standard errors of the paired
#: difference. At 1 real gains on some thousand tiles are given away, at 0 a hundred tiles are too few.
_ERRORS = 0.5


@dataclass(frozen=True)
class Bootstraps:
    """Thresholds found on resampled tiles.

    Parameters
    ----------
    own
        Log odds of the tags' own thresholds, shape (bootstraps, tags).
    common
        Log odds of the best common threshold, shape (bootstraps, 1).
    without
        Which tile is in which bootstrap not at all, shape (tiles, bootstraps).
    """

    own: Floats
    common: Floats
    without: Bools


def bootstrap(
    probabilities: npt.ArrayLike,
    targets: npt.ArrayLike,
    beta: float = 2.0,
    *,
    n_bootstraps: int = BOOTSTRAPS,
    random_state: RandomState = 0,
) -> Bootstraps:
    """Search thresholds on tiles drawn with replacement.

    Parameters
    ----------
    probabilities
        Finite values in 0..1, shape (tiles, tags).
    targets
        Multi-hot truth of the same shape.
    beta
        Weight of recall against precision.
    n_bootstraps
        Number of bootstraps, at least 1.
    random_state
        Seed. Equal seeds draw equal rows, by their place in the arrays.

    Returns
    -------
    What each bootstrap found, and which tiles it lacked.
    """
    p, true = as_rows(probabilities, targets)
    if not n_bootstraps >= 1:
        raise ValueError(f"n_bootstraps is {n_bootstraps}; it must be 1 or more")
    rng = _generator(random_state)
    own, common = own_search(p, true, beta), common_search(p, true, beta)
    drawn = [np.bincount(rng.integers(len(p), size=len(p)), minlength=len(p)) for _ in range(n_bootstraps)]
    return Bootstraps(
        own=logit([own(weights) for weights in drawn]),
        common=logit([[common(weights)] for weights in drawn]),
        without=np.stack(drawn, axis=1) == 0,
    )


def shrink(p: Floats, true: Bools, beta: float, found: Bootstraps) -> tuple[Floats, float]:
    """Average the thresholds of bootstraps, and draw them to the common one.

    How far is decided out of bag (Breiman 2001, *Random forests*): each tile with the bootstraps that lack it. The
    strongest shrinkage wins that is not clearly worse than the best; with few tiles little is clear, and the thresholds
    stay near a common one.

    Parameters
    ----------
    p, true
        Rows as `as_rows` gives them.
    beta
        Weight of recall against precision.
    found
        Bootstraps of these rows.

    Returns
    -------
    Thresholds of shape (tags,), and how far they lie from the common one (0) to the tags' own (1).
    """
    at_least_one = all_tagged(true)
    tested = found.without.any(axis=1)
    lacking = found.without[tested] / found.without[tested].sum(axis=1, keepdims=True)
    steady = _drawn_to_start(found.common)
    own, common = lacking @ found.own, lacking @ steady
    scores = [
        fbeta_per_tile(true[tested], apply_thresholds(p[tested], _between(common, own, amount), at_least_one), beta)
        for amount in AMOUNTS
    ]
    amount = AMOUNTS[simplest(np.stack(scores), _ERRORS, paired=True)] if tested.any() else AMOUNTS[0]
    return _between(steady.mean(axis=0), found.own.mean(axis=0), amount), amount


def _drawn_to_start(common: Floats) -> Floats:
    """Draw log odds to those of 0.2, the more so the less their mean departs from it for their variance.

    The weight that gives the least squared error, with estimates in place of the unknown mean and variance
    (Thompson 1968, *Some shrinkage techniques for estimating the mean*).
    """
    start = logit(DEFAULT_THRESHOLD)
    departure = (common.mean() - start) ** 2
    drawn: Floats = start + (common - start) * departure / max(departure + common.var(), 1e-12)
    return drawn


def _between(common: Floats, own: Floats, amount: float) -> Floats:
    """Give the thresholds that lie so far from the common one to the tags' own; from log odds."""
    return sigmoid((1 - amount) * common + amount * own)


def _generator(random_state: RandomState) -> np.random.Generator:
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, dtype=np.uint32))
    return np.random.default_rng(random_state)
