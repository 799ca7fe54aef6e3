"""One TIF to its bands: values as they are, which of them are valid, and what the file calls each band."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.band_names import ALPHA, UNNAMED, letters_of
from amazon_ml.data.readers.headers import check_pixels
from amazon_ml.data.readers.images import Mask, Picture, Raw, check_file
from amazon_ml.errors import InputError

Scalar = TypeVar("Scalar", bound=np.generic)

_INTERPRETED = {"red": "r", "green": "g", "blue": "b", "nir": "n", "alpha": ALPHA}
#: Colour interpretations whose values are no brightness of a band.
_FOREIGN = {"palette", "hue", "saturation", "lightness", "cyan", "magenta", "yellow", "black", "Y", "Cb", "Cr"}
#: Values that stand for "no data" in files that declare none, beside the least and the largest of their type.
_NODATA = (0, 255, 65535, -9999, -32768)
#: Bands of a file at the most; sensors have a few hundred.
_MOST_BANDS = 1000
#: Share of a file's border from which on such a value is taken for what it is.
_BORDER = 0.5


class Tif(NamedTuple):
    """Bands of a TIF, as they lie in the file.

    Parameters
    ----------
    pixels
        Of the file's own type, shape (height, width, bands).
    valid
        Whether each value is one: no nodata value, not masked, finite; None where all are. A band of
        transparency is not looked at here, since some files call one so that is none.
    declared
        A letter for each band, as the file names it: r, g, b, n, `ALPHA` or `UNNAMED`.
    unclear
        Descriptions of bands, where none of them is understood though they say something.
    """

    pixels: Raw
    valid: Mask | None
    declared: str
    unclear: tuple[str, ...] = ()

    @property
    def alpha(self) -> int | None:
        """Position of the band that the file calls transparency."""
        return self.declared.index(ALPHA) if ALPHA in self.declared else None


def read_tif(path: Path) -> Raw:
    """Read all bands of a TIF, unscaled, whatever is masked.

    Returns
    -------
    Array of the file's own type, shape (height, width, bands), bands as they lie in the file.

    Raises
    ------
    InputError
        As `open_tif`.
    """
    return open_tif(path).pixels


def open_tif(path: Path, max_pixels: int = MAX_PIXELS) -> Tif:
    """Read all bands of a TIF, with masks and names.

    The competition's hold 12-bit values in uint16, and their header calls the four bands red,
    green, blue and alpha; they are blue, green, red and near infrared.

    Raises
    ------
    InputError
        For a file that is missing, empty, damaged or no TIF; of complex numbers, palette indices, inks
        or fewer than 8 bits; or larger than `max_pixels`, where four bands count as one.
    """
    import rasterio  # only those who have TIFs wait for it

    check_file(path, 4 * max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as file:
                check_pixels(path, file.width, file.height * max(1, -(-file.count // 4)), max_pixels)
                if file.count > _MOST_BANDS:  # GDAL takes a millisecond for each, however small
                    raise InputError(
                        f"{path} announces {file.count:,} bands, more than {_MOST_BANDS:,}; fetch it again"
                    )
                interpreted = [one.name for one in file.colorinterp]
                _check_meaning(path, file, interpreted)
                bands = file.read()
                _check_bits(path, file, bands)
                descriptions = file.descriptions
                masks = [file.read_masks(band + 1) for band in _masked_bands(file)] or None
    except (rasterio.errors.RasterioError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a TIF that can be read ({error}); fetch it again") from None
    values = np.ascontiguousarray(np.moveaxis(bands, 0, -1))
    return Tif(values, _valid(values, masks), *_declared(descriptions, interpreted))


def as_tif(picture: Picture) -> Tif:
    """Take an image for a TIF of red, green and blue."""
    valid = None if picture.valid is None else np.broadcast_to(picture.valid[..., None], picture.pixels.shape)
    return Tif(picture.pixels, valid, "rgb")


def is_mask(band: Raw) -> bool | None:
    """Whether a band called transparency is some: half of it or more is wholly clear or wholly opaque.

    Returns
    -------
    None for a band of zeros, which may be either.
    """
    drawn = band[:: 1 + band.shape[0] // 64, :: 1 + band.shape[1] // 64]
    tops = {255.0, 1.0 if band.dtype.kind == "f" else _bounds(band)[1]}
    clear = drawn == 0
    if clear.all() and not band.any():
        return None
    opaque = [drawn == top for top in tops]
    return any(bool(each.any()) and float((clear | each).mean()) >= 0.5 for each in opaque)


def undeclared_nodata(tif: Tif, bands: list[int]) -> float | None:
    """Find the value that half of the border has in all these bands and that looks like "no data".

    Returns
    -------
    The value; None where there is none, or where the file declares masked pixels itself.
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
    """Least and largest value of a type."""
    about: Any = np.finfo(values.dtype) if values.dtype.kind == "f" else np.iinfo(values.dtype)
    return float(about.min), float(about.max)


def _border(pixels: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _check_meaning(path: Path, file: Any, interpreted: list[str]) -> None:
    """Refuse values that are no brightness, by what the header says."""
    if file.dtypes[0].startswith("complex"):
        raise InputError(f"{path} holds complex numbers ({file.dtypes[0]}); store amplitudes, or leave it out")
    foreign = [name for name in interpreted if name in _FOREIGN]
    if foreign:
        raise InputError(
            f"{path} holds {foreign[0]} values, not bands; expand it to RGB, as gdal_translate -expand does"
        )
    if file.count == 1 and "MINISWHITE" in file.tags(ns="IMAGE_STRUCTURE"):
        raise InputError(f"{path} stores white as 0 (MINISWHITE); convert it to MINISBLACK")


def _check_bits(path: Path, file: Any, values: Raw) -> None:
    """Refuse values of fewer than 8 bits: they would be taken for nearly black."""
    if values.dtype == np.uint8 and int(values.max(initial=0)) < 128:
        bits = int(file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
        if bits < 8:
            raise InputError(f"{path} holds values of {bits} bits; scale them to 8 with gdal_translate -ot Byte -scale")


def _masked_bands(file: Any) -> Iterator[int]:
    """Give the bands to ask for their masks: all where each has its own, one where they share one, or none."""
    from rasterio.enums import MaskFlags

    flags = file.mask_flag_enums
    if any(MaskFlags.nodata in each for each in flags):
        yield from range(file.count)
    elif MaskFlags.per_dataset in flags[0] and MaskFlags.alpha not in flags[0]:
        yield 0


def _valid(values: Raw, masks: list[Any] | None) -> Mask | None:
    valid = np.ones(values.shape, dtype=bool) if masks is not None or values.dtype.kind == "f" else None
    if valid is None:
        return None
    if masks is not None:
        valid &= np.stack(masks, axis=-1) != 0
    if values.dtype.kind == "f":
        valid &= np.isfinite(values)
    return None if valid.all() else valid


def _declared(descriptions: tuple[str | None, ...], interpreted: list[str]) -> tuple[str, tuple[str, ...]]:
    """Name each band by its description; by its colour interpretation where no description says anything."""
    described, unclear = letters_of(descriptions)
    colours = [_INTERPRETED.get(name, UNNAMED) for name in interpreted]
    if unclear or any(letter in "rgbn" for letter in described):
        pairs = zip(described, colours, strict=True)
        letters = "".join(other if own == UNNAMED and other == ALPHA else own for own, other in pairs)
        return letters, () if any(letter in "rgbn" for letter in letters) else unclear
    return "".join(colours), ()
