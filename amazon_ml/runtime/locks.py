"""Locks between processes: files that one process holds at a time; the lock ends with the process in every case.

A lock file is opened, never written, so an existing file keeps its contents. A link, a pipe or a folder of that name
is an error. (The package filelock does the same, but it polls, falls back to files without a lock, and keeps the lock
in forked processes.)
"""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amazon_ml.errors import InputError, WorkError

log = logging.getLogger(__name__)

#: Flags that do not empty a file, follow a link, or wait for the other end of a pipe. NFS locks only writable files.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Errors of opening something that is no regular file: a link, a folder, a socket, a device.
_NO_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV}


@contextmanager
def locked(path: Path, busy: str, *, wait: bool = False, shared: bool = False) -> Iterator[None]:
    """Hold a lock file for this process; the lock ends with the process in every case.

    Parameters
    ----------
    path
        The lock file.
    busy
        The message if another process holds it.
    wait
        Whether to wait until it is free.
    shared
        Whether other processes may hold it, too, if they share it as well.

    Raises
    ------
    WorkError
        If the file cannot be made, or the file system has no locks.
    InputError
        If something other than a file has that name; with the message `busy`, if another process holds it and `wait`
        is false.
    """
    lock, kind = _open(path), fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        if not _take(lock, path, kind):
            if not wait:
                raise InputError(busy)
            log.info(busy)
            fcntl.flock(lock, kind)
        yield
    finally:
        _close(lock)


def is_locked(path: Path) -> bool:
    """Whether a process, this one or another, holds a lock file."""
    if not os.path.lexists(path):
        return False
    lock = _open(path)
    try:
        return not _take(lock, path, fcntl.LOCK_EX)
    finally:
        _close(lock)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, _FLAGS, 0o666)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _no_lock_file(path) from None
        raise WorkError(f"cannot write to {path.parent}: {error.strerror}") from error
    _opened.add(lock)
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        _close(lock)
        raise _no_lock_file(path)
    return lock


def _close(lock: int) -> None:
    if lock in _opened:  # a forked process has closed it
        _opened.discard(lock)
        os.close(lock)


def _no_lock_file(path: Path) -> InputError:
    return InputError("a lock file must be a regular file, but this is a link or something else", file=path,
                      remedy="remove it")  # fmt: skip


def _take(lock: int, path: Path, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise WorkError(f"cannot lock {path}: {error.strerror}; use another file system") from error
    return True


#: Descriptors of the lock files that this process has open.
_opened: set[int] = set()


def _drop_locks() -> None:
    """Close the locks in a forked process, which would otherwise hold them after the end of this one."""
    for lock in _opened:
        os.close(lock)
    _opened.clear()


os.register_at_fork(after_in_child=_drop_locks)
