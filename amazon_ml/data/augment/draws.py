"""Random numbers as a pure function of integers: the same for one tile or a whole batch, in any order of calls."""

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]


def hashed(*words: npt.ArrayLike) -> Words:
    """Hash numbers to 64 evenly distributed bits, a whole array at once.

    Parameters
    ----------
    words
        Integers in 0..2**64 - 1, such as a seed, an epoch and the indices of a batch; arrays are broadcast. Another
        order gives other numbers.

    Returns
    -------
    uint64 array of the common shape, with at least one dimension.
    """
    state = np.zeros(1, dtype=np.uint64)
    for word in words:
        state = _splitmix64(state + np.asarray(word, dtype=np.uint64))
    return state


def _splitmix64(state: Words) -> Words:
    """Return the output of SplitMix64 for a state (Steele, Lea and Flood 2014); one to one, modulo 2**64."""
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
