"""Checks of files that a user names as outputs, so that no existing file is lost."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.regular_files import irregular

#: Endings of tiles; no table, page or network may replace them. They are those of `amazon_ml.data.readers.images` and
#: of arrays, which this room may not import; a test compares them.
_IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".npy"}


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """Check that outputs may be written; call it before the work.

    Parameters
    ----------
    outputs
        Files to write by the options that name them, such as ``{"json": path}``; ``None`` if one was not given.
    inputs
        Files that are read and must not be replaced, and folders below which no file may be written. ``None`` is
        ignored.
    overwrite
        Whether other existing files may be replaced.

    Raises
    ------
    InputError
        If an output is an input, under any name; if two options name it; if it is an image, a folder or a device; if
        its folder cannot exist; or if it exists, without `overwrite`.
    WorkError
        If a folder cannot be written to.
    """
    kept = [path for path in inputs if path is not None]
    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = _place(path)
        if place in seen:
            raise _wrong(option, path, f"is also the file of `{seen[place]}`")
        seen[place] = option
        _check_parent(option, path, place)
        if any(_is_of(path, place, one) for one in kept):
            raise _wrong(option, path, "is a file that is read, or lies in a folder that is read")
        _check_existing(option, path, overwrite=overwrite)
        check_place(path)


def check_place(path: Path) -> None:
    """Check that a file can be written by writing beside it; an existing file is not changed.

    Missing folders are not made.

    Raises
    ------
    InputError
        If the name is not UTF-8, or a folder, a device or something else has it.
    WorkError
        If the folder cannot be written to.
    """
    try:
        str(path).encode()  # pyarrow accepts no other names
    except UnicodeEncodeError:
        problem = f"cannot write {os.fsencode(path)!r}: the name is not UTF-8"
        raise InputError(problem, file=path, remedy="choose another name") from None
    try:
        kind = irregular(path.stat().st_mode) if path.exists() else ""
        if kind:
            raise InputError(f"cannot write the file: this is {kind}", file=path, remedy="name a file")
        folder = path.absolute().parent
        while not os.path.lexists(folder):
            folder = folder.parent
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}."):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise WorkError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None


def _place(path: Path) -> Path:
    """Return the unique name of a place: its folder without links, and the name of the file."""
    whole = Path(os.path.abspath(path)) if path.name in ("", ".", "..") else path  # noqa: PTH100 (keeps links)
    return _real(whole.parent) / whole.name


def _is_of(path: Path, place: Path, kept: Path) -> bool:
    """Whether an output is an input: the same place, the same file under another name, or a place in its folder."""
    written, held = _real(path), _real(kept)
    if _place(kept) == place or written == held or held in (*written.parents, *place.parents):
        return True
    return path.exists() and kept.exists() and path.samefile(kept)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails on a link to itself


def _wrong(option: str, path: Path, why: str, remedy: str = "name another file") -> InputError:
    return InputError(f"`{option}` {path} {why}", option=option, remedy=remedy)


def _check_parent(option: str, path: Path, place: Path) -> None:
    there = next(folder for folder in place.parents if os.path.lexists(folder))
    if not there.is_dir():
        raise _wrong(option, path, f"cannot be written: {there} is no folder", "name another place")


def _check_existing(option: str, path: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if path.exists() and not path.is_file():
        raise _wrong(option, path, "is a folder or no regular file")
    if path.suffix.lower() in _IMAGES:
        raise _wrong(option, path, "exists, and its name is the name of an image")
    if not overwrite:
        raise _wrong(option, path, "exists", "name another file, or replace it with `overwrite`")
