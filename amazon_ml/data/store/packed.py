"""Reading a packed store: every tile of a folder, decoded once, in one memory-mapped array.

A store is a folder of two files: ``tiles.npy``, uint8 of shape (tiles, size, size, bands), which
``np.load(…, mmap_mode="r")`` reads, and ``store.json``, which says what they are, how they were made, and a hash of
each block of the array.
`amazon_ml.data.store.pack` makes one.
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
from amazon_ml.data.readers.bands import reader_from
from amazon_ml.data.readers.images import Image
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json
from amazon_ml.runtime.regular_files import check_regular

ARRAY, DESCRIPTION = "tiles.npy", "store.json"


log = logging.getLogger(__name__)

#: Blocks that are read where nothing hints at a change; 25 MB each for 256 px.
_SAMPLE = 3
_ANEW = "remove the store, and run amazon-ml data pack again"


class PackedStore:
    """The tiles of a folder in one array; pickled as its path, so that a loader process maps it anew.

    Parameters
    ----------
    path
        The store's folder; it may lie far from the tiles, on a scratch disk for instance.

    Attributes
    ----------
    path
        The folder, absolute.
    names
        Names of the tiles: the labelled ones in the order of their table, then the untagged ones.
    labelled
        How many of them are labelled.
    size
        Edge of the tiles, pixels.
    bands
        Names of their bands.
    reader
        How they were read.
    block
        How many tiles have one hash of their pixels.
    blocks
        These hashes.
    mtime_ns
        Time of the array's file when it was written, in nanoseconds.
    tiles
        One row a tile, by ``labelled`` and ``image_name``: sizes, times and hash of its files.
    images
        uint8 of shape (tiles, size, size, bands), read-only, as it lies on disk.

    Raises
    ------
    InputError
        Where there is no store, or its two files do not belong together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if not (path / DESCRIPTION).is_file():
            raise InputError(f"{path} is no packed store: it has no {DESCRIPTION}; make one with amazon-ml data pack")
        description = read_json(path / DESCRIPTION)
        check_regular(path / ARRAY)
        try:
            self.size = int(description["size"])
            self.reader = reader_from(description["reader"])
            self.tiles = pd.DataFrame(description["tiles"]).set_index(KEY)[[*SIZES, *TIMES, "hash"]]
            self.block = max(int(description["block"]), 1)
            self.blocks, self.mtime_ns = list(map(str, description["blocks"])), int(description["mtime_ns"])
            self.images: Image = np.asarray(np.load(path / ARRAY, mmap_mode="r"))
        except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is broken ({error}); remove it, and run amazon-ml data pack again") from None
        self.bands = self.reader.bands
        self.names = self.tiles.index.get_level_values("image_name").tolist()
        self.labelled = int(self.tiles.index.get_level_values("labelled").to_numpy().sum())
        expected = (len(self.names), self.size, self.size, len(self.bands))
        if self.images.shape != expected or self.images.dtype != np.uint8 or not self.images.flags.c_contiguous:
            raise InputError(
                f"{path / ARRAY} holds {self.images.dtype} of shape {self.images.shape}, but {DESCRIPTION} says "
                f"uint8 of {expected}; remove the store, and run amazon-ml data pack again"
            )
        if not self.images.flags.c_contiguous:  # each tile would be gathered from all over the file
            raise InputError(f"{path / ARRAY} is in Fortran order; remove the store, and run amazon-ml data pack again")
        if not self.tiles.index.is_unique:
            twice = self.names[int(self.tiles.index.duplicated().argmax())]
            raise InputError(
                f"{path / DESCRIPTION} has {twice} twice; remove the store, and run amazon-ml data pack again"
            )

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
        """Fetch a batch by row, each tile turned by a symmetry of its own; see `gather`.

        Returns
        -------
        uint8 of shape (rows, size, size, bands).
        """
        return gather(self.images, rows, symmetries, out)

    def rows(self, names: Iterable[str], *, labelled: bool) -> npt.NDArray[np.int64]:
        """Find the rows of some labelled or untagged tiles; an `InputError` where one is not in the store."""
        wanted = list(names)
        found = self.tiles.index.get_indexer(pd.MultiIndex.from_tuples([(labelled, name) for name in wanted]))
        if (found < 0).any():
            missing = [name for name, row in zip(wanted, found, strict=True) if row < 0]
            raise InputError(f"{self.path} lacks {count_names(missing)}; run amazon-ml data pack again")
        return np.asarray(found, dtype=np.int64)


def open_store(path: Path) -> PackedStore:
    """Open a packed store; nothing of its tiles is read yet."""
    return PackedStore(path)


def hash_block(images: Image) -> str:
    """Hexadecimal BLAKE2b, 16 bytes long, of the pixels of a block of tiles."""
    return hashlib.blake2b(images.data, digest_size=16).hexdigest()


def check_pixels(store: PackedStore, *, whole: bool = False) -> None:
    """Check that a store's array has the pixels that were packed.

    Where the array's file has the time that it was packed with, a few blocks are read, other ones each time; else
    all of them.

    Parameters
    ----------
    store
        The store.
    whole
        Read every block, whatever the time.

    Raises
    ------
    InputError
        Where a block has other pixels.
    """
    file, numbers = store.path / ARRAY, np.arange(len(store.blocks))
    if len(numbers) != -(-len(store) // store.block):
        raise InputError(f"{store.path / DESCRIPTION} does not tell a hash for each block of {file}; {_ANEW}")
    if file.stat().st_mtime_ns != store.mtime_ns:
        log.info("reading all of %s, which was copied or changed: its time is not that of packing", file)
    elif not whole:
        numbers = np.random.default_rng().permutation(numbers)[:_SAMPLE]

    def is_packed(number: int) -> bool:
        return hash_block(store.images[number * store.block : (number + 1) * store.block]) == store.blocks[number]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, right in zip(numbers.tolist(), pool.map(is_packed, numbers.tolist()), strict=True):
            if not right:
                names = store.names[number * store.block : (number + 1) * store.block]
                raise InputError(f"{file} has other pixels than were packed, among {names[0]} to {names[-1]}; {_ANEW}")


def check_unchanged(store: PackedStore, catalog: Catalog, *, partial: bool = False) -> None:
    """Refuse a store whose tiles are no longer those of the folder.

    Sizes and times of the files are compared; where only times differ, as in a copied folder, so are hashes of
    the files' bytes.

    Parameters
    ----------
    store
        The store.
    catalog
        The tiles of the folder.
    partial
        The catalog holds some of the folder's tiles only; others in the store say nothing then.

    Raises
    ------
    InputError
        When a tile was added, removed or changed.
    """
    changes = compare_files(store.tiles, file_table(catalog))
    removed = changes.removed[: 0 if partial else None]
    changed = [name for index in (changes.added, removed, changes.changed) for _, name in index]
    if changed:
        raise InputError(
            f"the folder has changed since {store.path} was packed: {count_names(changed)}; "
            "run amazon-ml data pack again"
        )
