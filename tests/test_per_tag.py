"""Where the score is lost: against scikit-learn, and counted by hand."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, fbeta_score, precision_recall_fscore_support
from test_fbeta import answers

from amazon_ml.decisions.per_tag import average_precision, confusions, fbeta_by_threshold, score_per_tag

MultiHot = npt.NDArray[np.uint8]


@settings(max_examples=100)
@given(answers(), st.sampled_from([0.5, 1.0, 2.0]))
def test_scores_of_tags_equal_scikit_learn(pair: tuple[MultiHot, MultiHot], beta: float) -> None:
    true, predicted = pair
    precision, recall, f, support = precision_recall_fscore_support(
        true, predicted, beta=beta, average=None, zero_division=0
    )
    table = score_per_tag(true, predicted, beta)
    for column, expected in (("precision", precision), ("recall", recall), ("fbeta", f), ("support", support)):
        np.testing.assert_allclose(table[column], expected, rtol=0, atol=1e-12, err_msg=column)
    assert table["predicted"].tolist() == [sum(int(row[tag]) for row in predicted) for tag in range(true.shape[1])]


@settings(max_examples=50)
@given(answers(), st.sampled_from([1.0, 2.0]))
def test_gain_is_that_of_mending_the_tag_alone(pair: tuple[MultiHot, MultiHot], beta: float) -> None:
    true, predicted = pair
    gains = score_per_tag(true, predicted, beta)["gain_if_perfect"]
    now = fbeta_score(true, predicted, beta=beta, average="samples", zero_division=1)
    for tag, gain in enumerate(gains):
        mended = predicted.copy()
        mended[:, tag] = true[:, tag]
        then = fbeta_score(true, mended, beta=beta, average="samples", zero_division=1)
        assert gain == pytest.approx(then - now, abs=1e-12)


@settings(max_examples=50)
@given(answers())
def test_confusions_are_counted_tile_by_tile(pair: tuple[MultiHot, MultiHot]) -> None:
    true, predicted = pair
    expected = np.zeros((true.shape[1],) * 2, dtype=int)
    for y, d in zip(true.tolist(), predicted.tolist(), strict=True):
        for missed, surplus in np.ndindex(expected.shape):
            expected[missed, surplus] += y[missed] > d[missed] and d[surplus] > y[surplus]
    np.testing.assert_array_equal(confusions(true, predicted), expected)


@given(st.integers(0, 10_000), st.sampled_from([3, 1000]))
def test_average_precision_equals_scikit_learn_with_ties_and_without(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    true, p = rng.random((20, 4)) < 0.3, rng.integers(0, steps, (20, 4)) / steps
    for tag, value in enumerate(average_precision(true, p)):
        if true[:, tag].any():
            assert value == pytest.approx(average_precision_score(true[:, tag], p[:, tag]), abs=1e-12)
        else:
            assert np.isnan(value)


@pytest.mark.parametrize("measure", [average_precision, lambda y, p: fbeta_by_threshold(y, p, [0.5])])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused_by_its_place(
    measure: Callable[[npt.ArrayLike, npt.ArrayLike], object], odd: float
) -> None:
    p = np.full((4, 2), 0.5)
    p[3, 1] = odd
    with pytest.raises(ValueError, match=rf"\(3, 1\).* {odd:g}\b"):
        measure(np.eye(4, 2), p)


@pytest.mark.parametrize("measure", [average_precision, lambda y, p: fbeta_by_threshold(y, p, [0.5])])
def test_probabilities_of_other_tiles_are_refused(
    measure: Callable[[npt.ArrayLike, npt.ArrayLike], object],
) -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\), \(3, 2\)"):
        measure(np.eye(4, 2), np.full((3, 2), 0.5))


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        fbeta_by_threshold(np.eye(4, 2), np.full((4, 2), 0.5), [0.2, np.nan])
