"""Checks of arrays of probabilities and of tags."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MultiHot = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


def as_probabilities(values: npt.ArrayLike, columns: int | None = None) -> Floats:
    """Convert probabilities to float64 of shape (tiles, columns).

    Raises
    ------
    ValueError
        If the shape is wrong, or values are not finite or not in 0..1.
    """
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
    given = np.asarray(values)
    hot = given.astype(bool)
    if given.dtype != hot.dtype and not (given == hot).all():  # NaN would count as a tag
        raise ValueError("tags must be 0 or 1")
    return hot


def check_same_order(one: object, other: object) -> None:
    """Raise a ValueError if two tables have the same names of rows or of columns in another order.

    Numbers are not names: rows that were shuffled together may have been numbered anew in one table alone.
    """
    for what in ("columns", "index"):
        names, others = (_names(each, what) for each in (one, other))
        if names != others and sorted(names, key=str) == sorted(others, key=str) and isinstance(names[0], str):
            at = next(at for at, pair in enumerate(zip(names, others, strict=True)) if pair[0] != pair[1])
            raise ValueError(
                f"both tables have the same {what} in another order: {names[at]!r} in one is where {others[at]!r} is "
                "in the other"
            )


def _names(table: object, what: str) -> list[object]:
    return list(getattr(table, what, ())) if hasattr(table, "iloc") else []  # of pandas: a list has an `index`, too


def as_rows(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Floats, Bools]:
    """Convert the rows for a fit: probabilities and truth of one shape (tiles, tags), with at least one tile."""
    check_same_order(probabilities, targets)
    p, true = as_probabilities(probabilities), as_multi_hot(targets)
    if p.shape != true.shape or not p.size:
        raise ValueError(f"expected two filled arrays of one shape (tiles, tags), got {p.shape} and {true.shape}")
    return p, true
