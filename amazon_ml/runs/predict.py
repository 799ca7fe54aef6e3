"""Probabilities and tags of any folder of tiles, with the networks and the decision of a run."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.bands import TileReader, name_bands, read_reader
from amazon_ml.data.catalog import choose_files, files_needed, list_tiles, read_mapping
from amazon_ml.data.loading import TileDataset, loader_workers, tile_loader
from amazon_ml.data.sources import TileFiles
from amazon_ml.errors import InputError
from amazon_ml.files import write_table
from amazon_ml.labels import TagSet
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.weights import load_weights
from amazon_ml.runs.blend import read_blend, refuse_apart, stack_tables
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.fit import predict
from amazon_ml.runs.folder import Run, probability_table

#: Lists tiles for a reader: a table as a catalog's.
Listing = Callable[[TileReader], pd.DataFrame]

log = logging.getLogger(__name__)


def predict_tiles(run: Path, tiles: Path, out: Path, *, workers: int | None = None) -> None:
    """Tag a folder of tiles: writes name, tags, and one probability a tag.

    Parameters
    ----------
    run
        Run folder, trained and tuned.
    tiles
        Folder of images; those in folders beneath are found, too.
    out
        File to write, .parquet or .csv.
    workers
        Loader processes; by default none on the CPU, one a core beside a GPU.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out {out}: the file must end in .parquet or .csv")
    if not tiles.is_dir():
        raise InputError(f"--tiles {tiles}: there is no such folder")
    folder = Run(run)
    decision = read_decision(folder)
    names, p = predict_listed(folder, partial(_tiles_below, tiles), decision.tags, workers)
    separator = folder.options()["data"]["tag_separator"] or " "
    table = probability_table(names, decision.tags, p)
    table.insert(1, "tags", TagSet(decision.tags).decode(decision.rule.decide(p), separator=separator))
    write_table(out, table)
    log.info("wrote %s: %s tiles", out, f"{len(table):,}")


def predict_listed(
    folder: Run, listing: Listing, tags: Sequence[str], workers: int | None
) -> tuple[pd.Series, npt.NDArray[np.float32]]:
    """Predict tiles with the networks of a run, or with those of all members of a blend.

    Parameters
    ----------
    folder
        Run folder.
    listing
        Lists the tiles, each with the files that a reader needs: members of a blend may read others.
    tags
        The order of columns.

    Returns
    -------
    Names and probabilities of shape (tiles, tags).
    """
    if not folder.blend.exists():
        tiles = listing(read_reader(folder.bands))
        return tiles["image_name"], predict_table(folder, tiles, tags, workers)
    blend = read_blend(folder)
    tables = []
    for member in blend.members:
        names, p = predict_listed(member, listing, member.tags(), workers)
        tables.append(pd.DataFrame(p, index=pd.Index(names), columns=list(member.tags())))
        refuse_apart(tables[0].index, tables[-1].index, f"{member.path} reads other tiles than {blend.members[0].path}")
    first = tables[0].index
    return first.to_series(), blend.blender.apply(stack_tables(tables, first, tags)).astype(np.float32)


def predict_table(
    folder: Run, tiles: pd.DataFrame, tags: Sequence[str], workers: int | None
) -> npt.NDArray[np.float32]:
    """Probabilities of the tiles of a catalog's table, averaged over the run's networks: shape (tiles, tags)."""
    options = folder.options()
    folds = folder.finished_folds()
    if not folds:
        raise InputError(f"{folder.path} holds no trained network; run amazon-ml train again to finish it")
    size, batch_size = options["data"]["size"], options["data"]["predict_batch_size"]
    read = read_reader(folder.bands)
    loader = tile_loader(TileDataset(TileFiles(tiles, read, size)), batch_size, loader_workers(workers))
    own = {"pretrained": False, "weights": None, "compile": False, "in_chans": len(read.bands)}
    model = TileTagger(**{**options["model"], **own}, tags=list(tags), size=size)
    total = np.zeros((len(tiles), len(tags)), dtype=np.float64)
    for fold in folds:
        load_weights(fold.weights, model)
        total += predict(model, loader, options)
    return (total / len(folds)).astype(np.float32)


def _tiles_below(folder: Path, read: TileReader) -> pd.DataFrame:
    listed = list_tiles([folder], renamed=read_mapping(folder))
    if listed.empty:
        raise InputError(f"--tiles {folder}: the folder holds no images")
    chosen, lacking = choose_files(listed, read.bands, read.colours)
    if len(lacking):
        needed = files_needed(read.bands, read.colours)
        raise InputError(
            f"--tiles {folder}: the run reads bands {name_bands(read.bands)} of a {needed}, which {len(lacking):,} of "
            f"{len(listed):,} tiles lack, such as {lacking.iloc[0]}"
        )
    return chosen
