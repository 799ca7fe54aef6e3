"""Scores of a run where some tiles have no tag: the fixed baseline treats them as the run's rule does."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import fbeta_score as sklearn_fbeta_score
from test_tune import run_of

from amazon_ml.decisions import ExpectedFBeta, FixedThreshold
from amazon_ml.decisions.base import MultiLabelRule
from amazon_ml.decisions.rules import rule_from_dict, rule_to_dict
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.runs.scores import score_others
from amazon_ml.runs.tune import tune

TAGS = ("a", "b", "c")


def doubtful(tiles: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Tagged tiles of which many reach no threshold of 0.2."""
    rng = np.random.default_rng(0)
    true = (rng.random((tiles, len(TAGS))) < 0.4).astype(np.uint8)
    true[~true.any(axis=1), 0] = 1
    p = np.clip(np.where(true, 0.25, 0.08) + rng.normal(0, 0.08, true.shape), 0, 1)
    return p.astype(np.float32), true


def f2(true: npt.NDArray[np.uint8], p: npt.NDArray[np.float32], *, fallback: bool) -> float:
    on = p.astype(np.float64) >= 0.2
    if fallback:
        on[np.arange(len(p)), p.argmax(axis=1)] |= ~on.any(axis=1)
    return float(sklearn_fbeta_score(true, on, beta=2, average="samples", zero_division=1))


@pytest.mark.parametrize("fitted_on_untagged", [False, True])
@pytest.mark.parametrize("scored_untagged", [0, 1, 50])
def test_the_baseline_is_that_of_the_rule_whatever_tiles_are_scored(
    fitted_on_untagged: bool, scored_untagged: int
) -> None:
    p, true = doubtful(200)
    own = true.copy()
    own[0] *= not fitted_on_untagged
    rule = rule_from_dict(rule_to_dict(FixedThreshold(0.2).fit(p, own)))  # as a run stores it
    assert rule.to_dict()["at_least_one"] is not fitted_on_untagged
    true[:scored_untagged] = 0
    scores = score_others(TAGS, p, true, rule, 2.0)["fbeta"]
    assert scores["predicted_minus_fixed"] == {"value": 0, "standard_error": 0, "interval": [0, 0]}
    assert scores["fixed_0.2"]["value"] == pytest.approx(f2(true, p, fallback=not fitted_on_untagged), abs=1e-12)


@pytest.mark.parametrize("scored_untagged", [0, 1])
def test_the_baseline_of_a_rule_that_always_gives_a_tag_does_so_too(scored_untagged: int) -> None:
    p, true = doubtful(200)
    rule: MultiLabelRule = ExpectedFBeta().fit(p, true)
    true[:scored_untagged] = 0
    scores = score_others(TAGS, p, true, rule, 2.0)["fbeta"]
    assert scores["fixed_0.2"]["value"] == pytest.approx(f2(true, p, fallback=True), abs=1e-12)


@pytest.mark.parametrize("rule", ["fixed", "best"])
def test_one_untagged_tile_gives_no_part_of_a_run_another_rule(rule: str, tmp_path: Path) -> None:
    p, true = draw_rows(100, seed=2)
    p = p * 0.21  # many tiles reach no threshold of 0.2
    true[0] = 0
    metrics = tune(run_of(tmp_path / "run", p, true), rule=rule)
    p32 = p.astype(np.float32)
    assert f2(true, p32, fallback=False) < f2(true, p32, fallback=True) - 0.02
    assert metrics["rules"]["fixed"]["value"] == pytest.approx(f2(true, p32, fallback=False), abs=1e-12)
    if rule == "fixed":  # nothing is fitted
        assert metrics["fbeta"]["cross_fitted"] == metrics["fbeta"]["fitted"]
