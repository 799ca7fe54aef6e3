"""The decision of a run: the rule that turns its probabilities into tags."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from amazon_ml.decisions.crossfit import Estimate, Rule
from amazon_ml.decisions.parameters import check_beta
from amazon_ml.decisions.rules import rule_from_dict, rule_to_dict
from amazon_ml.errors import InputError
from amazon_ml.labels import first_difference
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hash_remedies import missing
from amazon_ml.runs.hashes import check_recorded, read_recorded, write_json
from amazon_ml.runtime.files import read_json

#: The least number of held-out tiles that thresholds can be tuned on.
LEAST_TILES = 10

#: The name of the choice among rules, where it is requested and where it is scored.
BEST = "best"


@dataclass(frozen=True)
class Decision:
    """A fitted rule, its name, the tags it is for, and the beta it was fitted for; stored as ``decision.json``."""

    name: str
    rule: Rule
    tags: tuple[str, ...]
    beta: float


class TunedOn(TypedDict):
    """The rows that a rule was fitted on.

    ``tiles``, their number; ``held_out``, whether the networks were not trained on them; the SHA-256 of the tiles and
    tags, ``data_sha256``, and of oof.parquet, ``oof_sha256``.
    """

    tiles: int
    held_out: bool
    data_sha256: str
    oof_sha256: str


class Tuning(TypedDict):
    """How a decision was made.

    ``requested``, the name of the requested rule, where ``best`` requests a choice; ``cross_fitted``, its F-beta;
    ``tuned_on``, the rows that it was fitted on.
    """

    requested: str
    cross_fitted: Estimate
    tuned_on: TunedOn


def scored_as(rule: str, *, chosen: bool) -> str:
    """Name what cross-fitted scores are of: a rule, or the choice among rules, which took this one on all tiles.

    Every part of the tiles is predicted by the rule that was chosen on the other parts, so the score of the choice may
    be another than that of the rule that it takes in the end.
    """
    return f"{BEST} (chose {rule})" if chosen else rule


def write_decision(run: Run, decision: Decision, tuning: Tuning | None = None) -> None:
    """Write the decision, and how it was made where that is known."""
    content = {
        "rule": decision.name,
        "beta": decision.beta,
        **(tuning or {}),
        "tags": decision.tags,
        "parameters": rule_to_dict(decision.rule),
    }
    write_json(run.decision, content, made_of=[run.oof, run.truth])


def read_decision(run: Run) -> Decision:
    """Read the decision.

    Raises
    ------
    InputError
        Where it is missing or broken, or for other tags than the run's networks give, or for these in another order.
    """
    if not run.decision.exists():
        raise missing(run.decision)
    remedy = f"make it again with amazon-ml tune {run.path}"
    return decision_from(read_recorded(run.decision), run.tags(), run.decision, remedy)


def decision_from(content: Any, own: tuple[str, ...], source: Path, remedy: str) -> Decision:
    """Make a decision of what `write_decision` stored, for networks that give the tags `own`.

    Parameters
    ----------
    content
        The content of decision.json.
    own
        Tags in the order of the networks' outputs.
    source, remedy
        The file of the content, and what to do where it is wrong; for messages.

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
        raise InputError(f"this is not a decision: {error!r}", file=source, remedy=remedy) from None
    if tags != own:
        apart = [name for name in (*own, *tags) if name not in own or name not in tags]
        others = f"other tags than those of the run's networks ({', '.join(apart)})"
        difference = others if apart else f"the tags of the run in another order{_first_odd(tags, own)}"
        raise InputError(f"the decision is for {difference}", file=source, remedy=remedy)
    return decision


def _first_odd(tags: tuple[str, ...], own: tuple[str, ...]) -> str:
    odd = first_difference(tags, own)
    return "" if odd is None else f": tag {odd[0]} is {odd[1]}, not {odd[2]}"


def _try_out(decision: Decision) -> None:
    """Predict one tile, so that parameters that do not fit the tags are found before any tile is read."""
    check_beta(decision.beta)
    given = np.full((1, len(decision.tags)), 0.5)
    predicted = decision.rule.predict(given)
    if predicted.shape != given.shape:
        raise ValueError(f"the rule predicts {predicted.shape[1]} of {given.shape[1]} tags")


def requested_before(run: Run) -> str | None:
    """Read which rule was requested when a run was tuned last; None where there is none, or where it cannot be read.

    Raises
    ------
    ChangedError
        Where somebody changed the decision since then and did not accept it: the change would be lost.
    """
    check_recorded(run.decision, sources=False)  # it may have been made of former probabilities
    try:
        return str(read_json(run.decision)["requested"])
    except (InputError, KeyError, TypeError):
        return None
