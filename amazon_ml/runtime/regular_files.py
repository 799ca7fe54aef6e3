"""Reads regular files only: a FIFO, a socket, a device or a folder in the place of a file is an error at once."""

import errno
import os
import stat
from pathlib import Path

from amazon_ml.errors import InputError

#: Kinds of files that are not regular: the test of `stat`, and the name in messages.
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular(mode: int) -> str:
    """Name the kind of file of a mode of `os.stat`; ``""`` for a regular file."""
    if stat.S_ISREG(mode):
        return ""
    return next((name for test, name in _KINDS if test(mode)), "a special file")


def check_regular(path: Path) -> None:
    """Check that a path leads to a regular file, before a reader opens it and waits forever.

    A missing file is not an error here: the reader reports it.

    Raises
    ------
    InputError
        If the path, or the link there, leads to a folder, a FIFO, a socket or a device.
    """
    try:
        kind = irregular(os.stat(path).st_mode)  # noqa: PTH116 (for each of 100,000 tiles)
    except (OSError, ValueError):
        return
    if kind:
        raise _not_regular(path, kind)


def _not_regular(path: str | Path, kind: str) -> InputError:
    return InputError(f"cannot read the file: it is {kind}, not a regular file", file=path)


def no_file(path: str | Path) -> InputError:
    """Make the error for a file that does not exist."""
    return InputError("there is no such file", file=path)


def cannot_read(path: str | Path, error: OSError) -> InputError:
    """Make the error for a file that cannot be read; for a broken link, it names the target."""
    file = Path(path)
    if file.is_symlink() and not file.exists():
        problem = f"this is a link to {file.readlink()}, which does not exist"
        return InputError(problem, file=path, remedy="correct the link, or remove it")
    return InputError(f"cannot read the file: {error.strerror}", file=path)


def open_regular(path: str | Path) -> int:
    """Open a regular file for reading, and return its descriptor.

    The kind of the file is read from the descriptor, so that a file that is replaced meanwhile cannot make the caller
    wait.

    Raises
    ------
    InputError
        As `check_regular`.
    OSError
        As `os.open`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, or a device without a driver
            check_regular(Path(path))
        raise
    kind = irregular(os.fstat(descriptor).st_mode)
    if kind:
        os.close(descriptor)
        raise _not_regular(path, kind)
    return descriptor


def read_regular(path: str | Path) -> bytes:
    """Read a whole regular file; raises as `open_regular`."""
    with open(open_regular(path), "rb", buffering=0) as stream:
        return stream.read()
