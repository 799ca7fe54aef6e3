"""Reads the tiles as training does with the same options, and lists those that it cannot read."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.tiles import is_tif
from amazon_ml.data.checks.alike import find_unlike
from amazon_ml.data.checks.findings import Case
from amazon_ml.data.config import ReadingConfig, RgbSource
from amazon_ml.data.readers.bands import RGB, TileReader, need_tif, parse_bands
from amazon_ml.data.readers.broken import look_at_all
from amazon_ml.data.readers.fitting import fit_tiles
from amazon_ml.data.readers.images import Mask, read_picture
from amazon_ml.data.readers.limits import empty_bands_of
from amazon_ml.data.readers.named import NamedBands, finest
from amazon_ml.data.readers.tif import as_tif, open_tif, undeclared_nodata
from amazon_ml.errors import InputError
from amazon_ml.runtime.progress import mapped

#: Least share of the tiles with one size or format for the others to be odd.
UNIFORM = 0.9
#: Number of tiles that are left out one by one until the others can be read, and of those that show what is usual.
_MOST_TRIED, _FEW = 30, 8
FilesOf = Callable[[str], list[str]]
#: Formats that the reader takes without conversion: where the scan could decode them, training can, too.
_PLAIN = {"1 band of uint8", "3 bands of uint8"}


def reading_faults(
    tiles: pd.DataFrame, rgb_source: RgbSource, config: ReadingConfig, num_workers: int,
    source: NamedBands | None = None,
) -> Iterator[Case]:  # fmt: skip
    """Fit a reader to the tagged tiles, as training does, and read all tiles with it.

    Parameters
    ----------
    tiles
        Tiles with a file, with the columns of `scan`.
    rgb_source
        Whether red, green and blue come from the ``jpg`` or the ``tif``.
    config
        Options for reading them.
    num_workers
        Number of threads.
    source
        The files of a tile and the bands in them, where a template names them.
    """
    bands, whole = parse_bands(config.bands), tiles[tiles["fault"] == ""]
    if not need_tif(bands) or rgb_source == "tif":
        whole = whole.assign(tif="")
    odd = _odd_depths(whole)
    if len(whole) and whole["format"].value_counts(normalize=True).iloc[0] < UNIFORM:  # else they are odd formats
        yield from _cases("odd_depths", whole, odd, "format")
    whole = whole[~odd]
    deep = whole["format"].str.endswith("uint16") & ~whole["path"].map(is_tif).astype(bool)
    yield from _cases("deep", whole, deep, "format")
    tagged = whole[whole["tagged"].astype(bool)]
    try:
        reader, refused = _fitted(tagged, config, rgb_source, source)
    except InputError as error:
        yield Case("reading", str(error))
        return
    yield from (Case("refused", f"{name}: {text}", (name,)) for name, text in refused.items())
    whole, tagged = (tiles[~tiles["image_name"].isin(refused)] for tiles in (whole, tagged))
    empty = empty_bands_of(reader, tagged)
    yield from (Case("empty_bands", sentence) for sentence in empty)
    yield from _tiles_read(whole, reader, num_workers)


def _fitted(
    tagged: pd.DataFrame, config: ReadingConfig, rgb_source: RgbSource, source: NamedBands | None
) -> tuple[TileReader, dict[str, str]]:  # fmt: skip
    """Fit a reader without the tiles that prevent it, and say for each of these, by its name, what is wrong.

    Where this does not help, or many tiles prevent it, an option is wrong: the first error is raised.
    """
    files: FilesOf = _alone if source is None or source.files is None else source.files.paths
    try:
        return fit_tiles(tagged, config, rgb_source, source), {}
    except InputError as error:
        first = error
    tile_of = {
        file: str(name)
        for name, path, tif in zip(tagged["image_name"], tagged["path"], tagged["tif"], strict=True)
        for file in (*files(path), tif)
        if file
    }
    refused = _of_rare_shape(tagged, config, rgb_source, source, files, tile_of)
    for _ in range(min(_MOST_TRIED, len(tagged) // 2)):
        left = tagged[~tagged["image_name"].isin(refused)]
        try:
            return fit_tiles(left, config, rgb_source, source), refused
        except InputError as error:
            name = tile_of.get(str(error.file))
            if name is None or name in refused:
                break
            refused[name] = str(error)
    raise first


def _of_rare_shape(
    tagged: pd.DataFrame, config: ReadingConfig, rgb_source: RgbSource, source: NamedBands | None, files: FilesOf,
    tile_of: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    """Find the tiles that a reader of the most frequent types and sizes refuses; none where these are half or more.

    The tile to which all others are compared may be the wrong one itself.
    """
    shapes = look_at_all([tagged], files)[1]
    frequent = max(shapes.values(), key=len, default=[])
    try:
        few = tagged[tagged["path"].isin(frequent)].head(_FEW)
        unlike = find_unlike(shapes, fit_tiles(few, config, rgb_source, source))
    except InputError:
        return {}
    return {tile_of[path]: str(error) for path, error in unlike.items()} if len(unlike) < len(tagged) / 2 else {}


def _alone(path: str) -> list[str]:
    return [path]


def _tiles_read(tiles: pd.DataFrame, reader: TileReader, num_workers: int) -> Iterator[Case]:
    plain = tiles["format"].isin(_PLAIN) & (tiles["tif"] == "") & ~tiles["path"].map(is_tif).astype(bool)
    small = tiles["size"].map(lambda size: min(map(int, size.split(" x "))) < 8).astype(bool)
    named, deep = reader.source is not None, reader.expected.image == "uint16"
    looked = tiles[~plain | small | (reader.bands != RGB) | named | deep]
    if looked.empty:
        return
    files = list(zip(looked["path"], looked["tif"], strict=True))
    found = mapped(
        lambda pair: _look(reader, *pair), files, num_workers=num_workers, what="reading tiles as training does"
    )
    table = looked.assign(**pd.DataFrame(found, columns=["refused", "masked", "nodata"], index=looked.index))
    refused = table["refused"] != ""
    yield from _cases("refused", table, refused, "refused")
    for kind, column in (("masked_parts", "masked"), ("undeclared_nodata", "nodata")):
        yield from _cases(kind, table, ~refused & (table[column] != ""), column)


def _look(reader: TileReader, path: str, tif: str) -> tuple[str, str, str]:
    """Read a tile; describe its fault, the share of its masked pixels, and a value that may mean "no data"."""
    try:
        reader(path, tif)
        if reader.source is not None:
            return _look_at_named(reader, path)
        file = path if is_tif(path) else tif
        valid = list(reader.read_tif(file).valid.values()) if file else []
        shown = open_tif(Path(file), reader.max_pixels) if file else None
        if file != path:
            picture = reader.read_rgb(path)
            valid.append(picture.valid)
            if shown is None and picture.pixels.dtype != np.uint8:
                shown = as_tif(read_picture(Path(path), reader.max_pixels))
    except InputError as error:
        return str(error), "", ""
    masked = _masked_share([mask for mask in valid if mask is not None])
    value = None
    if shown is not None:
        value = undeclared_nodata(shown, [i for i in range(shown.pixels.shape[-1]) if i != shown.alpha])
    nodata = "" if value is None else f"{value:g} on half of the border or more"
    return "", f"{100 * masked:.1f} % masked" if masked else "", nodata


def _look_at_named(reader: TileReader, path: str) -> tuple[str, str, str]:
    assert reader.source is not None
    whole = finest(reader.source.raw(path, reader.max_pixels))
    masked = _masked_share([mask for mask in reader.read_named(path).valid.values() if mask is not None])
    value = undeclared_nodata(whole, [*range(whole.pixels.shape[-1])])
    nodata = "" if value is None else f"{value:g} on half of the border or more"
    return "", f"{100 * masked:.1f} % masked" if masked else "", nodata


def _masked_share(valid: list[Mask]) -> float:
    return 1 - float(np.logical_and.reduce(valid).mean()) if valid else 0.0


def _odd_depths(tiles: pd.DataFrame) -> "pd.Series[bool]":
    """Find tiles whose values have another type than most, among JPGs and TIFs separately."""
    types, tifs = tiles["format"].str.split().str[-1], tiles["path"].map(is_tif).astype(bool)
    odd = pd.Series(False, index=tiles.index)
    for group in (tifs, ~tifs):
        counts = types[group].value_counts()
        if len(counts) > 1:
            odd |= group & (types != counts.index[0])
    return odd


def _cases(kind: str, tiles: pd.DataFrame, chosen: "pd.Series[bool]", column: str) -> Iterator[Case]:
    if chosen.any():  # an empty table is made slowly
        some = tiles[chosen]
        for name, tagged, detail in zip(some["image_name"], some["tagged"], some[column], strict=True):
            yield Case(kind, f"{name}: {detail}", (name,) if tagged else ())
