"""Reading of regular files only: a FIFO, a socket, a device or a folder in the place of a file is refused at once."""

import errno
import os
import stat
from pathlib import Path

from amazon_ml.errors import InputError

#: What a file system can hold in the place of a regular file: the test of `stat` for it, and its name in messages.
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular(mode: int) -> str:
    """Name what a mode of `os.stat` stands for; ``""`` for a regular file."""
    if stat.S_ISREG(mode):
        return ""
    return next((name for test, name in _KINDS if test(mode)), "a special file")


def check_regular(path: Path) -> None:
    """Refuse a path that leads to anything but a regular file, before a reader opens it and waits for ever.

    A path that leads to nothing is left to the reader, whose message says what is missing.

    Raises
    ------
    InputError
        Where the path, or the link there, leads to a folder, a FIFO, a socket or a device.
    """
    try:
        kind = irregular(os.stat(path).st_mode)  # noqa: PTH116 (for each of 100,000 tiles)
    except (OSError, ValueError):
        return
    if kind:
        raise InputError(f"cannot read {path}: it is {kind}, not a regular file")


def cannot_read(path: Path | str, error: OSError) -> InputError:
    """Make the error for a file that cannot be read."""
    return InputError(f"cannot read the file: {error.strerror}", file=path)


def unopened(path: Path, error: OSError) -> str:
    """Say why a file could not be opened: a link that leads to nothing is named with its target."""
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {path.readlink()}, which is not there; mend the link, or remove it"
    return f"cannot read {path}: {error.strerror}"


def open_regular(path: str | Path) -> int:
    """Open a regular file to read it, and give its descriptor.

    The kind of the file is asked of the descriptor, so that no exchange in between can make the caller wait.

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
        raise InputError(f"cannot read {path}: it is {kind}, not a regular file")
    return descriptor


def read_regular(path: str | Path) -> bytes:
    """Read a regular file whole; raises as `open_regular`."""
    with open(open_regular(path), "rb", buffering=0) as stream:
        return stream.read()
