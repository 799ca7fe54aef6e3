"""Hashes of the files that later steps of a run depend on: recorded when a file is written, checked when it is read.

Each folder of a run has its own ``hashes.json``, since several processes write fold folders at the same time::

    {"format": 1, "task": "…", "files": {"oof.parquet": [{"sha256": "…", "made_of": {"folds.csv": "…"}}]}}

A file has two entries while it is replaced: first the new hash is recorded, then the file gets its name, then the
former entry is removed. Whenever a process is killed, the hash of the file that it leaves is recorded.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.runs.config_file import hash_config, read_config
from amazon_ml.runs.hash_remedies import remake, remedy_for
from amazon_ml.runtime.files import atomic_write, read_json, sha256_of

RECORD = "hashes.json"
_FORMAT = 1

#: A file of this size in bytes, or more, is hashed only once in a process.
_LARGE = 2**20

#: In place of the hash of a file that the run is making, see `made_by_run`.
_COMING = ""


class ChangedError(InputError):
    """A file of a run is not as the run wrote it."""


@dataclass(frozen=True)
class Entry:
    """The record of a file.

    Parameters
    ----------
    sha256
        Hash of its content.
    made_of
        Hashes of the files that it was made of, by their paths relative to its folder.
    by_run
        Of a file that a person may write before training: whether the run made it. False where that is not known.
    """

    sha256: str
    made_of: dict[str, str] = field(default_factory=dict)
    by_run: bool = False


@dataclass(frozen=True)
class Record:
    """The content of a ``hashes.json``.

    Parameters
    ----------
    files
        Entries by file name; two while the file is replaced.
    task
        In the folder of a fold: the task that it is trained for, see `task_of`.
    """

    files: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    task: str | None = None


def hash_file(path: Path, name: str | None = None) -> str:
    """Hash a file of a run; in ``config.yaml``, only the options that may not change.

    Parameters
    ----------
    path
        The file.
    name
        Its final name, where `path` is a temporary one.
    """
    if (name or path.name) == "config.yaml":
        return hash_config(read_config(path))
    try:
        about = path.stat()
        if about.st_size < _LARGE:
            return sha256_of(path)
        return _hash_once(path, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", file=path) from None


@lru_cache(maxsize=256)
def _hash_once(path: Path, *state: int) -> str:
    """Hash a large file once in a process, as long as it does not change: several files may be made of it."""
    return sha256_of(path)


# ---------------------------------------------------------------- writing


@contextmanager
def recorded(path: Path, made_of: Iterable[Path] = ()) -> Iterator[Path]:
    """Give a temporary path in the same folder; at the end, its hash is recorded and it replaces `path`.

    The caller holds the lock of the folder.

    Parameters
    ----------
    path
        File of a run or of a fold.
    made_of
        Files that its content is computed from; missing ones are skipped.
    """
    with atomic_write(path) as temporary:
        yield temporary
        entry = Entry(hash_file(temporary, path.name), _hash_sources(path, made_of))
        _put(path, (*_of(_load(path.parent), path.name), entry))
    _put(path, (entry,))


def record_copy(path: Path, copy: Path, made_of: Iterable[Path] = ()) -> None:
    """Record a file that lies elsewhere, and is made as a file of the run would be; see `is_copy`.

    Copies that were made of former sources are forgotten. The caller holds the lock of the folder.
    """
    place, entry = _copies_of(path), Entry(sha256_of(copy), _hash_sources(path, made_of))
    same = [one for one in _of(_load(path.parent), place.name) if one.made_of == entry.made_of and one != entry]
    _put(place, (*same, entry))


def is_copy(path: Path, sha256: str) -> bool:
    """Whether a hash is that of a copy which was recorded for a file, and made of the present sources."""
    copies = _copies_of(path)
    return has_hash(copies, sha256) and not changed_sources(copies)


def _copies_of(path: Path) -> Path:
    """Give the name that the copies of a file are recorded under; no such file exists."""
    return path.with_name(f"{path.name} elsewhere")


def adopt(path: Path) -> None:
    """Record a file as it is, whoever wrote it; the hashes of its sources stay as recorded."""
    former = _of(_load(path.parent), path.name)
    _put(path, (Entry(hash_file(path), former[-1].made_of if former else {}, is_made_by_run(path)),))


@contextmanager
def made_by_run(*paths: Path) -> Iterator[None]:
    """Record those of some files that are made within the block as made by the run, not by a person.

    Where the process is killed within the block, files that it leaves count as made by the run, too.
    """
    new = [path for path in paths if not path.exists()]
    for path in new:
        _put(path, (Entry(_COMING, by_run=True),))
    try:
        yield
    finally:
        for path in new:
            if path.is_file():
                adopt(path)
            else:
                remove(path)


def is_made_by_run(path: Path) -> bool:
    """Whether the run made a file that a person may write before training, and nobody changed it since then."""
    made = [entry.sha256 for entry in _of(_load(path.parent), path.name) if entry.by_run]
    return bool(made) and path.is_file() and (_COMING in made or hash_file(path) in made)


def remove(path: Path) -> None:
    """Remove a file and its record, so that a file of that name by somebody else is not taken for it."""
    path.unlink(missing_ok=True)
    record = _load(path.parent)
    _write(path.parent, Record({name: one for name, one in record.files.items() if name != path.name}, record.task))


def bind(folder: Path, task: str) -> None:
    """Record the task that a fold is trained for."""
    record = _load(folder)
    if record.task != task:
        _write(folder, Record(record.files, task))


def write_text(path: Path, text: str, made_of: Iterable[Path] = ()) -> None:
    """Write a text file of a run and record its hash."""
    with recorded(path, made_of) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any, made_of: Iterable[Path] = ()) -> None:
    """Write JSON of a run and record its hash."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n", made_of)


def write_table(path: Path, table: pd.DataFrame, made_of: Iterable[Path] = ()) -> None:
    """Write a table of a run, Parquet or CSV, and record its hash."""
    with recorded(path, made_of) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


# ---------------------------------------------------------------- reading


def check_recorded(path: Path, *, sources: bool = True) -> None:
    """Check that a file is as the run wrote it; a missing file passes, and its reader reports it.

    Parameters
    ----------
    path
        File of a run or of a fold.
    sources
        Check also that the files that it was made of are still the same, and the sources of these.

    Raises
    ------
    ChangedError
        Where its hash differs or is not recorded, and where a file that it was made of has changed.
    """
    if not path.is_file():
        return
    entry = _matching(path) or _matching(path)  # twice: another process may have replaced it in between
    if entry is None:
        raise ChangedError(
            "the file is not as the run wrote it: its SHA-256 differs", file=path, remedy=remedy_for(path)
        )
    if sources:
        _check_sources(path, entry, set())


def _check_sources(path: Path, entry: Entry, seen: set[Path]) -> None:
    """Check the sources of a file, and first the sources of these: the message names the first step to repeat."""
    seen.add(path)
    sources = {Path(os.path.normpath(path.parent / name)): sha256 for name, sha256 in entry.made_of.items()}
    for source, sha256 in sources.items():
        if source not in seen and source.is_file():
            made = next((one for one in _of(_load(source.parent), source.name) if one.sha256 == sha256), None)
            _check_sources(source, made or Entry(sha256), seen)
    for source, sha256 in sources.items():
        if source.is_file() and hash_file(source) != sha256:
            raise ChangedError(f"the file was made of another {source}", file=path, remedy=remake(path))


def is_unchanged(path: Path) -> bool:
    """Whether a file exists, is as the run wrote it, and was made of the present files."""
    try:
        check_recorded(path)
    except ChangedError:
        return False
    return path.is_file()


def changed_sources(path: Path) -> list[Path]:
    """List the files that have changed since a file was made of them; none where no sources of it are recorded.

    The file itself may have been edited since then.
    """
    entries = _of(_load(path.parent), path.name)
    made_of = entries[-1].made_of if entries else {}
    sources = {path.parent / name: sha256 for name, sha256 in made_of.items()}
    return [source for source, sha256 in sources.items() if source.is_file() and hash_file(source) != sha256]


def is_recorded(path: Path) -> bool:
    """Whether a hash of a file is recorded, whether it fits the file or not."""
    return bool(_of(_load(path.parent), path.name))


def is_edited(path: Path) -> bool:
    """Whether a file that a run recorded is not as the run wrote it."""
    return is_recorded(path) and path.is_file() and not has_hash(path, hash_file(path))


def has_hash(path: Path, sha256: str) -> bool:
    """Whether a hash is recorded for a file, which may have changed or be missing."""
    return any(entry.sha256 == sha256 for entry in _of(_load(path.parent), path.name))


def check_task(folder: Path, task: str) -> None:
    """Check that a fold was trained for this run: with the same options, tiles and folds.

    Raises
    ------
    ChangedError
        Where it was trained for another run.
    """
    if _read(folder, folder / RECORD).task != task:
        raise ChangedError(
            "the fold was trained for another run: with other options, tiles or folds",
            file=folder,
            remedy="put its own folder back, or delete it and train the fold again",
        )


def read_task(folder: Path) -> str | None:
    """Read the task that a fold is trained for; None where it is not recorded."""
    return _load(folder).task


def read_recorded(path: Path) -> Any:
    """Check and read a JSON file of a run."""
    check_recorded(path)
    return read_json(path)


# ---------------------------------------------------------------- hashes.json


def _matching(path: Path) -> Entry | None:
    entries = _of(_read(path.parent, path), path.name)
    if not entries:
        raise ChangedError(
            f"the file has no hash of {path}, so it is unknown who wrote that",
            file=path.parent / RECORD,
            remedy=remedy_for(path, known=False),
        )
    own = hash_file(path)
    return next((entry for entry in entries if entry.sha256 == own), None)


def _hash_sources(path: Path, made_of: Iterable[Path]) -> dict[str, str]:
    there = [source for source in made_of if source.is_file()]
    return {source.relative_to(path.parent).as_posix(): hash_file(source) for source in there}


def _of(record: Record, name: str) -> tuple[Entry, ...]:
    return record.files.get(name, ())


def _put(path: Path, entries: tuple[Entry, ...]) -> None:
    record = _load(path.parent)
    _write(path.parent, Record({**record.files, path.name: entries}, record.task))


def _write(folder: Path, record: Record) -> None:
    content = {"format": _FORMAT, **asdict(record)}
    with atomic_write(folder / RECORD) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())  # the hash is on the disk before the file that it is of


def _load(folder: Path) -> Record:
    """Read a record in order to write it: a broken one is replaced, and files without a hash have to be accepted."""
    try:
        return _read(folder, folder / RECORD)
    except ChangedError:
        return Record()


def _read(folder: Path, wanted: Path) -> Record:
    file, remedy = folder / RECORD, remedy_for(wanted, known=False)
    if not file.is_file():
        raise ChangedError(
            f"the folder has no {RECORD}, which shows whether {wanted} was changed", file=folder, remedy=remedy
        )
    try:
        content = read_json(file)
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, and this version reads {_FORMAT}")
        task = content["task"]
        if task is not None and not isinstance(task, str):
            raise ValueError("its task is no text")
        return Record({name: tuple(map(_entry, entries)) for name, entries in content["files"].items()}, task)
    except (InputError, LookupError, TypeError, ValueError, AttributeError) as error:
        problem = f"the file does not hold the hashes of a run: {getattr(error, 'problem', error)}"
        raise ChangedError(problem, file=file, line=getattr(error, "line", None), remedy=remedy) from None


def _entry(stored: Any) -> Entry:
    made_of = {str(name): str(sha256) for name, sha256 in stored["made_of"].items()}
    return Entry(str(stored["sha256"]), made_of, stored.get("by_run") is True)
