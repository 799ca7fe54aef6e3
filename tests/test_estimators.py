"""The decision rules as scikit-learn estimators: its own checks, and its tools around them."""

import doctest
import importlib
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import amazon_ml.decisions
from amazon_ml.decisions import (
    BaggedThresholds,
    ExpectedFBeta,
    FixedThreshold,
    GlobalThreshold,
    LabelConstraints,
    PerClassThresholds,
    ShrunkThresholds,
    SimplestRule,
    StackedExpectedFBeta,
    fbeta_score,
)
from amazon_ml.decisions.base import MultiLabelRule
from amazon_ml.decisions.logistic import sigmoid
from amazon_ml.decisions.rules import RULES as NAMED
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.labels import PLANET

P, TRUE = draw_rows(300, seed=4)
#: The classes of all rules that have a name, each once.
CLASSES: list[type[MultiLabelRule]] = list(dict.fromkeys(rule.estimator for rule in NAMED.values()))
RULES = [*(kind() for kind in CLASSES), SimplestRule([("a", FixedThreshold()), ("b", GlobalThreshold())], n_parts=3)]


class AnyNumbers:
    """Lets a rule take the data of scikit-learn's checks: any numbers from 0 for p, and one column of classes for y.

    It comes after the rule's own validation, which is checked as it is; the tags become one column a feature.
    """

    def _as_probabilities(self, p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return super()._as_probabilities(p / (1 + np.abs(p)))  # type: ignore[misc,no-any-return]

    def score(self, p: npt.ArrayLike, y: npt.ArrayLike) -> float:
        return super().score(p, self._as_truth(np.asarray(y)))  # type: ignore[misc,no-any-return]

    def _as_truth(self, y: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        ranks = np.unique(y.ravel(), return_inverse=True)[1]
        return (ranks[:, None] + np.arange(self.n_features_in_)) % 2 == 1  # type: ignore[attr-defined,no-any-return]


def adapted(kind: type[MultiLabelRule]) -> type[MultiLabelRule]:
    """Make a rule's class that takes any numbers; it stands in this module, so that it can be pickled."""
    name = f"AnyNumbers{kind.__name__}"
    globals()[name] = type(name, (AnyNumbers, kind), {"__module__": __name__, "__doc__": kind.__doc__})
    return globals()[name]  # type: ignore[no-any-return]


#: Checks that are left out, and why.
LEFT_OUT = {
    "check_positive_only_tag_during_fit": (
        "it asks for the words 'Negative values in data'; a rule refuses numbers above 1 as well, and names the range, "
        "the place and the value instead (test_wrong_input_is_refused)"
    ),
}


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [adapted(kind)() for kind in CLASSES], expected_failed_checks=lambda _: LEFT_OUT
)
def test_checks_of_scikit_learn(estimator: MultiLabelRule, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_clone_is_not_fitted_and_a_pickle_is_as_it_was(rule: MultiLabelRule) -> None:
    fitted = clone(rule).fit(P, TRUE)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(P)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(P), fitted.predict(P))
    assert fitted.score(P, TRUE) == fbeta_score(TRUE, fitted.predict(P))
    assert fitted.n_features_in_ == 17 and fitted.predict(P).dtype == np.uint8


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.full((4, 3), np.nan), np.ones((4, 3)), "NaN"),
        (np.full((4, 3), np.inf), np.ones((4, 3)), "infinity"),
        (np.full((4, 3), 1.5), np.ones((4, 3)), "1.5"),
        (np.full((4, 3), -0.5), np.ones((4, 3)), "-0.5"),
        (np.full((4, 3), 0.5), np.full((4, 3), 2), "0 or 1"),
        (np.full((4, 3), 0.5), np.full((4, 3), 0.5), "0 or 1"),
        (np.full((4, 3), 0.5), np.full((4, 3), np.nan), "NaN"),
        (np.full((4, 3), 0.5), np.ones(4), r"\(4,\)"),
        (np.full((4, 3), 0.5), np.ones((4, 2)), r"\(4, 3\).*\(4, 2\)|\(2, 3\).*\(2, 2\)"),
        (np.full((4, 3), 0.5), np.ones((5, 3)), r"\[4, 5\]"),
        (np.full(4, 0.5), np.ones((4, 1)), "1D"),
        (np.full((0, 3), 0.5), np.ones((0, 3)), r"\(0, 3\)"),
    ],
)
def test_wrong_input_is_refused(rule: MultiLabelRule, p: npt.ArrayLike, y: npt.ArrayLike, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clone(rule).fit(p, y)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("beta", [0, -1, float("nan"), float("inf")])
def test_beta_out_of_range_is_refused(rule: MultiLabelRule, beta: float) -> None:
    with pytest.raises(ValueError, match=rf"^beta .*{beta}\b"):
        clone(rule).set_params(beta=beta).fit(P, TRUE)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (FixedThreshold(-0.1), "threshold"),
        (FixedThreshold(float("nan")), "threshold"),
        (BaggedThresholds(n_bootstraps=0), "n_bootstraps"),
        (ShrunkThresholds(n_bootstraps=0), "n_bootstraps"),
        (ExpectedFBeta(calibration="magic"), "calibration"),  # type: ignore[arg-type]
        (ExpectedFBeta(constraints=LabelConstraints(alone=(17,))), "alone"),
        (StackedExpectedFBeta(constraints=LabelConstraints(exactly_one=(1, 1))), "exactly_one"),
        (StackedExpectedFBeta(penalty=0), "penalty"),
    ],
)
def test_other_parameters_out_of_range_are_refused(rule: MultiLabelRule, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        rule.fit(P, TRUE)


def test_a_table_has_to_have_the_columns_of_the_fit() -> None:
    table = pd.DataFrame(P, columns=list(PLANET.names))
    rule = PerClassThresholds().fit(table, pd.DataFrame(TRUE, columns=table.columns))
    assert rule.feature_names_in_.tolist() == list(PLANET.names)
    np.testing.assert_array_equal(rule.predict(table), PerClassThresholds().fit(P, TRUE).predict(P))
    with pytest.raises(ValueError, match="order"):
        rule.predict(table[table.columns[::-1]])


def test_rules_work_in_the_tools_of_scikit_learn() -> None:
    folds = KFold(3)
    crossed = cross_val_predict(PerClassThresholds(), P, TRUE, cv=folds)
    for train, test in folds.split(P):
        own = PerClassThresholds().fit(P[train], TRUE[train]).predict(P[test])
        np.testing.assert_array_equal(crossed[test], own)
    scores = cross_val_score(PerClassThresholds(), P, TRUE, cv=folds)
    assert scores.mean() == pytest.approx(fbeta_score(TRUE, crossed))
    grid = {"threshold": [0.05, 0.2, 0.9]}
    search = GridSearchCV(FixedThreshold(), grid, cv=folds).fit(P, TRUE)
    means = [cross_val_score(FixedThreshold(value), P, TRUE, cv=folds).mean() for value in grid["threshold"]]
    assert search.best_params_["threshold"] == grid["threshold"][int(np.argmax(means))]
    logits = np.log(P) - np.log1p(-P)
    piped = make_pipeline(FunctionTransformer(sigmoid), ShrunkThresholds()).fit(logits, TRUE)
    np.testing.assert_array_equal(piped.predict(logits), ShrunkThresholds().fit(sigmoid(logits), TRUE).predict(P))


def test_importing_the_rules_names_needs_no_scikit_learn() -> None:
    program = "import sys, amazon_ml.decisions.rules; print(*{'sklearn', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_public_name_can_be_imported_and_no_other() -> None:
    assert all(getattr(amazon_ml.decisions, name).__doc__ for name in amazon_ml.decisions.__all__)
    assert set(amazon_ml.decisions.__all__) <= set(dir(amazon_ml.decisions))
    with pytest.raises(AttributeError):
        amazon_ml.decisions.Oracle  # noqa: B018


@pytest.mark.parametrize(
    "module",
    [
        "constraints",
        "crossfit",
        "expected",
        "expected_rules",
        "fbeta",
        "rules",
        "selection",
        "threshold_rules",
        "thresholds",
    ],
)  # fmt: skip
def test_examples_of_the_docstrings_run(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"amazon_ml.decisions.{module}"))
    assert tried and not failed


def test_code_of_the_page_on_decisions_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "decisions.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "decisions.md", "exec"), names)
    assert names["tags"].shape == (500, 4) and len(capsys.readouterr().out.splitlines()) == 3
