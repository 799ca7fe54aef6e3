"""Readers of the figures that training writes after each epoch, and that nothing depends on: learning curves, tags."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)

#: What a table of learning curves must have.
CURVES = ("epoch", "step")
#: Columns that hold numbers, where a table has them.
_NUMBERS = ("epoch", "step", "val_f2", "val_loss", "train_loss_epoch", "images_per_second", "train_seconds")
#: No training has more epochs.
_MOST_EPOCHS = 10**7


def load_figures(path: Path, columns: Sequence[str] = CURVES) -> pd.DataFrame:
    """Read a CSV of figures.

    Parameters
    ----------
    path
        A CSV of the run.
    columns
        Those that it must have.

    Raises
    ------
    InputError
        With the file, where it is no regular file, is empty or damaged, or was written by another program.
    """
    check_regular(path)
    try:
        table = pd.read_csv(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, OverflowError) as error:  # as those of pandas are
        raise InputError(f"{path} is damaged ({str(error).strip()})") from None
    for column in columns:
        if column not in table:
            raise InputError(f"{path} is damaged (it has no column {column})")
    for column in set(_NUMBERS).intersection(table):
        if table[column].notna().any() and not pd.api.types.is_numeric_dtype(table[column]):
            raise InputError(f"{path} is damaged ({column} holds other things than numbers)")
    epochs = pd.to_numeric(table["epoch"], errors="coerce").to_numpy(dtype=float)
    if not len(epochs) or not np.all((epochs >= 0) & (epochs < _MOST_EPOCHS)):
        raise InputError(f"{path} is damaged (epoch holds other things than numbers of epochs)")
    return table


def read_figures(path: Path, columns: Sequence[str] = CURVES) -> pd.DataFrame | None:
    """Read figures of earlier epochs for training, which goes on without them.

    Returns
    -------
    The table. None where there is none; a file that is empty or damaged, as after a power cut, is set aside with a
    warning.
    """
    if not path.exists():
        return None
    check_regular(path)
    try:
        return load_figures(path, columns)
    except InputError as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        log.warning("%s; it is set aside as %s, and its curves begin anew", error, aside.name)
        return None


def read_curves(path: Path) -> pd.DataFrame | None:
    """Read learning curves to show them; none where there are none, or, with a warning, where they are damaged."""
    try:
        return load_figures(path) if path.exists() else None
    except InputError as error:
        log.warning("%s; its curves are left out", error)
        return None
