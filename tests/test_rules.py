"""Every rule of the table: what they have in common."""

import json
import time

import numpy as np
import pytest

from amazon_ml.decisions.calibration import Calibration, isotonic, platt, temperature
from amazon_ml.decisions.crossfit import bootstrap_interval, cross_decide, standard_error
from amazon_ml.decisions.expected import Structure, expected
from amazon_ml.decisions.fbeta import fbeta, fbeta_per_tile
from amazon_ml.decisions.rules import DEFAULT, RULES, fits_for, rule_from_dict, rule_to_dict
from amazon_ml.decisions.stacking import stack
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.labels import PLANET

FITS = fits_for(Structure.of(PLANET))
#: Rules whose fit depends on the rows alone; the others draw bootstraps by the rows' places.
INVARIANT = ["fixed", "global", "per_class", "expected", "expected_structured", "stacked"]
P, TRUE = draw_rows(1200, seed=21)


def test_the_default_is_a_rule_and_every_rule_says_what_it_does() -> None:
    assert DEFAULT in RULES
    assert all(rule.summary for rule in RULES.values())


@pytest.mark.parametrize("name", RULES)
def test_round_trip_through_json(name: str) -> None:
    rule = FITS[name](P, TRUE, 2.0)
    again = rule_from_dict(json.loads(json.dumps(rule_to_dict(rule))))
    assert again == rule
    np.testing.assert_array_equal(again.decide(P), rule.decide(P))


@pytest.mark.parametrize("calibrate", [platt, temperature, isotonic, stack])
@pytest.mark.filterwarnings("ignore:isotonic")
def test_round_trip_of_each_calibration(calibrate: type[Calibration]) -> None:
    rule = expected(P, TRUE, 1.0, calibrate=calibrate)
    again = rule_from_dict(json.loads(json.dumps(rule_to_dict(rule))))
    assert again == rule
    np.testing.assert_array_equal(again.decide(P), rule.decide(P))


@pytest.mark.parametrize("content", [{}, {"kind": "oracle"}, {"kind": "thresholds"}, {"kind": "expected", "beta": 2}])
def test_what_is_no_rule_is_refused(content: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        rule_from_dict(content)


@pytest.mark.parametrize("name", RULES)
def test_no_tile_is_left_empty_where_every_tile_has_a_tag(name: str) -> None:
    rule = FITS[name](P, TRUE, 2.0)
    hopeless = np.concatenate([np.zeros((5, 17)), np.full((5, 17), 1e-6), np.ones((5, 17)), P])
    decided = rule.decide(hopeless)
    assert decided.dtype == np.uint8 and decided.any(axis=1).all()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_probabilities_out_of_range_are_refused(name: str, value: float) -> None:
    rule, p = FITS[name](P, TRUE, 2.0), P[:20].copy()
    p[3, 4] = value
    with pytest.raises(ValueError, match="finite and in"):
        rule.decide(p)
    with pytest.raises(ValueError, match=r"\(tiles, 17\)"):
        rule.decide(P[:, :16])
    if name != "fixed":  # which looks at no probability
        with pytest.raises(ValueError, match="finite and in"):
            FITS[name](p, TRUE[:20], 2.0)


@pytest.mark.parametrize("name", RULES)
def test_all_or_none_of_a_tag_and_all_alike_can_be_fitted(name: str) -> None:
    true = TRUE[:60].copy()
    true[:, 5], true[:, 6] = 0, 1
    for p in (P[:60], np.full((60, 17), 0.5), np.zeros((60, 17)), np.ones((60, 17))):
        decided = FITS[name](p, true, 2.0).decide(p)
        assert decided.shape == p.shape and np.isin(decided, (0, 1)).all()


@pytest.mark.parametrize("name", RULES)
def test_lower_beta_gives_fewer_tags(name: str) -> None:
    counts = [FITS[name](P, TRUE, beta).decide(P).sum() for beta in (0.5, 2.0)]
    assert counts[0] == counts[1] if name == "fixed" else counts[0] < 0.95 * counts[1]


@pytest.mark.parametrize("name", INVARIANT)
def test_order_of_tiles_has_no_influence(name: str) -> None:
    order = np.random.default_rng(0).permutation(len(P))
    straight, shuffled = FITS[name](P, TRUE, 2.0), FITS[name](P[order], TRUE[order], 2.0)
    np.testing.assert_array_equal(shuffled.decide(P), straight.decide(P))


@pytest.mark.parametrize("name", RULES)
def test_order_of_tiles_has_no_influence_on_decisions(name: str) -> None:
    rule, order = FITS[name](P, TRUE, 2.0), np.random.default_rng(1).permutation(len(P))
    np.testing.assert_array_equal(rule.decide(P[order]), rule.decide(P)[order])


@pytest.mark.parametrize("name", ["global", "shrunk", "per_class", "expected_structured", "stacked"])
def test_permuted_truth_shows_no_gain_beyond_its_interval(name: str) -> None:
    """With nothing to know, a rule is no better than the same tags for every tile, cross-fitted or not at all."""
    shuffled = TRUE[np.random.default_rng(5).permutation(len(TRUE))]
    decided = cross_decide(FITS[name], P, shuffled)
    ranked = np.argsort(-shuffled.mean(axis=0))
    constants = [np.isin(np.arange(17), ranked[:k]) * np.ones_like(shuffled) for k in range(1, 8)]
    constant = max(constants, key=lambda answer: fbeta(shuffled, answer))
    gain = fbeta_per_tile(shuffled, decided) - fbeta_per_tile(shuffled, constant)
    assert bootstrap_interval(gain)[0] < 0
    seen = fbeta_per_tile(shuffled, FITS[name](P, shuffled, 2.0).decide(P))
    assert seen.mean() >= fbeta(shuffled, decided) - standard_error(seen)  # what is seen is never the honest one


def test_miscalibrated_tags_are_told_apart_by_all_but_common_cut_offs() -> None:
    p, true = draw_rows(6000, seed=4)
    scores = {name: fbeta(true, cross_decide(fit, p, true)) for name, fit in FITS.items()}
    for name in ("shrunk", "bagged", "per_class", "expected", "expected_structured", "stacked"):
        assert scores[name] > max(scores["fixed"], scores["global"]) + 0.004, name


@pytest.mark.parametrize("name", RULES)
def test_competition_size_takes_little_time(name: str) -> None:
    p, true = draw_rows(40_479, seed=7)
    began = time.process_time()
    rule = FITS[name](p, true, 2.0)
    fitted = time.process_time()
    rule.decide(np.resize(p, (61_191, 17)))
    assert fitted - began < 6 and time.process_time() - fitted < 6  # loose: machines are busy
