import re
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from refused import holds
from sklearn.metrics import fbeta_score as sklearn_fbeta_score

from amazon_ml.decisions.blending import weighted
from amazon_ml.decisions.crossfit import cross_predict
from amazon_ml.decisions.fbeta import fbeta_per_tile, fbeta_score
from amazon_ml.decisions.label_errors import contradictions
from amazon_ml.decisions.macro_micro import half_scores, paper_metrics
from amazon_ml.decisions.paired import log_loss_per_tile, paired, paired_per_tag
from amazon_ml.decisions.per_tag import average_precision, confusions, fbeta_by_threshold, score_per_tag
from amazon_ml.decisions.stacking import stack
from amazon_ml.decisions.threshold_rules import FixedThreshold, ShrunkThresholds

MultiHot = npt.NDArray[np.uint8]


@st.composite
def answers(draw: st.DrawFn) -> tuple[MultiHot, MultiHot]:
    # scikit-learn takes a single column for a binary problem, hence at least two tags.
    shape = draw(st.tuples(st.integers(1, 12), st.integers(2, 6)))
    bits = hnp.arrays(np.uint8, shape, elements=st.integers(0, 1))
    return draw(bits), draw(bits)


EMPTY_ROWS = (
    np.array([[0, 0, 0], [0, 0, 0], [1, 0, 1], [1, 1, 1]], dtype=np.uint8),
    np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]], dtype=np.uint8),
)


@settings(max_examples=150)
@example(EMPTY_ROWS, 2.0)
@given(answers(), st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0, 7.5]))
def test_fbeta_equals_scikit_learn(pair: tuple[MultiHot, MultiHot], beta: float) -> None:
    true, predicted = pair
    expected = sklearn_fbeta_score(true, predicted, beta=beta, average="samples", zero_division=1)
    assert fbeta_score(true, predicted, beta) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50)
@example(EMPTY_ROWS, 2.0)
@given(answers(), st.sampled_from([0.5, 1.0, 2.0]))
def test_each_tile_equals_scikit_learn_on_that_tile(pair: tuple[MultiHot, MultiHot], beta: float) -> None:
    true, predicted = pair
    expected = [
        sklearn_fbeta_score(true[[i]], predicted[[i]], beta=beta, average="samples", zero_division=1)
        for i in range(len(true))
    ]
    np.testing.assert_allclose(fbeta_per_tile(true, predicted, beta), expected, rtol=0, atol=1e-12)


def test_missed_tag_costs_more_than_a_surplus_one_under_f2() -> None:
    # By hand: 5·1/(4·2+1) = 5/9 with one of two tags missed; 5·2/(4·2+3) = 10/11 with one too many.
    scores = fbeta_per_tile([[1, 1, 0], [1, 1, 0]], [[1, 0, 0], [1, 1, 1]])
    np.testing.assert_allclose(scores, [5 / 9, 10 / 11], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("true", "predicted"), [(np.ones((2, 3)), np.ones((3, 2))), (np.ones(3), np.ones(3)), (np.ones((2, 3)), np.ones(3))]
)
def test_other_shapes_are_refused(true: npt.ArrayLike, predicted: npt.ArrayLike) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{np.shape(true)} and {np.shape(predicted)}")):
        fbeta_per_tile(true, predicted)


@pytest.mark.parametrize("value", [float("nan"), 0.5, 2, -1])
def test_what_is_neither_0_nor_1_is_refused(value: float) -> None:
    wrong = np.array([[1.0, 0.0], [value, 1.0]])
    with pytest.raises(ValueError, match="0 or 1"):
        fbeta_per_tile(wrong, np.ones((2, 2)))
    with pytest.raises(ValueError, match="0 or 1"):
        fbeta_per_tile(np.ones((2, 2)), wrong)


def test_tables_with_the_same_names_in_another_order_are_refused() -> None:
    true = pd.DataFrame([[1, 0], [0, 1]], columns=["a", "b"], index=["x", "y"])
    for other in (true[["b", "a"]], true.loc[["y", "x"]]):
        for call in (fbeta_score, FixedThreshold().fit, ShrunkThresholds().fit):
            with pytest.raises(ValueError, match=r"'[bx]'"):
                call(other, true)
    rule = FixedThreshold().fit(true, true)
    with pytest.raises(ValueError, match="'x'"):
        rule.score(true, true.loc[["y", "x"]])
    with pytest.raises(ValueError, match="'a'"):
        rule.score(true, true[["b", "a"]])
    assert rule.score(true, true) == rule.score(true, true.to_numpy()) == 1.0
    named = true.set_axis(["x1", "y1"], axis=0)  # rows of other names are a matter of the caller
    assert fbeta_score(true, named) == fbeta_score(true, true.to_numpy()) == 1.0
    numbered = true.reset_index(drop=True)
    assert fbeta_score(numbered, numbered.iloc[::-1].iloc[::-1]) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        average_precision, confusions, contradictions, half_scores, log_loss_per_tile, paired, stack,
        lambda one, other: cross_predict(FixedThreshold(), one, other, parts=2),
        lambda one, other: paired_per_tag(one, one, other),
        lambda one, other: paired_per_tag(one, other, one),
        lambda one, other: paper_metrics(one, one, other),
        lambda one, other: paper_metrics(one, other, one),
        score_per_tag,
        lambda one, other: fbeta_by_threshold(one, other, [0.5]),
    ],
)  # fmt: skip
def test_no_two_tables_are_compared_cell_by_cell_in_another_order(call: Callable[[Any, Any], object]) -> None:
    one = pd.DataFrame([[1, 0], [0, 1], [1, 1]], columns=["a", "b"], index=["x", "y", "z"])
    for other in (one[["b", "a"]], one.loc[["y", "x", "z"]]):
        with pytest.raises(ValueError, match=r"'[ax]'"):
            call(one, other)


TAGS = pd.DataFrame([[1, 0], [0, 1], [1, 1]], columns=["a", "b"])


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        (TAGS.set_axis(["x", "y", "z"]), TAGS.set_axis(["w", "x", "y"]), "wx"),
        (TAGS.set_axis(["b", "c"], axis=1), TAGS.set_axis(["a", "b"], axis=1), "ab"),
        (TAGS.set_axis(pd.Index([7, 8, 9], name="id")), TAGS.set_axis(pd.Index([9, 8, 7], name="id")), [7, 9]),
        (TAGS.set_axis(pd.Index([7, 8, 9], name="id")), TAGS.set_axis(pd.Index([1, 7, 8], name="id")), [7, 1]),
        (TAGS.set_axis(pd.MultiIndex.from_product([["s"], [1, 2, 3]])),
         TAGS.set_axis(pd.MultiIndex.from_product([["s"], [3, 2, 1]])), "s"),
    ],
    ids=["one row later", "column in another spelling", "numbers", "other numbers", "two levels"],
)  # fmt: skip
def test_tables_where_a_name_stands_elsewhere_are_refused(
    one: pd.DataFrame, other: pd.DataFrame, names: Iterable[object]
) -> None:
    for call in (fbeta_score, FixedThreshold().fit):
        for pair in ((one, other), (other, one)):
            with pytest.raises(ValueError, match="order") as raised:
                call(*pair)
            assert all(repr(name) in str(raised.value) for name in names) and "np." not in str(raised.value)


@pytest.mark.parametrize(
    ("index", "other"),
    [
        ([7, 8, 9], [9, 8, 7]),
        (pd.Index([7, 8, 9], name="id"), [9, 8, 7]),
        (pd.Index([7, 8, 9], name="id"), pd.Index([1, 2, 3], name="id")),
        (["x", "y", "z"], ["x", "Y", "z"]),
        (["x", pd.NA, "z"], ["x", pd.NA, "Z"]),
        (["x", "x", "z"], ["x", "x", "w"]),
    ],
)
def test_rows_without_a_name_in_common_may_be_numbered_anew(index: Any, other: Any) -> None:
    assert fbeta_score(TAGS.set_axis(index), TAGS.set_axis(other)) == 1.0


def test_members_of_a_blend_in_another_order_are_refused() -> None:
    one = TAGS.set_axis(["x", "y", "z"])
    assert weighted([one, one], one) == weighted(np.stack([one, one]), one)
    for members, truth in (([one, one.loc[["y", "x", "z"]]], one), ([one, one], one[["b", "a"]])):
        with pytest.raises(ValueError, match=r"'[ax]'"):
            weighted(members, truth)


def masked(values: pd.DataFrame) -> Any:
    return np.ma.MaskedArray(values.to_numpy(dtype=float), mask=[[False, True], [False, False], [False, False]])


def nullable(values: pd.DataFrame) -> Any:
    return values.astype("Int64").mask(np.array([[False, True], [False, False], [False, False]]))


@pytest.mark.parametrize("lacking", [masked, nullable])
@pytest.mark.parametrize(
    "call",
    [
        average_precision, fbeta_score, log_loss_per_tile, contradictions, paired, stack, FixedThreshold().fit,
        ShrunkThresholds().fit, lambda one, other: FixedThreshold().fit(TAGS, TAGS).score(one, other),
        lambda one, other: fbeta_by_threshold(one, other, [0.5]),
        lambda one, other: weighted([one, one], other),
        lambda one, other: cross_predict(FixedThreshold(), one, other, parts=2),
    ],
)  # fmt: skip
def test_values_that_are_masked_or_missing_are_refused(
    call: Callable[[Any, Any], object], lacking: Callable[[pd.DataFrame], Any]
) -> None:
    for pair in ((lacking(TAGS), TAGS), (TAGS, lacking(TAGS))):
        with pytest.raises(ValueError, match=r"masked|empty") as raised:
            call(*pair)
        assert holds(str(raised.value), 1)


def test_an_empty_mask_and_a_nullable_table_that_is_full_are_taken() -> None:
    for values in (np.ma.MaskedArray(TAGS.to_numpy()), TAGS.astype("Int64")):
        assert fbeta_score(values, TAGS) == FixedThreshold().fit(TAGS, values).score(TAGS, values) == 1.0


@settings(max_examples=50)
@given(answers(), st.randoms(use_true_random=False))
def test_order_of_tiles_has_no_influence(pair: tuple[MultiHot, MultiHot], random: Random) -> None:
    true, predicted = pair
    order = random.sample(range(len(true)), len(true))
    assert fbeta_score(true[order], predicted[order]) == pytest.approx(fbeta_score(true, predicted), abs=1e-15)
