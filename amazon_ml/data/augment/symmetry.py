"""The symmetries of the square for whole batches of tiles, in one compiled call without Python code for each tile.

numpy copies a view with swapped or reversed axes byte by byte. This module moves whole pixels. Rows that become columns
go through the cache: pixels of up to three bands by way of a buffer, larger ones in blocks of columns.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.images import Image

#: Number of rows that are copied in the order of memory before they become columns: with 256 px and 3 bands they fill
#: half of the innermost cache of a core. Reading along columns of the tile would wait for memory at every pixel.
_BAND = 32
#: Number of columns of a block. Each column was a row of the tile, and the next pixels of 48 rows stay in the innermost
#: cache. For pixels of four bytes and more this is faster than the buffer.
_BLOCK = 48
#: Little-endian on every machine: the first pixel is in the lowest bits.
_WORD = np.dtype("<u8")


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
        If symmetries or `out` have another shape or type, or images are not square.
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
    if not rows.size:
        return out
    if symmetries is None:
        return np.take(
            images, rows, axis=0, out=out, mode="clip"
        )  # rows were checked; mode "raise" would copy once more
    if bands > 3:
        # Rows that stay rows are copied by eight bytes where that divides them.
        unit = _WORD if width * bands % _WORD.itemsize == 0 else np.dtype(np.uint8)
        _gather_blocks(
            _as_pixels(images), rows, which, _as_pixels(out), images.reshape(-1).view(unit), out.reshape(-1).view(unit)
        )
        return out
    band = np.empty(_BAND * height * bands + _WORD.itemsize, dtype=np.uint8)
    rows_of_band = band[: -_WORD.itemsize].reshape(1, _BAND, height, bands)
    _gather(
        _as_pixels(images), rows, which, _as_pixels(out), _as_pixels(rows_of_band)[0],
        _as_words(band, bands), _as_words(out, bands), bands == 3,
    )  # fmt: skip
    return out


def _as_pixels(images: Image) -> npt.NDArray[np.void]:
    """View the bands of a pixel as one element that is moved as a whole; shape (tiles, size, size)."""
    if not images.flags.c_contiguous:
        raise ValueError("images must be contiguous, bands innermost")
    pixels: npt.NDArray[np.void] = images.view(np.dtype([("bands", np.uint8, (images.shape[-1],))]))
    return pixels[..., 0]


def _as_words(images: Image, bands: int) -> npt.NDArray[np.uint64]:
    """View eight bytes from each pixel on, overlapping: a pixel of three bands, the next, and the start of a third."""
    count = max(0, (images.size - _WORD.itemsize) // bands + 1)
    return np.ndarray((count,), _WORD, buffer=images.data, strides=(bands,))


def _gather_pixels(
    images: npt.NDArray[np.void],
    rows: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.uint8],
    out: npt.NDArray[np.void],
    band: npt.NDArray[np.void],
    band_words: npt.NDArray[np.uint64],
    out_words: npt.NDArray[np.uint64],
    rgb: bool,
) -> None:
    # Indices are unsigned throughout: for signed ones, Numba would look for negative values at every pixel.
    zero, one, two = np.uint64(0), np.uint64(1), np.uint64(2)
    size, most = np.uint64(images.shape[1]), np.uint64(len(band))
    last, even = size - one, size // two * two
    pixel, next_to_it = np.uint64(0xFFFFFF), np.uint64(24)
    for slot in range(np.uint64(len(rows))):
        tile, turned, which = images[rows[slot]], out[slot], symmetries[slot]
        up, left = which & 2 != 0, which & 1 != 0
        if which & 4 == 0:
            for y in range(size):
                source = last - y if up else y
                for x in range(size):
                    turned[y, x] = tile[source, last - x if left else x]
            continue
        for start in range(zero, size, most):
            columns = min(most, size - start)
            for x in range(columns):
                source = last - start - x if left else start + x
                for y in range(size):
                    band[x, y] = tile[source, last - y if up else y]
            # Squares of two by two RGB pixels, in words: half as many steps. Each word overwrites the pixel after it,
            # which is written later; so the last column is not included, since another row begins after it.
            paired = (min(columns, last - start) // two * two) if rgb else zero
            for y in range(zero, even if rgb else zero, two):
                upper = (slot * size + y) * size + start
                for x in range(zero, paired, two):
                    first, second = band_words[x * size + y], band_words[(x + one) * size + y]
                    out_words[upper + x] = first & pixel | (second & pixel) << next_to_it
                    first, second = first >> next_to_it, second >> next_to_it
                    out_words[upper + size + x] = first & pixel | (second & pixel) << next_to_it
            for y in range(size):
                for x in range(paired if y < even else zero, columns):
                    turned[y, start + x] = band[x, y]


def _gather_large_pixels(
    images: npt.NDArray[np.void],
    rows: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.uint8],
    out: npt.NDArray[np.void],
    units: npt.NDArray[np.unsignedinteger[Any]],
    out_units: npt.NDArray[np.unsignedinteger[Any]],
) -> None:
    zero, one = np.uint64(0), np.uint64(1)
    size, block = np.uint64(images.shape[1]), np.uint64(_BLOCK)
    last, row_of_units = size - one, np.uint64(len(units)) // (np.uint64(len(images)) * size)
    for slot in range(np.uint64(len(rows))):
        row = np.uint64(rows[slot])
        tile, turned, which = images[row], out[slot], symmetries[slot]
        up, left = which & 2 != 0, which & 1 != 0
        if which & 4 != 0:
            for start in range(zero, size, block):
                end = min(size, start + block)
                for y in range(size):
                    source = last - y if up else y
                    if left:
                        for x in range(start, end):
                            turned[y, x] = tile[last - x, source]
                    else:
                        for x in range(start, end):
                            turned[y, x] = tile[x, source]
            continue
        for y in range(size):
            source = last - y if up else y
            if left:
                for x in range(size):
                    turned[y, x] = tile[source, last - x]
            else:
                first, target = (row * size + source) * row_of_units, (slot * size + y) * row_of_units
                for unit in range(row_of_units):
                    out_units[target + unit] = units[first + unit]


#: `_gather_pixels`, compiled at the first call in about half a second. It is not cached on disk, since the folder of
#: the package and the home folder may be read-only or full. It releases the interpreter lock, so that a thread can
#: read ahead.
_gather: Any = numba.njit(_gather_pixels, nogil=True)
#: `_gather_large_pixels`, compiled likewise.
_gather_blocks: Any = numba.njit(_gather_large_pixels, nogil=True)
