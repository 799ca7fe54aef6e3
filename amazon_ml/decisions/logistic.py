"""Log odds, and the logistic regression that calibration and stacking share."""

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.matrices import Floats

#: Probabilities are clipped to this distance from 0 and 1 before their log odds are computed; a sigmoid in float32 is
#: exactly 1 slightly above.
_LEAST = 1e-7

_MOST_STEPS = 100
_LEAST_STEP = 1e-9


def logit(p: npt.ArrayLike) -> Floats:
    """Compute log odds, in about -16..16."""
    held: Floats = np.clip(np.asarray(p, dtype=np.float64), _LEAST, 1 - _LEAST)
    odds: Floats = np.log(held) - np.log1p(-held)
    return odds


def sigmoid(x: npt.ArrayLike) -> Floats:
    """Compute the probability of log odds."""
    p: Floats = np.exp(-np.logaddexp(0, -np.asarray(x, dtype=np.float64)))  # exact and without overflow at both ends
    return p


def fit_logistic(features: Floats, target: Floats, prior: Floats, penalty: float) -> Floats:
    """Fit the weights of a logistic regression with a normal prior, by Newton's method with halved steps.

    Minimises ``sum(log loss) + penalty / 2 * |weights - prior|^2``, the posterior mode under a normal
    prior of variance ``1 / penalty`` (Bishop 2006, *Pattern Recognition and Machine Learning*, 4.3.3 and 4.5).

    Parameters
    ----------
    features
        Shape (rows, weights); there is no other intercept than a column of ones.
    target
        Shape (rows,), in 0..1; fractions are allowed.
    prior
        Mean of the prior, and start of the search.
    penalty
        Weight of the prior, more than 0, so that there is one finite minimum.

    Returns
    -------
    Weights of shape (weights,).
    """

    def at(weights: Floats) -> tuple[Floats, float]:
        """Compute the log odds of all rows, and what is minimised."""
        x: Floats = features @ weights
        return x, float((np.logaddexp(0, x) - target * x).sum() + penalty / 2 * ((weights - prior) ** 2).sum())

    weights, (x, lowest), held = prior, at(prior), penalty * np.eye(len(prior))
    for _ in range(_MOST_STEPS):
        p = sigmoid(x)
        slope = features.T @ (p - target) + penalty * (weights - prior)
        curvature = features.T @ (features * (p * (1 - p))[:, None]) + held
        step = np.linalg.solve(curvature, slope)
        while np.abs(step).max() > _LEAST_STEP:
            x, reached = at(weights - step)
            if not reached > lowest:
                weights, lowest = weights - step, reached
                break
            step = step / 2
        else:
            break
    return weights
