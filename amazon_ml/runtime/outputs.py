"""Files that a user names to be written: what is there is not lost without a word."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.regular_files import irregular

#: Endings of tiles; no table, page or network is written in their place.
_IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """Refuse files that must not be written; call it before any work is done for them.

    Parameters
    ----------
    outputs
        Files to write by the options that name them, such as ``{"json": path}``; ``None`` where one was not given.
    inputs
        What is read, and must stay: files, and folders below which nothing may be written. ``None`` is passed over.
    overwrite
        Whether other files that are there may be replaced.

    Raises
    ------
    InputError
        For an output that is an input, by whatever name; that two options name; that is an image, a folder or a
        device; that cannot be where it is named; or that is there, without `overwrite`.
    WorkError
        Where a folder cannot be written to.
    """
    kept = [path for path in inputs if path is not None]
    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        named, place = f"`{option}` {path}", _place(path)
        if place in seen:
            raise InputError(f"{named} is also the file of `{seen[place]}`; name another one")
        seen[place] = option
        _check_parent(named, place)
        if any(_is_of(path, place, one) for one in kept):
            raise InputError(f"{named} is a file that is read, or belongs to what is read; name another one")
        _check_existing(named, path, overwrite=overwrite)
        check_place(path)


def check_place(path: Path) -> None:
    """Refuse a file that cannot be written, by writing beside it; what stands there is not touched.

    Folders that are not there yet are not made.

    Raises
    ------
    InputError
        Where the name is not UTF-8, or a folder, a device or the like stands in the place of the file.
    WorkError
        Where the folder cannot be written to.
    """
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


def _place(path: Path) -> Path:
    """Give the one name of a place: its folder without links, and the file's own name."""
    whole = Path(os.path.abspath(path)) if path.name in ("", ".", "..") else path  # noqa: PTH100 (keeps links)
    return _real(whole.parent) / whole.name


def _is_of(path: Path, place: Path, kept: Path) -> bool:
    """Whether an output is an input: the same place, the same file by another name, or a place in its folder."""
    written, held = _real(path), _real(kept)
    if _place(kept) == place or written == held or held in (*written.parents, *place.parents):
        return True
    return path.exists() and kept.exists() and path.samefile(kept)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve fails on a link to itself


def _check_parent(named: str, place: Path) -> None:
    there = next(folder for folder in place.parents if os.path.lexists(folder))
    if not there.is_dir():
        raise InputError(f"{named}: {there} is no folder; name another place")


def _check_existing(named: str, path: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if path.exists() and not path.is_file():
        raise InputError(f"{named} is a folder or no regular file; name another one")
    if path.suffix.lower() in _IMAGES:
        raise InputError(f"{named} is there, and its name is that of an image; name another one")
    if not overwrite:
        raise InputError(f"{named} is there already; name another file, or replace it with `overwrite`")
