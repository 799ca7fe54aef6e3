"""Scores of a run as plain records, ready for JSON: over all tiles, for each tag, for each rule."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.config import Split
from amazon_ml.decisions.calibration import calibration_error
from amazon_ml.decisions.crossfit import Estimate, Rule, score
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.logistic import sigmoid
from amazon_ml.decisions.macro_micro import Measured, paper_metrics
from amazon_ml.decisions.per_tag import average_precision, confusions, score_per_tag
from amazon_ml.decisions.rules import has_fallback, thresholds_of
from amazon_ml.decisions.shrink import Bootstraps
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD, apply_thresholds
from amazon_ml.labels import MultiHot, declared
from amazon_ml.models.config import Tta
from amazon_ml.runs.decision import BEST, scored_as

#: Pairs of tags that are listed, those that are confused most often.
_CONFUSIONS = 10


class TagRecord(TypedDict):
    """The scores of one tag.

    ``tag``; ``support`` and ``predicted``, numbers of tiles in truth and as predicted; ``precision``, ``recall`` and
    ``fbeta`` of the tag over tiles, in 0..1; ``gain_if_perfect``, how much the score would rise if this tag had no
    error; ``threshold``, None where the rule has none; ``own_threshold``, 5 % and 95 % quantiles of the thresholds that
    bootstraps find best for this tag, where they were computed; ``average_precision`` of its probabilities, in 0..1,
    None where no tile carries the tag; ``ece``, the expected calibration error of the probabilities, in 0..1.
    """

    tag: str
    support: int
    predicted: int
    precision: float
    recall: float
    fbeta: float
    gain_if_perfect: float
    threshold: float | None
    own_threshold: NotRequired[list[float]]
    average_precision: float | None
    ece: float


class Confusion(TypedDict):
    """The number of ``tiles`` that lack the tag ``missed`` and have the tag ``false_positive``, both wrongly."""

    missed: str
    false_positive: str
    tiles: int


class LogicFaults(TypedDict):
    """Number of tiles that break each rule of the label logic, in ``truth`` and as ``predicted``; broken rules only."""

    truth: dict[str, int]
    predicted: dict[str, int]


class Breakdown(TypedDict):
    """A score by tag: a record for each of the ``tags``, the most frequent ``confusions``, and ``logic_faults``.

    ``other_scores`` has the metrics of `amazon_ml.decisions.macro_micro` by their names; macro averages leave out
    ``tags_without_positive``, the tags that no tile carries. ``tags_with_few_positives``, those that fewer than
    `amazon_ml.decisions.macro_micro.FEW_POSITIVES` tiles carry, make their intervals too narrow.
    """

    tags: list[TagRecord]
    other_scores: dict[str, Measured]
    tags_without_positive: list[str]
    tags_with_few_positives: list[str]
    confusions: list[Confusion]
    logic_faults: LogicFaults


class RuleScore(Estimate):
    """The cross-fitted F-beta of a rule, and ``minus_fixed``, its paired difference to the fixed threshold."""

    minus_fixed: Estimate


class TestScores(Breakdown):
    """The scores of a run on a published test split, on which nothing was fitted or chosen.

    ``tiles``, how many there are; ``fbeta``, the mean F-beta over tiles by the way it is computed: ``fixed_0.2``,
    ``predicted`` by the run's rule, ``predicted_minus_fixed``.
    """

    tiles: int
    fbeta: dict[str, Estimate]


class Metrics(Breakdown):
    """The scores of a run on some tiles; the content of metrics.json, and what `evaluate` returns.

    ``tiles_of``, the folder of the tiles; ``generated``, whether they are generated; ``beta``; ``tiles``, how many are
    scored; ``rule``, the name of the run's rule; ``fbeta``, the mean F-beta over tiles by the way it is computed:
    ``fixed_0.2``, ``fitted``, ``cross_fitted``, ``cross_fitted_minus_fixed`` and ``constant`` for a run, ``fixed_0.2``,
    ``predicted`` and ``predicted_minus_fixed`` for other tiles. For a run only: ``held_out``, whether the networks were
    not trained on these tiles; ``soft_labels``, there and true where they learnt `data.soft_labels`, which may come
    from networks that were trained on these tiles; ``rules``, the score of each rule by its name; ``test``, the scores
    on the published test split. For `evaluate` only: ``split``, the published split of the tiles; ``engine``, what
    predicted them, if that is not PyTorch in its default precision; ``tta``, the views, if they were given.
    """

    tiles_of: str
    generated: bool
    beta: float
    tiles: int
    held_out: NotRequired[bool]
    soft_labels: NotRequired[bool]
    rule: str
    fbeta: dict[str, Estimate]
    rules: NotRequired[dict[str, RuleScore]]
    test: NotRequired[TestScores]
    split: NotRequired[Split]
    engine: NotRequired[str]
    tta: NotRequired[Tta]


def scored_rule(metrics: Metrics) -> str:
    """Name what the cross-fitted scores of a run are of; see `amazon_ml.runs.decision.scored_as`."""
    return scored_as(metrics["rule"], chosen=BEST in metrics.get("rules", {}))


def score_others(
    tags: Sequence[str], p: npt.NDArray[np.float32], true: MultiHot, rule: Rule, beta: float
) -> TestScores:
    """Score a fitted rule on tiles that it was not fitted on.

    Parameters
    ----------
    tags
        Names of the columns.
    p, true
        Probabilities and true tags, each of shape (tiles, tags).
    rule
        The fitted rule.
    beta
        Weight of recall.
    """
    predicted = rule.predict(p)
    own = fbeta_per_tile(true, predicted, beta)
    # Both rules treat a tile that reaches no threshold alike, whatever the truth of these tiles is.
    at_default = apply_thresholds(np.asarray(p, dtype=np.float64), DEFAULT_THRESHOLD, has_fallback(rule))
    fixed = fbeta_per_tile(true, at_default, beta)
    return {
        "tiles": len(p),
        "fbeta": {
            f"fixed_{DEFAULT_THRESHOLD}": score(fixed),
            "predicted": score(own),
            "predicted_minus_fixed": score(own - fixed),
        },
        **score_breakdown(tags, p, true, predicted, rule, beta),
    }


def score_breakdown(
    tags: Sequence[str],
    p: npt.NDArray[np.float32],
    true: MultiHot,
    predicted: MultiHot,
    rule: Rule,
    beta: float,
    bags: Bootstraps | None = None,
) -> Breakdown:
    """Break the score down by tag.

    Parameters
    ----------
    tags
        Names of the columns.
    p, true, predicted
        Probabilities, true tags and predicted tags, each of shape (tiles, tags).
    rule
        The fitted rule, for its thresholds.
    beta
        Weight of recall.
    bags
        Thresholds of bootstraps; without them the records have no ``own_threshold``.
    """
    table = score_per_tag(true, predicted, beta)
    table.insert(0, "tag", list(tags))
    table["threshold"] = thresholds_of(rule)
    if bags is not None:
        table["own_threshold"] = sigmoid(np.quantile(bags.own, [0.05, 0.95], axis=0)).T.tolist()
    ranked = average_precision(true, p)
    table["average_precision"] = pd.Series([None if np.isnan(one) else float(one) for one in ranked], dtype=object)
    table["ece"] = calibration_error(p, true)
    papers = paper_metrics(true, p, predicted)
    return {
        "tags": cast(list[TagRecord], table.to_dict(orient="records")),
        "other_scores": papers["scores"],
        "tags_without_positive": [tags[column] for column in papers["tags_without_positive"]],
        "tags_with_few_positives": [tags[column] for column in papers["tags_with_few_positives"]],
        "confusions": _most_confused(tags, confusions(true, predicted)),
        "logic_faults": {"truth": _logic_faults(tags, true), "predicted": _logic_faults(tags, predicted)},
    }


def _logic_faults(tags: Sequence[str], encoded: MultiHot) -> dict[str, int]:
    return {rule: len(rows) for rule, rows in declared(tags).logic_faults(encoded).items()}


def _most_confused(tags: Sequence[str], counts: npt.NDArray[np.int64]) -> list[Confusion]:
    most = np.argsort(-counts, axis=None, kind="stable")[:_CONFUSIONS]
    pairs = [divmod(int(place), len(tags)) for place in most]
    return [
        {"missed": tags[a], "false_positive": tags[b], "tiles": int(counts[a, b])} for a, b in pairs if counts[a, b]
    ]
