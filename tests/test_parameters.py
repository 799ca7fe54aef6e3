"""Parameters of a wrong type or out of range are errors that name the parameter and the value."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from refused import refused
from sklearn.base import clone
from sklearn.metrics import recall_score
from test_estimators import RULES, P

from amazon_ml.decisions import (
    BaggedThresholds,
    ExpectedFBeta,
    FixedThreshold,
    GlobalThreshold,
    ShrunkThresholds,
    StackedExpectedFBeta,
    cross_predict,
    fbeta_score,
)
from amazon_ml.decisions.base import MultiLabelRule
from amazon_ml.decisions.crossfit import bootstrap_interval
from amazon_ml.decisions.macro_micro import paired_metrics, paper_metrics
from amazon_ml.decisions.paired import paired, paired_per_tag
from amazon_ml.decisions.parameters import MOST_BETA
from amazon_ml.decisions.per_tag import fbeta_by_threshold, score_per_tag
from amazon_ml.decisions.shrink import bootstrap
from amazon_ml.decisions.stacking import stack
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.runs.config import RunConfig

TRUE = draw_rows(300, seed=4)[1]
ONES: npt.NDArray[np.uint8] = np.ones((4, 3), np.uint8)

Call = Callable[[Any], object]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_largest_beta_is_recall(rule: MultiLabelRule) -> None:
    fitted = clone(rule).set_params(beta=MOST_BETA).fit(P, TRUE)
    recall = recall_score(TRUE, fitted.predict(P), average="samples", zero_division=0)
    assert fitted.score(P, TRUE) == pytest.approx(recall, abs=1e-9)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize(
    ("beta", "kind"),
    [("2", TypeError), (None, TypeError), ([2], TypeError), (True, TypeError), (1e200, ValueError), (2e6, ValueError)],
)
def test_a_beta_that_a_rule_cannot_use_is_named(rule: MultiLabelRule, beta: object, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=rf"^beta is {re.escape(repr(beta))};"):
        clone(rule).set_params(beta=beta).fit(P, TRUE)


@pytest.mark.parametrize("beta", [np.float32(2), np.float16(2), np.int64(2), np.array(2.0), 2])
def test_any_type_of_number_is_a_beta(beta: object) -> None:
    p, y = P[:50], TRUE[:50]
    assert ShrunkThresholds().set_params(beta=beta).fit(p, y).thresholds_ == pytest.approx(
        ShrunkThresholds().fit(p, y).thresholds_
    )


@pytest.mark.parametrize("kind", [BaggedThresholds, ShrunkThresholds])
@pytest.mark.parametrize(
    ("name", "value"),
    [("n_bootstraps", "3"), ("n_bootstraps", 1.5), ("n_bootstraps", None), ("random_state", "a"),
     ("random_state", 1.5)],
)  # fmt: skip
def test_a_parameter_of_a_rule_that_is_of_a_wrong_type_is_named(
    kind: type[MultiLabelRule], name: str, value: object
) -> None:
    with pytest.raises(TypeError, match=rf"^{name} is {re.escape(repr(value))};"):
        kind().set_params(**{name: value}).fit(P, TRUE)


@pytest.mark.parametrize("penalty", [math.inf, 1e-300])
def test_a_penalty_that_gives_no_weights_is_named(penalty: float) -> None:
    twice = np.hstack([P, P])  # two networks that are one
    with pytest.raises(ValueError, match=rf"^penalty is {penalty};"):
        StackedExpectedFBeta(penalty=penalty).fit(twice, TRUE)


BETA: list[Call] = [
    lambda beta: bootstrap(P, TRUE, beta),
    lambda beta: score_per_tag(ONES, ONES, beta),
    lambda beta: fbeta_by_threshold(ONES, ONES, [0.5], beta),
    lambda beta: paired_per_tag(ONES, ONES, ONES, beta),
]
LEVEL: list[Call] = [
    lambda level: paired([0.1, 0.2], [0.2, 0.4], level=level),
    lambda level: paired_metrics(ONES, [ONES, ONES], [ONES, ONES], level=level),
    lambda level: paired_per_tag(ONES, ONES, ONES, level=level),
]
SEED: list[Call] = [
    lambda seed: paper_metrics(ONES, ONES, ONES, seed=seed),
    lambda seed: paired_metrics(ONES, [ONES, ONES], [ONES, ONES], seed=seed),
    lambda seed: paired_per_tag(ONES, ONES, ONES, seed=seed),
]
PENALTY: list[Call] = [lambda penalty: stack(P, TRUE, penalty=penalty)]


@pytest.mark.parametrize(
    ("name", "calls", "odd"),
    [
        ("beta", BETA, ["2", None, -1, 0, math.nan, 1e200, 10**400]),
        ("level", LEVEL, ["a", 0, 1, math.nan]),
        ("seed", SEED, ["a", 1.5, -1]),
        ("penalty", PENALTY, ["1", 0, -1, math.nan]),
        ("at_least_one", [lambda flag: bootstrap(P, TRUE, at_least_one=flag)], ["no", 2]),
        ("random_state", [lambda state: bootstrap(P, TRUE, random_state=state)], [-1, "a"]),
        ("n_bootstraps", [lambda count: bootstrap(P, TRUE, n_bootstraps=count)], [0, "3"]),
        ("resamples", [lambda count: paired_per_tag(ONES, ONES, ONES, resamples=count)], [0, 1.5]),
    ],
)
def test_a_parameter_that_a_function_cannot_use_is_named(name: str, calls: list[Call], odd: list[object]) -> None:
    for call in calls:
        for value in odd:
            with pytest.raises((TypeError, ValueError), match=rf"^{name} is {re.escape(repr(value))};"):
                call(value)


@pytest.mark.parametrize("state", [None, 3, np.int64(3), np.random.default_rng(0), np.random.RandomState(0)])
def test_every_seed_of_scikit_learn_draws_bootstraps(state: Any) -> None:
    assert bootstrap(P[:50], TRUE[:50], n_bootstraps=2, random_state=state).own.shape == (2, 17)


@pytest.mark.parametrize("beta", [0, 2e6, math.inf])
def test_a_run_takes_no_beta_that_its_rules_refuse(beta: float) -> None:
    assert RunConfig.load([], {"data.root": "", "beta": MOST_BETA}).beta == MOST_BETA
    with refused(option="beta"):
        RunConfig.load([], {"data.root": "", "beta": beta})


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (FixedThreshold("0.2"), "threshold"),  # type: ignore[arg-type]
        (FixedThreshold(None), "threshold"),  # type: ignore[arg-type]
        (GlobalThreshold(at_least_one="no"), "at_least_one"),  # type: ignore[arg-type]
        (ShrunkThresholds(at_least_one=2), "at_least_one"),  # type: ignore[arg-type]
        (ExpectedFBeta(at_least_one="no"), "at_least_one"),  # type: ignore[arg-type]
        (ExpectedFBeta(constraints=[0, 1]), "constraints"),  # type: ignore[arg-type]
        (StackedExpectedFBeta(constraints=(0, 1)), "constraints"),  # type: ignore[arg-type]
        (StackedExpectedFBeta(penalty="1"), "penalty"),  # type: ignore[arg-type]
    ],
)
def test_types_of_parameters_of_rules_are_named(rule: MultiLabelRule, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name} is {re.escape(repr(rule.get_params()[name]))};"):
        rule.fit(P, TRUE)


def test_a_list_is_no_calibration() -> None:
    with pytest.raises(ValueError, match="platt"):
        ExpectedFBeta(calibration=["platt"]).fit(P, TRUE)  # type: ignore[arg-type]


@pytest.mark.parametrize("beta", ["2", None, 1e200, 0, -1, math.inf, math.nan])
def test_a_beta_that_the_score_cannot_use_is_named(beta: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^beta is {re.escape(repr(beta))};"):
        fbeta_score(ONES, ONES, beta)


@pytest.mark.parametrize("level", ["0.95", 0, 1, 95])
def test_a_level_that_no_interval_has_is_named(level: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^level is {re.escape(str(level))}|^level is '0.95'"):
        bootstrap_interval([0.0, 1.0], level=level)


@pytest.mark.parametrize("parts", ["5", 2.5, None])
def test_parts_are_a_whole_number(parts: Any) -> None:
    with pytest.raises(TypeError, match=rf"^parts is {re.escape(repr(parts))};"):
        cross_predict(GlobalThreshold(), P, TRUE, parts=parts)
