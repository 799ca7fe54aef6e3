"""How decisions are told in the metrics of a run: plain records, ready for JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.calibration import calibration_error
from amazon_ml.decisions.crossfit import Rule
from amazon_ml.decisions.logistic import sigmoid
from amazon_ml.decisions.per_tag import confusions, score_per_tag
from amazon_ml.decisions.rules import thresholds_of
from amazon_ml.decisions.shrink import Bootstraps
from amazon_ml.labels import MultiHot, declared

#: Pairs of tags that are told, of those that are mistaken for each other.
_CONFUSIONS = 10


def score_breakdown(
    tags: Sequence[str],
    p: npt.NDArray[np.float32],
    true: MultiHot,
    predicted: MultiHot,
    rule: Rule,
    beta: float,
    bags: Bootstraps | None = None,
) -> dict[str, Any]:
    """Break the score down by tag.

    Returns
    -------
    ``tags``
        One record a tag: ``support``, ``predicted``, ``precision``, ``recall``, ``fbeta``, ``gain_if_perfect`` (of the
        score, were this tag without error), ``threshold`` (where the rule has such), ``own_threshold``
        (5 % and 95 % of the thresholds that bootstraps find best for this tag), ``ece`` (expected
        calibration error of the probabilities).
    ``confusions``
        The pairs of tags of which most often one is missed where the other is a false positive.
    ``logic_faults``
        Tiles that break each rule of the label logic, in truth and as predicted.
    """
    table = score_per_tag(true, predicted, beta)
    table.insert(0, "tag", list(tags))
    table["threshold"] = thresholds_of(rule)
    if bags is not None:
        table["own_threshold"] = sigmoid(np.quantile(bags.own, [0.05, 0.95], axis=0)).T.tolist()
    table["ece"] = calibration_error(p, true)
    logic = declared(tags).logic_faults
    return {
        "tags": table.to_dict(orient="records"),
        "confusions": _most_confused(tags, confusions(true, predicted)),
        "logic_faults": {
            name: {fault: len(rows) for fault, rows in logic(answer).items()}
            for name, answer in (("truth", true), ("predicted", predicted))
        },
    }


def _most_confused(tags: Sequence[str], counts: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    most = np.argsort(-counts, axis=None, kind="stable")[:_CONFUSIONS]
    pairs = [divmod(int(place), len(tags)) for place in most]
    return [
        {"missed": tags[a], "false_positive": tags[b], "tiles": int(counts[a, b])} for a, b in pairs if counts[a, b]
    ]
