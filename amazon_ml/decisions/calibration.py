"""Calibration: makes probabilities agree with frequencies.

Of all tiles with probability 0.3 for a tag, three in ten should have it. Thresholds do not need that, since they are
tuned to any scale; a rule that computes expectations does.
"""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions import plain
from amazon_ml.decisions.latest import Latest
from amazon_ml.decisions.logistic import fit_logistic, logit, sigmoid
from amazon_ml.decisions.matrices import Bools, Floats, as_probabilities, as_rows

#: Weight of the prior, slope 1 and intercept 0: it has an influence only if the data of a tag have none.
_HOLD = 1e-3

#: Isotonic regression needs about this many tiles with a tag, and as many without, to be better than a logistic
#: curve (Niculescu-Mizil & Caruana 2005, *Predicting good probabilities with supervised learning*).
ISOTONIC_NEEDS = 1000


class Calibration(Protocol):
    """A fitted map to calibrated probabilities."""

    def apply(self, probabilities: npt.ArrayLike) -> Floats:
        """Calibrate an array of shape (tiles, tags)."""

    def to_dict(self) -> dict[str, object]:
        """Return the map as plain data."""


@dataclass(frozen=True)
class Platt:
    """One logistic curve for each tag, ``sigmoid(slope * logit(p) + intercept)``."""

    slope: tuple[float, ...]
    intercept: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.slope) != len(self.intercept):
            raise ValueError(f"{len(self.slope)} slopes and {len(self.intercept)} intercepts")

    def apply(self, probabilities: npt.ArrayLike) -> Floats:
        """Calibrate an array of shape (tiles, tags)."""
        p = as_probabilities(probabilities, len(self.slope))
        return sigmoid(logit(p) * np.array(self.slope) + np.array(self.intercept))

    def to_dict(self) -> dict[str, object]:
        """Return the curves as plain data."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make it from the data of `to_dict`."""
        return cls(plain.numbers(content["slope"]), plain.numbers(content["intercept"]))


@dataclass(frozen=True)
class Temperature:
    """One slope for all tags, ``sigmoid(logit(p) / value)``."""

    value: float

    def apply(self, probabilities: npt.ArrayLike) -> Floats:
        """Calibrate an array of shape (tiles, tags)."""
        return sigmoid(logit(as_probabilities(probabilities)) / self.value)

    def to_dict(self) -> dict[str, object]:
        """Return the temperature as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make it from the data of `to_dict`."""
        return cls(plain.number(content["value"]))


@dataclass(frozen=True)
class Isotonic:
    """One rising function for each tag: lines between the corners `given` and `calibrated`, constant beyond them."""

    given: tuple[tuple[float, ...], ...]
    calibrated: tuple[tuple[float, ...], ...]

    def apply(self, probabilities: npt.ArrayLike) -> Floats:
        """Calibrate an array of shape (tiles, tags)."""
        p = as_probabilities(probabilities, len(self.given))
        return np.stack([np.interp(*column) for column in zip(p.T, self.given, self.calibrated, strict=True)], axis=1)

    def to_dict(self) -> dict[str, object]:
        """Return the corners as plain data."""
        return {name: [list(values) for values in tags] for name, tags in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make it from the data of `to_dict`."""
        return cls(plain.rows(content["given"]), plain.rows(content["calibrated"]))


def platt(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> Platt:
    """Fit one logistic curve for each tag, to Platt's targets inside of 0..1, so that curves of rare tags are finite.

    Platt 1999, *Probabilistic outputs for support vector machines*: of n1 tiles with the tag and n0
    without, the targets are (n1 + 1) / (n1 + 2) and 1 / (n0 + 2).

    Parameters
    ----------
    probabilities
        Finite values in 0..1, shape (tiles, tags).
    targets
        Multi-hot truth of the same shape.
    """
    p, true = as_rows(probabilities, targets)
    return _LATEST.get((p, true), (), lambda: _fit_platt(p, true))


#: Rules that differ in their constraints alone use the same curves.
_LATEST = Latest[Platt]()


def _fit_platt(p: Floats, true: Bools) -> Platt:
    support = true.sum(axis=0)
    held = np.where(true, (support + 1) / (support + 2), 1 / (len(true) - support + 2))
    curves = [
        fit_logistic(np.column_stack([x, np.ones(len(x))]), target, prior=np.array([1.0, 0.0]), penalty=_HOLD)
        for x, target in zip(logit(p).T, held.T, strict=True)
    ]
    slope, intercept = np.array(curves).T
    return Platt(tuple(slope.tolist()), tuple(intercept.tolist()))


def temperature(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> Temperature:
    """Fit one temperature to all tags (Guo et al. 2017, *On calibration of modern neural networks*).

    Parameters are those of `platt`. For probabilities that rank the tags in reverse, the temperature is so high that
    all become 0.5.
    """
    p, true = as_rows(probabilities, targets)
    x = logit(p).reshape(-1, 1)
    slope = fit_logistic(x, true.ravel().astype(np.float64), prior=np.ones(1), penalty=_HOLD)
    return Temperature(1 / max(float(slope[0]), 1e-6))


def isotonic(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> Isotonic:
    """Fit one rising step function for each tag (Zadrozny & Elkan 2002), with a warning for rare tags.

    Parameters are those of `platt`. If a tag is rare, or rarely missing, the steps follow single tiles; then `platt`
    is the safe choice.
    """
    from sklearn.isotonic import IsotonicRegression  # takes a second, needed only here

    p, true = as_rows(probabilities, targets)
    support = true.sum(axis=0)
    rare = int((np.minimum(support, len(true) - support) < ISOTONIC_NEEDS).sum())
    if rare:
        warnings.warn(
            f"isotonic calibration of {rare} tags with fewer than {ISOTONIC_NEEDS} tiles with or without them "
            "follows single tiles; use platt",
            stacklevel=2,
        )
    fits = [IsotonicRegression().fit(x, y) for x, y in zip(p.T, true.T, strict=True)]
    given, calibrated = (
        tuple(tuple(getattr(fit, name).tolist()) for fit in fits) for name in ("X_thresholds_", "y_thresholds_")
    )
    return Isotonic(given, calibrated)


def reliability(probabilities: npt.ArrayLike, targets: npt.ArrayLike, *, bins: int = 10) -> pd.DataFrame:
    """Compare probabilities with frequencies, in bins of equal width.

    Returns
    -------
    Table with one row for each ``tag`` (column number) and ``bin`` that holds tiles: ``tiles``, the
    ``probability`` (mean in the bin) and the ``frequency`` of the tag there. The expected calibration
    error of a tag is the mean of |probability - frequency| over its rows, weighted by tiles.
    """
    p, true = as_rows(probabilities, targets)
    long = pd.DataFrame(
        {
            "tag": np.tile(np.arange(p.shape[1]), len(p)),
            "bin": np.minimum((p * bins).astype(int), bins - 1).ravel(),
            "probability": p.ravel(),
            "frequency": true.ravel().astype(np.float64),
        }
    )
    groups = long.groupby(["tag", "bin"])
    return groups.mean().assign(tiles=groups.size()).reset_index()


def calibration_error(probabilities: npt.ArrayLike, targets: npt.ArrayLike, *, bins: int = 10) -> Floats:
    """Return the expected calibration error of each tag (Naeini et al. 2015), in 0..1; see `reliability`."""
    table = reliability(probabilities, targets, bins=bins)
    gap = (table["probability"] - table["frequency"]).abs() * table["tiles"]
    error: Floats = (gap.groupby(table["tag"]).sum() / len(np.asarray(targets))).to_numpy()
    return error
