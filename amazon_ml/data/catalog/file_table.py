"""The table of the files of tiles: sizes, times and hashes, and the changes since an earlier table."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.runtime.regular_files import cannot_read, read_regular

#: Key of a tile: the labelled and the untagged tiles may share a name.
KEY = ["labelled", "image_name"]
#: Equal sizes and times mean the same bytes.
SIZES, TIMES = ["bytes", "tif_bytes"], ["mtime_ns", "tif_mtime_ns"]
#: Lists the files of a tile by its first one.
FilesOf = Callable[[str], list[str]]
#: Threads that hash files: reading and hashing release the interpreter lock.
_THREADS = 8


@dataclass(frozen=True)
class Changes:
    """Differences between two tables of files, as keys of tiles.

    Parameters
    ----------
    added, removed
        Tiles that only the new table has, or only the old one.
    changed
        Tiles whose files have other bytes.
    touched
        Tiles whose files have other times but the same bytes, as in a copied folder.
    """

    added: pd.Index
    removed: pd.Index
    changed: pd.Index
    touched: pd.Index


def alone(path: str) -> list[str]:
    """List the only file of a tile."""
    return [path]


def file_table(catalog: Catalog) -> pd.DataFrame:
    """List the tiles of a folder, labelled ones first, with sizes (bytes) and times (ns) of their files.

    Returns
    -------
    Table of ``path``, ``bytes``, ``mtime_ns``, ``tif``, ``tif_bytes``, ``tif_mtime_ns``, by ``labelled`` and
    ``image_name``. Sizes and times are 0 where there is no TIF. Of a tile with a file for each band, ``path`` is the
    first one, ``bytes`` the sum, and ``mtime_ns`` a hash of all times.
    """
    parts = [part[["image_name", "path", "tif"]] for part in (catalog.labelled, catalog.unlabelled)]
    table = pd.concat(parts, ignore_index=True)
    table["labelled"] = np.arange(len(table)) < len(catalog.labelled)
    for column, prefix in (("path", ""), ("tif", "tif_")):
        files = (catalog.files(path) if path else [""] for path in table[column])
        stats = np.array([size_and_time(*each) for each in files], dtype=np.int64).reshape(-1, 2)
        table[f"{prefix}bytes"], table[f"{prefix}mtime_ns"] = stats[:, 0], stats[:, 1]
    return table.set_index(KEY)


def compare_files(then: pd.DataFrame, now: pd.DataFrame, files: FilesOf = alone) -> Changes:
    """Compare two tables of files; reads the bytes where only the times differ.

    Parameters
    ----------
    then
        An earlier `file_table`, with the ``hash`` of the files.
    now
        The `file_table` of now.
    files
        Lists the files of a tile by its first one, as `Catalog.files`.
    """
    both = now.loc[now.index.intersection(then.index, sort=False)]
    was = then.loc[both.index]
    resized = (both[SIZES] != was[SIZES]).any(axis=1)
    retimed = ~resized & (both[TIMES] != was[TIMES]).any(axis=1)
    same = was.loc[retimed, "hash"].to_numpy() == np.array(hash_tiles(both[retimed], files), dtype=object)
    touched = both.index[retimed]
    return Changes(
        added=now.index.difference(then.index),
        removed=then.index.difference(now.index),
        changed=both.index[resized].append(touched[~same]),
        touched=touched[same],
    )


def hash_tiles(table: pd.DataFrame, files: FilesOf = alone) -> list[str]:
    """Hash the files of each tile of a `file_table`, as `hash_files` does; `files` as for `compare_files`."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(
            pool.map(lambda path, tif: hash_files(*files(path), tif), table["path"], table["tif"], chunksize=64)
        )


def size_and_time(path: str, *others: str) -> tuple[int, int]:
    """Return the size in bytes and the time of the last change in nanoseconds; zeros where the path is empty.

    Of several files: the sum of the sizes, and a hash of all sizes and times in the place of the time.
    """
    if others:
        each = [size_and_time(one) for one in (path, *others)]
        digest = hashlib.blake2b(repr(each).encode(), digest_size=8).digest()
        return sum(size for size, _ in each), int.from_bytes(digest) >> 1
    if not path:
        return 0, 0
    try:
        about = os.stat(path)  # noqa: PTH116 (for each of 100,000 tiles)
    except OSError as error:
        raise cannot_read(path, error) from None
    return about.st_size, about.st_mtime_ns


def hash_files(*paths: str) -> str:
    """Return the hexadecimal BLAKE2b of 16 bytes over the bytes of the files; empty paths are skipped."""
    digest = hashlib.blake2b(digest_size=16)
    for path in filter(None, paths):
        try:
            digest.update(read_regular(path))
        except OSError as error:
            raise cannot_read(path, error) from None
    return digest.hexdigest()


def count_names(names: Iterable[str]) -> str:
    """Count tiles for a message, and name the first."""
    listed = list(names)
    return f"{len(listed):,} tile{'s'[: len(listed) > 1]}, such as {listed[0]}"
