"""A folder and all folders below it: each real folder once, whatever links lead to it, and always in the same order."""

import logging
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from amazon_ml.errors import InputError

log = logging.getLogger(__name__)

#: Files by which folders of this package's are known: runs, parts of predictions, packed stores, sweeps. None of them
#: holds tiles or tag tables of the user's, though tables and pictures lie in them.
_OURS = (
    {"config.yaml", "hashes.json"},
    {"plan.json", "tiles.csv"},
    {"plan.json", "tiles.npy"},
    {"store.json", "tiles.npy"},
    {"lr.csv", "lr.png"},
)

#: What tells a folder from others, by whatever path it is reached.
Identity = tuple[int, int]


@dataclass(frozen=True)
class Listing:
    """What lies in one folder, sorted by name; names that begin with a dot are passed over.

    Parameters
    ----------
    path
        The folder.
    level
        How many folders it lies below the one that the walk began with.
    files
        Names of all that is no folder: files, and links that lead to files or to nothing.
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

    A folder that links lead to as well is visited once, under its own path where that lies below `root`. So a link
    to a folder above it is no way into a circle; one to a folder above `root` is not followed at all. Runs, parts of
    predictions and packed stores below `root` are passed over.

    Parameters
    ----------
    root
        Where to begin.
    depth
        How many levels below `root` are visited; all by default.
    skip
        Folders that are passed over.
    seen
        Folders that were visited before, which are passed over, too; those that are visited now are added.
    prefer
        Names that make a link to a folder count as much as the folder itself.

    Raises
    ------
    InputError
        When `root` cannot be listed. A folder below that cannot is passed over with a warning.
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
    """Visit real folders, and put links to others off until all real ones are done."""
    stack = [(path, level)]
    while stack:
        here, level = stack.pop()
        identity = _identity(here)
        if identity is None or identity in seen or (level and identity in above):
            continue  # a link that leads up and out would bring in all that lies beside
        seen.add(identity)
        listing, links = _list(here, level)
        if level and any(ours.issubset(listing.files) for ours in _OURS):
            continue
        yield listing
        if depth is not None and level >= depth:
            continue
        late = links.difference(prefer)
        later += [(here / name, level + 1) for name in listing.folders if name in late]
        now = [name for name in listing.folders if name not in late]
        # The last is taken first: links whose names are looked for, then folders by their names.
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
            raise InputError(f"cannot list {path}: {error.strerror}") from None
        log.warning("cannot list %s: %s; it is passed over", path, error.strerror)
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
