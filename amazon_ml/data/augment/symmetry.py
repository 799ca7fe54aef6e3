"""The symmetries of the square for whole batches of tiles, in one compiled call without Python code for each tile."""

import numpy as np
import numpy.typing as npt

from amazon_ml.data.augment.turning import turn
from amazon_ml.data.readers.images import Image


def gather(
    images: Image,
    rows: npt.NDArray[np.integer],
    symmetries: npt.NDArray[np.uint8] | None = None,
    out: Image | None = None,
) -> Image:
    """Gather tiles by row, and apply a symmetry to each.

    Parameters
    ----------
    images
        uint8 of shape (tiles, size, size, bands), contiguous.
    rows
        Positions of the tiles, in 0..tiles - 1; they may repeat.
    symmetries
        uint8 of the shape of `rows`, numbers 0..7; 0 for all by default. Bit 4 swaps rows and columns, then bit
        2 reverses the rows and bit 1 the columns.
    out
        Array for the result, uint8 (rows, size, size, bands), contiguous; a new array by default.

    Returns
    -------
    `out`.

    Raises
    ------
    IndexError
        If a row does not exist; nothing is written then.
    ValueError
        If symmetries or `out` have another shape or type, or images are not square or not uint8, or an array is not
        contiguous.
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
    if images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, not {images.dtype}: view their bytes as bands")
    if which.shape != rows.shape or which.dtype != np.uint8 or (which > 7).any():
        raise ValueError(f"symmetries must be {len(rows)} numbers 0..7 in uint8")
    if out.shape != shape or out.dtype != np.uint8:
        raise ValueError(f"out must be uint8 of shape {shape}, not {out.dtype} of {out.shape}")
    if not (images.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("images and out must be contiguous, bands innermost")
    if not out.size:
        return out
    if symmetries is None:
        return np.take(
            images, rows, axis=0, out=out, mode="clip"
        )  # rows were checked; mode "raise" would copy once more
    turn(images, rows, which, out)
    return out
