from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.pipeline import make_pipeline

from amazon_ml.decisions.crossfit import (
    Rule,
    bootstrap_interval,
    cross_predict,
    score,
    simplest,
    standard_error,
)
from amazon_ml.decisions.fbeta import fbeta_per_tile, fbeta_score
from amazon_ml.decisions.selection import SimplestRule
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.threshold_rules import FixedThreshold, PerClassThresholds, ThresholdRule
from amazon_ml.decisions.thresholds import apply_thresholds

Floats = npt.NDArray[np.float64]


class Record:
    """The rows that clones of a rule were fitted on, and those that they predicted; clones share it."""

    def __init__(self) -> None:
        self.fitted: list[set[int]] = []
        self.predicted: list[list[int]] = []
        self.betas: list[float] = []

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Spy(ThresholdRule):
    """A rule that predicts the first tag for all tiles but tile 0, and records its rows.

    The first probability of tile i is i / 1000, which names the tile.
    """

    def __init__(self, record: Record, *, beta: float = 2.0) -> None:
        self.record = record
        self.beta = beta

    def _find(self, p: Floats, true: npt.NDArray[np.bool_]) -> Floats:
        # The truth has to come along with its tiles.
        np.testing.assert_array_equal(true[:, 0], tiles_of(p) % 2)
        self.record.fitted.append(set(tiles_of(p).tolist()))
        self.record.betas.append(self.beta)
        return np.array([0.0005, 2.0])

    def _predict(self, p: Floats) -> npt.NDArray[np.uint8]:
        self.record.predicted.append(tiles_of(p).tolist())
        return apply_thresholds(p, self.thresholds_, at_least_one=False)


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
    spy = Record()
    p, true = named_tiles(count)
    predicted = cross_predict(Spy(spy, beta=1.5), p, true, parts=parts)
    assert len(spy.fitted) == len(spy.predicted) == parts
    assert sorted(tile for tiles in spy.predicted for tile in tiles) == list(range(count))
    for fitted, part in zip(spy.fitted, spy.predicted, strict=True):
        assert fitted == set(range(count)) - set(part)
        assert count // parts <= len(part) <= count // parts + 1
    assert spy.betas == [1.5] * parts
    # The rule of the spy turns the first tag on for all tiles but tile 0.
    assert predicted.tolist() == [[int(tile > 0), 0] for tile in range(count)]
    assert predicted.dtype == np.uint8


def test_parts_are_those_of_the_seed() -> None:
    def parts_with(seed: int) -> list[list[int]]:
        spy = Record()
        cross_predict(Spy(spy), *named_tiles(40), seed=seed)
        return spy.predicted

    assert parts_with(1) == parts_with(1)
    assert parts_with(1) != parts_with(2)


def test_parts_are_not_runs_of_neighbouring_tiles() -> None:
    spy = Record()
    cross_predict(Spy(spy), *named_tiles(50), parts=5)
    assert all(max(part) - min(part) > 15 for part in spy.predicted)


class Kept(FixedThreshold):
    """A rule that records the number of tiles of each fit, and whether a tile may stay empty after it."""

    fits: ClassVar[list[tuple[int, bool]]] = []

    def _fit(self, p: Floats, true: npt.NDArray[np.bool_]) -> None:
        super()._fit(p, true)
        self.fits.append((len(p), self.at_least_one_))


def doubtful(untagged: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Tiles of which many reach no threshold of 0.2, and the last ones have no tag."""
    rng = np.random.default_rng(0)
    true = (rng.random((100, 3)) < 0.4).astype(np.uint8)
    true[~true.any(axis=1), 0] = 1
    true[len(true) - untagged :] = 0
    return np.clip(np.where(true, 0.25, 0.08) + rng.normal(0, 0.08, true.shape), 0, 1), true


@pytest.mark.parametrize("untagged", [0, 1, 3])
@pytest.mark.parametrize(
    "rule",
    [Kept(), SimplestRule([("kept", Kept()), ("fixed", FixedThreshold(0.9))]), make_pipeline("passthrough", Kept())],
    ids=["alone", "within a choice", "within a pipeline"],
)
def test_untagged_tiles_count_for_all_parts_alike(rule: Rule, untagged: int) -> None:
    p, true = doubtful(untagged)
    Kept.fits.clear()
    predicted = cross_predict(rule, p, true)
    assert len(Kept.fits) >= 5 and {flag for _, flag in Kept.fits} == {untagged == 0}
    # Nothing but the flag is fitted, so no part may differ from a fit on all tiles.
    np.testing.assert_array_equal(predicted, FixedThreshold().fit(p, true).predict(p))


@pytest.mark.parametrize("flag", [False, True])
def test_a_given_choice_about_empty_tiles_is_kept(flag: bool) -> None:
    p, true = doubtful(1)
    for rule in (
        FixedThreshold(at_least_one=flag),
        SimplestRule([("fixed", FixedThreshold(at_least_one=flag))], at_least_one=not flag),
        SimplestRule([("fixed", FixedThreshold())], at_least_one=flag),
    ):
        assert cross_predict(rule, p, true).any(axis=1).all() == rule.fit(p, true).predict(p).any(axis=1).all() == flag


def test_lists_are_taken_as_arrays() -> None:
    p, true = named_tiles(12)
    np.testing.assert_array_equal(
        cross_predict(PerClassThresholds(), p.tolist(), true.tolist(), parts=3),
        cross_predict(PerClassThresholds(), p, true, parts=3),
    )


@pytest.mark.parametrize("parts", [-1, 0, 1, 11])
def test_impossible_numbers_of_parts_are_refused(parts: int) -> None:
    with pytest.raises(ValueError, match=rf"{parts}\b"):
        cross_predict(PerClassThresholds(), *named_tiles(10), parts=parts)


def test_noise_flatters_the_fitted_score_and_not_the_cross_fitted_one() -> None:
    rng = np.random.default_rng(0)
    fitted, honest = [], []
    for _ in range(10):
        p, true = rng.random((100, 8)), (rng.random((100, 8)) < 0.2).astype(np.uint8)
        fitted.append(fbeta_score(true, PerClassThresholds().fit(p, true).predict(p)))
        honest.append(fbeta_score(true, cross_predict(PerClassThresholds(), p, true)))
    assert np.mean(fitted) > np.mean(honest) + 0.01
    assert np.all(np.array(fitted) >= honest)


def test_interval_of_a_large_sample_is_the_normal_one() -> None:
    values = np.random.default_rng(1).beta(8, 2, size=1000)
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


def test_choice_takes_what_holds_on_other_tiles() -> None:
    rng = np.random.default_rng(1)
    p = rng.random((400, 4))
    true = (p > 0.8).astype(np.uint8)
    true[~true.any(axis=1), 0] = 1
    rules = [("wrong", FixedThreshold(0.99)), ("fixed", FixedThreshold()), ("per_class", PerClassThresholds())]
    chosen = SimplestRule(rules).fit(p, true)
    assert chosen.name_ == "per_class"
    np.testing.assert_array_equal(chosen.predict(p), PerClassThresholds().fit(p, true).predict(p))


class Memory(FixedThreshold):
    """Knows every tile it was fitted on, and gives other tiles all tags."""

    def _find(self, p: Floats, true: npt.NDArray[np.bool_]) -> Floats:
        self.known_ = {tuple(row): answer for row, answer in zip(p.tolist(), true.tolist(), strict=True)}
        return super()._find(p, true)

    def _predict(self, p: Floats) -> npt.NDArray[np.uint8]:
        return np.array([self.known_.get(tuple(row), np.ones(len(row))) for row in p.tolist()], np.uint8)


def test_choice_is_not_taken_in_by_a_rule_that_knows_its_tiles() -> None:
    p, true = draw_rows(100, seed=1)
    assert Memory().fit(p, true).score(p, true) == 1
    assert SimplestRule([("fixed", FixedThreshold()), ("memory", Memory())]).fit(p, true).name_ == "fixed"


def test_choice_leaves_small_gains_to_the_simpler_rule_even_where_they_are_certain() -> None:
    # Both rules are right on one half of the tiles and wrong on the other; the first gives ten tiles a false positive.
    p = np.tile([0.9, 0.0, 0.1], (400, 1))
    p[:10, 1] = 0.3
    true = np.tile([[1, 0, 0], [0, 0, 1]], (200, 1))
    rules = [("low", FixedThreshold(0.2)), ("high", FixedThreshold(0.5))]
    scores = [fbeta_per_tile(true, rule.fit(p, true).predict(p)) for _, rule in rules]
    assert simplest(scores, paired=True) == 1
    assert SimplestRule(rules).fit(p, true).name_ == "low"


class Drawn(FixedThreshold):
    """Thresholds that are drawn, whatever the tiles are."""

    def _find(self, p: Floats, true: npt.NDArray[np.bool_]) -> Floats:
        return np.array(np.random.default_rng(int(self.threshold)).random(p.shape[1]))

    def _predict(self, p: Floats) -> npt.NDArray[np.uint8]:
        return apply_thresholds(p, self.thresholds_)


def test_choice_is_made_without_the_tiles_it_is_scored_on() -> None:
    """Among rules of pure chance the best on all tiles looks better than it is; the nested choice does not."""
    rng = np.random.default_rng(4)
    flattered, honest = [], []

    rules = [(str(seed), Drawn(seed)) for seed in range(6)]
    for _ in range(12):
        p, true = rng.random((60, 6)), (rng.random((60, 6)) < 0.3).astype(np.uint8)
        flattered.append(max(fbeta_score(true, cross_predict(rule, p, true)) for _, rule in rules))
        honest.append(fbeta_score(true, cross_predict(SimplestRule(rules), p, true)))
    assert np.mean(flattered) > np.mean(honest) + 0.005
