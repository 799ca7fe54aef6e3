"""Decision rules that predict the tags with the largest expected F-beta."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions import plain
from amazon_ml.decisions.base import MultiLabelRule, check_same_shape
from amazon_ml.decisions.calibration import Calibration, Isotonic, Platt, Temperature, isotonic, platt, temperature
from amazon_ml.decisions.constraints import INDEPENDENT, LabelConstraints
from amazon_ml.decisions.expected import most_expected
from amazon_ml.decisions.matrices import Bools, Floats, MultiHot
from amazon_ml.decisions.parameters import check_flag
from amazon_ml.decisions.stacking import PENALTY, Stack, stack
from amazon_ml.decisions.thresholds import all_tagged

#: Functions that fit a calibration, by name.
CALIBRATIONS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], Calibration]] = {
    "platt": platt,
    "temperature": temperature,
    "isotonic": isotonic,
}

#: Share of tiles that may break the constraints, such as by wrong labels, before `fit` warns of it.
_BROKEN = 0.05

#: Classes of fitted maps, by their name in the plain data of a rule.
_MAPS: dict[str, type[Platt | Temperature | Isotonic | Stack]] = {
    "platt": Platt,
    "temperature": Temperature,
    "isotonic": Isotonic,
    "stack": Stack,
}


class _Expected(MultiLabelRule):
    """Calibrates probabilities, then predicts the tags with the largest expected F-beta.

    Attributes
    ----------
    calibration_
        The fitted map.
    at_least_one_
        Whether each tile gets a tag: the parameter ``at_least_one``, or where that is None, true if every tile of the
        fit had a tag.
    untagged_
        Otherwise the fitted curve from the product of all 1 - p, with calibrated p, to the probability that a tile has
        no tag; None if each tile gets a tag.
    """

    constraints: LabelConstraints | None
    at_least_one: bool | None
    calibration_: Calibration
    at_least_one_: bool
    untagged_: Platt | None

    def to_dict(self) -> dict[str, object]:
        """Return the fitted rule as plain data for JSON."""
        name = next(name for name, kind in _MAPS.items() if isinstance(self.calibration_, kind))
        return {
            "beta": float(self.beta),
            "columns": self.n_features_in_,
            "untagged": self.untagged_.to_dict() if self.untagged_ else None,
            "calibration": {"kind": name, **self.calibration_.to_dict()},
            "constraints": (self.constraints or INDEPENDENT).to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make a fitted rule from the data of `to_dict`. Parameters that only `fit` uses have their defaults."""
        constraints = LabelConstraints.from_dict(plain.mapping(content["constraints"]))
        rule = cls(beta=plain.number(content["beta"]), constraints=None if constraints == INDEPENDENT else constraints)
        calibration = plain.mapping(content["calibration"])
        rule.calibration_ = _MAPS[plain.text(calibration["kind"])].from_dict(calibration)
        untagged = content["untagged"]
        rule.untagged_ = None if untagged is None else Platt.from_dict(plain.mapping(untagged))
        rule.at_least_one_ = rule.untagged_ is None
        rule.n_features_in_ = plain.whole(content["columns"])
        return rule

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "calibration_")

    def _fit(self, p: Floats, true: Bools) -> None:
        self._check_constraints(true)
        check_flag("at_least_one", self.at_least_one)
        self.at_least_one_ = all_tagged(true) if self.at_least_one is None else bool(self.at_least_one)
        self.calibration_ = self._calibrate(p, true)
        none = ~true.any(axis=1, keepdims=True)
        self.untagged_ = None if self.at_least_one_ else platt(_none_of(self.calibration_.apply(p)), none)

    def _check_constraints(self, true: Bools) -> None:
        if not isinstance(self.constraints, LabelConstraints | None):
            raise TypeError(f"constraints is {self.constraints!r}; it must be LabelConstraints or None")
        constraints = self.constraints or INDEPENDENT
        constraints.check(true.shape[1])
        broken = int(np.count_nonzero(constraints.broken(true)))
        if broken > _BROKEN * len(true):
            warnings.warn(
                f"more than {_BROKEN:.0%} of the tiles of the fit break the constraints: predictions become worse; "
                "`exactly_one` is for tags of which every tile with tags has one",
                stacklevel=4,
            )

    @abstractmethod
    def _calibrate(self, p: Floats, true: Bools) -> Calibration:
        """Fit the map from probabilities to calibrated ones."""

    def _predict(self, p: Floats) -> MultiHot:
        calibrated, constraints = self.calibration_.apply(p), self.constraints or INDEPENDENT
        untagged = self.untagged_.apply(_none_of(calibrated))[:, 0] if self.untagged_ else None
        return most_expected(calibrated, self.beta, constraints, untagged)


def _none_of(p: Floats) -> Floats:
    """Compute the probability that a tile has none of its tags, if they were independent: shape (tiles, 1)."""
    product: Floats = (1 - p).prod(axis=1, keepdims=True)
    return product


class ExpectedFBeta(_Expected):
    """Calibrates, then predicts the tags with the largest expected F-beta.

    Only the calibration is fitted, and whether each tile gets a tag. See `amazon_ml.decisions.expected` for the formula
    and its sources.

    Parameters
    ----------
    beta
        Weight of recall against precision in the F-beta that is expected; above 0.
    constraints
        Rules on combinations of tags; None for independent tags. They need not hold for every tile.
    calibration
        ``platt`` (one logistic curve for each tag), ``temperature`` (one slope for all tags) or ``isotonic`` (one
        rising step function for each tag, for thousands of tiles with each tag).
    at_least_one
        Whether each tile gets a tag; None to do so if every tile of the fit has one.

    Attributes
    ----------
    calibration_
        The fitted map from probabilities to calibrated probabilities.

    Examples
    --------
    >>> from amazon_ml.decisions.synthetic import draw_rows
    >>> from amazon_ml.labels import PLANET
    >>> p, y = draw_rows(500)
    >>> rule = ExpectedFBeta(constraints=LabelConstraints.of(PLANET)).fit(p, y)
    >>> bool(rule.predict(p).any(axis=1).all())
    True
    """

    def __init__(
        self,
        *,
        beta: float = 2.0,
        constraints: LabelConstraints | None = None,
        calibration: Literal["platt", "temperature", "isotonic"] = "platt",
        at_least_one: bool | None = None,
    ) -> None:
        self.beta = beta
        self.constraints = constraints
        self.calibration = calibration
        self.at_least_one = at_least_one

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make a fitted rule from the data of `to_dict`."""
        rule = super().from_dict(content)
        name = plain.text(plain.mapping(content["calibration"])["kind"])
        return rule.set_params(calibration=name)  # type: ignore[no-any-return]

    def _calibrate(self, p: Floats, true: Bools) -> Calibration:
        check_same_shape(p, true)
        if self.calibration not in list(CALIBRATIONS):
            raise ValueError(f"calibration is {self.calibration!r}; there are {', '.join(CALIBRATIONS)}")
        return CALIBRATIONS[self.calibration](p, true)


class StackedExpectedFBeta(_Expected):
    """Like `ExpectedFBeta`, but computes the probability of each tag from those of all tags of one or more networks.

    The map is a ridge-penalised logistic regression for each tag (`amazon_ml.decisions.stacking`).

    Parameters
    ----------
    beta
        Weight of recall against precision in the F-beta that is expected; above 0.
    constraints
        Rules on combinations of tags; None for independent tags. They need not hold for every tile.
    penalty
        Strength of the penalty towards the mean of the log odds of the networks; above 0.
    at_least_one
        Whether each tile gets a tag; None to do so if every tile of the fit has one.

    Attributes
    ----------
    calibration_
        The fitted map, from shape (tiles, networks x tags) to (tiles, tags).

    Examples
    --------
    The columns of two networks are concatenated.

    >>> import numpy as np
    >>> from amazon_ml.decisions.synthetic import draw_rows
    >>> p, y = draw_rows(300)
    >>> both = np.hstack([p, p**2])
    >>> StackedExpectedFBeta().fit(both, y).predict(both).shape
    (300, 17)
    """

    def __init__(
        self, *, beta: float = 2.0, constraints: LabelConstraints | None = None, penalty: float = PENALTY,
        at_least_one: bool | None = None,
    ) -> None:  # fmt: skip
        self.beta = beta
        self.constraints = constraints
        self.penalty = penalty
        self.at_least_one = at_least_one

    def _calibrate(self, p: Floats, true: Bools) -> Calibration:
        return stack(p, true, penalty=self.penalty)
