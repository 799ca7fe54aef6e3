"""Scales values of any type to the levels of a tile, of 8 or 16 bits."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.data.config import LevelType
from amazon_ml.data.readers.images import Image, Raw

#: The highest level of each type. A level of 8 bits is 257 times as large in 16 bits: 0 and 255 become 0 and 65,535.
HIGHEST: dict[LevelType, int] = {"uint8": 255, "uint16": 65_535}
STEPS = 257
#: The least and the largest value of each type of 16 bits: as limits, they keep the values.
FULL_RANGES = {"uint16": (0.0, 65_535.0), "int16": (-32_768.0, 32_767.0)}


def scale_levels(values: Raw, low: float, high: float, dtype: LevelType = "uint8") -> Image:
    """Scale values so that two limits become the lowest and the highest level; others beyond them, too."""
    if values.dtype == np.uint16:
        return np.take(_table(low, high, dtype), np.asarray(values, dtype=np.uint16))
    return _scaled(values, low, high, dtype)


def to_levels(values: npt.NDArray[np.float32], dtype: LevelType = "uint8") -> Image:
    """Round to levels; values that are no numbers become 0."""
    levels: npt.NDArray[Any] = np.clip(np.rint(values), 0, HIGHEST[dtype])
    levels[np.isnan(levels)] = 0  # np.nan_to_num takes twice as long: it also replaces infinities
    return levels.astype(dtype)


def widened(image: Image, dtype: LevelType) -> Image:
    """Give levels of 8 bits in another type; they are not copied where they have it."""
    return image if dtype == "uint8" else image.astype(np.uint16) * np.uint16(STEPS)


def narrowed(image: Image) -> Image:
    """Give the levels of 8 bits that are nearest, as pictures show them."""
    return image if image.dtype == np.uint8 else np.rint(image / np.float32(STEPS)).astype(np.uint8)


def _scaled(values: Raw, low: float, high: float, dtype: LevelType) -> Image:
    return to_levels((values.astype(np.float32) - low) * np.float32(HIGHEST[dtype] / (high - low)), dtype)


@lru_cache(256)
def _table(low: float, high: float, dtype: LevelType) -> Image:
    """Scale each value of 16 bits: to look a value up takes a fraction of the time of its arithmetic."""
    return _scaled(np.arange(2**16, dtype=np.uint16), low, high, dtype)
