import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score, f1_score, log_loss

from amazon_ml.decisions.macro_micro import half_scores, paired_metrics, paper_metrics
from amazon_ml.decisions.synthetic import draw_rows

Floats = npt.NDArray[np.float64]
MultiHot = npt.NDArray[np.uint8]


def expected(y: MultiHot, p: Floats, predicted: MultiHot) -> dict[str, float]:
    """The same by scikit-learn, on the tags that a tile carries."""
    carried = y.any(axis=0)
    half = (p > 0.5).astype(np.uint8)
    found = {
        "f1_micro": f1_score(y.ravel(), half.ravel(), zero_division=0),
        "f1_micro_predicted": f1_score(y.ravel(), predicted.ravel(), zero_division=0),
        "log_loss": np.mean([log_loss(y[:, tag], p[:, tag], labels=[0, 1]) for tag in range(y.shape[1])]),
    }
    if carried.any():
        own, ranks = y[:, carried], p[:, carried]
        scores = [f1_score(own[:, tag], half[:, carried][:, tag], zero_division=0) for tag in range(own.shape[1])]
        given = [f1_score(own[:, tag], predicted[:, carried][:, tag], zero_division=0) for tag in range(own.shape[1])]
        found |= {
            "f1_macro": np.mean(scores),
            "f1_macro_predicted": np.mean(given),
            "average_precision_macro": np.mean(
                [average_precision_score(own[:, tag], ranks[:, tag]) for tag in range(own.shape[1])]
            ),
            "average_precision_micro": average_precision_score(y.ravel(), p.ravel()),
        }
    return found


shapes = st.tuples(st.integers(1, 12), st.integers(1, 4))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), shape=shapes)
def test_values_are_those_of_scikit_learn(data: st.DataObject, shape: tuple[int, int]) -> None:
    y = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    p = data.draw(arrays.arrays(np.float64, shape, elements=st.sampled_from([0.01, 0.2, 0.5, 0.7, 0.99])))
    predicted = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    found = paper_metrics(y, p, predicted)
    values = {name: score["value"] for name, score in found["scores"].items()}
    assert values == pytest.approx(expected(y, p, predicted), abs=1e-12)
    assert found["tags_without_positive"] == np.flatnonzero(~y.any(axis=0)).tolist()
    few = [tag for tag, count in enumerate(y.sum(axis=0)) if 1 <= count <= 4]
    assert found["tags_with_few_positives"] == few
    at_half = {name: values[name] for name in values if name.startswith(("average", "f1")) and "predicted" not in name}
    assert half_scores(y, p) == pytest.approx(at_half, abs=1e-12)


def test_values_of_many_tiles_are_those_of_scikit_learn() -> None:
    p, y = draw_rows(3000)
    y[:, 4] = 0
    p = p.astype(np.float32).astype(np.float64)
    wanted = expected(y, p, (p > 0.2).astype(np.uint8))
    found = half_scores(y, p.astype(np.float32))
    assert found == pytest.approx({name: wanted[name] for name in found}, abs=1e-12) and len(found) == 4


def test_differences_are_those_of_resampled_tiles() -> None:
    p, y = draw_rows(400, seed=2)
    other = np.clip(p + np.random.default_rng(0).normal(0, 0.15, p.shape), 0, 1)
    y[:, 3] = 0
    found = paired_metrics(y, [p, other, p], [p > 0.2, other > 0.3, p > 0.2], level=0.9)
    first, second = (expected(y, each, (each > cut).astype(np.uint8)) for each, cut in ((p, 0.2), (other, 0.3)))
    assert len(found["scores"]) == 3 and len(found["minus_first"]) == 2
    names = first.keys() - {"log_loss"}
    for own, wanted in zip(found["scores"], (first, second), strict=False):
        assert own == pytest.approx({name: wanted[name] for name in names}, abs=1e-12)
    differences = found["minus_first"][0]
    assert differences.keys() == names
    rows = np.random.default_rng(7).integers(len(y), size=(200, len(y)))
    micro = [
        average_precision_score(y[drawn].ravel(), other[drawn].ravel())
        - average_precision_score(y[drawn].ravel(), p[drawn].ravel())
        for drawn in rows
    ]
    found_one = differences["average_precision_micro"]
    assert found_one["value"] == pytest.approx(
        second["average_precision_micro"] - first["average_precision_micro"], abs=1e-12
    )
    assert found_one["standard_error"] == pytest.approx(np.std(micro, ddof=1), rel=0.25)
    reach = 1.6448536 * found_one["standard_error"]
    assert found_one["interval"] == pytest.approx([found_one["value"] - reach, found_one["value"] + reach])
    assert differences["average_precision_micro"]["verdict"] == "lower"
    for same in found["minus_first"][1].values():
        assert same == {"value": 0, "standard_error": 0, "interval": [0, 0], "verdict": "noise"}


def test_a_tag_that_resamples_miss_has_a_difference() -> None:
    p, y = draw_rows(30, seed=4)
    y[1:, 0] = 0
    y[0, 0] = 1  # a third of the resamples lack this tile
    found = paired_metrics(y[:, :1], [p[:, :1], 1 - p[:, :1]], [p[:, :1] > 0.2] * 2)["minus_first"][0]
    assert all(np.isfinite([one["value"], one["standard_error"], *one["interval"]]).all() for one in found.values())


def test_intervals_hold_the_value_and_shrink_with_the_square_root_of_tiles() -> None:
    widths = []
    for tiles in (400, 6400):
        p, y = draw_rows(tiles)
        found = paper_metrics(y, p, p > 0.2)["scores"]
        for score in found.values():
            low, high = score["interval"]
            assert low <= score["value"] <= high
        low, high = found["average_precision_micro"]["interval"]
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.35)


def test_an_interval_is_that_of_resampled_tiles() -> None:
    p, y = draw_rows(500)
    rng = np.random.default_rng(5)
    values = [
        average_precision_score(y[rows].ravel(), p[rows].ravel()) for rows in rng.integers(len(y), size=(400, len(y)))
    ]
    found = paper_metrics(y, p, p > 0.2)["scores"]["average_precision_micro"]["interval"]
    assert found == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.006)


def weak(tiles: int, tags: int, rng: np.random.Generator, rarest: float) -> tuple[Floats, MultiHot]:
    """Tags from common to rare, and a network that hardly knows them."""
    frequency = np.geomspace(0.5, rarest, tags)
    y = (rng.random((tiles, tags)) < frequency).astype(np.uint8)
    return 1 / (1 + np.exp(-rng.normal(0.5 * y) - np.log(frequency / (1 - frequency)))), y


def test_intervals_of_macro_average_precision_cover_that_of_all_tiles() -> None:
    rng = np.random.default_rng(1)
    p, y = weak(40_000, 20, rng, 0.04)
    population, covered = half_scores(y, p)["average_precision_macro"], 0
    for _ in range(20):
        p, y = weak(300, 20, rng, 0.04)
        low, high = paper_metrics(y, p, p > 0.2)["scores"]["average_precision_macro"]["interval"]
        covered += low <= population <= high
    assert covered >= 16


@pytest.mark.parametrize("tags", [3, 120])
def test_an_interval_of_macro_average_precision_lies_in_0_to_1_and_holds_the_value(tags: int) -> None:
    for seed in range(5):
        p, y = weak(28, tags, np.random.default_rng(seed), 0.02)
        score = paper_metrics(y, p, p > 0.2)["scores"]["average_precision_macro"]
        low, high = score["interval"]
        assert 0 <= low <= score["value"] <= high <= 1


def brute_force(y: MultiHot, predicted: MultiHot, resamples: int) -> Floats:
    """Macro F1 by scikit-learn of resampled tiles, over the tags that a resample carries."""
    rows = np.random.default_rng(11).integers(len(y), size=(resamples, len(y)))
    values = []
    for drawn in rows:
        carried = y[drawn].any(axis=0)
        values.append(f1_score(y[drawn][:, carried], predicted[drawn][:, carried], average="macro", zero_division=0))
    return np.array(values)


def rare(tiles: int) -> tuple[Floats, MultiHot]:
    """One tag that every tile carries, and nine that one tile carries; predictions that are right."""
    y = np.zeros((tiles, 10), np.uint8)
    y[:, 0] = 1
    y[7 * np.arange(1, 10), np.arange(1, 10)] = 1
    return np.where(y == 1, 0.9, 0.1), y


def test_right_predictions_of_rare_tags_have_a_perfect_interval() -> None:
    p, y = rare(300)
    scores = paper_metrics(y, p, p > 0.5)["scores"]
    for name in ("f1_macro", "f1_macro_predicted", "average_precision_macro"):
        assert scores[name] == {"value": 1.0, "interval": [1.0, 1.0]}


def test_macro_f1_of_rare_tags_has_the_span_of_resampled_tiles_and_of_these_mirrored() -> None:
    p, y = rare(300)
    p[7 * np.arange(1, 4), np.arange(1, 4)] = 0.1  # three are missed
    p[:20, 5] = 0.9  # and one is seen too often
    found = paper_metrics(y, p, p > 0.5)["scores"]
    predicted = (p > 0.5).astype(np.uint8)
    low, high = np.quantile(brute_force(y, predicted, 600), [0.025, 0.975])
    for name in ("f1_macro", "f1_macro_predicted"):
        value = f1_score(y, predicted, average="macro")
        assert found[name]["value"] == pytest.approx(value, abs=1e-12)
        span = [min(low, 2 * value - high), max(high, 2 * value - low)]
        assert found[name]["interval"] == pytest.approx(np.clip(span, 0, 1), abs=0.03)


def long_tail(tiles: int, rng: np.random.Generator) -> tuple[Floats, MultiHot]:
    """Ten common tags, and fifty that 1.5 of 500 tiles carry: a network knows them, but is never sure of them."""
    frequency = np.append(np.linspace(0.1, 0.4, 10), np.full(50, 0.003))
    y = (rng.random((tiles, 60)) < frequency).astype(np.uint8)
    return 1 / (1 + np.exp(-rng.normal(4 * (y - 0.5)) - np.log(frequency / (1 - frequency)))), y


def test_intervals_of_macro_f1_with_many_rare_tags_hold_the_value_and_cover_that_of_all_tiles() -> None:
    rng = np.random.default_rng(1)
    p, y = long_tail(40_000, rng)
    population = f1_score(y, p > 0.5, average="macro"), f1_score(y, p > 0.2, average="macro")
    covered = np.zeros(2, int)
    for _ in range(20):
        p, y = long_tail(500, rng)
        scores = paper_metrics(y, p, p > 0.2)["scores"]
        for place, name in enumerate(("f1_macro", "f1_macro_predicted")):
            low, high = scores[name]["interval"]
            assert 0 <= low <= scores[name]["value"] <= high <= 1
            covered[place] += low <= population[place] <= high
    assert covered.min() >= 16


def test_a_difference_of_macro_f1_of_rare_tags_has_the_error_of_resampled_tiles() -> None:
    p, y = rare(300)
    other = p.copy()
    other[7 * np.arange(1, 5), np.arange(1, 5)] = 0.1
    found = paired_metrics(y, [p, other], [p > 0.5, other > 0.5])["minus_first"][0]
    both = [brute_force(y, (one > 0.5).astype(np.uint8), 600) for one in (p, other)]
    for name in ("f1_macro", "f1_macro_predicted"):
        assert found[name]["value"] == pytest.approx(-0.4, abs=1e-12)
        assert found[name]["standard_error"] == pytest.approx(np.std(both[1] - both[0], ddof=1), rel=0.15)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\), \(3, 2\), \(3, 1\)"):
        paper_metrics(np.ones((3, 2)), np.full((3, 2), 0.5), np.ones((3, 1)))
