import ctypes
import mmap
import threading
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amazon_ml.data.augment.augment import symmetric
from amazon_ml.data.augment.symmetry import gather
from amazon_ml.data.readers.images import Image


def tiles(count: int, size: int, bands: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(256, size=(count, size, size, bands), dtype=np.uint8)


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 12])  # each is compiled
@pytest.mark.parametrize("size", [1, 2, 15, 16, 33, 64])
def test_each_symmetry_is_numpys_view(size: int, bands: int) -> None:
    images, which = tiles(8, size, bands), np.arange(8, dtype=np.uint8)
    turned = gather(images, which, which)
    np.testing.assert_array_equal(turned, np.stack([symmetric(images[i], i) for i in range(8)]))


#: Tiles above 64 KB, which are put together in a buffer: edges that squares and pieces divide or not, and rows whose
#: length is a multiple of a word of 16 bytes or not.
@pytest.mark.parametrize(
    ("size", "bands"),
    [(256, 3), (160, 3), (157, 3), (260, 1), (188, 2), (133, 4), (128, 5), (94, 8), (80, 12), (75, 12)],
)
@pytest.mark.parametrize("offset", [0, 1, 8])
def test_larger_tiles_are_numpys_views_and_nothing_else_is_written(size: int, bands: int, offset: int) -> None:
    images, which = tiles(4, size, bands), np.array([4, 5, 6, 7, 0, 1, 2, 3, 7, 0], dtype=np.uint8)
    rows = np.array([3, 0, 1, 1, 2, 3, 0, 2, 3, 3])
    shape = (len(rows), size, size, bands)
    around = np.full(np.prod(shape) + 256, 7, dtype=np.uint8)
    out = around[128 + offset : 128 + offset + np.prod(shape)].reshape(shape)
    gather(images, rows, which, out)
    np.testing.assert_array_equal(out, np.stack([symmetric(images[r], w) for r, w in zip(rows, which, strict=True)]))
    assert (around[: 128 + offset] == 7).all() and (around[128 + offset + out.size :] == 7).all()


@pytest.mark.parametrize(
    ("size", "bands"), [(256, 3), (157, 3), (64, 3), (130, 4), (128, 5), (94, 8), (128, 8), (75, 12), (128, 12)]
)
@pytest.mark.parametrize("at_end", [False, True])
def test_nothing_beyond_the_tiles_is_read(size: int, bands: int, at_end: bool) -> None:
    page, whole = mmap.PAGESIZE, size * size * bands
    room = -(-whole // page) * page
    memory = np.frombuffer(mmap.mmap(-1, page + room + page), dtype=np.uint8)
    protect = ctypes.CDLL(None).mprotect
    for start in (0, page + room):  # to read here ends the process
        assert protect(ctypes.c_void_p(memory.ctypes.data + start), ctypes.c_size_t(page), 0) == 0
    start = page + room - whole if at_end else page
    images = memory[start : start + whole].reshape(1, size, size, bands)
    images[:] = tiles(1, size, bands)
    turned = gather(images, np.zeros(8, dtype=np.int64), np.arange(8, dtype=np.uint8))
    np.testing.assert_array_equal(turned, np.stack([symmetric(images[0], which) for which in range(8)]))


def test_tiles_without_pixels_write_nothing() -> None:
    around = np.full(16, 7, dtype=np.uint8)
    out = np.ndarray((2, 0, 0, 3), np.uint8, buffer=around, offset=5)
    gather(tiles(1, 0, 3), np.zeros(2, dtype=np.int64), np.full(2, 4, dtype=np.uint8), out)
    assert (around == 7).all()


@pytest.mark.parametrize("bands", [3, 5])
@pytest.mark.parametrize("count", [0, 2])
def test_no_rows_of_a_store_give_no_tiles(count: int, bands: int) -> None:
    none = np.zeros(0, dtype=np.int64)
    for which in (None, none.astype(np.uint8)):
        assert gather(tiles(count, 8, bands), none, which).shape == (0, 8, 8, bands)


def test_the_eight_are_the_turns_and_mirrorings_of_a_square() -> None:
    tile = tiles(1, 5, 3)
    ours = {image.tobytes() for image in gather(tile, np.zeros(8, dtype=np.int64), np.arange(8, dtype=np.uint8))}
    turns = {np.rot90(view, k).tobytes() for k in range(4) for view in (tile[0], tile[0, ::-1])}
    assert ours == turns and len(ours) == 8


@settings(max_examples=50)
@example(rows=[], seed=0)
@example(rows=[3, 3, 3, 0], seed=0)
@given(rows=st.lists(st.integers(0, 6), max_size=20), seed=st.integers(0, 99))
def test_any_rows_come_in_the_order_asked_for(rows: list[int], seed: int) -> None:
    images, rng = tiles(7, 6, 3, seed), np.random.default_rng(seed)
    which = rng.integers(8, size=len(rows), dtype=np.uint8)
    out = np.full((len(rows), 6, 6, 3), 7, dtype=np.uint8)
    assert gather(images, np.array(rows, dtype=np.int64), which, out) is out
    assert all((out[i] == symmetric(images[row], which[i])).all() for i, row in enumerate(rows))
    np.testing.assert_array_equal(gather(images, np.array(rows, dtype=np.int64)), images[np.array(rows, dtype=int)])


@pytest.mark.parametrize("rows", [[0, 4], [-1], [-5, 0], [2**40]])
def test_rows_that_are_not_there_are_refused_before_anything_is_written(rows: list[int]) -> None:
    out = np.full((len(rows), 3, 3, 3), 7, dtype=np.uint8)
    with pytest.raises(IndexError, match=rf" {min(rows)}\.\.{max(rows)} .*\b4 tiles"):
        gather(tiles(4, 3, 3), np.array(rows), out=out)
    assert (out == 7).all()


def test_what_does_not_fit_is_refused() -> None:
    images, rows = tiles(4, 4, 3), np.arange(2)
    for symmetries in (np.array([0, 8], np.uint8), np.array([0], np.uint8), np.array([0, 1])):
        with pytest.raises(ValueError, match=r"\b0\.\.7\b"):
            gather(images, rows, symmetries)
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 3\).*\(2, 4, 4, 4\)"):
        gather(images, rows, out=np.empty((2, 4, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="uint16"):
        gather(images.astype(np.uint16), rows)
    for gaps in (images[..., ::-1], images[::2]):
        with pytest.raises(ValueError, match="contiguous"):
            gather(gaps, np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.uint8))
    with pytest.raises(ValueError, match="contiguous"):
        gather(images, rows, np.zeros(2, dtype=np.uint8), np.empty((4, 4, 4, 3), np.uint8)[::2])
    with pytest.raises(ValueError, match=r"\b3 x 4\b"):
        gather(images[:, :3], rows)


def test_another_thread_runs_while_a_batch_is_gathered() -> None:
    images, rows = tiles(16, 256, 3), np.zeros(500, dtype=np.int64) + 3
    out = np.empty((len(rows), 256, 256, 3), dtype=np.uint8)
    which = np.full(len(rows), 7, dtype=np.uint8)
    gather(images, rows[:1], which[:1])
    thread = threading.Thread(target=gather, args=(images, rows, which, out))
    began, turns = time.perf_counter(), 0
    thread.start()
    while thread.is_alive():
        turns += 1
        time.sleep(0.001)
    # With the lock held throughout, the loop would turn once or twice.
    assert turns > 5, f"{turns} turns in {time.perf_counter() - began:.3f} s"
