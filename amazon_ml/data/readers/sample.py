"""Random values of the bands of some tiles, and the limits that scale them to 8 bits."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.band_order import Bands
from amazon_ml.data.readers.images import Raw
from amazon_ml.data.readers.scaling import FULL_RANGES
from amazon_ml.data.readers.tif import UNSCALED, Tif, undeclared_nodata
from amazon_ml.data.readers.values import PERCENTILES, squeezed, values_alone
from amazon_ml.errors import InputError

log = logging.getLogger(__name__)

Limits = dict[str, tuple[float, float]]
#: Limits that are given for each band, or ``full`` for the least and the largest value of the type of the files.
Given = Limits | Literal["full"]

#: Number of tiles, and of values of each, that limits are found from.
SAMPLE_TILES, SAMPLE_PIXELS = 500, 4096


@dataclass
class Sample:
    """Random values of each band, tile by tile, with the share of valid pixels of each tile.

    `scales` holds a band and a file for each scale and offset that files declare.
    """

    drawn: dict[str, list[Raw]] = field(default_factory=dict)
    shares: dict[str, list[float]] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    nodata: dict[float, int] = field(default_factory=dict)
    scales: dict[tuple[float, float], tuple[str, str]] = field(default_factory=dict)

    def add(self, bands: Bands, file: str, rng: np.random.Generator) -> None:
        """Draw values from the bands of a tile; 8-bit values need no limits."""
        for letter, band in bands.pixels.items():
            self.dtypes.setdefault(str(band.dtype), file)
            self.scales.setdefault(bands.scales.get(letter, UNSCALED), (letter, file))
            if band.dtype == np.uint8:
                continue
            valid = bands.valid[letter]
            flat = band.reshape(-1) if valid is None else band[valid]
            if len(flat):
                self.drawn.setdefault(letter, []).append(flat[rng.integers(len(flat), size=SAMPLE_PIXELS)])
                self.shares.setdefault(letter, []).append(len(flat) / band.size)
                self.files.setdefault(letter, []).append(file)

    def look_for_nodata(self, tile: Tif) -> None:
        """Look for a value that means "no data" in a tile; 8-bit values are not checked."""
        value = undeclared_nodata(tile, [i for i in range(tile.pixels.shape[-1]) if i != tile.alpha])
        if value is not None and tile.pixels.dtype != np.uint8:
            self.nodata[value] = self.nodata.get(value, 0) + 1

    def report(self, what: str, tiles: int) -> None:
        """Warn of values that mean "no data", and of scales and offsets in the files that change what values mean."""
        for value, count in self.nodata.items():
            log.warning("%d of %d %s hold %g on half of their border or more, and declare no nodata value; pixels "
                        "with it in all bands are masked", count, tiles, what, value)  # fmt: skip
        # One scale without an offset, for all bands of all tiles, changes neither levels by percentiles nor an index.
        if len(self.scales) > 1 or any(offset for _, offset in self.scales):
            found = [f"{scale:g} and {offset:g} for band {band} of {file}"
                     for (scale, offset), (band, file) in list(self.scales.items())[:3]]  # fmt: skip
            log.warning("%s declare a scale and an offset, such as %s. They are not applied: indices, and tiles with "
                        "other ones, are compared by their stored values. Apply them with gdal_translate -unscale "
                        "-ot Float32", what, "; ".join(found))  # fmt: skip

    def pixels(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return values of each band; every valid pixel had the same chance to be drawn."""
        fair = {}
        for letter, parts in self.drawn.items():
            counts = np.ceil(SAMPLE_PIXELS * np.array(self.shares[letter]) / max(self.shares[letter])).astype(int)
            pixels = np.concatenate([part[:n] for part, n in zip(parts, counts, strict=True)]).astype(np.float64)
            fair[letter] = pixels[~np.isin(pixels, list(self.nodata))]
        return fair

    def file_with(self, letter: str, value: float) -> str:
        """Name a file that has a value in a band, by the drawn values."""
        drawn = zip(self.drawn[letter], self.files[letter], strict=True)
        return next((file for part, file in drawn if (part == value).any()), self.files[letter][0])

    def dtype(self) -> str:
        """Return the type of the values; two types are an error."""
        if len(self.dtypes) > 1:
            types = ", ".join(f"{dtype} (such as {file})" for dtype, file in self.dtypes.items())
            raise InputError(f"TIFs hold values of several types: {types}",
                             remedy="convert them to one type, or exclude some")  # fmt: skip
        return next(iter(self.dtypes), "")


def limits_of(sample: Sample, given: Given | None, file: str) -> tuple[Limits, dict[str, tuple[float, float, float]]]:
    """Return fitted limits and ranges of each band.

    Limits that leave too few levels are an error, or a warning if they are given.
    """
    limits: Limits = {}
    ranges = {}
    known = given if isinstance(given, dict) else {}
    for letter, values in sample.pixels().items():
        if not len(values):
            raise InputError(f"band {letter} holds no number in this TIF and others", file=file)
        full = _full_range(letter, sample) if given == "full" else None
        _check_alone(sample, letter, values, fitted=full is None and letter not in known)
        low, high = np.percentile(values, PERCENTILES)
        limits[letter] = full or (float(low), float(high if high > low else low + 1))
        low, high = known.get(letter, limits[letter])
        share = max(float((values <= low).mean()), float((values >= high).mean()))
        ranges[letter] = (float(values.min()), float(values.max()), share)
        if full or not (problem := squeezed(letter, values, low, high)):
            continue
        if given is None:
            remedy = "set `data.tif_limits`, or declare the value that means no data in the files"
            raise InputError(problem, option="data.tif_limits", remedy=remedy)
        log.warning("%s", problem)
    return limits, ranges


def _full_range(letter: str, sample: Sample) -> tuple[float, float]:
    """Return the least and the largest value of the type of a band, which must have 16 bits."""
    dtype = str(sample.drawn[letter][0].dtype)
    if dtype not in FULL_RANGES:
        raise InputError(
            f"`data.tif_limits` full: band {letter} holds {dtype} values, and full is for integers of 16 bits",
            file=sample.files[letter][0], option="data.tif_limits",
            remedy=f"give limits for each band, such as {{{letter}: [0, 1]}}",
        )  # fmt: skip
    return FULL_RANGES[dtype]


def warn_of_unused(given: Limits, scaled: Iterable[str]) -> None:
    """Warn of given limits of bands that are not scaled, since their values have 8 bits."""
    unused = [band for band in given if band not in set(scaled)]
    if unused:
        log.warning("`data.tif_limits` changes nothing for %s: no file that is read has more than 8 bits there, and "
                    "values of 8 bits are not scaled", ", ".join(unused))  # fmt: skip


def _check_alone(sample: Sample, letter: str, values: npt.NDArray[np.float64], *, fitted: bool) -> None:
    """Look for values that may mean "no data": an error if fitted limits depend on them, else a warning."""
    for alone in values_alone(values):
        problem = (
            f"band {letter}: {100 * alone.share:.2g} % of the pixels are {alone.value:g}, far away from all others, in "
            f"files such as {sample.file_with(letter, alone.value)}; it may mean no data"
        )
        if alone.stretches and fitted:
            remedy = f"declare it in the files (gdal_edit.py -a_nodata {alone.value:g}), or set `data.tif_limits`"
            raise InputError(f"{problem}, and it stretches the limits", option="data.tif_limits", remedy=remedy)
        log.warning("%s; declare it in the files (gdal_edit.py -a_nodata)", problem)
