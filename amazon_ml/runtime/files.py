"""Writes files atomically, under a temporary name that is then renamed; reads JSON; hashes files."""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.regular_files import cannot_read, check_regular, no_file


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; at the end without an error it replaces `path`.

    The temporary file is new and empty, with a name that cannot be guessed. If `path` is a link, the link is replaced,
    and its target is not changed.

    Raises
    ------
    WorkError
        If the folder cannot be written to, or the disk is full; `path` is then unchanged.
    InputError
        If `path` is a device, a pipe or a socket.
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
            with suppress(OSError):  # it was renamed
                temporary.unlink()
            os.close(lock)


def _check_replaceable(path: Path) -> None:
    if os.path.lexists(path):
        kind = stat.S_IFMT(path.lstat().st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):  # a folder cannot be replaced anyway
            raise InputError("this is no regular file", file=path, remedy="name another file")


def _new_beside(path: Path) -> tuple[Path, int]:
    """Make a temporary file, and lock it, so that other processes see that it is in use."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # a file system without locks: leftovers stay there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else another process removed it as a leftover before it was locked
            return temporary, handle
        os.close(handle)


def clear_leftovers(path: Path) -> None:
    """Remove temporary files of the same target whose process was killed: no process holds their lock."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.part")
    with suppress(OSError):  # the folder cannot be listed, or another process removed the file
        for name in os.listdir(path.parent):  # noqa: PTH208 (names alone, of folders with many tiles)
            if ours.fullmatch(name):
                _remove_unlocked(path.with_name(name))


def _remove_unlocked(leftover: Path) -> None:
    with suppress(OSError):  # a link, or a process uses it
        handle = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically; NaN and infinity, which JSON lacks, are errors."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; an `InputError` if the file is missing or broken, or holds NaN or infinity."""
    check_regular(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise no_file(path) from None
    except OSError as error:
        raise cannot_read(path, error) from None
    except (ValueError, RecursionError) as error:
        raise no_json(path, error) from None


def no_json(path: Path, error: ValueError | RecursionError) -> InputError:
    """Say why the content of a file is not JSON, by the error of Python's parser, with the line if it has one."""
    if isinstance(error, RecursionError):
        return InputError("the JSON is nested too deep", file=path)
    if isinstance(error, UnicodeDecodeError):
        problem = f"the file is not UTF-8: byte {error.start} is {error.object[error.start]:#x}"
        return InputError(problem, file=path, remedy="save it as JSON in UTF-8")
    if isinstance(error, json.JSONDecodeError):
        problem = f"the file is not JSON: {error.msg} (column {error.colno})"
        return InputError(problem, file=path, line=error.lineno)
    return InputError(f"the file is not JSON: {error}", file=path)


def _no_number(name: str) -> None:
    raise ValueError(f"there is no number {name}")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table atomically, as Parquet or CSV by the ending of `path`."""
    with atomic_write(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of the bytes of a file."""
    check_regular(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Link a file that is never changed in place to a second name, or copy it where the disk has no links."""
    with atomic_write(target) as temporary:
        temporary.unlink()  # a link needs a free name
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
