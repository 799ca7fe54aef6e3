"""Paired comparison of two predictions on the same tiles, with intervals that separate differences from noise.

A tile that is hard for one network is also hard for another, so the difference for each tile is far more certain than
two separate scores. The networks are fixed: the intervals show the effect of other tiles, not of another seed of
training.
"""

from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.crossfit import Estimate, bootstrap_interval, standard_error
from amazon_ml.decisions.matrices import Floats, as_multi_hot, as_rows, check_no_gaps, check_same_order
from amazon_ml.decisions.parameters import check_beta, check_level, check_whole

#: A function from one value for each tile and ``level`` to the ends of an interval of the mean.
Interval = Callable[..., tuple[float, float]]

#: Number of resamples, enough for the tails at the high levels of several comparisons.
_RESAMPLES = 10_000
_BOOTSTRAP: Interval = partial(bootstrap_interval, resamples=_RESAMPLES)


#: Verdict of an interval of a difference: noise if it contains 0.
Verdict = Literal["higher", "lower", "noise"]


class Difference(Estimate):
    """A mean difference over tiles, with its ``verdict``."""

    verdict: Verdict


def shared_level(comparisons: int) -> float:
    """Return the level of each of several intervals, so that all cover together with 95 % (Bonferroni)."""
    return 1 - 0.05 / max(comparisons, 1)


def paired(
    values: npt.ArrayLike, against: npt.ArrayLike, *, level: float = 0.95, interval: Interval = _BOOTSTRAP
) -> Difference:
    """Compare two scores tile by tile.

    Parameters
    ----------
    values, against
        One score for each tile, of the same tiles in the same order.
    level
        Coverage probability of the interval.
    interval
        Function that computes the interval.

    Returns
    -------
    ``value``, the mean difference; its ``standard_error`` and ``interval``; ``verdict``: higher or lower if the
    interval does not contain 0, else noise.
    """
    check_level(level)
    check_same_order(values, against)
    check_no_gaps(values, against)
    difference: Floats = np.asarray(values, dtype=np.float64) - np.asarray(against, dtype=np.float64)
    ends = interval(difference, level=level)
    return {
        "value": float(difference.mean()),
        "standard_error": float(standard_error(difference)),
        "interval": list(ends),
        "verdict": verdict_of(*ends),
    }


def normal_interval(per_tile: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Compute the normal interval of a mean over tiles, for distinct values, where a bootstrap would be slow."""
    values: Floats = np.asarray(per_tile, dtype=np.float64)
    reach = NormalDist().inv_cdf((1 + level) / 2) * float(standard_error(values))
    return float(values.mean()) - reach, float(values.mean()) + reach


def log_loss_per_tile(targets: npt.ArrayLike, probabilities: npt.ArrayLike) -> Floats:
    """Compute the binary cross-entropy of each tile, mean over tags.

    Parameters
    ----------
    targets, probabilities
        Arrays of shape (tiles, tags), multi-hot and in 0..1. Probabilities are clipped by the precision of float32, in
        which they are stored.

    Returns
    -------
    float64 of shape (tiles,), nats.
    """
    p, true = as_rows(probabilities, targets)
    edge = float(np.finfo(np.float32).eps)
    p = p.clip(edge, 1 - edge)
    loss: Floats = -np.log(np.where(true, p, 1 - p)).mean(axis=1)
    return loss


def paired_per_tag(
    targets: npt.ArrayLike, predicted: npt.ArrayLike, against: npt.ArrayLike, beta: float = 2.0,
    *, level: float = 0.95, resamples: int = _RESAMPLES, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Compare the F-beta of each tag, over tiles, of two predictions.

    Parameters
    ----------
    targets, predicted, against
        Multi-hot arrays of shape (tiles, tags).
    beta, level
        Weight of recall against precision, and coverage probability of an interval.
    resamples, seed
        Number of resamples and seed of the bootstrap.

    Returns
    -------
    One row for each tag: ``value``, ``low`` and ``high`` of the difference, and ``verdict`` as in `paired`.
    """
    check_beta(beta)
    check_level(level)
    check_whole("resamples", resamples, 1)
    check_whole("seed", seed, 0)
    check_same_order(targets, predicted)
    check_same_order(targets, against)
    bits = [as_multi_hot(hot).astype(np.intp) for hot in (targets, predicted, against)]
    cells = 4 * bits[0] + 2 * bits[1] + bits[2]
    rng = np.random.default_rng(seed)
    rows = []
    for tag in range(cells.shape[1]):
        # The counts of the eight possible combinations define a resample of tiles.
        counts = np.bincount(cells[:, tag], minlength=8)
        drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)
        low, high = np.quantile(_differences(drawn, beta), [(1 - level) / 2, (1 + level) / 2])
        rows.append((_differences(counts[None], beta)[0], low, high, verdict_of(low, high)))
    return pd.DataFrame(rows, columns=["value", "low", "high", "verdict"])


def _differences(counts: npt.NDArray[np.int64], beta: float) -> Floats:
    """Compute differences of two F-betas, shape (resamples,), from counts by truth, first and second prediction."""
    cells = counts.reshape(-1, 2, 2, 2)
    support = cells[:, 1].sum(axis=(1, 2))
    answers = (cells[:, :, 1].sum(axis=2), cells[:, :, :, 1].sum(axis=2))  # given, by truth
    one, other = (
        (1 + beta**2) * given[:, 1] / np.maximum(beta**2 * support + given.sum(axis=1), 1e-9) for given in answers
    )
    return np.asarray(one - other, dtype=np.float64)


def verdict_of(low: float, high: float) -> Verdict:
    """Name what the interval of a difference says."""
    return "higher" if low > 0 else "lower" if high < 0 else "noise"
