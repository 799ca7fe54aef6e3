"""Read the tables that training writes after each epoch: learning curves, scores of tags. No result depends on them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)

#: Columns that a table of learning curves must have.
CURVES = ("epoch", "step")
#: Columns that must hold numbers where a table has them.
_NUMBERS = ("epoch", "step", "val_f2", "val_loss", "train_loss_epoch", "images_per_second", "train_seconds")
#: An epoch above this is an error of the file.
_MOST_EPOCHS = 10**7


def load_figures(path: Path, columns: Sequence[str] = CURVES) -> pd.DataFrame:
    """Read a CSV of figures.

    Parameters
    ----------
    path
        A CSV of the run.
    columns
        Columns that it must have.

    Raises
    ------
    InputError
        Where the file is no regular file, is empty or damaged, or was written by another program.
    """
    check_regular(path)
    try:
        table = pd.read_csv(path)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", file=path) from None
    except (ValueError, OverflowError) as error:  # pandas raises these
        raise InputError(f"the file is damaged ({str(error).strip()})", file=path) from None
    for column in columns:
        if column not in table:
            raise InputError(f"the file is damaged (it has no column {column})", file=path)
    for column in set(_NUMBERS).intersection(table):
        if table[column].notna().any() and not pd.api.types.is_numeric_dtype(table[column]):
            raise InputError(f"the file is damaged ({column} holds values that are no numbers)", file=path)
    epochs = pd.to_numeric(table["epoch"], errors="coerce").to_numpy(dtype=float)
    if not len(epochs) or not np.all((epochs >= 0) & (epochs < _MOST_EPOCHS)):
        raise InputError("the file is damaged (epoch holds values that are no numbers of epochs)", file=path)
    return table


def read_figures(path: Path, columns: Sequence[str] = CURVES) -> pd.DataFrame | None:
    """Read the table of earlier epochs when training is resumed; training does not need it.

    Returns
    -------
    The table; None where there is none. An empty or damaged file, as after a power cut, is renamed with a warning.
    """
    if not path.exists():
        return None
    check_regular(path)
    try:
        return load_figures(path, columns)
    except InputError as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        log.warning("%s; it is renamed to %s, and a new file begins", error, aside.name)
        return None


def read_curves(path: Path) -> pd.DataFrame | None:
    """Read learning curves to draw them; None where there are none, or, with a warning, where they are damaged."""
    try:
        return load_figures(path) if path.exists() else None
    except InputError as error:
        log.warning("%s; its curves are left out", error)
        return None
