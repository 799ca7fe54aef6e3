"""Reads the bands of a TIF: unscaled values, their validity, and the names of the bands in the file."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.band_names import ALPHA, UNNAMED, join_colours
from amazon_ml.data.readers.headers import check_pixels
from amazon_ml.data.readers.images import Mask, Picture, Raw, check_file
from amazon_ml.data.readers.plain_tif import PlainTif, read_plain
from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import read_regular

Scalar = TypeVar("Scalar", bound=np.generic)

#: Scale and offset of a band that declares none.
UNSCALED = (1.0, 0.0)
_INTERPRETED = {"red": "r", "green": "g", "blue": "b", "nir": "n", "alpha": ALPHA}
#: Colour interpretations whose values are not the brightness of a band.
_FOREIGN = {"palette", "hue", "saturation", "lightness", "cyan", "magenta", "yellow", "black", "Y", "Cb", "Cr"}
#: Values that may mean "no data" in files that declare none, beside the least and the largest of their type.
_NODATA = (0, 255, 65535, -9999, -32768)
#: Largest number of bands of a file; sensors have a few hundred.
_MOST_BANDS = 1000
#: Least share of the border with such a value for it to mean "no data".
_BORDER = 0.5


class Tif(NamedTuple):
    """Bands of a TIF, in the order of the file.

    Parameters
    ----------
    pixels
        Values in the type of the file, shape (height, width, bands).
    valid
        Whether each value is valid: no nodata value, not masked, finite; None where all are. A band of transparency is
        ignored here, since some files give this name to a band with data.
    declared
        A letter for the name of each band in the file: r, g, b, n, `ALPHA` or `UNNAMED`.
    unclear
        Descriptions of the bands, where they hold names and none of these is known.
    descriptions
        The description of each band, ``""`` where there is none; empty for other files than TIFs.
    scales
        Scale and offset that the file declares for each band, which are not applied; empty where it declares none.
    """

    pixels: Raw
    valid: Mask | None
    declared: str
    unclear: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    scales: tuple[tuple[float, float], ...] = ()

    @property
    def alpha(self) -> int | None:
        """Position of the band that the file names transparency."""
        return self.declared.index(ALPHA) if ALPHA in self.declared else None


def read_tif(path: Path) -> Raw:
    """Read all bands of a TIF, unscaled, masked pixels included.

    Returns
    -------
    Array in the type of the file, shape (height, width, bands), bands in the order of the file.

    Raises
    ------
    InputError
        As `open_tif`.
    """
    return open_tif(path).pixels


def open_tif(path: Path, max_pixels: int = MAX_PIXELS) -> Tif:
    """Read all bands of a TIF, with masks and names.

    The TIFs of the competition hold 12-bit values in uint16. Their header names the four bands red, green, blue and
    alpha, but they are blue, green, red and near infrared.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged or no TIF; holds complex numbers, palette indices, inks or values of
        fewer than 8 bits; or is larger than `max_pixels`, where four bands count as one.
    """
    check_file(path, 4 * max_pixels)
    plain = _plain(path, max_pixels)
    if plain is not None:
        values = plain.pixels
        texts = tuple((text or "").strip() for text in plain.descriptions)
        return Tif(values, valid_values(values), *_declared(plain.descriptions, plain.colours), texts)
    import rasterio  # slow to import, and needed only for such TIFs

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as file:
                check_pixels(path, file.width, file.height * max(1, -(-file.count // 4)), max_pixels)
                if file.count > _MOST_BANDS:  # GDAL takes a millisecond for each, however small
                    problem = f"the header declares {file.count:,} bands, more than {_MOST_BANDS:,}"
                    raise InputError(problem, file=path, remedy="download it again")
                interpreted = [one.name for one in file.colorinterp]
                _check_meaning(path, file, interpreted)
                bands = file.read()
                _check_bits(path, file, bands)
                descriptions = file.descriptions
                scales = tuple(zip(map(float, file.scales), map(float, file.offsets), strict=True))
                masks = [file.read_masks(band + 1) for band in _masked_bands(file)] or None
    except (rasterio.errors.RasterioError, UnicodeDecodeError) as error:
        problem = f"this is not a TIF that can be read ({error})"
        raise InputError(problem, file=path, remedy="download it again") from None
    values = np.ascontiguousarray(np.moveaxis(bands, 0, -1))
    texts = tuple((text or "").strip() for text in descriptions)
    scales = () if set(scales) == {UNSCALED} else scales
    return Tif(values, valid_values(values, masks), *_declared(descriptions, interpreted), texts, scales)


def _plain(path: Path, max_pixels: int) -> PlainTif | None:
    """Decode a file that is plain and not too large; None for all others, also where it cannot be read."""
    try:
        plain = read_plain(path, read_regular(path), 4 * max_pixels)
    except (OSError, InputError):
        return None
    if plain is None:
        return None
    height, width, bands = plain.pixels.shape
    return plain if bands <= _MOST_BANDS and height * width * -(-bands // 4) <= max_pixels else None


def as_tif(picture: Picture) -> Tif:
    """Convert an image to the bands of a TIF: red, green and blue."""
    valid = None if picture.valid is None else np.broadcast_to(picture.valid[..., None], picture.pixels.shape)
    return Tif(picture.pixels, valid, "rgb")


def is_mask(band: Raw) -> bool | None:
    """Whether a band with the name transparency is one: half of it or more is wholly clear or wholly opaque.

    Returns
    -------
    True or False; None for a band of zeros, which may be either.
    """
    drawn = band[:: 1 + band.shape[0] // 64, :: 1 + band.shape[1] // 64]
    if not drawn.any() and not band.any():
        return None
    return opaque_value(drawn) is not None


def opaque_value(drawn: Raw) -> float | None:
    """Find the value of wholly opaque pixels: 255, the largest of the type, or 1 in floats.

    Parameters
    ----------
    drawn
        Values of a band with the name transparency.

    Returns
    -------
    float or None
        The value; None where fewer than half of the pixels are wholly clear or have it, so that the band holds data.
    """
    clear = drawn == 0
    for top in sorted({255.0, 1.0 if drawn.dtype.kind == "f" else _bounds(drawn)[1]}, reverse=True):
        opaque = drawn == top
        if opaque.any() and float((clear | opaque).mean()) >= 0.5:
            return top
    return None


def undeclared_nodata(tif: Tif, bands: list[int]) -> float | None:
    """Find a value that half of the border has in all these bands, and that usually means "no data".

    Returns
    -------
    The value; None where there is none, or where the file declares masked pixels.
    """
    if tif.valid is not None or not bands:
        return None
    border = _border(tif.pixels[..., bands])
    low, high = _bounds(border)
    valid = True if tif.valid is None else _border(tif.valid[..., bands])
    for value in dict.fromkeys((*_NODATA, low, high)):
        if low <= value <= high and ((border == value) & valid).all(axis=1).mean() >= _BORDER:
            return float(value)
    return None


def _bounds(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the least and the largest value of a type."""
    about: Any = np.finfo(values.dtype) if values.dtype.kind == "f" else np.iinfo(values.dtype)
    return float(about.min), float(about.max)


def _border(pixels: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _check_meaning(path: Path, file: Any, interpreted: list[str]) -> None:
    """Check that the values are brightness by the header."""
    if file.dtypes[0].startswith("complex"):
        problem = f"the file holds complex numbers ({file.dtypes[0]})"
        raise InputError(problem, file=path, remedy="store amplitudes, or exclude it")
    foreign = [name for name in interpreted if name in _FOREIGN]
    if foreign:
        problem = f"the file holds {foreign[0]} values, not bands"
        raise InputError(problem, file=path, remedy="expand it to RGB, as gdal_translate -expand does")
    if file.count == 1 and "MINISWHITE" in file.tags(ns="IMAGE_STRUCTURE"):
        problem = "the file stores white as 0 (MINISWHITE)"
        raise InputError(problem, file=path, remedy="convert it to MINISBLACK")


def _check_bits(path: Path, file: Any, values: Raw) -> None:
    """Check that values have at least 8 bits: others would look nearly black."""
    if values.dtype == np.uint8 and int(values.max(initial=0)) < 128:
        bits = int(file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
        if bits < 8:
            problem = f"the file holds values of {bits} bits"
            raise InputError(problem, file=path, remedy="scale them to 8 with gdal_translate -ot Byte -scale")


def _masked_bands(file: Any) -> Iterator[int]:
    """Yield the bands whose masks are read: all if each has its own, one if they share one, else none."""
    from rasterio.enums import MaskFlags

    flags = file.mask_flag_enums
    if any(MaskFlags.nodata in each for each in flags):
        yield from range(file.count)
    elif MaskFlags.per_dataset in flags[0] and MaskFlags.alpha not in flags[0]:
        yield 0


def valid_values(values: Raw, masks: list[Any] | None = None) -> Mask | None:
    """Mark the values that are finite and not masked; None where all are."""
    valid = np.ones(values.shape, dtype=bool) if masks is not None or values.dtype.kind == "f" else None
    if valid is None:
        return None
    if masks is not None:
        valid &= np.stack(masks, axis=-1) != 0
    if values.dtype.kind == "f":
        valid &= np.isfinite(values)
    return None if valid.all() else valid


def _declared(descriptions: tuple[str | None, ...], interpreted: list[str]) -> tuple[str, tuple[str, ...]]:
    """Name each band by its description, or by its colour interpretation if no description has a name."""
    return join_colours(descriptions, [_INTERPRETED.get(name, UNNAMED) for name in interpreted])
