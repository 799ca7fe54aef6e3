"""Geometry of scenes: windows, cells and the raster of probabilities, against plain loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amazon_ml.errors import InputError
from amazon_ml.scenes.grid import Grid, Windows, cell_bounds, place_windows, stride_grid


def grid_of(height: int, width: int) -> Grid:
    return Grid("", 1000.0, 5000.0, 10.0, 20.0, width, height)


def starts_by_hand(length: int, size: int, stride: int) -> list[int]:
    """Step from window to window; the last one is pulled inwards."""
    starts, at = [], 0
    while at + size < length:
        starts.append(at)
        at += stride
    return [*starts, max(0, length - size)]


@given(height=st.integers(1, 200), width=st.integers(1, 200), size=st.integers(1, 70), stride=st.integers(1, 70))
def test_windows_lie_inside_and_cells_cover_every_pixel_once(height: int, width: int, size: int, stride: int) -> None:
    stride = min(stride, size)
    windows = place_windows(grid_of(height, width), size, stride)
    covered = np.zeros((height, width), dtype=int)
    for axis, length in ((windows.down, height), (windows.across, width)):
        assert axis.starts.tolist() == starts_by_hand(length, size, stride)
        assert (axis.edges[:-1] >= axis.starts).all() and (axis.edges[1:] <= axis.starts + size).all()
    down, across = windows.down.edges.tolist(), windows.across.edges.tolist()
    for top, bottom in itertools.pairwise(down):
        for left, right in itertools.pairwise(across):
            covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    assert windows.areas().sum() == height * width
    assert windows.is_padded == (height < size or width < size)


def test_cells_are_the_windows_where_the_stride_is_their_edge() -> None:
    grid = grid_of(64, 96)
    windows = place_windows(grid, 32, 32)
    assert windows.shape == (2, 3)
    bounds = cell_bounds(grid, windows, np.array([1]), np.array([2]))
    assert bounds.tolist() == [[1000 + 64 * 10, 5000 - 64 * 20, 1000 + 96 * 10, 5000 - 32 * 20]]
    assert stride_grid(grid, windows) == Grid("", 1000.0, 5000.0, 320.0, 640.0, 3, 2)


def test_cells_are_the_middles_of_windows_that_overlap() -> None:
    grid = grid_of(64, 128)
    windows = place_windows(grid, 64, 32)
    assert windows.across.starts.tolist() == [0, 32, 64]
    assert windows.across.edges.tolist() == [0, 48, 80, 128]
    raster = stride_grid(grid, windows)
    # the pixel of the second window is the middle of it, as its cell is
    ((left, _, right, _),) = cell_bounds(grid, windows, np.array([0]), np.array([1])).tolist()
    assert (raster.x(1), raster.x(2)) == (left, right)


def test_rows_of_windows_say_which_rows_of_pixels_they_need() -> None:
    windows = place_windows(grid_of(100, 40), 32, 16)
    assert windows.span(0, 1) == (0, 32)
    assert windows.span(1, 3) == (16, 64)
    assert windows.span(len(windows.down.starts) - 1, len(windows.down.starts)) == (68, 100)


@pytest.mark.parametrize("stride", [0, -1, 33])
def test_a_stride_that_leaves_gaps_is_refused(stride: int) -> None:
    with pytest.raises(InputError) as error:
        place_windows(grid_of(64, 64), 32, stride)
    assert error.value.option == "stride"


def test_too_many_windows_are_refused_before_memory_is_taken() -> None:
    with pytest.raises(InputError) as error:
        place_windows(Grid("", 0, 0, 1, 1, 2**31 - 1, 2**31 - 1), 32, 1)
    assert error.value.option == "stride"


def test_the_number_of_windows_is_that_of_the_formula() -> None:
    windows: Windows = place_windows(grid_of(10_980, 10_980), 256, 128)
    assert windows.shape == (math.ceil((10_980 - 256) / 128) + 1,) * 2 == (85, 85)
