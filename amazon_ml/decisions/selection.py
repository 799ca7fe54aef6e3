"""The choice among rules as an estimator, so that it can be cross-fitted like any rule."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from amazon_ml.decisions.base import MultiLabelRule
from amazon_ml.decisions.crossfit import PARTS, Rule, cross_predict, simplest, with_fallback
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.matrices import Bools, Floats, MultiHot
from amazon_ml.decisions.thresholds import all_tagged


class SimplestRule(MultiLabelRule):
    """The simplest of several rules that is about as good as the best, by cross-fitted scores.

    The choice is that of `amazon_ml.decisions.crossfit.simplest`, by scores on the tiles of the fit.

    Parameters
    ----------
    rules
        Pairs of a name and a rule, from simple to complex.
    beta
        Weight of recall against precision in the F-beta that is compared; above 0.
    n_parts
        Number of parts of the cross-fit, at least 2.
    random_state
        Seed of the parts.
    at_least_one
        Whether each tile gets a tag by every rule; None to do so if every tile of the fit has a tag. A rule with an
        ``at_least_one`` of its own keeps it.

    Attributes
    ----------
    name_
        Name of the chosen rule.
    rule_
        The chosen rule, fitted on all tiles.

    Examples
    --------
    >>> from amazon_ml.decisions import FixedThreshold, GlobalThreshold
    >>> from amazon_ml.decisions.synthetic import draw_rows
    >>> p, y = draw_rows(2000)
    >>> SimplestRule([("fixed", FixedThreshold()), ("global", GlobalThreshold())]).fit(p, y).name_
    'global'
    """

    name_: str
    rule_: Rule

    def __init__(
        self, rules: Sequence[tuple[str, Rule]], *, beta: float = 2.0, n_parts: int = PARTS, random_state: int = 0,
        at_least_one: bool | None = None,
    ) -> None:  # fmt: skip
        self.rules = rules
        self.beta = beta
        self.n_parts = n_parts
        self.random_state = random_state
        self.at_least_one = at_least_one

    def to_dict(self) -> dict[str, object]:
        """Return the chosen rule as plain data."""
        return self.rule_.to_dict()

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Raise a TypeError: the plain data belongs to the chosen rule, whose class reads it."""
        raise TypeError("a SimplestRule has no plain form of its own; store its rule_")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "rule_")

    def _fit(self, p: Floats, true: Bools) -> None:
        fallback = all_tagged(true) if self.at_least_one is None else self.at_least_one
        rules = [with_fallback(rule, fallback) for _, rule in self.rules]
        answers = [cross_predict(rule, p, true, parts=self.n_parts, seed=self.random_state) for rule in rules]
        place = simplest(np.stack([fbeta_per_tile(true, answer, self.beta) for answer in answers]))
        self.name_, self.rule_ = self.rules[place][0], rules[place].fit(p, true)

    def _predict(self, p: Floats) -> MultiHot:
        return self.rule_.predict(p)
