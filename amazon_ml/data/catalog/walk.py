"""Visits a folder and all folders below it: each real folder once, also where links lead to it, in a fixed order."""

import logging
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from amazon_ml.errors import InputError

log = logging.getLogger(__name__)

#: Files that identify the folders that this package writes: runs, parts of predictions, packed stores, sweeps. They
#: hold tables and pictures, but no tiles and no tag tables of the user.
_OURS = (
    {"config.yaml", "hashes.json"},
    {"plan.json", "tiles.csv"},
    {"plan.json", "tiles.npy"},
    {"store.json", "tiles.npy"},
    {"lr.csv", "lr.png"},
)

_OUR_NAMES = frozenset().union(*_OURS)

#: Identity of a folder, whatever path leads to it.
Identity = tuple[int, int]


@dataclass(frozen=True)
class Listing:
    """The contents of one folder, sorted by name, without names that begin with a dot.

    Parameters
    ----------
    path
        The folder.
    level
        Its depth below the folder where the walk began.
    files
        Names of all that is no folder: files, links to files, and broken links.
    folders
        Names of folders, and of links to folders.
    """

    path: Path
    level: int
    files: tuple[str, ...]
    folders: tuple[str, ...]


def walk(
    root: Path,
    *,
    depth: int | None = None,
    skip: Iterable[Path] = (),
    seen: set[Identity] | None = None,
    prefer: Collection[str] = (),
) -> Iterator[Listing]:
    """Visit a folder and those below it.

    A folder that links also lead to is visited once, under its own path where that lies below `root`. So a link to a
    folder above it makes no circle; a link to a folder above `root` is not followed. Runs, parts of predictions and
    packed stores below `root` are skipped.

    Parameters
    ----------
    root
        First folder.
    depth
        Number of levels below `root`; all by default.
    skip
        Folders to skip.
    seen
        Folders that were visited before; they are skipped, too, and the visit adds its own.
    prefer
        Names of folders: links with such a name are visited as early as real folders.

    Raises
    ------
    InputError
        If `root` cannot be listed. Folders below it that cannot be listed are skipped with a warning.
    """
    seen = set() if seen is None else seen
    seen.update(filter(None, map(_identity, skip)))
    above = set(map(_identity, root.resolve().parents))
    waiting = deque([(root, 0)])
    while waiting:
        path, level = waiting.popleft()
        later: list[tuple[Path, int]] = []
        yield from _visit(path, level, depth, seen, above, prefer, later)
        waiting.extend(sorted(later))


def _visit(
    path: Path, level: int, depth: int | None, seen: set[Identity], above: set[Identity | None],
    prefer: Collection[str], later: list[tuple[Path, int]],
) -> Iterator[Listing]:  # fmt: skip
    """Visit real folders, and add links to `later`, for when all real folders are done."""
    stack = [(path, level)]
    while stack:
        here, level = stack.pop()
        identity = _identity(here)
        if identity is None or identity in seen or (level and identity in above):
            continue  # a link that leads above `root` would bring in all of its neighbours
        seen.add(identity)
        listing, links = _list(here, level)
        if level and not _OUR_NAMES.isdisjoint(listing.files) and any(ours.issubset(listing.files) for ours in _OURS):
            continue
        yield listing
        if depth is not None and level >= depth:
            continue
        if not listing.folders:
            continue
        late = links.difference(prefer)
        later += [(here / name, level + 1) for name in listing.folders if name in late]
        now = [name for name in listing.folders if name not in late]
        # The last entry is visited first: preferred links, then folders by their names.
        stack += [(here / name, level + 1) for name in sorted(now, key=lambda name: (name in links, name))[::-1]]


def _list(path: Path, level: int) -> tuple[Listing, set[str]]:
    files, folders, links = [], [], set()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if not _is_folder(entry):
                    files.append(entry.name)
                    continue
                folders.append(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    except OSError as error:
        if level == 0:
            raise InputError(f"cannot list the folder: {error.strerror}", file=path) from None
        log.warning("cannot list %s: %s; it is skipped", path, error.strerror)
    return Listing(path, level, tuple(sorted(files)), tuple(sorted(folders))), links


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(path: Path) -> Identity | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
