"""The teacher of a run: which runs and blends may teach it without revealing the tags of held-out tiles.

A network of a run that holds out fold k may learn only from networks that never saw fold k. Of a teacher with the same
folds, these are the networks that hold out fold k: one of each run, and of a blend one of each member. The out-of-fold
probabilities of the teacher will not do: that of a tile in another fold j comes from the network of fold j, which was
trained on fold k. A run that holds out nothing may learn from all networks, and of each tagged tile from the
probability that is out-of-fold.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.folds.folds import read_folds
from amazon_ml.data.readers.fitting import reading_of
from amazon_ml.errors import InputError
from amazon_ml.labels import first_difference
from amazon_ml.runs.blend import read_blend, single_runs
from amazon_ml.runs.bundle import is_bundle
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import Run, read_oof, read_truth
from amazon_ml.runs.hashes import check_recorded, read_recorded
from amazon_ml.runs.tile_files import hashes_by_name
from amazon_ml.runs.tiles import read_bands

#: Ways to blend that nothing is fitted for: the others depend on labels or probabilities of all folds.
UNFITTED = ("mean", "logit_mean")
#: Losses that are least at the frequencies of tags; those of the others shift probabilities.
UNBIASED = ("bce", "grouped_softmax")

log = logging.getLogger(__name__)


def open_teacher(path: Path, student: Run) -> Run:
    """Open the folder of a teacher.

    Raises
    ------
    InputError
        If it is no run or blend, or the student itself.
    """
    if is_bundle(path):
        raise _refused(path, "a bundle holds no folds, so nobody knows which tiles its networks never saw",
                       "name the run that it was exported from")  # fmt: skip
    teacher = Run(path)
    if path.resolve() == student.path.resolve():
        raise _refused(path, "a run cannot be its own teacher", "choose another `run`")
    try:
        teacher.read_config()
    except InputError as error:
        raise InputError(
            error.problem, file=error.file, line=error.line, option="data.teacher", remedy=error.remedy
        ) from None
    return teacher


def blends_of(teacher: Run) -> list[Run]:
    """List the blends that a teacher is made of: none for a run."""
    if not teacher.blend.exists():
        return []
    return [teacher, *(blend for member in read_blend(teacher).members for blend in blends_of(member))]


def teacher_hash(teacher: Run) -> str:
    """Hash what a teacher is: options, tiles and folds of its runs, and how they are blended, wherever they lie."""
    tasks = [run.read_provenance()["task"] for run in single_runs(teacher)]
    ways = [[read_recorded(blend.blend)[key] for key in ("how", "parameters")] for blend in blends_of(teacher)]
    return hashlib.sha256(json.dumps([tasks, ways]).encode()).hexdigest()


def check_same_teacher(teacher: Run, run: Run) -> None:
    """Check that a teacher is the one that a run began with, wherever it lies.

    Raises
    ------
    InputError
        If it is another one.
    """
    if teacher_hash(teacher) != run.read_provenance()["teacher"]["sha256"]:
        raise _refused(teacher.path, "the teacher is another one than when the run began", "choose another `run`")


def check_teacher(teacher: Run, run: Run, config: RunConfig, catalog: Catalog, folds: Sequence[int]) -> None:
    """Check that a teacher reveals no tag of a held-out tile.

    Parameters
    ----------
    teacher
        The run or the blend.
    run
        The run that learns from it, which has recorded its folds and its tiles.
    config, catalog
        Options and tiles of that run.
    folds
        The folds that are trained.

    Raises
    ------
    InputError
        With the reason.
    """
    odd = first_difference(teacher.tags(), catalog.tags.names)
    if odd is not None:
        raise _refused(teacher.path, f"the teacher has other tags, or another order of tags: number {odd[0]} is "
                       f"{odd[1]}, but {odd[2]} in the run", "set `data.tags` to those of the teacher")  # fmt: skip
    if config.data.validate:
        for blend in blends_of(teacher):
            how = read_recorded(blend.blend)["how"]
            if how not in UNFITTED:
                raise _refused(
                    blend.path, f"the blend is {how}: it was fitted on tiles of all folds, also on those that the run "
                    "holds out", f"blend with `how` {' or '.join(UNFITTED)}",
                )  # fmt: skip
    own = _own_folds(run, catalog)
    for one in single_runs(teacher):
        _check_run(one, run, config, own, catalog, folds)
    losses = sorted({one.read_config().model.loss for one in single_runs(teacher)} - {*UNBIASED})
    if losses:
        log.warning("the probabilities of the teacher %s are shifted by its loss (%s), and the run learns shifted "
                    "targets", teacher.path, ", ".join(losses))  # fmt: skip
    if not config.data.validate and config.data.teacher_weight:
        missing = own.index.difference(pd.Index(read_oof(teacher)[0]))
        if len(missing):
            raise _refused(
                teacher.path, f"the teacher has no out-of-fold probability of {len(missing):,} tagged tiles, such as "
                f"{missing[0]}", "train all of its folds, or set `data.teacher_weight` to 0",
            )  # fmt: skip


def _own_folds(run: Run, catalog: Catalog) -> "pd.Series[int]":
    names = catalog.labelled["image_name"]
    return read_folds(run.folds, names).set_axis(pd.Index(names))


def _check_run(
    teacher: Run, run: Run, config: RunConfig, own: "pd.Series[int]", catalog: Catalog, folds: Sequence[int]
) -> None:
    """Check one of the runs that a teacher is made of."""
    if not teacher.read_config().data.validate:
        raise _refused(teacher.path, "the teacher was trained on every tagged tile, and none of its networks holds out "
                       "a fold", "name a run with folds")  # fmt: skip
    check_recorded(teacher.folds)
    names = read_truth(teacher).index
    theirs = read_folds(teacher.folds, names.to_series()).set_axis(names)
    tested = names.intersection(pd.Index(catalog.tested["image_name"]))
    if len(tested):
        raise _refused(teacher.path, f"the teacher was trained on the tags of {len(tested):,} tiles of the published "
                       f"test split, such as {tested[0]}", "name a run with the same splits")  # fmt: skip
    if config.data.validate:
        _check_same_folds(teacher, run, theirs, own)
        if teacher.read_config().data.soft_labels is not None:  # for the reason above: they are out-of-fold
            raise _refused(
                teacher.path, "the teacher was trained on `data.soft_labels`: some of them come from networks that "
                "were trained on held-out tiles", "name a run without `data.soft_labels`",
            )  # fmt: skip
        finished = [fold.number for fold in teacher.finished_folds()]
        for fold in folds:
            if fold not in finished:
                raise _refused(
                    teacher.path, f"the teacher has no finished network that holds out fold {fold}; it has those of the"
                    f" folds {finished}", "train that fold of the teacher, or request other `folds`",
                )  # fmt: skip
    else:
        _check_left_out(teacher, run, theirs, own)
        finished, folds_of = [fold.number for fold in teacher.finished_folds()], theirs.nunique()
        if len(finished) < folds_of:
            log.warning("the teacher %s has networks of %d of its %d folds (%s), and only these teach: finish it first "
                        "to learn from all", teacher.path, len(finished), folds_of,
                        ", ".join(map(str, finished)))  # fmt: skip
    held_out: Sequence[int | None] = folds if config.data.validate else [None]
    for number in held_out:
        _check_copies(teacher, run, theirs, own, catalog, number)


def _check_same_folds(teacher: Run, run: Run, theirs: "pd.Series[int]", own: "pd.Series[int]") -> None:
    apart = theirs.index.symmetric_difference(own.index)
    if len(apart):
        raise _refused(
            teacher.path, f"the teacher was trained on other tagged tiles: {len(apart):,} are in only one of the runs, "
            f"such as {apart[0]}", "train both with the same tables, `data.exclude` and `data.max_samples`",
        )  # fmt: skip
    differing = own.index[theirs.reindex(own.index).to_numpy() != own.to_numpy()]
    if len(differing):
        name = differing[0]
        raise _refused(
            teacher.path, f"the teacher has other folds: those of {len(differing):,} tiles differ, such as {name} in "
            f"fold {theirs[name]} there and {own[name]} here",
            f"use the same seed and `data.n_folds`, or copy {teacher.folds} to a new `run` before training",
        )  # fmt: skip


def _check_left_out(teacher: Run, run: Run, theirs: "pd.Series[int]", own: "pd.Series[int]") -> None:
    """Check that the teacher was trained on no tile that a run without held-out tiles leaves out.

    Such tiles are often left out for an honest score. Names are compared, and contents where both read the same files.
    """
    left_out = theirs.index.difference(own.index)
    if left_out.empty and reading_of(read_bands(teacher)) == reading_of(read_bands(run)):
        tagged, seen = (hashes_by_name(one.tiles, labelled=True) for one in (run, teacher))
        seen = seen[theirs.index]
        left_out = seen.index[~seen.isin(tagged[own.index])]
    if len(left_out):
        raise _refused(
            teacher.path, f"the teacher was trained on {len(left_out):,} tagged tiles that this run leaves out, such "
            f"as {left_out[0]}: a score on them would be too high",
            "train both with the same files and tables, `data.exclude` and `data.max_samples`",
        )  # fmt: skip


def _check_copies(
    teacher: Run, run: Run, theirs: "pd.Series[int]", own: "pd.Series[int]", catalog: Catalog, fold: int | None
) -> None:
    """Check that the teacher's training tiles hold no copies of held-out tiles that the run itself does not train on.

    Names alone would miss a tile that has another name in the folder of the teacher.
    """
    tagged, seen = (hashes_by_name(one.tiles, labelled=True) for one in (run, teacher))
    trained, held_out = (tagged, tagged.iloc[:0]) if fold is None else (
        tagged[own.index[own != fold]], tagged[own.index[own == fold]]
    )  # fmt: skip
    tested = hashes_by_name(run.tiles, labelled=False).reindex(catalog.tested["image_name"])
    seen = seen[theirs.index if fold is None else theirs.index[theirs != fold]]
    scored = pd.concat([held_out, tested])
    copies = scored[scored.isin(seen) & ~scored.isin(trained)]
    if len(copies):
        raise _refused(
            teacher.path, f"the teacher was trained on the files of {len(copies):,} tiles that the run is scored on, "
            f"such as {copies.index[0]}", "name a run that was trained on the same files under the same names",
        )  # fmt: skip


def _refused(path: Path, problem: str, remedy: str) -> InputError:
    return InputError(problem, file=path, option="data.teacher", remedy=remedy)
