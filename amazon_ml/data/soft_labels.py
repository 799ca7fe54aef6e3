"""Soft labels: training targets half-way between a doubted label and its probability."""

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


def soft_targets(
    targets: MultiHot, names: "pd.Series[str]", tags: Sequence[str], table: Path
) -> npt.NDArray[np.float32]:
    """Make targets in which each doubted label is the mean of the label and a probability.

    Half-way, a wrong label no longer pulls the network, and a right label that was doubted by mistake still pulls it
    half as hard.

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    names
        Names of the tiles.
    tags
        The tag list.
    table
        CSV with ``image_name``, ``tag`` and ``probability``, as ``amazon-ml audit`` writes it. Tiles that are not
        among `names` are ignored: they may be held out, or excluded.

    Returns
    -------
    float32 array of shape (tiles, tags), in 0..1.

    Raises
    ------
    InputError
        If the table cannot be read, a tag is unknown, or a probability is outside of 0..1.
    """
    check_regular(table)
    try:
        rows = pd.read_csv(table, dtype={"image_name": str, "tag": str}, keep_default_na=False)
        probability = pd.to_numeric(rows["probability"]).to_numpy(dtype=np.float64)
        wanted, tag = rows["image_name"], rows["tag"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"the file must be a CSV with image_name, tag and probability: {str(error).strip()}", file=table,
            option="data.soft_labels",
        ) from None  # fmt: skip
    wrong = ~tag.isin(list(tags)) | ~((probability >= 0) & (probability <= 1))
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{tag[row]!r} with probability {probability[row]:g}", file=table, line=row + 2, option="data.soft_labels",
            remedy=f"tags are {', '.join(tags)}, and probabilities lie in 0..1",
        )  # fmt: skip
    soft = targets.astype(np.float32)
    at = pd.Index(names).get_indexer(pd.Index(wanted))
    column = pd.Index(list(tags)).get_indexer(pd.Index(tag))
    here = at >= 0
    if len(rows) and not here.any():
        log.warning(
            "`data.soft_labels`: %s names none of the %d labelled tiles, such as %s", table, len(names), wanted[0]
        )
    at, column = at[here], column[here]
    soft[at, column] = (targets[at, column] + probability[here].astype(np.float32)) / 2
    return soft
