"""The choice among rules as an estimator, so that it can be cross-fitted like any rule."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from sklearn.base import clone

from amazon_ml.decisions.base import MultiLabelRule
from amazon_ml.decisions.crossfit import PARTS, Rule, cross_predict, simplest
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.matrices import Bools, Floats, MultiHot


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
        self, rules: Sequence[tuple[str, Rule]], *, beta: float = 2.0, n_parts: int = PARTS, random_state: int = 0
    ) -> None:
        self.rules = rules
        self.beta = beta
        self.n_parts = n_parts
        self.random_state = random_state

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
        answers = [cross_predict(rule, p, true, parts=self.n_parts, seed=self.random_state) for _, rule in self.rules]
        place = simplest(np.stack([fbeta_per_tile(true, answer, self.beta) for answer in answers]))
        self.name_, chosen = self.rules[place]
        self.rule_ = clone(chosen).fit(p, true)

    def _predict(self, p: Floats) -> MultiHot:
        return self.rule_.predict(p)
