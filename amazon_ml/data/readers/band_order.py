"""Names the bands of a TIF: by a given order, by the names in the file, or by their number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amazon_ml.data.readers.band_names import ALPHA, UNNAMED
from amazon_ml.data.readers.images import Mask, Raw
from amazon_ml.data.readers.tif import Tif, is_mask
from amazon_ml.errors import InputError

#: Letters of known bands; other letters name bands that are not used.
_KNOWN = "rgbn"
#: Default order of the bands in a TIF, by their number; the four bands of the competition begin with blue.
_ORDERS = {3: "rgb", 4: "bgrn"}
#: Folders of the competition's TIFs, such as train-tif-v2, begin with these words.
_FOLDERS = ("train-tif", "test-tif")


class Bands(NamedTuple):
    """Bands of a file by their letters, unscaled: each of shape (height, width).

    Parameters
    ----------
    pixels
        Values in the type of the file.
    valid
        Whether each value is valid; None where all are.
    scales
        Scale and offset that the file declares for bands, which are not applied.
    """

    pixels: dict[str, Raw]
    valid: dict[str, Mask | None]
    scales: Mapping[str, tuple[float, float]] = {}


def by_letter(tif: Tif, order: str | None, file: str, nodata: Sequence[float] = ()) -> Bands:
    """Name the bands of a TIF, and mask transparent pixels and those of undeclared nodata values.

    Parameters
    ----------
    tif
        The bands.
    order
        Their letters, with or without one for a band of transparency. If None: the names in the file, else ``rgb`` for
        three bands and ``bgrn`` for four.
    file
        Path of the file, for messages.
    nodata
        Values that mean "no data" where a pixel has them in all bands.
    """
    letters, alpha = _letters(tif, order, file)
    at = {letter: i for i, letter in enumerate(letters) if i != alpha and letter != UNNAMED}
    shown = None if alpha is None else tif.pixels[..., alpha] != 0
    if nodata:
        shown = both(shown, without_values(tif.pixels[..., list(at.values())], nodata))
    valid = {letter: both(None if tif.valid is None else tif.valid[..., i], shown) for letter, i in at.items()}
    scales = {letter: tif.scales[i] for letter, i in at.items()} if tif.scales else {}
    return Bands({letter: tif.pixels[..., i] for letter, i in at.items()}, valid, scales)


def find_order(tif: Tif, file: str) -> str:
    """Name the bands of a TIF without its transparency: by the names in the file, else by their number."""
    declared = without_alpha(tif)
    named = [letter for letter in declared if letter != UNNAMED]
    if tif.unclear:
        raise InputError(
            f"the file describes its bands as {', '.join(tif.unclear)}, which does not show red, green, "
            "blue or near infrared",
            file=file, option="data.tif_order", remedy="name them with `data.tif_order`, such as rgbn",
        )  # fmt: skip
    if len(set(named)) < len(named):
        raise InputError(f"the file gives two bands one name ({', '.join(declared)})", file=file,
                         option="data.tif_order", remedy="name them with `data.tif_order`")  # fmt: skip
    if hides_data(tif) and tif.pixels.dtype != np.uint16:
        raise InputError(
            f"the file names its bands {', '.join(tif.declared)}, but the transparency ({ALPHA}) holds data, so that "
            "the other names may be wrong, too", file=file, option="data.tif_order",
            remedy="name them with `data.tif_order`: rgbn, or bgrn for the order of the competition",
        )  # fmt: skip
    order = declared if named else _ORDERS.get(len(declared))
    if order is None and len(declared) == 1:
        raise InputError(
            f"the file has 1 band{' beside its transparency' if tif.alpha is not None else ''}", file=file,
            option="data.tif_order", remedy="repeat it with gdal_translate -b 1 -b 1 -b 1, or train on it alone with "
            "`data.tif_order` r `data.bands` r",
        )  # fmt: skip
    if order is None:
        raise InputError(f"the file has {_count(len(declared))}", file=file, option="data.tif_order",
                         remedy="name them with `data.tif_order`, such as bgrn")  # fmt: skip
    return order


def _count(bands: int) -> str:
    return f"{bands} band{'s' * (bands != 1)}"


def without_alpha(tif: Tif) -> str:
    """Return the letters of the names in the file, without the band of transparency.

    If the band that is named transparency holds data, as in the competition's files, all names are ignored.
    """
    if tif.alpha is None:
        return tif.declared
    if hides_data(tif):
        return UNNAMED * len(tif.declared)
    return tif.declared[: tif.alpha] + tif.declared[tif.alpha + 1 :]


def hides_data(tif: Tif) -> bool:
    """Whether the band that the file names transparency holds data.

    Programs call the fourth of four 8-bit bands transparency, whatever it is. The competition's files are of 16 bits.
    """
    return tif.alpha is not None and is_mask(tif.pixels[..., tif.alpha]) is False


def is_of_competition(tif: Tif, file: str) -> bool:
    """Whether a TIF lies in a folder of the competition and has its four bands, whose order is known."""
    folders = (part.lower() for part in Path(file).parts[:-1])
    ours = tif.pixels.dtype == np.uint16 and tif.pixels.shape[-1] == 4
    return ours and any(folder.startswith(_FOLDERS) for folder in folders)


def _letters(tif: Tif, order: str | None, file: str) -> tuple[str, int | None]:
    """Return a letter for each band, and the position of transparency."""
    order = order or find_order(tif, file)
    count, alpha = tif.pixels.shape[-1], tif.alpha
    if alpha is not None and not (len(order) == count and order[alpha] in _KNOWN):
        alpha = alpha if is_mask(tif.pixels[..., alpha]) is not False else None
        if alpha is not None and len(order) == count - 1:
            order = order[:alpha] + UNNAMED + order[alpha:]
    else:
        alpha = None
    if len(order) != count:
        problem = f"the file has {_count(count)}, but `data.tif_order` names {len(order)} ({order})"
        raise InputError(problem, file=file, option="data.tif_order")
    return order, alpha


def is_named(letters: str) -> bool:
    """Whether any letter stands for a colour or near infrared."""
    return any(letter in _KNOWN for letter in letters)


def agree(declared: str, order: str) -> bool:
    """Whether every band with a name in the file has the same name in the order."""
    pairs = zip(declared, order, strict=False)
    return len(declared) == len(order) and all(own == other for own, other in pairs if is_named(own))


def without_values(pixels: Raw, nodata: Sequence[float]) -> Mask:
    """Mark the pixels that do not have one of these values in all bands: shape (height, width)."""
    return np.asarray(np.logical_and.reduce([(pixels != value).any(axis=-1) for value in nodata]), dtype=bool)


def both(first: Mask | None, second: Mask | None) -> Mask | None:
    """Combine two masks, each of which may be None."""
    if first is None or second is None:
        return second if first is None else first
    return first & second
