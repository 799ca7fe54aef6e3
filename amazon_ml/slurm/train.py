"""Train a run on a cluster: a task for each fold, and a job after them that gathers, tunes, reports and tags."""

import logging
from dataclasses import replace
from pathlib import Path

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.config import DataConfig
from amazon_ml.data.folds.folds import fold_catalog, fold_numbers, read_folds, stored_fold_numbers
from amazon_ml.data.readers.bands import parse_bands
from amazon_ml.data.store.pack import default_store
from amazon_ml.errors import InputError
from amazon_ml.runs.access import BEFORE_TRAINING, check_run_folder, locked
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import config_text
from amazon_ml.runs.folder import Run
from amazon_ml.runs.gather import missing_folds
from amazon_ml.runs.stored_config import check_split, has_other_splits, save_config
from amazon_ml.runs.teacher import open_teacher
from amazon_ml.runtime.files import write_text
from amazon_ml.slurm.config import TrainJobsConfig, check_train_jobs
from amazon_ml.slurm.job import TASK, Job
from amazon_ml.slurm.site import check_grace, check_text
from amazon_ml.slurm.submit import check_not_live, job_folder, site_of, write_jobs
from amazon_ml.training.loggers import check_loggers
from amazon_ml.training.tiles import open_tiles

log = logging.getLogger(__name__)


def train_jobs(config: RunConfig, jobs: TrainJobsConfig) -> None:
    """Write job scripts that train each fold in a task of its own, and submit them on request.

    All options are checked before any job is submitted.

    Parameters
    ----------
    config
        The configuration of the run.
    jobs
        How the jobs run.
    """
    site = site_of(jobs)
    check_train_jobs(jobs)
    check_grace(site)
    check_loggers(config.loggers)
    run = Run(config.folder)
    for name, value in (("`run`", run.path), ("data.packed", config.data.packed or "")):
        check_text(value, name)
    if jobs.submit:
        check_not_live(run.path)
    write_jobs(plan_jobs(run, _spread(config, jobs), jobs), site, submit_jobs=jobs.submit)


def plan_jobs(run: Run, config: RunConfig, jobs: TrainJobsConfig) -> list[Job]:
    """Write the configuration into the run, and make the jobs for all work that is not finished.

    Parameters
    ----------
    run
        Run folder; it is an error where it was begun with other options.
    config
        The configuration.
    jobs
        How the jobs run.
    """
    if not Path(config.data.root).is_dir():
        raise InputError("there is no such folder", file=config.data.root, option="data.root",
                         remedy="name the folder of tiles with `data.root`")  # fmt: skip
    check_run_folder(run, BEFORE_TRAINING)
    if config.data.teacher is not None and not run.begun():
        open_teacher(Path(config.data.teacher), run)
    # Only then are there folds to be made, or to be compared with the tiles.
    reads = config.data.validate and (not run.begun() or has_other_splits(run, config))
    catalog = open_tiles(run, config).catalog if reads else None
    with locked(run, wait=True):
        save_config(run, config)
        there = _folds(run, config, catalog)
        missing = missing_folds(run) if run.begun() else there
    folds = config.folds_of(there)
    left = [fold for fold in folds if fold in missing]
    if len(left) < len(folds):
        log.info("%d of %d folds are finished, and get no task", len(folds) - len(left), len(folds))
    path, folder = run.path.absolute(), job_folder(run.path.absolute())
    requested = folder / "train.yaml"
    write_text(requested, config_text(config))
    train = Job(
        "train",
        f"Each task trains one fold of {path.name}; what is finished already is skipped.",
        ("train", "--config", str(requested), "--run", str(path), "--folds", TASK),
        folder,
        tasks=tuple(left),
        resumes=True,
        store=_store(config.data),
        nodes=jobs.nodes,
        gpus_per_node=jobs.gpus_per_node,
        at_once=jobs.at_once,
        requeue=jobs.requeue,
    )
    about = f"Gathers the folds of {path.name}, or lists those that are not finished."
    part = () if folds == there else ("--partial", "true")
    gather = Job("gather", about, ("gather", str(path), *part), folder)
    return [train, gather] if left else [gather]


def _spread(config: RunConfig, jobs: TrainJobsConfig) -> RunConfig:
    """Set the trainer to the nodes and GPUs of the job: a process for each GPU, or one for each node without GPUs."""
    if jobs.nodes == 1 and not jobs.gpus_per_node:
        return config
    spread = replace(config.trainer, num_nodes=jobs.nodes, devices=jobs.gpus_per_node or 1)
    return replace(config, trainer=spread)


def _folds(run: Run, config: RunConfig, catalog: Catalog | None) -> list[int]:
    """List the folds of a run, also where they are not on disk yet: a published validation split is the only one.

    Folds are compared with the tiles, if these are given: each task would fail for folds of other tiles or splits.
    """
    if not config.data.validate:
        return [0]
    if run.folds.exists():
        if catalog is None:
            return stored_fold_numbers(run.folds)
        fold = read_folds(run.folds, catalog.labelled["image_name"])
        check_split(run, config, fold, catalog, begun=run.begun())
        return fold_numbers(fold)
    if catalog is not None and catalog.valid is not None:
        return fold_numbers(fold_catalog(catalog, config.data.fold_by, config.data.n_folds, config.seed)["fold"])
    return list(range(config.data.n_folds))


def _store(data: DataConfig) -> Path | None:
    if data.packed:
        return Path(data.packed).absolute()
    default = default_store(Path(data.root), parse_bands(data.bands), data.size, data.dtype)
    return default.absolute() if default.exists() else None
