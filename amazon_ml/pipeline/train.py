"""The whole job: fits networks, predicts held-out tiles, tunes, scores and tags the test tiles; it can resume."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.catalog.stored import map_catalog, write_catalog
from amazon_ml.data.catalog.untrained import warn_of_untrained
from amazon_ml.data.folds.folds import fold_numbers, read_folds
from amazon_ml.data.folds.neighbours import NEIGHBOURS
from amazon_ml.errors import InputError
from amazon_ml.models.satellite import check_weights
from amazon_ml.pipeline.finish import finish
from amazon_ml.runs.access import BEFORE_TRAINING, check_run_folder, locked, locked_fold
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.decision import LEAST_TILES
from amazon_ml.runs.folder import FoldFolder, Run, check_trained, write_tested, write_truth
from amazon_ml.runs.former_audit import warn_of_former_lists
from amazon_ml.runs.gather import gather_folds
from amazon_ml.runs.hashes import adopt, bind, check_recorded, check_task, is_made_by_run, made_by_run, remove
from amazon_ml.runs.provenance import check_read_again, read_processes, save_provenance
from amazon_ml.runs.provenance_file import TeacherProvenance
from amazon_ml.runs.scores import Metrics
from amazon_ml.runs.stored_config import check_split, save_config, write_config
from amazon_ml.runs.teacher import check_same_teacher, open_teacher, teacher_hash
from amazon_ml.runs.teaching import TaughtRun, teach
from amazon_ml.runs.tile_files import check_tiles, record_tiles
from amazon_ml.runs.tiles import read_bands
from amazon_ml.runs.untagged import untagged_tiles
from amazon_ml.runtime import distributed
from amazon_ml.runtime.random_states import kept_random_states
from amazon_ml.training.fit import fit_fold, started_processes
from amazon_ml.training.tiles import fold_data, on_gpu, open_tiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """The result of training.

    Parameters
    ----------
    folder
        The run folder, with networks, probabilities, decision, submission and report.
    metrics
        The contents of metrics.json: the scores with their intervals.
    rank
        Which of the processes that trained together this is; 0 where there is one.

    Examples
    --------
    >>> run = train(RunConfig.load("demo"))
    >>> sorted(run.metrics["fbeta"])
    ['constant', 'cross_fitted', 'cross_fitted_minus_fixed', 'fitted', 'fixed_0.2']
    >>> sorted(run.metrics["fbeta"]["cross_fitted"])
    ['interval', 'standard_error', 'value']
    """

    folder: Path
    metrics: Metrics
    rank: int = 0

    def __repr__(self) -> str:
        """Show the folder and the score; the metrics are too long for a notebook."""
        score = self.metrics["fbeta"]["cross_fitted"]
        low, high = score["interval"]
        beta = f"F{self.metrics['beta']:g}"
        return f"RunResult({str(self.folder)!r}, {beta} {score['value']:.4f}, 95 % interval {low:.4f} to {high:.4f})"


def train(config: RunConfig) -> RunResult:
    """Run the whole job into a run folder, in the number of processes of the configuration.

    Several processes may train different folds of one run at the same time. One of them at a time locks the files that
    the folds share, to set up the run, and to gather finished folds. If several processes train one network together,
    the first does everything except training and prediction.

    Parameters
    ----------
    config
        Options of the run. A run folder that was begun with the same options is resumed.

    Returns
    -------
    RunResult
        The run folder and its scores.

    Raises
    ------
    InputError
        For options, tiles or a run folder that are wrong.
    WorkError
        Where training diverges.

    Examples
    --------
    >>> run = train(RunConfig.load("demo"))
    >>> 0 <= run.metrics["fbeta"]["cross_fitted"]["value"] <= 1
    True
    """
    if not isinstance(config, RunConfig):
        raise InputError(f"config is {config!r}, not a RunConfig", option="config",
                         remedy="read one with RunConfig.load")  # fmt: skip
    with kept_random_states(), warnings.catch_warnings():
        # Lightning warns of what is on purpose here: a run that is resumed, loaders without processes, few steps.
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        return _train_in_processes(config)


def _train_in_processes(config: RunConfig) -> RunResult:
    with started_processes(config):
        return RunResult(config.folder, _train(config), distributed.rank())


def _train(config: RunConfig) -> Metrics:
    began, run = time.perf_counter(), Run(config.folder)
    with ExitStack() as held:
        ready = _set_up_once(run, lambda: _set_up(run, config, held))
        catalog = ready.catalog
        log.info("%s: %s labelled tiles, %s untagged, %d tags", run.path, f"{len(catalog.labelled):,}",
                 f"{len(catalog.unlabelled):,}", len(catalog.tags))  # fmt: skip
        distributed.on_rank_zero(lambda: _teach(run, config, ready))
        for fold in ready.folds:
            distributed.on_rank_zero(lambda: check_read_again(run, config))
            data = fold_data(run, config, fold, catalog, ready.untagged)
            fit_fold(run.fold(fold), config, data, config.seed + fold)
    metrics = distributed.on_rank_zero(lambda: _gather_and_finish(run, catalog))
    log.info("%s is done after %.0f s", run.path, time.perf_counter() - began)
    return metrics


@dataclass(frozen=True)
class _Ready:
    """A run that is set up: its tiles, the folds to train, the untagged tiles of its teacher, and if it was begun."""

    catalog: Catalog
    folds: list[int]
    untagged: pd.DataFrame | None
    begun: bool


def _set_up_once(run: Run, set_up: Callable[[], _Ready]) -> _Ready:
    """Set a run up in the first process; several processes map one catalog from its file instead of a copy each."""
    if distributed.count() == 1:
        return set_up()

    def written() -> tuple[list[int], pd.DataFrame | None, bool]:
        ready = set_up()
        write_catalog(run.catalog, ready.catalog)
        return ready.folds, ready.untagged, ready.begun

    folds, untagged, begun = distributed.on_rank_zero(written)
    return _Ready(map_catalog(run.catalog), folds, untagged, begun)


def _set_up(run: Run, config: RunConfig, held: ExitStack) -> _Ready:
    """Write the files that the folds share, or check that they are the same; lock the requested folds."""
    check_run_folder(run, BEFORE_TRAINING)
    data = open_tiles(run, config)
    if not run.begun():  # before the folder of the run is made: a wrong option leaves no files
        check_weights(config.model, data.bands)
        if config.data.teacher is not None:
            open_teacher(Path(config.data.teacher), run)
        _check_published(run, config, data.catalog)
    with locked(run, wait=True), ExitStack() as refusable:
        save_config(run, config)
        begun = run.begun()
        if begun:
            check_trained(run)
        else:
            refusable.enter_context(_removed_where_refused(run))
        with nullcontext() if begun else made_by_run(run.folds, run.bands):
            data.prepare_data(predicts=True)
        catalog = data.catalog
        for path in (run.folds, run.bands):  # a user may write them before training
            check_recorded(path) if begun else adopt(path)
        folds = _folds(run, config, catalog, begun=begun)
        warn_of_untrained(catalog, config.data, _trained(run, config, catalog, folds))
        processes = _training_processes(run, folds)
        for fold in folds:
            held.enter_context(locked_fold(run.fold(fold)))
        if begun:
            check_tiles(run, catalog)
        else:
            record_tiles(run, catalog, data.store)
        task = save_provenance(run, config, catalog, processes, _teacher(run, config, begun=begun), begun=begun)
        untagged = _untagged(run, config, catalog, begun=begun)
        if config.data.soft_labels is not None and config.data.validate:
            log.warning("scores of held-out tiles may be too high: networks that were trained on these tiles may have "
                        "made the labels of `data.soft_labels`; amazon-ml evaluate scores other tiles")  # fmt: skip
        warn_of_former_lists(config.data)
        for fold in folds:
            _mark_task(run.fold(fold), task)
        if begun:  # a new run has it from `save_config`
            write_config(run, config)
        write_truth(run, catalog.labelled["image_name"], catalog.tags, catalog.targets)
        write_tested(run, catalog.tested["image_name"], catalog.tags, catalog.tested_targets)
    return _Ready(catalog, folds, untagged, begun)


def _check_published(run: Run, config: RunConfig, catalog: Catalog) -> None:
    """Check that a published validation split is large enough for thresholds, where no other folds were written."""
    if not config.data.validate or catalog.valid is None or (run.folds.exists() and not is_made_by_run(run.folds)):
        return
    held_out = int(catalog.valid.sum())
    if held_out < LEAST_TILES and len(catalog.labelled) == config.data.max_samples:
        raise InputError(
            f"the published validation split holds {held_out} of the {len(catalog.labelled)} tiles that "
            f"`data.max_samples` draws, but thresholds need at least {LEAST_TILES}", option="data.max_samples",
            remedy="draw more tiles, or train without thresholds of their own, with `data.validate` false",
        )  # fmt: skip
    if held_out < LEAST_TILES:
        problem = f"the published validation split holds {held_out} tile{'s' * (held_out != 1)}, but thresholds need"
        given = (name for name in ("splits", "split_column") if getattr(config.data, name) is not None)
        raise InputError(
            f"{problem} at least {LEAST_TILES}", file=config.data.root, option=f"data.{next(given, 'labels_file')}",
            remedy="add tiles to it; or name its tiles as training tiles, too, and folds are made of all of these; or "
            "train on all without thresholds of their own, with `data.validate` false",
        )  # fmt: skip


@contextmanager
def _removed_where_refused(run: Run) -> Iterator[None]:
    """Remove the folds and the reader that a refused call made: a corrected table would not fit them.

    Those of an earlier call that ended before it trained anything are made again.
    """
    for path in (run.folds, run.bands):
        if is_made_by_run(path):
            remove(path)
    new = [path for path in (run.folds, run.bands, run.folds.with_name(NEIGHBOURS)) if not path.exists()]
    try:
        yield
    except InputError:
        for path in new:
            remove(path)
        raise


def _teacher(run: Run, config: RunConfig, *, begun: bool) -> TeacherProvenance | None:
    """Describe the teacher of a new run; that of a begun run must be the same one, or its folder gone."""
    if config.data.teacher is None or (begun and not Path(config.data.teacher).exists()):
        return None
    teacher = open_teacher(Path(config.data.teacher), run)
    if begun:
        check_same_teacher(teacher, run)
        return None
    return {"path": str(teacher.path.resolve()), "sha256": teacher_hash(teacher)}


def _untagged(run: Run, config: RunConfig, catalog: Catalog, *, begun: bool) -> pd.DataFrame | None:
    """List the untagged tiles that a teacher tags; None without a teacher."""
    if config.data.teacher is None:
        return None
    if not config.data.untagged_share:
        return catalog.unlabelled.iloc[:0]
    return untagged_tiles(run, config.data, catalog, read_bands(run), begun=begun)


def _teach(run: Run, config: RunConfig, ready: _Ready) -> None:
    """Let the teacher predict for all folds before the first is trained: no later fold needs its folder again."""
    if ready.untagged is not None:
        device = None if on_gpu(config.trainer) else torch.device("cpu")
        teach(TaughtRun(run, config, ready.catalog, ready.untagged, ready.begun, device), ready.folds)


def _mark_task(fold: FoldFolder, task: str) -> None:
    """Record the task of a fold; a fold that was begun for another task is an error."""
    if fold.weights.exists() or fold.last.exists():
        check_task(fold.path, task)
    else:
        bind(fold.path, task)


def _gather_and_finish(run: Run, catalog: Catalog) -> Metrics:
    with locked(run, wait=True):
        gather_folds(run)
        return finish(run, catalog.labelled)


def _training_processes(run: Run, folds: list[int]) -> int:
    """Return the number of processes that train the networks of the run; another number now is an error."""
    processes = read_processes(run) if run.begun() else distributed.count()
    if processes != distributed.count() and not all(run.fold(fold).weights.exists() for fold in folds):
        raise InputError(
            f"{processes} processes began the run, but now there are {distributed.count()}, whose steps would use "
            "other tiles", file=run.path, remedy=f"start {processes} processes, or choose another `run`",
        )  # fmt: skip
    return processes


def _trained(run: Run, config: RunConfig, catalog: Catalog, folds: list[int]) -> npt.NDArray[np.bool_]:
    """Give the labelled tiles that at least one network of the run trains on: each holds out its own fold alone."""
    if not config.data.validate or len(folds) > 1:
        return np.ones(len(catalog.labelled), dtype=bool)
    return (read_folds(run.folds, catalog.labelled["image_name"]) != folds[0]).to_numpy(dtype=bool)


def _folds(run: Run, config: RunConfig, catalog: Catalog, *, begun: bool) -> list[int]:
    if not config.data.validate:
        return [0]
    fold = read_folds(run.folds, catalog.labelled["image_name"])
    check_split(run, config, fold, catalog, begun=begun)
    there = fold_numbers(fold)
    try:
        requested = config.folds_of(there)
    except InputError as error:
        raise InputError(error.problem, file=run.folds, option=error.option, remedy=error.remedy) from None
    held_out = int(fold.isin(requested).sum())
    if held_out < LEAST_TILES:
        raise InputError(
            f"folds {requested} hold out {held_out} of {len(fold)} tiles, but thresholds need at least {LEAST_TILES}",
            option="folds", remedy="request more `folds`, or make fewer with `data.n_folds`"
            + ", or draw more tiles with `data.max_samples`" * (config.data.max_samples is not None),
        )  # fmt: skip
    return requested
