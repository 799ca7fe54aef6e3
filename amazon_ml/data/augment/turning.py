"""Compiled loops that gather tiles and turn them, in the order that memory prefers.

What takes time is memory, not arithmetic. So the next tile is fetched into the cache of the core while a tile is
turned. A larger tile whose rows become columns is first put together in a buffer in that cache, and then copied to the
batch row by row: written directly, its columns would be scattered over the batch, which is not in the cache. Rows of
the buffer have a gap, so that the pixels of a column do not compete for the same places of the cache.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from amazon_ml.data.augment.vectors import (
    LINE,
    PIECE,
    SQUARE,
    WORD,
    copy_word,
    finish_streams,
    prefetch,
    reverse_rgb,
    stream,
    turn_square,
    turn_square_wide,
)
from amazon_ml.data.readers.images import Image

#: Bytes of the largest tile that is written directly to its place: a batch of such tiles stays in the cache.
_SMALL = 2**16
#: Bytes of the largest tile for which the next one is fetched ahead: both, and the buffer, must fit into the cache.
_NEAR = 2**18
_Pixels = npt.NDArray[np.void]
_Number = Any  # uint64, where Numba compiles it
_Function = TypeVar("_Function", bound=Callable[..., None])


def turn(images: Image, rows: npt.NDArray[np.integer], symmetries: npt.NDArray[np.uint8], out: Image) -> None:
    """Gather tiles by row into `out`, and apply a symmetry to each; nothing is checked.

    Parameters
    ----------
    images
        uint8 of shape (tiles, size, size, bands), contiguous.
    rows
        Positions of the tiles.
    symmetries
        Numbers 0..7, of the shape of `rows`; see `amazon_ml.data.augment.symmetry.gather`.
    out
        uint8 of shape (rows, size, size, bands), contiguous.
    """
    size, bands = images.shape[2:]
    # A gap only where a row is a multiple of a word: the pixels of a column of other rows seldom compete, and without
    # gaps the buffer is copied to the batch in one piece. What is written before or after a row falls into a gap, and
    # nothing is written before the first row, which is copied pixel by pixel.
    gap = 0 if size * bands % WORD else LINE // bands + 1
    buffer = np.empty((size, size + gap, bands) if size * size * bands > _SMALL else (0, 0, bands), dtype=np.uint8)
    addresses = (np.uint64(array.ctypes.data) for array in (images, out, buffer))
    _loop(bands)(_as_pixels(images), rows, symmetries, _as_pixels(out), _as_pixels(buffer), *addresses)


def _as_pixels(images: Image) -> _Pixels:
    """View the bands of a pixel as one element that is moved as a whole; shape (…, size, size)."""
    pixels: _Pixels = images.view(np.dtype([("bands", np.uint8, (images.shape[-1],))]))
    return pixels[..., 0]


def _compiled(function: _Function) -> _Function:
    """Compile a function at its first call. It releases the interpreter lock, so that a thread can read ahead.

    It is not cached on disk, since the folder of the package and the home folder may be read-only or full.
    """
    return cast(_Function, numba.njit(function, nogil=True))


@cache
def _loop(bands: int) -> Any:
    """Give the loop over tiles for a number of bands; its first call takes about a second more."""
    # All numbers are unsigned: for signed ones, Numba would look for negative indices at every pixel. Addresses and
    # steps are in bytes; steps towards the start of memory wrap around.
    zero, one, square, piece = np.uint64(0), np.uint64(1), np.uint64(SQUARE), np.uint64(PIECE)
    line, word, near, pixel = np.uint64(LINE), np.uint64(WORD), np.uint64(_NEAR), np.uint64(bands)
    rgb, in_squares, in_words = bands == 3, bands in turn_square, WORD <= 2 * bands < 2 * WORD
    turn_exact, turn_wide = (kinds.get(bands, turn_square[1]) for kinds in (turn_square, turn_square_wide))

    @_compiled
    def swap_rows(
        tile: _Pixels, turned: _Pixels, y: _Number, end: _Number, up: bool, left: bool,
        source: _Number, target: _Number, step: _Number,
    ) -> None:  # fmt: skip
        """Write rows y to end - 1 of a tile as columns of `turned`, whose rows are `step` bytes apart."""
        size = np.uint64(tile.shape[1])
        last, row = size - one, size * pixel
        read, read_step = source + (end - one if left else y) * row, zero - row if left else row
        write = target + (last * step if up else zero) + (size - end if left else y) * pixel
        write_step = zero - step if up else step
        whole = size // square * square if in_squares and end - y == square else zero
        # What a wide square overwrites to its right is written later: `turn_tiles` gives the groups of rows so that
        # columns come from left to right, and rows of the buffer end in a gap. What it reads to the right of its rows
        # must exist, so the last square is not wide.
        wide = whole - square if rgb and step > row and whole > zero else zero
        for x in range(zero, wide, square):
            turn_wide(read + x * pixel, read_step, write + x * write_step, write_step)
        for x in range(wide, whole, square):
            turn_exact(read + x * pixel, read_step, write + x * write_step, write_step)
        if in_words and step > row:
            # A word holds a pixel and a neighbour or a part of it, whose column is written next. The first and the last
            # pixel of a row are copied alone, since the memory beyond the tile may not exist.
            before = word - pixel if left else zero
            target += (last * step if up else zero) - before
            for below in range(y, end):
                column = last - below if left else below
                read, write = source + below * row - before, target + column * pixel
                for x in range(one, last):
                    copy_word(read + x * pixel, write + x * write_step)
                turned[last if up else zero, column] = tile[below, zero]
                turned[zero if up else last, column] = tile[below, last]
            return
        for below in range(y, end):
            column = last - below if left else below
            if up:
                for x in range(whole, size):
                    turned[last - x, column] = tile[below, x]
            else:
                for x in range(whole, size):
                    turned[x, column] = tile[below, x]

    @_compiled
    def copy_row(
        tile: _Pixels, turned: _Pixels, y: _Number, to: _Number, left: bool, source: _Number, target: _Number
    ) -> None:
        """Copy row y of a tile to row `to` of `turned`, which begins at the address `target`; reverse it if `left`."""
        size = np.uint64(tile.shape[1])
        if not left:
            for x in range(size):
                turned[to, x] = tile[y, x]
            return
        last, whole = size - one, size // piece * piece if rgb else zero
        read, write = source + y * size * pixel, target + (size - piece) * pixel
        for x in range(zero, whole, piece):
            reverse_rgb(read + x * pixel, write - x * pixel)
        for x in range(whole, size):
            turned[to, last - x] = tile[y, x]

    @_compiled
    def leave_cache(source: _Number, target: _Number, length: _Number) -> None:
        """Copy at least `WORD` bytes to the batch, past the cache.

        Words at addresses that are multiples of `WORD` are streamed. The rest at both ends is copied as words, too,
        which overlap them.
        """
        start, end = (zero - target) % word, length - (target + length) % word
        if start > zero:
            copy_word(source, target)
        for at in range(start, end, word):
            stream(source + at, target + at)
        if end < length:
            copy_word(source + length - word, target + length - word)

    @_compiled
    def turn_tiles(
        images: _Pixels, rows: npt.NDArray[np.int64], symmetries: npt.NDArray[np.uint8], out: _Pixels, buffer: _Pixels,
        source: _Number, target: _Number, buffer_at: _Number,
    ) -> None:  # fmt: skip
        size, count = np.uint64(images.shape[1]), np.uint64(len(rows))
        row, step = size * pixel, np.uint64(buffer.shape[1]) * pixel
        whole, groups = size * row, (size + square - one) // square
        for slot in range(count):
            tile, turned, which = images[rows[slot]], out[slot], symmetries[slot]
            read, write = source + np.uint64(rows[slot]) * whole, target + slot * whole
            following = source + np.uint64(rows[min(slot + one, count - one)]) * whole
            swapped, up, left = which & 4 != 0, which & 2 != 0, which & 1 != 0
            for group in range(groups):
                if whole <= near:
                    start = group * square * row
                    for ahead in range(start, min(whole, start + square * row), line):
                        prefetch(following + ahead)
                # From below, where the first row becomes the last column: `swap_rows` wants columns from left to right.
                y = (groups - one - group if rgb and swapped and left else group) * square
                end = min(size, y + square)
                if swapped and step > zero:
                    swap_rows(tile, buffer, y, end, up, left, read, buffer_at, step)
                elif swapped:
                    swap_rows(tile, turned, y, end, up, left, read, write, row)
                else:
                    for below in range(y, end):
                        to = size - one - below if up else below
                        if step <= row:
                            copy_row(tile, turned, below, to, left, read, write + to * row)
                        elif left:
                            copy_row(tile, buffer, below, zero, left, read, buffer_at)
                            leave_cache(buffer_at, write + to * row, row)
                        else:
                            leave_cache(read + below * row, write + to * row, row)
            if swapped and step > row:
                for done in range(size):
                    leave_cache(buffer_at + done * step, write + done * row, row)
            elif swapped and step > zero:
                leave_cache(buffer_at, write, whole)
        finish_streams()

    return turn_tiles
