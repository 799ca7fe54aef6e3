"""Rectangles with columns, as every format of maps is written from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Column:
    """Values of a column: whole numbers, real numbers (NaN is no value), or texts (None is no value).

    Parameters
    ----------
    name
        Its name.
    data
        One value for each rectangle: an array of integers or floats, or a list of texts.
    """

    name: str
    data: npt.NDArray[np.integer] | npt.NDArray[np.floating] | list[str | None]

    @property
    def kind(self) -> str:
        """Type of the values in SQL."""
        if isinstance(self.data, list):
            return "TEXT"
        return "INTEGER" if self.data.dtype.kind in "iu" else "REAL"

    def plain(self) -> list[object]:
        """Give the values as plain Python values; None where there is none."""
        if isinstance(self.data, list):
            return list(self.data)
        values: list[object] = self.data.tolist()
        return [None if value != value else value for value in values]


@dataclass(frozen=True)
class Layer:
    """Rectangles with columns.

    Parameters
    ----------
    name
        Name of the layer.
    crs
        Coordinate reference system as WKT; empty in pixel coordinates.
    bounds
        Left, bottom, right and top of each rectangle, shape (rectangles, 4).
    columns
        The columns.
    styles
        Titles of styles by the columns that they colour the rectangles by, from 0 to 1; the first is shown first.
    """

    name: str
    crs: str
    bounds: npt.NDArray[np.float64]
    columns: tuple[Column, ...]
    styles: dict[str, str] = field(default_factory=dict)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of all rectangles; zeros without any."""
        if not len(self.bounds):
            return 0.0, 0.0, 0.0, 0.0
        left, bottom = self.bounds[:, :2].min(axis=0).tolist()
        right, top = self.bounds[:, 2:].max(axis=0).tolist()
        return left, bottom, right, top


def unique_names(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Add numbers to names that are taken, or differ from another only in case: columns of SQL have no case."""
    seen = {name.lower() for name in taken}
    unique = []
    for name in names:
        free, number = name, 2
        while free.lower() in seen:
            free, number = f"{name}_{number}", number + 1
        seen.add(free.lower())
        unique.append(free)
    return unique
