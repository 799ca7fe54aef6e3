"""Stacking: what it learns where there is something, and that it learns nothing from noise."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import cross_predict, standard_error
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.rules import make_rules
from amazon_ml.decisions.stacking import stack
from amazon_ml.decisions.synthetic import draw_rows


def test_light_penalty_equals_scikit_learn() -> None:
    p, true = draw_rows(4000, seed=5, noise=2.0)
    p, true = p[:, :6], true[:, :6]
    found = stack(p, true, penalty=1e-3)
    for tag in range(6):
        reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(logit(p), true[:, tag])
        np.testing.assert_allclose(found.weights[tag], reference.coef_[0], atol=0.02)


def test_heavy_penalty_averages_the_networks() -> None:
    first, true = draw_rows(300, seed=1)
    second = np.random.default_rng(0).random(first.shape)
    stacked = stack(np.column_stack([first, second]), true, penalty=1e12).apply(np.column_stack([first, second]))
    np.testing.assert_allclose(stacked, sigmoid((logit(first) + logit(second)) / 2), atol=1e-6)


def test_a_tag_that_only_another_tag_tells_is_learnt() -> None:
    rng = np.random.default_rng(2)
    true = np.repeat(rng.random((3000, 1)) < 0.3, 2, axis=1)
    p = np.column_stack([np.where(true[:, 0], 0.9, 0.1), np.full(3000, 0.3)])
    stacked = stack(p, true).apply(p)
    assert stacked[true[:, 0], 1].min() > 0.6 and stacked[~true[:, 0], 1].max() < 0.2


def test_fitted_inside_the_cross_fit_noise_gives_no_gain() -> None:
    """Twenty networks of pure noise beside a useless one: a stack that saw a tile's truth would score it higher."""
    rng = np.random.default_rng(3)
    tiles, tags = 250, 5
    true = (rng.random((tiles, tags)) < 0.3).astype(np.uint8)
    true[~true.any(axis=1), 0] = 1
    p = sigmoid(rng.normal(-1, 3, size=(tiles, 20 * tags)))
    rules = make_rules(constraints=LabelConstraints())
    constant = np.zeros_like(true)
    constant[:, np.argsort(-true.mean(axis=0))[:4]] = 1
    seen = fbeta_per_tile(true, rules["stacked"].fit(p, true).predict(p))
    inside = fbeta_per_tile(true, cross_predict(rules["stacked"], p, true))
    leaked = fbeta_per_tile(true, cross_predict(rules["expected"], stack(p, true).apply(p), true))
    nothing = fbeta_per_tile(true, constant)
    gain = {name: (scores - nothing).mean() for name, scores in (("in", inside), ("seen", seen), ("out", leaked))}
    assert gain["in"] < 2 * standard_error(inside - nothing)
    assert gain["seen"] > gain["in"] + 0.05 and gain["out"] > gain["in"] + 0.05  # what the test would see


@pytest.mark.parametrize("columns", [0, 3, 5])
def test_other_shapes_are_refused(columns: int) -> None:
    with pytest.raises(ValueError, match=rf"\(4, {columns}\) .*\(4, 2\)"):
        stack(np.full((4, columns), 0.5), np.ones((4, 2)))
