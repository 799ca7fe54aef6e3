"""Stacking: computes the probability of each tag from the probabilities of all tags of all networks.

A tile with houses shows a road more often than its road probability alone suggests, and one network recognises haze
better, another mines. A logistic regression from all log odds to each tag learns that. With hundreds of weights and few
tiles of rare tags it would also learn noise, so a penalty keeps it near the average log odds of the networks for the
tag itself.

On the rows of its fit, the score of a stack is even more too high than that of thresholds, since it has more weights:
fit it inside the cross-fit, as part of a rule (`amazon_ml.decisions.rules`, ``stacked``).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions import plain
from amazon_ml.decisions.logistic import fit_logistic, logit, sigmoid
from amazon_ml.decisions.matrices import Floats, as_multi_hot, as_probabilities, check_same_order
from amazon_ml.decisions.parameters import check_positive

#: A normal prior with standard deviation 0.1 for the difference of each weight from the average of the networks.
PENALTY = 100.0


@dataclass(frozen=True)
class Stack:
    """One logistic regression for each tag, ``sigmoid(logit(p) @ weights + intercept)``.

    Parameters
    ----------
    weights
        Weights of the input columns for each tag.
    intercept
        One for each tag.
    """

    weights: tuple[tuple[float, ...], ...]
    intercept: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.intercept):
            raise ValueError(f"weights of {len(self.weights)} tags and {len(self.intercept)} intercepts")

    def apply(self, probabilities: npt.ArrayLike) -> Floats:
        """Stack probabilities of shape (tiles, networks x tags) to (tiles, tags)."""
        weights = np.array(self.weights)
        return sigmoid(logit(as_probabilities(probabilities, weights.shape[1])) @ weights.T + np.array(self.intercept))

    def to_dict(self) -> dict[str, object]:
        """Return the weights as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make it from the data of `to_dict`."""
        return cls(plain.rows(content["weights"]), plain.numbers(content["intercept"]))


def stack(probabilities: npt.ArrayLike, targets: npt.ArrayLike, *, penalty: float = PENALTY) -> Stack:
    """Fit one ridge-penalised logistic regression for each tag.

    Parameters
    ----------
    probabilities
        Out-of-fold probabilities, shape (tiles, networks x tags): the columns of all networks.
    targets
        Multi-hot truth, shape (tiles, tags).
    penalty
        Strength of the penalty, more than 0: on the difference of the weights from the average of the networks, and on
        the intercept.

    Raises
    ------
    ValueError
        For arrays that are no probabilities or multi-hot arrays, for shapes that do not fit, and for a penalty that is
        not finite, not above 0, or so small that the weights are not determined.
    TypeError
        For a penalty that is no number.
    """
    check_positive("penalty", penalty)
    check_same_order(probabilities, targets)
    p, true = as_probabilities(probabilities), as_multi_hot(targets)
    tags = true.shape[1]
    networks, rest = divmod(p.shape[1], tags)
    if rest or not networks or len(p) != len(true) or not len(p):
        raise ValueError(f"expected shapes (tiles, networks x tags) and (tiles, tags), got {p.shape} and {true.shape}")
    features = np.column_stack([logit(p), np.ones(len(p))])
    average = np.column_stack([np.tile(np.eye(tags) / networks, networks), np.zeros(tags)])
    try:
        fits = np.stack(
            [fit_logistic(features, true[:, tag].astype(np.float64), average[tag], penalty) for tag in range(tags)]
        )
    except np.linalg.LinAlgError:
        raise ValueError(f"penalty is {penalty}; it is too small for these tiles, take one near {PENALTY:g}") from None
    return Stack(tuple(map(tuple, fits[:, :-1].tolist())), tuple(fits[:, -1].tolist()))
