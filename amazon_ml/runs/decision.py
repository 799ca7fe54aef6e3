"""The decision of a run: the rule that turns its probabilities into tags."""

from dataclasses import dataclass
from typing import Any

from amazon_ml.decisions.thresholds import Thresholds
from amazon_ml.errors import InputError
from amazon_ml.files import read_json, write_json
from amazon_ml.runs.folder import Run


@dataclass(frozen=True)
class Decision:
    """A fitted rule, the tags it is for, and the beta it was tuned for; stored as ``decision.json``."""

    tags: tuple[str, ...]
    thresholds: Thresholds
    beta: float


def write_decision(run: Run, decision: Decision, **facts: Any) -> None:
    """Write the decision, and beside it what is known of how it came about."""
    content = {
        "rule": "per_class",
        "beta": decision.beta,
        "at_least_one": decision.thresholds.at_least_one,
        "thresholds": dict(zip(decision.tags, decision.thresholds.values, strict=True)),
        **facts,
    }
    write_json(run.decision, content)


def read_decision(run: Run) -> Decision:
    """Read the decision; a broken one is an `InputError` that says how to make it anew."""
    content = read_json(run.decision)
    try:
        values = {str(tag): float(value) for tag, value in content["thresholds"].items()}
        thresholds = Thresholds(tuple(values.values()), bool(content["at_least_one"]))
        return Decision(tuple(values), thresholds, float(content["beta"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{run.decision} is not a decision: {error!r}; make it anew with amazon-ml tune") from None
