"""Softened tags: labels that are doubted, trained on half-way between what was given and what seems true."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)


def soften_targets(
    targets: MultiHot, names: "pd.Series[str]", tags: Sequence[str], table: Path
) -> npt.NDArray[np.float32]:
    """Give targets in which doubted labels are the mean of the label and a probability.

    Half-way, a wrong label no longer pulls the network, and a right one that was doubted by mistake
    still pulls it half as hard.

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    names
        Names of the tiles.
    tags
        The tag list.
    table
        CSV with ``image_name``, ``tag`` and ``probability``, as ``amazon-ml audit`` writes it. Tiles
        that are not among `names` are passed over: they may be held out, or left out.

    Returns
    -------
    float32 array of shape (tiles, tags), in 0..1.

    Raises
    ------
    InputError
        For a table that cannot be read, an unknown tag, or a probability outside of 0..1.
    """
    check_regular(table)
    try:
        rows = pd.read_csv(table, dtype={"image_name": str, "tag": str}, keep_default_na=False)
        probability = pd.to_numeric(rows["probability"]).to_numpy(dtype=np.float64)
        wanted, tag = rows["image_name"], rows["tag"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"data.soft_labels: {table} must be a CSV with image_name, tag and probability: {str(error).strip()}"
        ) from None
    wrong = ~tag.isin(list(tags)) | ~((probability >= 0) & (probability <= 1))
    if wrong.any():
        line = int(wrong.to_numpy().argmax())
        raise InputError(
            f"data.soft_labels: {table} line {line + 2}: {tag[line]!r} with probability {probability[line]:g}; "
            f"tags are {', '.join(tags)}, and probabilities lie in 0..1"
        )
    soft = targets.astype(np.float32)
    row = pd.Index(names).get_indexer(pd.Index(wanted))
    column = pd.Index(list(tags)).get_indexer(pd.Index(tag))
    here = row >= 0
    if len(rows) and not here.any():
        log.warning(
            "data.soft_labels: %s names none of the %d labelled tiles, such as %s", table, len(names), wanted[0]
        )
    row, column = row[here], column[here]
    soft[row, column] = (targets[row, column] + probability[here].astype(np.float32)) / 2
    return soft
