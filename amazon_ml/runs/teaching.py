"""Predicts training tiles with the networks of a teacher, and stores the probabilities in the run that it teaches."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
import torch

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.config import ReadingConfig, TableConfig
from amazon_ml.data.folds.folds import read_folds
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.broken import describe_broken
from amazon_ml.data.readers.fitting import reading_of
from amazon_ml.data.taught import Taught, list_untagged
from amazon_ml.errors import InputError
from amazon_ml.runs.blend import read_blend, single_runs, stack_tables
from amazon_ml.runs.bundle import run_networks
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import FoldFolder, Run, read_probabilities
from amazon_ml.runs.hashes import check_recorded, hash_file, is_unchanged, read_recorded, write_json, write_table
from amazon_ml.runs.inference import Engine
from amazon_ml.runs.predict import predict_listed
from amazon_ml.runs.teacher import check_same_teacher, check_teacher, open_teacher
from amazon_ml.runs.tile_files import hashes_by_name
from amazon_ml.runs.tiles import read_bands

log = logging.getLogger(__name__)


class TaughtRecord(TypedDict):
    """The content of ``teacher.json`` of a fold.

    ``teacher``, its folder; ``networks``, the SHA-256 of the weights by their paths; numbers of ``tagged`` and
    ``untagged`` tiles; ``made_of``, a hash of what the probabilities depend on apart from the weights.
    """

    teacher: str
    networks: dict[str, str]
    tagged: int
    untagged: int
    made_of: str


@dataclass(frozen=True)
class TaughtRun:
    """A run that learns from a teacher.

    Parameters
    ----------
    run, config, catalog
        The run, its options and its tiles.
    untagged
        The untagged tiles that the teacher tags: ``image_name``, ``path``, ``tif``.
    begun
        Whether training was begun before, so that stored probabilities of this teacher count.
    device
        Device of the teacher's networks; by default as they predict.
    """

    run: Run
    config: RunConfig
    catalog: Catalog
    untagged: pd.DataFrame
    begun: bool
    device: torch.device | None = None


def teach(student: TaughtRun, folds: list[int]) -> None:
    """Store the teacher's probabilities for the training tiles of some folds, for a caller that holds their locks.

    The networks of the teacher predict once for each fold, and not again when the run is resumed: stored probabilities
    need no teacher. Those that the teacher has stored itself, of the same files, are taken over.

    Raises
    ------
    InputError
        If the teacher must not teach this run, or is another one than when the run began.
    """
    run = student.run
    needed = [fold for fold in folds if _needs_teacher(student, run.fold(fold))]
    if not needed:
        return
    teacher = open_teacher(Path(str(student.config.data.teacher)), run)
    check_teacher(teacher, run, student.config, student.catalog, needed)  # all of them before the first is predicted
    check_same_teacher(teacher, run)
    for fold in needed:
        _store(student, run.fold(fold), teacher)


def _needs_teacher(student: TaughtRun, folder: FoldFolder) -> bool:
    """Whether a fold is still to be taught; a fold whose training has begun must have its probabilities."""
    if folder.weights.exists():  # its training is done
        return False
    made_of = _made_of(student, _tagged(student, folder.number))
    if not folder.last.exists():
        return not (student.begun and _is_stored(folder, made_of))
    again = f"delete {folder.path} and train the fold again"
    for file in (folder.teacher, folder.taught_by):
        check_recorded(file)
        if not file.exists():
            raise InputError("the file is missing", file=file, remedy=f"put it back, or {again}")
    if not _is_stored(folder, made_of):
        raise InputError("the probabilities are those of other tiles", file=folder.teacher, remedy=again)
    return False


def _tagged(student: TaughtRun, fold: int) -> "pd.Series[str]":
    """Give the names of the tagged tiles that the teacher predicts."""
    names = student.catalog.labelled["image_name"]
    if not student.config.data.teacher_weight:
        return names.iloc[:0]
    if not student.config.data.validate:
        return names
    return names[read_folds(student.run.folds, names) != fold]


def _made_of(student: TaughtRun, tagged: "pd.Series[str]") -> str:
    run = student.run
    teacher, wanted = run.read_provenance()["teacher"]["sha256"], list(_wanted(student).items())
    content = [teacher, hash_file(run.folds), tagged.tolist(), wanted]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _wanted(student: TaughtRun) -> "pd.Series[str]":
    """Give the hashes of the files of the untagged tiles, by name."""
    if student.untagged.empty:
        return pd.Series(dtype=object)
    return hashes_by_name(student.run.untagged, labelled=False).loc[student.untagged["image_name"].tolist()]


def _is_stored(folder: FoldFolder, made_of: str, networks: dict[str, str] | None = None) -> bool:
    if not is_unchanged(folder.teacher) or not is_unchanged(folder.taught_by):
        return False
    record: TaughtRecord = read_recorded(folder.taught_by)
    return record["made_of"] == made_of and networks in (None, record["networks"])


def _store(student: TaughtRun, folder: FoldFolder, teacher: Run) -> None:
    tagged = _tagged(student, folder.number)
    made_of = _made_of(student, tagged)
    fold = folder.number if student.config.data.validate else None
    used = [file for one in single_runs(teacher) for file in run_networks(one, fold).weights]
    networks = {str(file): hash_file(file) for file in used}
    if _is_stored(folder, made_of, networks):
        return
    untagged = student.untagged["image_name"]
    of_untagged = _of_untagged(student, teacher, fold, _wanted(student))
    of_tagged = _of_tagged(student, teacher, fold, tagged)
    taught = Taught(of_tagged.loc[tagged.tolist()], of_untagged.loc[untagged.tolist()])
    record: TaughtRecord = {
        "teacher": str(teacher.path), "networks": networks, "tagged": len(tagged), "untagged": len(untagged),
        "made_of": made_of,
    }  # fmt: skip
    write_json(folder.taught_by, record)
    write_table(folder.teacher, taught.table())


def _of_tagged(student: TaughtRun, teacher: Run, fold: int | None, tagged: "pd.Series[str]") -> pd.DataFrame:
    """Give probabilities of tagged tiles, by name and tag: those of the networks of the fold, else out-of-fold ones."""
    if tagged.empty:
        return pd.DataFrame(columns=list(teacher.tags()), dtype=np.float32)
    if fold is None:
        return _read(teacher.oof, teacher)
    return _combined(teacher, lambda one: _predicted(student, one, fold, tagged, labelled=True))


def _of_untagged(student: TaughtRun, teacher: Run, fold: int | None, wanted: "pd.Series[str]") -> pd.DataFrame:
    """Give probabilities of untagged tiles, by name and tag."""
    if wanted.empty:
        return pd.DataFrame(columns=list(teacher.tags()), dtype=np.float32)

    def of(one: Run) -> pd.DataFrame:
        stored = one.test if fold is None else one.fold(fold).test
        if _has_predicted(one, stored, wanted):
            log.info("taking over %s", stored)
            return _read(stored, one).loc[wanted.index]
        return _predicted(student, one, fold, wanted.index.to_series(), labelled=False)

    return _combined(teacher, of)


def _has_predicted(teacher: Run, stored: Path, wanted: "pd.Series[str]") -> bool:
    """Whether a run has stored probabilities of all of these tiles, by their names and the hashes of their files."""
    if not is_unchanged(stored):
        return False
    theirs = hashes_by_name(teacher.tiles, labelled=False)
    same = theirs.reindex(wanted.index).to_numpy() == wanted.to_numpy()
    names, _ = read_probabilities(stored, teacher.tags())
    return bool(same.all()) and bool(wanted.index.isin(names).all())


def _combined(teacher: Run, of: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    """Give the probabilities of a run, or blend those of its members."""
    if not teacher.blend.exists():
        return of(teacher)
    blend, tags = read_blend(teacher), list(teacher.tags())
    tables = [_combined(member, of) for member in blend.members]
    names = tables[0].index
    blended = blend.blender.apply(stack_tables(tables, names, tags))
    return pd.DataFrame(blended.astype(np.float32), index=names, columns=tags)


def _predicted(
    student: TaughtRun, teacher: Run, fold: int | None, names: "pd.Series[str]", *, labelled: bool
) -> pd.DataFrame:
    """Predict tiles with the networks of a run that hold out a fold, or with all of them."""
    networks = run_networks(teacher, fold)
    kind = "tagged" if labelled else "untagged"
    log.info("predicting %s %s tiles with %s", f"{len(names):,}", kind, ", ".join(map(str, networks.weights)))

    def listing(read: TileReader) -> pd.DataFrame:
        tiles = _listed(student, read, labelled=labelled).set_index("image_name", drop=False)
        lacking = names[~names.isin(tiles.index)]
        if len(lacking):
            raise InputError(
                f"the teacher reads the bands {', '.join(read.bands)}, and {len(lacking):,} tiles have no file of "
                f"them, such as {lacking.iloc[0]}", file=teacher.path, option="data.teacher",
                remedy="add these files, or name a teacher that reads the bands of the run",
            )  # fmt: skip
        return tiles.loc[names.tolist()].reset_index(drop=True)

    workers = student.config.data.num_workers
    predicted = predict_listed(networks, listing, workers, Engine(student.device, workers))
    if predicted.failed:
        raise InputError(describe_broken(list(map(str, predicted.failed.values())), len(names)))
    return pd.DataFrame(predicted.p, index=pd.Index(predicted.names), columns=list(networks.tags))


def _listed(student: TaughtRun, read: TileReader, *, labelled: bool) -> pd.DataFrame:
    """List the tiles with the files that a reader needs, which may be others than those that the run reads."""
    catalog, data = student.catalog, student.config.data
    if reading_of(read) == reading_of(read_bands(student.run)):
        return catalog.labelled if labelled else student.untagged
    table = {one.name: getattr(data, one.name) for one in fields(TableConfig)}
    reading = ReadingConfig(**{**table, **reading_of(read), "tags": list(catalog.tags.names)})
    if labelled or data.untagged is None:
        catalog = read_catalog(Path(data.root), reading)
    folder = None if data.untagged is None else Path(data.untagged)
    return catalog.labelled if labelled else list_untagged(catalog, folder, read)


def _read(path: Path, run: Run) -> pd.DataFrame:
    names, p = read_probabilities(path, run.tags())
    return pd.DataFrame(p, index=pd.Index(names), columns=list(run.tags()))
