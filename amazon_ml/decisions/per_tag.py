"""Scores of each tag, and its effect on the metric."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.fbeta import fbeta_per_tile, fbeta_score
from amazon_ml.decisions.matrices import Bools, Floats, as_multi_hot, as_probabilities, check_same_order
from amazon_ml.decisions.parameters import check_beta


def score_per_tag(
    targets: npt.ArrayLike, predicted: npt.ArrayLike, beta: float = 2.0, *, gains: bool = True
) -> pd.DataFrame:
    """Compute precision, recall and F-beta of each tag, over tiles, and its effect on the metric.

    Precision, recall and F-beta of the tags do not average to the metric, which is a mean over tiles.
    ``gain_if_perfect`` is in its unit: the rise of the score if only this tag were predicted without error.

    Parameters
    ----------
    targets, predicted
        Multi-hot arrays of shape (tiles, tags).
    beta
        Weight of recall against precision.
    gains
        Whether to compute ``gain_if_perfect``, which takes longer than the rest.

    Returns
    -------
    Table with one row for each tag: ``support`` and ``predicted`` (tiles), ``precision``, ``recall``, ``fbeta`` in
    0..1, each 0 if its denominator is 0, and ``gain_if_perfect``.
    """
    check_beta(beta)
    check_same_order(targets, predicted)
    true, on = as_multi_hot(targets), as_multi_hot(predicted)
    hits, support, count = (true & on).sum(axis=0), true.sum(axis=0), on.sum(axis=0)
    table = pd.DataFrame(
        {
            "support": support,
            "predicted": count,
            "precision": hits / np.maximum(count, 1),
            "recall": hits / np.maximum(support, 1),
            "fbeta": np.where(support + count > 0, fbeta_per_tile(true.T, on.T, beta), 0.0),
        }
    )
    return table.assign(gain_if_perfect=_gains_if_perfect(true, on, beta)) if gains else table


def _gains_if_perfect(true: npt.NDArray[np.bool_], on: npt.NDArray[np.bool_], beta: float) -> Floats:
    now = fbeta_score(true, on, beta)
    tags = np.arange(true.shape[1])
    return np.array([fbeta_score(true, np.where(tags == tag, true, on), beta) - now for tag in tags])


def fbeta_by_threshold(
    targets: npt.ArrayLike, p: npt.ArrayLike, thresholds: npt.ArrayLike, beta: float = 2.0
) -> Floats:
    """Compute the F-beta of each tag over tiles, for several thresholds.

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    p
        Probabilities in 0..1, of the same shape.
    thresholds
        Shape (thresholds,); a tag is predicted if its probability reaches the threshold.
    beta
        Weight of recall against precision.

    Returns
    -------
    float64 of shape (thresholds, tags); 0 if a tag is neither true nor predicted for any tile.

    Raises
    ------
    ValueError
        For arrays that are no multi-hot arrays or probabilities, or of different shapes, for a threshold that is no
        number, and for a beta out of range.
    """
    check_beta(beta)
    true, values = _checked(targets, p)
    cuts = np.asarray(thresholds, dtype=np.float64)
    if np.isnan(cuts).any():
        raise ValueError(f"a threshold is {float('nan')}; thresholds must be numbers")
    order = np.argsort(values, axis=0)
    rising, holds = np.take_along_axis(values, order, axis=0), np.take_along_axis(true, order, axis=0)
    support = true.sum(axis=0)
    below = np.stack([np.searchsorted(column, cuts) for column in rising.T], axis=1)  # tiles that are off
    missed = np.vstack([np.zeros_like(support), holds.cumsum(axis=0)])[below, np.arange(true.shape[1])]
    size = beta**2 * support + len(true) - below
    score: Floats = (1 + beta**2) * (support - missed) / np.where(size > 0, size, 1.0)
    return score


def average_precision(targets: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Compute the average precision of each tag: how well its probability orders the tiles, for all thresholds.

    ``sum over n of (R_n - R_(n-1)) P_n``, with precision P_n and recall R_n at the n-th of the distinct
    probabilities from the highest down (Manning, Raghavan and Schütze 2008, section 8.4).

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    p
        Probabilities in 0..1, of the same shape.

    Returns
    -------
    float64 of shape (tags,), in 0..1; NaN for a tag that no tile has.

    Raises
    ------
    ValueError
        For arrays that are no multi-hot arrays or probabilities, or of different shapes.
    """
    true, values = _checked(targets, p)
    return np.array([_average_precision(true[:, tag], values[:, tag]) for tag in range(true.shape[1])])


def _checked(targets: npt.ArrayLike, p: npt.ArrayLike) -> tuple[Bools, Floats]:
    check_same_order(targets, p)
    true, values = as_multi_hot(targets), as_probabilities(p)
    if true.shape != values.shape:
        raise ValueError(f"targets and probabilities differ in shape: {true.shape}, {values.shape}")
    return true, values


def _average_precision(true: Bools, p: Floats) -> float:
    """Average, over the tiles of the tag, the precision among all tiles that are at least as probable."""
    if not true.any():
        return float("nan")
    hits, others = np.sort(p[true]), np.sort(p[~true])  # two sorted arrays are faster than an order of all
    found = len(hits) - np.searchsorted(hits, hits)
    return float(np.mean(found / (found + len(others) - np.searchsorted(others, hits))))


def confusions(targets: npt.ArrayLike, predicted: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Count the tiles where one tag is missed and another is a false positive.

    Returns
    -------
    int64 array of shape (tags, tags): row for the missed tag, column for the false positive. The
    diagonal is 0: a tag cannot be both.
    """
    check_same_order(targets, predicted)
    true, on = as_multi_hot(targets), as_multi_hot(predicted)
    return (true & ~on).astype(np.int64).T @ (on & ~true).astype(np.int64)
