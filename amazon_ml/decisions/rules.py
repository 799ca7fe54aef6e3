"""The rules by name, from simple to complex, and their plain form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from amazon_ml.decisions.crossfit import Fit, Rule
from amazon_ml.decisions.expected import Expected, Structure, expected
from amazon_ml.decisions.shrink import bagged, shrunk
from amazon_ml.decisions.stacking import stack
from amazon_ml.decisions.thresholds import Thresholds, fixed, global_, per_class


@dataclass(frozen=True)
class Known:
    """A rule that can be asked for.

    Parameters
    ----------
    fit
        ``fit(probabilities, targets, beta)`` gives the fitted rule.
    summary
        What it does, in a line.
    structured
        `fit` also takes ``structure``, how tags combine.
    """

    fit: Callable[..., Rule]
    summary: str
    structured: bool = False


#: From simple to complex: of two rules that score alike, the earlier is preferred.
RULES = {
    "fixed": Known(fixed, "0.2 for every tag"),
    "global": Known(global_, "one tuned cut-off for all tags"),
    "shrunk": Known(shrunk, "a cut-off a tag, drawn to a common one"),
    "bagged": Known(bagged, "a cut-off a tag, mean of bootstraps"),
    "per_class": Known(per_class, "a cut-off a tag, exact search"),
    "expected": Known(expected, "greatest expected score"),
    "expected_structured": Known(expected, "the same, under the label logic", structured=True),
    "stacked": Known(partial(expected, calibrate=stack), "the same, each tag from all tags", structured=True),
}

#: The rule of a run, unless another is asked for.
DEFAULT = "shrunk"

_KINDS: dict[str, type[Thresholds] | type[Expected]] = {"thresholds": Thresholds, "expected": Expected}


def fits_for(structure: Structure) -> dict[str, Fit]:
    """Give the fits of all rules, by name, for tags that combine so."""
    return {
        name: partial(rule.fit, structure=structure) if rule.structured else rule.fit for name, rule in RULES.items()
    }


def rule_to_dict(rule: Rule) -> dict[str, Any]:
    """Give a fitted rule as plain data that JSON can hold."""
    kind = next(name for name, kind in _KINDS.items() if isinstance(rule, kind))
    return {"kind": kind, **rule.to_dict()}


def rule_from_dict(content: Mapping[str, Any]) -> Rule:
    """Make a rule from `rule_to_dict`'s data.

    Raises
    ------
    KeyError, TypeError, ValueError
        Where the data is no rule.
    """
    return _KINDS[content["kind"]].from_dict(content)
