"""Examine folds: how evenly they hold the tags, and how many held-out tiles touch a training tile."""

import logging
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.data.config import READING, ReadingConfig
from amazon_ml.data.folds.folds import leaking, read_folds, tag_deviations, write_folds
from amazon_ml.data.folds.neighbours import NEIGHBOURS, saved_neighbours, scenes, touching, without_borders
from amazon_ml.data.readers.broken import check_whole
from amazon_ml.data.readers.fitting import check_reading
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs, check_place

log = logging.getLogger(__name__)


class FoldRecord(TypedDict):
    """One fold.

    ``fold``, its number; ``tiles``, how many it holds; ``worst_tag``, the tag whose share in the fold differs most from
    its share in all tiles; ``deviation``, that difference relative to the share in all; ``leakage``, the share of its
    tiles with a known neighbour in another fold, in 0..1, or None.
    """

    fold: int
    tiles: int
    worst_tag: str
    deviation: float
    leakage: float | None


class FoldFigures(TypedDict):
    """What `examine_folds` finds.

    ``tiles_of``, the folder of the tiles; ``folds_file``; ``tiles``, how many there are; ``pairs``, known pairs of
    tiles that touch; ``tiles_with_neighbour``; ``largest_scene``, tiles in the largest group of tiles that touch;
    ``leakage``, the share of the tiles in folds with a known neighbour in another fold, in 0..1; ``folds``, a record
    for each. What depends on tiles that touch is None where the tiles are TIFs or arrays, among which they are not
    found.
    """

    tiles_of: str
    folds_file: str
    tiles: int
    pairs: int | None
    tiles_with_neighbour: int | None
    largest_scene: int | None
    leakage: float | None
    folds: list[FoldRecord]


def examine_folds(
    folder: Path, reading: ReadingConfig = READING, *, folds: Path = Path("folds.csv"),
    by: Literal["tags", "scenes"] = "tags", n_folds: int = 5, seed: int = 0, json: Path | None = None,
    overwrite: bool = False,
) -> FoldFigures:  # fmt: skip
    """Show how evenly folds hold the tags, and how many held-out tiles touch a tile that is trained on.

    The pairs of tiles that touch are stored in neighbours.csv, in the folder of the folds. Where that file is missing,
    they are searched for.

    Parameters
    ----------
    folder
        Folder of labelled tiles, in any layout that training reads: square JPGs or PNGs of one size.
    reading
        How the table is found and read.
    folds
        CSV of image_name and fold, such as that of a run. It is read where it exists, and written else. Training uses
        the file where it lies in a new run folder.
    by
        How folds are made: stratified by tags, or with tiles that touch (scenes) in one fold.
    n_folds
        Number of folds.
    seed
        Seed of the folds.
    json
        File for the figures.
    overwrite
        Replace an existing file for the figures; existing folds are read in any case.

    Returns
    -------
    The figures, as they are written to `json`.
    """
    if not 0 <= seed < 2**32:
        raise InputError("`seed` must be in 0..2**32 - 1", option="seed")
    if not folds.exists():
        check_place(folds)
    if json is not None:
        exclude = None if reading.exclude is None else Path(reading.exclude)
        inputs = [folds, folds.with_name(NEIGHBOURS), *find_layout(folder, reading).table_paths, exclude]
        check_outputs({"json": json}, [*inputs, *tables_around(folder)], overwrite=overwrite)
    check_reading(reading)
    catalog = read_catalog(folder, reading)
    labelled = catalog.labelled
    if not folds.with_name(NEIGHBOURS).exists():
        check_whole(labelled, files=catalog.files)
    if not folds.exists():
        write_folds(folds, catalog, by, n_folds, seed)
    fold = read_folds(folds, labelled["image_name"])
    pairs = _pairs(folds.with_name(NEIGHBOURS), labelled)
    deviations = tag_deviations(catalog.targets, catalog.tags.names, fold)
    worst = deviations.abs().to_numpy().argmax(axis=1)
    leaks = None if pairs is None else leaking(fold, pairs)
    sizes = None if pairs is None else np.unique(scenes(len(labelled), pairs), return_counts=True)[1]
    figures: FoldFigures = {
        "tiles_of": str(folder),
        "folds_file": str(folds),
        "tiles": len(labelled),
        "pairs": None if pairs is None else len(pairs),
        "tiles_with_neighbour": None if pairs is None else len(np.unique(pairs)),
        "largest_scene": None if sizes is None else int(sizes.max()),
        "leakage": None if leaks is None else float(leaks[(fold >= 0).to_numpy()].mean()),
        "folds": [
            {
                "fold": int(k),
                "tiles": int((fold == k).sum()),
                "worst_tag": deviations.columns[tag],
                "deviation": float(deviations.iloc[row, tag]),
                "leakage": None if leaks is None else float(leaks[fold == k].mean()),
            }
            for row, (k, tag) in enumerate(zip(deviations.index, worst, strict=True))
        ],
    }
    if json is not None:
        write_json(json, figures)
    return figures


def _pairs(neighbours: Path, labelled: pd.DataFrame) -> npt.NDArray[np.intp] | None:
    """Find the tiles that touch; None where the files are not compared, and no table of neighbours is there."""
    if not neighbours.exists() and without_borders(labelled["path"]):
        log.warning(
            "tiles that touch are found among JPGs and PNGs alone, so it is not known how much these folds leak"
        )
        return None
    return touching(saved_neighbours(neighbours, labelled))
