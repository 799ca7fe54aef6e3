"""Reads a packed store: all tiles of a folder, decoded once, in one memory-mapped array.

A store is a folder of two files: ``tiles.npy``, uint8 or uint16 of shape (tiles, size, size, bands), which
``np.load(…, mmap_mode="r")`` reads, and ``store.json`` with the tiles, the reader and a hash of each block of the
array. `amazon_ml.data.store.pack` makes one.
"""

import hashlib
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.augment.symmetry import gather
from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.catalog.file_table import KEY, SIZES, TIMES, compare_files, count_names, file_table
from amazon_ml.data.readers.images import Image
from amazon_ml.data.readers.reader_file import reader_from
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json
from amazon_ml.runtime.regular_files import check_regular

ARRAY, DESCRIPTION = "tiles.npy", "store.json"


log = logging.getLogger(__name__)

#: Number of blocks that are checked if no time shows a change; 25 MB each for 256 px.
_SAMPLE = 3
_AGAIN = "remove the store, and run amazon-ml data pack again"


class PackedStore:
    """The tiles of a folder in one array; pickled as its path, so that each loader process maps the array itself.

    Parameters
    ----------
    path
        Folder of the store; it may lie on another disk than the tiles.

    Attributes
    ----------
    path
        The folder, absolute.
    names
        Names of the tiles: the labelled ones in the order of their table, then the untagged ones.
    labelled
        Number of labelled tiles.
    size
        Edge of the tiles, pixels.
    bands
        Names of their bands.
    reader
        Reader of the tiles.
    block
        Number of tiles whose pixels share one hash.
    blocks
        These hashes.
    held_out
        Hash of the names of the published validation split, which the limits do not come from; None without one.
    mtime_ns
        Time of the file of the array when it was written, in nanoseconds.
    tiles
        One row for each tile, by ``labelled`` and ``image_name``: sizes, times and hash of its files.
    images
        uint8 or uint16 of shape (tiles, size, size, bands), read-only, mapped from disk.

    Raises
    ------
    InputError
        If there is no store, or its two files do not fit each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if not (path / DESCRIPTION).is_file():
            problem = f"this is no packed store: it has no {DESCRIPTION}"
            raise InputError(problem, file=path, remedy="make one with amazon-ml data pack")
        description = read_json(path / DESCRIPTION)
        check_regular(path / ARRAY)
        try:
            self.size = int(description["size"])
            self.reader = reader_from(description["reader"])
            self.tiles = pd.DataFrame(description["tiles"]).set_index(KEY)[[*SIZES, *TIMES, "hash"]]
            self.held_out: str | None = description.get("held_out")
            self.block = max(int(description["block"]), 1)
            self.blocks, self.mtime_ns = list(map(str, description["blocks"])), int(description["mtime_ns"])
            self.images: Image = np.asarray(np.load(path / ARRAY, mmap_mode="r"))
        except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the packed store is broken ({error})", file=path, remedy=_AGAIN) from None
        self.bands = self.reader.bands
        self.names = self.tiles.index.get_level_values("image_name").tolist()
        self.labelled = int(self.tiles.index.get_level_values("labelled").to_numpy().sum())
        expected = (len(self.names), self.size, self.size, len(self.bands))
        dtype = self.reader.dtype
        if self.images.shape != expected or self.images.dtype != dtype or not self.images.flags.c_contiguous:
            order = "" if self.images.flags.c_contiguous else " in Fortran order"  # its tiles would be scattered
            problem = f"the array is {self.images.dtype} of shape {self.images.shape}{order}, but {DESCRIPTION} says"
            raise InputError(f"{problem} {dtype} of {expected}", file=path / ARRAY, remedy=_AGAIN)
        if not self.tiles.index.is_unique:
            twice = self.names[int(self.tiles.index.duplicated().argmax())]
            raise InputError(f"{twice} stands twice", file=path / DESCRIPTION, remedy=_AGAIN)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedStore, (self.path,)

    def __len__(self) -> int:
        return len(self.names)

    def fetch(
        self,
        rows: npt.NDArray[np.integer],
        symmetries: npt.NDArray[np.uint8] | None = None,
        out: Image | None = None,
    ) -> Image:
        """Fetch a batch by rows, and apply a symmetry to each tile; see `gather`.

        Returns
        -------
        Array of shape (rows, size, size, bands), in the type of the store.
        """
        # Pixels are moved as a whole, whatever their bytes are.
        as_bytes = gather(self.images.view(np.uint8), rows, symmetries, None if out is None else out.view(np.uint8))
        return as_bytes.view(self.images.dtype)

    def rows(self, names: Iterable[str], *, labelled: bool) -> npt.NDArray[np.int64]:
        """Find the rows of some labelled or untagged tiles; an `InputError` if the store lacks one."""
        wanted = list(names)
        found = self.tiles.index.get_indexer(pd.MultiIndex.from_tuples([(labelled, name) for name in wanted]))
        if (found < 0).any():
            missing = [name for name, row in zip(wanted, found, strict=True) if row < 0]
            problem = f"the packed store lacks {count_names(missing)}"
            raise InputError(problem, file=self.path, remedy="run amazon-ml data pack again")
        return np.asarray(found, dtype=np.int64)


def open_store(path: Path) -> PackedStore:
    """Open a packed store without reading tiles."""
    return PackedStore(path)


def hash_block(images: Image) -> str:
    """Return the hexadecimal BLAKE2b of 16 bytes over the pixels of a block of tiles."""
    return hashlib.blake2b(images.data, digest_size=16).hexdigest()


def check_pixels(store: PackedStore, *, whole: bool = False) -> None:
    """Check that the array of a store has the packed pixels.

    If the file of the array has the time of packing, a few random blocks are read, else all of them.

    Parameters
    ----------
    store
        The store.
    whole
        Read all blocks, whatever the time.

    Raises
    ------
    InputError
        If a block has other pixels.
    """
    file, numbers = store.path / ARRAY, np.arange(len(store.blocks))
    if len(numbers) != -(-len(store) // store.block):
        problem = f"there is not one hash for each block of {file}"
        raise InputError(problem, file=store.path / DESCRIPTION, remedy=_AGAIN)
    if file.stat().st_mtime_ns != store.mtime_ns:
        log.info("checking all of %s: its time is not the time of packing, so it was copied or changed", file)
    elif not whole:
        numbers = np.random.default_rng().permutation(numbers)[:_SAMPLE]

    def is_packed(number: int) -> bool:
        return hash_block(store.images[number * store.block : (number + 1) * store.block]) == store.blocks[number]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, right in zip(numbers.tolist(), pool.map(is_packed, numbers.tolist()), strict=True):
            if not right:
                names = store.names[number * store.block : (number + 1) * store.block]
                problem = f"the pixels have changed since packing, among {names[0]} to {names[-1]}"
                raise InputError(problem, file=file, remedy=_AGAIN)


def check_unchanged(store: PackedStore, catalog: Catalog, *, partial: bool = False) -> None:
    """Check that the tiles of a store are still those of the folder.

    Sizes and times of the files are compared. If only times differ, as in a copied folder, hashes of the bytes are
    compared.

    Parameters
    ----------
    store
        The store.
    catalog
        The tiles of the folder.
    partial
        Whether the catalog holds only some of the tiles of the folder; the store may then hold others.

    Raises
    ------
    InputError
        If a tile was added, removed or changed.
    """
    changes = compare_files(store.tiles, file_table(catalog), catalog.files)
    removed = changes.removed[: 0 if partial else None]
    changed = [name for index in (changes.added, removed, changes.changed) for _, name in index]
    if changed:
        problem = f"the folder of tiles has changed since this store was packed: {count_names(changed)}"
        raise InputError(problem, file=store.path, remedy="run amazon-ml data pack again")
