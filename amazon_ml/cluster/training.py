"""A run as jobs: each fold a task of an array, and a job after it that gathers, tunes, reports and submits."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from amazon_ml.cluster.job import TASK, Job
from amazon_ml.cluster.site import check_grace, check_text
from amazon_ml.cluster.submission import job_folder, refuse_live, site_with, write_jobs
from amazon_ml.data.bands import parse_bands
from amazon_ml.data.pack import default_store
from amazon_ml.errors import InputError
from amazon_ml.files import write_text
from amazon_ml.regular import check_regular
from amazon_ml.runs.access import BEFORE_TRAINING, check_run_folder, locked
from amazon_ml.runs.config import keep_options, parse_train, train_parser
from amazon_ml.runs.folder import Run
from amazon_ml.runs.gather import missing_folds
from amazon_ml.runs.options import Options

log = logging.getLogger(__name__)

_DOES = (
    "Write job scripts that train each fold in a task of its own, any number at the same time, and a job that "
    "gathers, tunes, reports and makes the submission. All options of train are taken, and checked before anything "
    "is handed in."
)


def train_jobs(arguments: list[str]) -> None:
    """Run ``amazon-ml slurm train``."""
    parser = train_parser("slurm train", _DOES)
    parser.add_argument("--site", type=Path | None, help="YAML of what is particular to the cluster")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of each fold")
    parser.add_argument("--gpus_per_node", type=int, default=0, help="GPUs of each node, and processes; 0: the CPU")
    parser.add_argument("--time", type=str | None, help="the longest a job may run before it is queued again, HH:MM:SS")
    parser.add_argument("--partition", type=str | None, help="where jobs queue")
    parser.add_argument("--memory", type=str | None, help="memory of a node, such as 64G")
    parser.add_argument("--at_once", type=int | None, help="how many folds may train at the same time")
    parser.add_argument("--requeue", type=bool, default=True, nargs="?", const=True,
                        help="queue a fold again that was stopped or pushed out")  # fmt: skip
    parser.add_argument("--submit", type=bool, default=False, nargs="?", const=True, help="hand the jobs in")
    run, options = parse_train(arguments, parser)
    own = {key: options.pop(key) for key in ("nodes", "gpus_per_node", "at_once", "requeue")}
    hand_in = options.pop("submit")
    site = site_with(options.pop("site"), **{key: options.pop(key) for key in ("time", "partition", "memory")})
    if own["nodes"] < 1 or own["gpus_per_node"] < 0 or (own["at_once"] or 1) < 1:
        raise InputError("--nodes and --at_once must be at least 1, and --gpus_per_node at least 0")
    check_grace(site)
    for name, value in (("--run", run.path), ("data.packed", options["data"]["packed"] or "")):
        check_text(value, name)
    _spread(options, own["nodes"], own["gpus_per_node"])
    if hand_in:
        refuse_live(run.path)
    jobs = plan_jobs(run, options, **own)
    write_jobs(jobs, site, hand_in=hand_in)


def plan_jobs(run: Run, options: Options, **own: Any) -> list[Job]:
    """Write what is asked for into the run, as of now, and tell the jobs that do what is not finished.

    Parameters
    ----------
    run
        Run folder; one that was begun with other options is refused.
    options
        As `parse_train` gives them.
    own
        Fields of the `Job` that trains.
    """
    if not Path(options["data"]["root"]).is_dir():
        raise InputError(f"data.root: there is no folder {options['data']['root']}")
    check_run_folder(run, BEFORE_TRAINING)
    with locked(run, wait=True):
        keep_options(run, options)
        there = _folds(run, options)
        missing = missing_folds(run) if run.begun() else there
    folds = there if options["folds"] == "all" else sorted(set(options["folds"]))
    if not folds or not set(folds) <= set(there):
        raise InputError(f"--folds {options['folds']}: there are the folds {there}; folds are counted from 0")
    left = [fold for fold in folds if fold in missing]
    if len(left) < len(folds):
        log.info("%d of %d folds are finished, and queue for nothing", len(folds) - len(left), len(folds))
    path, folder = run.path.absolute(), job_folder(run.path.absolute())
    asked = folder / "train.yaml"
    write_text(asked, yaml.safe_dump(options, sort_keys=False))
    train = Job(
        "train",
        f"Each task trains one fold of {path.name}; what is finished already is skipped.",
        ("train", "--config", str(asked), "--run", str(path), "--folds", TASK),
        folder,
        tasks=tuple(left),
        resumes=True,
        store=_store(options),
        **own,
    )
    about = f"Puts the folds of {path.name} together, or tells which are not finished."
    part = () if folds == there else ("--partial", "true")
    gather = Job("gather", about, ("gather", str(path), *part), folder)
    return [train, gather] if left else [gather]


def _spread(options: Options, nodes: int, gpus_per_node: int) -> None:
    """Have the trainer use what the job asks Slurm for: a process a GPU, or one a node without."""
    if nodes > 1 or gpus_per_node:
        options["trainer"]["num_nodes"], options["trainer"]["devices"] = nodes, gpus_per_node or 1


def _folds(run: Run, options: Options) -> list[int]:
    """List the folds of a run, which may have none on disk yet."""
    data = options["data"]
    if not data["hold_out"]:
        return [0]
    if run.folds.exists():
        check_regular(run.folds)
        return sorted(set(pd.read_csv(run.folds)["fold"].astype(int).tolist()))
    return list(range(data["n_folds"]))


def _store(options: Options) -> Path | None:
    data = options["data"]
    if data["packed"]:
        return Path(data["packed"]).absolute()
    default = default_store(Path(data["root"]), parse_bands(data["bands"]), data["size"])
    return default.absolute() if default.exists() else None
