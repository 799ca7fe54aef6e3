"""Reads the bands of a tile by name, and scales their values to levels of 8 or 16 bits.

A tile is an array of channels from the file to the network, whatever its bands are: uint8 or uint16, as `data.dtype`
says. Red, green and blue come from the JPG (or PNG) of a tile where there is one, since people made the tags from
those; near infrared comes from its TIF. TIF values are scaled by limits that are fixed for a run::

    level = round(highest * (value - low) / (high - low)), clipped to 0..highest

where the highest level is 255 or 65,535. PNGs of 16 bits are scaled in the same way. Values of 8 bits are levels
already, and 257 times as large in 16 bits. Masked pixels (nodata value, NaN, infinity, mask, transparency) become 0 in
each channel where they are masked, and the neutral value of an index.

Indices are computed from the unscaled values of the TIF (`amazon_ml.data.readers.indices`).

Bands are letters (``rgbn``), or names that the files or the user give them (`amazon_ml.data.readers.named`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.data.config import MAX_PIXELS, LevelType, RgbSource
from amazon_ml.data.readers.band_names import ALPHA, UNNAMED
from amazon_ml.data.readers.band_order import Bands, agree, both, by_letter, is_named, without_values
from amazon_ml.data.readers.images import TIF_SUFFIXES, Image, Mask, Picture, Raw, masked, read_picture
from amazon_ml.data.readers.indices import NEUTRAL, compute_index
from amazon_ml.data.readers.named import NamedBands
from amazon_ml.data.readers.scaling import STEPS, scale_levels, widened
from amazon_ml.data.readers.tif import Tif, is_mask, open_tif
from amazon_ml.errors import InputError

RGB = ("r", "g", "b")
NEAR_INFRARED = "n"
#: The indices that letters make, with theirs in the order of `amazon_ml.data.readers.indices.INDICES`.
INDICES = {"ndvi": ("n", "r"), "ndwi": ("g", "n")}
#: Least edge of a tile in pixels: a smaller one shows nothing that can be tagged.
LEAST_EDGE = 8
#: Every `_STRIDE`-th row and column of pixels is checked first.
_STRIDE = 16


def parse_bands(named: str | Sequence[str]) -> tuple[str, ...]:
    """Split names of bands: letters ``r g b n`` and indices, joined by ``+``; or a list of any names.

    ``rgb``, ``rgbn``, ``nrg`` and ``rgb+ndvi`` are such names; their order is that of the channels.
    """
    if not isinstance(named, str):
        return _checked_names(named)
    bands: list[str] = []
    for part in named.split("+"):
        bands += [part] if part in INDICES else list(part)
    odd = [band for band in bands if band not in (*RGB, NEAR_INFRARED, *INDICES)]
    if odd or "" in named.split("+"):
        raise InputError(
            f"`data.bands` {named!r} is unknown", option="data.bands",
            remedy=f"join letters of 'rgbn' and {', '.join(INDICES)} with '+', such as rgb, rgbn, nrg or rgb+ndvi, or "
            "give a list of names of bands, such as [B02, B03, B04]",
        )  # fmt: skip
    repeated = sorted({band for band in bands if bands.count(band) > 1})
    if repeated:
        problem = f"`data.bands` {named!r} names {', '.join(repeated)} more than once"
        raise InputError(problem, option="data.bands")
    return tuple(bands)


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check a list of names of bands."""
    twice = [name for name in names if list(names).count(name) > 1]
    if not names or twice or "" in names:
        what = f"names {twice[0]} more than once" if twice else "is empty, or holds an empty name"
        raise InputError(f"`data.bands` {what}", option="data.bands", remedy="name each band once")
    return tuple(names)


def name_bands(bands: Sequence[str]) -> str:
    """Return the name that `parse_bands` splits into these bands; other names than letters are joined by ``+``."""
    if any(len(band) > 1 and band not in INDICES for band in bands):
        return "+".join(bands)
    return "".join(f"+{band}+" if band in INDICES else band for band in bands).strip("+").replace("++", "+")


def check_order(order: str | None, limits: Mapping[str, Sequence[float]] | None) -> None:
    """Check an order and limits of the bands of a TIF."""
    named = (order or "").replace(UNNAMED, "")
    if order is not None and (not named or len(set(named)) < len(named)):
        raise InputError(
            f"`data.tif_order` {order!r} must name each band of a TIF by another letter", option="data.tif_order",
            remedy=f"write letters such as bgrn, and {UNNAMED} for a band that is not used",
        )  # fmt: skip
    for letter, limit in (limits or {}).items():
        if len(limit) != 2 or not limit[0] < limit[1] or not np.isfinite(limit).all():
            problem = f"`data.tif_limits`: band {letter} needs two rising, finite values, not {limit}"
            raise InputError(problem, option="data.tif_limits")


def check_max_pixels(most: int) -> None:
    """Check that the limit of pixels allows the smallest tile."""
    if most < LEAST_EDGE**2:
        problem = f"`data.max_pixels` must be at least {LEAST_EDGE**2}, not {most}"
        raise InputError(problem, option="data.max_pixels")


def need_tif(bands: Sequence[str]) -> bool:
    """Whether the bands need more than red, green and blue."""
    return not set(bands) <= set(RGB)


@dataclass(frozen=True)
class Expected:
    """Properties of the files that a reader was fitted to; other files are an error.

    Parameters
    ----------
    image
        Type of the values of JPGs and PNGs, ``uint8`` or ``uint16``; ``""`` where it is not known.
    tif
        Type of the values of TIFs; ``""`` where it is not known.
    declared
        Letters of the names of the bands in the TIFs; ``""`` where they have no names, and `UNNAMED` for each where
        their descriptions are unknown.
    ranges
        For each scaled band, by its letter: lowest value, highest value, and the larger of the shares of pixels at or
        beyond the lower and the upper limit.
    nodata
        Values that mean "no data" in TIFs that do not declare them.
    """

    image: str = ""
    tif: str = ""
    declared: str = ""
    ranges: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    nodata: tuple[float, ...] = ()


@dataclass(frozen=True)
class TileReader:
    """Reads the bands of a tile, in the same way for training, prediction and packing.

    Parameters
    ----------
    bands
        Names, in the order of channels.
    limits
        Lowest and highest value of each TIF band, and of each colour of a 16-bit PNG, by its letter: they
        become 0 and 255. Not needed for values of 8 bits.
    tif_order
        Letters of the bands in the order of a TIF, without transparency. If None: the names in each file, else
        ``bgrn`` for four bands and ``rgb`` for three.
    rgb_source
        Whether red, green and blue come from the ``jpg`` or the ``tif``. It is part of the reader, since both show a
        tile differently.
    expected
        Required properties of the files; none by default.
    max_pixels
        Largest number of pixels of a file.
    source
        Where bands are found by name; without it, they are letters.
    dtype
        Type of the levels of a tile.
    """

    bands: tuple[str, ...] = RGB
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tif_order: str | None = None
    rgb_source: RgbSource = "jpg"
    expected: Expected = field(default_factory=Expected)
    max_pixels: int = MAX_PIXELS
    source: NamedBands | None = None
    dtype: LevelType = "uint8"

    def __call__(self, path: str, tif: str = "") -> Image:
        """Read one tile.

        Parameters
        ----------
        path
            Image of the tile: a JPG or PNG, or a TIF that holds all bands; the file of the first band, if each has its
            own.
        tif
            The TIF beside a JPG; needed only for near infrared.

        Returns
        -------
        Array of `dtype` and shape (height, width, bands).

        Raises
        ------
        InputError
            If a file cannot be read, or is not as `expected`.
        """
        if self.source is not None:
            return self._stacked({}, self.read_named(path), path, path)
        if path.lower().endswith(TIF_SUFFIXES):
            return self._stacked({}, self.read_tif(path), path, path)
        rgb = self._rgb(path)
        if self.bands == RGB:
            return rgb
        found = dict(zip(RGB, np.moveaxis(rgb, -1, 0), strict=True))
        raw = self.read_tif(tif) if tif and need_tif(self.bands) else Bands({}, {})
        return self._stacked(found, raw, path, tif or path)

    def read_named(self, path: str) -> Bands:
        """Read the bands of a tile by name, unscaled, and check that they are as expected."""
        assert self.source is not None
        raw = self.source.read(path, self.max_pixels, self.expected.nodata)
        _check_edges(path, next(iter(raw.pixels.values())))
        if not any(map(_any_valid, raw.valid.values())):
            raise no_valid_pixel(path)
        self._check_range(path, raw, set(raw.pixels))
        return raw

    def read_tif(self, file: str) -> Bands:
        """Read the bands of a TIF, unscaled, and check that they are as expected."""
        opened = open_tif(Path(file), self.max_pixels)
        _check_edges(file, opened.pixels)
        self._check_type(file, opened.pixels, self.expected.tif)
        self._check_declared(file, opened)
        raw = by_letter(opened, self.tif_order, file, self.expected.nodata)
        used = {letter for band in self.bands for letter in INDICES.get(band, (band,)) if letter in raw.pixels}
        if self.rgb_source == "jpg":
            used -= set(RGB) - {letter for band in self.bands for letter in INDICES.get(band, ())}
        if used and not any(_any_valid(raw.valid[letter]) for letter in used):
            raise no_valid_pixel(file)
        # The ranges of red, green and blue are those of 16-bit PNGs, if there are any.
        self._check_range(file, raw, used - set(RGB) if self.expected.image == "uint16" else used)
        return raw

    def read_rgb(self, path: str) -> Picture:
        """Read red, green and blue of a JPG or PNG, unscaled, and check that they are as expected."""
        picture = read_picture(Path(path), self.max_pixels)
        _check_edges(path, picture.pixels)
        self._check_type(path, picture.pixels, self.expected.image)
        if picture.pixels.dtype != np.uint8 and self.expected.nodata:
            shown = without_values(picture.pixels, self.expected.nodata)
            picture = Picture(picture.pixels, both(picture.valid, shown))
        if not _any_valid(picture.valid):
            raise no_valid_pixel(path)
        if picture.pixels.dtype != np.uint8:
            self._check_range(path, split_rgb(picture), set(RGB))
        return picture

    def channels(self, raw: Bands, file: str) -> Image:
        """Scale bands that were read elsewhere, such as those of a scene, to channels, without checks.

        Parameters
        ----------
        raw
            Unscaled bands by their letters.
        file
            Where they are from, for messages.
        """
        return self._stacked({}, raw, file, file)

    def _rgb(self, path: str) -> Image:
        picture = self.read_rgb(path)
        if picture.pixels.dtype == np.uint8:
            return widened(masked(np.asarray(picture.pixels, dtype=np.uint8), picture.valid), self.dtype)
        raw = split_rgb(picture).pixels
        return np.stack([self._scaled(band, raw[band], path, picture.valid) for band in RGB], axis=-1)

    def _stacked(self, found: dict[str, Image], raw: Bands, path: str, file: str) -> Image:
        for band in self.bands:
            if band not in found:
                found[band] = self._from_tif(band, raw, file)
        channels = [found[band] for band in self.bands]
        if len({channel.shape for channel in channels}) > 1:
            raise InputError(f"this image and {file} have different sizes, so they are not one tile", file=path)
        return np.stack(channels, axis=-1)

    def _from_tif(self, band: str, raw: Bands, file: str) -> Image:
        names = self.source.inputs[band] if self.source else INDICES.get(band, (band,))
        missing = [letter for letter in names if letter not in raw.pixels]
        if missing:
            held = f"the file holds {', '.join(raw.pixels)}" if raw.pixels else "there is no TIF beside the file"
            raise InputError(f"{held}, but `data.bands` needs {band}", file=file, option="data.bands",
                             remedy="choose other bands, or set `data.tif_order`")  # fmt: skip
        if len(names) > 1:
            reflectance = self.source.reflectance if self.source else None
            index = compute_index(band, [raw.pixels[name] for name in names], reflectance, self.dtype)
            for name in names:
                masked(index, raw.valid[name], NEUTRAL * (1 if self.dtype == "uint8" else STEPS))
            return index
        return self._scaled(names[0], raw.pixels[names[0]], file, raw.valid[names[0]])

    def _scaled(self, band: str, values: Raw, file: str, valid: Mask | None = None) -> Image:
        if values.dtype == np.uint8:
            own = masked(np.array(values, dtype=np.uint8, copy=None if valid is None else True), valid)
            return widened(own, self.dtype)
        if band not in self.limits:
            problem = f"the file holds {values.dtype} values, but `data.tif_limits` has no limits for band {band}"
            raise InputError(problem, file=file, option="data.tif_limits")
        return masked(scale_levels(values, *self.limits[band], self.dtype), valid)

    def _check_type(self, file: str, pixels: Raw, expected: str) -> None:
        if expected and pixels.dtype == np.uint16 and file.lower().endswith((".jpg", ".jpeg")):
            problem = "the file is no JPG: it holds 16-bit values"
            raise InputError(problem, file=file, remedy="give it the ending .png, or convert it")
        if expected and pixels.dtype != expected:
            problem = f"the file holds {pixels.dtype} values, but the training tiles hold {expected}"
            raise InputError(problem, file=file, remedy="convert it, or exclude it")

    def _check_declared(self, file: str, tif: Tif) -> None:
        """Check that a file names its bands as the order in use, or as the files that the reader was fitted to."""
        if self.tif_order is None or not self.expected.tif:
            return
        if tif.unclear and set(self.expected.declared) != {UNNAMED}:
            raise InputError(
                f"the file describes its bands as {', '.join(tif.unclear)}, which is unknown; the training tiles hold "
                f"{', '.join(self.tif_order)}", file=file, remedy="describe them in this way, or exclude the file",
            )  # fmt: skip
        if not is_named(tif.declared):
            return
        if tif.alpha is not None and is_mask(tif.pixels[..., tif.alpha]) is not True:
            return  # the names are ignored if the band holds data, and a band of zeros shows nothing
        declared = tif.declared.replace(ALPHA, "")
        if is_named(declared) and declared != self.expected.declared and not agree(declared, self.tif_order):
            raise InputError(
                f"the file names its bands {', '.join(declared)}, but the training tiles hold "
                f"{', '.join(self.tif_order)}", file=file, remedy="put them into that order, or exclude the file",
            )  # fmt: skip

    def _check_range(self, file: str, raw: Bands, letters: set[str]) -> None:
        """Check that some values lie in the range of the training tiles."""
        known = [letter for letter in sorted(letters) if letter in self.expected.ranges]
        outside = []
        for letter in known:
            values, valid = raw.pixels[letter], raw.valid[letter]
            low, high, _ = self.expected.ranges[letter]
            few = _valid_of(values[::_STRIDE, ::_STRIDE], None if valid is None else valid[::_STRIDE, ::_STRIDE])
            if ((few >= low) & (few <= high)).any():
                return  # nearly every tile ends here
            seen = _valid_of(values, valid)
            if seen.size and (seen.max() < low or seen.min() > high):
                outside.append(f"{letter} {seen.min():g} to {seen.max():g}, not {low:g} to {high:g}")
        if known and len(outside) == len(known):
            problem = f"the file holds no value in the range of the training tiles (band {outside[0]})"
            raise InputError(problem, file=file, remedy="scale its values like theirs, or exclude it")


def no_valid_pixel(file: str) -> InputError:
    """Make the error for a file without a valid pixel."""
    problem = "the file has no valid pixel: all are masked, transparent or no numbers"
    return InputError(problem, file=file, remedy="download it again, or exclude it")


def split_rgb(picture: Picture) -> Bands:
    """Name the channels of a picture."""
    channels = dict(zip(RGB, np.moveaxis(picture.pixels, -1, 0), strict=True))
    return Bands(channels, dict.fromkeys(RGB, picture.valid))


def read_bands(tif: str, order: str | None = None) -> dict[str, Raw]:
    """Read the bands of a TIF by their letters, unscaled, each of shape (height, width)."""
    return by_letter(open_tif(Path(tif)), order, tif).pixels


def _valid_of(values: Raw, valid: Mask | None) -> npt.NDArray[Any]:
    return values if valid is None else values[valid]


def _any_valid(valid: Mask | None) -> bool:
    return valid is None or bool(valid.any())


def _check_edges(file: str, pixels: Raw) -> None:
    height, width = pixels.shape[:2]
    if min(height, width) < LEAST_EDGE:
        problem = f"the file has {width} x {height} pixels, but a tile has at least {LEAST_EDGE} along each edge"
        raise InputError(problem, file=file)
