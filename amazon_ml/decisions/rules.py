"""The decision rules by name, from simple to complex, and their plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
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
    target
        ``module:class`` of its estimator, below `amazon_ml.decisions`.
    summary
        Its description, in a line.
    constrained
        Whether it accepts `LabelConstraints`.
    """

    target: str
    summary: str
    constrained: bool = False

    @property
    def estimator(self) -> "type[MultiLabelRule]":
        """Its class; scikit-learn, which takes a second to import, comes only with it."""
        module, _, name = self.target.partition(":")
        kind: type[MultiLabelRule] = getattr(import_module(f"amazon_ml.decisions.{module}"), name)
        return kind


#: From simple to complex: the first of several rules with similar scores is preferred.
RULES = {
    "fixed": NamedRule("threshold_rules:FixedThreshold", "threshold 0.2 for every tag"),
    "global": NamedRule("threshold_rules:GlobalThreshold", "one tuned threshold for all tags"),
    "shrunk": NamedRule("threshold_rules:ShrunkThresholds", "one threshold per tag, shrunk to a common one"),
    "bagged": NamedRule("threshold_rules:BaggedThresholds", "one threshold per tag, averaged over bootstraps"),
    "per_class": NamedRule("threshold_rules:PerClassThresholds", "one threshold per tag, exact search"),
    "expected": NamedRule("expected_rules:ExpectedFBeta", "the tags with the greatest expected score"),
    "expected_constrained": NamedRule(
        "expected_rules:ExpectedFBeta", "as expected, under the label constraints", constrained=True
    ),
    "stacked": NamedRule(
        "expected_rules:StackedExpectedFBeta", "as expected_constrained, each tag from all probabilities",
        constrained=True,
    ),
}  # fmt: skip

#: Default rule of a run.
DEFAULT_RULE = "shrunk"


def make_rules(*, beta: float = 2.0, constraints: LabelConstraints | None = None) -> dict[str, Rule]:
    """Make all rules by name, not fitted, for tags with these constraints.

    Examples
    --------
    >>> make_rules(beta=1)["per_class"]
    PerClassThresholds(beta=1)
    """
    return {
        name: rule.estimator(beta=beta, **({"constraints": constraints} if rule.constrained else {}))
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


def has_fallback(rule: Rule) -> bool:
    """Whether a fitted rule gives a tag to every tile."""
    return bool(getattr(rule, "at_least_one_", True))


def _classes() -> "dict[str, type[MultiLabelRule]]":
    kinds = [rule.estimator for rule in RULES.values()]
    return {kind.__name__: kind for kind in kinds}
