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
    folder
        Path of the folder, as text: a set may have a million folders.
    level
        Its depth below the folder where the walk began.
    files
        Names of all that is no folder: files, links to files, and broken links.
    folders
        Names of folders, and of links to folders.
    """

    folder: str
    level: int
    files: tuple[str, ...]
    folders: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)


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
    seen.update(filter(None, map(_identity, map(str, skip))))
    above = set(map(_identity, map(str, root.resolve().parents)))
    waiting = deque([(str(root), 0)])
    while waiting:
        path, level = waiting.popleft()
        later: list[tuple[str, int]] = []
        yield from _visit(path, level, depth, seen, above, prefer, later)
        waiting.extend(sorted(later, key=lambda link: (Path(link[0]), link[1])))


def _visit(
    path: str, level: int, depth: int | None, seen: set[Identity], above: set[Identity | None],
    prefer: Collection[str], later: list[tuple[str, int]],
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
        below = "" if here == "." else here if here.endswith("/") else f"{here}/"
        later += [(below + name, level + 1) for name in listing.folders if name in late]
        now = [name for name in listing.folders if name not in late]
        # The last entry is visited first: preferred links, then folders by their names.
        stack += [(below + name, level + 1) for name in sorted(now, key=lambda name: (name in links, name))[::-1]]


def _list(path: str, level: int) -> tuple[Listing, set[str]]:
    entries: list[os.DirEntry[str]] = []
    try:
        with os.scandir(path) as found:
            entries += found
    except OSError as error:
        if level == 0:
            raise InputError(f"cannot list the folder: {error.strerror}", file=Path(path)) from None
        log.warning("cannot list %s: %s; it is skipped", path, error.strerror)
    shown = [entry for entry in entries if entry.name[0] != "."]
    folders = [entry for entry in shown if _is_folder(entry)]
    names = sorted([entry.name for entry in shown])
    if not folders:  # nearly all folders, where each tile has one
        return Listing(path, level, tuple(names), ()), set()
    inside = {entry.name for entry in folders}
    files = tuple([name for name in names if name not in inside])
    return Listing(path, level, files, tuple(sorted(inside))), {entry.name for entry in folders if entry.is_symlink()}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(path: str) -> Identity | None:
    try:
        about = os.stat(path)  # noqa: PTH116 (for each of a million folders)
    except OSError:
        return None
    return about.st_dev, about.st_ino
