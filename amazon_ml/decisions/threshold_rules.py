"""Decision rules with one threshold for each tag; they differ in how they find the thresholds."""

from abc import abstractmethod
from collections.abc import Mapping
from numbers import Real
from typing import Self

import numpy as np

from amazon_ml.decisions import plain
from amazon_ml.decisions.base import MultiLabelRule, check_same_shape
from amazon_ml.decisions.logistic import sigmoid
from amazon_ml.decisions.matrices import Bools, Floats, MultiHot
from amazon_ml.decisions.parameters import check_flag
from amazon_ml.decisions.shrink import BOOTSTRAPS, Bootstraps, RandomState, bootstrap, shrink
from amazon_ml.decisions.thresholds import (
    DEFAULT_THRESHOLD,
    all_tagged,
    apply_thresholds,
    common_search,
    own_search,
)


class ThresholdRule(MultiLabelRule):
    """A rule that predicts a tag if its probability reaches the threshold of the tag.

    Attributes
    ----------
    thresholds_
        float64 of shape (tags,). A threshold of 0 always predicts the tag, one above 1 never does.
    at_least_one_
        Whether a tile that reaches no threshold gets its most probable tag: the parameter ``at_least_one``, or where
        that is None, true if every tile of the fit had a tag. On a tile with a tag, an empty prediction scores 0, so
        this costs nothing there.
    """

    at_least_one: bool | None = None
    thresholds_: Floats
    at_least_one_: bool

    def to_dict(self) -> dict[str, object]:
        """Return the fitted rule as plain data for JSON."""
        return {
            "beta": float(self.beta),
            "thresholds": self.thresholds_.tolist(),
            "at_least_one": self.at_least_one_,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make a fitted rule from the data of `to_dict`. Parameters that only `fit` uses have their defaults."""
        rule = cls(beta=plain.number(content["beta"]))
        rule.thresholds_ = np.array(plain.numbers(content["thresholds"]))
        rule.at_least_one_ = plain.flag(content["at_least_one"])
        rule.n_features_in_ = len(rule.thresholds_)
        return rule

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "thresholds_")

    @abstractmethod
    def _find(self, p: Floats, true: Bools) -> Floats:
        """Find the thresholds, shape (tags,)."""

    def _fit(self, p: Floats, true: Bools) -> None:
        check_same_shape(p, true)
        check_flag("at_least_one", self.at_least_one)
        self.at_least_one_ = all_tagged(true) if self.at_least_one is None else bool(self.at_least_one)
        self.thresholds_ = self._find(p, true)  # for this fallback

    def _predict(self, p: Floats) -> MultiHot:
        return apply_thresholds(p, self.thresholds_, self.at_least_one_)


class FixedThreshold(ThresholdRule):
    """One given threshold for every tag; `fit` only checks whether every tile has a tag.

    Parameters
    ----------
    threshold
        The threshold, 0 or more.
    beta
        Weight of recall against precision in `score`; above 0.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag; None to do so if every tile of the fit has
        a tag.

    Examples
    --------
    >>> rule = FixedThreshold(0.5).fit([[0.9, 0.4], [0.2, 0.7]], [[1, 0], [0, 1]])
    >>> rule.predict([[0.6, 0.5], [0.1, 0.3]])  # the second tile reaches no threshold
    array([[1, 1],
           [0, 1]], dtype=uint8)
    """

    def __init__(
        self, threshold: float = DEFAULT_THRESHOLD, *, beta: float = 2.0, at_least_one: bool | None = None
    ) -> None:
        self.threshold = threshold
        self.beta = beta
        self.at_least_one = at_least_one

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make a fitted rule from the data of `to_dict`."""
        rule = super().from_dict(content)
        rule.threshold = float(rule.thresholds_[0])
        return rule

    def _find(self, p: Floats, true: Bools) -> Floats:
        if not isinstance(self.threshold, Real):
            raise TypeError(f"threshold is {self.threshold!r}; it must be a number")
        if not self.threshold >= 0:
            raise ValueError(f"threshold is {self.threshold}; it must be 0 or more")
        return np.full(p.shape[1], float(self.threshold))


class GlobalThreshold(ThresholdRule):
    """One threshold for all tags: the best for the tiles of the fit.

    Parameters
    ----------
    beta
        Weight of recall against precision in the F-beta that is maximised; above 0.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag; None to do so if every tile of the fit has
        a tag.

    Examples
    --------
    >>> rule = GlobalThreshold().fit([[0.9, 0.4], [0.3, 0.7]], [[1, 1], [0, 1]])
    >>> rule.thresholds_
    array([0.35, 0.35])
    """

    def __init__(self, *, beta: float = 2.0, at_least_one: bool | None = None) -> None:
        self.beta = beta
        self.at_least_one = at_least_one

    def _find(self, p: Floats, true: Bools) -> Floats:
        return np.full(p.shape[1], common_search(p, true, self.beta, self.at_least_one_)(np.ones(len(p))))


class PerClassThresholds(ThresholdRule):
    """One threshold for each tag, by the exact line search (`amazon_ml.decisions.thresholds`) from 0.2.

    On the tiles of the fit, no change of a single threshold can raise the mean F-beta. Of equally good thresholds, the
    one next to the former threshold is chosen. On other tiles they are often worse than one common threshold if tags
    are rare; see `ShrunkThresholds`.

    Parameters
    ----------
    beta
        Weight of recall against precision in the F-beta that is maximised; above 0.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag; None to do so if every tile of the fit has
        a tag.

    Examples
    --------
    >>> rule = PerClassThresholds().fit([[0.9, 0.4], [0.3, 0.7]], [[1, 1], [0, 1]])
    >>> rule.thresholds_
    array([0.6, 0.2])
    """

    def __init__(self, *, beta: float = 2.0, at_least_one: bool | None = None) -> None:
        self.beta = beta
        self.at_least_one = at_least_one

    def _find(self, p: Floats, true: Bools) -> Floats:
        return np.array(own_search(p, true, self.beta, self.at_least_one_)(np.ones(len(p))))


class BaggedThresholds(ThresholdRule):
    """One threshold for each tag: the mean, in log odds, of those of the exact search on bootstraps of the tiles.

    Source: Breiman 1996, *Bagging predictors*.

    Parameters
    ----------
    beta
        Weight of recall against precision in the F-beta that is maximised; above 0.
    n_bootstraps
        Number of bootstraps, at least 1.
    random_state
        Seed of the bootstraps: an int, a `numpy.random.Generator` or `RandomState`, or None for another draw at each
        fit.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag; None to do so if every tile of the fit has
        a tag.

    Examples
    --------
    >>> from amazon_ml.decisions.synthetic import draw_rows
    >>> p, y = draw_rows(200)
    >>> BaggedThresholds().fit(p, y).predict(p).shape
    (200, 17)
    """

    def __init__(
        self,
        *,
        beta: float = 2.0,
        n_bootstraps: int = BOOTSTRAPS,
        random_state: RandomState = 0,
        at_least_one: bool | None = None,
    ) -> None:
        self.beta = beta
        self.n_bootstraps = n_bootstraps
        self.random_state = random_state
        self.at_least_one = at_least_one

    def _find(self, p: Floats, true: Bools) -> Floats:
        return sigmoid(self._bootstraps(p, true).own.mean(axis=0))

    def _bootstraps(self, p: Floats, true: Bools) -> Bootstraps:
        return bootstrap(
            p, true, self.beta, n_bootstraps=self.n_bootstraps, random_state=self.random_state,
            at_least_one=self.at_least_one_,
        )  # fmt: skip


class ShrunkThresholds(BaggedThresholds):
    """One threshold for each tag: averaged over bootstraps, and shrunk to a common threshold.

    The amount is chosen out of bag: each tile is scored with the bootstraps that do not contain it (Breiman 2001,
    *Random forests*).
    With few tiles the thresholds stay near a common one. See `amazon_ml.decisions.shrink`.

    Parameters
    ----------
    beta
        Weight of recall against precision in the F-beta that is maximised; above 0.
    n_bootstraps
        Number of bootstraps, at least 1.
    random_state
        Seed of the bootstraps: an int, a `numpy.random.Generator` or `RandomState`, or None for another draw at each
        fit.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag; None to do so if every tile of the fit has
        a tag.

    Attributes
    ----------
    amount_
        Position of the thresholds between the common one (0) and the tags' own (1).

    Examples
    --------
    >>> from amazon_ml.decisions.synthetic import draw_rows
    >>> p, y = draw_rows(200)
    >>> rule = ShrunkThresholds(beta=2).fit(p, y)
    >>> rule.amount_ in (0.0, 0.25, 0.5, 0.75, 1.0)
    True
    >>> rule.predict(p[:3]).shape
    (3, 17)
    """

    amount_: float

    def to_dict(self) -> dict[str, object]:
        """Return the fitted rule as plain data for JSON."""
        return {**super().to_dict(), "amount": self.amount_}

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make a fitted rule from the data of `to_dict`. Parameters that only `fit` uses have their defaults."""
        rule = super().from_dict(content)
        rule.amount_ = plain.number(content["amount"])
        return rule

    def _find(self, p: Floats, true: Bools) -> Floats:
        thresholds, self.amount_ = shrink(p, true, self.beta, self._bootstraps(p, true), self.at_least_one_)
        return thresholds
