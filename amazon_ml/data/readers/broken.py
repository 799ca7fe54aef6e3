"""All tiles that cannot be read, found before hours are spent on the others."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pandas as pd

from amazon_ml.data.readers.damage import file_fault
from amazon_ml.errors import InputError

#: Files that a thread looks at before it reports: one by one, the threads would wait for each other.
_BLOCK = 256
#: Threads: on a network disk most of the time is waiting.
_THREADS = 16
#: What can be done about labelled tiles.
_LEAVE_OUT = ", and writes with `write_exclude` the list that training, data pack and evaluate leave out"
#: Faults that a message repeats.
_SHOWN = 10


def find_broken(tables: Iterable[pd.DataFrame]) -> dict[str, str]:
    """Look at the header of each file of some tables of tiles.

    Parameters
    ----------
    tables
        Each with ``path`` and ``tif`` of its tiles.

    Returns
    -------
    Path to what is wrong with the file, in the order of the tables; whole files are not in it.
    """
    columns = (table[column] for table in tables for column in ("path", "tif"))
    paths = list(dict.fromkeys(filter(None, chain.from_iterable(columns))))
    blocks = [paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK)]
    with ThreadPoolExecutor(min(_THREADS, 4 * (os.cpu_count() or 1))) as pool:
        faults = chain.from_iterable(pool.map(_faults, blocks))
        return {path: fault for path, fault in zip(paths, faults, strict=True) if fault}


def _faults(paths: Sequence[str]) -> list[str]:
    return [file_fault(path) for path in paths]


def is_broken(tiles: pd.DataFrame, broken: Iterable[str]) -> "pd.Series[bool]":
    """Tell of each tile whether one of its files is among the broken ones."""
    paths = list(broken)
    return tiles["path"].isin(paths) | tiles["tif"].isin(paths)


def describe_broken(faults: Sequence[str], total: int) -> str:
    """Count files that cannot be read, and repeat what is wrong with the first of them."""
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults):,} of {total:,} tiles cannot be read: {first_faults(faults)}"


def first_faults(faults: Sequence[str]) -> str:
    """Repeat what is wrong with the first few files."""
    shown = "; ".join(fault.partition("; ")[0] for fault in faults[:_SHOWN])
    return f"{shown}{'; …' * (len(faults) > _SHOWN)}"


def check_whole(labelled: pd.DataFrame, unlabelled: pd.DataFrame | None = None) -> None:
    """Refuse tiles whose files cannot be read, and list these.

    Parameters
    ----------
    labelled, unlabelled
        Tables with ``path`` and ``tif`` of each tile.

    Raises
    ------
    InputError
        Where a file is missing, empty, cut short, or no image, as far as its header tells.
    """
    tables = [labelled] if unlabelled is None else [labelled, unlabelled]
    broken = find_broken(tables)
    if broken:
        raise InputError(
            f"{describe_broken(list(broken.values()), sum(map(len, tables)))}. amazon-ml data check lists all such "
            f"tiles{_LEAVE_OUT if is_broken(labelled, broken).any() else '; they have no tags: remove them'}"
        )
