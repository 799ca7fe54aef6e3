"""Spectral indices by name: one number for each pixel from the unscaled values of a few bands.

The stored value is ``round((index + 1) * 127.5)`` of the index, clipped to -1..1. Division by 0 counts as 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amazon_ml.data.config import LevelType
from amazon_ml.data.readers.images import Image, Raw
from amazon_ml.data.readers.scaling import HIGHEST, to_levels
from amazon_ml.errors import InputError

Floats = npt.NDArray[np.float32]

#: Stored value of an index of masked values, or of 0 / 0: the index 0.
NEUTRAL = 128


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(below), where=below != 0)


def _difference(a: Floats, b: Floats) -> Floats:
    return _ratio(a - b, a + b)


def _bsi(swir1: Floats, red: Floats, nir: Floats, blue: Floats) -> Floats:
    return _difference(swir1 + red, nir + blue)


def _evi(nir: Floats, red: Floats, blue: Floats) -> Floats:
    return np.float32(2.5) * _ratio(nir - red, nir + 6 * red - np.float32(7.5) * blue + 1)


def _evi2(nir: Floats, red: Floats) -> Floats:
    return np.float32(2.5) * _ratio(nir - red, nir + np.float32(2.4) * red + 1)


def _savi(nir: Floats, red: Floats) -> Floats:
    return np.float32(1.5) * _ratio(nir - red, nir + red + np.float32(0.5))


@dataclass(frozen=True)
class Index:
    """A spectral index.

    Parameters
    ----------
    bands
        Common names of the bands, in the order of the arguments of `formula`.
    source
        Who introduced it.
    formula
        Computes it from float32 arrays; by default (a - b) / (a + b).
    reflectance
        Whether it needs reflectance in 0..1, since it has constants; a ratio of two sums does not depend on the scale.
    """

    bands: tuple[str, ...]
    source: str
    formula: Callable[..., Floats] = _difference
    reflectance: bool = False


#: All indices; docs/data.md has the same table.
INDICES: Mapping[str, Index] = {
    "ndvi": Index(("nir", "red"), "Rouse et al. 1974"),
    "gndvi": Index(("nir", "green"), "Gitelson et al. 1996"),
    "ndre": Index(("nir", "rededge1"), "Gitelson and Merzlyak 1994"),
    "ndwi": Index(("green", "nir"), "McFeeters 1996"),
    "mndwi": Index(("green", "swir1"), "Xu 2006"),
    "ndmi": Index(("nir", "swir1"), "Wilson and Sader 2002"),
    "nbr": Index(("nir", "swir2"), "Key and Benson 2006"),
    "ndbi": Index(("swir1", "nir"), "Zha et al. 2003"),
    "ndsi": Index(("green", "swir1"), "Hall et al. 1995"),
    "bsi": Index(("swir1", "red", "nir", "blue"), "Rikimaru et al. 2002", _bsi),
    "evi": Index(("nir", "red", "blue"), "Huete et al. 2002", _evi, reflectance=True),
    "evi2": Index(("nir", "red"), "Jiang et al. 2008", _evi2, reflectance=True),
    "savi": Index(("nir", "red"), "Huete 1988", _savi, reflectance=True),
}


def check_reflectance(named: str, reflectance: float | None) -> None:
    """Check that the value of reflectance 1 is known if an index needs it."""
    if named in INDICES and INDICES[named].reflectance and reflectance is None:
        raise InputError(
            f"{named} has constants for reflectance in 0..1, and the values of the files are not known to be that",
            option="data.reflectance", remedy="set `data.reflectance` to the value that means 1, such as 10000",
        )  # fmt: skip


def compute_index(named: str, values: list[Raw], reflectance: float | None = None, dtype: LevelType = "uint8") -> Image:
    """Compute an index from unscaled values.

    Parameters
    ----------
    named
        Its name in `INDICES`.
    values
        Its bands, in the order of `Index.bands`.
    reflectance
        The value that means a reflectance of 1.
    dtype
        Type of the levels; -1 is level 0, and 1 the highest level.

    Returns
    -------
    Levels of the shape of the bands.
    """
    index = INDICES[named]
    inputs = [band.astype(np.float32) for band in values]
    if index.reflectance:
        check_reflectance(named, reflectance)
        inputs = [band * np.float32(1 / (reflectance or 1)) for band in inputs]
    with np.errstate(invalid="ignore", over="ignore"):  # masked pixels may hold NaN or infinity
        return to_levels((index.formula(*inputs) + 1) * np.float32(HIGHEST[dtype] / 2), dtype)
