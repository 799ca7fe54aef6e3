import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amazon_ml.data.augment.mix import Mix, Way, box, cutmix, mixup
from amazon_ml.data.config import DataConfig
from amazon_ml.errors import InputError
from amazon_ml.settings import build

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]
SHARES = st.floats(0, 1)


def batch(tiles: int = 5, height: int = 9, width: int = 7, bands: int = 3, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(tiles, height, width, bands), dtype=np.uint8)
    return images, (rng.random((tiles, 6)) < 0.4).astype(np.float32)


def mixed(options: dict[str, float], seed: int = 0, epoch: int = 0, indices: Any = range(5)) -> Batch:
    images, targets = batch()
    Mix(**options, seed=seed)(images, targets, epoch, indices)
    return images, targets


def same(left: Batch, right: Batch) -> bool:
    return np.array_equal(left[0], right[0]) and np.array_equal(left[1], right[1])


@settings(max_examples=60)
@given(SHARES, st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**16))
def test_mixup_is_the_rounded_sum_with_the_tile_before(share: float, tiles: int, bands: int, seed: int) -> None:
    before, tags = batch(tiles, bands=bands, seed=seed)
    images, targets = before.copy(), tags.copy()
    mixup(images, targets, share, np.random.default_rng(0))
    exact = round(256 * share) / 256
    assert abs(exact - share) <= 1 / 512
    for i in range(tiles):
        # Halves may go either way.
        assert abs(images[i] - (exact * before[i] + (1 - exact) * before[i - 1])).max() <= 0.5
        np.testing.assert_allclose(targets[i], exact * tags[i] + (1 - exact) * tags[i - 1], atol=1e-6)


def test_mixup_rounds_every_pair_of_values_at_every_share_to_nearest() -> None:
    left, right = np.meshgrid(np.arange(256), np.arange(256))
    for k in range(257):
        images = np.stack([left, right])[..., None].astype(np.uint8)
        mixup(images, np.zeros((2, 1), dtype=np.float32), k / 256, np.random.default_rng(0))
        assert (abs(256 * images[1, ..., 0].astype(int) - (k * right + (256 - k) * left)) <= 128).all()
        assert (abs(256 * images[0, ..., 0].astype(int) - (k * left + (256 - k) * right)) <= 128).all()


@settings(max_examples=100)
@given(SHARES, st.integers(1, 5), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**16))
def test_cutmix_pastes_one_box_and_mixes_tags_by_its_area(
    share: float, tiles: int, height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # Every value of a tile is its number, so what was pasted can be seen.
    images = np.broadcast_to(np.arange(tiles, dtype=np.uint8)[:, None, None, None], (tiles, height, width, 3)).copy()
    targets = np.eye(tiles, dtype=np.float32)
    cutmix(images, targets, share, rng)
    for i in range(tiles):
        partner = (i - 1) % tiles
        pasted = (images[i] == partner).all(axis=2)
        assert (images[i][~pasted] == i).all()
        if tiles > 1:
            rows, columns = pasted.any(axis=1), pasted.any(axis=0)
            assert (pasted == rows[:, None] & columns).all()
            assert np.count_nonzero(np.diff(rows)) <= 2  # one piece of rows
            assert np.count_nonzero(np.diff(columns)) <= 2
            assert targets[i, partner] == pytest.approx(pasted.mean(), abs=1e-6)
            assert targets[i, i] == pytest.approx(1 - pasted.mean(), abs=1e-6)


@settings(max_examples=200)
@given(SHARES, st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_box_lies_in_the_tile_and_is_no_larger_than_its_share(share: float, height: int, width: int, seed: int) -> None:
    lengths = []
    for piece, whole in zip(box(share, height, width, np.random.default_rng(seed)), (height, width), strict=True):
        assert 0 <= piece.start <= piece.stop <= whole
        lengths.append(piece.stop - piece.start)
        assert lengths[-1] <= math.sqrt(1 - share) * whole + 0.5
        if share == 0:
            assert lengths[-1] >= whole // 2  # from a centre at the border, half of it remains


def test_boxes_reach_every_pixel_and_most_keep_their_size() -> None:
    rng, covered, areas = np.random.default_rng(0), np.zeros((16, 16)), []
    for _ in range(2000):
        rows, columns = box(0.75, 16, 16, rng)
        covered[rows, columns] += 1
        areas.append((rows.stop - rows.start) * (columns.stop - columns.start))
    assert covered.min() > 0
    assert max(areas) == 64  # a quarter of the tile
    assert np.mean(np.array(areas) == 64) == pytest.approx((9 / 16) ** 2, abs=0.05)  # 9 of 16 centres leave room for 8


@pytest.mark.parametrize("way", [mixup, cutmix])
def test_sums_of_targets_over_a_batch_stay(way: Way) -> None:
    images, targets = batch(tiles=8)
    before = targets.sum(axis=0)
    way(images, targets, 0.3, np.random.default_rng(1))
    assert targets.dtype == np.float32
    assert ((targets >= 0) & (targets <= 1)).all()
    assert not np.isin(targets, (0, 1)).all()
    np.testing.assert_allclose(targets.sum(axis=0), before, rtol=1e-5)


@pytest.mark.parametrize("way", [mixup, cutmix])
@pytest.mark.parametrize("tiles", [1, 5])
def test_share_of_one_leaves_a_batch_and_a_single_tile_stays_itself(way: Way, tiles: int) -> None:
    images, targets = batch(tiles)
    way(images, targets, 1.0 if tiles > 1 else 0.4, np.random.default_rng(1))
    expected_images, expected_targets = batch(tiles)
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_allclose(targets, expected_targets, atol=1e-6)


def test_equal_arguments_give_equal_batches_and_each_argument_matters() -> None:
    options = {"mixup_alpha": 1.0, "cutmix_alpha": 1.0}
    first = mixed(options)
    assert same(mixed(options), first)
    assert same(mixed(options, indices=np.arange(5)), first)
    for changed in ({"seed": 1}, {"epoch": 1}, {"indices": (0, 1, 2, 3, 5)}, {"indices": (1, 0, 2, 3, 4)}):
        assert not same(mixed(options, **changed), first)


def test_p_is_the_share_of_batches_that_are_mixed() -> None:
    def share(p: float) -> float:
        return float(
            np.mean([not same(mixed({"mixup_alpha": 1.0, "prob": p}, epoch=epoch), batch()) for epoch in range(300)])
        )

    assert share(0.0) == 0
    assert share(0.3) == pytest.approx(0.3, abs=0.08)
    assert share(1.0) > 0.97  # a share may be all of a tile


def test_of_two_ways_each_is_taken_for_about_half_of_the_batches() -> None:
    def is_pasted(images: npt.NDArray[np.uint8]) -> bool:
        before, _ = batch()
        return bool(((images == before) | (images == np.roll(before, 1, axis=0))).all())

    pasted = [is_pasted(mixed({"mixup_alpha": 2.0, "cutmix_alpha": 2.0}, epoch=epoch)[0]) for epoch in range(300)]
    assert np.mean(pasted) == pytest.approx(0.5, abs=0.1)
    assert all(is_pasted(mixed({"cutmix_alpha": 2.0}, epoch=epoch)[0]) for epoch in range(50))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    mix, shares = Mix(mixup_alpha=alpha), []
    for epoch in range(1500):
        images, targets = np.zeros((2, 1, 1, 1), dtype=np.uint8), np.eye(2, dtype=np.float32)
        mix(images, targets, epoch, [0, 1])
        shares.append(targets[0, 0])
    # Mean and variance of Beta(alpha, alpha).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mixup_alpha", 0.0),
        ("mixup_alpha", -1.0),
        ("cutmix_alpha", math.inf),
        ("cutmix_alpha", math.nan),
        ("mix_prob", 1.5),
        ("mix_prob", -0.1),
    ],
)
def test_wrong_options_are_refused_with_their_name(option: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        build(DataConfig, {"root": "tiles", option: value})
    assert caught.value.option == option


def test_targets_that_cannot_hold_shares_are_refused() -> None:
    images, _ = batch()
    with pytest.raises(TypeError):
        mixup(images, np.ones((5, 2), dtype=np.int64), 0.5, np.random.default_rng(0))
