"""Predict the labelled tiles of a folder, read as the networks of a run read theirs."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.config import ReadingConfig, TableConfig
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.broken import check_whole, describe_broken
from amazon_ml.data.readers.fitting import reading_of
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet
from amazon_ml.models.engines import Method
from amazon_ml.runs.bundle import Bundle
from amazon_ml.runs.engine_choice import Requested, choose_method, sample_files
from amazon_ml.runs.folder import Run
from amazon_ml.runs.inference import Engine, Predicted, Probabilities
from amazon_ml.runs.known_tiles import count_known, hash_names, known_names, read_known
from amazon_ml.runs.labelled_folder import LabelledFolder
from amazon_ml.runs.predict import Listing, predict_listed
from amazon_ml.settings import given_names

log = logging.getLogger(__name__)

#: Advice to list the tags, which are those of the run.
_LIST_TAGS = re.compile(r",? or list all tags with `data\.tags`[^;]*")
#: PyTorch in the precision of the networks.
TORCH = Requested()


@dataclass(frozen=True)
class LabelledTiles:
    """The labelled tiles of a folder.

    Parameters
    ----------
    root
        The folder.
    catalog
        The tiles; its tags are those of the run, in their order.
    listing
        Lists the tiles with the files that a reader needs; members of a blend may read different files.
    """

    root: Path
    catalog: Catalog
    listing: Listing


def read_labelled(
    run: Path, bundle: Bundle, folder: LabelledFolder, catalogs: dict[str, Catalog] | None = None
) -> LabelledTiles:
    """Read the labelled tiles of a folder; the log says if a run was trained on some of them.

    Parameters
    ----------
    run
        The run or the bundle, for messages.
    bundle
        Its content.
    folder
        The tiles.
    catalogs
        What was read of this folder before, for other runs; what is read now is added.

    Raises
    ------
    InputError
        For tiles or tables that are missing or damaged.
    """
    how = _table_options(folder.table, bundle.table, bundle.decision.tags)
    read = {} if catalogs is None else catalogs

    def tiles_for(reader: TileReader) -> Catalog:
        options = reading_of(reader)
        key = repr((how, options))
        if key not in read:
            catalog = _read(folder.root, how, options, given_names(folder.table))
            chosen = folder.split or ("test" if len(catalog.tested) else None)
            catalog = catalog.part(chosen) if chosen else catalog.everything()
            check_whole(catalog.labelled, files=catalog.files)
            read[key] = catalog
        return read[key]

    catalog = tiles_for(bundle.networks.read)
    known = _known(run, bundle.known, catalog)
    if known:
        log.warning("%d of these %d tiles have names of tiles that %s was trained and tuned on", known,
                    len(catalog.labelled), run)  # fmt: skip
    return LabelledTiles(folder.root, catalog, lambda reader: tiles_for(reader).labelled)


def predict_labelled(
    bundle: Bundle, tiles: LabelledTiles, requested: Requested = TORCH, num_workers: int | None = None
) -> tuple[Probabilities, Method]:
    """Predict labelled tiles.

    Parameters
    ----------
    bundle
        Networks and decision.
    tiles
        The tiles, as `read_labelled` reads them for this bundle.
    requested
        The engine and the precision.
    num_workers
        Loader processes; by default none on the CPU, one for each core with a GPU.

    Returns
    -------
    Probabilities of shape (tiles, tags), and the engine and the precision that predicted them.

    Raises
    ------
    InputError
        For tiles that cannot be decoded.
    """
    method = choose_method(bundle, requested, sample_files(tiles.listing))
    predicted = predict_listed(bundle.networks, tiles.listing, None, Engine(num_workers=num_workers, method=method))
    _check_read(predicted, tiles.root)
    return predicted.p, method


def _check_read(predicted: Predicted, data: Path) -> None:
    """Check that every tile could be read."""
    if predicted.failed:
        faults = list(map(str, predicted.failed.values()))
        raise InputError(
            f"{describe_broken(faults, len(predicted.names))}. amazon-ml data check {data} "
            "lists such tiles, and `write_exclude` there writes the list that `exclude` takes here"
        )


def _read(data: Path, how: TableConfig, options: Mapping[str, Any], given: Collection[str]) -> Catalog:
    """Read the tiles of a folder; a least share that the run gave is dropped where the table has no shares."""
    try:
        return read_catalog(data, ReadingConfig(**asdict(how), **options))
    except InputError as error:
        if error.option != "data.min_share" or "min_share" in given:
            raise _beside_a_run(error, None if "tag_separator" in given else how.tag_separator) from None
    return _read(data, replace(how, min_share=0.0), options, {*given, "min_share"})


def _beside_a_run(error: InputError, inherited: str | None) -> InputError:
    """Change a remedy that does not help beside a run, whose separator and tags are taken where none are given.

    Parameters
    ----------
    error
        An error of the table.
    inherited
        Separator of the run that was taken; None where another was given, or white space separates tags.
    """
    remedy = _LIST_TAGS.sub("", error.remedy.replace("omit `data.tag_separator`", "set `data.tag_separator` ' '"))
    changed = InputError(error.problem, file=error.file, line=error.line, unit=error.unit, option=error.option,
                         remedy=remedy)  # fmt: skip
    if inherited is None or "`data.tag_separator`" not in remedy:
        return changed
    return changed.advise(f"without it, {inherited!r} separates tags, as in the tables of the run",
                          option="data.tag_separator")  # fmt: skip


def _table_options(given: TableConfig, own: TableConfig, tags: Sequence[str]) -> TableConfig:
    """Return the options of the run with those that are given in their place."""
    written = TagSet(tuple(tags)).separator(own.tag_separator)
    options = {**asdict(own), "tag_separator": None if written == " " else written}  # that of tables of `predict`
    changed = {name: getattr(given, name) for name in given_names(given)}
    for one, other in (("tags_column", "tag_columns"), ("tag_columns", "tags_column")):
        if changed.get(one) is not None:
            options[other] = None
    if given.tags is not None and set(given.tags) != set(tags):
        raise InputError("the tag list is not that of the run", option="data.tags", remedy="leave it out")
    return TableConfig(**{**options, **changed, "tags": list(tags)})


def _known(run: Path, hashes: Path | None, catalog: Catalog) -> int:
    """Count the tiles that were trained and tuned on, by their names, or by the file of a bundle with their hashes."""
    if hashes is None:
        known = known_names(Run(run))
        return count_known(catalog.labelled, lambda names: pd.Series(names, dtype=object).isin(known).to_numpy())
    stored = read_known(hashes)
    return count_known(catalog.labelled, lambda names: np.isin(hash_names(names), stored))
