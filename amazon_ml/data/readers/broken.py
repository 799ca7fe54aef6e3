"""Finds all tiles that cannot be read, before hours of work on the others."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import pandas as pd

from amazon_ml.data.readers.damage import FileShape, look_at
from amazon_ml.errors import InputError

#: Number of files that a thread checks at a time: one by one, the threads would wait for each other.
_BLOCK = 256
#: Number of threads: on a network disk most of the time is waiting.
_THREADS = 16
#: What to do about tiles.
LIST = "amazon-ml data check lists all such tiles"
EXCLUDE = ", and writes with `write_exclude` the list of tiles that training, data pack and evaluate exclude"
#: Number of faults that a message repeats.
_SHOWN = 10


#: What the headers of the files of a tile say, and the first file of each tile of which they say this.
Shapes = dict[tuple[FileShape, ...], list[str]]


def find_broken(tables: Iterable[pd.DataFrame], files: Callable[[str], list[str]] | None = None) -> dict[str, str]:
    """Check the header of each file in some tables of tiles, as `look_at_all` does.

    Returns
    -------
    The fault of each broken file by its path, in the order of the tables; of a tile with several files, the first
    fault by the path of the first file.
    """
    return look_at_all(tables, files)[0]


def look_at_all(
    tables: Iterable[pd.DataFrame], files: Callable[[str], list[str]] | None = None
) -> tuple[dict[str, str], Shapes]:
    """Read the header of each file in some tables of tiles.

    Parameters
    ----------
    tables
        Each with ``path`` and ``tif`` of its tiles.
    files
        Lists the files of a tile by its first one; by default it has no others.

    Returns
    -------
    The faults, as `find_broken` gives them; and the shapes of the whole files, in the order that `files` gives.
    """
    columns = (table[column] for table in tables for column in ("path", "tif"))
    paths = list(dict.fromkeys(filter(None, chain.from_iterable(columns))))
    blocks = [paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK)]
    faults: dict[str, str] = {}
    shapes: Shapes = {}
    with ThreadPoolExecutor(min(_THREADS, 4 * (os.cpu_count() or 1))) as pool:
        looks = chain.from_iterable(pool.map(partial(_look, files=files), blocks))
        for path, (fault, shape) in zip(paths, looks, strict=True):
            if fault:
                faults[path] = fault
            else:
                shapes.setdefault(shape, []).append(path)
    return faults, shapes


def _look(
    paths: Sequence[str], files: Callable[[str], list[str]] | None
) -> list[tuple[str, tuple[FileShape, ...]]]:  # fmt: skip
    found = []
    for path in paths:
        seen = []
        fault = ""
        for file in [path] if files is None else files(path):
            fault, shape = look_at(file)
            if fault and file != path and not os.path.lexists(file):
                fault = str(InputError("there is no such file of a band, and the tile has others", file=file,
                                       remedy="download the tile again"))  # fmt: skip
            seen.append(shape)
            if fault:
                break
        found.append((fault, tuple(seen)))
    return found


def is_broken(tiles: pd.DataFrame, broken: Iterable[str]) -> "pd.Series[bool]":
    """Mark the tiles with a file among the broken ones."""
    paths = list(broken)
    return tiles["path"].isin(paths) | tiles["tif"].isin(paths)


def describe_broken(faults: Sequence[str], total: int) -> str:
    """Count files that cannot be read, and repeat the first faults."""
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults):,} of {total:,} tiles cannot be read: {first_faults(faults)}"


def first_faults(faults: Sequence[str]) -> str:
    """Repeat the faults of the first few files."""
    shown = "; ".join(fault.partition("; ")[0] for fault in faults[:_SHOWN])
    return f"{shown}{'; …' * (len(faults) > _SHOWN)}"


def check_whole(
    labelled: pd.DataFrame,
    unlabelled: pd.DataFrame | None = None,
    files: Callable[[str], list[str]] | None = None,
    *,
    tested: int = 0,
) -> Shapes:
    """Check that the files of tiles can be read.

    Parameters
    ----------
    labelled, unlabelled
        Tables with ``path`` and ``tif`` of each tile.
    files
        Lists the files of a tile by its first one, as `look_at_all` takes it.
    tested
        How many of the first rows of `unlabelled` are tiles of the published test split.

    Returns
    -------
    The shapes of the files, as `look_at_all` gives them.

    Raises
    ------
    InputError
        If a file is missing, empty, cut short, or no image by its header; the error lists the first ones.
    """
    tables = [labelled] if unlabelled is None else [labelled, unlabelled]
    broken, shapes = look_at_all(tables, files)
    if broken:
        raise InputError(describe_broken(list(broken.values()), sum(map(len, tables))),
                         remedy=remedy_for(broken, labelled, unlabelled, tested))  # fmt: skip
    return shapes


def remedy_for(broken: Iterable[str], labelled: pd.DataFrame, unlabelled: pd.DataFrame | None, tested: int) -> str:
    """Say what to do about tiles with these files, by the tables that `check_whole` takes."""
    paths = list(broken)
    in_test = 0 if unlabelled is None else int(is_broken(unlabelled.iloc[:tested], paths).sum())
    if in_test:
        verb = "is" if in_test == 1 else "are"
        which = f"{in_test:,} of these tiles {verb}" if len(paths) > 1 else "the tile is"
        return f"{which} in the published test split: download it again, or exclude it. {LIST}{EXCLUDE}"
    if is_broken(labelled, paths).any():
        return f"{LIST}{EXCLUDE}"
    return f"{LIST}; no list excludes untagged tiles: download them again, or move them out of the folder"
