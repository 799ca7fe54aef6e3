"""Cross-fitting for unbiased scores: a rule that was fitted on other tiles predicts each tile.

The score of a rule on the rows of its fit is too high: 17 thresholds that are tuned on 2,000 tiles overstate F2 by
about 0.009. Cross-fitting is cross-validation of the decision rule alone; the probabilities must already be
out-of-fold. A choice between rules is a fit, too: `SimplestRule` makes it an estimator that is cross-fitted like any
other.

Whether a tile may stay without a tag is decided once, by the truth of all tiles. If each part decided it, a single
untagged tile would give its own part another rule than the other parts, and than a fit on all tiles.
"""

from typing import Protocol, Self, TypedDict

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.matrices import Floats, MultiHot, check_no_gaps, check_same_order
from amazon_ml.decisions.parameters import check_level, check_whole
from amazon_ml.decisions.thresholds import all_tagged


class Rule(Protocol):
    """A decision rule, as `amazon_ml.decisions.base` defines it; here without importing scikit-learn."""

    def fit(self, p: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit the rule on probabilities and true tags, both of shape (tiles, tags)."""

    def predict(self, p: npt.ArrayLike) -> MultiHot:
        """Predict the tags of each tile: uint8 array of shape (tiles, tags)."""

    def to_dict(self) -> dict[str, object]:
        """Return the fitted rule as plain data."""


class Estimate(TypedDict):
    """A mean over tiles: its ``value``, ``standard_error``, and ``interval``, the two ends that hold 95 %."""

    value: float
    standard_error: float
    interval: list[float]


#: Number of parts, each held out once.
PARTS = 5


def cross_predict(
    rule: Rule, probabilities: npt.ArrayLike, targets: npt.ArrayLike, *, parts: int = PARTS, seed: int = 0
) -> MultiHot:
    """Predict each tile with a rule that was fitted on the other parts.

    Parameters
    ----------
    rule
        A rule; clones of it are fitted, and it is not changed. Where its ``at_least_one`` is None, all clones get one
        value by all of `targets`.
    probabilities
        Out-of-fold probabilities, in the shape for the fit of the rule.
    targets
        True tags, shape (tiles, tags), 0 or 1.
    parts
        Number of random parts of near equal size; at least 2 and at most the number of tiles.
    seed
        Equal seeds draw equal parts.

    Returns
    -------
    uint8 array of the shape of `targets`.

    Raises
    ------
    ValueError
        If the number of parts is impossible, or `fit` or `predict` of the rule raises it.

    Examples
    --------
    >>> from amazon_ml.decisions import ShrunkThresholds, fbeta_score
    >>> from amazon_ml.decisions.synthetic import draw_rows
    >>> p, y = draw_rows(300)
    >>> rule = ShrunkThresholds()
    >>> fbeta_score(y, cross_predict(rule, p, y)) < rule.fit(p, y).score(p, y)
    True
    """
    from sklearn.base import clone  # takes a second, needed only here

    check_same_order(probabilities, targets)
    check_no_gaps(probabilities, targets)
    p, true = np.asarray(probabilities), np.asarray(targets)
    part = random_parts(len(p), parts, seed)
    predicted = np.zeros(true.shape, dtype=np.uint8)
    whole = with_fallback(rule, all_tagged(true))
    for k in range(parts):
        predicted[part == k] = clone(whole).fit(p[part != k], true[part != k]).predict(p[part == k])
    return predicted


def with_fallback(rule: Rule, at_least_one: bool) -> Rule:
    """Clone a rule, and set ``at_least_one`` of it and of rules within it, as in a pipeline, wherever it is None."""
    from sklearn.base import clone

    copied = clone(rule)
    open_ones = [
        name for name, value in copied.get_params().items() if name.split("__")[-1] == "at_least_one" and value is None
    ]
    copied.set_params(**dict.fromkeys(open_ones, at_least_one))
    return copied  # type: ignore[no-any-return]  # scikit-learn has no type hints


def random_parts(tiles: int, parts: int = PARTS, seed: int = 0) -> npt.NDArray[np.intp]:
    """Draw the part of each tile, for parts of nearly equal size: at least 2 parts, at most one for each tile."""
    check_whole("parts", parts, 2)
    if parts > tiles:
        raise ValueError(f"cannot cross-fit {tiles} tiles in {parts} parts")
    return np.random.default_rng(seed).permutation(tiles) % parts


def simplest(scores: npt.ArrayLike, errors: float = 1.0, *, paired: bool = False) -> int:
    """Choose the simplest of several ways that is about as good as the best.

    The one-standard-error rule (Breiman et al. 1984, *Classification and regression trees*, 3.4.3).

    Parameters
    ----------
    scores
        Scores of each tile, shape (ways, tiles); the ways from simple to complex.
    errors
        Number of standard errors by which the mean may be below the best.
    paired
        Use the standard error of the difference to the best, which is far smaller, since the scores of a tile under
        two rules are similar: it detects smaller gains, and more often false ones. By default, as in the source, the
        standard error of the best score.

    Returns
    -------
    Position of the chosen way.
    """
    values: Floats = np.asarray(scores, dtype=np.float64)
    best = values[values.mean(axis=1).argmax()]
    short = best - values
    error = standard_error(short.T) if paired else standard_error(best)
    return int(np.argmax(short.mean(axis=1) <= errors * error))


def score(per_tile: npt.ArrayLike) -> Estimate:
    """Compute the mean over tiles with its standard error and its 95 % bootstrap interval.

    The values are scores, or differences of two scores on the same tiles for a paired difference.
    """
    values: Floats = np.asarray(per_tile, dtype=np.float64)
    return {
        "value": float(values.mean()),
        "standard_error": float(standard_error(values)),
        "interval": list(bootstrap_interval(values)),
    }


def standard_error(per_tile: npt.ArrayLike) -> Floats:
    """Return the standard error of the mean over tiles, the first axis; 0 for a single tile."""
    values: Floats = np.asarray(per_tile, dtype=np.float64)
    error: Floats = values.std(axis=0, ddof=min(1, len(values) - 1)) / np.sqrt(len(values))
    return error


def bootstrap_interval(
    per_tile: npt.ArrayLike, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a mean over tiles (Efron 1979).

    Network and rule are fixed: the interval shows how much the mean may change with other tiles, not with another
    training run.

    Parameters
    ----------
    per_tile
        One value for each tile, at least one.
    level
        Coverage probability of the interval, in 0..1.

    Returns
    -------
    Lower and upper end.
    """
    check_level(level)
    # The counts of the values define a resample; an F-beta has only some dozens of distinct values.
    values, counts = np.unique(np.asarray(per_tile, dtype=np.float64), return_counts=True)
    tiles = counts.sum()
    means = np.random.default_rng(seed).multinomial(tiles, counts / tiles, size=resamples) @ values / tiles
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
