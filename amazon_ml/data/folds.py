"""Folds: which tiles a network is not trained on. Written once, then only read."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot


def make_folds(names: pd.Series, targets: MultiHot, folds: int, seed: int) -> pd.DataFrame:
    """Stratify by all tags at once: each tag is spread as evenly as its rarest holders allow.

    Iterative stratification after Sechidis, Tsoumakas and Vlahavas 2011, *On the Stratification of
    Multi-label Data*.

    Parameters
    ----------
    names
        Names of the labelled tiles.
    targets
        Multi-hot array of shape (tiles, tags).
    folds
        Number of folds, from 2 to the number of tiles.

    Returns
    -------
    Table of ``image_name`` and ``fold`` (0 to folds - 1), in the order of `names`.
    """
    # Slow to import (scikit-learn), and only needed where folds are made.
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    if not 2 <= folds <= len(names):
        raise InputError(f"cannot make {folds} folds of {len(names)} tiles; set data.n_folds between 2 and that")
    if targets.shape[1] == 1:
        targets = np.hstack([targets, 1 - targets])  # the splitter refuses a single column
    fold = np.zeros(len(names), dtype=np.int64)
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        for k, (_, held_out) in enumerate(splitter.split(np.zeros((len(names), 1)), targets)):
            fold[held_out] = k
    return pd.DataFrame({"image_name": names.to_numpy(), "fold": fold})


def worst_deviation(targets: MultiHot, fold: "pd.Series[int]") -> float:
    """Largest relative deviation of a tag's share in a fold from its share overall.

    0 is perfect; with 100 tiles of a tag in 5 folds, one tile astray makes 0.05.
    """
    overall = targets.mean(axis=0)
    present = overall > 0
    shares = np.stack([targets[(fold == k).to_numpy()].mean(axis=0) for k in sorted(fold.unique())])
    return float(np.abs(shares[:, present] / overall[present] - 1).max()) if present.any() else 0.0


def read_folds(path: Path, names: pd.Series) -> "pd.Series[int]":
    """Read folds and put them in the order of `names`.

    Returns
    -------
    Fold of each tile, with the index of `names`.

    Raises
    ------
    InputError
        When the file is missing or broken, or does not hold exactly the tiles in `names`.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        fold = table.set_index("image_name")["fold"].astype("int64")
    except FileNotFoundError:
        raise InputError(f"there is no {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path} must have the columns image_name and fold, one row a tile: {error}") from None
    if fold.index.has_duplicates:
        raise InputError(f"{path} holds {fold.index[fold.index.duplicated()][0]} more than once")
    odd = fold.index.symmetric_difference(pd.Index(names))
    if len(odd):
        raise InputError(
            f"{path} does not fit the tag table: {len(odd)} tiles are in only one of them, such as {odd[0]}"
        )
    if not fold.ge(0).all():
        raise InputError(f"{path} holds a fold below 0")
    aligned: pd.Series[int] = fold.loc[names].set_axis(names.index)
    return aligned
