"""The teacher's probabilities for training tiles: lists the tiles that it may tag, and makes targets of them.

The teacher is a trained run or a blend. Its probabilities are stored for each fold of the run that it teaches, since
each fold may be taught only by networks that hold out the same fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.by_template import choose_files_for
from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.catalog.contents import check_folder
from amazon_ml.data.catalog.layout import tiles_below
from amazon_ml.data.catalog.tiles import files_needed
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import check_regular, no_file

Floats = npt.NDArray[np.float32]

#: Columns of the table before those of the tags.
_KEY = ["labelled", "image_name"]


@dataclass(frozen=True)
class Taught:
    """Probabilities that a teacher gives the training tiles of one fold.

    Parameters
    ----------
    tagged
        One row for each tagged tile that the teacher predicted, by its name, and one float32 column a tag.
    untagged
        The same of the untagged tiles.
    """

    tagged: pd.DataFrame
    untagged: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Give the table as it is stored: ``labelled``, ``image_name``, and a float32 column a tag."""
        table = pd.concat([self.tagged, self.untagged])
        table.insert(0, "image_name", table.index)
        table.insert(0, "labelled", np.arange(len(table)) < len(self.tagged))
        return table.reset_index(drop=True)

    def confident(self, least: float) -> pd.DataFrame:
        """Select the untagged tiles whose confidence, see `confidence`, is at least so high."""
        return self.untagged[confidence(self.untagged.to_numpy()) >= least]


def read_taught(path: Path, tags: Sequence[str]) -> Taught:
    """Read the table of a fold.

    Raises
    ------
    InputError
        If the file is missing or broken, or holds other tags.
    """
    check_regular(path)
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise no_file(path) from None
    except (ValueError, OSError) as error:
        raise InputError(f"this is not a table of a teacher's probabilities ({error})", file=path) from None
    if list(table.columns) != [*_KEY, *tags]:
        raise InputError("the table holds other tags than the run", file=path)
    labelled, rows = table["labelled"].to_numpy(dtype=bool), table.set_index("image_name")[list(tags)]
    return Taught(rows[labelled], rows[~labelled])


def confidence(p: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Measure how certain a teacher is of each tile: the mean over tags of the larger of p and 1 - p, in 0.5..1.

    Parameters
    ----------
    p
        Probabilities of shape (tiles, tags).
    """
    return np.asarray(np.maximum(p, 1 - p).mean(axis=1, dtype=np.float64))


def mixed_targets(
    targets: npt.NDArray[np.generic], names: "pd.Series[str]", taught: pd.DataFrame, weight: float
) -> Floats:
    """Mix the targets of tagged tiles with a teacher's probabilities.

    Parameters
    ----------
    targets
        Labels or soft labels of shape (tiles, tags).
    names
        Names of these tiles.
    taught
        The teacher's probabilities by name; it must hold all tiles, unless `weight` is 0.
    weight
        Share of the teacher in a target, in 0..1.

    Returns
    -------
    float32 array of shape (tiles, tags): ``(1 - weight) * target + weight * probability``.
    """
    own = targets.astype(np.float32)
    if not weight:
        return own
    rows = taught.index.get_indexer(pd.Index(names))
    if (rows < 0).any():
        raise InputError(
            f"there is no probability of the teacher for the tagged tile {names.iloc[int((rows < 0).argmax())]}"
        )
    return np.asarray((1 - weight) * own + weight * taught.to_numpy(dtype=np.float32)[rows], dtype=np.float32)


def list_untagged(catalog: Catalog, folder: Path | None, read: TileReader, limit: int | None = None) -> pd.DataFrame:
    """List the untagged tiles that a teacher may tag.

    Parameters
    ----------
    catalog
        The tiles of the run.
    folder
        Folder of untagged tiles, with its subfolders; None for the tiles of the catalog without tags, apart from those
        of a published test split, which are there for a score.
    read
        How tiles are read.
    limit
        Most tiles, the first ones.

    Returns
    -------
    Table of ``image_name``, ``path`` and ``tif``.
    """
    if folder is None:
        return catalog.unlabelled.iloc[len(catalog.tested) :].reset_index(drop=True)
    check_folder(folder, "name the folder of untagged tiles with `data.untagged`", option="data.untagged")
    chosen, lacking = choose_files_for(read, tiles_below(folder, read, "data.untagged"))
    if len(lacking):
        raise InputError(
            f"{len(lacking):,} tiles lack a {files_needed(read.bands, read.rgb_source)}, such as {lacking.iloc[0]}",
            file=folder, option="data.untagged",
        )  # fmt: skip
    return chosen[["image_name", "path", "tif"]].head(limit or len(chosen)).reset_index(drop=True)
