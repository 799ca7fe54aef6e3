"""Tags that out-of-fold probabilities contradict: candidates for wrong labels.

Confident learning after Northcutt, Jiang and Chuang 2021, *Confident Learning: Estimating Uncertainty in
Dataset Labels*, tag by tag. A network is right about a tag to some degree: let ``t_on`` be its mean
probability over the tiles that carry the tag, and ``t_off`` its mean of 1 - p over those that do not. It
contradicts

* a tile without the tag where ``p >= t_on``: it is surer than it usually is of tiles that carry it;
* a tile with the tag where ``1 - p >= t_off``.

The measure of a contradiction is how far the probability of the label that was given stays below what is
usual for that label, ``t - p(given)``, in 0..1. So a tag that the network cannot see, whose ``t_on`` is
small, does not fill the list. The probabilities must come from networks that never saw the tile.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.matrices import Floats


def contradictions(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> pd.DataFrame:
    """List labels that the probabilities contradict, the strongest contradiction first.

    Parameters
    ----------
    probabilities
        Out-of-fold probabilities of shape (tiles, tags), in 0..1.
    targets
        Multi-hot labels of the same shape.

    Returns
    -------
    Table with one row a contradicted label: ``tile`` and ``column`` (positions), ``given`` (0 or 1),
    ``probability`` of the tag, and ``contradiction`` in 0..1. A tag that all tiles carry, or none, has no rows.
    """
    p, on = np.asarray(probabilities, dtype=np.float64), np.asarray(targets, dtype=bool)
    if p.shape != on.shape or p.ndim != 2:
        raise ValueError(f"expected two arrays of one shape (tiles, tags), got {p.shape} and {on.shape}")
    usual_on, usual_off = _mean_where(p, on), _mean_where(1 - p, ~on)
    contradicted = np.where(on, 1 - p >= usual_off, p >= usual_on) & ~np.isnan(usual_on + usual_off)
    below = np.where(on, usual_on - p, usual_off - (1 - p))
    tile, column = np.nonzero(contradicted & (below > 0))
    table = pd.DataFrame(
        {
            "tile": tile,
            "column": column,
            "given": on[tile, column].astype(np.uint8),
            "probability": p[tile, column],
            "contradiction": below[tile, column],
        }
    )
    return table.sort_values(["contradiction", "tile", "column"], ascending=[False, True, True], ignore_index=True)


def _mean_where(values: Floats, where: npt.NDArray[np.bool_]) -> Floats:
    count = where.sum(axis=0)
    mean: Floats = np.where(count > 0, (values * where).sum(axis=0) / np.maximum(count, 1), np.nan)
    return mean
