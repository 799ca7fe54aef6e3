"""The probability that a tag appeared or went between two dates, out of the probabilities of both.

Two predictions of ground that did not change differ, too: the light, the season and the network's doubts differ. The
product p_after (1 - p_before) would call half of all doubtful cells changed. So how often each pair of states occurs
is learned from all cells of the scene, by expectation and maximisation (Dempster, Laird and Rubin 1977), and each cell
is judged by that and by its own evidence::

    P(states | cell)  ~  P(states)  L_before(state before)  L_after(state after)

The evidence of a date is the ratio of the odds of its probability to the odds of the tag among the training tiles,
since a probability holds already how frequent the tag was there. Where a cloud hides the ground with probability c, the
evidence is the mixture (1 - c) L + c: a hidden date says nothing, and so no tag goes behind a cloud.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Bounds of probabilities, so that one certain cell cannot outweigh all others.
_LEAST = 1e-4
#: Counts that are added to each pair of states: few scenes hold a change of every tag, and most ground stays as it is.
_PRIOR = np.array([[1.0, 0.05], [0.05, 1.0]])
#: Rounds of expectation and maximisation, and the change at which they end.
_ROUNDS, _ENOUGH = 500, 1e-9


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
    """

    appeared: Floats
    went: Floats
    states: Floats


def change_of(
    before: Floats, after: Floats, hidden_before: Floats, hidden_after: Floats, frequency: float | None = None
) -> Change:
    """Compute the probabilities that a tag appeared or went.

    Parameters
    ----------
    before, after
        Probabilities of the tag, one for each cell.
    hidden_before, hidden_after
        Probabilities that the ground cannot be seen.
    frequency
        Share of the training tiles with the tag; by default the mean of the probabilities.
    """
    seen = np.concatenate([before, after])
    mean = float(np.clip(seen.mean() if seen.size else 0.5, _LEAST, 1 - _LEAST))
    prior = mean if frequency is None else float(np.clip(frequency, _LEAST, 1 - _LEAST))
    evidence = _evidence(before, hidden_before, prior)[:, :, None] * _evidence(after, hidden_after, prior)[:, None, :]
    stay = 0.98
    states = np.array([[1 - mean, 0.0], [0.0, mean]]) * stay + np.outer([1 - mean, mean], [1 - mean, mean]) * (1 - stay)
    for _ in range(_ROUNDS):
        joint = evidence * states
        posterior = joint / joint.sum(axis=(1, 2), keepdims=True)
        counts = posterior.sum(axis=0) + _PRIOR
        former, states = states, counts / counts.sum()
        if np.abs(states - former).max() < _ENOUGH:
            break
    joint = evidence * states
    posterior = joint / joint.sum(axis=(1, 2), keepdims=True)
    return Change(posterior[:, 0, 1], posterior[:, 1, 0], states)


def _evidence(p: Floats, hidden: Floats, prior: float) -> Floats:
    """Likelihood of what a date shows for each state, absent and there: shape (cells, 2)."""
    clear = np.clip(1 - hidden, _LEAST, 1)
    there = np.clip(p / clear, _LEAST, 1 - _LEAST)  # a hidden tag is not given, so p is its share of the clear cases
    absent_ratio, there_ratio = (1 - there) / (1 - prior), there / prior
    shown = np.stack([absent_ratio, there_ratio], axis=1)
    evidence: Floats = clear[:, None] * shown + (1 - clear[:, None])
    return evidence
