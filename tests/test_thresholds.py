import json
import time
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import fbeta_score as sklearn_fbeta_score

from amazon_ml.decisions.fbeta import fbeta_score
from amazon_ml.decisions.threshold_rules import FixedThreshold, GlobalThreshold, PerClassThresholds
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD, apply_thresholds

MultiHot = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Rows = tuple[Floats, MultiHot]

# Few distinct values, so that ties abound; the start itself, the ends, and neighbouring floats are among them.
LADDER = [0.0, 0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0]
EDGES = [
    0.0, 5e-324, 1e-300, float(np.nextafter(np.float32(0.2), np.float32(0))), float(np.nextafter(0.2, 0)), 0.2,
    float(np.nextafter(0.2, 1)), float(np.float32(0.2)), 0.5, float(np.nextafter(0.5, 1)),
    float(np.nextafter(np.float32(0.5), np.float32(1))), float(np.nextafter(np.float32(1), np.float32(0))),
    float(np.nextafter(1.0, 0)), 1.0,
]  # fmt: skip


# All cuts are right already, but only with the most probable tag for tiles that reach none.
RIGHT_BY_FALLBACK = (np.array([[0.0, 0.0], [0.0, 0.05]]), np.array([[1, 0], [0, 1]], dtype=np.uint8))


@st.composite
def rows(draw: st.DrawFn, *, all_tagged: bool | None = None, ladder: tuple[float, ...] | None = None) -> Rows:
    tiles, tags = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    values = draw(st.sampled_from([LADDER, EDGES])) if ladder is None else list(ladder)
    p = draw(hnp.arrays(np.float64, (tiles, tags), elements=st.sampled_from(values)))
    true = draw(hnp.arrays(np.uint8, (tiles, tags), elements=st.integers(0, 1)))
    if draw(st.booleans()) if all_tagged is None else all_tagged:
        bare = np.flatnonzero(~true.any(axis=1))
        true[bare, bare % tags] = 1
    return p, true


def slow_score(p: Floats, true: MultiHot, cuts: list[float], at_least_one: bool, beta: int) -> Fraction:
    """Mean F-beta in exact arithmetic from sets; shares nothing with the package."""
    total = Fraction(0)
    for probabilities, truth in zip(p.tolist(), true.tolist(), strict=True):
        on = {tag for tag, value in enumerate(probabilities) if value >= cuts[tag]}
        if at_least_one and not on:
            on = {probabilities.index(max(probabilities))}
        wanted = {tag for tag, bit in enumerate(truth) if bit}
        if on or wanted:
            total += Fraction((1 + beta**2) * len(on & wanted), beta**2 * len(wanted) + len(on))
        else:
            total += 1
    return total / len(p)


def every_cut(p: Floats, tag: int) -> list[float]:
    """A threshold for each way to part the distinct probabilities: at each of them, and above all."""
    return [*sorted(set(p[:, tag].tolist())), 2.0]


@settings(max_examples=100)
@example(RIGHT_BY_FALLBACK, 1)
@given(rows(), st.sampled_from([1, 2, 3]))
def test_no_change_of_a_single_threshold_improves_the_score(data: Rows, beta: int) -> None:
    p, true = data
    rule = PerClassThresholds(beta=beta).fit(p, true)
    found = slow_score(p, true, list(rule.thresholds_), rule.at_least_one_, beta)
    for tag in range(p.shape[1]):
        for cut in every_cut(p, tag):
            cuts = [*rule.thresholds_[:tag].tolist(), cut, *rule.thresholds_[tag + 1 :].tolist()]
            better = slow_score(p, true, cuts, rule.at_least_one_, beta)
            assert better <= found + Fraction(1, 10**9), f"tag {tag} at {cut} instead of {rule.thresholds_[tag]}"


@settings(max_examples=70)
@given(rows())
def test_single_tag_reaches_the_global_maximum(data: Rows) -> None:
    p, true = data[0][:, :1], data[1][:, :1]
    rule = PerClassThresholds().fit(p, true)
    best = max(slow_score(p, true, [cut], rule.at_least_one_, 2) for cut in every_cut(p, 0))
    assert slow_score(p, true, list(rule.thresholds_), rule.at_least_one_, 2) >= best - Fraction(1, 10**9)


@settings(max_examples=100)
@example(RIGHT_BY_FALLBACK, 2.0)
@given(rows(), st.sampled_from([0.5, 1.0, 2.0]))
def test_never_below_the_fixed_start(data: Rows, beta: float) -> None:
    p, true = data
    fitted, start = (
        PerClassThresholds(beta=beta).fit(p, true).predict(p),
        FixedThreshold(beta=beta).fit(p, true).predict(p),
    )
    assert fbeta_score(true, fitted, beta) >= fbeta_score(true, start, beta) - 1e-9


@settings(max_examples=100)
@example(RIGHT_BY_FALLBACK, 1)
@given(rows(), st.sampled_from([1, 2, 3]))
def test_global_threshold_is_the_best_there_is(data: Rows, beta: int) -> None:
    p, true = data
    rule, tags = GlobalThreshold(beta=beta).fit(p, true), p.shape[1]
    assert len(set(rule.thresholds_)) == 1
    every = [*sorted(set(p.ravel().tolist())), 2.0, DEFAULT_THRESHOLD]
    best = max(slow_score(p, true, [value] * tags, rule.at_least_one_, beta) for value in every)
    assert slow_score(p, true, list(rule.thresholds_), rule.at_least_one_, beta) >= best - Fraction(1, 10**9)


@settings(max_examples=100)
@given(rows(), st.booleans(), st.sampled_from([1, 2]))
def test_the_search_is_for_the_fallback_that_is_given(data: Rows, flag: bool, beta: int) -> None:
    p, true = data
    rule = PerClassThresholds(beta=beta, at_least_one=flag).fit(p, true)
    common = GlobalThreshold(beta=beta, at_least_one=flag).fit(p, true)
    assert rule.at_least_one_ is common.at_least_one_ is flag
    found = slow_score(p, true, list(rule.thresholds_), flag, beta)
    for tag in range(p.shape[1]):
        for cut in every_cut(p, tag):
            cuts = [*rule.thresholds_[:tag].tolist(), cut, *rule.thresholds_[tag + 1 :].tolist()]
            assert slow_score(p, true, cuts, flag, beta) <= found + Fraction(1, 10**9)
    every = [*sorted(set(p.ravel().tolist())), 2.0]
    best = max(slow_score(p, true, [value] * p.shape[1], flag, beta) for value in every)
    assert slow_score(p, true, list(common.thresholds_), flag, beta) >= best - Fraction(1, 10**9)


def synthetic(tiles: int, tags: int, seed: int) -> Rows:
    """Tags from common to rare, with probabilities that rank them imperfectly; every tile has a tag."""
    rng = np.random.default_rng(seed)
    true = (rng.random((tiles, tags)) < np.geomspace(0.6, 0.01, tags)).astype(np.uint8)
    true[~true.any(axis=1), 0] = 1
    logits = 2.5 * true + rng.normal(size=(tiles, tags)) + np.log(np.geomspace(0.6, 0.01, tags)) - 0.5
    return 1 / (1 + np.exp(-logits)), true


def classic_loop(p: Floats, true: MultiHot) -> list[float]:
    """The search that competitors used: 100 steps for each tag in turn, once round."""
    cuts = [0.2] * p.shape[1]
    for tag in range(p.shape[1]):
        scores = []
        for step in range(100):
            cuts[tag] = step / 100
            scores.append(sklearn_fbeta_score(true, p > np.array(cuts), beta=2, average="samples", zero_division=1))
        cuts[tag] = int(np.argmax(scores)) / 100
    return cuts


@pytest.mark.parametrize("seed", [0, 1])
def test_not_below_the_classic_loop_over_scikit_learn(seed: int) -> None:
    p, true = synthetic(250, 3, seed)
    classic = sklearn_fbeta_score(true, p > np.array(classic_loop(p, true)), beta=2, average="samples", zero_division=1)
    fitted = sklearn_fbeta_score(
        true, PerClassThresholds().fit(p, true).predict(p), beta=2, average="samples", zero_division=1
    )
    start = sklearn_fbeta_score(true, p > DEFAULT_THRESHOLD, beta=2, average="samples", zero_division=1)
    assert fitted >= classic > start


@settings(max_examples=70)
@given(rows())
def test_moved_thresholds_part_distinct_probabilities(data: Rows) -> None:
    p, true = data
    for tag, cut in enumerate(PerClassThresholds().fit(p, true).thresholds_):
        column = p[:, tag]
        if cut not in (DEFAULT_THRESHOLD, 0.0):
            below, above = column[column < cut], column[column >= cut]
            # Where floats leave no room between two neighbours, the cut is the upper one, which it turns on.
            room = not len(below) or not len(above) or np.nextafter(below.max(), 2) < above.min()
            assert (cut not in column) or not room
        assert 0 <= cut <= np.nextafter(1.0, 2.0)


@settings(max_examples=50)
@given(rows())
def test_equal_probabilities_of_a_tag_are_decided_alike(data: Rows) -> None:
    p, true = data
    # Without the tag for otherwise empty tiles, which looks at a tile's other probabilities, too.
    predicted = apply_thresholds(np.asarray(p), PerClassThresholds().fit(p, true).thresholds_, at_least_one=False)
    for tag in range(p.shape[1]):
        for value in set(p[:, tag].tolist()):
            assert len(set(predicted[p[:, tag] == value, tag].tolist())) == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("low", [0.0, 0.1, 0.2, 0.5, 0.999])
def test_adjacent_floats_are_parted(kind: type[np.float32] | type[np.float64], low: float) -> None:
    under = kind(low)
    over = np.nextafter(under, kind(1))
    # The second tag keeps every tile from being empty; the first is right exactly for the upper neighbour.
    p = np.array([[under, 1], [over, 1], [under, 1], [over, 1]], dtype=kind)
    true = np.array([[0, 1], [1, 1], [0, 1], [1, 1]])
    rule = PerClassThresholds().fit(p, true)
    np.testing.assert_array_equal(rule.predict(p), true)
    np.testing.assert_array_equal(
        apply_thresholds(np.asarray(p), json.loads(json.dumps(rule.thresholds_.tolist()))), true
    )


def test_probability_zero_can_be_on_and_one_can_be_off() -> None:
    p = np.array([[0.0, 1.0, 0.9], [0.0, 1.0, 0.9], [0.0, 1.0, 0.9]])
    true = np.array([[1, 0, 1], [1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(PerClassThresholds().fit(p, true).predict(p), true)


def test_largest_float_below_one_can_be_off() -> None:
    p = np.array([[np.nextafter(1.0, 0.0), 0.9]] * 3)
    true = np.array([[0, 1]] * 3)
    np.testing.assert_array_equal(PerClassThresholds().fit(p, true).predict(p), true)


def test_tag_without_positives_is_never_on_and_tag_on_every_tile_always() -> None:
    rng = np.random.default_rng(3)
    p = rng.random((50, 3))
    true = np.stack([np.zeros(50), np.ones(50), rng.random(50) < p[:, 2]], axis=1)
    predicted = PerClassThresholds().fit(p, true).predict(p)
    assert not predicted[:, 0].any()
    assert predicted[:, 1].all()


def test_threshold_that_is_best_already_is_kept() -> None:
    # 0.2 parts them rightly, as does every cut in (0.1, 0.6].
    p, true = np.array([[0.1, 0.9], [0.6, 0.9]]), np.array([[0, 1], [1, 1]])
    assert PerClassThresholds().fit(p, true).thresholds_.tolist() == [DEFAULT_THRESHOLD] * 2


def test_of_equally_good_cuts_the_nearest_is_taken() -> None:
    # Under F1 and beside a tag that is right, a hit gains 1/6 and a surplus tag loses 1/6. In falling order the sums
    # are 1 2 1 2 1 | 0 1 2 sixths, the bar at 0.2: of the three best cuts that between 0.6 and 0.5 is the nearest.
    p = np.column_stack([[0.9, 0.8, 0.7, 0.6, 0.5, 0.15, 0.14, 0.13], np.ones(8)])
    true = np.column_stack([[1, 1, 0, 1, 0, 0, 1, 1], np.ones(8)])
    assert PerClassThresholds(beta=1.0).fit(p, true).thresholds_[0] == pytest.approx(0.55)


@settings(max_examples=60)
@given(rows(), st.randoms(use_true_random=False))
def test_order_of_tiles_has_no_influence(data: Rows, random: np.random.Generator) -> None:
    p, true = data
    order = list(range(len(p)))
    random.shuffle(order)
    rule, shuffled = PerClassThresholds().fit(p, true), PerClassThresholds().fit(p[order], true[order])
    assert shuffled.to_dict() == rule.to_dict()
    np.testing.assert_array_equal(shuffled.predict(p[order]), rule.predict(p)[order])


def test_order_of_tiles_has_no_influence_on_a_large_table() -> None:
    p, true = synthetic(3000, 17, seed=4)
    order = np.random.default_rng(0).permutation(len(p))
    shuffled, straight = PerClassThresholds().fit(p[order], true[order]), PerClassThresholds().fit(p, true)
    np.testing.assert_array_equal(shuffled.thresholds_, straight.thresholds_)


def test_fitting_leaves_its_arguments_alone_and_repeats_itself() -> None:
    p, true = synthetic(300, 5, seed=5)
    before = p.copy(), true.copy()
    first, second = PerClassThresholds().fit(p, true), PerClassThresholds().fit(p, true)
    assert first.to_dict() == second.to_dict()
    np.testing.assert_array_equal(p, before[0])
    np.testing.assert_array_equal(true, before[1])


def test_beta_moves_the_thresholds() -> None:
    p, true = synthetic(2000, 5, seed=6)
    lenient, strict = (
        PerClassThresholds(beta=3.0).fit(p, true).predict(p),
        PerClassThresholds(beta=0.5).fit(p, true).predict(p),
    )
    assert lenient.sum() > 1.2 * strict.sum()


@settings(max_examples=50)
@given(rows(all_tagged=True), rows())
def test_no_tile_is_left_empty_where_every_tile_had_a_tag(data: Rows, others: Rows) -> None:
    p, true = data
    rule = PerClassThresholds().fit(p, true)
    unseen = np.resize(others[0], (len(others[0]), p.shape[1]))
    assert rule.at_least_one_
    assert FixedThreshold().fit(p, true).at_least_one_
    assert rule.predict(p).any(axis=1).all()
    assert rule.predict(unseen).any(axis=1).all()


def test_tile_that_reaches_no_threshold_gets_its_most_probable_tag() -> None:
    p = [[0.1, 0.4, 0.3], [0.1, 0.9, 0.6], [0.3, 0.3, 0.1]]
    assert apply_thresholds(np.asarray(p), (0.5, 0.5, 0.5)).tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert apply_thresholds(np.asarray(p), (0.5, 0.5, 0.5), at_least_one=False).tolist() == [
        [0, 0, 0],
        [0, 1, 1],
        [0, 0, 0],
    ]


def test_empty_answers_are_allowed_where_the_truth_has_them() -> None:
    p = np.array([[0.9, 0.1], [0.05, 0.02], [0.1, 0.8]])
    true = np.array([[1, 0], [0, 0], [0, 1]])
    rule = PerClassThresholds().fit(p, true)
    assert not rule.at_least_one_
    assert not FixedThreshold().fit(p, true).at_least_one_
    np.testing.assert_array_equal(rule.predict(p), true)


def test_reaching_a_threshold_exactly_turns_the_tag_on() -> None:
    assert apply_thresholds(np.asarray([[0.5, np.nextafter(0.5, 0)]]), (0.5, 0.5)).tolist() == [[1, 0]]
    assert apply_thresholds(np.asarray([[0.5, 0.5]]), (0.5, 0.5)).dtype == np.uint8


def test_fixed_is_two_tenths_for_every_tag() -> None:
    rule = FixedThreshold().fit(np.zeros((2, 3)), [[1, 0, 0], [0, 1, 0]])
    assert rule.thresholds_.tolist() == [0.2] * 3 and rule.at_least_one_


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.001, 1.001])
def test_probabilities_out_of_range_are_refused(value: float) -> None:
    p = np.full((3, 2), 0.5)
    p[1, 1] = value
    for use in (
        lambda: PerClassThresholds().fit(p, np.ones((3, 2))),
        lambda: FixedThreshold().fit(np.ones((3, 2)), np.ones((3, 2))).predict(p),
    ):
        with pytest.raises(ValueError, match=rf"\(1, 1\).* {value}\b|NaN|infinity"):
            use()


def test_truth_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        PerClassThresholds().fit(np.full((2, 2), 0.5), [[1.0, 0.0], [float("nan"), 1.0]])


@pytest.mark.parametrize(
    ("p", "true", "given"),
    [
        ((3, 2), (2, 3), r"\[3, 2\]"),
        ((3,), (3,), "1D"),
        ((0, 2), (0, 2), r"\(0, 2\)"),
        ((2, 0), (2, 0), r"\(2, 0\)"),
        ((3, 2), (3, 2, 1), r"\b3\b"),
    ],
)
def test_other_shapes_are_refused(p: tuple[int, ...], true: tuple[int, ...], given: str) -> None:
    with pytest.raises(ValueError, match=given):
        PerClassThresholds().fit(np.zeros(p), np.zeros(true))


@pytest.mark.parametrize(("shape", "given"), [((4,), "1D"), ((4, 2), r"\b2 features"), ((4, 3, 1), r"\bdim 3\b")])
def test_decide_refuses_other_shapes(shape: tuple[int, ...], given: str) -> None:
    rule = FixedThreshold().fit(np.zeros((1, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match=given):
        rule.predict(np.zeros(shape))


def test_competition_size_takes_no_time() -> None:
    p, true = synthetic(40_479, 17, seed=7)
    began = time.process_time()
    PerClassThresholds().fit(p, true)
    assert time.process_time() - began < 1.5  # loose: machines are busy
