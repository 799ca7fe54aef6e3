"""Call the commands of Slurm, and turn their errors into plain messages."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from amazon_ml.errors import InputError, WorkError

#: States of a job that waits, runs, or changes from one to the other; in all other states it has ended.
_LIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "REQUEUED", "REQUEUE_HOLD",
         "REQUEUE_FED", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STOPPED", "RESV_DEL_HOLD"}  # fmt: skip
#: Variables of Slurm that do not belong to the job that this process may run in. Variables of that job would reach the
#: new one, and bind its processes to cores that it does not have.
_OF_NO_JOB = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")


@dataclass(frozen=True)
class Task:
    """The state of a job in Slurm, or of one task of an array.

    Parameters
    ----------
    state
        Slurm's name of the state, such as ``RUNNING``.
    where
        Nodes of the job, or the reason why it waits.
    """

    state: str
    where: str


def submit(script: Path, after: str | None = None) -> str:
    """Submit a script, to start at once or when the job `after` has ended in any way; return its number."""
    waits = [f"--dependency=afterany:{after}"] if after else []
    return _call("sbatch", "--parsable", *waits, str(script)).strip().split(";")[0]


def tasks_of(job: str) -> dict[int | None, Task]:
    """Read the states of a job: by number of the task, or by ``None`` for a job that is no array.

    The queue forgets a task some minutes after its end, though others run; then the accounting is read. Tasks that
    neither of them knows are missing.

    Raises
    ------
    InputError
        Where there is no Slurm.
    WorkError
        Where it does not answer.
    """
    return _parsed(_accounted(job)) | _parsed(_queued(job))


def is_live(job: str) -> bool:
    """Whether any task of a job waits or runs."""
    return any(task.state in _LIVE for task in _parsed(_queued(job)).values())


def _queued(job: str) -> str:
    try:
        return _call("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%i|%T|%R")
    except WorkError as error:
        if "Invalid job id" in str(error):
            return ""  # forgotten
        raise


def _accounted(job: str) -> str:
    try:
        return _call("sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={job}",
                     "--format=JobID,State,NodeList")  # fmt: skip
    except (InputError, WorkError):
        return ""  # some clusters have no accounting


def _parsed(lines: str) -> dict[int | None, Task]:
    """Parse lines such as ``12_3|RUNNING|node7``."""
    tasks: dict[int | None, Task] = {}
    for line in lines.splitlines():
        job, state, where = line.split("|", 2)
        number = job.partition("_")[2]
        for task in _numbers(number):
            tasks[task] = Task(state.split()[0], where)
    return tasks


def _numbers(text: str) -> list[int | None]:
    """Give the tasks of ``3``, ``[0,4-6%2]`` or ``[0-8:2]``; accounting lists waiting tasks in one line."""
    if not text:
        return [None]
    ranges = re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", text.partition("%")[0])
    return [number for a, b, step in ranges for number in range(int(a), int(b or a) + 1, int(step or 1))]


def _call(*command: str) -> str:
    variables = {key: value for key, value in os.environ.items() if key in _OF_NO_JOB or not key.startswith("SLURM_")}
    variables["SLURM_BITSTR_LEN"] = "0"  # lists of tasks are not shortened
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, env=variables).stdout
    except FileNotFoundError:
        raise InputError(
            f"there is no {command[0]} here: run this on a machine that can submit jobs to the cluster"
        ) from None
    except subprocess.CalledProcessError as error:
        raise WorkError(f"{command[0]} failed: {' '.join(error.stderr.split())}") from None
