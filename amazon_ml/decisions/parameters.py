"""Checks of parameters: a wrong type is a TypeError, a value out of range a ValueError, which names the parameter."""

import math
from numbers import Integral, Real

import numpy as np

#: Largest beta. F-beta is recall long before it, and much larger ones overflow when they are squared and summed.
MOST_BETA = 1e6


def check_beta(beta: object) -> None:
    """Check the weight of recall against precision: above 0, and at most `MOST_BETA`."""
    number = _real("beta", beta)
    if not 0 < number <= MOST_BETA:
        raise ValueError(f"beta is {beta}; it must be a number above 0, and at most {MOST_BETA:,.0f}")


def check_positive(name: str, value: object) -> None:
    """Check that a parameter is a finite number above 0."""
    if not 0 < _real(name, value) < math.inf:
        raise ValueError(f"{name} is {value}; it must be a finite number above 0")


def check_level(level: object) -> None:
    """Check the probability that an interval covers: between 0 and 1, and neither of them."""
    if not 0 < _real("level", level) < 1:
        raise ValueError(f"level is {level}; it must be a number between 0 and 1")


def check_whole(name: str, value: object, least: int) -> None:
    """Check that a parameter is a whole number that is not below `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}; it must be a whole number")
    if int(value) < least:
        raise ValueError(f"{name} is {value}; it must be {least} or more")


def check_random_state(random_state: object) -> None:
    """Check what may seed a draw: a whole number from 0, a generator or `RandomState` of NumPy, or None."""
    if isinstance(random_state, np.random.Generator | np.random.RandomState | None):
        return
    if isinstance(random_state, bool) or not isinstance(random_state, Integral):
        raise TypeError(
            f"random_state is {random_state!r}; it must be a whole number, a generator or RandomState of NumPy, or None"
        )
    check_whole("random_state", random_state, 0)


def check_flag(name: str, value: object) -> None:
    """Check that a parameter is true, false (also as 1 or 0), or None; a text would count as true."""
    if not isinstance(value, bool | np.bool_ | None) and not (isinstance(value, Integral) and int(value) in (0, 1)):
        raise TypeError(f"{name} is {value!r}; it must be true, false, or None")


def _real(name: str, value: object) -> float:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a number")
    try:
        return float(value)
    except OverflowError:  # a whole number above all floats
        return math.inf
