"""Show the states of the jobs of a run, a prediction or a scene, in Slurm and on disk."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.runs.gather import predicted_folds
from amazon_ml.runs.shards import Parts, missing_parts
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
    "train": lambda run, fold: fold in [each.number for each in predicted_folds(Run(run))],
    "gather": lambda run, _: _is_gathered(Run(run)),
    "predict": lambda run, shard: Parts(run).is_done(shard),
    "merge": lambda run, _: _is_joined(Parts(run)),
    "scene": lambda out, shard: is_shard_done(out, shard),
    "scene-merge": lambda out, _: is_merged(out),
}


def _is_gathered(run: Run) -> bool:
    """Whether the scores cover all folds of the jobs; each fold writes scores, too, of itself and those before it."""
    folds = predicted_folds(run)
    wanted = {task for job in submitted(run.path) for task in job["tasks"]}
    if not folds or not wanted <= {fold.number for fold in folds}:
        return False
    return _is_newer(run.metrics, [fold.valid for fold in folds])


def _is_joined(parts: Parts) -> bool:
    """Whether the table holds the present parts; one of an earlier prediction may have its name."""
    place = Path(os.path.abspath(parts.path))  # noqa: PTH100 ("." has no name, and a link keeps its own)
    if not parts.plan.exists() or missing_parts(parts):
        return False
    return _is_newer(place.with_name(place.name.removesuffix(".parts")), list(place.glob("part-*.parquet")))


def _is_newer(result: Path, sources: list[Path]) -> bool:
    """Whether a file exists and was written after those that it is made of."""
    return result.is_file() and result.stat().st_mtime_ns >= max(source.stat().st_mtime_ns for source in sources)


def _filled(log: str, job: str, task: int | None) -> str:
    """Fill the numbers into the name of an output file, as sbatch does."""
    return re.sub("%[Aj]", job, log).replace("%a", str(task))


#: Lines of Slurm and the shell, which repeat the state.
_NOT_OURS = re.compile(r"\s*$|srun: |slurmstepd\S*: |Terminated|Killed")


def _last_line(log: Path) -> str:
    check_regular(log)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return next((line.strip() for line in reversed(lines) if not _NOT_OURS.match(line)), "")
