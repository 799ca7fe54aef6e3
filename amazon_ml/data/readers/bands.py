"""Bands by name: which channels a tile has, where they come from, and how 16-bit values become 8-bit ones.

A tile is an array of uint8 channels from the file to the network, whatever its bands are. Colours come
from the JPG (or PNG) of a tile where there is one, since people made the tags from those; near infrared
comes from its TIF. TIF values are scaled once, by limits that are fixed for a run::

    8-bit value = round(255 * (value - low) / (high - low)), clipped to 0..255

PNGs of 16 bits are scaled in the same way. Pixels that a file masks (its nodata value, NaN, infinity, its mask,
transparency) become 0 in every channel that they lack, and the neutral value of an index.

Indices are computed from the unscaled values of the TIF, in -1..1, and stored as round((index + 1) * 127.5):

* ``ndvi`` = (near infrared - red) / (near infrared + red), vegetation (Rouse et al. 1974);
* ``ndwi`` = (green - near infrared) / (green + near infrared), open water (McFeeters 1996).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.data.config import MAX_PIXELS, RgbSource
from amazon_ml.data.readers.band_names import ALPHA, UNNAMED
from amazon_ml.data.readers.band_order import Bands, agree, both, by_letter, is_named, without_values
from amazon_ml.data.readers.images import TIF_SUFFIXES, Image, Mask, Picture, Raw, masked, read_picture
from amazon_ml.data.readers.tif import Tif, is_mask, open_tif
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json, write_json

COLOURS = ("r", "g", "b")
NEAR_INFRARED = "n"
#: Index to (a, b) of (a - b) / (a + b).
INDICES = {"ndvi": ("n", "r"), "ndwi": ("g", "n")}
#: Least edge of a tile, pixels: less shows nothing that a tag could be about.
LEAST_EDGE = 8
_EMPTY = "all are masked, transparent or no numbers; fetch it again, or leave it out"
#: Rows and columns between pixels that are looked at first.
_STRIDE = 16
#: What an index of masked values, or 0 / 0, is stored as: the index 0.
_NEUTRAL = 128


def parse_bands(named: str) -> tuple[str, ...]:
    """Split names of bands: letters ``r g b n`` and indices, joined by ``+``.

    ``rgb``, ``rgbn``, ``nrg`` and ``rgb+ndvi`` are such names; their order is that of the channels.
    """
    bands: list[str] = []
    for part in named.split("+"):
        bands += [part] if part in INDICES else list(part)
    odd = [band for band in bands if band not in (*COLOURS, NEAR_INFRARED, *INDICES)]
    if odd or "" in named.split("+"):
        raise InputError(
            f"data.bands: {named!r} is not known; join letters of 'rgbn' and {', '.join(INDICES)} with '+', "
            "such as rgb, rgbn, nrg or rgb+ndvi"
        )
    repeated = sorted({band for band in bands if bands.count(band) > 1})
    if repeated:
        raise InputError(f"data.bands: {named!r} names {', '.join(repeated)} more than once")
    return tuple(bands)


def name_bands(bands: Sequence[str]) -> str:
    """Give the name that `parse_bands` splits into these bands."""
    return "".join(f"+{band}+" if band in INDICES else band for band in bands).strip("+").replace("++", "+")


def check_order(order: str | None, limits: Mapping[str, Sequence[float]] | None) -> None:
    """Refuse orders and limits of a TIF's bands that make no sense."""
    named = (order or "").replace(UNNAMED, "")
    if order is not None and (not named or len(set(named)) < len(named)):
        raise InputError(
            f"data.tif_order: {order!r} must name each band of a TIF by another letter, such as bgrn; {UNNAMED} stands "
            "for any that is not used"
        )
    for letter, limit in (limits or {}).items():
        if len(limit) != 2 or not limit[0] < limit[1] or not np.isfinite(limit).all():
            raise InputError(f"data.tif_limits: band {letter} needs two rising, finite values, not {limit}")


def check_max_pixels(most: int) -> None:
    """Refuse a limit of pixels that no file keeps."""
    if most < LEAST_EDGE**2:
        raise InputError(f"data.max_pixels must be at least {LEAST_EDGE**2}, not {most}")


def need_tif(bands: Sequence[str]) -> bool:
    """Whether colours alone are not enough."""
    return not set(bands) <= set(COLOURS)


@dataclass(frozen=True)
class Expected:
    """What the files were that a reader was fitted to; others are refused.

    Parameters
    ----------
    image
        Type of the values of JPGs and PNGs, ``uint8`` or ``uint16``; ``""`` where it is not known.
    tif
        Type of the values of TIFs; ``""`` where it is not known.
    declared
        Letters by which the TIFs name their bands; ``""`` where they do not, and `UNNAMED` for each where
        their descriptions are not understood.
    ranges
        For each band that is scaled, by its letter: lowest value, highest value, and the larger of the
        shares of pixels at or beyond either limit.
    nodata
        Values that stand for "no data" in TIFs that do not declare them.
    """

    image: str = ""
    tif: str = ""
    declared: str = ""
    ranges: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    nodata: tuple[float, ...] = ()


@dataclass(frozen=True)
class TileReader:
    """Reads the bands of a tile; called alike when training, predicting and packing.

    Parameters
    ----------
    bands
        Names, in the order of channels.
    limits
        Lowest and highest value of each TIF band, and of each colour of a 16-bit PNG, by its letter: they
        become 0 and 255. Not needed where values are 8-bit already.
    tif_order
        Letters of the bands in a TIF, as they lie there, without transparency. When not given: as each file
        names them, else ``bgrn`` for four and ``rgb`` for three.
    rgb_source
        Whether red, green and blue come from the ``jpg`` or the ``tif``; kept with the rest, since both
        show a tile differently.
    expected
        What the files must be; whatever they are by default.
    max_pixels
        Pixels of a file at the most.
    """

    bands: tuple[str, ...] = COLOURS
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tif_order: str | None = None
    rgb_source: RgbSource = "jpg"
    expected: Expected = field(default_factory=Expected)
    max_pixels: int = MAX_PIXELS

    def __call__(self, path: str, tif: str = "") -> Image:
        """Read one tile.

        Parameters
        ----------
        path
            The tile's image: a JPG or PNG, or a TIF that holds all bands.
        tif
            The TIF beside a JPG; needed for near infrared only.

        Returns
        -------
        uint8 array of shape (height, width, bands).

        Raises
        ------
        InputError
            For a file that cannot be read, or that is not as `expected`.
        """
        if path.lower().endswith(TIF_SUFFIXES):
            return self._stacked({}, self.read_tif(path), path, path)
        colours = self._colours(path)
        if self.bands == COLOURS:
            return colours
        found = dict(zip(COLOURS, np.moveaxis(colours, -1, 0), strict=True))
        raw = self.read_tif(tif) if tif and need_tif(self.bands) else Bands({}, {})
        return self._stacked(found, raw, path, tif or path)

    def read_tif(self, file: str) -> Bands:
        """Read the bands of a TIF, unscaled, and check that they are as expected."""
        opened = open_tif(Path(file), self.max_pixels)
        _check_edges(file, opened.pixels)
        self._check_type(file, opened.pixels, self.expected.tif)
        self._check_declared(file, opened)
        raw = by_letter(opened, self.tif_order, file, self.expected.nodata)
        used = {letter for band in self.bands for letter in INDICES.get(band, (band,)) if letter in raw.pixels}
        if self.rgb_source == "jpg":
            used -= set(COLOURS) - {letter for band in self.bands for letter in INDICES.get(band, ())}
        if used and not any(_any_valid(raw.valid[letter]) for letter in used):
            raise InputError(f"{file} has no valid pixel: {_EMPTY}")
        # Ranges of red, green and blue are those of 16-bit PNGs where there are any.
        self._check_range(file, raw, used - set(COLOURS) if self.expected.image == "uint16" else used)
        return raw

    def read_colours(self, path: str) -> Picture:
        """Read red, green and blue of a JPG or PNG, unscaled, and check that they are as expected."""
        picture = read_picture(Path(path), self.max_pixels)
        _check_edges(path, picture.pixels)
        self._check_type(path, picture.pixels, self.expected.image)
        if picture.pixels.dtype != np.uint8 and self.expected.nodata:
            shown = without_values(picture.pixels, self.expected.nodata)
            picture = Picture(picture.pixels, both(picture.valid, shown))
        if not _any_valid(picture.valid):
            raise InputError(f"{path} has no valid pixel: {_EMPTY}")
        if picture.pixels.dtype != np.uint8:
            self._check_range(path, split_colours(picture), set(COLOURS))
        return picture

    def _colours(self, path: str) -> Image:
        picture = self.read_colours(path)
        if picture.pixels.dtype == np.uint8:
            return masked(np.asarray(picture.pixels, dtype=np.uint8), picture.valid)
        raw = split_colours(picture).pixels
        return np.stack([self._scaled(band, raw[band], path, picture.valid) for band in COLOURS], axis=-1)

    def _stacked(self, found: dict[str, Image], raw: Bands, path: str, file: str) -> Image:
        for band in self.bands:
            if band not in found:
                found[band] = self._from_tif(band, raw, file)
        channels = [found[band] for band in self.bands]
        if len({channel.shape for channel in channels}) > 1:
            raise InputError(f"{path} and {file} are of different sizes; they are not of one tile")
        return np.stack(channels, axis=-1)

    def _from_tif(self, band: str, raw: Bands, file: str) -> Image:
        missing = [letter for letter in INDICES.get(band, (band,)) if letter not in raw.pixels]
        if missing:
            held = f"holds {', '.join(raw.pixels)}" if raw.pixels else "has no TIF beside it"
            raise InputError(f"{file} {held}, but data.bands asks for {band}; choose others, or set data.tif_order")
        if band in INDICES:
            a, b = INDICES[band]
            index = masked(_index_to_uint8(raw.pixels[a], raw.pixels[b]), raw.valid[a], _NEUTRAL)
            return masked(index, raw.valid[b], _NEUTRAL)
        return self._scaled(band, raw.pixels[band], file, raw.valid[band])

    def _scaled(self, band: str, values: Raw, file: str, valid: Mask | None = None) -> Image:
        if values.dtype == np.uint8:
            return masked(np.array(values, dtype=np.uint8, copy=None if valid is None else True), valid)
        if band not in self.limits:
            raise InputError(f"{file} holds {values.dtype} values, and data.tif_limits has none for band {band}")
        low, high = self.limits[band]
        return masked(_to_uint8((values.astype(np.float32) - low) * np.float32(255 / (high - low))), valid)

    def _check_type(self, file: str, pixels: Raw, expected: str) -> None:
        if expected and pixels.dtype == np.uint16 and file.lower().endswith((".jpg", ".jpeg")):
            raise InputError(f"{file} is no JPG: it holds 16-bit values; give it the ending .png, or convert it")
        if expected and pixels.dtype != expected:
            raise InputError(
                f"{file} holds {pixels.dtype} values, and the tiles that this is made for hold {expected}; "
                "convert it, or leave it out"
            )

    def _check_declared(self, file: str, tif: Tif) -> None:
        """Refuse a file that names its bands otherwise than the order in use, and than those it was fitted to."""
        if self.tif_order is None or not self.expected.tif:
            return
        if tif.unclear and set(self.expected.declared) != {UNNAMED}:
            raise InputError(
                f"{file} describes its bands as {', '.join(tif.unclear)}, which is not understood; the tiles that this "
                f"is made for hold {', '.join(self.tif_order)}; describe them so, or leave it out"
            )
        if not is_named(tif.declared):
            return
        if tif.alpha is not None and is_mask(tif.pixels[..., tif.alpha]) is not True:
            return  # the names are not believed where it holds data, and a band of zeros says nothing
        declared = tif.declared.replace(ALPHA, "")
        if is_named(declared) and declared != self.expected.declared and not agree(declared, self.tif_order):
            raise InputError(
                f"{file} names its bands {', '.join(declared)}, and the tiles that this is made for hold "
                f"{', '.join(self.tif_order)}; put them into that order, or leave it out"
            )

    def _check_range(self, file: str, raw: Bands, letters: set[str]) -> None:
        """Refuse values none of which is one that the training tiles could hold."""
        known = [letter for letter in sorted(letters) if letter in self.expected.ranges]
        outside = []
        for letter in known:
            values, valid = raw.pixels[letter], raw.valid[letter]
            low, high, _ = self.expected.ranges[letter]
            few = _valid_of(values[::_STRIDE, ::_STRIDE], None if valid is None else valid[::_STRIDE, ::_STRIDE])
            if ((few >= low) & (few <= high)).any():
                return  # as nearly every tile does
            seen = _valid_of(values, valid)
            if seen.size and (seen.max() < low or seen.min() > high):
                outside.append(f"{letter} {seen.min():g} to {seen.max():g}, not {low:g} to {high:g}")
        if known and len(outside) == len(known):
            raise InputError(
                f"{file} holds no value in the range of the tiles that this is made for (band {outside[0]}); scale it "
                "as those are, or leave it out"
            )


def split_colours(picture: Picture) -> Bands:
    """Name the channels of a picture."""
    channels = dict(zip(COLOURS, np.moveaxis(picture.pixels, -1, 0), strict=True))
    return Bands(channels, dict.fromkeys(COLOURS, picture.valid))


def read_bands(tif: str, order: str | None = None) -> dict[str, Raw]:
    """Read a TIF's bands by their letters, unscaled, each of shape (height, width)."""
    return by_letter(open_tif(Path(tif)), order, tif).pixels


def write_reader(path: Path, reader: TileReader) -> None:
    """Store how tiles are read, so that they are read alike ever after."""
    write_json(path, asdict(reader))


def read_reader(path: Path) -> TileReader:
    """Read what `write_reader` stored."""
    stored = read_json(path)
    try:
        return reader_from(stored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} does not say how tiles are read: {error!r}") from None


def reader_from(stored: Any) -> TileReader:
    """Make a reader of what ``dataclasses.asdict`` gave, back from JSON; a `ValueError` where that is none."""
    limits = {letter: (float(low), float(high)) for letter, (low, high) in stored["limits"].items()}
    reader = TileReader(
        tuple(stored["bands"]), limits, stored["tif_order"], stored["rgb_source"],
        _expected_from(stored["expected"]) if "expected" in stored else Expected(),
        int(stored.get("max_pixels", MAX_PIXELS)),
    )  # fmt: skip
    try:
        known = parse_bands(name_bands(reader.bands))
        check_order(reader.tif_order, limits)
        check_max_pixels(reader.max_pixels)
    except InputError as error:
        raise ValueError(str(error)) from None
    if known != reader.bands or reader.rgb_source not in ("jpg", "tif"):
        raise ValueError(f"bands {reader.bands} of {reader.rgb_source} files")
    return reader


def _expected_from(stored: Any) -> Expected:
    ranges = {
        letter: (float(low), float(high), float(share)) for letter, (low, high, share) in stored["ranges"].items()
    }
    nodata = tuple(float(value) for value in stored["nodata"])
    return Expected(str(stored["image"]), str(stored["tif"]), str(stored["declared"]), ranges, nodata)


def _valid_of(values: Raw, valid: Mask | None) -> npt.NDArray[Any]:
    return values if valid is None else values[valid]


def _any_valid(valid: Mask | None) -> bool:
    return valid is None or bool(valid.any())


def _check_edges(file: str, pixels: Raw) -> None:
    height, width = pixels.shape[:2]
    if min(height, width) < LEAST_EDGE:
        raise InputError(f"{file} has {width} x {height} pixels; a tile has {LEAST_EDGE} along each edge at the least")


def _index_to_uint8(a: Raw, b: Raw) -> Image:
    first, second = a.astype(np.float32), b.astype(np.float32)
    total = first + second
    index = np.divide(first - second, total, out=np.zeros_like(total), where=total != 0)
    return _to_uint8((index + 1) * np.float32(127.5))


def _to_uint8(values: npt.NDArray[np.float32]) -> Image:
    levels = np.clip(np.rint(values), 0, 255)
    levels[np.isnan(levels)] = 0  # np.nan_to_num takes twice as long: it looks for infinities, which are clipped
    return levels.astype(np.uint8)
