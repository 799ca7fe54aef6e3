"""Finds labels that out-of-fold probabilities contradict: they may be wrong.

Confident learning after Northcutt, Jiang and Chuang 2021, *Confident Learning: Estimating Uncertainty in Dataset
Labels*, for each tag. Let ``t_on`` be the mean probability of a tag over the tiles with the tag, and ``t_off`` the mean
of 1 - p over the others. The network contradicts

* a tile without the tag if ``p >= t_on``: it is more certain than on average for tiles with the tag;
* a tile with the tag if ``1 - p >= t_off``.

The measure of a contradiction is the difference between the usual probability of the given label and its probability
on this tile, ``t - p(given)``, in 0..1. So a tag that the network cannot recognise, with a small ``t_on``, does not
fill the list. The probabilities must come from networks that never saw the tile.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.matrices import Bools, Floats, as_multi_hot, as_probabilities, check_same_order


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
    Table with one row for each contradicted label: ``tile`` and ``column`` (positions), ``given`` (0 or 1),
    ``probability`` of the tag, and ``contradiction`` in 0..1. A tag that all tiles have, or none, has no rows.

    Raises
    ------
    ValueError
        For arrays that are no probabilities or multi-hot arrays, or of different shapes.
    """
    check_same_order(probabilities, targets)
    p, on = as_probabilities(probabilities), as_multi_hot(targets)
    if p.shape != on.shape:
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


def _mean_where(values: Floats, where: Bools) -> Floats:
    count = where.sum(axis=0)
    mean: Floats = np.where(count > 0, (values * where).sum(axis=0) / np.maximum(count, 1), np.nan)
    return mean
