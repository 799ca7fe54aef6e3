"""Every rule of the table: what they have in common."""

import functools
import json
import time
from typing import Literal

import numpy as np
import pytest

from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import Rule, bootstrap_interval, cross_predict, standard_error
from amazon_ml.decisions.expected_rules import ExpectedFBeta
from amazon_ml.decisions.fbeta import fbeta_per_tile, fbeta_score
from amazon_ml.decisions.rules import DEFAULT_RULE, RULES, make_rules, rule_from_dict, rule_to_dict
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.labels import PLANET

PLANET_LOGIC = LabelConstraints.of(PLANET)
#: Rules whose fit depends on the rows alone; the others draw bootstraps by the rows' places.
INVARIANT = ["fixed", "global", "per_class", "expected", "expected_constrained", "stacked"]
P, TRUE = draw_rows(1200, seed=21)


def fresh(name: str) -> Rule:
    return make_rules(constraints=PLANET_LOGIC)[name]


@functools.cache
def fitted(name: str) -> Rule:
    """Fit a rule on the rows of this module; it is not to be changed."""
    return fresh(name).fit(P, TRUE)


def test_the_default_is_a_rule_and_every_rule_says_what_it_does() -> None:
    assert DEFAULT_RULE in RULES
    assert all(rule.summary for rule in RULES.values())


@pytest.mark.parametrize("name", RULES)
def test_round_trip_through_json(name: str) -> None:
    rule = fitted(name)
    again = rule_from_dict(json.loads(json.dumps(rule_to_dict(rule))))
    assert type(again) is type(rule) and again.to_dict() == rule.to_dict()
    np.testing.assert_array_equal(again.predict(P), rule.predict(P))


@pytest.mark.parametrize("calibration", ["platt", "temperature", "isotonic"])
@pytest.mark.filterwarnings("ignore:isotonic")
def test_round_trip_of_each_calibration(calibration: Literal["platt", "temperature", "isotonic"]) -> None:
    rule = ExpectedFBeta(beta=1.0, calibration=calibration).fit(P, TRUE)
    again = rule_from_dict(json.loads(json.dumps(rule_to_dict(rule))))
    assert type(again) is type(rule) and again.to_dict() == rule.to_dict()
    np.testing.assert_array_equal(again.predict(P), rule.predict(P))


@pytest.mark.parametrize(
    "content", [{}, {"kind": "oracle"}, {"kind": "ShrunkThresholds"}, {"kind": "ExpectedFBeta", "beta": 2}]
)
def test_what_is_no_rule_is_refused(content: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        rule_from_dict(content)


@pytest.mark.parametrize("name", RULES)
def test_no_tile_is_left_empty_where_every_tile_has_a_tag(name: str) -> None:
    rule = fitted(name)
    hopeless = np.concatenate([np.zeros((5, 17)), np.full((5, 17), 1e-6), np.ones((5, 17)), P])
    predicted = rule.predict(hopeless)
    assert predicted.dtype == np.uint8 and predicted.any(axis=1).all()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_probabilities_out_of_range_are_refused(name: str, value: float) -> None:
    rule, p = fitted(name), P[:20].copy()
    p[3, 4] = value
    with pytest.raises(ValueError, match=rf"\(3, 4\).* {value}\b|NaN|infinity"):
        rule.predict(p)
    with pytest.raises(ValueError, match="17 features"):
        rule.predict(P[:, :16])
    with pytest.raises(ValueError, match=rf"\(3, 4\).* {value}\b|NaN|infinity"):
        fresh(name).fit(p, TRUE[:20])


@pytest.mark.filterwarnings("ignore:.*break the constraints")
@pytest.mark.parametrize("name", RULES)
def test_all_or_none_of_a_tag_and_all_alike_can_be_fitted(name: str) -> None:
    true = TRUE[:60].copy()
    true[:, 5], true[:, 6] = 0, 1
    for p in (P[:60], np.full((60, 17), 0.5), np.zeros((60, 17)), np.ones((60, 17))):
        predicted = fresh(name).fit(p, true).predict(p)
        assert predicted.shape == p.shape and np.isin(predicted, (0, 1)).all()


@pytest.mark.parametrize("name", RULES)
def test_lower_beta_gives_fewer_tags(name: str) -> None:
    counts = [
        make_rules(beta=beta, constraints=PLANET_LOGIC)[name].fit(P, TRUE).predict(P).sum() for beta in (0.5, 2.0)
    ]
    assert counts[0] == counts[1] if name == "fixed" else counts[0] < 0.95 * counts[1]


@pytest.mark.parametrize("name", INVARIANT)
def test_order_of_tiles_has_no_influence(name: str) -> None:
    order = np.random.default_rng(0).permutation(len(P))
    straight, shuffled = fitted(name), fresh(name).fit(P[order], TRUE[order])
    np.testing.assert_array_equal(shuffled.predict(P), straight.predict(P))


@pytest.mark.parametrize("name", RULES)
def test_order_of_tiles_has_no_influence_on_decisions(name: str) -> None:
    rule, order = fitted(name), np.random.default_rng(1).permutation(len(P))
    np.testing.assert_array_equal(rule.predict(P[order]), rule.predict(P)[order])


@pytest.mark.parametrize("name", ["global", "shrunk", "per_class", "expected_constrained", "stacked"])
def test_permuted_truth_shows_no_gain_beyond_its_interval(name: str) -> None:
    """With nothing to know, a rule is no better than the same tags for every tile, cross-fitted or not at all."""
    shuffled = TRUE[np.random.default_rng(5).permutation(len(TRUE))]
    predicted = cross_predict(fresh(name), P, shuffled)
    ranked = np.argsort(-shuffled.mean(axis=0))
    constants = [np.isin(np.arange(17), ranked[:k]) * np.ones_like(shuffled) for k in range(1, 8)]
    constant = max(constants, key=lambda answer: fbeta_score(shuffled, answer))
    gain = fbeta_per_tile(shuffled, predicted) - fbeta_per_tile(shuffled, constant)
    assert bootstrap_interval(gain)[0] < 0
    seen = fbeta_per_tile(shuffled, fresh(name).fit(P, shuffled).predict(P))
    assert seen.mean() >= fbeta_score(shuffled, predicted) - standard_error(
        seen
    )  # what is seen is never the honest one


def test_miscalibrated_tags_are_told_apart_by_all_but_common_thresholds() -> None:
    p, true = draw_rows(3000, seed=4)
    scores = {
        name: fbeta_score(true, cross_predict(fit, p, true))
        for name, fit in make_rules(constraints=PLANET_LOGIC).items()
    }
    for name in ("shrunk", "bagged", "per_class", "expected", "expected_constrained", "stacked"):
        assert scores[name] > max(scores["fixed"], scores["global"]) + 0.004, name


def test_competition_size_takes_little_time() -> None:
    p, true = draw_rows(40_479, seed=7)
    third = p[: 61_191 // 3]  # each tile takes the same time
    for name in RULES:
        began = time.process_time()
        rule = fresh(name).fit(p, true)
        done = time.process_time()
        rule.predict(third)
        # Loose: machines are busy.
        assert done - began < 6 and time.process_time() - done < 2, name
