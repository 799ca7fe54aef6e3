"""The whole job: fit, predict held-out tiles, tune, score, tag the test tiles; resumes."""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.folds.folds import read_folds
from amazon_ml.errors import InputError
from amazon_ml.models.weights import check_weights_file
from amazon_ml.pipeline.finish import finish
from amazon_ml.runs.access import BEFORE_TRAINING, check_run_folder, locked, locked_fold
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.decision import LEAST_TILES
from amazon_ml.runs.folder import FoldFolder, Run, check_trained, write_truth
from amazon_ml.runs.gather import gather_folds
from amazon_ml.runs.hashes import adopt, bind, check_recorded, check_task
from amazon_ml.runs.provenance import read_processes, save_provenance
from amazon_ml.runs.scores import Metrics
from amazon_ml.runs.stored_config import save_config, write_config
from amazon_ml.runs.tile_files import check_tiles, record_tiles
from amazon_ml.runtime import distributed
from amazon_ml.training.fit import fit_fold, fold_data, joined, open_tiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What training gives.

    Parameters
    ----------
    folder
        The run folder, with networks, probabilities, decision, submission and report.
    metrics
        The content of metrics.json: the scores with their intervals.
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


def train(config: RunConfig) -> RunResult:
    """Run the whole job into a run folder, in as many processes as the configuration asks for.

    Several processes may each train other folds of one run at the same time. What the folds share is
    held by one of them at a time, for as long as it takes to set up, and to gather what is finished. Of processes
    that train one network together, the first does all that is not training or prediction.

    Parameters
    ----------
    config
        Options of the run. A run folder that was begun with the same options is finished.

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
    with joined(config):
        return RunResult(config.folder, _train(config), distributed.rank())


def _train(config: RunConfig) -> Metrics:
    began, run = time.perf_counter(), Run(config.folder)
    with ExitStack() as held:
        catalog, folds = distributed.on_rank_zero(lambda: _set_up(run, config, held))
        log.info("%s: %s labelled tiles, %s untagged, %d tags", run.path, f"{len(catalog.labelled):,}",
                 f"{len(catalog.unlabelled):,}", len(catalog.tags))  # fmt: skip
        for fold in folds:
            data = fold_data(run, config, fold, catalog)
            fit_fold(run.fold(fold), config, data, config.seed + fold)
    metrics = distributed.on_rank_zero(lambda: _put_together(run, catalog))
    log.info("%s is done after %.0f s", run.path, time.perf_counter() - began)
    return metrics


def _set_up(run: Run, config: RunConfig, held: ExitStack) -> tuple[Catalog, list[int]]:
    """Write what the folds share, or see that it is the same; take hold of the folds that are asked for."""
    check_run_folder(run, BEFORE_TRAINING)
    data = open_tiles(run, config)
    if not run.begun():  # before the folder of the run is made: a wrong option leaves nothing
        check_weights_file(config.model.weights)
        data.catalog  # noqa: B018 (it is read once)
    with locked(run, wait=True):
        save_config(run, config)
        begun = run.begun()
        if begun:
            check_trained(run)
        data.prepare_data()
        catalog = data.catalog
        for path in (run.folds, run.bands):  # a person may write them before training
            check_recorded(path) if begun else adopt(path)
        folds = _folds(run, config, catalog)
        processes = _training_processes(run, folds)
        for fold in folds:
            held.enter_context(locked_fold(run.fold(fold)))
        if begun:
            check_tiles(run, catalog)
        else:
            record_tiles(run, catalog, data.store)
        task = save_provenance(run, config, catalog, processes, begun=begun)
        for fold in folds:
            _bind(run.fold(fold), task)
        write_config(run, config)
        write_truth(run, catalog.labelled["image_name"], catalog.tags, catalog.targets)
    return catalog, folds


def _bind(fold: FoldFolder, task: str) -> None:
    """Record what a fold is trained for; refuse one that was begun for another run."""
    if fold.weights.exists() or fold.last.exists():
        check_task(fold.path, task)
    else:
        bind(fold.path, task)


def _put_together(run: Run, catalog: Catalog) -> Metrics:
    with locked(run, wait=True):
        gather_folds(run)
        return finish(run, catalog.labelled)


def _training_processes(run: Run, folds: list[int]) -> int:
    """Tell by how many processes the run's networks are trained; refuse to go on with another number of them."""
    processes = read_processes(run) if run.begun() else distributed.count()
    if processes != distributed.count() and not all(run.fold(fold).weights.exists() for fold in folds):
        raise InputError(
            f"{run.path} was begun by {processes} processes, and these are {distributed.count()}, whose steps would "
            f"take other tiles; start {processes}, or choose another `run`"
        )
    return processes


def _folds(run: Run, config: RunConfig, catalog: Catalog) -> list[int]:
    if not config.data.validate:
        return [0]
    fold = read_folds(run.folds, catalog.labelled["image_name"])
    there = sorted(set(fold))
    try:
        asked = config.folds_of(there)
    except InputError as error:
        raise InputError(f"{error}; they are those of {run.folds}") from None
    held_out = int(fold.isin(asked).sum())
    if held_out < LEAST_TILES:
        raise InputError(
            f"folds {asked} hold out {held_out} of {len(fold)} tiles; thresholds need {LEAST_TILES} at least: "
            "ask for more `folds`, or fewer of them with `data.n_folds`"
        )
    return asked
