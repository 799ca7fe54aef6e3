"""Perceptual hashes, and pairs of them that differ in few bits.

The hash is the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, section 3.2.1: the 64 lowest frequencies of a 32 x 32 grey thumbnail without the
constant ones; each bit is 1 where a coefficient lies above their median. Brightness and contrast do not
change it. The averaging to the thumbnail replaces the smoothing of the paper.
"""

import numpy as np
import numpy.typing as npt

from amazon_ml.runtime.progress import mapped

Hashes = npt.NDArray[np.uint64]

#: Edge of a thumbnail, pixels.
THUMBNAIL = 32
_FREQUENCIES = np.arange(1, 9)
#: Rec. 601 weights of blue, green, red.
_GREY = np.array([0.114, 0.587, 0.299], dtype=np.float32)
#: Rows and columns that are compared at once: their differences fit into the cache of a core.
_ROWS, _COLUMNS = 16, 4096


def perceptual_hashes(thumbnails: npt.NDArray[np.uint8]) -> Hashes:
    """Hash thumbnails.

    Parameters
    ----------
    thumbnails
        Shape (tiles, 32, 32, 3), bands blue, green, red.

    Returns
    -------
    uint64 array of shape (tiles,); the highest bit belongs to the lowest frequencies.
    """
    hashes = np.empty(len(thumbnails), dtype=np.uint64)
    cosines = np.cos(np.pi / THUMBNAIL * np.outer(_FREQUENCIES, np.arange(THUMBNAIL) + 0.5)).astype(np.float32)
    for start in range(0, len(thumbnails), _COLUMNS):
        grey = thumbnails[start : start + _COLUMNS].astype(np.float32) @ _GREY
        lowest = (cosines @ grey @ cosines.T).reshape(len(grey), 64)
        bits = lowest > np.median(lowest, axis=1, keepdims=True)
        hashes[start : start + _COLUMNS] = np.packbits(bits, axis=1).view(">u8").ravel()
    return hashes


def close_pairs(hashes: Hashes, first: int, distance: int, *, num_workers: int = 1) -> npt.NDArray[np.intp]:
    """Find all pairs of hashes that differ in at most `distance` bits.

    All pairs are compared; 40,000 hashes with 100,000 take a few seconds.

    Parameters
    ----------
    hashes
        Shape (tiles,).
    first
        Number of the first hashes; one hash of each pair is among them, and the others are not compared with each
        other.
    distance
        Largest number of different bits.
    num_workers
        Number of threads.

    Returns
    -------
    Integer array of shape (pairs, 2): positions, the lower one first, in rising order.
    """

    def compare(start: int) -> npt.NDArray[np.intp]:
        rows = hashes[start : min(start + _ROWS, first), None]
        found = []
        for column in range(start, len(hashes), _COLUMNS):
            differing = np.bitwise_count(rows ^ hashes[None, column : column + _COLUMNS])
            found.append(np.argwhere(differing <= distance) + np.array([start, column]))
        pairs = np.concatenate(found)
        return np.asarray(pairs[pairs[:, 0] < pairs[:, 1]], dtype=np.intp)

    blocks = list(mapped(compare, range(0, first, _ROWS), num_workers=num_workers, what="comparing tiles"))
    pairs = np.concatenate([np.empty((0, 2), dtype=np.intp), *blocks])
    return pairs[np.lexsort(pairs.T[::-1])]
