from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from amazon_ml.decisions.crossfit import (
    Fit,
    bootstrap_interval,
    choosing,
    cross_decide,
    score,
    simplest,
    standard_error,
)
from amazon_ml.decisions.fbeta import fbeta, fbeta_per_tile
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.thresholds import Thresholds, fixed, per_class

Floats = npt.NDArray[np.float64]


class Spy:
    """A rule fitter that records the rows that each rule was fitted on, and those that it decided.

    The first probability of tile i is i / 1000, which names the tile.
    """

    def __init__(self) -> None:
        self.fitted: list[set[int]] = []
        self.decided: list[list[int]] = []
        self.betas: list[float] = []

    def __call__(self, p: npt.ArrayLike, true: npt.ArrayLike, beta: float) -> Thresholds:
        # The truth has to come along with its tiles.
        np.testing.assert_array_equal(np.asarray(true)[:, 0], tiles_of(p) % 2)
        self.fitted.append(set(tiles_of(p).tolist()))
        self.betas.append(beta)
        spy = self

        class Recording(Thresholds):
            def decide(self, probabilities: npt.ArrayLike) -> npt.NDArray[np.uint8]:
                spy.decided.append(tiles_of(probabilities).tolist())
                return super().decide(probabilities)

        return Recording((0.0005, 2.0), at_least_one=False)


def tiles_of(p: npt.ArrayLike) -> npt.NDArray[np.int64]:
    tiles: npt.NDArray[np.int64] = np.rint(np.asarray(p)[:, 0] * 1000).astype(np.int64)
    return tiles


def named_tiles(count: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
    tiles = np.arange(count)
    return np.stack([tiles / 1000, np.zeros(count)], axis=1), np.stack([tiles % 2, tiles % 3 == 0], axis=1).astype(
        np.uint8
    )


@pytest.mark.parametrize(("count", "parts"), [(20, 5), (23, 5), (7, 2), (6, 6)])
def test_every_tile_is_decided_once_by_a_rule_fitted_on_all_other_parts(count: int, parts: int) -> None:
    spy = Spy()
    p, true = named_tiles(count)
    decided = cross_decide(spy, p, true, parts=parts, beta=1.5)
    assert len(spy.fitted) == len(spy.decided) == parts
    assert sorted(tile for tiles in spy.decided for tile in tiles) == list(range(count))
    for fitted, part in zip(spy.fitted, spy.decided, strict=True):
        assert fitted == set(range(count)) - set(part)
        assert count // parts <= len(part) <= count // parts + 1
    assert spy.betas == [1.5] * parts
    # The rule of the spy turns the first tag on for all tiles but tile 0.
    assert decided.tolist() == [[int(tile > 0), 0] for tile in range(count)]
    assert decided.dtype == np.uint8


def test_parts_are_those_of_the_seed() -> None:
    def parts_with(seed: int) -> list[list[int]]:
        spy = Spy()
        cross_decide(spy, *named_tiles(40), seed=seed)
        return spy.decided

    assert parts_with(1) == parts_with(1)
    assert parts_with(1) != parts_with(2)


def test_parts_are_not_runs_of_neighbouring_tiles() -> None:
    spy = Spy()
    cross_decide(spy, *named_tiles(50), parts=5)
    assert all(max(part) - min(part) > 15 for part in spy.decided)


def test_lists_are_taken_as_arrays() -> None:
    p, true = named_tiles(12)
    np.testing.assert_array_equal(
        cross_decide(per_class, p.tolist(), true.tolist(), parts=3), cross_decide(per_class, p, true, parts=3)
    )


@pytest.mark.parametrize("parts", [-1, 0, 1, 11])
def test_impossible_numbers_of_parts_are_refused(parts: int) -> None:
    with pytest.raises(ValueError, match=f"10 tiles in {parts} parts"):
        cross_decide(per_class, *named_tiles(10), parts=parts)


def test_noise_flatters_the_fitted_score_and_not_the_cross_fitted_one() -> None:
    rng = np.random.default_rng(0)
    fitted, honest = [], []
    for _ in range(10):
        p, true = rng.random((100, 8)), (rng.random((100, 8)) < 0.2).astype(np.uint8)
        fitted.append(fbeta(true, per_class(p, true).decide(p)))
        honest.append(fbeta(true, cross_decide(per_class, p, true)))
    assert np.mean(fitted) > np.mean(honest) + 0.01
    assert np.all(np.array(fitted) >= honest)


def test_interval_of_a_large_sample_is_the_normal_one() -> None:
    values = np.random.default_rng(1).beta(8, 2, size=4000)
    error = values.std() / np.sqrt(len(values))
    for level, z in ((0.95, 1.959964), (0.8, 1.281552)):
        low, high = bootstrap_interval(values, level=level, resamples=2000)
        # The quantiles of 2,000 resamples are themselves known to about 0.05 standard errors.
        assert low == pytest.approx(values.mean() - z * error, abs=0.2 * error)
        assert high == pytest.approx(values.mean() + z * error, abs=0.2 * error)


def test_interval_is_that_of_the_seed() -> None:
    values = np.random.default_rng(2).random(200)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_constant_sample_gives_a_point() -> None:
    assert bootstrap_interval(np.full(50, 0.25)) == (0.25, 0.25)


def test_single_tile_gives_a_point() -> None:
    assert bootstrap_interval([0.5]) == (0.5, 0.5)


@pytest.mark.parametrize(
    "draw", [lambda rng, n: rng.normal(size=n), lambda rng, n: rng.random(n) - 0.5], ids=["normal", "uniform"]
)
def test_interval_covers_the_true_mean_about_as_often_as_it_says(
    draw: Callable[[np.random.Generator, int], Floats],
) -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        low, high = bootstrap_interval(draw(rng, 60), level=0.9, resamples=200, seed=trial)
        covered += low <= 0 <= high
    # 180 expected; the standard deviation of the count is 4.2, and the method is a little narrow at 60 tiles.
    assert 162 <= covered <= 193


def test_interval_does_not_depend_on_the_order_of_tiles() -> None:
    values = np.random.default_rng(2).choice([0.0, 0.5, 1.0], size=300)
    assert bootstrap_interval(np.sort(values)) == bootstrap_interval(values)


def test_interval_is_that_of_resampling_tile_by_tile() -> None:
    rng = np.random.default_rng(6)
    values = rng.choice([0.0, 0.3, 0.3, 0.9, 1.0], size=80)
    means = [rng.choice(values, size=80).mean() for _ in range(20_000)]
    np.testing.assert_allclose(
        bootstrap_interval(values, resamples=20_000), np.quantile(means, [0.025, 0.975]), atol=0.004
    )


def test_score_has_the_textbook_error_of_a_mean() -> None:
    told = score([0.0, 1.0, 1.0, 0.0])
    # By hand: variance 4 · 0.25 / 3, over 4 tiles.
    assert told["value"] == 0.5
    assert told["standard_error"] == pytest.approx((1 / 3 / 4) ** 0.5)
    assert told["interval"] == [0.0, 1.0]
    assert standard_error([0.7]) == 0


def test_simplest_within_an_error_of_the_best_is_chosen() -> None:
    rng = np.random.default_rng(0)
    tile = rng.random(1000)  # what all ways share drops out of the paired difference
    noise = rng.normal(size=1000)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * np.sqrt(1000)  # a standard error of 1
    best = tile + 100
    assert simplest([best - 5, best - 0.9 + noise, best], paired=True) == 1
    assert simplest([best - 5, best - 1.1 + noise, best], paired=True) == 2
    assert simplest([best - 5, best - 0.9 + noise, best], errors=0.5, paired=True) == 2
    assert simplest([best, best, best], paired=True) == 0
    # By itself the best has a standard error of 1, too: all that the tiles share counts then.
    assert simplest([noise - 5, noise - 0.9, noise]) == 1
    assert simplest([noise - 5, noise - 1.1, noise]) == 2
    assert simplest([noise - 0.9, noise - 0.1, noise]) == 0


def wrong(p: npt.ArrayLike, true: npt.ArrayLike, beta: float) -> Thresholds:
    return Thresholds((0.99,) * np.asarray(p).shape[1])


def test_choice_takes_what_holds_on_other_tiles() -> None:
    rng = np.random.default_rng(1)
    p = rng.random((400, 4))
    true = (p > 0.8).astype(np.uint8)
    true[~true.any(axis=1), 0] = 1
    fits: dict[str, Fit] = {"wrong": wrong, "fixed": fixed, "per_class": per_class}
    np.testing.assert_array_equal(choosing(fits)(p, true, 2.0).decide(p), per_class(p, true, 2.0).decide(p))


class Memory(Thresholds):
    """Knows every tile it was fitted on, and gives other tiles all tags."""

    def decide(self, probabilities: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        known = {tuple(row): answer for row, answer in zip(self.p, self.true, strict=True)}  # type: ignore[attr-defined]
        return np.array(
            [known.get(tuple(row), np.ones(len(row))) for row in np.asarray(probabilities).tolist()], np.uint8
        )


def remember(p: npt.ArrayLike, true: npt.ArrayLike, beta: float) -> Thresholds:
    rule = Memory((0.5,))
    vars(rule).update(p=np.asarray(p).tolist(), true=np.asarray(true).tolist())
    return rule


def test_choice_is_not_taken_in_by_a_rule_that_knows_its_tiles() -> None:
    p, true = draw_rows(100, seed=1)
    assert fbeta(true, remember(p, true, 2.0).decide(p)) == 1
    assert choosing({"fixed": fixed, "memory": remember})(p, true, 2.0) == fixed(p, true)


def test_choice_leaves_small_gains_to_the_simpler_rule_even_where_they_are_certain() -> None:
    # Both rules are right on one half of the tiles and wrong on the other; the first gives ten tiles a surplus tag.
    p = np.tile([0.9, 0.0, 0.1], (400, 1))
    p[:10, 1] = 0.3
    true = np.tile([[1, 0, 0], [0, 0, 1]], (200, 1))
    ways = {"low": Thresholds((0.2,) * 3), "high": Thresholds((0.5,) * 3)}
    fits: dict[str, Fit] = {name: lambda p, true, beta, way=way: way for name, way in ways.items()}  # type: ignore[misc]
    scores = [fbeta_per_tile(true, way.decide(p)) for way in ways.values()]
    assert simplest(scores, paired=True) == 1
    assert choosing(fits)(p, true, 2.0) is ways["low"]


def test_choice_is_made_without_the_tiles_it_is_scored_on() -> None:
    """Among rules of pure chance the best on all tiles looks better than it is; the nested choice does not."""
    rng = np.random.default_rng(4)
    flattered, honest = [], []

    def drawn(seed: int) -> Fit:
        values = tuple(np.random.default_rng(seed).random(6).tolist())
        return lambda p, true, beta: Thresholds(values)

    fits = {str(seed): drawn(seed) for seed in range(12)}
    for _ in range(12):
        p, true = rng.random((60, 6)), (rng.random((60, 6)) < 0.3).astype(np.uint8)
        flattered.append(max(fbeta(true, cross_decide(fit, p, true)) for fit in fits.values()))
        honest.append(fbeta(true, cross_decide(choosing(fits), p, true)))
    assert np.mean(flattered) > np.mean(honest) + 0.005
