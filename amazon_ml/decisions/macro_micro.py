"""The metrics that papers on multilabel tiles print: average precision and F1, macro and micro, and log loss.

The F-beta of `amazon_ml.decisions.fbeta` is averaged over tiles. These are averaged over tags (macro), or computed over
all tags and tiles at once (micro). A tag that no tile carries has no average precision and no recall: it is named, and
left out of macro averages.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.matrices import Bools, Floats, as_multi_hot, as_probabilities
from amazon_ml.decisions.paired import log_loss_per_tile

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
#: Numbers that are held at once, so that memory stays flat in the number of tiles.
_HELD = 4_000_000

#: Gives one value for each row of weights: float64 (resamples, tiles) to float64 (resamples,).
_Measure = Callable[[Floats], Floats]


class Measured(TypedDict):
    """A ``value``, and ``interval``, the lower and upper end of its 95 % interval over tiles."""

    value: float
    interval: list[float]


class PaperMetrics(TypedDict):
    """What papers print, and ``tags_without_positive``, the columns that macro averages leave out.

    ``average_precision_macro`` and ``average_precision_micro`` rank tiles by probability. ``f1_macro`` and ``f1_micro``
    are of tags at a threshold of 0.5, ``f1_macro_predicted`` and ``f1_micro_predicted`` of the tags that the run's rule
    gives. ``log_loss`` is the mean over tiles and tags, in nats.
    """

    scores: dict[str, Measured]
    tags_without_positive: list[int]


def paper_metrics(targets: npt.ArrayLike, p: npt.ArrayLike, predicted: npt.ArrayLike, *, seed: int = 0) -> PaperMetrics:
    """Compute the metrics with intervals over tiles.

    Intervals are those of a percentile bootstrap over tiles (Efron 1979): they say how far a value may move with other
    tiles, and not with another training run.

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
    The scores by name, and the columns of tags that no tile carries. Where no tag is carried by a tile, there are only
    micro F1 and log loss.

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
    true, values = as_multi_hot(targets), as_probabilities(p)
    given = as_multi_hot(predicted)
    if not true.shape == values.shape == given.shape:
        shapes = f"{true.shape}, {values.shape}, {given.shape}"
        raise ValueError(f"targets, probabilities and predictions differ in shape: {shapes}")
    carried: Bools = true.sum(axis=0) > 0
    measures = _measures(true, values, given, carried)
    ends = _bootstrap(measures, len(true), max(1, _HELD // true.size), seed)
    one = np.ones((1, len(true)))
    scores: dict[str, Measured] = {
        name: {"value": float(measure(one)[0]), "interval": [float(end) for end in ends[name]]}
        for name, measure in measures.items()
    }
    return {"scores": scores, "tags_without_positive": np.flatnonzero(~carried).tolist()}


def _measures(true: Bools, p: Floats, predicted: Bools, carried: Bools) -> dict[str, _Measure]:
    half, losses = p > 0.5, log_loss_per_tile(true, p)
    measures: dict[str, _Measure] = {}
    if carried.any():
        rankings = [_Ranking(true[:, [tag]], p[:, [tag]]) for tag in np.flatnonzero(carried)]
        everything = _Ranking(true, p)
        measures["average_precision_macro"] = lambda w: _mean_of_known([one(w) for one in rankings])
        measures["average_precision_micro"] = everything
        measures["f1_macro"] = lambda w: _f1_macro(true, half, w, carried)
    measures["f1_micro"] = lambda w: _f1_micro(true, half, w)
    if carried.any():
        measures["f1_macro_predicted"] = lambda w: _f1_macro(true, predicted, w, carried)
    measures["f1_micro_predicted"] = lambda w: _f1_micro(true, predicted, w)
    measures["log_loss"] = lambda w: w @ losses / w.sum(axis=1)
    return measures


class _Ranking:
    """Average precision of tiles under weights, with the order of their probabilities found once."""

    def __init__(self, true: Bools, p: Floats) -> None:
        flat = np.argsort(-p, axis=None, kind="stable")
        self.tile = flat // true.shape[1]
        self.true = true.ravel()[flat].astype(np.float64)
        ranked = p.ravel()[flat]
        self.last = np.flatnonzero(np.append(np.diff(ranked) != 0, True))  # equal probabilities fall together

    def __call__(self, weights: Floats) -> Floats:
        w = weights[:, self.tile]
        seen = np.cumsum(w, axis=1)[:, self.last]
        hits = np.cumsum(w * self.true, axis=1)[:, self.last]
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        with np.errstate(invalid="ignore"):  # a resample without a tile of the tag has no average precision
            score: Floats = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / hits[:, -1]
        return score


def _mean_of_known(scores: Sequence[Floats]) -> Floats:
    """Average over tags; a resample without a tile of a tag leaves that tag out."""
    values = np.array(scores)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)
    return mean


def _counts(true: Bools, on: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """Give true positives, and the sum of positives in truth and as predicted: each (resamples, tags)."""
    hits: Floats = weights @ (true & on)
    return hits, weights @ true.astype(np.float64) + weights @ on.astype(np.float64)


def _f1_macro(true: Bools, on: Bools, weights: Floats, carried: Bools) -> Floats:
    hits, both = _counts(true[:, carried], on[:, carried], weights)
    score: Floats = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0).mean(axis=1)
    return score


def _f1_micro(true: Bools, on: Bools, weights: Floats) -> Floats:
    hits, both = (counts.sum(axis=1) for counts in _counts(true, on, weights))
    score: Floats = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return score


def _bootstrap(measures: Mapping[str, _Measure], tiles: int, block: int, seed: int) -> dict[str, Floats]:
    """Give the 2.5 % and the 97.5 % quantile of each measure over resamples of the tiles, some of them at a time."""
    rng, even = np.random.default_rng(seed), np.full(tiles, 1 / tiles)
    values: dict[str, list[Floats]] = {name: [] for name in measures}
    for start in range(0, _RESAMPLES, block):
        weights = rng.multinomial(tiles, even, size=min(block, _RESAMPLES - start)).astype(np.float64)
        for name, measure in measures.items():
            values[name].append(measure(weights))
    return {name: np.nanquantile(np.concatenate(found), [0.025, 0.975]) for name, found in values.items()}
