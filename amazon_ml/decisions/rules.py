"""The decision rules by name, from simple to complex, and their plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amazon_ml.decisions import plain
from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import Rule

if TYPE_CHECKING:
    from amazon_ml.decisions.base import MultiLabelRule
    from amazon_ml.decisions.matrices import Floats


@dataclass(frozen=True)
class NamedRule:
    """A rule that can be requested by its name.

    Parameters
    ----------
    estimator
        Name of its class.
    summary
        Its description, in a line.
    constrained
        Whether it accepts `LabelConstraints`.
    """

    estimator: str
    summary: str
    constrained: bool = False


#: From simple to complex: the first of several rules with similar scores is preferred.
RULES = {
    "fixed": NamedRule("FixedThreshold", "0.2 for every tag"),
    "global": NamedRule("GlobalThreshold", "one tuned threshold for all tags"),
    "shrunk": NamedRule("ShrunkThresholds", "a threshold a tag, drawn to a common one"),
    "bagged": NamedRule("BaggedThresholds", "a threshold a tag, mean of bootstraps"),
    "per_class": NamedRule("PerClassThresholds", "a threshold a tag, exact search"),
    "expected": NamedRule("ExpectedFBeta", "greatest expected score"),
    "expected_constrained": NamedRule("ExpectedFBeta", "the same, under the label constraints", constrained=True),
    "stacked": NamedRule("StackedExpectedFBeta", "the same, each tag from all tags", constrained=True),
}

#: Default rule of a run.
DEFAULT_RULE = "shrunk"


def make_rules(*, beta: float = 2.0, constraints: LabelConstraints | None = None) -> dict[str, Rule]:
    """Make all rules by name, not fitted, for tags with these constraints.

    Examples
    --------
    >>> make_rules(beta=1)["per_class"]
    PerClassThresholds(beta=1)
    """
    classes = _classes()
    return {
        name: classes[rule.estimator](beta=beta, **({"constraints": constraints} if rule.constrained else {}))
        for name, rule in RULES.items()
    }


def rule_to_dict(rule: Rule) -> dict[str, object]:
    """Return a fitted rule as plain data for JSON: ``kind``, the name of its class, and what was fitted.

    Raises
    ------
    KeyError
        If the class of the rule is not one of `RULES`.
    """
    kind = type(rule).__name__
    if _classes()[kind] is not type(rule):
        raise KeyError(kind)
    return {"kind": kind, **rule.to_dict()}


def rule_from_dict(content: Mapping[str, object]) -> Rule:
    """Make a fitted rule from the data of `rule_to_dict`.

    Raises
    ------
    LookupError, TypeError, ValueError
        If the data is no rule.
    """
    return _classes()[plain.text(plain.mapping(content)["kind"])].from_dict(content)


def thresholds_of(rule: Rule) -> "Floats | None":
    """Return the thresholds of a fitted rule, shape (tags,); None if the rule has none."""
    from amazon_ml.decisions.threshold_rules import ThresholdRule

    return rule.thresholds_ if isinstance(rule, ThresholdRule) else None


def _classes() -> "dict[str, type[MultiLabelRule]]":
    # Imported here, since scikit-learn takes a second to import, and the names of the rules do not need it.
    from amazon_ml.decisions import expected_rules, threshold_rules

    classes: tuple[type[MultiLabelRule], ...] = (
        threshold_rules.FixedThreshold,
        threshold_rules.GlobalThreshold,
        threshold_rules.ShrunkThresholds,
        threshold_rules.BaggedThresholds,
        threshold_rules.PerClassThresholds,
        expected_rules.ExpectedFBeta,
        expected_rules.StackedExpectedFBeta,
    )
    return {kind.__name__: kind for kind in classes}
