"""Access to a run folder for writing: what is refused there, and the locks that keep two processes apart.

A run owns the names that `Run` and `FoldFolder` give. It may itself lie under a link; below it, nothing of its own
may be one, since writing would reach files elsewhere.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from amazon_ml.data.catalog.nearby import tables_of
from amazon_ml.errors import InputError, listed
from amazon_ml.runs.folder import FoldFolder, Run
from amazon_ml.runs.hashes import RECORD, is_recorded
from amazon_ml.runtime import locks
from amazon_ml.runtime.files import read_json

#: Names of a run's own files and folders, beside those of its folds.
OWN = frozenset(
    [getattr(Run(Path()), name).name for name, value in vars(Run).items() if isinstance(value, property)]
    + [".lock", ".submissions.lock", "neighbours.csv", "lr.csv", "lr.png", "slurm", RECORD]
)
#: What may lie in the folder of a run before it begins: folds and bands that somebody made, a sweep of `find lr`.
BEFORE_TRAINING = frozenset({"folds.csv", "neighbours.csv", "bands.json", "lr.csv", "lr.png"})
#: Folders of a run in which everything is its own.
_INNER = ("bundle", "slurm")
_FOLD = re.compile(r"fold-\d+")


def locked(run: Run, *, wait: bool = False) -> AbstractContextManager[None]:
    """Hold what the folds of a run share for this process; the lock falls with the process, however it ends."""
    check_writable(run)
    if wait:
        return locks.locked(run.path / ".lock", f"waiting for another process to let go of {run.path}", wait=True)
    return locks.locked(run.path / ".lock", _busy(run.path))


def locked_fold(fold: FoldFolder) -> AbstractContextManager[None]:
    """Hold one fold of a run for this process, beside others that hold other folds."""
    return locks.locked(fold.lock, _busy(fold.path))


def _busy(path: Path) -> str:
    return f"another process is working on {path}; wait for it, or choose another `run`"


def check_writable(run: Run) -> None:
    """Refuse a run in which something of its own is a link, a pipe or a device; call it before writing there."""
    check_no_links(_present(run.path))


def check_no_links(paths: Iterable[Path]) -> None:
    """Refuse paths that are links, pipes or devices, as soon as one is met."""
    for path in paths:
        try:
            kind = stat.S_IFMT(path.lstat().st_mode)
        except FileNotFoundError:  # a temporary file of a process at work
            continue
        if kind == stat.S_IFLNK:
            raise InputError(f"{path} is a link; nothing is written through it: put a copy in its place, or remove it")
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{path} is neither a file nor a folder; remove it")


def _present(folder: Path) -> Iterator[Path]:
    """List what is there of a run's own, a folder before what it holds; what a caller refuses is not entered."""
    for path in _entries(folder):
        if path.name in OWN or _FOLD.fullmatch(path.name):
            yield path
            if path.name in _INNER:
                yield from _entries(path)
            elif _FOLD.fullmatch(path.name):
                yield from _entries(path)
                yield from _entries(path / "checkpoints")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def check_run_folder(run: Run, before: Collection[str] = ()) -> None:
    """Refuse to make a run in a folder that holds something else.

    Hidden files, such as a lock or ``.gitkeep``, may be there. A folder with a run in it is left to the caller.

    Parameters
    ----------
    run
        Where the run is to be.
    before
        Names that may be there before the run begins.
    """
    check_writable(run)  # first, since a configuration is read here
    if os.path.lexists(run.path) and not run.path.is_dir():
        raise InputError(f"`run` {run.path} is no folder; choose another")
    foreign = [path.name for path in _entries(run.path) if path.name[0] != "." and path.name not in before]
    if foreign and not is_run(run):  # in this order, since another process may be about to begin the run
        raise InputError(f"`run` {run.path} holds {listed(foreign)}, and is no run; choose a new or an empty folder")


def is_run(run: Run) -> bool:
    """Whether a folder holds a run or a blend, begun at least; an `InputError` where its config.yaml is another's."""
    blend = run.blend.exists() and _is_blend(read_json(run.blend))  # it is written before config.yaml
    if run.config.exists():
        try:
            run.read_config(checked=False)
        except InputError as error:
            raise InputError(f"{error}; choose another `run`") from None
        return True
    return blend or is_recorded(run.config)


def _is_blend(content: object) -> bool:
    return isinstance(content, dict) and {"how", "members", "parameters"} <= content.keys()


def own_paths(run: Run) -> list[Path]:
    """List what no output may replace, for `check_outputs`.

    These are the files of a run, there or not, the folders in which all is its own, and the tables it was trained from.
    """
    folds = [path for path in _entries(run.path) if _FOLD.fullmatch(path.name)]
    return [*(run.path / name for name in OWN), *folds, *_tables(run)]


def _tables(run: Run) -> list[Path]:
    try:
        data = run.read_config(checked=False).data
        return tables_of(Path(data.root), data)
    except InputError:  # a run that cannot be read is refused by its reader
        return []
