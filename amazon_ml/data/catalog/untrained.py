"""Finds tags that no training tile has, so that no network learns them."""

import logging

import numpy as np
import numpy.typing as npt

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.config import DataConfig
from amazon_ml.errors import listed

log = logging.getLogger(__name__)


def warn_of_untrained(catalog: Catalog, config: DataConfig, trained: npt.NDArray[np.bool_]) -> None:
    """Warn of tags that none of the labelled tiles that are trained on has.

    Parameters
    ----------
    catalog
        The tiles.
    config
        Options of the data. A teacher may know the tags: then there is no warning.
    trained
        Whether a network trains on each labelled tile, bool of shape (tiles,).
    """
    if config.teacher is not None:
        return
    counts = catalog.targets[trained].sum(axis=0, dtype=int).tolist()
    tags = [tag for tag, count in zip(catalog.tags.names, counts, strict=True) if not count]
    if tags:
        which = "that is trained on" if catalog.valid is None else "of the training split"
        log.warning("no tile %s has: %s; networks cannot learn these tags, and their thresholds say at most how "
                    "frequent they are in other tiles", which, listed(tags))  # fmt: skip
