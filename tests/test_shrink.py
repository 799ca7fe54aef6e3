"""Bagged and shrunk cut-offs: what they average, what they know, and where they end with few tiles."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from amazon_ml.decisions.calibration import platt
from amazon_ml.decisions.crossfit import cross_decide
from amazon_ml.decisions.fbeta import fbeta
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.shrink import AMOUNTS, BAGS, bagged, bootstrap, shrunk
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.thresholds import Thresholds, global_, per_class

ROWS = draw_rows(1500, seed=3)


def test_each_bootstrap_is_the_exact_search_on_the_tiles_it_drew() -> None:
    p, true = ROWS
    bags = bootstrap(p, true, bags=4, seed=5)
    rng = np.random.default_rng(5)
    for bag in range(4):
        drawn = rng.integers(len(p), size=len(p))
        np.testing.assert_array_equal(np.flatnonzero(bags.without[:, bag]), np.setdiff1d(np.arange(len(p)), drawn))
        # Counted tiles have cuts between tiles that were not drawn, so that the two searches may part ways.
        for found, searched in ((bags.own[bag], per_class), (np.repeat(bags.common[bag], 17), global_)):
            score = fbeta(true[drawn], Thresholds(tuple(sigmoid(found))).decide(p[drawn]))
            best = searched(p[drawn], true[drawn])
            assert score == pytest.approx(fbeta(true[drawn], best.decide(p[drawn])), abs=1e-3)


def test_bagged_is_the_mean_of_log_odds() -> None:
    p, true = ROWS
    np.testing.assert_allclose(
        logit(bagged(p, true, seed=1).values), bootstrap(p, true, seed=1).own.mean(axis=0), atol=1e-6
    )


def test_shrunk_lies_between_the_common_cut_off_and_the_tags_own() -> None:
    p, true = ROWS
    rule, bags = shrunk(p, true, seed=1), bootstrap(p, true, seed=1)
    assert rule.amount in AMOUNTS
    departure = bags.common.mean() - logit(0.2)
    common = logit(0.2) + departure * departure**2 / (departure**2 + bags.common.var())
    expected = (1 - rule.amount) * common + rule.amount * bags.own.mean(axis=0)
    np.testing.assert_allclose(logit(rule.values), expected, atol=1e-6)


def rows_with(shift: npt.ArrayLike, tiles: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Calibrated probabilities of independent tags, then shifted in log odds, tag by tag."""
    rng = np.random.default_rng(seed)
    x = rng.normal(-1, 2, size=(tiles, np.size(shift)))
    true = rng.random(x.shape) < 1 / (1 + np.exp(-x))
    true[~true.any(axis=1), 0] = True
    return 1 / (1 + np.exp(-x - np.asarray(shift))), true


def test_tags_that_differ_get_their_own_cut_offs_and_tags_that_do_not_share_one() -> None:
    alike = [shrunk(*rows_with(np.zeros(8), 400, seed)).amount for seed in range(12)]
    apart = [shrunk(*rows_with(np.linspace(-2, 2, 8), 4000, seed)).amount for seed in range(3)]
    assert np.mean(alike) < 0.5  # type: ignore[arg-type]
    assert apart == [1.0] * 3


def test_with_few_tiles_it_is_about_as_good_as_one_cut_off_for_all() -> None:
    p, true = draw_rows(20_000, seed=8, noise=1.5)
    p = platt(p, true).apply(p)  # then one cut-off is near the best
    differences = []
    for repeat in range(12):
        few, rest = np.arange(repeat * 40, repeat * 40 + 40), slice(1000, None)
        scores = [fbeta(true[rest], fit(p[few], true[few]).decide(p[rest])) for fit in (shrunk, global_, per_class)]
        differences.append((scores[0] - scores[1], scores[0] - scores[2]))
    to_global, to_per_class = np.mean(differences, axis=0)
    assert to_global > -0.003
    assert to_per_class > 0.005


def test_held_out_it_beats_the_exact_cut_offs_where_tags_are_rare() -> None:
    differences = []
    for seed in range(6):
        p, true = rows_with(np.zeros(12), 300, seed)
        exact, drawn = (fbeta(true, cross_decide(fit, p, true, seed=seed)) for fit in (per_class, shrunk))
        differences.append(drawn - exact)
    assert np.mean(differences) > 0.002


@pytest.mark.parametrize("fit", [bagged, shrunk])
def test_bootstraps_are_those_of_the_seed(fit: Callable[..., Thresholds]) -> None:
    p, true = ROWS
    assert fit(p, true, seed=1) == fit(p, true, seed=1)
    assert fit(p, true, seed=1) != fit(p, true, seed=2)


@pytest.mark.parametrize("tiles", [1, 2, 5])
def test_a_handful_of_tiles_is_enough_to_run(tiles: int) -> None:
    p, true = draw_rows(tiles, seed=1)
    for fit in (bagged, shrunk):
        rule = fit(p, true)
        assert len(rule.values) == 17 and np.isfinite(rule.values).all()
    assert bootstrap(p, true).without.shape == (tiles, BAGS)


def test_where_two_tenths_are_best_few_tiles_do_not_lead_far_from_it() -> None:
    departures = []
    for seed in range(12):
        p, true = rows_with(np.zeros(6), 60, seed)
        rule, tuned = shrunk(p, true, seed=seed), global_(p, true)
        if rule.amount == 0:
            departures.append(np.abs(logit([rule.values[0], tuned.values[0]]) - logit(0.2)))
    assert len(departures) >= 3
    ours, tuned_ones = np.mean(departures, axis=0)
    assert ours < tuned_ones
