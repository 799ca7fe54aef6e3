"""The decision of a run: the rule that turns its probabilities into tags."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amazon_ml.decisions.crossfit import Rule
from amazon_ml.decisions.rules import rule_from_dict, rule_to_dict
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import check_recorded, read_recorded, write_json
from amazon_ml.runtime.files import read_json

#: Fewer held-out tiles than this say nothing about thresholds.
LEAST_TILES = 10


@dataclass(frozen=True)
class Decision:
    """A fitted rule, its name, the tags it is for, and the beta it was fitted for; stored as ``decision.json``."""

    name: str
    rule: Rule
    tags: tuple[str, ...]
    beta: float


def write_decision(run: Run, decision: Decision, **facts: Any) -> None:
    """Write the decision, and beside it what is known of how it came about."""
    content = {
        "rule": decision.name,
        "beta": decision.beta,
        **facts,
        "tags": decision.tags,
        "parameters": rule_to_dict(decision.rule),
    }
    write_json(run.decision, content, made_of=[run.oof, run.truth])


def read_decision(run: Run) -> Decision:
    """Read the decision.

    Raises
    ------
    InputError
        Where it is broken, or for other tags than the run's networks give, or for these in another order.
    """
    remedy = f"make it anew with amazon-ml tune {run.path}"
    return decision_from(read_recorded(run.decision), run.tags(), run.decision, remedy)


def decision_from(content: Any, own: tuple[str, ...], source: Path, remedy: str) -> Decision:
    """Make a decision of what `write_decision` stored, for networks that give the tags `own`.

    Parameters
    ----------
    content
        As it came out of JSON.
    own
        Tags in the order of the networks' outputs.
    source, remedy
        File that the content is from, and what to do where it is wrong; for messages.

    Raises
    ------
    InputError
        As for `read_decision`.
    """
    try:
        rule, tags = rule_from_dict(content["parameters"]), tuple(map(str, content["tags"]))
        decision = Decision(str(content["rule"]), rule, tags, float(content["beta"]))
        if tags == own:
            _try_out(decision)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{source} is not a decision: {error!r}; {remedy}") from None
    if tags != own:
        apart = [name for name in (*own, *tags) if name not in own or name not in tags]
        told = f"other tags than the run's networks give ({', '.join(apart)})" if apart else "its tags in another order"
        raise InputError(f"{source} is for {told}; {remedy}")
    return decision


def _try_out(decision: Decision) -> None:
    """Decide a tile, so that parameters that do not fit the tags are noticed before any tile is predicted."""
    if not decision.beta > 0:
        raise ValueError(f"beta is {decision.beta:g}, not above 0")
    given = np.full((1, len(decision.tags)), 0.5)
    predicted = decision.rule.predict(given)
    if predicted.shape != given.shape:
        raise ValueError(f"the rule predicts {predicted.shape[1]} of {given.shape[1]} tags")


def requested_before(run: Run) -> str | None:
    """Give the rule that was asked for when a run was tuned last; none where there is none, or it cannot be read.

    Raises
    ------
    ChangedError
        Where the decision was changed since, and not accepted: it would be lost.
    """
    check_recorded(run.decision, sources=False)  # it may be of former probabilities
    try:
        return str(read_json(run.decision)["asked"])
    except (InputError, KeyError, TypeError):
        return None
