"""Finds pairs of tiles that show nearly the same."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.checks.hashes import close_pairs, perceptual_hashes

#: Limits for near duplicates: largest number of bits in which the hashes differ.
DISTANCE = 12
#: Largest difference of the mean colours of the thumbnails, of 255 levels.
OFFSET = 8.0
#: Largest mean absolute difference of the thumbnails without their mean colours, in levels.
DIFFERENCE = 1.5
#: Least correlation of the thumbnails without their mean colours.
CORRELATION = 0.9
_BLOCK = 512


def near_pairs(
    thumbnails: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], first: int, *, num_workers: int = 1
) -> pd.DataFrame:
    """Find pairs of tiles that show nearly the same: saved again, a little brighter, moved by a pixel.

    Perceptual hashes find candidates. Thumbnails confirm them, since hashes of clouds or closed forest agree by
    chance. The limits were chosen on the tiles of the competition. Among the 2.5 thousand million pairs of 32,343
    training tiles with each other and with 61,191 test tiles at 32 px, they find one, of two tiles of haze without
    features; the pairs next to the limits show different places. Of 124 tiles at 256 px, they find all again that
    were saved as JPEG of quality 90, also 3 levels brighter; 98 % at quality 75; 96 % moved by one pixel, and half
    of those moved by two. They find one of three tiles of 32 px again, whose noise is not averaged, and no wrong pair
    there either.

    Parameters
    ----------
    thumbnails
        uint8 array of shape (tiles, 32, 32, 3).
    rows
        Positions of the tiles to compare, in rising order.
    first
        Number of the first tiles; one tile of each pair is among them, and the others are not compared with each
        other.
    num_workers
        Number of threads.

    Returns
    -------
    Table of ``first`` and ``second`` (positions) and ``correlation``.
    """
    hashes, colours = perceptual_hashes(thumbnails), thumbnails.mean(axis=(1, 2), dtype=np.float32)
    pairs = rows[close_pairs(hashes[rows], int((rows < first).sum()), DISTANCE, num_workers=num_workers)]
    offset = np.abs(colours[pairs[:, 0]] - colours[pairs[:, 1]]).max(axis=1)
    pairs = pairs[offset <= OFFSET]
    blocks = [_compare(thumbnails, pairs[start : start + _BLOCK]) for start in range(0, len(pairs), _BLOCK)]
    difference, correlation = np.concatenate([np.empty((0, 2)), *blocks]).T
    alike = (difference <= DIFFERENCE) & (correlation >= CORRELATION)
    first_of, second_of = pairs[alike].T
    return pd.DataFrame({"first": first_of, "second": second_of, "correlation": correlation[alike]})


def _compare(thumbnails: npt.NDArray[np.uint8], pairs: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Measure difference and correlation of pairs without their mean colours: shape (pairs, 2)."""
    a, b = (thumbnails[pairs[:, side]].reshape(len(pairs), -1, 3).astype(np.float32) for side in (0, 1))
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    energy = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    correlation = (a * b).sum(axis=(1, 2)) / np.maximum(energy, np.finfo(np.float32).tiny)
    return np.stack([np.abs(a - b).mean(axis=(1, 2)), correlation], axis=1)
