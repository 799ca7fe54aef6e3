"""Fits a reader of bands by letter to tiles: limits of 16-bit values, and properties that other tiles must have.

`amazon_ml.data.readers.fitting` chooses between this reader and one of bands by name.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.config import MAX_PIXELS, RgbSource
from amazon_ml.data.readers.band_names import UNNAMED
from amazon_ml.data.readers.band_order import Bands, by_letter, find_order, is_of_competition, without_alpha
from amazon_ml.data.readers.bands import RGB, Expected, TileReader, need_tif, no_valid_pixel, split_rgb
from amazon_ml.data.readers.headers import read_header
from amazon_ml.data.readers.images import TIF_SUFFIXES, Image, read_picture
from amazon_ml.data.readers.sample import SAMPLE_TILES, Given, Limits, Sample, limits_of, warn_of_unused
from amazon_ml.data.readers.tif import Tif, as_tif, is_mask, open_tif
from amazon_ml.data.readers.values import empty_bands
from amazon_ml.errors import InputError, listed

log = logging.getLogger(__name__)

#: Number of bytes that hold the depth of an image.
_HEAD = 64
#: Largest number of tiles that are compared with those of the training.
_COMPARED = 100
#: A warning follows above this share of pixels at a limit, if it is also this many times the share of the training.
_SATURATED, _TIMES = 0.1, 5.0
#: Share of pixels at a limit that counts as all, and the number of tiles that must show it in all bands.
_FULL, _ENOUGH = 0.999, 3
#: Share of values outside of the range of the training above which tiles are of another kind.
_OUTSIDE = 0.9


def fit_reader(
    tiles: pd.DataFrame,
    bands: tuple[str, ...],
    rgb_source: RgbSource,
    order: str | None = None,
    limits: Mapping[str, Sequence[float]] | Literal["full"] | None = None,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> TileReader:
    """Make a reader of tiles: with the given limits, else with limits that fit the labelled tiles of a catalog.

    Parameters
    ----------
    tiles
        Table with ``path`` and ``tif`` of each tile.
    bands, rgb_source, order
        As `TileReader` takes them.
    limits
        The limits (low, high) of each letter, or ``full``: the least and the largest value of the type of the files.
    seed
        Seed for drawing tiles and pixels.
    max_pixels
        Largest number of pixels of a file.

    Raises
    ------
    InputError
        If tiles differ in bands or types, or give no sensible limits.
    """
    given: Given | None = limits if limits is None or limits == "full" else _by_letter(limits)
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
    if isinstance(given, dict) and (tifs or images):
        warn_of_unused(given, fitted.limits)
    limits_used = given if isinstance(given, dict) else fitted.limits
    reader = TileReader(bands, limits_used, fitted.order or order, rgb_source, expected, max_pixels)
    warn_of_empty_bands(reader, tiles)
    return reader


def _by_letter(limits: Mapping[str, Sequence[float]]) -> Limits:
    return {letter: (low, high) for letter, (low, high) in limits.items()}


def compare_values(reader: TileReader, tiles: pd.DataFrame) -> None:
    """Warn if many more pixels lie at a limit than in the tiles that a reader was fitted to.

    Up to 100 tiles are read; tiles that cannot be read are skipped here, since reading all tiles will report them.

    Raises
    ------
    InputError
        If nearly all values of each band lie outside of the training range, or a whole band lies at a limit.
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
            f"{low:g} to {high:g} (band {letter}), the range of the training tiles",
            remedy="scale them like the training tiles",
        )
    _check_saturated(reader, shares, max(map(len, found.values()), default=0), tiles["path"].iloc[0])
    for letter, (now, _) in shares.items():
        then = reader.expected.ranges[letter][2]
        if now > max(_SATURATED, _TIMES * then):
            log.warning("band %s: %.0f %% of the pixels of these tiles are at a limit or beyond it, but only %.0f %% "
                        "in training; their values may be scaled differently", letter, 100 * now,
                        100 * then)  # fmt: skip


def _check_saturated(reader: TileReader, shares: Mapping[str, Any], tiles: int, file: str) -> None:
    """Check that no band has all pixels at a limit, unless it had in training; one bright tile may be a cloud."""
    full = [
        letter for letter, (now, _) in shares.items() if now > _FULL and reader.expected.ranges[letter][2] < _SATURATED
    ]
    if full and (len(full) < len(shares) or tiles >= _ENOUGH):
        low, high = reader.limits[full[0]]
        raise InputError(
            f"all values of band {full[0]} in tiles such as {file} lie at or beyond the limits {low:g} to {high:g} of "
            "the training, where few did", remedy="scale them like the training tiles",
        )  # fmt: skip


def empty_bands_of(reader: TileReader, tiles: pd.DataFrame) -> list[str]:
    """Describe the bands that show nothing in up to 100 tiles; tiles that cannot be read are skipped."""
    constant, dark, taken = empty_bands(_tiles_read(replace(reader, dtype="uint8"), tiles), reader.bands)
    if not taken:
        return []
    looked = f"in all {taken} tiles of a sample, such as {tiles['path'].iloc[0]}"
    if dark:
        return [f"no value is above 1 of 255 {looked}; scale them to 0..255, or store 0..1 as float TIFs"]
    return [f"band {band} is {value} everywhere {looked}; it shows nothing"
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
    """Yield image and TIF of up to 100 tiles, at even distances."""
    if len(tiles):
        drawn = np.unique(np.linspace(0, len(tiles) - 1, min(_COMPARED, len(tiles))).astype(int))
        yield from zip(tiles["path"].iloc[drawn], tiles["tif"].iloc[drawn], strict=True)


@dataclass(frozen=True)
class _Fit:
    """Properties of some files, for `Expected` and `TileReader`."""

    limits: Limits = field(default_factory=dict)
    ranges: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    dtype: str = ""
    order: str | None = None
    declared: str = ""
    nodata: tuple[float, ...] = ()


def _fit_tifs(files: Sequence[str], order: str | None, given: Given | None, seed: int, max_pixels: int) -> _Fit:
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(files))[:SAMPLE_TILES])
    sample, orders = Sample(), _Orders(order)
    for file in (files[tile] for tile in drawn):
        tif = open_tif(Path(file), max_pixels)
        if not orders.add(tif, file):
            continue
        bands = by_letter(tif, orders.order, file)
        if not any(valid is None or valid.any() for valid in bands.valid.values()):
            raise no_valid_pixel(file)
        sample.add(bands, file, rng)
        sample.look_for_nodata(tif)
    if not len(drawn):
        return _Fit(order=order)
    orders.report()
    limits, ranges = limits_of(sample, given, files[drawn[0]])
    sample.report("TIFs", len(drawn))
    return _Fit(limits, ranges, sample.dtype(), orders.order, orders.declared, tuple(sorted(sample.nodata)))


class _Orders:
    """The order of bands that all files share; the first file that names its bands sets it."""

    def __init__(self, given: str | None) -> None:
        self.given, self.order, self.declared, self.first = given, given, "", ""
        self.believed: bool | None = None
        self.known = False

    def add(self, tif: Tif, file: str) -> bool:
        """Check the bands of a file; False for a file to skip, whose transparency is all zeros and shows nothing."""
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
            self.order, self.known = self.given or find_order(tif, file), is_of_competition(tif, file)
        elif self.given is None and (found := find_order(tif, file)) != self.order:
            raise InputError(
                f"TIFs differ in their bands: {self.first} holds {self.order}, this file {found}", file=file,
                option="data.tif_order", remedy="name them with `data.tif_order`, or exclude some",
            )  # fmt: skip
        return True

    def report(self) -> None:
        """Log where the order comes from."""
        if not self.first:
            raise InputError("no TIF has a valid pixel: their transparency is 0 everywhere", option="data.tif_order",
                             remedy="name their bands with `data.tif_order`")  # fmt: skip
        if self.given is not None:
            return
        if self.declared:
            log.info("TIFs name their bands %s, which sets their order%s", ", ".join(self.declared),
                     "; transparent pixels are masked" if self.believed else "")  # fmt: skip
            return
        what = (
            "name a band transparency that holds data, so the names of their bands are ignored"
            if self.believed is False
            else "do not name their bands"
        )
        if self.known:
            log.info("TIFs %s; the order is %s, as in the competition", what, self.order)
        else:
            log.warning("TIFs such as %s %s; the order is taken for %s by their number alone. If it is another, name "
                        "it with `data.tif_order`", self.first, what, self.order)  # fmt: skip


def _depth(images: Sequence[str]) -> str:
    """Return the type of the values of images; two types are an error. Only PNGs can have 16 bits."""
    if not images:
        return ""
    depths: dict[str, list[str]] = {}
    for path in images:
        if path.lower().endswith((".jpg", ".jpeg")):
            depths.setdefault("uint8", []).append(path)
        elif header := read_header(Path(path), _HEAD):
            depths.setdefault(header.dtype, []).append(path)
    if len(depths) > 1:
        found = " and ".join(f"{len(paths):,} of {dtype} ({listed(paths)})" for dtype, paths in depths.items())
        raise InputError(f"images have two depths: {found}", remedy="convert them to one depth, or exclude some")
    return next(iter(depths), "")


def _fit_images(images: Sequence[str], given: Given | None, seed: int, max_pixels: int) -> _Fit:
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(images))[:SAMPLE_TILES])
    sample = Sample()
    for tile in drawn:
        picture = read_picture(Path(images[tile]), max_pixels)
        sample.add(split_rgb(picture), images[tile], rng)
        sample.look_for_nodata(as_tif(picture))
    limits, ranges = limits_of(sample, given, images[drawn[0]])
    sample.report("images", len(drawn))
    log.info("images hold 16-bit values; their percentiles or `data.tif_limits` scale them")
    return _Fit(limits, ranges, nodata=tuple(sample.nodata))


def _shares(reader: TileReader, path: str, tif: str, scaled: Limits) -> dict[str, tuple[float, float]]:
    """Return the shares of pixels at a limit, and outside of the range, for each scaled band of a tile."""
    shares = {}
    for raw in _unscaled(reader, path, tif):
        for letter in raw.pixels.keys() & scaled.keys() & set(reader.source.scaled if reader.source else reader.bands):
            valid = raw.valid[letter]
            values: npt.NDArray[Any] = raw.pixels[letter] if valid is None else raw.pixels[letter][valid]
            low, high = scaled[letter]
            if values.size and values.dtype != np.uint8:
                least, most, _ = reader.expected.ranges[letter]
                at_limit = max(float((values <= low).mean()), float((values >= high).mean()))
                shares[letter] = at_limit, float(((values < least) | (values > most)).mean())
    return shares


def _unscaled(reader: TileReader, path: str, tif: str) -> Iterator[Bands]:
    """Yield the bands of a tile that may be scaled."""
    if reader.source is not None:
        yield reader.read_named(path)
        return
    own_tif = path.lower().endswith(TIF_SUFFIXES)
    if not own_tif and reader.expected.image == "uint16":
        yield split_rgb(reader.read_rgb(path))
    if own_tif or (tif and need_tif(reader.bands)):
        raw = reader.read_tif(path if own_tif else tif)
        kept = [letter for letter in raw.pixels if own_tif or letter not in RGB]
        yield Bands({letter: raw.pixels[letter] for letter in kept}, raw.valid)
