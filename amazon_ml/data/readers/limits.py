"""How the tiles of a folder are read: limits of 16-bit values, and what other tiles must be to be read alike."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.config import MAX_PIXELS, RgbSource
from amazon_ml.data.readers.band_names import UNNAMED
from amazon_ml.data.readers.band_order import Bands, by_letter, find_order, without_alpha
from amazon_ml.data.readers.bands import COLOURS, Expected, TileReader, need_tif, split_colours
from amazon_ml.data.readers.headers import read_header
from amazon_ml.data.readers.images import TIF_SUFFIXES, Image, Raw, read_picture
from amazon_ml.data.readers.tif import Tif, as_tif, is_mask, open_tif, undeclared_nodata
from amazon_ml.data.readers.values import PERCENTILES, empty_bands, squeezed, values_alone
from amazon_ml.errors import InputError, listed

log = logging.getLogger(__name__)

Limits = dict[str, tuple[float, float]]

_SAMPLE_TILES, _SAMPLE_PIXELS = 500, 4096
#: Bytes that tell the depth of an image.
_HEAD = 64
#: Tiles that are compared with those of the training, at the most.
_COMPARED = 100
#: Share of pixels at a limit that is worth a warning, where it is so many times that of the training.
_SATURATED, _TIMES = 0.1, 5.0
#: Share of pixels at a limit that is all of them, and the tiles that must agree on it if all bands are so.
_FULL, _ENOUGH = 0.999, 3
#: Share of values outside of the range of the training from which on tiles are of another kind.
_OUTSIDE = 0.9


@dataclass
class _Sample:
    """Values drawn from each band, tile by tile, with the share of each tile's pixels that are valid."""

    drawn: dict[str, list[Raw]] = field(default_factory=dict)
    shares: dict[str, list[float]] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    nodata: dict[float, int] = field(default_factory=dict)

    def add(self, bands: Bands, file: str, rng: np.random.Generator) -> None:
        """Draw from the bands of a tile; 8-bit values need no limits."""
        for letter, band in bands.pixels.items():
            self.dtypes.setdefault(str(band.dtype), file)
            if band.dtype == np.uint8:
                continue
            valid = bands.valid[letter]
            flat = band.reshape(-1) if valid is None else band[valid]
            if len(flat):
                self.drawn.setdefault(letter, []).append(flat[rng.integers(len(flat), size=_SAMPLE_PIXELS)])
                self.shares.setdefault(letter, []).append(len(flat) / band.size)
                self.files.setdefault(letter, []).append(file)

    def look_for_nodata(self, tile: Tif) -> None:
        """Look for a value that stands for "no data" in a tile; 8-bit values are taken as they are."""
        value = undeclared_nodata(tile, [i for i in range(tile.pixels.shape[-1]) if i != tile.alpha])
        if value is not None and tile.pixels.dtype != np.uint8:
            self.nodata[value] = self.nodata.get(value, 0) + 1

    def report(self, what: str, tiles: int) -> None:
        """Warn of values that stand for "no data"."""
        for value, count in self.nodata.items():
            log.warning("%d of %d %s hold %g on half of their border or more, and declare no nodata value; pixels that "
                        "hold it in all bands are masked", count, tiles, what, value)  # fmt: skip

    def pixels(self) -> dict[str, npt.NDArray[np.float64]]:
        """Give for each band values of which every valid pixel had the same chance."""
        fair = {}
        for letter, parts in self.drawn.items():
            counts = np.ceil(_SAMPLE_PIXELS * np.array(self.shares[letter]) / max(self.shares[letter])).astype(int)
            pixels = np.concatenate([part[:n] for part, n in zip(parts, counts, strict=True)]).astype(np.float64)
            fair[letter] = pixels[~np.isin(pixels, list(self.nodata))]
        return fair

    def file_with(self, letter: str, value: float) -> str:
        """Name a file whose band has a value, among those that were drawn."""
        drawn = zip(self.drawn[letter], self.files[letter], strict=True)
        return next((file for part, file in drawn if (part == value).any()), self.files[letter][0])

    def dtype(self) -> str:
        """Type of the values; files of two types are refused."""
        if len(self.dtypes) > 1:
            message = ", ".join(f"{dtype} (such as {file})" for dtype, file in self.dtypes.items())
            raise InputError(f"TIFs hold values of several types: {message}; convert them to one, or leave some out")
        return next(iter(self.dtypes), "")


def fit_limits(tifs: Sequence[str], order: str | None, seed: int) -> Limits:
    """Find limits for each band: percentiles 1 and 99 over valid pixels of up to 500 tiles.

    Returns
    -------
    Letter to (low, high); empty where values are 8-bit already.
    """
    return _fit_tifs(tifs, order, None, seed, MAX_PIXELS).limits


def fit_reader(
    tiles: pd.DataFrame,
    bands: tuple[str, ...],
    rgb_source: RgbSource,
    order: str | None = None,
    limits: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> TileReader:
    """Decide how tiles are read: with the limits given, else with such as fit a catalog's labelled tiles.

    Parameters
    ----------
    tiles
        Table with ``path`` and ``tif`` of each tile.
    bands, rgb_source, order
        As `TileReader` takes them.
    limits
        Letter to (low, high).
    seed
        Of the tiles and pixels that are looked at.
    max_pixels
        Pixels of a file at the most.

    Raises
    ------
    InputError
        Where tiles differ in what they hold, or their values give no limits that make sense.
    """
    given = None if limits is None else {letter: (low, high) for letter, (low, high) in limits.items()}
    tifs = tiles["path" if rgb_source == "tif" else "tif"].tolist() if rgb_source == "tif" or need_tif(bands) else []
    images = [path for path in tiles["path"] if not path.lower().endswith(TIF_SUFFIXES)] if rgb_source != "tif" else []
    fitted = _fit_tifs(tifs, order, given, seed, max_pixels)
    depth = _depth(images)
    if depth == "uint16":
        of_images = _fit_images(images, given, seed, max_pixels)
        fitted = replace(
            fitted,
            limits={**fitted.limits, **of_images.limits},
            ranges={**fitted.ranges, **of_images.ranges},
            nodata=tuple(sorted({*fitted.nodata, *of_images.nodata})),
        )
    expected = Expected(depth, fitted.dtype, fitted.declared, fitted.ranges, fitted.nodata)
    limits_used = fitted.limits if given is None else given
    reader = TileReader(bands, limits_used, fitted.order or order, rgb_source, expected, max_pixels)
    warn_of_empty_bands(reader, tiles)
    return reader


def compare_values(reader: TileReader, tiles: pd.DataFrame) -> None:
    """Warn where many more pixels lie at a limit than in the tiles that a reader was fitted to.

    Up to 100 tiles are read; one that the reader refuses is passed over here, since whoever reads all tiles meets
    it. Tiles are refused where nearly all values of each band lie outside of the range of the training: 16-bit
    values for 12-bit ones, for instance.
    """
    warn_of_empty_bands(reader, tiles)
    scaled = {letter: limits for letter, limits in reader.limits.items() if letter in reader.expected.ranges}
    if not scaled or tiles.empty:
        return
    found: dict[str, list[tuple[float, float]]] = {}
    for path, tif in _some_files(tiles):
        with suppress(InputError):
            for letter, pair in _shares(reader, path, tif, scaled).items():
                found.setdefault(letter, []).append(pair)
    shares = {letter: np.mean(pairs, axis=0) for letter, pairs in found.items()}
    if shares and all(outside > _OUTSIDE for _, outside in shares.values()):
        letter, (low, high, _) = next((each, reader.expected.ranges[each]) for each in shares)
        raise InputError(
            f"{100 * shares[letter][1]:.0f} % of the values in tiles such as {tiles['path'].iloc[0]} lie outside of "
            f"{low:g} to {high:g} (band {letter}), which those of the training lie in; scale them as those are"
        )
    _check_saturated(reader, shares, max(map(len, found.values()), default=0), tiles["path"].iloc[0])
    for letter, (now, _) in shares.items():
        then = reader.expected.ranges[letter][2]
        if now > max(_SATURATED, _TIMES * then):
            log.warning("band %s: %.0f %% of the pixels of these tiles are at a limit or beyond it, and %.0f %% were "
                        "in training; their values may be scaled otherwise", letter, 100 * now, 100 * then)  # fmt: skip


def _check_saturated(reader: TileReader, shares: Mapping[str, Any], tiles: int, file: str) -> None:
    """Refuse a band that is at a limit all over, where it hardly was in training; one bright tile may be a cloud."""
    full = [
        letter for letter, (now, _) in shares.items() if now > _FULL and reader.expected.ranges[letter][2] < _SATURATED
    ]
    if full and (len(full) < len(shares) or tiles >= _ENOUGH):
        low, high = reader.limits[full[0]]
        raise InputError(
            f"all values of band {full[0]} in tiles such as {file} lie at or beyond the limits {low:g} to {high:g} of "
            "the training, where few did; scale them as those of the training are"
        )


def empty_bands_of(reader: TileReader, tiles: pd.DataFrame) -> list[str]:
    """Say which bands show nothing in up to 100 tiles; those that the reader refuses are passed over."""
    constant, dark, taken = empty_bands(_tiles_read(reader, tiles), reader.bands)
    if not taken:
        return []
    looked = f"in all {taken} tiles that were looked at, such as {tiles['path'].iloc[0]}"
    if dark:
        return [f"no value is above 1 of 255 {looked}; scale them to 0..255, or store 0..1 as float TIFs"]
    return [f"band {band} is {value} all over {looked}; it shows nothing"
            for band, value in constant.items()]  # fmt: skip


def warn_of_empty_bands(reader: TileReader, tiles: pd.DataFrame) -> None:
    """Warn of the bands that show nothing."""
    for sentence in empty_bands_of(reader, tiles):
        log.warning("%s", sentence)


def _tiles_read(reader: TileReader, tiles: pd.DataFrame) -> Iterator[Image]:
    for path, tif in _some_files(tiles):
        try:
            tile = reader(path, tif)
        except InputError:
            continue
        yield tile


def _some_files(tiles: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Give image and TIF of up to 100 tiles, evenly drawn."""
    if len(tiles):
        drawn = np.unique(np.linspace(0, len(tiles) - 1, min(_COMPARED, len(tiles))).astype(int))
        yield from tiles[["path", "tif"]].iloc[drawn].itertuples(index=False, name=None)


@dataclass(frozen=True)
class _Fit:
    """What was found of some files, as `Expected` and `TileReader` keep it."""

    limits: Limits = field(default_factory=dict)
    ranges: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    dtype: str = ""
    order: str | None = None
    declared: str = ""
    nodata: tuple[float, ...] = ()


def _fit_tifs(files: Sequence[str], order: str | None, given: Limits | None, seed: int, max_pixels: int) -> _Fit:
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(files))[:_SAMPLE_TILES])
    sample, orders = _Sample(), _Orders(order)
    for file in (files[tile] for tile in drawn):
        tif = open_tif(Path(file), max_pixels)
        if not orders.add(tif, file):
            continue
        bands = by_letter(tif, orders.order, file)
        if not any(valid is None or valid.any() for valid in bands.valid.values()):
            raise InputError(
                f"{file} has no valid pixel: all are masked or no numbers; fetch it again, or leave it out"
            )
        sample.add(bands, file, rng)
        sample.look_for_nodata(tif)
    if not len(drawn):
        return _Fit(order=order)
    orders.report()
    limits, ranges = _limits_of(sample, given, files[drawn[0]])
    sample.report("TIFs", len(drawn))
    return _Fit(limits, ranges, sample.dtype(), orders.order, orders.declared, tuple(sorted(sample.nodata)))


class _Orders:
    """The order of bands that all files share, decided by the first that says something of it."""

    def __init__(self, given: str | None) -> None:
        self.given, self.order, self.declared, self.first = given, given, "", ""
        self.believed: bool | None = None

    def add(self, tif: Tif, file: str) -> bool:
        """Look at a file; False for one to pass over, whose transparency of zeros leaves it undecided."""
        alpha = None if tif.alpha is None else is_mask(tif.pixels[..., tif.alpha])
        if self.given is None and tif.alpha is not None and alpha is None:
            return False
        declared = without_alpha(tif)
        if not self.first:
            self.first, self.declared, self.believed = (
                file,
                declared if declared.strip(UNNAMED) or tif.unclear else "",
                alpha,
            )
            self.order = self.given or find_order(tif, file)
        elif self.given is None and (found := find_order(tif, file)) != self.order:
            raise InputError(
                f"TIFs differ in their bands: {self.first} holds {self.order}, {file} {found}; name them with "
                "data.tif_order, or leave some out"
            )
        return True

    def report(self) -> None:
        """Say once whose word is taken for the order."""
        if not self.first:
            raise InputError(
                "no TIF has a valid pixel: their transparency is 0 all over; name bands with data.tif_order"
            )
        if self.given is None and self.declared:
            log.info("TIFs name their bands %s, and are read so%s", ", ".join(self.declared),
                     "; transparent pixels are masked" if self.believed else "")  # fmt: skip
        elif self.given is None and self.believed is False:
            log.info("TIFs call a band transparency that holds data, so the names of their bands are not believed; "
                     "they are read as %s", self.order)  # fmt: skip


def _depth(images: Sequence[str]) -> str:
    """Type of the values of images; one of 16 bits among those of 8 is refused. Only PNGs can have 16."""
    if not images:
        return ""
    depths: dict[str, list[str]] = {}
    for path in images:
        if path.lower().endswith((".jpg", ".jpeg")):
            depths.setdefault("uint8", []).append(path)
        elif header := read_header(Path(path), _HEAD):
            depths.setdefault(header.dtype, []).append(path)
    if len(depths) > 1:
        message = " and ".join(f"{len(paths):,} of {dtype} ({listed(paths)})" for dtype, paths in depths.items())
        raise InputError(f"images are of two depths: {message}; convert them to one, or leave some out")
    return next(iter(depths), "")


def _fit_images(images: Sequence[str], given: Limits | None, seed: int, max_pixels: int) -> _Fit:
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(images))[:_SAMPLE_TILES])
    sample = _Sample()
    for tile in drawn:
        picture = read_picture(Path(images[tile]), max_pixels)
        sample.add(split_colours(picture), images[tile], rng)
        sample.look_for_nodata(as_tif(picture))
    limits, ranges = _limits_of(sample, given, images[drawn[0]])
    sample.report("images", len(drawn))
    log.info("images hold 16-bit values; they are scaled by percentiles of them, or by data.tif_limits")
    return _Fit(limits, ranges, nodata=tuple(sample.nodata))


def _limits_of(
    sample: _Sample, given: Limits | None, file: str
) -> tuple[Limits, dict[str, tuple[float, float, float]]]:
    """Give limits and ranges of each band; limits that leave too few levels are refused, or warned of where given."""
    limits: Limits = {}
    ranges = {}
    for letter, values in sample.pixels().items():
        if not len(values):
            raise InputError(f"band {letter} holds no number in TIFs such as {file}")
        _check_alone(sample, letter, values, given)
        low, high = np.percentile(values, PERCENTILES)
        limits[letter] = (float(low), float(high if high > low else low + 1))
        low, high = (given or limits).get(letter, limits[letter])
        share = max(float((values <= low).mean()), float((values >= high).mean()))
        ranges[letter] = (float(values.min()), float(values.max()), share)
        if (said := squeezed(letter, values, low, high)) and given is None:
            raise InputError(f"{said}; set data.tif_limits, or declare the value that stands for no data in the files")
        if said:
            log.warning("%s", said)
    return limits, ranges


def _check_alone(sample: _Sample, letter: str, values: npt.NDArray[np.float64], given: Limits | None) -> None:
    """Look for values that may stand for "no data": refused where limits depend on them, else warned of."""
    for alone in values_alone(values):
        said = (
            f"band {letter}: {100 * alone.share:.2g} % of the pixels are {alone.value:g}, far away from all others, in "
            f"files such as {sample.file_with(letter, alone.value)}; it may stand for no data"
        )
        if alone.stretches and letter not in (given or {}):
            raise InputError(
                f"{said}, and it stretches the limits: declare it in the files (gdal_edit.py -a_nodata "
                f"{alone.value:g}), or set data.tif_limits"
            )
        log.warning("%s; declare it in the files (gdal_edit.py -a_nodata)", said)


def _shares(reader: TileReader, path: str, tif: str, scaled: Limits) -> dict[str, tuple[float, float]]:
    """Give for each scaled band of a tile the share of its pixels at a limit, and outside of the range."""
    own_tif = path.lower().endswith(TIF_SUFFIXES)
    bands: list[Bands] = []
    if not own_tif and reader.expected.image == "uint16":
        bands.append(split_colours(reader.read_colours(path)))
    if own_tif or (tif and need_tif(reader.bands)):
        raw = reader.read_tif(path if own_tif else tif)
        kept = [letter for letter in raw.pixels if own_tif or letter not in COLOURS]
        bands.append(Bands({letter: raw.pixels[letter] for letter in kept}, raw.valid))
    shares = {}
    for raw in bands:
        for letter in raw.pixels.keys() & scaled.keys() & set(reader.bands):
            valid = raw.valid[letter]
            values: npt.NDArray[Any] = raw.pixels[letter] if valid is None else raw.pixels[letter][valid]
            low, high = scaled[letter]
            if values.size and values.dtype != np.uint8:
                least, most, _ = reader.expected.ranges[letter]
                at_limit = max(float((values <= low).mean()), float((values >= high).mean()))
                shares[letter] = at_limit, float(((values < least) | (values > most)).mean())
    return shares
