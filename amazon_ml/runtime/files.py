"""Files that are either whole or not there: written under a temporary name, then renamed."""

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.regular_files import check_regular


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without an error it replaces `path`.

    The temporary file is new and empty, under a name that nobody can guess. A link in the place of `path` is
    replaced; what it points to is not touched.

    Raises
    ------
    WorkError
        When the folder cannot be written to, or the disk is full; `path` is then as it was.
    InputError
        When `path` is a device, a pipe or a socket.
    """
    temporary, lock = None, -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(path)
        clear_leftovers(path)
        temporary, lock = _new_beside(path)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # it has its name by now
                temporary.unlink()
            os.close(lock)


def _check_replaceable(path: Path) -> None:
    if os.path.lexists(path):
        kind = stat.S_IFMT(path.lstat().st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):  # a folder cannot be replaced anyway
            raise InputError(f"{path} is no regular file; name another one")


def _new_beside(path: Path) -> tuple[Path, int]:
    """Make a temporary file, and lock it, so that others see that a process is at work on it."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks: a leftover stays there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else another process took it for a leftover before it was locked
            return temporary, handle
        os.close(handle)


def clear_leftovers(path: Path) -> None:
    """Remove temporary files of the same target whose process was killed: nobody holds their lock any more."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.part")
    with suppress(OSError):  # the folder cannot be listed, or another process removed the file
        for name in os.listdir(path.parent):  # noqa: PTH208 (names alone, of folders with many tiles)
            if ours.fullmatch(name):
                _remove_unlocked(path.with_name(name))


def _remove_unlocked(leftover: Path) -> None:
    with suppress(OSError):  # a link, or a process is at work on it
        handle = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with atomic_write(path) as temporary:
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
    with atomic_write(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    check_regular(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
