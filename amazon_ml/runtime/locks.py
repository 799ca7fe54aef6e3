"""Locks between processes: files that one process holds at a time, and that fall with it however it ends.

A lock file is opened, never written: whatever lies under its name keeps its content. A link, a pipe or a folder
under that name is refused. (The package filelock does the same, but it polls, falls back to files without a lock,
and holds on in forked processes.)
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

#: Neither empties a file nor follows a link nor waits for the other end of a pipe. NFS needs writing for a lock.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: What opening says of something that is no regular file: a link, a folder, a socket, a device.
_NO_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV}


@contextmanager
def locked(path: Path, busy: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file for this process; the lock falls with the process, however it ends.

    Parameters
    ----------
    path
        The lock file.
    busy
        The message when another process holds it.
    wait
        Whether to wait until it is free.

    Raises
    ------
    WorkError
        When the file cannot be made, or the file system knows no locks.
    InputError
        When something other than a file has that name; with the message `busy`, when another process holds it and
        `wait` is false.
    """
    lock = _open(path)
    try:
        if not _take(lock, path):
            if not wait:
                raise InputError(busy)
            log.info(busy)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        _close(lock)


def is_locked(path: Path) -> bool:
    """Whether a process, this one or another, holds a lock file."""
    if not os.path.lexists(path):
        return False
    lock = _open(path)
    try:
        return not _take(lock, path)
    finally:
        _close(lock)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, _FLAGS, 0o666)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _refused(path) from None
        raise WorkError(f"cannot write to {path.parent}: {error.strerror}") from error
    _opened.add(lock)
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        _close(lock)
        raise _refused(path)
    return lock


def _close(lock: int) -> None:
    if lock in _opened:  # a forked process has let go of it
        _opened.discard(lock)
        os.close(lock)


def _refused(path: Path) -> InputError:
    return InputError(f"{path} is to be a lock file, and is a link or no regular file; remove it")


def _take(lock: int, path: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise WorkError(f"cannot lock {path}: {error.strerror}; use another file system") from error
    return True


#: Descriptors of the lock files that this process has open.
_opened: set[int] = set()


def _drop_locks() -> None:
    """Let go of them in a forked process, which would hold them for as long as it outlives this one."""
    for lock in _opened:
        os.close(lock)
    _opened.clear()


os.register_at_fork(after_in_child=_drop_locks)
