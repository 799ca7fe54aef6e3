"""Cut-offs that hold on other tiles: averaged over bootstraps, and shrunk to a common one.

The exact search finds the best cut-offs for the tiles it is given, and for tiles it is not given they
are often worse than a common cut-off: where a tag is rare, a single tile moves its cut-off far. Two
remedies, from the same bootstraps. Bagging (Breiman 1996, *Bagging predictors*) averages the cut-offs
found on resampled tiles. Shrinking draws them toward a common cut-off, as far as tiles that the
bootstraps did not contain ask for; the common cut-off is itself drawn to 0.2, as far as the bootstraps
disagree on it. All averages are of log odds, where 0.01 and 0.02 lie as far apart as 0.5 and 0.67.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.crossfit import simplest
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.matrices import Bools, Floats, as_rows
from amazon_ml.decisions.thresholds import START, Thresholds, all_tagged, common_search, cut, own_search

#: Bootstraps. Each tile is left out of about a third of them.
BAGS = 20

#: How far cut-offs may go from the common one (0) to the tags' own (1).
AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: An amount is preferred to the best where it falls short by less than so many standard errors of the paired
#: difference. At 1 real gains on some thousand tiles are given away, at 0 a hundred tiles are too few.
_ERRORS = 0.5


@dataclass(frozen=True)
class Bootstraps:
    """Cut-offs found on resampled tiles.

    Parameters
    ----------
    own
        Log odds of the tags' own cut-offs, shape (bootstraps, tags).
    common
        Log odds of the best common cut-off, shape (bootstraps, 1).
    without
        Which tile is in which bootstrap not at all, shape (tiles, bootstraps).
    """

    own: Floats
    common: Floats
    without: Bools


def bootstrap(
    probabilities: npt.ArrayLike, targets: npt.ArrayLike, beta: float = 2.0, *, bags: int = BAGS, seed: int = 0
) -> Bootstraps:
    """Search cut-offs on tiles drawn with replacement.

    Parameters
    ----------
    probabilities
        Finite values in 0..1, shape (tiles, tags).
    targets
        Multi-hot truth of the same shape.
    beta
        Weight of recall against precision.
    bags
        Number of bootstraps.
    seed
        Equal seeds draw equal rows, by their place in the arrays.

    Returns
    -------
    What each bootstrap found, and which tiles it lacked.
    """
    p, true = as_rows(probabilities, targets)
    rng = np.random.default_rng(seed)
    own, common = own_search(p, true, beta), common_search(p, true, beta)
    drawn = [np.bincount(rng.integers(len(p), size=len(p)), minlength=len(p)) for _ in range(bags)]
    return Bootstraps(
        own=logit([own(weights) for weights in drawn]),
        common=logit([[common(weights)] for weights in drawn]),
        without=np.stack(drawn, axis=1) == 0,
    )


def bagged(probabilities: npt.ArrayLike, targets: npt.ArrayLike, beta: float = 2.0, *, seed: int = 0) -> Thresholds:
    """Average each tag's own cut-off over bootstraps; parameters are those of `bootstrap`."""
    own = bootstrap(probabilities, targets, beta, seed=seed).own
    return Thresholds(tuple(sigmoid(own.mean(axis=0)).tolist()), all_tagged(targets))


def shrunk(probabilities: npt.ArrayLike, targets: npt.ArrayLike, beta: float = 2.0, *, seed: int = 0) -> Thresholds:
    """Average cut-offs over bootstraps, and shrink them to the common one; parameters are those of `bootstrap`.

    How far is decided out of bag (Breiman 2001, *Random forests*): each tile with the bootstraps that lack
    it. The strongest shrinkage wins that is not clearly worse than the best; with few tiles little is
    clear, and the cut-offs stay near a common one.
    """
    p, true = as_rows(probabilities, targets)
    at_least_one = all_tagged(true)
    bags = bootstrap(p, true, beta, seed=seed)
    tested = bags.without.any(axis=1)
    lacking = bags.without[tested] / bags.without[tested].sum(axis=1, keepdims=True)
    steady = _drawn_to_start(bags.common)
    own, common = lacking @ bags.own, lacking @ steady
    scores = [
        fbeta_per_tile(true[tested], cut(p[tested], _between(common, own, amount), at_least_one), beta)
        for amount in AMOUNTS
    ]
    amount = AMOUNTS[simplest(np.stack(scores), _ERRORS, paired=True)] if tested.any() else AMOUNTS[0]
    values = _between(steady.mean(axis=0), bags.own.mean(axis=0), amount)
    return Thresholds(tuple(values.tolist()), at_least_one, amount)


def _drawn_to_start(common: Floats) -> Floats:
    """Draw log odds to those of 0.2, the more so the less their mean departs from it for their variance.

    The weight that gives the least squared error, with estimates in place of the unknown mean and variance
    (Thompson 1968, *Some shrinkage techniques for estimating the mean*).
    """
    start = logit(START)
    departure = (common.mean() - start) ** 2
    drawn: Floats = start + (common - start) * departure / max(departure + common.var(), 1e-12)
    return drawn


def _between(common: Floats, own: Floats, amount: float) -> Floats:
    """Give the cut-offs that lie so far from the common one to the tags' own; from log odds."""
    return sigmoid((1 - amount) * common + amount * own)
