"""Geometry of a scene: pixels on the ground, windows on a stride, and the cell that each window stands for.

A window is what the networks see; its cell is the ground that its tags are drawn on. Two neighbouring cells meet in the
middle of the overlap of their windows, so that the cells cover the scene once, without gaps::

    stride = size       |--window 0--|--window 1--|      cells are the windows
    stride = size / 2   |--window 0--|
                              |--window 1--|
                        |--cell 0---|--cell 1--|---      cells are their middles; the outermost reach the edge

The last window is pulled inwards, so that it ends where the scene ends.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError

#: Largest number of windows of a scene: their probabilities are held in memory.
MOST_WINDOWS = 10_000_000


@dataclass(frozen=True)
class Grid:
    """North-up pixels on the ground.

    Parameters
    ----------
    crs
        Coordinate reference system as WKT; empty for pixel coordinates, with y upwards.
    left, top
        Corner of the first pixel.
    dx, dy
        Width and height of a pixel, both positive, in units of the CRS.
    width, height
        Number of pixels.
    """

    crs: str
    left: float
    top: float
    dx: float
    dy: float
    width: int
    height: int

    @property
    def transform(self) -> Any:
        """The affine transform from column and row to coordinates, as rasterio takes it."""
        from rasterio import Affine

        return Affine(self.dx, 0.0, self.left, 0.0, -self.dy, self.top)

    def x(self, column: float) -> float:
        """Coordinate of the left side of a column."""
        return self.left + column * self.dx

    def y(self, row: float) -> float:
        """Coordinate of the upper side of a row."""
        return self.top - row * self.dy


@dataclass(frozen=True)
class Axis:
    """Windows along one axis of a scene.

    Parameters
    ----------
    length
        Pixels of the scene.
    size
        Pixels of a window.
    stride
        Pixels from one window to the next.
    starts
        First pixel of each window.
    edges
        First pixel of each cell, and the end of the last one.
    """

    length: int
    size: int
    stride: int
    starts: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]

    @property
    def padding(self) -> int:
        """Pixels that the scene lacks for one window."""
        return max(0, self.size - self.length)


@dataclass(frozen=True)
class Windows:
    """Windows of a scene, in rows and columns.

    Parameters
    ----------
    down, across
        Windows along the two axes.
    """

    down: Axis
    across: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return len(self.down.starts), len(self.across.starts)

    @property
    def size(self) -> int:
        """Edge of a window, pixels."""
        return self.down.size

    @property
    def stride(self) -> int:
        """Pixels from one window to the next."""
        return self.down.stride

    @property
    def is_padded(self) -> bool:
        """Whether the scene is smaller than a window."""
        return bool(self.down.padding or self.across.padding)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Rows of pixels, from and to, that the rows of windows from `first` up to and without `last` need."""
        end = int(self.down.starts[last - 1]) + self.size
        return int(self.down.starts[first]), min(end, self.down.length)

    def areas(self) -> npt.NDArray[np.float64]:
        """Pixels of each cell, shape (rows, columns)."""
        return np.outer(np.diff(self.down.edges), np.diff(self.across.edges)).astype(np.float64)


def place_windows(grid: Grid, size: int, stride: int) -> Windows:
    """Place windows of an edge on a stride over all pixels of a grid.

    Raises
    ------
    InputError
        If the stride is not in 1..size, or there would be too many windows.
    """
    if not 1 <= stride <= size:
        raise InputError(
            f"`stride` must be in 1..{size}, the edge of a window in pixels, not {stride}", option="stride"
        )
    rows, columns = (-(-max(0, length - size) // stride) + 1 for length in (grid.height, grid.width))
    if rows * columns > MOST_WINDOWS:
        problem = f"the scene has {rows:,} x {columns:,} windows, more than {MOST_WINDOWS:,}"
        raise InputError(problem, option="stride", remedy="choose a larger `stride`, or cut the scene into parts")
    return Windows(_axis(grid.height, size, stride), _axis(grid.width, size, stride))


def cell_bounds(
    grid: Grid, windows: Windows, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Left, bottom, right and top of cells in the coordinates of the grid: shape (cells, 4)."""
    down, across = windows.down.edges, windows.across.edges
    left, right = (grid.left + across[columns + step] * grid.dx for step in (0, 1))
    top, bottom = (grid.top - down[rows + step] * grid.dy for step in (0, 1))
    return np.stack([left, bottom, right, top], axis=1)


def stride_grid(grid: Grid, windows: Windows) -> Grid:
    """Make the grid with one pixel a window: each is a square of the stride around the middle of its window.

    The pixel of a last window that was pulled inwards stands up to one stride further out than the window's middle.
    """
    margin = (windows.size - windows.stride) / 2
    rows, columns = windows.shape
    step = windows.stride
    return Grid(grid.crs, grid.x(margin), grid.y(margin), grid.dx * step, grid.dy * step, columns, rows)


def _axis(length: int, size: int, stride: int) -> Axis:
    last = max(0, length - size)
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    if starts[-1] != last:
        starts = np.append(starts, last)
    between = (starts[:-1] + size + starts[1:]) // 2
    return Axis(length, size, stride, starts, np.concatenate([[0], between, [length]]).astype(np.int64))
