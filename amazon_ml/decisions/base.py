"""The base class of decision rules: estimators by scikit-learn's conventions that convert probabilities to tags."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from amazon_ml.decisions.fbeta import fbeta_score
from amazon_ml.decisions.matrices import (
    Bools,
    Floats,
    MultiHot,
    as_multi_hot,
    check_in_unit_interval,
    check_no_gaps,
    check_same_order,
)
from amazon_ml.decisions.parameters import check_beta


class MultiLabelRule(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no type hints
    """A decision rule: fitted on probabilities and true tags, it predicts tags from probabilities.

    A subclass implements `_fit` and `_predict` on checked arrays, and `to_dict` and `from_dict` for plain data.

    Attributes
    ----------
    n_features_in_
        Number of columns of the probabilities it was fitted on.
    feature_names_in_
        Their names, if they were a DataFrame. Then columns in another order are an error in `predict`.
    """

    beta: float
    n_features_in_: int

    def fit(self, p: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Fit the rule.

        Parameters
        ----------
        p
            Probabilities, shape (tiles, tags), in 0..1. They should come from a network that was not trained on
            these tiles.
        y
            True tags, shape (tiles, tags), 0 or 1.

        Returns
        -------
        MultiLabelRule
            The rule itself.

        Raises
        ------
        ValueError
            If shapes are wrong, probabilities are not finite or not in 0..1, true tags are not 0 or 1, values are
            masked or missing, parameters are out of range, or both are tables with the same names in another order.
        TypeError
            If a parameter is of a wrong type.
        """
        check_beta(self.beta)
        check_same_order(p, y)
        check_no_gaps(p, y)
        values, tags = validate_data(self, p, y, dtype=np.float64, multi_output=True)
        true = self._as_truth(tags.toarray() if sparse.issparse(tags) else tags)
        self._fit(self._as_probabilities(values), true)
        return self

    def predict(self, p: npt.ArrayLike) -> MultiHot:
        """Predict the tags of each tile.

        Parameters
        ----------
        p
            Probabilities, shape (tiles, columns of the fit), in 0..1; there may be no tile.

        Returns
        -------
        numpy.ndarray
            uint8 of shape (tiles, tags), 0 or 1.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        ValueError
            If the number of columns is wrong, or probabilities are masked, not finite or not in 0..1.
        """
        check_is_fitted(self)
        check_no_gaps(p)
        values = validate_data(self, p, dtype=np.float64, reset=False, ensure_min_samples=0)
        return self._predict(self._as_probabilities(values))

    def score(self, p: npt.ArrayLike, y: npt.ArrayLike) -> float:
        """Compute the mean F-beta over tiles, in 0..1, of the tags predicted from `p` and the true tags `y`.

        Beta is the parameter of the rule. Tables with the same names in another order are a ValueError, as in `fit`.
        """
        check_same_order(p, y)
        return fbeta_score(y, self.predict(p), self.beta)

    @abstractmethod
    def to_dict(self) -> dict[str, object]:
        """Return the fitted rule as plain data for JSON."""

    @classmethod
    @abstractmethod
    def from_dict(cls, content: Mapping[str, object]) -> Self:
        """Make a fitted rule from the data of `to_dict`. Parameters that only `fit` uses have their defaults."""

    @abstractmethod
    def _fit(self, p: Floats, true: Bools) -> None:
        """Set the fitted attributes."""

    @abstractmethod
    def _predict(self, p: Floats) -> MultiHot:
        """Predict from checked probabilities."""

    def _as_probabilities(self, p: Floats) -> Floats:
        check_in_unit_interval(p)
        return p

    def _as_truth(self, y: npt.NDArray[np.generic]) -> Bools:
        true = as_multi_hot(y)
        if true.ndim != 2:
            raise ValueError(f"expected true tags y of shape (tiles, tags), 0 or 1, got shape {true.shape}")
        return true

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags


def check_same_shape(p: Floats, true: Bools) -> None:
    """Raise a ValueError if there is not one probability for each true tag."""
    if p.shape != true.shape:
        raise ValueError(
            f"expected probabilities p and true tags y of one shape (tiles, tags), got {p.shape} and {true.shape}"
        )
