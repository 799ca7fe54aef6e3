"""The symmetries of the square, for whole batches of tiles: one compiled call, without Python for each tile.

numpy's own way, a view with swapped or backward axes that is then copied, moves bytes one by one; here pixels
are moved, and a transposition goes through the tile in squares that fit into the cache.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from amazon_ml.data.images import Image

#: Pixels along the edge of the squares that a transposition swaps: 16 rows of both squares stay in a 32 KB cache.
_SQUARE = np.uint64(16)


def gather(
    images: Image,
    rows: npt.NDArray[np.integer],
    symmetries: npt.NDArray[np.uint8] | None = None,
    out: Image | None = None,
) -> Image:
    """Gather tiles by row, each turned by a symmetry of its own.

    Parameters
    ----------
    images
        uint8 of shape (tiles, size, size, bands), contiguous.
    rows
        Which of them, in 0..tiles - 1; any may stand more than once.
    symmetries
        uint8 of the shape of `rows`, numbers 0..7; 0 for all by default. Bit 4 swaps rows and columns, then bit
        2 reverses the rows and bit 1 the columns.
    out
        Where to put them, uint8 (rows, size, size, bands), contiguous; a new array by default.

    Returns
    -------
    `out`.

    Raises
    ------
    IndexError
        For a row that is not there; nothing is written then.
    ValueError
        For symmetries or an `out` of another shape or type, and for images that are not square.
    """
    tiles, height, width, bands = images.shape
    rows = np.asarray(rows, dtype=np.int64)
    which = np.zeros(rows.shape, dtype=np.uint8) if symmetries is None else symmetries
    shape = (*rows.shape, height, width, bands)
    out = np.empty(shape, dtype=np.uint8) if out is None else out
    if rows.size and not 0 <= rows.min() <= rows.max() < tiles:
        raise IndexError(f"rows {rows.min()}..{rows.max()} of {tiles} tiles")
    if rows.ndim != 1 or height != width:
        raise ValueError(f"rows must be one list, not of shape {rows.shape}, and tiles square, not {height} x {width}")
    if which.shape != rows.shape or which.dtype != np.uint8 or (which > 7).any():
        raise ValueError(f"symmetries must be {len(rows)} numbers 0..7 in uint8")
    if out.shape != shape or out.dtype != np.uint8:
        raise ValueError(f"out must be uint8 of shape {shape}, not {out.dtype} of {out.shape}")
    _gather(_as_pixels(images), rows, which, _as_pixels(out))
    return out


def _as_pixels(images: Image) -> npt.NDArray[np.void]:
    """See the bands of a pixel as one element, (tiles, size, size), which is moved as a whole."""
    if not images.flags.c_contiguous:
        raise ValueError("images must be contiguous, bands innermost")
    pixels: npt.NDArray[np.void] = images.view(np.dtype([("bands", np.uint8, (images.shape[-1],))]))
    return pixels[..., 0]


def _gather_pixels(
    images: npt.NDArray[np.void],
    rows: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.uint8],
    out: npt.NDArray[np.void],
) -> None:
    # Indices are unsigned throughout: for signed ones, Numba would look for negative values at every pixel.
    size = np.uint64(images.shape[1])
    last = size - np.uint64(1)
    kept = np.empty(1, images.dtype)
    for slot in range(len(rows)):
        tile, turned, which = images[rows[slot]], out[slot], symmetries[slot]
        swap, up, left = which & 4 != 0, which & 2 != 0, which & 1 != 0
        if swap:  # to reverse the columns and then transpose is to transpose and then reverse the rows
            up, left = left, up
        for y in range(size):
            source = last - y if up else y
            for x in range(size):
                turned[y, x] = tile[source, last - x if left else x]
        if swap:  # in place, while the tile is in the cache: reading it in squares from far memory takes longer
            for top in range(np.uint64(0), size, _SQUARE):
                for edge in range(top, size, _SQUARE):
                    for y in range(top, min(top + _SQUARE, size)):
                        for x in range(max(edge, y + np.uint64(1)), min(edge + _SQUARE, size)):  # type: ignore[call-overload]
                            kept[0] = turned[y, x]
                            turned[y, x] = turned[x, y]
                            turned[x, y] = kept[0]


#: `_gather_pixels`, compiled at the first call, in about half a second. Not kept on disk, where the package's and
#: the home folder may be read-only or full. Without Python's global lock, so that a thread can read ahead.
_gather: Any = numba.njit(_gather_pixels, nogil=True)
