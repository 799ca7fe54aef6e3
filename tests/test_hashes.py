"""Perceptual hashes against SciPy's cosine transform, the search against brute force, and both on planted pairs."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn

from amazon_ml.data.checks.duplicates import near_pairs
from amazon_ml.data.checks.hashes import close_pairs, perceptual_hashes

Pixels = npt.NDArray[np.uint8]


@cache
def scenery(seed: int, size: int) -> Pixels:
    rng = np.random.default_rng(seed)
    waves = [cv2.GaussianBlur(rng.normal(size=(size, size, 3)), (0, 0), width) * width for width in (1.5, 6, 20)]
    return (rng.integers(70, 150, size=3) + 25 * sum(waves)).clip(5, 250).astype(np.uint8)


def thumbnail(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def test_bits_are_low_frequencies_above_their_median() -> None:
    thumbnails = np.stack([thumbnail(scenery(seed, 64)) for seed in range(20)])
    hashes = perceptual_hashes(thumbnails)
    assert hashes.dtype == np.uint64 and hashes.shape == (20,)
    for pixels, value in zip(thumbnails, hashes.tolist(), strict=True):
        grey = 0.114 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.299 * pixels[..., 2]
        lowest = dctn(grey)[1:9, 1:9].ravel()
        bits = [int(bit) for bit in f"{value:064b}"]
        assert bits == (lowest > np.median(lowest)).astype(int).tolist()
        assert sum(bits) == 32


def test_brightness_and_contrast_drop_out() -> None:
    tiles = np.stack([thumbnail(scenery(seed, 64)) // 2 for seed in range(10)])
    for changed in (tiles + 60, tiles * 2):
        np.testing.assert_array_equal(perceptual_hashes(tiles), perceptual_hashes(changed))


hash_values = st.lists(st.integers(0, 2**64 - 1), max_size=60)


@given(values=hash_values, near=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 63)), max_size=30),
       first=st.integers(0, 90), distance=st.integers(0, 40))  # fmt: skip
def test_search_finds_what_comparing_all_finds(
    values: list[int], near: list[tuple[int, int]], first: int, distance: int
) -> None:
    values = values + [values[i] ^ (1 << bit) for i, bit in near if i < len(values)]
    first = min(first, len(values))
    expected = [
        [i, j] for i in range(first) for j in range(i + 1, len(values))
        if bin(values[i] ^ values[j]).count("1") <= distance
    ]  # fmt: skip
    pairs = close_pairs(np.array(values, dtype=np.uint64), first, distance)
    assert pairs.shape == (len(expected), 2)
    assert pairs.tolist() == expected


def test_search_over_many_blocks() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, size=9000, dtype=np.uint64, endpoint=False)
    hashes[8999] = hashes[5] ^ np.uint64(0b111)
    hashes[4500] = hashes[4499]
    hashes[7000] = hashes[6000]  # neither is among the first 5000
    assert close_pairs(hashes, 5000, 3, num_workers=3).tolist() == [[5, 8999], [4499, 4500]]


def saved(pixels: Pixels, quality: int) -> Pixels:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "saved again": lambda pixels: saved(pixels, 80),
    "3 levels brighter": lambda pixels: saved(pixels + np.uint8(3), 90),
    "moved by a pixel": lambda pixels: np.roll(pixels, 1, axis=1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_planted_near_duplicates_are_found_and_no_others(change: str) -> None:
    tiles = [scenery(seed, 256) for seed in range(20)]
    planted = {(i, 20 + i) for i in range(0, 20, 2)}
    copies = [CHANGES[change](tiles[i]) if i % 2 == 0 else scenery(1000 + i, 256) for i in range(20)]
    thumbnails = np.stack([thumbnail(pixels) for pixels in tiles + copies])
    pairs = near_pairs(thumbnails, np.arange(40), 20)
    assert set(zip(pairs["first"], pairs["second"], strict=True)) == planted
    assert pairs["correlation"].min() > 0.9


def test_featureless_tiles_of_different_noise_are_no_duplicates() -> None:
    rng = np.random.default_rng(1)
    clouds = (200 + rng.normal(size=(300, 32, 32, 3))).astype(np.uint8)
    assert near_pairs(clouds, np.arange(300), 300).empty


def test_of_rows_that_are_not_asked_for_none_is_compared() -> None:
    same = np.stack([thumbnail(scenery(0, 64))] * 5)
    pairs = near_pairs(same, np.array([0, 2, 4]), first=3)
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 2], [0, 4], [2, 4]]
    only_first = near_pairs(same, np.array([0, 2, 4]), first=1)
    assert only_first[["first", "second"]].to_numpy().tolist() == [[0, 2], [0, 4]]
