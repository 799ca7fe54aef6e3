"""What is particular to a cluster, in one YAML file that all its jobs share."""

import difflib
import re
import unicodedata
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.runtime.yaml_files import read_yaml

#: Keys whose value is a list of lines.
_LINES = ("modules", "setup", "sbatch")
#: Keys whose value is a whole number, and the least of it.
_NUMBERS = {"cpus_per_task": 1, "grace": 1}
#: What `sbatch --time` takes, without the forms that are easily mistaken for minutes.
_TIME = re.compile(r"(?:(\d+)-)?(\d{1,2}):(\d{2}):(\d{2})")
#: Categories of Unicode that end lines, are not seen, or cannot be written: controls, separators of lines, surrogates.
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}
#: How many seconds too early Slurm may be with a signal, as sbatch's manual says.
_EARLY = 60


@dataclass(frozen=True)
class Site:
    """How jobs are run here; what is not given is left to the cluster.

    Parameters
    ----------
    account
        The account that is charged.
    partition
        Where jobs queue.
    time
        The longest a job may run, as ``HH:MM:SS`` or ``D-HH:MM:SS``. Training that is not done by then goes
        on in the same job, queued again.
    memory
        Memory of a node, such as ``64G``.
    cpus_per_task
        Cores of each process.
    grace
        Seconds that training has to save itself, before the time is over.
    modules
        Modules to load.
    setup
        Lines of shell that come before the work, and put ``amazon-ml`` on the PATH, such as those that activate an
        environment. One that fails ends the job.
    scratch
        Folder on a disk of the node itself, such as ``$TMPDIR``, that the packed store is copied to.
    sbatch
        Further options of sbatch, one each, such as ``--constraint=a100``.
    """

    account: str | None = None
    partition: str | None = None
    time: str | None = None
    memory: str | None = None
    cpus_per_task: int | None = None
    grace: int = 120
    modules: list[str] = field(default_factory=list)
    setup: list[str] = field(default_factory=list)
    scratch: str | None = None
    sbatch: list[str] = field(default_factory=list)


def read_site(path: Path | None) -> Site:
    """Read a site file; without one, everything is left to the cluster.

    Raises
    ------
    InputError
        Where the file is not there or not YAML, and where a key or its value is none that is known.
    """
    if path is None:
        return Site()
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold keys and values, such as 'partition: gpu'")
    return Site(**{key: value for key, value in content.items() if _checked(path, key, value) is not None})


def check_text(value: object, name: str) -> None:
    """Refuse what would end a line of a script: the rest of it would be another option, or a command.

    Parameters
    ----------
    value
        What is written into a script: text, or a path.
    name
        The option or the key that it comes from, for the message.

    Raises
    ------
    InputError
        For line breaks, other control characters, and names of files that are not UTF-8.
    """
    odd = next((sign for sign in str(value) if unicodedata.category(sign) in _NO_TEXT), None)
    if odd is not None:
        raise InputError(
            f"{name}: {str(value)!r} holds {odd!r}; line breaks and other control characters cannot be part of a job "
            "script: use another name"
        )


def check_site(site: Site, source: str) -> None:
    """Refuse values that `check_text` refuses, wherever they are from."""
    for each in fields(Site):
        value = getattr(site, each.name)
        for text in value if isinstance(value, list) else [value]:
            shown = text.replace("\t", " ") if each.name == "setup" else text  # which is shell in any case
            check_text(shown, f"{source}{each.name}")


def check_time(time: str | None, told: str) -> None:
    """Refuse a time that Slurm would read as something else."""
    if time is not None and not _TIME.fullmatch(time):
        raise InputError(f"{told}: {time} is no time; write HH:MM:SS or D-HH:MM:SS")


def check_grace(site: Site) -> None:
    """Refuse a time that leaves none to train: the job would be told to stop, and queued again, for ever."""
    if site.time is None or not (match := _TIME.fullmatch(site.time)):
        return
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if ((days * 24 + hours) * 60 + minutes) * 60 + seconds <= site.grace + _EARLY:
        raise InputError(
            f"a job of {site.time} has no time to train: it is told to stop {site.grace} s before its end (grace of "
            f"the site), or up to {_EARLY} s earlier; give it a longer `time`"
        )


def _checked(path: Path, key: Any, value: Any) -> Any:
    known = [each.name for each in fields(Site)]
    if key not in known:
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise InputError(f"{path} has a key {key!r}; {hint}")
    if value is None:
        return None
    if key in _LINES:
        fits, wanted = isinstance(value, list) and all(isinstance(line, str) for line in value), "a list of texts"
    elif key in _NUMBERS:
        fits = type(value) is int and value >= _NUMBERS[key]
        wanted = f"a whole number, {_NUMBERS[key]} at least"
    else:
        fits, wanted = isinstance(value, str), "text; put it in quotes"
    if not fits:
        raise InputError(f"{path}: {key} is {value!r}, but must be {wanted}")
    if key == "time":
        check_time(value, str(path))
    if key == "sbatch" and not all(line.startswith("-") for line in value):
        raise InputError(f"{path}: sbatch is {value!r}, but options begin with a dash, such as --constraint=a100")
    return value
