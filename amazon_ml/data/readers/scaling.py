"""Scales values of any type to the 8-bit values of a tile."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.images import Image, Raw


def scale_to_uint8(values: Raw, low: float, high: float) -> Image:
    """Scale values so that two limits become 0 and 255; others beyond them, too."""
    if values.dtype == np.uint16:
        return np.take(_table(low, high), np.asarray(values, dtype=np.uint16))
    return _scaled(values, low, high)


def to_uint8(values: npt.NDArray[np.float32]) -> Image:
    """Round to 0..255; values that are no numbers become 0."""
    levels: npt.NDArray[Any] = np.clip(np.rint(values), 0, 255)
    levels[np.isnan(levels)] = 0  # np.nan_to_num takes twice as long: it also replaces infinities
    return levels.astype(np.uint8)


def _scaled(values: Raw, low: float, high: float) -> Image:
    return to_uint8((values.astype(np.float32) - low) * np.float32(255 / (high - low)))


@lru_cache(256)
def _table(low: float, high: float) -> Image:
    """Scale each value of 16 bits: to look a value up takes a fraction of the time of its arithmetic."""
    return _scaled(np.arange(2**16, dtype=np.uint16), low, high)
