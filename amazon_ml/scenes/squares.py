"""Which squares of one size hold a point, in about the time that it takes to sort both."""

from itertools import product

import numpy as np
import numpy.typing as npt

Pairs = npt.NDArray[np.int64]


def hold_a_point(corners: Pairs, points: Pairs, size: int) -> npt.NDArray[np.bool_]:
    """Whether each square holds a point.

    A square lies in up to four cells of a grid of its size, and covers a corner of each. So a cell needs no list of its
    points: the outermost column among the points up to a row says whether a corner holds one. Points that lie close
    together do not make it slower, as comparing each with each square would.

    Parameters
    ----------
    corners
        First row and column of each square, 0 or more; shape (squares, 2).
    points
        Row and column of each point, 0 or more; shape (points, 2).
    size
        Edge of the squares.
    """
    found = np.zeros(len(corners), dtype=bool)
    if not len(points):
        return found
    first, start = np.divmod(corners, size)
    cell, at = np.divmod(points, size)
    cells = int(max(first[:, 1].max(initial=0), cell[:, 1].max())) + 2
    for down, across in product((0, 1), repeat=2):
        # In its first cell a square has the rows from `start` on, in the next one those before it. Rows are counted
        # from the side that the square reaches, and columns towards it.
        row, last = (at[:, 0], start[:, 0] - 1) if down else (size - 1 - at[:, 0], size - 1 - start[:, 0])
        column, least = (size - 1 - at[:, 1], size - start[:, 1]) if across else (at[:, 1], start[:, 1])
        base = (cell[:, 0] * cells + cell[:, 1]) * size
        wanted = ((first[:, 0] + down) * cells + first[:, 1] + across) * size
        order = np.argsort(base + row, kind="stable")
        outermost = np.maximum.accumulate((base + column)[order])  # that of a later cell is larger
        before = np.searchsorted((base + row)[order], wanted + last, side="right") - 1
        found |= (before >= 0) & (outermost[before] >= wanted + least)
    return found
