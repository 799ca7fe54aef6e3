"""How honest a split is: how evenly its folds hold the tags, and how many held-out tiles touch a training tile."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.data.config import TABLE, ReadingConfig, TableConfig
from amazon_ml.data.folds.folds import leaking, read_folds, tag_deviations, write_folds
from amazon_ml.data.folds.neighbours import NEIGHBOURS, saved_neighbours, scenes, touching
from amazon_ml.data.readers.broken import check_whole
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs, check_place
from amazon_ml.settings import build, to_plain


def examine_folds(
    folder: Path, reading: TableConfig = TABLE, *, folds: Path = Path("folds.csv"),
    by: Literal["tags", "scenes"] = "tags", n_folds: int = 5, seed: int = 0, json: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Show how evenly folds hold the tags, and how many held-out tiles touch a tile that is trained on.

    Which tiles touch is kept in neighbours.csv beside the folds, and found where it is not there.

    Parameters
    ----------
    folder
        Folder of labelled tiles, in any layout that training takes: square JPGs or PNGs of one size.
    reading
        How the table is found and read.
    folds
        CSV of image_name and fold, such as that of a run. Written when it is not there, else read; in a
        new run folder, training takes it as it is.
    by
        How folds are made: stratified by tags tile by tile, or keeping scenes of tiles that touch whole.
    n_folds
        How many folds are made.
    seed
        Seed of the folds that are made.
    json
        File for the figures.
    overwrite
        Replace the file for the figures where it is there; folds that are there are read in any case.

    Returns
    -------
    The figures, as they are written to `json`. A fold's ``leakage`` is the share of its tiles with a
    known neighbour in another fold.
    """
    if not 0 <= seed < 2**32:
        raise InputError("`seed` must be in 0..2**32 - 1")
    if not folds.exists():
        check_place(folds)
    if json is not None:
        exclude = None if reading.exclude is None else Path(reading.exclude)
        inputs = [folds, folds.with_name(NEIGHBOURS), find_layout(folder, reading).table, exclude]
        check_outputs({"json": json}, [*inputs, *tables_around(folder)], overwrite=overwrite)
    catalog = read_catalog(folder, build(ReadingConfig, to_plain(reading)))
    labelled = catalog.labelled
    if not folds.with_name(NEIGHBOURS).exists():
        check_whole(labelled)
    if not folds.exists():
        write_folds(folds, catalog, by, n_folds, seed)
    fold = read_folds(folds, labelled["image_name"])
    pairs = touching(saved_neighbours(folds.with_name(NEIGHBOURS), labelled))
    deviations = tag_deviations(catalog.targets, catalog.tags.names, fold)
    worst = deviations.abs().to_numpy().argmax(axis=1)
    leaks = leaking(fold, pairs)
    sizes = np.unique(scenes(len(labelled), pairs), return_counts=True)[1]
    figures = {
        "tiles_of": str(folder),
        "folds_file": str(folds),
        "tiles": len(labelled),
        "pairs": len(pairs),
        "tiles_with_neighbour": len(np.unique(pairs)),
        "largest_scene": int(sizes.max()),
        "leakage": float(leaks.mean()),
        "folds": [
            {
                "fold": int(k),
                "tiles": int((fold == k).sum()),
                "worst_tag": deviations.columns[tag],
                "deviation": float(deviations.iloc[row, tag]),
                "leakage": float(leaks[fold == k].mean()),
            }
            for row, (k, tag) in enumerate(zip(deviations.index, worst, strict=True))
        ],
    }
    if json is not None:
        write_json(json, figures)
    return figures
