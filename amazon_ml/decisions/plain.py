"""Typed values from the plain data of a JSON file; each function raises a ValueError for a wrong entry."""

import math
from collections.abc import Mapping


def mapping(content: object) -> Mapping[str, object]:
    """Return a JSON object unchanged; anything else is a ValueError."""
    if not isinstance(content, Mapping):
        raise ValueError(f"expected a JSON object, got {content!r}")
    return content


def number(value: object) -> float:
    """Return a finite number as float; anything else, also a bool, is a ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {value!r}")
    return float(value)


def numbers(values: object) -> tuple[float, ...]:
    """Return a list of finite numbers as floats."""
    return tuple(map(number, _sequence(values)))


def rows(values: object) -> tuple[tuple[float, ...], ...]:
    """Return a list of lists of finite numbers as floats."""
    return tuple(map(numbers, _sequence(values)))


def whole(value: object) -> int:
    """Return a whole number that is not below 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"expected a whole number from 0, got {value!r}")
    return value


def wholes(values: object) -> tuple[int, ...]:
    """Return a list of whole numbers that are not below 0."""
    return tuple(map(whole, _sequence(values)))


def flag(value: object) -> bool:
    """Return true or false; anything else is a ValueError."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def text(value: object) -> str:
    """Return a string; anything else is a ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"expected a string, got {value!r}")
    return value


def _sequence(values: object) -> list[object] | tuple[object, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"expected a list, got {values!r}")
    return values
