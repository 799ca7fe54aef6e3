"""Where the score is lost, tag by tag."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.fbeta import fbeta, fbeta_per_tile
from amazon_ml.decisions.matrices import Floats, as_multi_hot


def score_per_tag(targets: npt.ArrayLike, decided: npt.ArrayLike, beta: float = 2.0) -> pd.DataFrame:
    """Each tag's own precision, recall and F-beta, over tiles, and what it costs.

    Precision, recall and F-beta of a tag explain the score but do not average to it: the metric is a
    mean over tiles, not tags. ``gain`` is in its unit: how much the score would rise if this tag
    alone were decided without error.

    Returns
    -------
    Table with one row a tag: ``support`` and ``decided`` (tiles), ``precision``, ``recall``,
    ``fbeta`` in 0..1, each 0 where its denominator is 0, and ``gain``.
    """
    true, on = as_multi_hot(targets), as_multi_hot(decided)
    hits, support, predicted = (true & on).sum(axis=0), true.sum(axis=0), on.sum(axis=0)
    return pd.DataFrame(
        {
            "support": support,
            "decided": predicted,
            "precision": hits / np.maximum(predicted, 1),
            "recall": hits / np.maximum(support, 1),
            "fbeta": fbeta_per_tile(true.T, on.T, beta),
            "gain": _gains(true, on, beta),
        }
    )


def _gains(true: npt.NDArray[np.bool_], on: npt.NDArray[np.bool_], beta: float) -> Floats:
    now = fbeta(true, on, beta)
    tags = np.arange(true.shape[1])
    return np.array([fbeta(true, np.where(tags == tag, true, on), beta) - now for tag in tags])


def confusions(targets: npt.ArrayLike, decided: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Count tiles where one tag is missed and another is surplus.

    Returns
    -------
    int64 array of shape (tags, tags): row for the missed tag, column for the surplus one. The
    diagonal is 0: a tag cannot be both.
    """
    true, on = as_multi_hot(targets), as_multi_hot(decided)
    return (true & ~on).astype(np.int64).T @ (on & ~true).astype(np.int64)
