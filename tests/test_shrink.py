"""Bagged and shrunk thresholds: what they average, what they know, and where they end with few tiles."""

import numpy as np
import numpy.typing as npt
import pytest

from amazon_ml.decisions.calibration import platt
from amazon_ml.decisions.crossfit import cross_predict
from amazon_ml.decisions.fbeta import fbeta_score
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.shrink import AMOUNTS, BOOTSTRAPS, bootstrap
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.threshold_rules import (
    BaggedThresholds,
    GlobalThreshold,
    PerClassThresholds,
    ShrunkThresholds,
)
from amazon_ml.decisions.thresholds import apply_thresholds

ROWS = draw_rows(1500, seed=3)


def test_each_bootstrap_is_the_exact_search_on_the_tiles_it_drew() -> None:
    p, true = ROWS
    bags = bootstrap(p, true, n_bootstraps=4, random_state=5)
    rng = np.random.default_rng(5)
    for bag in range(4):
        drawn = rng.integers(len(p), size=len(p))
        np.testing.assert_array_equal(np.flatnonzero(bags.without[:, bag]), np.setdiff1d(np.arange(len(p)), drawn))
        # Counted tiles have cuts between tiles that were not drawn, so that the two searches may part ways.
        for found, searched in (
            (bags.own[bag], PerClassThresholds()),
            (np.repeat(bags.common[bag], 17), GlobalThreshold()),
        ):
            score = fbeta_score(true[drawn], apply_thresholds(np.asarray(p[drawn]), sigmoid(found)))
            best = searched.fit(p[drawn], true[drawn])
            assert score == pytest.approx(fbeta_score(true[drawn], best.predict(p[drawn])), abs=1e-3)


def test_bagged_is_the_mean_of_log_odds() -> None:
    p, true = ROWS
    np.testing.assert_allclose(
        logit(BaggedThresholds(random_state=1).fit(p, true).thresholds_),
        bootstrap(p, true, random_state=1).own.mean(axis=0),
        atol=1e-6,
    )


def test_shrunk_lies_between_the_common_threshold_and_the_tags_own() -> None:
    p, true = ROWS
    rule, bags = ShrunkThresholds(random_state=1).fit(p, true), bootstrap(p, true, random_state=1)
    assert rule.amount_ in AMOUNTS
    departure = bags.common.mean() - logit(0.2)
    common = logit(0.2) + departure * departure**2 / (departure**2 + bags.common.var())
    expected = (1 - rule.amount_) * common + rule.amount_ * bags.own.mean(axis=0)
    np.testing.assert_allclose(logit(rule.thresholds_), expected, atol=1e-6)


def rows_with(shift: npt.ArrayLike, tiles: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Calibrated probabilities of independent tags, then shifted in log odds, tag by tag."""
    rng = np.random.default_rng(seed)
    x = rng.normal(-1, 2, size=(tiles, np.size(shift)))
    true = rng.random(x.shape) < 1 / (1 + np.exp(-x))
    true[~true.any(axis=1), 0] = True
    return 1 / (1 + np.exp(-x - np.asarray(shift))), true


def test_tags_that_differ_get_their_own_thresholds_and_tags_that_do_not_share_one() -> None:
    alike = [ShrunkThresholds().fit(*rows_with(np.zeros(8), 400, seed)).amount_ for seed in range(12)]
    apart = [ShrunkThresholds().fit(*rows_with(np.linspace(-2, 2, 8), 4000, seed)).amount_ for seed in range(3)]
    assert np.mean(alike) < 0.5
    assert apart == [1.0] * 3


def test_with_few_tiles_it_is_about_as_good_as_one_threshold_for_all() -> None:
    p, true = draw_rows(20_000, seed=8, noise=1.5)
    p = platt(p, true).apply(p)  # then one threshold is near the best
    differences = []
    for repeat in range(12):
        few, rest = np.arange(repeat * 40, repeat * 40 + 40), slice(1000, None)
        scores = [
            rule.fit(p[few], true[few]).score(p[rest], true[rest])
            for rule in (ShrunkThresholds(), GlobalThreshold(), PerClassThresholds())
        ]
        differences.append((scores[0] - scores[1], scores[0] - scores[2]))
    to_global, to_per_class = np.mean(differences, axis=0)
    assert to_global > -0.003
    assert to_per_class > 0.005


def test_held_out_it_beats_the_exact_thresholds_where_tags_are_rare() -> None:
    differences = []
    for seed in range(6):
        p, true = rows_with(np.zeros(12), 300, seed)
        exact, drawn = (
            fbeta_score(true, cross_predict(rule, p, true, seed=seed))
            for rule in (PerClassThresholds(), ShrunkThresholds())
        )
        differences.append(drawn - exact)
    assert np.mean(differences) > 0.002


@pytest.mark.parametrize("kind", [BaggedThresholds, ShrunkThresholds])
def test_bootstraps_are_those_of_the_seed(kind: type[BaggedThresholds | ShrunkThresholds]) -> None:
    p, true = ROWS
    one, again, other = (kind(random_state=seed).fit(p, true).thresholds_.tolist() for seed in (1, 1, 2))
    assert one == again != other
    seeded = [kind(random_state=np.random.RandomState(seed)).fit(p, true).thresholds_.tolist() for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def test_bootstraps_of_equal_content_are_searched_once_and_of_any_other_anew() -> None:
    p, true = draw_rows(60, seed=1)
    first = bootstrap(p, true)
    assert bootstrap(p.copy(), true.copy()) is first  # rules, and copies that scikit-learn makes, share them
    with pytest.raises(ValueError, match="read-only"):
        first.own[:] = 0
    other_p, other_true = p.copy(), true.copy()
    other_p[0, 0], other_true[0, 0] = 1 - p[0, 0], not true[0, 0]
    others = [
        bootstrap(other_p, true), bootstrap(p, other_true), bootstrap(p, true, 1.0), bootstrap(p, true, n_bootstraps=3),
        bootstrap(p, true, random_state=1), bootstrap(p[::-1], true[::-1]),
        bootstrap(p, true, at_least_one=False),
    ]  # fmt: skip
    assert all(other is not first for other in others)
    assert len(others[3].common) == 3 and not np.array_equal(first.without, others[4].without)
    rng = np.random.default_rng(0)
    assert not np.array_equal(
        bootstrap(p, true, random_state=rng).without, bootstrap(p, true, random_state=rng).without
    )


@pytest.mark.parametrize("kind", [BaggedThresholds, ShrunkThresholds])
def test_bootstraps_search_for_the_fallback_of_the_rule(kind: type[BaggedThresholds | ShrunkThresholds]) -> None:
    p, true = draw_rows(200, seed=1)
    p = p * 0.4  # many tiles reach no threshold of 0.2
    assert true.any(axis=1).all()
    kept, without = (kind(at_least_one=flag).fit(p, true) for flag in (True, False))
    np.testing.assert_array_equal(kept.thresholds_, kind().fit(p, true).thresholds_)
    assert not np.allclose(kept.thresholds_, without.thresholds_)
    some = true.copy()
    some[0] = 0  # by itself, this tile turns the fallback off
    np.testing.assert_array_equal(kind(at_least_one=False).fit(p, some).thresholds_, kind().fit(p, some).thresholds_)


@pytest.mark.parametrize("tiles", [1, 2, 5])
def test_a_handful_of_tiles_is_enough_to_run(tiles: int) -> None:
    p, true = draw_rows(tiles, seed=1)
    for kind in (BaggedThresholds, ShrunkThresholds):
        rule = kind().fit(p, true)
        assert len(rule.thresholds_) == 17 and np.isfinite(rule.thresholds_).all()
    assert bootstrap(p, true).without.shape == (tiles, BOOTSTRAPS)


def test_where_two_tenths_are_best_few_tiles_do_not_lead_far_from_it() -> None:
    departures = []
    for seed in range(12):
        p, true = rows_with(np.zeros(6), 60, seed)
        rule, tuned = ShrunkThresholds(random_state=seed).fit(p, true), GlobalThreshold().fit(p, true)
        if rule.amount_ == 0:
            departures.append(np.abs(logit([rule.thresholds_[0], tuned.thresholds_[0]]) - logit(0.2)))
    assert len(departures) >= 3
    ours, tuned_ones = np.mean(departures, axis=0)
    assert ours < tuned_ones
