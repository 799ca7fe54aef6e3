"""Tiles from files of which some cannot be decoded: these are noted, and the others are still read."""

import numpy as np
import pandas as pd
import torch

from amazon_ml.data.batches.sources import TileFiles
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import Image
from amazon_ml.errors import InputError

#: Number of tiles that are tried first, spread over all: if none of them can be read, the cause is not in the files.
_TRIED = 8


class TolerantFiles(TileFiles):
    """Tiles that are decoded from their files each time; a tile that cannot be decoded becomes black, and is noted.

    Parameters
    ----------
    tiles, read, size
        As `TileFiles` takes them.

    Raises
    ------
    InputError
        If none of a few tiles can be read.
    """

    def __init__(self, tiles: pd.DataFrame, read: TileReader, size: int) -> None:
        super().__init__(tiles, read, size)
        self._failed = torch.zeros(len(tiles), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]  # loader processes write to it, too
        tried = np.unique(np.linspace(0, len(tiles) - 1, min(_TRIED, len(tiles))).astype(int))
        faults = [fault for row in tried if (fault := self._fault(row))]
        if faults and len(faults) == len(tried):
            raise faults[0]

    def tile(self, row: int) -> Image:
        """Read and scale one tile, or note that it cannot be read."""
        try:
            return super().tile(row)
        except InputError:
            self._failed[row] = True
            return np.zeros((self.size, self.size, len(self.read.bands)), dtype=self.read.dtype)

    def failures(self) -> dict[int, InputError]:
        """Return the positions of the tiles that were not read, each with the reason."""
        return {row: self._fault(row) or self._repaired(row) for row in torch.nonzero(self._failed).flatten().tolist()}

    def _repaired(self, row: int) -> InputError:
        problem = "the file could not be read before, and can be now"
        return InputError(problem, file=self.files(row)[0], remedy="predict it again")

    def _fault(self, row: int) -> InputError | None:
        try:
            super().tile(row)
        except InputError as error:
            return error
        return None
