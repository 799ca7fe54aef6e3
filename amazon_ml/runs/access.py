"""Writing access to a run folder: checks of what lies there, and locks against other processes.

A run owns the names that `Run` and `FoldFolder` give. The run folder may lie behind a link. Its own files and folders
must not be links, since writing to them would change files elsewhere.
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

#: Names of a run's own files and folders, without those of its folds.
OWN = frozenset(
    [getattr(Run(Path()), name).name for name, value in vars(Run).items() if isinstance(value, property)]
    + [".lock", ".submissions.lock", ".loggers.lock", "neighbours.csv", "lr.csv", "lr.png", "slurm", RECORD]
)
#: Files that may lie in the folder of a run before it begins: folds and bands by hand, a sweep of `find lr`.
BEFORE_TRAINING = frozenset({"folds.csv", "neighbours.csv", "bands.json", "lr.csv", "lr.png"})
#: Folders of a run in which all files belong to it.
_INNER = ("bundle", "slurm")
_FOLD = re.compile(r"fold-\d+")


def locked(run: Run, *, wait: bool = False) -> AbstractContextManager[None]:
    """Lock the files that the folds of a run share; the lock ends with the process, however it ends."""
    check_writable(run)
    if wait:
        return locks.locked(run.path / ".lock", f"waiting for another process to release {run.path}", wait=True)
    return locks.locked(run.path / ".lock", _busy(run.path))


def locked_fold(fold: FoldFolder) -> AbstractContextManager[None]:
    """Lock one fold of a run; other processes may lock other folds at the same time."""
    return locks.locked(fold.lock, _busy(fold.path))


def _busy(path: Path) -> str:
    return f"another process is working on {path}; wait for it, or choose another `run`"


def check_writable(run: Run) -> None:
    """Check that no file of a run is a link, a pipe or a device; call it before you write there."""
    check_no_links(_present(run.path))


def check_no_links(paths: Iterable[Path]) -> None:
    """Check that no path is a link, a pipe or a device."""
    for path in paths:
        try:
            kind = stat.S_IFMT(path.lstat().st_mode)
        except FileNotFoundError:  # a temporary file of another process
            continue
        if kind == stat.S_IFLNK:
            raise InputError(
                "this is a link, and nothing is written through links",
                file=path,
                remedy="put a copy in its place, or remove it",
            )
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise InputError("this is neither a file nor a folder", file=path, remedy="remove it")


def _present(folder: Path) -> Iterator[Path]:
    """List existing files of a run, each folder before its content, so that a caller can stop before entering it."""
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
    """Check that a folder holds no other files than those of a run.

    Hidden files, such as a lock or ``.gitkeep``, may be there. A folder that holds a run passes the check.

    Parameters
    ----------
    run
        The run folder, which need not exist.
    before
        Names that may be there before the run begins.
    """
    check_writable(run)  # first, since the configuration is read below
    if os.path.lexists(run.path) and not run.path.is_dir():
        raise InputError(f"`run` {run.path} is no folder", option="run", remedy="choose another")
    foreign = [path.name for path in _entries(run.path) if path.name[0] != "." and path.name not in before]
    if foreign and not is_run(run):  # in this order, since another process may begin the run between the two
        raise InputError(
            f"`run` {run.path} holds {listed(foreign)}, and is no run",
            option="run",
            remedy="choose a new or an empty folder",
        )


def is_run(run: Run) -> bool:
    """Whether a folder holds a run or a blend; an `InputError` where its config.yaml is not that of a run."""
    blend = run.blend.exists() and _is_blend(read_json(run.blend))  # it is written before config.yaml
    if run.config.exists():
        try:
            run.read_config(checked=False)
        except InputError as error:
            raise error.advise("choose another `run`") from None
        return True
    return blend or is_recorded(run.config)


def _is_blend(content: object) -> bool:
    return isinstance(content, dict) and {"how", "members", "parameters"} <= content.keys()


def own_paths(run: Run) -> list[Path]:
    """List the paths that no output may replace, for `check_outputs`.

    These are the files of a run, whether they exist or not, its own folders, and the tables that it was trained from.
    """
    folds = [path for path in _entries(run.path) if _FOLD.fullmatch(path.name)]
    return [*(run.path / name for name in OWN), *folds, *_tables(run)]


def _tables(run: Run) -> list[Path]:
    try:
        data = run.read_config(checked=False).data
        return tables_of(Path(data.root), data)
    except InputError:  # its reader reports why the run cannot be read
        return []
