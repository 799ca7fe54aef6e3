"""Files that are either whole or not there: written under a temporary name, then renamed. Locks on folders."""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from amazon_ml.errors import InputError, WorkError
from amazon_ml.regular import check_regular

log = logging.getLogger(__name__)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without an error it replaces `path`.

    Raises
    ------
    WorkError
        When the folder cannot be written to, or the disk is full; `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # not there, or no folder that it could be in
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole, indented; what JSON lacks (NaN, infinity) is refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is an `InputError` that names it, and so are NaN and infinity."""
    check_regular(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise InputError(f"there is no {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{path} is not JSON that anything of ours writes: it is nested too deep") from None


def _no_number(name: str) -> None:
    raise ValueError(f"it has no number {name}")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole, as Parquet or CSV after the ending of `path`."""
    with written_whole(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    check_regular(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def locked(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file for this process; the lock falls with the process, however it ends.

    Parameters
    ----------
    path
        The lock file.
    busy
        What is told when another process holds it.
    wait
        Whether to wait until it is free.

    Raises
    ------
    WorkError
        When the file cannot be made, or the file system knows no locks.
    InputError
        With the message `busy`, when another process holds it and `wait` is false.
    """
    check_regular(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise WorkError(f"cannot write to {path.parent}: {error.strerror}") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise InputError(busy) from None
            log.info(busy)
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            raise WorkError(f"cannot lock {path}: {error.strerror}; use another file system") from error
        _locks.add(stream)
        try:
            yield
        finally:
            _locks.remove(stream)


_locks: set[TextIO] = set()


def _drop_locks() -> None:
    """Let go of them in a forked process, which would hold them for as long as it outlives this one."""
    for stream in _locks:
        stream.close()
    _locks.clear()


os.register_at_fork(after_in_child=_drop_locks)


def is_locked(path: Path) -> bool:
    """Whether a process, this one or another, holds a lock file."""
    if not path.exists():
        return False
    try:
        with locked(path, "held"):
            return False
    except InputError:
        return True
