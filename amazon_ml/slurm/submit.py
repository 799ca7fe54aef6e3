"""Write job scripts into a folder, submit them one after the other, and store their numbers."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json, write_json, write_text
from amazon_ml.slurm.client import is_live, submit
from amazon_ml.slurm.config import ClusterConfig
from amazon_ml.slurm.job import Job, script
from amazon_ml.slurm.site import Site, check_site, check_text, check_time, read_site

log = logging.getLogger(__name__)

_JOBS = "jobs.json"
#: Names of the jobs that are submitted.
JOBS = ("train", "gather", "predict", "merge", "scene", "scene-merge")


class SubmittedJob(TypedDict):
    """A submitted job: ``id`` in Slurm, ``name``, numbers of its ``tasks`` (empty: no array), name of its ``log``."""

    id: str
    name: str
    tasks: list[int]
    log: str


def job_folder(path: Path) -> Path:
    """Give the folder of scripts and output of the jobs of a run, or of a folder of parts."""
    return path / "slurm"


def site_of(jobs: ClusterConfig) -> Site:
    """Read a site, and replace its settings by options that are given."""
    path, options = jobs.site, {name: getattr(jobs, name) for name in ("time", "partition", "memory")}
    check_time(jobs.time)
    for name, value in options.items():
        check_text(value, f"`{name}`")
    check_text(Path.cwd(), "the current folder")
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    site = replace(read_site(path), **given)
    check_site(site, path)
    return site


def write_jobs(jobs: list[Job], site: Site, *, submit_jobs: bool) -> None:
    """Write the scripts of jobs that follow each other, and submit them on request.

    Each starts when the one before has ended in any way. Where something is missing then, the later job reports it; a
    job that waits for a success would wait for ever.
    """
    for job, text in [(job, script(job, site)) for job in jobs]:  # all or none
        write_text(job.script, text)
        log.info("wrote %s", job.script)
    if not submit_jobs:
        log.info("no job is submitted; `submit` does that")
        return
    submitted: list[SubmittedJob] = []
    for job in jobs:
        number = submit(job.script, after=submitted[-1]["id"] if submitted else None)
        submitted.append({"id": number, "name": job.name, "tasks": list(job.tasks), "log": job.log})
        write_json(job.folder / _JOBS, submitted)
        log.info("job %s: %s, %d task%s", number, job.script, len(job.tasks) or 1, "s" if len(job.tasks) > 1 else "")


def submitted(path: Path) -> list[SubmittedJob]:
    """Read the jobs that were submitted last for a run or a folder of parts."""
    file = job_folder(path) / _JOBS
    if not file.exists():
        raise InputError(f"no jobs were submitted: there is no {file}", file=path)
    jobs: list[SubmittedJob] = read_json(file)
    if not isinstance(jobs, list) or not all(map(_is_job, jobs)):
        raise InputError(
            "this is not a list of submitted jobs",
            file=file,
            remedy="put it back, or remove it once squeue shows none of these jobs",
        )
    return jobs


def _is_job(content: object) -> bool:
    """Whether a value of JSON is a `SubmittedJob`."""
    if not isinstance(content, dict) or content.get("name") not in JOBS:
        return False
    tasks = content.get("tasks")
    return (
        all(isinstance(content.get(key), str) for key in ("id", "log"))
        and isinstance(tasks, list)
        and all(type(task) is int for task in tasks)
    )


def check_not_live(path: Path) -> None:
    """Check that no job of a run or a folder of parts waits or runs, before others are submitted."""
    if (job_folder(path) / _JOBS).exists():
        live = [job["id"] for job in submitted(path) if is_live(job["id"])]
        if live:
            raise InputError(
                f"jobs {', '.join(live)} wait or run already",
                file=path,
                remedy=f"see amazon-ml slurm status {path}, or end them with scancel {' '.join(live)}",
            )
