"""Reading a packed store: every tile of a folder, decoded once, in one memory-mapped array.

A store is a folder of two files: ``tiles.npy``, uint8 of shape (tiles, size, size, bands), which
``np.load(…, mmap_mode="r")`` reads, and ``store.json``, which says what they are and how they were made.
`amazon_ml.data.pack` makes one.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.bands import reader_from
from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.images import Image
from amazon_ml.data.symmetry import gather
from amazon_ml.errors import InputError
from amazon_ml.files import read_json
from amazon_ml.regular import check_regular, read_regular

ARRAY, DESCRIPTION = "tiles.npy", "store.json"
#: What tells a tile from others: a name may stand among the labelled tiles and again among the untagged.
_KEY = ["labelled", "image_name"]
#: Equal where a file has the bytes that were packed, and not merely as many.
_SIZES, _TIMES = ["bytes", "tif_bytes"], ["mtime_ns", "tif_mtime_ns"]


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
            self.tiles = pd.DataFrame(description["tiles"]).set_index(_KEY)[[*_SIZES, *_TIMES, "hash"]]
            self.images: Image = np.asarray(np.load(path / ARRAY, mmap_mode="r"))
        except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is broken ({error}); remove it, and run amazon-ml data pack again") from None
        self.bands = self.reader.bands
        self.names = self.tiles.index.get_level_values("image_name").tolist()
        self.labelled = int(self.tiles.index.get_level_values("labelled").to_numpy().sum())
        expected = (len(self.names), self.size, self.size, len(self.bands))
        if self.images.shape != expected or self.images.dtype != np.uint8:
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
            raise InputError(f"{self.path} lacks {_counted(missing)}; run amazon-ml data pack again")
        return np.asarray(found, dtype=np.int64)


def open_store(path: Path) -> PackedStore:
    """Open a packed store; nothing of its tiles is read yet."""
    return PackedStore(path)


def refuse_changed(store: PackedStore, catalog: Catalog, *, partial: bool = False) -> None:
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
    now, then = file_table(catalog), store.tiles
    added = now.index.difference(then.index)
    removed = then.index.difference(now.index)[: 0 if partial else None]
    both = now.loc[now.index.intersection(then.index, sort=False)]
    was = then.loc[both.index]
    resized = (both[_SIZES] != was[_SIZES]).any(axis=1)
    touched = ~resized & (both[_TIMES] != was[_TIMES]).any(axis=1)
    hashes = [hash_files(*paths) for paths in both.loc[touched, ["path", "tif"]].to_numpy()]
    rewritten = both[touched].index[was.loc[touched, "hash"].to_numpy() != np.array(hashes, dtype=object)]
    changed = [name for index in (added, removed, both.index[resized], rewritten) for _, name in index]
    if changed:
        raise InputError(
            f"the folder has changed since {store.path} was packed: {_counted(changed)}; run amazon-ml data pack again"
        )


def file_table(catalog: Catalog) -> pd.DataFrame:
    """List the tiles of a folder, labelled ones first, with sizes (bytes) and times (ns) of their files.

    Returns
    -------
    Table of ``path``, ``bytes``, ``mtime_ns``, ``tif``, ``tif_bytes``, ``tif_mtime_ns``, by ``labelled`` and
    ``image_name``. Sizes and times are 0 where there is no TIF.
    """
    parts = [part[["image_name", "path", "tif"]] for part in (catalog.labelled, catalog.unlabelled)]
    table = pd.concat(parts, ignore_index=True)
    table["labelled"] = np.arange(len(table)) < len(catalog.labelled)
    for column, prefix in (("path", ""), ("tif", "tif_")):
        stats = np.array([size_and_time(path) for path in table[column]], dtype=np.int64).reshape(-1, 2)
        table[f"{prefix}bytes"], table[f"{prefix}mtime_ns"] = stats[:, 0], stats[:, 1]
    return table.set_index(_KEY)


def size_and_time(path: str) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds; zeros for no file."""
    if not path:
        return 0, 0
    try:
        about = os.stat(path)  # noqa: PTH116 (for each of 100,000 tiles)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    return about.st_size, about.st_mtime_ns


def hash_files(*paths: str) -> str:
    """Hexadecimal BLAKE2b, 16 bytes long, over the bytes of the files; ``""`` stands for none."""
    digest = hashlib.blake2b(digest_size=16)
    for path in filter(None, paths):
        try:
            digest.update(read_regular(path))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()


def _counted(names: Sequence[str]) -> str:
    return f"{len(names):,} tile{'s'[: len(names) > 1]}, such as {names[0]}"
