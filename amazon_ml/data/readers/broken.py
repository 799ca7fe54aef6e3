"""Finds all tiles that cannot be read, before hours of work on the others."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import pandas as pd

from amazon_ml.data.readers.damage import file_fault
from amazon_ml.errors import InputError

#: Number of files that a thread checks at a time: one by one, the threads would wait for each other.
_BLOCK = 256
#: Number of threads: on a network disk most of the time is waiting.
_THREADS = 16
#: Remedy for labelled tiles.
_EXCLUDE = ", and writes with `write_exclude` the list of tiles that training, data pack and evaluate exclude"
#: Number of faults that a message repeats.
_SHOWN = 10


def find_broken(tables: Iterable[pd.DataFrame], files: Callable[[str], list[str]] | None = None) -> dict[str, str]:
    """Check the header of each file in some tables of tiles.

    Parameters
    ----------
    tables
        Each with ``path`` and ``tif`` of its tiles.
    files
        Lists the files of a tile by its first one; by default it has no others.

    Returns
    -------
    The fault of each broken file by its path, in the order of the tables; of a tile with several files, the first
    fault by the path of the first file.
    """
    columns = (table[column] for table in tables for column in ("path", "tif"))
    paths = list(dict.fromkeys(filter(None, chain.from_iterable(columns))))
    blocks = [paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK)]
    with ThreadPoolExecutor(min(_THREADS, 4 * (os.cpu_count() or 1))) as pool:
        faults = chain.from_iterable(pool.map(partial(_faults, files=files), blocks))
        return {path: fault for path, fault in zip(paths, faults, strict=True) if fault}


def _faults(paths: Sequence[str], files: Callable[[str], list[str]] | None) -> list[str]:
    if files is None:
        return [file_fault(path) for path in paths]
    return [next(filter(None, map(file_fault, files(path))), "") for path in paths]


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
) -> None:
    """Check that the files of tiles can be read.

    Parameters
    ----------
    labelled, unlabelled
        Tables with ``path`` and ``tif`` of each tile.
    files
        Lists the files of a tile by its first one, as `find_broken` takes it.

    Raises
    ------
    InputError
        If a file is missing, empty, cut short, or no image by its header; the error lists the first ones.
    """
    tables = [labelled] if unlabelled is None else [labelled, unlabelled]
    broken = find_broken(tables, files)
    if broken:
        raise InputError(
            f"{describe_broken(list(broken.values()), sum(map(len, tables)))}. amazon-ml data check lists all such "
            f"tiles{_EXCLUDE if is_broken(labelled, broken).any() else '; they have no tags: remove them'}"
        )
