"""Write job scripts: shell that a person can read, store and submit."""

import re
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from string import Template

from amazon_ml.runtime.preemption import Stopped
from amazon_ml.slurm.site import Site, check_site, check_text

#: The variable in a script that holds the number of an array's task.
TASK = "$SLURM_ARRAY_TASK_ID"
#: Words of a command that hold this variable.
_OF_TASK = re.compile(re.escape(TASK) + r"(?:/\d+)?")
#: Characters with a special meaning between double quotes, other than variables.
_BEYOND_VARIABLES = re.compile(r"[\\\"`]|\$(?!\w|\{\w+\})")


@dataclass(frozen=True)
class Job:
    """The work of one script.

    Parameters
    ----------
    name
        Name of the job, and of its script.
    about
        A sentence about its work, for the head of the script.
    words
        Words of the command after ``amazon-ml``; the script quotes them. `TASK` in a word becomes the task's number.
    folder
        Folder of the script and its output.
    tasks
        Numbers of an array's tasks in rising order; empty for a job that is no array.
    at_once
        Most tasks of the array that run at the same time.
    nodes
        Number of nodes of each task.
    gpus_per_node
        Number of GPUs of each node, with one process for each; 0 for one process on the CPU.
    requeue
        Whether a task that was stopped or preempted is queued again.
    resumes
        Whether the command reacts to a signal: it gets one before the time ends, saves its state, and exits with the
        status of `Stopped`.
    store
        Packed store; it is copied to the scratch disk of each node.
    """

    name: str
    about: str
    words: tuple[str, ...]
    folder: Path
    tasks: tuple[int, ...] = ()
    at_once: int | None = None
    nodes: int = 1
    gpus_per_node: int = 0
    requeue: bool = True
    resumes: bool = False
    store: Path | None = None

    @property
    def script(self) -> Path:
        """The file of the script."""
        return self.folder / f"{self.name}.sbatch"

    @property
    def log(self) -> str:
        """Name of the output file; sbatch fills in the numbers of the job and the task."""
        return f"{self.name}-%A_%a.out" if self.tasks else f"{self.name}-%j.out"


def script(job: Job, site: Site) -> str:
    """Write the text of a job script.

    Parameters
    ----------
    job
        The job.
    site
        Settings of the cluster.

    Raises
    ------
    InputError
        Where a name holds a line break.
    """
    _check(job, site)
    paragraphs = (
        _head(job, site),
        f"# {job.about}\n# Written by amazon-ml; submit it with: sbatch {shlex.quote(str(job.script))}",
        _setup(site),
        _ADDRESS if job.nodes > 1 or job.gpus_per_node > 1 else "",
        _work(job, site),
        _end(job),
    )
    return "\n\n".join(filter(None, paragraphs)) + "\n"


_ADDRESS = r"""# The address of the first node, as Slurm knows it: there the processes find each other.
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(scontrol show node --oneliner "$first" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
export MASTER_ADDR="${address:-$first}" MASTER_PORT=$((15000 + SLURM_JOB_ID % 16000))"""

_COPY = Template("""\
# First, once on each node: copy the packed store to the node's own disk.
srun --ntasks="$$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 $amazon_ml data copy $store $copy &&
""")

_WORK = Template("""\
trap : TERM  # where the whole job gets a signal to end, this shell waits until the work has saved its state
${copy}srun --kill-on-bad-exit=0 $cpus$amazon_ml $words
status=$$?""")

_GO_ON = Template("""\
# $stopped: the work got a signal and saved its state; $usr1, $term: a signal ended it before it could react, or it does
# not react. The same job is queued again. A job that Slurm does not list as running was cancelled, or out of time.
job=$job
case $$status in $stopped | $usr1 | $term)
  if [ "$$(squeue --noheader --jobs="$$job" --format=%T)" = RUNNING ]; then
    scontrol requeue "$$job" || echo "Slurm does not queue this job again; submit the script again"
  fi ;;
esac
exit $$status""")


def _check(job: Job, site: Site) -> None:
    """Check that no value holds a line break. Words of the command are quoted, and may hold anything."""
    check_site(site)
    for name, value in (
        ("the current folder", Path.cwd()), ("job", job.name), ("job", job.about), ("folder of scripts", job.folder),
        ("packed store", job.store or ""),
    ):  # fmt: skip
        check_text(value, name)


def _head(job: Job, site: Site) -> str:
    processes = job.gpus_per_node or 1
    options = {
        "job-name": job.name,
        "chdir": str(Path.cwd()),
        "output": str(job.folder).replace("%", "%%") + f"/{job.log}",
        "open-mode": "append",
        "array": _ranges(job.tasks) + (f"%{job.at_once}" if job.at_once else "") if job.tasks else None,
        "nodes": job.nodes,
        "ntasks-per-node": processes,
        "gpus-per-node": job.gpus_per_node or None,
        "cpus-per-task": site.cpus_per_task,
        "mem": site.memory,
        "time": site.time,
        "partition": site.partition,
        "account": site.account,
        "signal": f"USR1@{site.grace}" if job.resumes else None,
    }
    given = [f"--{name}={shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    lines = [*given, "--requeue" if job.requeue else "--no-requeue", *site.sbatch]
    return "\n".join(["#!/bin/bash", *(f"#SBATCH {line}" for line in lines)])


def _ranges(numbers: tuple[int, ...]) -> str:
    """Write rising numbers as sbatch takes them, such as ``0-3,7``."""
    there = set(numbers)
    firsts = [number for number in numbers if number - 1 not in there]
    lasts = [number for number in numbers if number + 1 not in there]
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in zip(firsts, lasts, strict=True))


def _setup(site: Site) -> str:
    modules = [f"module load {shlex.join(site.modules)}"] if site.modules else []
    lines = [*modules, *site.setup]
    return "\n".join(["set -e  # where one of these lines fails, the job ends", *lines, "set +e"]) if lines else ""


def _copy(job: Job, site: Site) -> str:
    if not (job.store and site.scratch):
        return ""
    store = shlex.quote(str(job.store))
    return _COPY.substitute(amazon_ml=_amazon_ml(site), store=store, copy=_copied(job.store, site.scratch))


def _work(job: Job, site: Site) -> str:
    words = [f'"{word}"' if _OF_TASK.fullmatch(word) else shlex.quote(word) for word in job.words]
    if job.store and site.scratch:
        words += ["--data.packed", _copied(job.store, site.scratch)]
    # srun does not read it from sbatch, and would bind each process to one core.
    cpus = f"--cpus-per-task={site.cpus_per_task} " if site.cpus_per_task else ""
    return _WORK.substitute(copy=_copy(job, site), cpus=cpus, amazon_ml=_amazon_ml(site), words=" ".join(words))


def _end(job: Job) -> str:
    if not job.requeue:
        return "exit $status"
    own = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" if job.tasks else "$SLURM_JOB_ID"
    usr1, term = 128 + signal.SIGUSR1, 128 + signal.SIGTERM
    return _GO_ON.substitute(stopped=Stopped.STATUS, usr1=usr1, term=term, job=own)


def _copied(store: Path, scratch: str) -> str:
    """Give the path of a copy in shell syntax; variables in it are replaced on the node."""
    return f'"{_BEYOND_VARIABLES.sub(_escaped, scratch)}"/{shlex.quote(store.name)}'


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def _amazon_ml(site: Site) -> str:
    """Give the command: by its name where the site sets up an environment, else the program that is running."""
    # With -P, since files in the current folder may have the names of modules.
    return "amazon-ml" if site.setup else shlex.join([sys.executable, "-P", "-m", "amazon_ml.cli"])
