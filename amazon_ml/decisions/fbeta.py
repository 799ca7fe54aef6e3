"""The metric: F-beta averaged over tiles.

For one tile with the set of true tags Y and the set of predicted tags D::

    F_beta = (1 + beta^2) |Y and D| / (beta^2 |Y| + |D|)

which is the weighted harmonic mean of precision and recall of the tile (van Rijsbergen 1979, *Information Retrieval*,
ch. 7). With beta = 2, a missed tag costs more than a false positive.

If Y and D are both empty, the quotient is 0/0. It counts as 1, since the answer is right. With 0, a tile without tags
would score 0 for every answer: a false positive on it would cost nothing, and rules that are tuned for the score would
give tags to such tiles.
"""

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.matrices import Floats, as_multi_hot, check_same_order
from amazon_ml.decisions.parameters import check_beta


def fbeta_per_tile(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, beta: float = 2.0) -> Floats:
    """Compute the F-beta of each tile.

    Parameters
    ----------
    y_true, y_pred
        True and predicted tags, multi-hot arrays of shape (tiles, tags).
    beta
        Weight of recall against precision; more than 0.

    Returns
    -------
    float64 array of shape (tiles,), in 0..1; 1 where a tile has no tag and none is predicted.

    Raises
    ------
    ValueError
        If the shapes differ, values are masked or not 0 or 1, beta is not above 0, or both are tables with the same
        rows or columns in another order.
    """
    check_beta(beta)
    check_same_order(y_true, y_pred)
    true, on = as_multi_hot(y_true), as_multi_hot(y_pred)
    if true.shape != on.shape or true.ndim != 2:
        raise ValueError(f"expected two arrays of one shape (tiles, tags), got {true.shape} and {on.shape}")
    hits = (true & on).sum(axis=1)
    size = beta**2 * true.sum(axis=1) + on.sum(axis=1)
    score: Floats = (1 + beta**2) * hits / np.where(size > 0, size, 1.0)
    score[~(true | on).any(axis=1)] = 1.0
    return score


def fbeta_score(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, beta: float = 2.0) -> float:
    """Compute the mean F-beta over tiles; for beta = 2 this is the metric of the competition.

    It equals scikit-learn's ``fbeta_score(y_true, y_pred, beta=beta, average="samples", zero_division=1)``: a tile
    without a true tag and without a predicted one scores 1.

    Parameters
    ----------
    y_true, y_pred
        True and predicted tags, shape (tiles, tags), 0 or 1; at least one tile.
    beta
        Weight of recall against precision; above 0.

    Returns
    -------
    float
        The mean, in 0..1.

    Raises
    ------
    ValueError
        If the shapes differ, there is no tile, values are masked or not 0 or 1, beta is not above 0, or both are tables
        with the same rows or columns in another order.

    Examples
    --------
    The first tile is right; the second misses one of two tags: 5 * 1 / (4 * 2 + 1).

    >>> round(fbeta_score([[1, 0, 0], [0, 1, 1]], [[1, 0, 0], [0, 1, 0]]), 4)
    0.7778
    >>> fbeta_score([[0, 0]], [[0, 0]])
    1.0
    """
    per_tile = fbeta_per_tile(y_true, y_pred, beta)
    if not len(per_tile):
        raise ValueError("there is no tile to score")
    return float(per_tile.mean())
