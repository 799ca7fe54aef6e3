"""F-beta averaged over tiles: the competition's metric, on arrays.

For one tile with the set of true tags Y and the set of decided tags D::

    F_beta = (1 + beta^2) |Y and D| / (beta^2 |Y| + |D|)

which is the weighted harmonic mean of the tile's precision and recall (van Rijsbergen 1979,
*Information Retrieval*, ch. 7). With beta = 2, a missed tag costs more than a surplus one. Where
Y and D are both empty the quotient is 0/0; it counts as 0, as in scikit-learn's default.
"""

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.matrices import Floats, as_multi_hot


def fbeta_per_tile(targets: npt.ArrayLike, decided: npt.ArrayLike, beta: float = 2.0) -> Floats:
    """F-beta of each tile.

    Parameters
    ----------
    targets, decided
        Multi-hot arrays of shape (tiles, tags).
    beta
        Weight of recall against precision; more than 0.

    Returns
    -------
    float64 array of shape (tiles,), in 0..1.

    Raises
    ------
    ValueError
        For two shapes, and for values other than 0 and 1.
    """
    true, on = as_multi_hot(targets), as_multi_hot(decided)
    if true.shape != on.shape or true.ndim != 2:
        raise ValueError(f"expected two arrays of one shape (tiles, tags), got {true.shape} and {on.shape}")
    hits = (true & on).sum(axis=1)
    size = beta**2 * true.sum(axis=1) + on.sum(axis=1)
    score: Floats = (1 + beta**2) * hits / np.where(size > 0, size, 1.0)
    return score


def fbeta(targets: npt.ArrayLike, decided: npt.ArrayLike, beta: float = 2.0) -> float:
    """Mean of `fbeta_per_tile`: scikit-learn's ``fbeta_score(average="samples")``."""
    return float(fbeta_per_tile(targets, decided, beta).mean())
