"""Sources of the pixels of a batch: a packed store, the files of the tiles, or two sources one after the other."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.augment.augment import symmetric
from amazon_ml.data.augment.symmetry import gather
from amazon_ml.data.batches.texts import Texts
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import Image, resize
from amazon_ml.data.store.packed import PackedStore

#: The only row of one tile.
_FIRST = np.zeros(1, dtype=np.int64)


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
            tile = self.tile(row)
            if symmetries is not None and len(self.read.bands) > 4:  # as fast as OpenCV, which has no such pixels
                # Pixels are moved as a whole, whatever their bytes are.
                pixels = np.ascontiguousarray(tile)[None].view(np.uint8)
                gather(pixels, _FIRST, symmetries[slot : slot + 1], images[slot : slot + 1].view(np.uint8))
            else:
                symmetric(tile, 0 if symmetries is None else int(symmetries[slot]), images[slot])
        return images


class JoinedTiles:
    """The tiles of two sources of the same size and bands: positions continue from the first into the second.

    Parameters
    ----------
    first, second
        The sources.
    """

    def __init__(self, first: TileSource, second: TileSource) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def fetch(
        self, rows: npt.NDArray[np.intp], symmetries: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Fetch the tiles of each source, and put them into the order of the rows."""
        later = rows >= len(self.first)
        parts = []
        for source, start, mine in ((self.first, 0, ~later), (self.second, len(self.first), later)):
            if mine.any():
                parts.append((mine, source.fetch(rows[mine] - start, None if symmetries is None else symmetries[mine])))
        images = np.empty((len(rows), *parts[0][1].shape[1:]), dtype=parts[0][1].dtype)
        for mine, part in parts:
            images[mine] = part
        return images
