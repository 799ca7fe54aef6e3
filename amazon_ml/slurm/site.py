"""Settings of a cluster, in one YAML file for all its jobs."""

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
#: Keys whose value is a whole number, and its minimum.
_NUMBERS = {"cpus_per_task": 1, "grace": 1}
#: Forms of `sbatch --time`, without those that are easily misread as minutes.
_TIME = re.compile(r"(?:(\d+)-)?(\d{1,2}):(\d{2}):(\d{2})")
#: Categories of Unicode that end lines, are invisible, or cannot be written: controls, line separators, surrogates.
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}
#: Slurm may send a signal up to this many seconds early, as the manual of sbatch says.
_EARLY = 60


@dataclass(frozen=True)
class Site:
    """Settings of a cluster; where one is not given, the cluster has its own default.

    Parameters
    ----------
    account
        Account that is charged.
    partition
        Queue of the jobs.
    time
        Longest time of a job, as ``HH:MM:SS`` or ``D-HH:MM:SS``. Training that is not done by then is queued again as
        the same job.
    memory
        Memory of a node, such as ``64G``.
    cpus_per_task
        Cores of each process.
    grace
        Seconds before the end of the time at which training gets a signal to save its state.
    modules
        Modules to load.
    setup
        Lines of shell that run before the work, and put ``amazon-ml`` on the PATH, such as those that activate an
        environment. Where one fails, the job ends.
    scratch
        Folder on a disk of the node, such as ``$TMPDIR``, to which the packed store is copied.
    sbatch
        Further options of sbatch, each as one text, such as ``--constraint=a100``.
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
    """Read a site file; without one, the cluster has its own defaults.

    Raises
    ------
    InputError
        Where the file does not exist or is not YAML, and where a key or its value is not valid.
    """
    if path is None:
        return Site()
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise InputError("the file must hold keys and values, such as 'partition: gpu'", file=path)
    return Site(**{key: value for key, value in content.items() if _checked(path, key, value) is not None})


def check_text(value: object, name: str, file: Path | None = None) -> None:
    """Check that a value has no line break: the rest of it would be another option of the script, or a command.

    Parameters
    ----------
    value
        Text or path for a script.
    name
        Name of its option or key, for the message.
    file
        Site file of the value, for the message.

    Raises
    ------
    InputError
        For line breaks, other control characters, and names of files that are not UTF-8.
    """
    odd = next((sign for sign in str(value) if unicodedata.category(sign) in _NO_TEXT), None)
    if odd is not None:
        raise InputError(
            f"{name}: {str(value)!r} holds {odd!r}; line breaks and other control characters cannot be part of a job "
            "script",
            file=file,
            remedy="use another name",
        )


def check_site(site: Site, file: Path | None = None) -> None:
    """Check all values of a site with `check_text`; `file` is named in the message."""
    for each in fields(Site):
        value = getattr(site, each.name)
        for text in value if isinstance(value, list) else [value]:
            shown = text.replace("\t", " ") if each.name == "setup" else text  # a tab is allowed in shell
            check_text(shown, each.name if file else f"site: {each.name}", file)


def check_time(time: str | None, file: Path | None = None) -> None:
    """Check the form of a time, which Slurm might read as something else; it is an option, or stands in a file."""
    if time is not None and not _TIME.fullmatch(time):
        name = "time" if file else "`time`"
        raise InputError(f"{name}: {time} is no time", file=file, option="time", remedy="write HH:MM:SS or D-HH:MM:SS")


def check_grace(site: Site) -> None:
    """Check that a job has time to train: it would get the signal at once, and be queued again, without end."""
    if site.time is None or not (match := _TIME.fullmatch(site.time)):
        return
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if ((days * 24 + hours) * 60 + minutes) * 60 + seconds <= site.grace + _EARLY:
        raise InputError(
            f"a job of {site.time} has no time to train: it gets a signal to stop {site.grace} s before its end (grace "
            f"of the site), or up to {_EARLY} s earlier",
            option="time",
            remedy="give it a longer `time`",
        )


def _checked(path: Path, key: Any, value: Any) -> Any:
    known = [each.name for each in fields(Site)]
    if key not in known:
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise InputError(f"there is no key {key!r}", file=path, option=str(key), remedy=hint)
    if value is None:
        return None
    if key in _LINES:
        fits, wanted = isinstance(value, list) and all(isinstance(line, str) for line in value), "a list of texts"
    elif key in _NUMBERS:
        fits = type(value) is int and value >= _NUMBERS[key]
        wanted = f"a whole number, at least {_NUMBERS[key]}"
    else:
        fits, wanted = isinstance(value, str), "text; put it in quotes"
    if not fits:
        raise InputError(f"{key} is {value!r}, but must be {wanted}", file=path, option=key)
    if key == "time":
        check_time(value, path)
    if key == "sbatch" and not all(line.startswith("-") for line in value):
        raise InputError(
            f"sbatch is {value!r}, but options begin with a dash, such as --constraint=a100", file=path, option=key
        )
    return value
