"""Scripts written into a folder, handed in one after the other, and kept in mind by their numbers."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json, write_json, write_text
from amazon_ml.slurm.client import is_live, submit
from amazon_ml.slurm.job import Job, script
from amazon_ml.slurm.site import Site, check_site, check_text, check_time, read_site

log = logging.getLogger(__name__)

_JOBS = "jobs.json"


def job_folder(path: Path) -> Path:
    """Where the jobs of a run, or of a folder of parts, have their scripts and output."""
    return path / "slurm"


def site_with(path: Path | None, **options: Any) -> Site:
    """Read a site, with the options of the command line in the place of its own."""
    check_time(options.get("time"), "`time`")
    for name, value in options.items():
        check_text(value, f"--{name}")
    check_text(Path.cwd(), "the current folder")
    site = replace(read_site(path), **{key: value for key, value in options.items() if value is not None})
    check_site(site, f"{path}: ")
    return site


def write_jobs(jobs: list[Job], site: Site, *, submit_jobs: bool) -> None:
    """Write the scripts of jobs that follow each other, and hand them in if that is asked for.

    Each starts when the one before has ended, however it ended: what is missing then is told best by the work
    that misses it, while a job that waits for a success that never comes says nothing.
    """
    for job, text in [(job, script(job, site)) for job in jobs]:  # all or none
        write_text(job.script, text)
        log.info("wrote %s", job.script)
    if not submit_jobs:
        log.info("nothing is handed in; `submit` does that")
        return
    submitted: list[dict[str, Any]] = []
    for job in jobs:
        number = submit(job.script, after=submitted[-1]["id"] if submitted else None)
        submitted.append({"id": number, "name": job.name, "tasks": list(job.tasks), "log": job.log})
        write_json(job.folder / _JOBS, submitted)
        log.info("job %s: %s, %d task%s", number, job.script, len(job.tasks) or 1, "s" if len(job.tasks) > 1 else "")


def submitted(path: Path) -> list[dict[str, Any]]:
    """Read the jobs that were handed in last for a run or a folder of parts: ``id``, ``name``, ``tasks``, ``log``."""
    file = job_folder(path) / _JOBS
    if not file.exists():
        raise InputError(f"no jobs were handed in for {path}: there is no {file}")
    jobs: list[dict[str, Any]] = read_json(file)
    return jobs


def check_not_live(path: Path) -> None:
    """Refuse to hand in jobs for a run or a folder of parts, and to change what they go by, while others are live."""
    if (job_folder(path) / _JOBS).exists():
        live = [job["id"] for job in submitted(path) if is_live(job["id"])]
        if live:
            raise InputError(
                f"jobs {', '.join(live)} are at work on {path} already; see amazon-ml slurm status {path}, or end "
                f"them with scancel {' '.join(live)}"
            )
