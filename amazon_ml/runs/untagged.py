"""The untagged tiles that a teacher tags: choose them when a run begins, and check later that they are the same."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.catalog.file_table import SIZES, TIMES, compare_files, count_names, file_table
from amazon_ml.data.config import DataConfig
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.broken import check_whole
from amazon_ml.data.taught import list_untagged
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.runs.tile_files import hash_unknown, read_files, write_files

log = logging.getLogger(__name__)


def untagged_tiles(run: Run, data: DataConfig, catalog: Catalog, read: TileReader, *, begun: bool) -> pd.DataFrame:
    """List the untagged tiles that a teacher tags, for a caller that holds the lock of the run.

    A new run chooses and records them. A tile is left out that is a tagged tile or one of the published test split,
    byte for byte or by its name: some network was trained on its tags, or will be scored on it.

    Parameters
    ----------
    run
        A run that has recorded its tiles.
    data
        Its options of the data.
    catalog
        Its tiles.
    read
        Its reader of tiles.
    begun
        Whether any fold is begun, so that the tiles must be those that the run recorded.

    Returns
    -------
    Table of ``image_name``, ``path`` and ``tif``, in the order in which the run recorded them.

    Raises
    ------
    InputError
        If no tile is left, or, in a begun run, if a file is gone or changed.
    """
    folder = None if data.untagged is None else Path(data.untagged)
    listed = list_untagged(catalog, folder, read, data.max_samples)
    tiles = _as_catalog(catalog, listed, read)
    if begun:
        _check_same(run, tiles, data)
    else:
        _choose(run, tiles, catalog, data)
    names = read_files(run.untagged).index.get_level_values("image_name")
    return listed.set_index("image_name", drop=False).loc[names].reset_index(drop=True)


def _as_catalog(catalog: Catalog, listed: pd.DataFrame, read: TileReader) -> Catalog:
    """Give the untagged tiles as a catalog without tagged ones."""
    nothing = np.zeros((0, len(catalog.tags)), dtype=np.uint8)
    return Catalog(catalog.tags, catalog.labelled.iloc[:0], nothing, listed, catalog.rgb_source, read.source)


def _choose(run: Run, tiles: Catalog, catalog: Catalog, data: DataConfig) -> None:
    if data.untagged is not None:
        check_whole(tiles.labelled, tiles.unlabelled, tiles.files)
    if not len(tiles.unlabelled) and data.untagged is None and data.max_samples is not None and len(catalog.tested):
        raise InputError(f"`data.max_samples` {data.max_samples} keeps so many of the tiles that are not trained on, "
                         "and all of them are tiles of the published test split", file=data.root,
                         option="data.max_samples",
                         remedy="raise it, or name a folder of other tiles with `data.untagged`")  # fmt: skip
    own, now = read_files(run.tiles), file_table(tiles)
    known = own["hash"].reindex(now.index) if data.untagged is None else pd.Series(None, now.index, dtype=object)
    hashed = hash_unknown(now, known, tiles.files)
    names = own.index.get_level_values("image_name")
    scored = own.index.get_level_values("labelled") | names.isin(catalog.tested["image_name"])
    of_listed = hashed.index.get_level_values("image_name")
    again = hashed["hash"].isin(own.loc[scored, "hash"]).to_numpy() | of_listed.isin(names[scored])
    if again.any():
        log.warning("%s of the untagged tiles are tagged tiles or tiles of the published test split, by their bytes or "
                    "their names, and are left out", count_names(of_listed[again]))  # fmt: skip
    if again.all():
        raise InputError("there is no untagged tile" if not len(again) else "no untagged tile is left",
                         file=data.untagged or data.root, option="data.untagged",
                         remedy="name a folder of other tiles with `data.untagged`")  # fmt: skip
    write_files(run.untagged, hashed[~again])


def _check_same(run: Run, tiles: Catalog, data: DataConfig) -> None:
    then, now = read_files(run.untagged), file_table(tiles)
    changes = compare_files(then, now, tiles.files)
    for odd, what in ((changes.removed, "are gone"), (changes.changed, f"are not those that {run.path} began with")):
        if len(odd):
            raise InputError(
                f"the files of untagged tiles {what}: {count_names(odd.get_level_values('image_name'))}",
                file=data.untagged or data.root, option="data.untagged",
                remedy="put their files back, or choose another `run`",
            )  # fmt: skip
    if len(changes.touched):  # the next start need not read these files again
        columns = [*SIZES, *TIMES]
        then.loc[then.index, columns] = now.loc[then.index, columns]
        write_files(run.untagged, then)
