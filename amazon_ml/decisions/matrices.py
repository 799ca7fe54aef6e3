"""Checks of arrays of probabilities and of tags."""

from collections.abc import Iterable
from numbers import Number

import numpy as np
import numpy.typing as npt

from amazon_ml.gaps import describe_gaps

Floats = npt.NDArray[np.float64]
MultiHot = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


def as_probabilities(values: npt.ArrayLike, columns: int | None = None) -> Floats:
    """Convert probabilities to float64 of shape (tiles, columns).

    Raises
    ------
    ValueError
        If the shape is wrong, or values are masked, empty, not finite or not in 0..1.
    """
    check_no_gaps(values)
    p = np.asarray(values, dtype=np.float64)
    if p.ndim != 2 or columns not in (None, p.shape[1]):
        raise ValueError(f"expected probabilities of shape (tiles, {columns or 'tags'}), got {p.shape}")
    check_in_unit_interval(p)
    return p


def check_in_unit_interval(p: Floats) -> None:
    """Raise a ValueError if values are not finite or not in 0..1, with the position of the first."""
    right = (p >= 0) & (p <= 1)
    if not right.all():
        place = np.unravel_index(int(right.argmin()), p.shape)
        raise ValueError(
            f"probabilities must be finite and in 0..1, and that at {tuple(map(int, place))} is {p[place]:g}; "
            "take the sigmoid of a network's logits"
        )


def as_multi_hot(values: npt.ArrayLike) -> Bools:
    """Convert a multi-hot array to bool of shape (tiles, tags); values other than 0 and 1 are a ValueError."""
    check_no_gaps(values)
    given = np.asarray(values)
    hot = given.astype(bool)
    if given.dtype != hot.dtype and not (given == hot).all():  # NaN would count as a tag
        raise ValueError("tags must be 0 or 1")
    return hot


def check_same_order(one: object, other: object) -> None:
    """Raise a ValueError if a row or a column of one table has the name of another row or column of the other table.

    Numbers are names only where the indexes of both tables have the same name: else the rows of one of them may have
    been numbered anew.
    """
    if not (hasattr(one, "iloc") and hasattr(other, "iloc")):  # of pandas: a list has an `index`, too
        return
    for what in ("columns", "index"):
        labels, others = getattr(one, what, None), getattr(other, what, None)
        if labels is None or others is None or len(labels) != len(others) or labels.equals(others):
            continue
        numbers = labels.names == others.names and any(name is not None for name in labels.names)
        places, there = _places(labels, numbers), _places(others, numbers)
        moved = next((name for name in places if places[name] != there.get(name, places[name])), None)
        if moved is not None:
            at = min(places[moved] ^ there[moved])
            raise ValueError(
                f"both tables have names of the {what} in another order: {labels.tolist()[at]!r} in one is where "
                f"{others.tolist()[at]!r} is in the other"
            )


def _places(labels: Iterable[object], numbers: bool) -> dict[object, set[int]]:
    """Give the places of each name, without numbers unless they are names, too."""
    places: dict[object, set[int]] = {}
    for at, name in enumerate(labels):
        if numbers or not isinstance(name, Number):
            places.setdefault(name, set()).add(at)
    return places


def check_no_gaps(*given: object) -> None:
    """Raise a ValueError if values are masked, or cells of a table are empty."""
    for values in given:
        if gaps := describe_gaps(values):
            raise ValueError(f"{gaps}; fill them, or leave out these tiles")


def as_rows(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Floats, Bools]:
    """Convert the rows for a fit: probabilities and truth of one shape (tiles, tags), with at least one tile."""
    check_same_order(probabilities, targets)
    p, true = as_probabilities(probabilities), as_multi_hot(targets)
    if p.shape != true.shape or not p.size:
        raise ValueError(f"expected two filled arrays of one shape (tiles, tags), got {p.shape} and {true.shape}")
    return p, true
