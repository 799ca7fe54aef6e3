"""Makes the reader of tiles that the options ask for: of bands by letter, or of bands by name."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amazon_ml.data.config import ReadingConfig, RgbSource
from amazon_ml.data.readers.band_files import BandFiles, check_template, lacks_band
from amazon_ml.data.readers.bands import Expected, TileReader, check_order, name_bands, no_valid_pixel, parse_bands
from amazon_ml.data.readers.indices import INDICES, check_reflectance
from amazon_ml.data.readers.limits import fit_reader, warn_of_empty_bands
from amazon_ml.data.readers.named import (
    NamedBands,
    contradiction,
    find_inputs,
    finest,
    finest_shape,
    layer_of,
    names_in,
    open_file,
)
from amazon_ml.data.readers.sample import SAMPLE_TILES, Given, Limits, Sample, limits_of, warn_of_unused
from amazon_ml.errors import InputError

log = logging.getLogger(__name__)


def is_named(config: ReadingConfig) -> bool:
    """Whether bands are named by a list, not by letters."""
    return not isinstance(config.bands, str)


def check_reading(config: ReadingConfig) -> None:
    """Check the options of bands that need no file."""
    if config.tif_limits == "full" and config.dtype == "uint8":
        raise InputError(
            "`data.tif_limits` full: 256 levels are too few for the whole range of 16 bits", option="data.tif_limits",
            remedy="set `data.dtype` to uint16, or give limits for each band",
        )  # fmt: skip
    check_order(config.tif_order, None if config.tif_limits == "full" else config.tif_limits)
    bands = parse_bands(config.bands)
    if not is_named(config):
        for option in ("files", "band_names", "reflectance"):
            if getattr(config, option) is not None:
                raise InputError(f"`data.{option}` is for bands that are named by a list", option=f"data.{option}",
                                 remedy="set `data.bands` to a list, such as [B02, B03, B04]")  # fmt: skip
        return
    for option in ("tif_order", "rgb_source"):
        if getattr(config, option) not in (None, "tif"):
            raise InputError(f"`data.{option}` is for bands that are letters", option=f"data.{option}",
                             remedy="leave it out, and name the bands of the files with `data.band_names`")  # fmt: skip
    names = config.band_names or []
    twice = [name for name in names if names.count(name) > 1]
    if twice or (config.band_names is not None and not names):
        problem = f"`data.band_names` {f'names {twice[0]} more than once' if twice else 'is empty'}"
        raise InputError(problem, option="data.band_names", remedy="name each band of a file once, in its order")
    if config.files is not None:
        check_template(config.files)
    first_files(config)
    for band in bands:
        if band not in names:
            check_reflectance(band, config.reflectance)


def reading_of(read: TileReader) -> dict[str, Any]:
    """Give the options of bands with which a folder is listed as for this reader."""
    source = read.source
    if source is None:
        return {"bands": name_bands(read.bands), "rgb_source": read.rgb_source, "dtype": read.dtype}
    return {
        "bands": list(read.bands),
        "band_names": list(source.files.bands if source.files and source.files.each_band else source.names) or None,
        "files": source.files.template if source.files else None,
        "reflectance": source.reflectance,
        "rgb_source": None,
        "dtype": read.dtype,
    }


def finds_as(read: TileReader, config: ReadingConfig) -> bool:
    """Whether a reader finds bands as the options say, apart from limits and `tif_order`."""
    source = read.source
    if read.dtype != config.dtype:
        return False
    if source is None or not is_named(config):
        return source is None and not is_named(config)
    template = source.files.template if source.files else None
    by_file = source.files is not None and source.files.each_band
    names = source.names if by_file else tuple(config.band_names or ())
    return (template, source.names, source.reflectance) == (config.files, names, config.reflectance)


def first_files(config: ReadingConfig) -> BandFiles | None:
    """Give the template of the files with the band whose file stands for a tile; None where a tile is one TIF."""
    if config.files is None:
        return None
    files = BandFiles(config.files, ())
    if not files.each_band:
        return files
    names = config.band_names or []
    plain = [band for band in parse_bands(config.bands) if band in names or band not in INDICES]
    if not plain and not names:
        raise InputError("`data.bands` names indices alone, so that no file of a band is known", option="data.bands",
                         remedy="name the bands of the files with `data.band_names`")  # fmt: skip
    return BandFiles(config.files, ((plain or names)[0],))


def find_source(config: ReadingConfig, files: BandFiles | None, paths: Sequence[str]) -> NamedBands | None:
    """Find the bands that are read, by the names of files alone; None where a tile is one TIF.

    Parameters
    ----------
    config
        Options of the bands.
    files
        The template, as `first_files` gives it.
    paths
        The tiles; the first one shows which bands there are.
    """
    if files is None:
        return None
    source = NamedBands({}, tuple(config.band_names or ()), files=files, reflectance=config.reflectance)
    if not files.each_band or not paths:
        return source
    path, bands = paths[0], parse_bands(config.bands)
    names = files.bands_beside(path)
    for band in bands:
        if band not in names and band not in INDICES:
            raise lacks_band(files, band, names, BandFiles(files.template, (files.bands[0], band)).of(path)[band])
    source = replace(source, inputs=find_inputs(bands, names, path, whole=False), names=())
    needed = (files.bands[0], *(name for name in source.needed if name != files.bands[0]))
    return replace(source, files=BandFiles(files.template, needed))


def fit_tiles(
    tiles: pd.DataFrame, config: ReadingConfig, rgb_source: RgbSource, source: NamedBands | None = None, seed: int = 0
) -> TileReader:
    """Make a reader of tiles, with the limits of the options, else with limits that fit the tiles.

    Parameters
    ----------
    tiles
        Tiles with ``path`` and ``tif``; limits are percentiles of their pixels.
    config
        Options of the bands.
    rgb_source
        Whether red, green and blue come from the ``jpg`` or the ``tif``.
    source
        The files of a tile, as `find_source` gives it.
    seed
        Seed for drawing tiles and pixels.

    Raises
    ------
    InputError
        If tiles differ in bands, types or resolutions, lack a band, or give no sensible limits.
    """
    bands = parse_bands(config.bands)
    if is_named(config):
        reader = _fit_named(tiles["path"].tolist(), bands, config, source, seed)
        warn_of_empty_bands(reader, tiles)
    else:
        reader = fit_reader(
            tiles, bands, rgb_source, config.tif_order, config.tif_limits, seed, config.max_pixels
        )  # fmt: skip
    if config.tif_limits == "full" and not reader.limits:
        log.warning("`data.tif_limits` full has no effect: no band that is read holds values of 16 bits")
    return replace(reader, dtype=config.dtype)


def _fit_named(
    paths: Sequence[str], bands: tuple[str, ...], config: ReadingConfig, source: NamedBands | None, seed: int
) -> TileReader:
    rng = np.random.default_rng(seed)
    drawn = [paths[tile] for tile in np.sort(rng.permutation(len(paths))[:SAMPLE_TILES])]
    if not drawn:
        named = NamedBands({band: (band,) for band in bands})
        return TileReader(bands, rgb_source="tif", max_pixels=config.max_pixels, source=named)
    if source is None or not source.inputs:
        source = _described(drawn[0], bands, config, source)
    sample = Sample()
    for path in drawn:
        raw = source.raw(path, config.max_pixels)
        whole = finest(raw)
        if not source.layers:
            height, width = finest_shape(raw)
            source = replace(
                source, layers={name: layer_of(band, height, width) for name, band in raw.pixels.items()}
            )  # fmt: skip
        if not any(valid is None or valid.any() for valid in raw.valid.values()):
            raise no_valid_pixel(path)
        sample.add(raw, path, rng)
        sample.look_for_nodata(whole)
    asked = config.tif_limits
    given: Given | None = asked if asked is None or asked == "full" else _given_limits(asked, source)
    limits, ranges = limits_of(sample, given, drawn[0])
    if isinstance(given, dict):
        warn_of_unused(given, limits)
    sample.report("tiles", len(drawn))
    expected = Expected(ranges=ranges, nodata=tuple(sorted(sample.nodata)))
    found = {name: limits[name] for name in source.scaled if name in limits}
    scaled = given if isinstance(given, dict) else found
    return TileReader(bands, scaled, None, "tif", expected, config.max_pixels, source)


def _described(file: str, bands: tuple[str, ...], config: ReadingConfig, source: NamedBands | None) -> NamedBands:
    """Find the bands of the channels in a file."""
    given = tuple(config.band_names or ())
    opened = open_file(Path(file), len(given), config.max_pixels)
    names = names_in(opened, given, file)
    found = contradiction(given, opened.descriptions)
    if found:
        log.warning("%s describes as %s the band that `data.band_names` names %s; the option counts", file, *found)
    if not given:
        log.info("the files name their bands %s", ", ".join(names))
    files = None if source is None else source.files
    inputs = find_inputs(bands, names, file)
    described = opened.descriptions if given else ()
    return NamedBands(inputs, given, described, files, reflectance=config.reflectance)


def _given_limits(given: Mapping[str, tuple[float, float]], source: NamedBands) -> Limits:
    """Give limits by the names of the files; a name that is no channel is an error."""
    limits: Limits = {}
    for band, (low, high) in given.items():
        names = source.inputs.get(band, (band,))
        if names[0] not in source.scaled or len(names) > 1:
            raise InputError(
                f"`data.tif_limits` names band {band}, which is not scaled", option="data.tif_limits",
                remedy=f"the scaled bands are {', '.join(source.scaled)}",
            )  # fmt: skip
        limits[names[0]] = (low, high)
    return limits
