"""Where the score is lost, tag by tag."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.fbeta import fbeta_per_tile, fbeta_score
from amazon_ml.decisions.matrices import Floats, as_multi_hot


def score_per_tag(targets: npt.ArrayLike, predicted: npt.ArrayLike, beta: float = 2.0) -> pd.DataFrame:
    """Each tag's own precision, recall and F-beta, over tiles, and what it costs.

    Precision, recall and F-beta of a tag explain the score but do not average to it: the metric is a
    mean over tiles, not tags. ``gain_if_perfect`` is in its unit: how much the score would rise if this tag
    alone were predicted without error.

    Returns
    -------
    Table with one row a tag: ``support`` and ``predicted`` (tiles), ``precision``, ``recall``,
    ``fbeta`` in 0..1, each 0 where its denominator is 0, and ``gain_if_perfect``.
    """
    true, on = as_multi_hot(targets), as_multi_hot(predicted)
    hits, support, count = (true & on).sum(axis=0), true.sum(axis=0), on.sum(axis=0)
    return pd.DataFrame(
        {
            "support": support,
            "predicted": count,
            "precision": hits / np.maximum(count, 1),
            "recall": hits / np.maximum(support, 1),
            "fbeta": fbeta_per_tile(true.T, on.T, beta),
            "gain_if_perfect": _gains_if_perfect(true, on, beta),
        }
    )


def _gains_if_perfect(true: npt.NDArray[np.bool_], on: npt.NDArray[np.bool_], beta: float) -> Floats:
    now = fbeta_score(true, on, beta)
    tags = np.arange(true.shape[1])
    return np.array([fbeta_score(true, np.where(tags == tag, true, on), beta) - now for tag in tags])


def fbeta_by_threshold(
    targets: npt.ArrayLike, p: npt.ArrayLike, thresholds: npt.ArrayLike, beta: float = 2.0
) -> Floats:
    """Each tag's own F-beta over tiles, for each of some thresholds.

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    p
        Probabilities of the same shape.
    thresholds
        Shape (thresholds,); a tag is on where its probability reaches the threshold.
    beta
        Weight of recall against precision.

    Returns
    -------
    float64 of shape (thresholds, tags); 0 where a tag is neither true nor on.
    """
    true, values, cuts = as_multi_hot(targets), np.asarray(p, dtype=np.float64), np.asarray(thresholds)
    order = np.argsort(values, axis=0)
    rising, holds = np.take_along_axis(values, order, axis=0), np.take_along_axis(true, order, axis=0)
    support = true.sum(axis=0)
    below = np.stack([np.searchsorted(column, cuts) for column in rising.T], axis=1)  # tiles that are off
    missed = np.vstack([np.zeros_like(support), holds.cumsum(axis=0)])[below, np.arange(true.shape[1])]
    size = beta**2 * support + len(true) - below
    score: Floats = (1 + beta**2) * (support - missed) / np.where(size > 0, size, 1.0)
    return score


def average_precision(targets: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Each tag's average precision: how well its probability ranks the tiles, whatever the threshold.

    ``sum over n of (R_n - R_(n-1)) P_n``, with precision P_n and recall R_n at the n-th of the distinct
    probabilities from the highest down (Manning, Raghavan and Schütze 2008, section 8.4).

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    p
        Probabilities, or anything that ranks like them, of the same shape.

    Returns
    -------
    float64 of shape (tags,), in 0..1; NaN for a tag that no tile carries.
    """
    true, ranks = as_multi_hot(targets), np.asarray(p)
    return np.array([_average_precision(true[:, tag], ranks[:, tag]) for tag in range(true.shape[1])])


def _average_precision(true: npt.NDArray[np.bool_], p: npt.NDArray[np.floating[Any]]) -> float:
    if not true.any():
        return float("nan")
    order = np.argsort(-p, kind="stable")
    last = np.flatnonzero(np.append(np.diff(p[order]) != 0, True))  # tiles of one probability fall together
    hits = np.cumsum(true[order])[last]
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (last + 1))) / hits[-1])


def confusions(targets: npt.ArrayLike, predicted: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Count tiles where one tag is missed and another is a false positive.

    Returns
    -------
    int64 array of shape (tags, tags): row for the missed tag, column for the false positive. The
    diagonal is 0: a tag cannot be both.
    """
    true, on = as_multi_hot(targets), as_multi_hot(predicted)
    return (true & ~on).astype(np.int64).T @ (on & ~true).astype(np.int64)
