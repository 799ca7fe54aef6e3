"""Blending probabilities: weights against a grid, ranks against SciPy, and what must hold of every way."""

import re
from functools import cache
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from amazon_ml.decisions.blending import WAYS, Mixture, RankMean, cross_blend, rank, weighted
from amazon_ml.decisions.crossfit import random_parts
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.stacking import stack
from amazon_ml.decisions.synthetic import draw_rows

Floats = npt.NDArray[np.float64]
Hot = npt.NDArray[np.uint8]


@cache
def draw_members(runs: int, tiles: int = 400, seed: int = 0) -> tuple[Floats, Hot]:
    """Runs of different noise for one truth, each wrong in its own way."""
    p, true = draw_rows(tiles, seed)
    rng = np.random.default_rng(seed)
    shifted = [logit(p) + (k + 1) * rng.normal(size=p.shape) for k in range(runs)]
    return np.stack([sigmoid(one) for one in shifted]), true


def loss(p: Floats, true: Hot) -> float:
    return float(-np.log(np.where(true, p, 1 - p)).mean())


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weights_of_two_runs_equal_the_best_of_a_fine_grid(seed: int) -> None:
    p, true = draw_members(2, seed=seed)
    shares = np.linspace(0, 1, 1001)
    losses = [loss(share * p[0] + (1 - share) * p[1], true) for share in shares]
    found = weighted(p, true)
    assert found.weights[0] == pytest.approx(shares[int(np.argmin(losses))], abs=0.002)
    assert loss(found.apply(p), true) <= min(losses) + 1e-7


def test_weights_of_three_runs_equal_the_best_of_a_grid() -> None:
    p, true = draw_members(3)
    grid = [(a / 50, b / 50, (50 - a - b) / 50) for a in range(51) for b in range(51 - a)]
    losses = [loss(np.tensordot(weights, p, axes=1), true) for weights in grid]
    found = weighted(p, true)
    np.testing.assert_allclose(found.weights, grid[int(np.argmin(losses))], atol=0.02)
    assert loss(found.apply(p), true) <= min(losses) + 1e-7


def test_a_run_that_knows_nothing_gets_no_weight() -> None:
    p, true = draw_members(1, tiles=2000)
    noise = np.random.default_rng(0).random(p[0].shape)
    assert weighted(np.stack([p[0], noise]), true).weights[1] < 0.01


def test_a_run_that_is_surely_wrong_once_is_not_thrown_away() -> None:
    p, true = draw_members(2)
    sure = p.copy()
    sure[0, 0, 0] = 1.0 - true[0, 0]
    found = weighted(sure, true)
    assert np.isfinite(found.weights).all() and found.weights[0] > 0.3


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_weights_are_on_the_simplex_and_lose_less_than_any_run_and_the_mean(runs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, true = rng.random((runs, 30, 3)), (rng.random((30, 3)) < 0.4).astype(np.uint8)
    found = weighted(p, true)
    assert min(found.weights) >= 0 and sum(found.weights) == pytest.approx(1)
    best = min(loss(one, true) for one in [*p, p.mean(axis=0)])
    assert loss(found.apply(p), true) <= best + 1e-6


def test_permuted_runs_have_permuted_weights() -> None:
    p, true = draw_members(3)
    weights = np.array(weighted(p, true).weights)
    for order in permutations(range(3)):
        np.testing.assert_allclose(weighted(p[list(order)], true).weights, weights[list(order)], rtol=1e-9)


# ---------------------------------------------------------------- every way


@pytest.mark.parametrize("name", WAYS)
def test_order_of_runs_does_not_matter(name: str) -> None:
    p, true = draw_members(3)
    blended = WAYS[name].fit(p, true).apply(p)
    np.testing.assert_allclose(WAYS[name].fit(p[::-1], true).apply(p[::-1]), blended, atol=1e-9)


@pytest.mark.parametrize("name", ["mean", "logit_mean", "rank", "weighted"])
def test_one_run_and_equal_runs_blend_to_themselves(name: str) -> None:
    p, true = draw_members(1)
    for members in (p, np.repeat(p, 3, axis=0)):
        np.testing.assert_allclose(WAYS[name].fit(members, true).apply(members), p[0], atol=1e-9)


@pytest.mark.parametrize("name", WAYS)
def test_new_tiles_are_blended_one_by_one_as_together(name: str) -> None:
    p, true = draw_members(2)
    blender = WAYS[name].fit(p[:, :300], true[:300])
    together = blender.apply(p[:, 300:])
    assert together.shape == (100, 17) and ((together >= 0) & (together <= 1)).all()
    one_by_one = [blender.apply(p[:, row : row + 1])[0] for row in range(300, 400)]
    np.testing.assert_allclose(one_by_one, together, rtol=1e-12)


@pytest.mark.parametrize("name", WAYS)
def test_plain_data_gives_the_same_blender(name: str) -> None:
    p, true = draw_members(2)
    blender = WAYS[name].fit(p, true)
    again = WAYS[name].kind.from_dict(blender.to_dict(), p)
    np.testing.assert_array_equal(again.apply(p), blender.apply(p))


def test_means_are_what_they_are_called() -> None:
    p, true = draw_members(3)
    np.testing.assert_allclose(WAYS["mean"].fit(p, true).apply(p), p.mean(axis=0))
    odds = p.clip(1e-7, 1 - 1e-7) / (1 - p.clip(1e-7, 1 - 1e-7))
    geometric = np.exp(np.log(odds).mean(axis=0))
    np.testing.assert_allclose(WAYS["logit_mean"].fit(p, true).apply(p), geometric / (1 + geometric))


def test_stack_is_that_of_the_runs_side_by_side() -> None:
    p, true = draw_members(2)
    beside = np.hstack([p[0], p[1]])
    np.testing.assert_array_equal(WAYS["stacked"].fit(p, true).apply(p), stack(beside, true).apply(beside))


# ---------------------------------------------------------------- ranks


def test_ranks_order_tiles_as_scipy_and_keep_the_distribution_of_the_mean() -> None:
    p, true = draw_members(3)
    p = p.round(2)  # ties
    blended = rank(p, true).apply(p)
    for tag in range(17):
        mean_rank = np.sum([rankdata(one[:, tag]) for one in p], axis=0)
        ordered = blended[np.argsort(mean_rank, kind="stable"), tag]
        assert (np.diff(ordered) >= -1e-12).all()
        plain = np.sort(p[:, :, tag].mean(axis=0))
        assert np.abs(np.sort(blended[:, tag]) - plain).max() < 0.1
        assert plain[0] <= blended[:, tag].min() and blended[:, tag].max() <= plain[-1]


def test_ranks_do_not_see_the_scale_of_a_run() -> None:
    p, _ = draw_members(2)
    squeezed = np.stack([p[0], p[1] ** 3])
    first, second = RankMean(p).apply(p), RankMean(squeezed).apply(squeezed)
    for tag in range(17):
        np.testing.assert_array_equal(rankdata(first[:, tag].round(9)), rankdata(second[:, tag].round(9)))


# ---------------------------------------------------------------- other tiles than those fitted on


def test_labels_of_a_tile_do_not_touch_its_own_blend() -> None:
    p, true = draw_members(2)
    part = random_parts(400, seed=3)
    turned = np.where((part == 2)[:, None], 1 - true, true).astype(np.uint8)
    for name, way in WAYS.items():
        blended, other = cross_blend(way, p, true, seed=3), cross_blend(way, p, turned, seed=3)
        np.testing.assert_array_equal(blended[part == 2], other[part == 2])
        assert np.array_equal(blended, other) is not way.sees_labels, name


def test_each_part_has_the_blend_of_the_others() -> None:
    p, true = draw_members(2)
    blended, part = cross_blend(WAYS["weighted"], p, true, seed=1), random_parts(400, seed=1)
    for k in range(5):
        np.testing.assert_array_equal(
            blended[part == k], weighted(p[:, part != k], true[part != k]).apply(p[:, part == k])
        )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("weights", [(), (0.5,), (1.5, -0.5), (float("nan"), 1.0)])
def test_weights_off_the_simplex_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(str(weights))):
        Mixture(weights)


@pytest.mark.parametrize("shape", [(4, 17), (0, 4, 17), (2, 4, 16), (2, 5, 17), (2, 0, 17)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    for way in ("weighted", "stacked"):
        with pytest.raises(ValueError, match=re.escape(str(shape))):
            WAYS[way].fit(np.full(shape, 0.5), np.zeros((4, 17)))
    with pytest.raises(ValueError, match=r"\(2, .*\(3, 4, 17\)"):
        Mixture((0.5, 0.5)).apply(np.full((3, 4, 17), 0.5))


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\b0\.\.1\b.*\(0, 0\).*\b1\.5\b"):
        WAYS["mean"].fit(np.full((2, 3, 4), 1.5), np.zeros((3, 4)))
