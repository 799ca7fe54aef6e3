"""Whether a file can be written: tested before the work whose result goes there."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from amazon_ml.errors import InputError, WorkError
from amazon_ml.regular import irregular


def check_outputs(paths: Iterable[Path | None]) -> None:
    """Refuse files that cannot be written, by writing beside them; what stands there is not touched.

    Folders that are not there yet are not made.

    Parameters
    ----------
    paths
        Files to come; None stands for a file that nobody wants.

    Raises
    ------
    InputError
        Where a folder, a device or the like stands in the place of a file.
    WorkError
        Where the folder cannot be written to.
    """
    for path in paths:
        if path is not None:
            _check_output(path)


def _check_output(path: Path) -> None:
    try:
        str(path).encode()  # pyarrow takes no other names
    except UnicodeEncodeError:
        raise InputError(f"cannot write {os.fsencode(path)!r}: the name is not UTF-8; choose another") from None
    try:
        kind = irregular(path.stat().st_mode) if path.exists() else ""
        if kind:
            raise InputError(f"cannot write {path}: it is {kind}; name a file")
        folder = path.absolute().parent
        while not os.path.lexists(folder):
            folder = folder.parent
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}."):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise WorkError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
