"""Bands by name: which channels a tile has, where they come from, and how 16-bit values become 8-bit ones.

A tile is an array of uint8 channels from the file to the network, whatever its bands are. Colours come
from the JPG (or PNG) of a tile where there is one, since people made the tags from those; near infrared
comes from its TIF. TIF values are scaled once, by limits that are fixed for a run::

    8-bit value = round(255 * (value - low) / (high - low)), clipped to 0..255

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
import pandas as pd

from amazon_ml.data.images import TIF_SUFFIXES, Image, read_tif, read_tile
from amazon_ml.errors import InputError
from amazon_ml.files import read_json, write_json

Raw = npt.NDArray[np.generic]

COLOURS = ("r", "g", "b")
NEAR_INFRARED = "n"
#: Index to (a, b) of (a - b) / (a + b).
INDICES = {"ndvi": ("n", "r"), "ndwi": ("g", "n")}
#: Bands in a TIF by their number, where nothing else is said; the competition's four begin with blue.
_ORDERS = {3: "rgb", 4: "bgrn"}
#: TIF values below the first and above the second of these percentiles are clipped.
PERCENTILES = (1.0, 99.0)
_SAMPLE_TILES, _SAMPLE_PIXELS = 500, 4096


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
    if order is not None and (not order or len(set(order)) < len(order)):
        raise InputError(f"data.tif_order: {order!r} must name each band of a TIF by another letter, such as bgrn")
    for letter, limit in (limits or {}).items():
        if len(limit) != 2 or not limit[0] < limit[1] or not np.isfinite(limit).all():
            raise InputError(f"data.tif_limits: band {letter} needs two rising, finite values, not {limit}")


def need_tif(bands: Sequence[str]) -> bool:
    """Whether colours alone are not enough."""
    return not set(bands) <= set(COLOURS)


@dataclass(frozen=True)
class TileReader:
    """Reads the bands of a tile; called alike when training, predicting and packing.

    Parameters
    ----------
    bands
        Names, in the order of channels.
    limits
        Lowest and highest value of each TIF band, by its letter: they become 0 and 255. Not needed
        where values are 8-bit already.
    tif_order
        Letters of the bands in a TIF, as they lie there; ``bgrn`` for four and ``rgb`` for three by default.
    colours
        Whether red, green and blue come from the ``jpg`` or the ``tif``; kept with the rest, since both
        show a tile differently.
    """

    bands: tuple[str, ...] = COLOURS
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tif_order: str | None = None
    colours: str = "jpg"

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
        """
        own_tif = path.lower().endswith(TIF_SUFFIXES)
        if self.bands == COLOURS and not own_tif:
            return read_tile(Path(path))
        file = path if own_tif else tif
        raw = read_bands(file, self.tif_order) if file and (own_tif or need_tif(self.bands)) else {}
        found: dict[str, Image] = {}
        if not own_tif:
            found = dict(zip(COLOURS, np.moveaxis(read_tile(Path(path)), -1, 0), strict=True))
        for band in self.bands:
            if band not in found:
                found[band] = self._from_tif(band, raw, file or path)
        channels = [found[band] for band in self.bands]
        if len({channel.shape for channel in channels}) > 1:
            raise InputError(f"{path} and {tif} are of different sizes; they are not of one tile")
        return np.stack(channels, axis=-1)

    def _from_tif(self, band: str, raw: Mapping[str, Raw], file: str) -> Image:
        missing = [letter for letter in INDICES.get(band, (band,)) if letter not in raw]
        if missing:
            held = f"holds {', '.join(raw)}" if raw else "has no TIF beside it"
            raise InputError(f"{file} {held}, but data.bands asks for {band}; choose others, or set data.tif_order")
        if band in INDICES:
            return _index_to_uint8(*(raw[letter] for letter in INDICES[band]))
        return self._scaled(band, raw[band], file)

    def _scaled(self, band: str, values: Raw, file: str) -> Image:
        if values.dtype == np.uint8:
            return np.asarray(values, dtype=np.uint8)
        if band not in self.limits:
            raise InputError(f"{file} holds {values.dtype} values, and data.tif_limits has none for band {band}")
        low, high = self.limits[band]
        return _to_uint8((values.astype(np.float32) - low) * np.float32(255 / (high - low)))


def read_bands(tif: str, order: str | None = None) -> dict[str, Raw]:
    """Read a TIF's bands by their letters, unscaled, each of shape (height, width)."""
    raw = read_tif(Path(tif))
    letters = order or _ORDERS.get(raw.shape[-1])
    if letters is None or len(letters) != raw.shape[-1]:
        raise InputError(
            f"{tif} has {raw.shape[-1]} bands"
            + (f", data.tif_order names {len(letters)}" if letters else "; name them with data.tif_order, such as bgrn")
        )
    return {letter: raw[..., i] for i, letter in enumerate(letters)}


def fit_limits(tifs: Sequence[str], order: str | None, seed: int) -> dict[str, tuple[float, float]]:
    """Find limits for each band: percentiles 1 and 99 over pixels of up to 500 tiles.

    Returns
    -------
    Letter to (low, high); empty where values are 8-bit already.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(tifs))[:_SAMPLE_TILES])
    values: dict[str, list[Raw]] = {}
    for tile in drawn:
        for letter, band in read_bands(tifs[tile], order).items():
            if band.dtype != np.uint8:
                flat = band.reshape(-1)
                values.setdefault(letter, []).append(flat[rng.integers(len(flat), size=_SAMPLE_PIXELS)])
    limits = {}
    for letter, parts in values.items():
        pixels = np.concatenate(parts).astype(np.float64)
        pixels = pixels[np.isfinite(pixels)]
        if not len(pixels):
            raise InputError(f"band {letter} holds no number in {len(drawn)} TIFs such as {tifs[drawn[0]]}")
        low, high = np.percentile(pixels, PERCENTILES)
        limits[letter] = (float(low), float(high if high > low else low + 1))
    return limits


def fit_reader(
    tiles: pd.DataFrame,
    bands: tuple[str, ...],
    colours: str,
    order: str | None = None,
    limits: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> TileReader:
    """Decide how tiles are read: with the limits given, else with such as fit a catalog's labelled tiles.

    Parameters
    ----------
    tiles
        Table with ``path`` and ``tif`` of each tile.
    bands, colours, order
        As `TileReader` takes them.
    limits
        Letter to (low, high).
    seed
        Of the tiles and pixels that `fit_limits` looks at.
    """
    if limits is not None:
        return TileReader(bands, {letter: (low, high) for letter, (low, high) in limits.items()}, order, colours)
    files = tiles["path" if colours == "tif" else "tif"].tolist() if colours == "tif" or need_tif(bands) else []
    return TileReader(bands, fit_limits(files, order, seed), order, colours)


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
    reader = TileReader(tuple(stored["bands"]), limits, stored["tif_order"], stored["colours"])
    try:
        known = parse_bands(name_bands(reader.bands))
        check_order(reader.tif_order, limits)
    except InputError as error:
        raise ValueError(str(error)) from None
    if known != reader.bands or reader.colours not in ("jpg", "tif"):
        raise ValueError(f"bands {reader.bands} of {reader.colours} files")
    return reader


def _index_to_uint8(a: Raw, b: Raw) -> Image:
    first, second = a.astype(np.float32), b.astype(np.float32)
    total = first + second
    index = np.divide(first - second, total, out=np.zeros_like(total), where=total != 0)
    return _to_uint8((index + 1) * np.float32(127.5))


def _to_uint8(values: npt.NDArray[np.float32]) -> Image:
    return np.nan_to_num(np.rint(values), nan=0.0).clip(0, 255).astype(np.uint8)
