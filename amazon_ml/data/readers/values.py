"""Finds values that make tiles useless without an error: outliers that mean "no data", and constant bands."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Values below the first and above the second of these percentiles of a band are clipped.
PERCENTILES = (1.0, 99.0)
#: Limits squeeze values if at least this share of the pixels falls on fewer than this number of 256 levels.
_SQUEEZED, _LEVELS = 0.99, 8
#: Least distance of a lone value from its neighbour, as a multiple of the spread of the others.
_FAR, _FAR_AND_KNOWN = 1.0, 0.25
#: Values that programs and sensors write for "no data", beside the least and the largest of a type.
_KNOWN = (0.0, 255.0, 9999.0, 32767.0, 65535.0, -1.0, -999.0, -9999.0, -32767.0, -32768.0, -99999.0, 1e20, 1e38)
#: Least number of different other values; fewer may be classes.
_VALUES = 16
#: Limits are stretched if they are more than this many times as far apart as without the value.
_STRETCHED = 1.25
#: Largest number of lone values on either side: a file may have several.
_MOST_ALONE = 4


@dataclass(frozen=True)
class Alone:
    """A value that stands alone at an end of the values of a band.

    Parameters
    ----------
    value, share
        The value, and the share of the pixels that have it.
    stretches
        Whether the limits of the band depend on such values.
    """

    value: float
    share: float
    stretches: bool


def values_alone(values: Floats) -> list[Alone]:
    """Find values that are repeated exactly and lie far away from all others, as those that mean "no data".

    Parameters
    ----------
    values
        Values of one band, in any order.

    Returns
    -------
    The values, the most frequent first; empty where there are none.
    """
    found: list[tuple[float, float]] = []
    rest, counts = np.unique(values, return_counts=True)
    for _ in range(2 * _MOST_ALONE):
        at = next((end for end in (-1, 0) if _is_alone(rest, counts, end)), None)
        if at is None:
            break
        found.append((float(rest[at]), float(counts[at]) / len(values)))
        rest, counts = (rest[:-1], counts[:-1]) if at else (rest[1:], counts[1:])
    if not found:
        return []
    low, high = np.percentile(values, PERCENTILES)
    inner_low, inner_high = np.percentile(np.repeat(rest, counts), PERCENTILES)
    stretched = bool(high - low > _STRETCHED * (inner_high - inner_low))
    return [Alone(value, share, stretched) for value, share in sorted(found, key=lambda one: -one[1])]


def _is_alone(values: Floats, counts: npt.NDArray[np.intp], end: int) -> bool:
    """Whether the value at an end (-1, 0) of sorted values stands alone."""
    if len(values) <= _VALUES or counts[end] < 2:
        return False
    rest, weights = (values[:-1], counts[:-1]) if end else (values[1:], counts[1:])
    # These percentiles are robust if a second such value is among the others.
    low, high = np.quantile(np.repeat(rest, weights), (0.05, 0.95))
    value = float(values[end])
    gap = abs(value - float(rest[end]))
    known = value in _KNOWN or abs(value) > 1e30
    return bool(gap > (_FAR_AND_KNOWN if known else _FAR) * (high - low))


def squeezed(letter: str, values: Floats, low: float, high: float) -> str:
    """Describe limits that leave nearly all pixels on a few of 256 levels, though there are many values; else ""."""
    levels = np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255).astype(np.int64)
    counts = np.sort(np.bincount(levels, minlength=256))[::-1]
    few = counts[: _LEVELS - 1].sum() >= _SQUEEZED * len(values)
    if not few or len(np.unique(values)) < 4 * _LEVELS:
        return ""
    share = 100 * counts[: _LEVELS - 1].sum() / len(values)
    return f"band {letter}: limits {low:g} to {high:g} leave {share:.1f} % of the pixels on {_LEVELS - 1} of 256 levels"


def empty_bands(tiles: Iterable[npt.NDArray[Any]], bands: tuple[str, ...]) -> tuple[dict[str, int], bool, int]:
    """Find bands that show nothing: one value in all tiles, or only the values 0 and 1.

    Parameters
    ----------
    tiles
        Input of a network: uint8 arrays of shape (height, width, bands). The search stops when the answer is known,
        mostly after one tile.
    bands
        Names of the bands.

    Returns
    -------
    The value of each band with only one value; whether no tile has a value above 1; number of tiles used.
    """
    least = np.full(len(bands), 255)
    most = np.zeros(len(bands), dtype=np.int64)
    taken = 0
    for taken, tile in enumerate(tiles, 1):  # noqa: B007 (counts)
        least = np.minimum(least, tile.min(axis=(0, 1)))
        most = np.maximum(most, tile.max(axis=(0, 1)))
        if (least < most).all() and most.max(initial=0) > 1:
            break
    constant = {band: int(most[i]) for i, band in enumerate(bands) if taken and least[i] == most[i]}
    return constant, bool(taken and most.max(initial=0) <= 1), taken
