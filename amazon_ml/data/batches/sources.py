"""Sources of the pixels of a batch: a packed store, or the files of the tiles."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.augment.augment import symmetric
from amazon_ml.data.batches.texts import Texts
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import Image, resize
from amazon_ml.data.store.packed import PackedStore


class TileSource(Protocol):
    """Tiles of one size, by position."""

    def __len__(self) -> int: ...

    def fetch(
        self, rows: npt.NDArray[np.intp], symmetries: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Fetch tiles, each with a symmetry as `symmetric` numbers them: uint8 (tiles, size, size, bands)."""
        ...


class PackedTiles:
    """Tiles of a packed store, by position in a list of its rows.

    Parameters
    ----------
    store
        The store.
    rows
        Rows of the store, in the order of positions.
    """

    def __init__(self, store: PackedStore, rows: npt.NDArray[np.integer]) -> None:
        self.store, self.rows = store, rows

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(
        self, rows: npt.NDArray[np.intp], symmetries: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Gather the tiles and apply the symmetries, in one call."""
        return self.store.fetch(self.rows[rows], symmetries)


class TileFiles:
    """Tiles that are decoded from their files each time.

    Parameters
    ----------
    tiles
        Table with ``path`` and ``tif`` of each tile, as in a catalog.
    read
        Reader of the bands of a tile.
    size
        Edge of the square that tiles are scaled to, pixels.
    rows
        Rows of `tiles` in the order of positions; all by default.
    """

    def __init__(
        self, tiles: pd.DataFrame, read: TileReader, size: int, rows: npt.NDArray[np.integer] | None = None
    ) -> None:
        self._paths, self._tifs, self._rows = Texts(tiles["path"]), Texts(tiles["tif"]), rows
        self.read, self.size = read, size

    def __len__(self) -> int:
        return len(self._paths) if self._rows is None else len(self._rows)

    def files(self, row: int) -> tuple[str, str]:
        """Return the file of a tile, and the one with its near infrared, or ``""``."""
        at = row if self._rows is None else int(self._rows[row])
        return self._paths[at], self._tifs[at]

    def tile(self, row: int) -> Image:
        """Read and scale one tile."""
        return resize(self.read(*self.files(row)), self.size)

    def fetch(
        self, rows: npt.NDArray[np.intp], symmetries: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Read and scale the tiles and apply the symmetries, one by one."""
        images = np.empty((len(rows), self.size, self.size, len(self.read.bands)), dtype=self.read.dtype)
        for slot, row in enumerate(rows):
            symmetric(self.tile(row), 0 if symmetries is None else int(symmetries[slot]), images[slot])
        return images
