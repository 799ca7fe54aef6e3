"""Show the states of the jobs of a run, a prediction or a scene, in Slurm and on disk."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.runs.shards import Parts
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.scenes.plan import is_merged, is_shard_done
from amazon_ml.slurm.client import Task, tasks_of
from amazon_ml.slurm.submit import SubmittedJob, job_folder, submitted


class JobRow(TypedDict):
    """The state of a task.

    ``task``, its name; ``state`` in Slurm; ``where``, its nodes, or why it waits; ``done``, whether its result lies on
    disk; ``log``, the file of its output; ``last_line`` of that.
    """

    task: str
    state: str
    where: str
    done: bool
    log: str
    last_line: str


def status(run: Path) -> list[JobRow]:
    """Show the states of the jobs of a run, or of a prediction or a scene in shards.

    Parameters
    ----------
    run
        Run folder, the folder of the parts of a prediction, or that of the map of a scene.

    Returns
    -------
    A row for each task.
    """
    if not run.is_dir():
        raise InputError("there is no such folder", file=run)
    return [_row(run, job, number, task) for job in submitted(run) for number, task in _tasks(job)]


def _tasks(job: SubmittedJob) -> list[tuple[int | None, Task]]:
    known = tasks_of(job["id"])
    numbers: list[int | None] = [*job["tasks"]] or [None]
    return [(number, known.get(number, Task("UNKNOWN", ""))) for number in numbers]


def _row(run: Path, job: SubmittedJob, number: int | None, task: Task) -> JobRow:
    log = job_folder(run) / _filled(job["log"], job["id"], number)
    return {
        "task": job["name"] if number is None else f"{job['name']} {number}",
        "state": task.state,
        "where": task.where,
        "done": _DONE[job["name"]](run, number),
        "log": str(log),
        "last_line": _last_line(log),
    }


#: Whether the result of a job lies on disk, by the job's name.
_DONE: dict[str, Callable[[Path, Any], bool]] = {
    "train": lambda run, fold: fold in [each.number for each in Run(run).finished_folds()],
    "gather": lambda run, _: _is_gathered(Run(run)),
    "predict": lambda run, shard: Parts(run).part(shard).exists(),
    "merge": lambda run, _: run.with_name(run.name.removesuffix(".parts")).exists(),
    "scene": lambda out, shard: is_shard_done(out, shard),
    "scene-merge": lambda out, _: is_merged(out),
}


def _is_gathered(run: Run) -> bool:
    """Whether the scores cover all finished folds; each fold writes scores, too, of itself and those before it."""
    ends = [fold.valid.stat().st_mtime for fold in run.finished_folds()]
    return run.metrics.exists() and run.metrics.stat().st_mtime > max(ends, default=0)


def _filled(log: str, job: str, task: int | None) -> str:
    """Fill the numbers into the name of an output file, as sbatch does."""
    return re.sub("%[Aj]", job, log).replace("%a", str(task))


#: Lines of Slurm and the shell, which repeat the state.
_NOT_OURS = re.compile(r"\s*$|srun: |slurmstepd\S*: |Terminated|Killed")


def _last_line(log: Path) -> str:
    check_regular(log)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return next((line.strip() for line in reversed(lines) if not _NOT_OURS.match(line)), "")
