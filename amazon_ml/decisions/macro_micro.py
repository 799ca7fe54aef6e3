"""The metrics that papers on multilabel tiles print: average precision and F1, macro and micro, and log loss.

The F-beta of `amazon_ml.decisions.fbeta` is averaged over tiles. These are averaged over tags (macro), or computed over
all tags and tiles at once (micro). A tag that no tile carries has no average precision and no recall: it is named, and
left out of macro averages. So is one that no tile of a resample carries, from the value of this resample. For this
reason, and since few tiles say little about a tag, such tags make intervals of macro averages too narrow.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.matrices import Bools, Floats, as_multi_hot, as_probabilities, check_same_order
from amazon_ml.decisions.paired import Difference, log_loss_per_tile, verdict_of
from amazon_ml.decisions.parameters import check_level, check_whole
from amazon_ml.decisions.per_tag import average_precision

#: What each metric is called in tables.
TITLES = {
    "average_precision_macro": "average precision, macro",
    "average_precision_micro": "average precision, micro",
    "f1_macro": "F1 at 0.5, macro",
    "f1_micro": "F1 at 0.5, micro",
    "f1_macro_predicted": "F1 of the predicted tags, macro",
    "f1_micro_predicted": "F1 of the predicted tags, micro",
    "log_loss": "log loss",
}
#: Resamples of tiles for an interval.
_RESAMPLES = 200
#: Tags of fewer tiles make intervals of macro averages too narrow: at 600 made tiles, where the rarest tags have 1,
#: they covered 67 % to 93 % of 60 samples, and at 3,000 tiles, where these have 5, 82 % to 98 % of 50.
FEW_POSITIVES = 5
#: Numbers that are held at once, so that memory stays flat in the number of tiles.
_HELD = 4_000_000

#: Gives one value for each row of weights: float64 (resamples, tiles) to float64 (resamples,).
_Measure = Callable[[Floats], Floats]
_Key = TypeVar("_Key", bound=Hashable)


class Measured(TypedDict):
    """A ``value``, and ``interval``, the lower and upper end of its 95 % interval over tiles."""

    value: float
    interval: list[float]


class PaperMetrics(TypedDict):
    """What papers print, and ``tags_without_positive``, the columns that macro averages leave out.

    ``tags_with_few_positives`` are the columns with 1 to 4 tiles: they make intervals of macro averages too narrow.

    ``average_precision_macro`` and ``average_precision_micro`` rank tiles by probability. ``f1_macro`` and ``f1_micro``
    are of tags at a threshold of 0.5, ``f1_macro_predicted`` and ``f1_micro_predicted`` of the tags that the run's rule
    gives. ``log_loss`` is the mean over tiles and tags, in nats.
    """

    scores: dict[str, Measured]
    tags_without_positive: list[int]
    tags_with_few_positives: list[int]


def paper_metrics(targets: npt.ArrayLike, p: npt.ArrayLike, predicted: npt.ArrayLike, *, seed: int = 0) -> PaperMetrics:
    """Compute the metrics with intervals over tiles.

    Intervals come from a bootstrap over tiles: they say how far a value may move with other tiles, and not with another
    training run. Their ends are percentiles of the resamples (Efron 1979). Those of macro averages span the percentiles
    and the same mirrored at the value (the basic interval of Davison and Hinkley 1997, section 5.2), kept in 0..1, so
    they hold the value.

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    p
        Probabilities in 0..1, of the same shape.
    predicted
        Multi-hot array of the tags that a rule gives, of the same shape.
    seed
        Seed of the resamples.

    Returns
    -------
    The scores by name, and the columns of tags that no tile or few tiles carry. Where no tag is carried by a tile,
    there are only micro F1 and log loss.

    Raises
    ------
    ValueError
        For arrays that are no multi-hot arrays or probabilities, or of different shapes.

    Examples
    --------
    >>> from amazon_ml.decisions.synthetic import draw_rows
    >>> p, y = draw_rows(500)
    >>> found = paper_metrics(y, p, p > 0.2)
    >>> found["scores"]["average_precision_micro"]["value"] > found["scores"]["average_precision_macro"]["value"]
    True
    """
    true, values, given = _checked(targets, p, predicted)
    carried: Bools = true.sum(axis=0) > 0
    measures = _measures(true, values, given, carried)
    resampled = _resampled(measures, len(true), max(1, _HELD // true.size), seed)
    scores: dict[str, Measured] = {
        name: {"value": value, "interval": _interval(name, value, resampled[name])}
        for name, value in _values(measures, len(true)).items()
    }
    without, few = rare_tags(true)
    return {"scores": scores, "tags_without_positive": without, "tags_with_few_positives": few}


def _interval(name: str, value: float, draws: Floats) -> list[float]:
    low, high = np.nanquantile(draws, [0.025, 0.975]).tolist()
    if "_macro" not in name:
        return [low, high]
    # A resample repeats tiles, and equal tiles of a tag support each other, so its average precision is too high. It
    # also leaves out tags that none of its tiles carries: most of them are rare and badly predicted, so its macro F1 is
    # too high, by more than the width of the percentiles where many are rare. Mirrored, such an error offsets that of
    # the sample, which leaves out tags, too. Where few tags are rare, percentiles are the better ones.
    return [max(0.0, min(low, 2 * value - high)), min(1.0, max(high, 2 * value - low))]


def rare_tags(targets: npt.ArrayLike) -> tuple[list[int], list[int]]:
    """List the columns of tags that no tile carries, and of those that 1 to `FEW_POSITIVES` - 1 tiles carry."""
    positives = as_multi_hot(targets).sum(axis=0)
    few = (positives > 0) & (positives < FEW_POSITIVES)
    return np.flatnonzero(positives == 0).tolist(), np.flatnonzero(few).tolist()


class PairedMetrics(TypedDict):
    """Values of several predictions on the same tiles, by the names of `TITLES` but the log loss.

    ``scores`` has those of each prediction. ``minus_first`` has the differences of each but the first.
    """

    scores: list[dict[str, float]]
    minus_first: list[dict[str, Difference]]


def paired_metrics(
    targets: npt.ArrayLike, p: Sequence[npt.ArrayLike], predicted: Sequence[npt.ArrayLike], *,
    level: float = 0.95, seed: int = 0,
) -> PairedMetrics:  # fmt: skip
    """Compare predictions with the first, by average precision and F1, macro and micro.

    These are no means over tiles, so each difference is resampled: all predictions are scored on the same resamples of
    the tiles. The standard deviation over resamples is its standard error, and the interval is normal (Efron and
    Tibshirani 1993, section 12.3), since the tails at the levels of several comparisons would need far more resamples.

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    p
        Probabilities in 0..1 of each prediction, of the same shape.
    predicted
        Multi-hot array of the tags that each prediction gives, of the same shape.
    level
        Probability that an interval covers.
    seed
        Seed of the resamples.

    Raises
    ------
    ValueError
        For arrays that are no multi-hot arrays or probabilities, or of different shapes.
    """
    check_level(level)
    together: dict[tuple[int, str], _Measure] = {}
    for place, (values, given) in enumerate(zip(p, predicted, strict=True)):
        true, ranked, on = _checked(targets, values, given)
        measures = _measures(true, ranked, on, true.sum(axis=0) > 0)
        del measures["log_loss"]  # a mean over tiles, which `paired` compares
        together |= {(place, name): measure for name, measure in measures.items()}
    scores = _values(together, len(true))
    resampled = _resampled(together, len(true), max(1, _HELD // true.size), seed)
    reach = NormalDist().inv_cdf((1 + level) / 2)

    def difference(place: int, name: str) -> Difference:
        draws = resampled[place, name] - resampled[0, name]
        return _difference(scores[place, name] - scores[0, name], draws, reach)

    return {
        "scores": [{name: scores[place, name] for name in measures} for place in range(len(p))],
        "minus_first": [{name: difference(place, name) for name in measures} for place in range(1, len(p))],
    }


def _difference(value: float, draws: Floats, reach: float) -> Difference:
    known = draws[~np.isnan(draws)]
    error = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    low, high = value - reach * error, value + reach * error
    return {"value": value, "standard_error": error, "interval": [low, high], "verdict": verdict_of(low, high)}


def half_scores(targets: npt.ArrayLike, p: npt.ArrayLike) -> dict[str, float]:
    """Compute average precision and F1 at 0.5, macro and micro, without intervals.

    Parameters
    ----------
    targets
        Multi-hot array of shape (tiles, tags).
    p
        Probabilities in 0..1, of the same shape.

    Returns
    -------
    The values by the names of `TITLES`. Where no tag is carried by a tile, there is only micro F1.
    """
    true, values, _ = _checked(targets, p, targets)
    carried, half, one = true.sum(axis=0) > 0, values > 0.5, np.ones((1, len(true)))
    scores = {"f1_micro": float(_F1(true, half, macro=False)(one)[0])}
    if carried.any():
        scores |= {
            "average_precision_macro": float(np.nanmean(average_precision(true, values))),
            "average_precision_micro": float(average_precision(true.reshape(-1, 1), values.reshape(-1, 1))[0]),
            "f1_macro": float(_F1(true[:, carried], half[:, carried], macro=True)(one)[0]),
        }
    return scores


def _checked(targets: npt.ArrayLike, p: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[Bools, Floats, Bools]:
    check_same_order(targets, p)
    check_same_order(targets, predicted)
    true, values, given = as_multi_hot(targets), as_probabilities(p), as_multi_hot(predicted)
    if not true.shape == values.shape == given.shape:
        shapes = f"{true.shape}, {values.shape}, {given.shape}"
        raise ValueError(f"targets, probabilities and predictions differ in shape: {shapes}")
    return true, values, given


def _values(measures: Mapping[_Key, _Measure], tiles: int) -> dict[_Key, float]:
    one = np.ones((1, tiles))
    return {name: float(measure(one)[0]) for name, measure in measures.items()}


def _measures(true: Bools, p: Floats, predicted: Bools, carried: Bools) -> dict[str, _Measure]:
    half, losses = p > 0.5, log_loss_per_tile(true, p)
    measures: dict[str, _Measure] = {}
    if carried.any():
        rankings = [_Ranking(true[:, [tag]], p[:, [tag]]) for tag in np.flatnonzero(carried)]
        measures["average_precision_macro"] = lambda w: _mean_of_known(np.array([one(w) for one in rankings]), axis=0)
        measures["average_precision_micro"] = _Ranking(true, p)
        measures["f1_macro"] = _F1(true[:, carried], half[:, carried], macro=True)
    measures["f1_micro"] = _F1(true, half, macro=False)
    if carried.any():
        measures["f1_macro_predicted"] = _F1(true[:, carried], predicted[:, carried], macro=True)
    measures["f1_micro_predicted"] = _F1(true, predicted, macro=False)
    measures["log_loss"] = lambda w: w @ losses / w.sum(axis=1)
    return measures


class _Ranking:
    """Average precision of tiles under weights, with the order of their probabilities found once.

    It is the mean, over the places where a tag is true, of the precision among all places that are at least as
    probable. So the sums of weights are needed at these places only.
    """

    def __init__(self, true: Bools, p: Floats) -> None:
        order = np.argsort(-p, axis=None)
        tile, ranked, hit = order // true.shape[1], p.ravel()[order], true.ravel()[order]
        last = np.flatnonzero(np.append(np.diff(ranked) != 0, True))  # equal probabilities fall together
        places = np.flatnonzero(hit)
        ends = last[np.searchsorted(last, places)]
        used, self.end = np.unique(ends, return_inverse=True)
        self.start = np.append(0, used[:-1] + 1)  # of the part from the former of these places
        self.tile, self.own = tile[: used[-1] + 1], tile[places]
        self.hits_until = np.cumsum(hit)[ends] - 1

    def __call__(self, weights: Floats) -> Floats:
        parts = np.add.reduceat(np.take(weights, self.tile, axis=1), self.start, axis=1)
        seen = np.take(np.cumsum(parts, axis=1), self.end, axis=1)
        own = np.take(weights, self.own, axis=1)
        hits = np.cumsum(own, axis=1)
        found = np.take(hits, self.hits_until, axis=1)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        with np.errstate(invalid="ignore"):  # a resample without a tile of the tag has no average precision
            score: Floats = (own * precision).sum(axis=1) / hits[:, -1]
        return score


class _F1:
    """F1, the mean over tags or that of all together, of tiles under weights."""

    def __init__(self, true: Bools, on: Bools, *, macro: bool) -> None:
        self.true = true.astype(np.float64)
        self.hits, self.both = (true & on).astype(np.float64), self.true + on
        self.macro = macro

    def __call__(self, weights: Floats) -> Floats:
        hits, both = weights @ self.hits, weights @ self.both
        if not self.macro:
            hits, both = hits.sum(axis=1, keepdims=True), both.sum(axis=1, keepdims=True)
        score: Floats = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        if not self.macro:
            return score[:, 0]
        return _mean_of_known(np.where(weights @ self.true > 0, score, np.nan), axis=1)


def _mean_of_known(scores: Floats, axis: int) -> Floats:
    """Average over tags, an axis; a resample without a tile of a tag leaves that tag out."""
    known = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, scores, 0).sum(axis=axis) / known.sum(axis=axis)
    return mean


def _resampled(measures: Mapping[_Key, _Measure], tiles: int, block: int, seed: int) -> dict[_Key, Floats]:
    """Give each measure of resamples of the tiles, shape (resamples,); `block` of them are computed at a time."""
    check_whole("seed", seed, 0)
    rng, even = np.random.default_rng(seed), np.full(tiles, 1 / tiles)
    values: dict[_Key, list[Floats]] = {name: [] for name in measures}
    for start in range(0, _RESAMPLES, block):
        weights = rng.multinomial(tiles, even, size=min(block, _RESAMPLES - start)).astype(np.float64)
        for name, measure in measures.items():
            values[name].append(measure(weights))
    return {name: np.concatenate(found) for name, found in values.items()}
