"""Scores of held-out tiles after an epoch: those of all tiles, and those of each tag."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.fbeta import fbeta_score
from amazon_ml.decisions.macro_micro import half_scores
from amazon_ml.decisions.per_tag import average_precision, score_per_tag
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD
from amazon_ml.errors import InputError


def score_tiles(
    tags: Sequence[str], true: npt.NDArray[np.float32], p: npt.NDArray[np.float32]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Score probabilities without a decision rule, which no epoch has.

    Parameters
    ----------
    tags
        Names of the columns.
    true, p
        Multi-hot tags and probabilities, each of shape (tiles, tags).

    Returns
    -------
    A row for each tag: F2, precision and recall at `DEFAULT_THRESHOLD`, and its average precision, which is not a
    number for a tag that no tile carries. And the scores of all tiles: ``f2`` at `DEFAULT_THRESHOLD`, average precision
    and F1 at 0.5, macro and micro. Macro averages leave out tags that no tile carries.

    Raises
    ------
    InputError
        If a tag is neither 0 nor 1.
    """
    odd = true[(true != 0) & (true != 1)]
    if odd.size:
        raise InputError(f"targets of validation and test must be 0 or 1, and one is {odd[0]:g}", option="target",
                         remedy="give soft targets in training alone")  # fmt: skip
    table = score_per_tag(true, p >= DEFAULT_THRESHOLD, gains=False)
    table["average_precision"] = average_precision(true, p)
    table.insert(0, "tag", list(tags))
    return table, {"f2": fbeta_score(true, p >= DEFAULT_THRESHOLD), **half_scores(true, p)}
