"""Mean and standard deviation of each channel over some tiles."""

import numpy as np
import numpy.typing as npt

from amazon_ml.data.batches.sources import TileSource
from amazon_ml.data.readers.sample import SAMPLE_TILES

#: Tiles that are fetched at once.
_BATCH = 16


def draw_tiles(rows: npt.NDArray[np.integer], seed: int) -> npt.NDArray[np.integer]:
    """Draw up to `SAMPLE_TILES` of some rows, in rising order; the same seed draws the same ones."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE_TILES])


def channel_statistics(source: TileSource) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation of each channel over all pixels of the tiles of a source.

    Masked pixels count with the level that they have in a tile, 0.

    Returns
    -------
    Mean and standard deviation of each channel, as shares of the highest level, in 0..1. A channel with one value
    everywhere has the standard deviation 1, so that it becomes 0.
    """
    sums, pixels, highest = np.zeros((2, 1)), 0, 1  # of values and of their squares, for each channel
    for start in range(0, len(source), _BATCH):
        images = source.fetch(np.arange(start, min(start + _BATCH, len(source))), None)
        highest = np.iinfo(images.dtype).max
        for image in images:
            values = image.reshape(-1, image.shape[-1]).astype(np.float64)
            sums = sums + np.stack([values.sum(axis=0), np.square(values).sum(axis=0)])
            pixels += len(values)
    mean, square = sums / pixels
    variance = np.maximum(square - np.square(mean), 0)
    std = np.where(variance > 0, np.sqrt(variance), highest)
    return (mean / highest).tolist(), (std / highest).tolist()
