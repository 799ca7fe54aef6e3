"""The probability that a tag appeared or went between two dates, out of the probabilities of both.

Two predictions of ground that did not change differ, too: the light, the season and the network's doubts differ. The
product p_after (1 - p_before) would call half of all doubtful cells changed. So how often each pair of states occurs
is learned from all cells of the scene, and each cell is judged by that and by its own evidence::

    P(states | cell)  ~  P(states)  L_before(state before)  L_after(state after)

The evidence of a date is the ratio of the odds of its probability to the odds of the tag among the training tiles,
since a probability holds already how frequent the tag was there. Where a cloud hides the ground with probability c, the
evidence is the mixture (1 - c) L + c: a hidden date says nothing, so a tag that a cloud hides is not gone.

The shares of the states are those of expectation and maximisation (Dempster, Laird and Rubin 1977). How much of the
ground changes is uncertain where few cells did or the network sees the tag badly; so results are averaged over this
rate, with its posterior as weights.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Bounds of probabilities, so that one certain cell cannot outweigh all others.
_LEAST = 1e-4
#: Counts that are added to each pair of states: most ground stays as it is.
_PRIOR = np.array([[1.0, 0.05], [0.05, 1.0]])
#: Rounds of expectation and maximisation, and the change at which they end.
_ROUNDS, _ENOUGH = 500, 1e-9
#: Rates of change that results are averaged over, and the power of (1 - rate) in their prior density: on average, a
#: tenth of the ground changes.
_RATES, _POWER = np.geomspace(1e-4, 0.9, 33), 8


class Area(NamedTuple):
    """An area as a mixture of normal distributions, one for each rate of change.

    Parameters
    ----------
    weights, means, variances
        Of the distributions.
    """

    weights: Floats
    means: Floats
    variances: Floats

    @property
    def mean(self) -> float:
        """The expected area."""
        return float(self.weights @ self.means)

    def quantile(self, share: float, most: float, *, overlap: float = 1.0) -> float:
        """Find the area in 0..most that the true one is below with a probability; variances grow by `overlap`."""
        low, high = 0.0, most
        spreads = np.sqrt(np.maximum(self.variances * overlap, 1e-300))
        for _ in range(60):
            middle = (low + high) / 2
            below = sum(
                weight * 0.5 * (1 + math.erf((middle - mean) / (spread * math.sqrt(2))))
                for weight, mean, spread in zip(self.weights, self.means, spreads, strict=True)
            )
            low, high = (middle, high) if below < share else (low, middle)
        return (low + high) / 2


class Change(NamedTuple):
    """Probabilities of change of one tag.

    Parameters
    ----------
    appeared
        Probability for each cell that the tag is there after, and was not before.
    went
        Probability for each cell that it was there before, and is not after.
    states
        Share of the cells for each pair of states, before and after: shape (2, 2).
    appeared_area, went_area
        Areas of both.
    """

    appeared: Floats
    went: Floats
    states: Floats
    appeared_area: Area
    went_area: Area


def change_of(
    before: Floats, after: Floats, hidden_before: Floats, hidden_after: Floats, frequency: float | None = None,
    areas: Floats | None = None,
) -> Change:  # fmt: skip
    """Compute the probabilities that a tag appeared or went.

    Parameters
    ----------
    before, after
        Probabilities of the tag, one for each cell.
    hidden_before, hidden_after
        Probabilities that the ground cannot be seen.
    frequency
        Share of the training tiles with the tag; by default the mean of the probabilities.
    areas
        Area of each cell; by default 1.
    """
    seen = np.concatenate([before, after])
    mean = float(np.clip(seen.mean() if seen.size else 0.5, _LEAST, 1 - _LEAST))
    prior = mean if frequency is None else float(np.clip(frequency, _LEAST, 1 - _LEAST))
    first, second = _evidence(before, hidden_before, prior), _evidence(after, hidden_after, prior)
    states = _states(first[:, :, None] * second[:, None, :], mean)
    sizes = np.ones(len(before)) if areas is None else areas
    appeared, appeared_area = _averaged(states, first, second, sizes)
    # The other way round: what went from before to after appeared from after to before, with the states swapped.
    went, went_area = _averaged(states[::-1, ::-1], first[:, ::-1], second[:, ::-1], sizes)
    return Change(appeared, went, states, appeared_area, went_area)


def _states(evidence: Floats, mean: float) -> Floats:
    """Estimate the share of each pair of states: shape (2, 2)."""
    shares, stay = np.array([1 - mean, mean]), 0.98
    states: Floats = np.diag(shares) * stay + np.outer(shares, shares) * (1 - stay)
    for _ in range(_ROUNDS):
        joint = evidence * states
        posterior = joint / joint.sum(axis=(1, 2), keepdims=True)
        counts = posterior.sum(axis=0) + _PRIOR
        former, states = states, counts / counts.sum()
        if np.abs(states - former).max() < _ENOUGH:
            break
    return states


def _averaged(states: Floats, first: Floats, second: Floats, areas: Floats) -> tuple[Floats, Area]:
    """Average the probability of the first state becoming the second over the rate at which it does.

    The other shares stay as they were estimated.
    """
    absent = float(states[0].sum())
    stayed = states[1] @ second.T * first[:, 1]  # of cells that were in the other state before
    likelihoods = np.empty(len(_RATES))
    means, variances = np.empty(len(_RATES)), np.empty(len(_RATES))
    for at, rate in enumerate(_RATES.tolist()):
        changed = absent * first[:, 0] * rate * second[:, 1]
        total = changed + absent * first[:, 0] * (1 - rate) * second[:, 0] + stayed
        p = changed / total
        likelihoods[at] = np.log(total).sum()
        means[at], variances[at] = areas @ p, areas**2 @ (p * (1 - p))
    # On a geometric grid, a density per rate weighs as much as the distance to the next rate, which grows with it.
    logs = likelihoods + _POWER * np.log1p(-_RATES) + np.log(_RATES)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    averaged = np.zeros(len(first))
    for weight, rate in zip(weights.tolist(), _RATES.tolist(), strict=True):
        if weight > 1e-9:
            changed = absent * first[:, 0] * rate * second[:, 1]
            averaged += weight * changed / (changed + absent * first[:, 0] * (1 - rate) * second[:, 0] + stayed)
    return averaged, Area(weights, means, variances)


def _evidence(p: Floats, hidden: Floats, prior: float) -> Floats:
    """Likelihood of what a date shows for each state, absent and there: shape (cells, 2)."""
    clear = np.clip(1 - hidden, _LEAST, 1)
    there = np.clip(p / clear, _LEAST, 1 - _LEAST)  # a hidden tag is not given, so p is its share of the clear cases
    absent_ratio, there_ratio = (1 - there) / (1 - prior), there / prior
    shown = np.stack([absent_ratio, there_ratio], axis=1)
    evidence: Floats = clear[:, None] * shown + (1 - clear[:, None])
    return evidence
