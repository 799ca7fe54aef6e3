"""Expected F-beta: against every set of tags and every truth, written out."""

from collections.abc import Iterator
from itertools import chain, combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from refused import refused
from sklearn.metrics import fbeta_score as sklearn_fbeta_score

from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.expected import joint_sizes, maximise, most_expected
from amazon_ml.decisions.expected_rules import ExpectedFBeta
from amazon_ml.decisions.fbeta import fbeta_score
from amazon_ml.decisions.rules import RULES, has_fallback, make_rules, rule_from_dict, rule_to_dict
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD, apply_thresholds
from amazon_ml.labels import PLANET, TagSet

Floats = npt.NDArray[np.float64]
Model = list[tuple[frozenset[int], float]]

CONSTRAINTS = [
    LabelConstraints(),
    LabelConstraints(exactly_one=(0, 1, 2)),
    LabelConstraints(exactly_one=(0, 1, 2), alone=(2,)),
    LabelConstraints(exactly_one=(1, 3), alone=(3, 1)),
    LabelConstraints(alone=(0,)),
    LabelConstraints(alone=(0, 2)),
    LabelConstraints(exactly_one=(0, 1), alone=(2,)),
]
#: Constraints on all of four tags.
COMPLETE = [
    LabelConstraints(exactly_one=(0, 1, 2, 3)),
    LabelConstraints(alone=(0, 1, 2, 3)),
    LabelConstraints(exactly_one=(0, 1, 3), alone=(2,)),
]


def subsets(of: list[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(of, size) for size in range(len(of) + 1))


def every_truth(p: list[float], constraints: LabelConstraints) -> Model:
    """Write out what the constraints says: each possible set of true tags with its probability."""
    alone = list(constraints.alone)
    choice = [tag for tag in constraints.exactly_one if tag not in alone]
    free = [tag for tag in range(len(p)) if tag not in alone + choice]
    total = sum(p[tag] for tag in alone + choice)
    if not choice:
        total = max(total, 1.0)
    share = {tag: p[tag] / total for tag in alone + choice}
    model = [(frozenset({tag}), share[tag]) for tag in alone]
    rest = 1 - sum(share[tag] for tag in alone)
    given = {tag: min(p[tag] / rest, 1.0) if rest > 0 else 0.0 for tag in free}
    firsts: list[tuple[tuple[int, ...], float]] = [((tag,), share[tag]) for tag in choice]
    for first, weight in firsts or [((), rest)]:
        for others in subsets(free):
            chance = np.prod([given[tag] if tag in others else 1 - given[tag] for tag in free])
            model.append((frozenset(first + others), float(weight * chance)))
    return model


def expected_score(answer: frozenset[int], model: Model, beta: float) -> float:
    return sum(
        chance * ((1 + beta**2) * len(answer & truth) / (beta**2 * len(truth) + len(answer)) if truth or answer else 1)
        for truth, chance in model
    )


tag_probabilities = st.one_of(st.floats(0.01, 0.99), st.sampled_from([0.05, 0.2, 0.5]))


@settings(max_examples=250)
@given(
    st.integers(4, 6).flatmap(lambda tags: hnp.arrays(np.float64, (2, tags), elements=tag_probabilities)),
    st.sampled_from(CONSTRAINTS),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    st.none() | st.floats(0, 1),
)
def test_no_set_of_tags_has_a_greater_expected_score(
    p: Floats, constraints: LabelConstraints, beta: float, untagged: float | None
) -> None:
    check_best(p, constraints, beta, untagged)


def check_best(p: Floats, constraints: LabelConstraints, beta: float, untagged: float | None) -> None:
    given = None if untagged is None else np.full(len(p), untagged)
    predicted = maximise(joint_sizes(p, constraints), beta, given)
    for row, answer in zip(p.tolist(), predicted, strict=True):
        model = every_truth(row, constraints)
        assert sum(chance for _, chance in model) == pytest.approx(1)
        if untagged is not None:
            tagged = [(truth, chance) for truth, chance in model if truth]
            scale = (1 - untagged) / sum(chance for _, chance in tagged)
            model = [(frozenset(), untagged), *((truth, chance * scale) for truth, chance in tagged)]
        sets = [frozenset(tags) for tags in subsets(list(range(len(row)))) if tags or untagged is not None]
        best = max(expected_score(tags, model, beta) for tags in sets)
        assert answer.any() or untagged is not None
        found = expected_score(frozenset(np.flatnonzero(answer).tolist()), model, beta)
        assert found == pytest.approx(best, abs=1e-9)


@settings(max_examples=60)
@given(
    hnp.arrays(np.float64, (2, 4), elements=tag_probabilities),
    st.sampled_from(COMPLETE),
    st.none() | st.floats(0, 1),
)
def test_constraints_may_cover_all_tags(p: Floats, constraints: LabelConstraints, untagged: float | None) -> None:
    check_best(p, constraints, 2.0, untagged)


@settings(max_examples=100)
@given(hnp.arrays(np.float64, (3, 5), elements=st.floats(0, 1)), st.sampled_from(CONSTRAINTS))
def test_joint_equals_the_truths_written_out(p: Floats, constraints: LabelConstraints) -> None:
    alone_or_one = [*constraints.alone, *constraints.exactly_one]
    p[:, alone_or_one] = p[:, alone_or_one].clip(0.01)
    joint = joint_sizes(p, constraints)
    for row, found in zip(p.tolist(), joint, strict=True):
        written = np.zeros((5, 6))
        for truth, chance in every_truth(row, constraints):
            written[list(truth), len(truth)] += chance
        np.testing.assert_allclose(found, written, atol=1e-9)


def test_marginals_that_fit_the_structure_are_kept() -> None:
    p = np.array([[0.5, 0.2, 0.1, 0.2, 0.7, 0.05]])  # the first four add to 1; no other above 1 - 0.2
    constraints = LabelConstraints(exactly_one=(0, 1, 2, 3), alone=(3,))
    np.testing.assert_allclose(joint_sizes(p, constraints).sum(axis=2), p, atol=1e-12)


@pytest.mark.parametrize("constraints", CONSTRAINTS)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-300, 0.5])
def test_certain_and_impossible_tags_give_tags_all_the_same(constraints: LabelConstraints, value: float) -> None:
    p = np.full((4, 6), value)
    joint = joint_sizes(p, constraints)
    assert np.isfinite(joint).all() and (joint >= 0).all()
    assert maximise(joint, 2.0).any(axis=1).all()


def test_structure_is_looked_up_by_name() -> None:
    tags = TagSet(("a", "b", "c", "d"), exactly_one=("d", "b"), alone=("b",))
    assert LabelConstraints.of(tags) == LabelConstraints(exactly_one=(3, 1), alone=(1,))
    assert LabelConstraints.of(PLANET) == LabelConstraints(exactly_one=(0, 1, 2, 3), alone=(3,))
    assert LabelConstraints.of(TagSet(("a", "b"))) == LabelConstraints()


@pytest.mark.parametrize("columns", [("clear", "haze"), "ab", (0.5,), (True,), (0, -1), 3, (None,)])
@pytest.mark.parametrize("name", ["exactly_one", "alone"])
def test_constraints_are_columns(name: str, columns: Any) -> None:
    with refused(option=name, says=[repr(columns), "LabelConstraints.of"]):
        LabelConstraints(**{name: columns})


def test_constraints_are_made_of_a_tag_list() -> None:
    with refused(option="tags", says="TagSet"):
        LabelConstraints.of(["a", "b"])  # type: ignore[arg-type]
    numbered = LabelConstraints([np.int64(0), 1])  # type: ignore[arg-type]
    assert numbered == LabelConstraints((0, 1)) and hash(numbered)
    given: list[Any] = [np.array([0, 1]), range(2), iter([0, 1])]
    for columns in given:
        assert LabelConstraints(columns) == LabelConstraints((0, 1))


def test_two_tags_that_exclude_each_other_may_both_be_answered() -> None:
    # By hand: {0} alone expects 0.6, {0, 1} expects 5/(4·1+2) = 0.83 whichever is true; with beta 0.1 only 0.50.
    joint = joint_sizes(np.array([[0.6, 0.4, 0.0]]), LabelConstraints(exactly_one=(0, 1)))
    assert maximise(joint, 2.0).tolist() == [[1, 1, 0]]
    assert maximise(joint, 0.1).tolist() == [[1, 0, 0]]


def test_on_average_over_its_own_model_it_beats_thresholds() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(0.4, 0.8, size=(20_000, 6))
    true = rng.random(p.shape) < p
    answers = most_expected(p, 2.0)
    found = fbeta_score(true, answers)
    assert found == sklearn_fbeta_score(true, answers, beta=2, average="samples", zero_division=1)
    for cut in (0.1, DEFAULT_THRESHOLD, 0.3, 0.4):
        assert found > fbeta_score(true, apply_thresholds(p, (cut,) * 6)) + 0.002
    free = most_expected(p, 2.0, untagged=(1 - p).prod(axis=1))  # as many tiles have no tag
    assert not true.any(axis=1).all() and not free.any(axis=1).all()
    assert fbeta_score(true, free) > found + 0.002
    for cut in (0.1, DEFAULT_THRESHOLD, 0.3, 0.4):
        assert fbeta_score(true, free) > fbeta_score(true, apply_thresholds(p, (cut,) * 6, at_least_one=False)) + 0.002


def one_of(count: int, share: float, tiles: int = 8000) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Calibrated probabilities of tags that exclude each other, and the truth; a share of the tiles has no tag."""
    rng = np.random.default_rng(0)
    which = rng.integers(count, size=tiles)
    which[rng.random(tiles) < share] = count
    which[0] = count  # one at least
    true = np.eye(count + 1, dtype=np.uint8)[which]
    odds = np.log([(1 - share) / count] * count + [max(share, 1 / tiles)]) + 1.2 * (
        1.2 * true + rng.normal(size=true.shape)
    )
    chances = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    return chances[:, :count], true[:, :count]


@pytest.mark.parametrize("name", ["expected", "stacked"])
@pytest.mark.parametrize("count", [10, 20])
@pytest.mark.parametrize("share", [0, 0.05, 0.2])
def test_tags_that_exclude_each_other_and_untagged_tiles(name: str, count: int, share: float) -> None:
    p, true = one_of(count, share)
    fitted, new = slice(0, 4000), slice(4000, None)
    scores = {
        flag: fbeta_score(
            true[new], RULES[name].estimator(at_least_one=flag).fit(p[fitted], true[fitted]).predict(p[new])
        )
        for flag in (None, True)
    }
    assert scores[None] > scores[True] + (0.02 if share == 0.2 else -0.003)


@pytest.mark.parametrize("name", ["expected_constrained", "stacked"])
def test_untagged_tiles_beside_a_group_with_exactly_one_tag(name: str) -> None:
    p, true = draw_rows(4000, seed=2)
    true[::20] = 0
    p[::20] *= 0.1  # the network knows them
    rule = make_rules(constraints=LabelConstraints.of(PLANET))[name].fit(p[:2000], true[:2000])
    assert not has_fallback(rule)
    predicted = rule.predict(p[2000:])
    bare = ~true[2000:].any(axis=1)
    assert predicted[bare].any(axis=1).mean() < 0.2 and predicted[~bare].any(axis=1).mean() > 0.99
    shrunk = make_rules()["shrunk"].fit(p[:2000], true[:2000]).predict(p[2000:])
    assert fbeta_score(true[2000:], predicted) > fbeta_score(true[2000:], shrunk)


@pytest.mark.parametrize("name", list(RULES))
def test_rules_leave_tiles_without_tags_untagged(name: str) -> None:
    rng = np.random.default_rng(0)
    true = (rng.random((4000, 1)) < 0.1).astype(np.uint8)  # a tag that nine of ten tiles lack
    p = 1 / (1 + np.exp(-rng.normal(5 * true - 3.5)))
    rule = make_rules()[name].fit(p[:2000], true[:2000])
    predicted = rule.predict(p[2000:])
    assert predicted.mean() < 0.2 and predicted[true[2000:] == 1].mean() > 0.7
    assert fbeta_score(true[2000:], predicted) > 0.9
    again = rule_from_dict(rule_to_dict(rule)).predict(p[2000:])
    np.testing.assert_array_equal(again, predicted)
    assert RULES[name].estimator(at_least_one=True).fit(p, true).predict(p).all()
    assert fbeta_score(true, true) == 1


def test_truth_that_breaks_the_structure_is_taken() -> None:
    p, true = draw_rows(2000, seed=1)
    rng = np.random.default_rng(0)
    broken = rng.permuted(true, axis=1)  # any tags together, weather among them
    constraints = LabelConstraints.of(PLANET)
    faults = PLANET.logic_faults(broken)
    assert constraints.broken(broken.astype(bool)).sum() == len({row for rows in faults.values() for row in rows}) > 100
    assert not constraints.broken(true.astype(bool)).any()
    with pytest.warns(UserWarning, match="5%"):
        rule = ExpectedFBeta(constraints=constraints).fit(p, broken)
    predicted = rule.predict(p)
    assert predicted.shape == p.shape and predicted.any(axis=1).all()


def test_some_wrong_labels_give_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    p, true = draw_rows(2000, seed=1)
    true[:90, :4] = 0  # 4.5 % without weather
    ExpectedFBeta(constraints=LabelConstraints.of(PLANET)).fit(p, true)
    assert not recwarn.list


def test_structure_that_holds_helps() -> None:
    p, true = draw_rows(6000, seed=2)
    half = slice(0, 3000), slice(3000, None)
    with_, without = (
        fbeta_score(true[half[1]], ExpectedFBeta(constraints=how).fit(p[half[0]], true[half[0]]).predict(p[half[1]]))
        for how in (LabelConstraints.of(PLANET), LabelConstraints())
    )
    assert with_ > without + 0.003


def test_no_tiles_give_no_answers() -> None:
    assert most_expected(np.zeros((0, 3)), 2.0).shape == (0, 3)
    rule = ExpectedFBeta().fit(*draw_rows(20, seed=2))
    assert rule.predict(np.zeros((0, 17))).shape == (0, 17)
