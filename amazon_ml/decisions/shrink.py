"""Thresholds that generalise to other tiles: averaged over bootstraps, and shrunk to a common threshold.

The exact search finds the best thresholds for its tiles. On other tiles they are often worse than a common threshold:
for a rare tag, a single tile changes its threshold a lot. There are two remedies, from the same bootstraps. Bagging
(Breiman 1996, *Bagging predictors*) averages the thresholds of resampled tiles. Shrinkage moves them towards a common
threshold, by an amount that is best on tiles outside of the bootstraps; the common threshold itself is moved towards
0.2, the more the bootstraps disagree on it. All averages are of log odds, where 0.01 and 0.02 have the same distance as
0.5 and 0.67.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.crossfit import simplest
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.latest import Latest
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.matrices import Bools, Floats, as_rows
from amazon_ml.decisions.parameters import check_beta, check_flag, check_random_state, check_whole
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD, all_tagged, apply_thresholds, common_search, own_search

#: Number of bootstraps. About a third of them do not contain a given tile.
BOOTSTRAPS = 20

#: Types of a seed of bootstraps.
RandomState = int | np.random.Generator | np.random.RandomState | None

#: Positions of thresholds between the common one (0) and the tags' own (1).
AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0)

#: An amount is preferred to the best if it is worse by less than this many standard errors of the paired difference.
#: With 1, real gains on some thousand tiles are lost; with 0, a hundred tiles are too few.
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
        Whether a bootstrap does not contain a tile, shape (tiles, bootstraps).
    """

    own: Floats
    common: Floats
    without: Bools


#: Two rules and the intervals of the scores use the same bootstraps.
_LATEST = Latest[Bootstraps]()


def bootstrap(
    probabilities: npt.ArrayLike,
    targets: npt.ArrayLike,
    beta: float = 2.0,
    *,
    n_bootstraps: int = BOOTSTRAPS,
    random_state: RandomState = 0,
    at_least_one: bool | None = None,
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
        Seed. Equal seeds draw equal rows, by their position in the arrays.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag; by default, if every tile has a tag.

    Returns
    -------
    The thresholds of each bootstrap, and the tiles that it does not contain: arrays that cannot be written to. With an
    int as the seed, the latest results are kept for calls with the same content.

    Raises
    ------
    ValueError
        For arrays that are no probabilities or multi-hot arrays, and for parameters out of range.
    TypeError
        For parameters of a wrong type.
    """
    p, true = as_rows(probabilities, targets)
    check_beta(beta)
    check_whole("n_bootstraps", n_bootstraps, 1)
    check_random_state(random_state)
    check_flag("at_least_one", at_least_one)
    fallback = all_tagged(true) if at_least_one is None else bool(at_least_one)
    if not isinstance(random_state, int):  # a generator gives other rows at each call
        return _search(p, true, beta, fallback, n_bootstraps, _generator(random_state))
    rng = np.random.default_rng(random_state)
    settings = (float(beta), fallback, n_bootstraps, random_state)
    return _LATEST.get((p, true), settings, lambda: _search(p, true, beta, fallback, n_bootstraps, rng))


def _search(
    p: Floats, true: Bools, beta: float, at_least_one: bool, n_bootstraps: int, rng: np.random.Generator
) -> Bootstraps:
    own, common = (search(p, true, beta, at_least_one) for search in (own_search, common_search))
    drawn = [np.bincount(rng.integers(len(p), size=len(p)), minlength=len(p)) for _ in range(n_bootstraps)]
    arrays = (
        logit([own(weights) for weights in drawn]),
        logit([[common(weights)] for weights in drawn]),
        np.stack(drawn, axis=1) == 0,
    )
    for array in arrays:
        array.flags.writeable = False  # several callers share them
    return Bootstraps(*arrays)


def shrink(p: Floats, true: Bools, beta: float, found: Bootstraps, at_least_one: bool) -> tuple[Floats, float]:
    """Average the thresholds of bootstraps, and shrink them to the common one.

    The amount is chosen out of bag (Breiman 2001, *Random forests*): each tile is scored with the bootstraps that do
    not contain it. The strongest shrinkage that is not clearly worse than the best is chosen; with few tiles, few
    differences are clear, and the thresholds stay near the common one.

    Parameters
    ----------
    p, true
        Rows as `as_rows` gives them.
    beta
        Weight of recall against precision.
    found
        Bootstraps of these rows.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag.

    Returns
    -------
    Thresholds of shape (tags,), and their position between the common one (0) and the tags' own (1).
    """
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
    """Shrink log odds to those of 0.2, the more the smaller the distance of their mean from it is for their variance.

    The weight that gives the least squared error, with estimates in place of the unknown mean and variance
    (Thompson 1968, *Some shrinkage techniques for estimating the mean*).
    """
    start = logit(DEFAULT_THRESHOLD)
    departure = (common.mean() - start) ** 2
    drawn: Floats = start + (common - start) * departure / max(departure + common.var(), 1e-12)
    return drawn


def _between(common: Floats, own: Floats, amount: float) -> Floats:
    """Compute the thresholds at a position between the common one and the tags' own, from log odds."""
    return sigmoid((1 - amount) * common + amount * own)


def _generator(random_state: RandomState) -> np.random.Generator:
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, dtype=np.uint32))
    return np.random.default_rng(random_state)
