"""Calibration: against scikit-learn, and numbers by hand."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from amazon_ml.decisions.calibration import Calibration, calibration_error, isotonic, platt, reliability, temperature
from amazon_ml.decisions.logistic import fit_logistic, logit, sigmoid
from amazon_ml.decisions.synthetic import draw_rows

P, TRUE = draw_rows(3000, seed=11)


def test_logit_and_sigmoid_are_inverse_and_finite_at_the_ends() -> None:
    p = np.array([1e-6, 0.2, 0.5, 0.999])
    np.testing.assert_allclose(sigmoid(logit(p)), p, rtol=1e-12)
    np.testing.assert_allclose(logit(0.2), np.log(0.25), rtol=1e-12)
    assert np.isfinite(logit([0.0, 1.0])).all()
    assert sigmoid([-1000.0, 1000.0]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("penalty", [0.5, 10.0])
def test_logistic_regression_equals_scikit_learn(penalty: float) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 3))
    target = rng.random(400) < sigmoid(features @ [1.0, -2.0, 0.3])
    reference = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=1000).fit(features, target)
    found = fit_logistic(features, target.astype(float), np.zeros(3), penalty)
    np.testing.assert_allclose(found, reference.coef_[0], atol=1e-5)


def test_logistic_regression_stays_at_its_prior_where_nothing_is_said_or_much_is_feared() -> None:
    rng = np.random.default_rng(0)
    features, prior = rng.normal(size=(50, 2)), np.array([2.0, -1.0])
    target = (rng.random(50) < 0.5).astype(float)
    np.testing.assert_allclose(fit_logistic(features, target, prior, 1e9), prior, atol=1e-6)
    np.testing.assert_allclose(fit_logistic(features * [1, 0], target, prior, 1e-3)[1], -1.0, atol=1e-9)


def test_platt_equals_scikit_learn_on_targets_held_off_the_ends() -> None:
    found = platt(P, TRUE)
    for tag in (0, 4, 9, 16):
        x, true = logit(P[:, tag]), TRUE[:, tag].astype(bool)
        up, down = (true.sum() + 1) / (true.sum() + 2), 1 / ((~true).sum() + 2)
        t = np.where(true, up, down)
        # A target of 0.9 is nine tenths of a tile with the tag and one tenth of one without.
        reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(
            np.tile(x, 2)[:, None], np.repeat([1, 0], len(x)), sample_weight=np.concatenate([t, 1 - t])
        )
        assert found.slope[tag] == pytest.approx(reference.coef_[0, 0], abs=2e-3)
        assert found.intercept[tag] == pytest.approx(reference.intercept_[0], abs=2e-3)


def test_curves_of_equal_content_are_fitted_once_and_of_any_other_anew() -> None:
    p, true = P[:60], TRUE[:60]
    first = platt(p, true)
    assert platt(p.copy(), true.copy()) is first
    other_p, other_true = p.copy(), true.copy()
    other_p[0, 0], other_true[0, 0] = 1 - p[0, 0], not true[0, 0]
    for other in (platt(other_p, true), platt(p, other_true)):
        assert other.slope[0] != first.slope[0] and other.slope[1:] == first.slope[1:]
    assert len(platt(p.reshape(-1, 34), true.reshape(-1, 34)).slope) == 34  # the same bytes


@pytest.mark.parametrize("value", [0, 1])
def test_platt_of_a_tag_that_none_or_all_have_is_finite_and_sure(value: int) -> None:
    true = TRUE.copy()
    true[:, 3] = value
    calibrated = platt(P, true).apply(P)[:, 3]
    assert np.isfinite(calibrated).all()
    assert np.abs(calibrated - value).max() < 0.02


def test_platt_of_constant_probabilities_is_the_frequency() -> None:
    true = np.arange(1000)[:, None] % 4 == 0
    assert platt(np.full((1000, 1), 0.7), true).apply([[0.7]]) == pytest.approx(0.25, abs=0.002)


def test_temperature_equals_a_search_of_the_loss() -> None:
    p, true = P[:400], TRUE[:400]

    def loss(slope: float) -> float:
        x = logit(p) * slope
        return float((np.logaddexp(0, x) - true * x).sum())

    slope = min(np.geomspace(0.5, 2, 1000), key=loss)
    assert temperature(p, true).value == pytest.approx(1 / slope, rel=1e-3)


def test_temperature_of_probabilities_the_wrong_way_round_is_high() -> None:
    calibrated = temperature(1 - P, TRUE).apply(1 - P)
    assert np.abs(calibrated - 0.5).max() < 1e-4


def test_isotonic_equals_scikit_learn_and_warns_of_rare_tags() -> None:
    with pytest.warns(UserWarning, match=r"\bplatt\b"):
        found = isotonic(P, TRUE).apply(P)
    for tag in range(17):
        reference = IsotonicRegression(out_of_bounds="clip").fit(P[:, tag], TRUE[:, tag])
        np.testing.assert_allclose(found[:, tag], reference.predict(P[:, tag]), atol=1e-12)


def test_isotonic_of_common_tags_does_not_warn() -> None:
    p, true = np.tile(P[:, :1], (4, 1)), np.tile(TRUE[:, :1], (4, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        isotonic(p, true)


def test_reliability_equals_scikit_learn() -> None:
    table = reliability(P, TRUE, bins=7)
    for tag in range(17):
        frequency, probability = calibration_curve(TRUE[:, tag], P[:, tag], n_bins=7)
        rows = table[table["tag"] == tag]
        np.testing.assert_allclose(rows["frequency"], frequency)
        np.testing.assert_allclose(rows["probability"], probability)
        assert rows["tiles"].sum() == len(P)


def test_calibration_error_by_hand() -> None:
    # Bin 0..0.1: two tiles say 0.05, one has the tag; bin 0.9..1: two say 1.0, both have it.
    p = np.array([[0.05], [0.05], [1.0], [1.0]])
    assert calibration_error(p, [[0], [1], [1], [1]]).tolist() == pytest.approx([0.45 * 0.5])


@pytest.mark.parametrize("calibrate", [platt, temperature])
def test_held_out_calibration_lowers_the_error(calibrate: Callable[..., Calibration]) -> None:
    fit, test = slice(0, 1500), slice(1500, None)
    calibrated = calibrate(P[fit], TRUE[fit]).apply(P[test])
    assert calibration_error(calibrated, TRUE[test]).mean() < calibration_error(P[test], TRUE[test]).mean()
