"""What the values of a scene mean to the networks: which band is which, and how values become channels of 8 bits.

Networks know the values of their training tiles. A scene with values of another kind would be tagged, but not as the
scores of the run say; so it is refused, unless the caller asks for limits out of the scene itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from amazon_ml.data.readers.band_names import ALPHA, UNNAMED
from amazon_ml.data.readers.band_order import Bands
from amazon_ml.data.readers.bands import INDICES, RGB, TileReader, name_bands
from amazon_ml.data.readers.images import Image
from amazon_ml.data.readers.scaling import FULL_RANGES
from amazon_ml.data.readers.sensors import find_name
from amazon_ml.errors import InputError
from amazon_ml.scenes.placing import Mosaic
from amazon_ml.scenes.sources import SceneFile
from amazon_ml.scenes.strips import MosaicReader, Needed, can_hold

#: Where the limits of values come from: those of the bundle, or percentiles of the scene.
Limits = Literal["bundle", "scene"]

#: Percentiles of a scene that become 0 and 255, and the number of rows that they are computed from.
_PERCENTILES, _ROWS = (1.0, 99.0), 32
#: Types of 16 bits: sensors store the same values as either.
_SIXTEEN = ("uint16", "int16")


@dataclass(frozen=True)
class Scaling:
    """Turns bands of a scene into channels.

    Parameters
    ----------
    reader
        Names the channels, and holds the limits.
    wide
        Whether values of 8 bits are scaled by limits, too.
    where
        Where the bands are from, for messages.
    """

    reader: TileReader
    wide: bool
    where: str

    def __call__(self, raw: Bands) -> Image:
        """Scale the bands of some rows."""
        if self.wide:
            raw = Bands({letter: band.astype(np.float32) for letter, band in raw.pixels.items()}, raw.valid)
        return self.reader.channels(raw, self.where)


def needed_letters(reader: TileReader) -> tuple[str, ...]:
    """List the letters of the bands that a reader makes its channels of."""
    if reader.source is not None:
        return reader.source.needed
    return tuple(dict.fromkeys(letter for band in reader.bands for letter in INDICES.get(band, (band,))))


def order_bands(files: Sequence[SceneFile], reader: TileReader, bands: str | None, nodata: float | None) -> Needed:
    """Find the bands that the networks need in each file.

    Parameters
    ----------
    files
        The files.
    reader
        How the networks read tiles.
    bands
        A letter for each band of the files, in their order, with or without transparency; by default the names in the
        files.
    nodata
        Value that means no data in files that declare none.

    Raises
    ------
    InputError
        If a file does not name a band that is needed, or the letters do not fit its number of bands.
    """
    letters = needed_letters(reader)
    by_name = reader.source is not None
    orders = {file.path: _names(file, bands, letters) if by_name else _order(file, bands) for file in files}
    for file in files:
        order = orders[file.path]
        if missing := [letter for letter in letters if letter not in order]:
            named = ", ".join(letter for letter in order if letter not in (UNNAMED, ALPHA))
            problem = (
                f"the networks read {name_bands(reader.bands)}, but of the {file.count} bands of the file "
                f"{f'only {named} has' if named else 'none has'} a name; {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing"
            )
            raise InputError(problem, file=file.path, option="bands",
                             remedy=f"name the bands with `bands` in the order of the file, such as "
                                    f"{','.join(letters) if by_name else _example(file.count)}")  # fmt: skip
    _check_nodata(files, nodata)
    return Needed(letters, orders, nodata)


def order_letters(files: Sequence[SceneFile], bands: str | None, nodata: float | None) -> Needed:
    """Find all named bands that the files have in common, in the order of red, green, blue and near infrared.

    Raises
    ------
    InputError
        If there is none, or the letters do not fit the number of bands.
    """
    orders = {file.path: _order(file, bands) for file in files}
    letters = tuple(letter for letter in "rgbn" if all(letter in order for order in orders.values()))
    if not letters:
        raise InputError("no band has a name", file=files[0].path, option="bands",
                         remedy=f"name the bands with `bands`, such as {_example(files[0].count)}")  # fmt: skip
    _check_nodata(files, nodata)
    return Needed(letters, orders, nodata)


def _check_nodata(files: Sequence[SceneFile], nodata: float | None) -> None:
    """Check that pixels can have the value that means no data, in files that declare none."""
    for file in files:
        if nodata is not None and file.nodata is None and not can_hold(file.dtype, nodata):
            raise InputError(f"no pixel of the file can be {nodata:g}: it holds {file.dtype} values", file=file.path,
                             option="nodata", remedy="give the value as the file holds it")  # fmt: skip


def check_one_type(mosaic: Mosaic) -> tuple[str, str]:
    """Check that the files of a scene hold values of one type; return that type and a file that has it.

    Raises
    ------
    InputError
        If the files hold values of different types.
    """
    dtypes = {place.file.dtype: place.file.path for place in mosaic.places}
    if len(dtypes) > 1:
        problem = f"the files hold values of different types: {', '.join(sorted(dtypes))}"
        raise InputError(problem, file=list(dtypes.values())[1], option="scene", remedy="convert them to one type")
    ((dtype, path),) = dtypes.items()
    return dtype, path


def choose_scaling(mosaic: Mosaic, needed: Needed, reader: TileReader, limits: Limits) -> tuple[Scaling, list[str]]:
    """Choose how the values of a scene become channels, and say what was chosen.

    Raises
    ------
    InputError
        If the values are of another kind than those that the networks were trained on.
    """
    dtype, path = check_one_type(mosaic)
    if limits == "scene":
        if set(reader.limits.values()) & set(FULL_RANGES.values()):
            raise InputError(
                "the networks take values as they are (`data.tif_limits` full), so a scene cannot be stretched",
                option="limits", remedy="omit it, and give a scene of the product that the tiles were made from",
            )  # fmt: skip
        found = _percentiles(mosaic, needed)
        shown = ", ".join(f"{letter} {low:g} to {high:g}" for letter, (low, high) in found.items())
        note = (
            f"values are scaled by percentiles {_PERCENTILES[0]:g} and {_PERCENTILES[1]:g} of the scene ({shown}), not "
            "as the training tiles were: the scores of the run do not hold for it"
        )
        return Scaling(replace(reader, limits=found), wide=True, where=path), [note]
    for letter in needed.letters:
        _check_kind(letter, dtype, path, reader)
    return Scaling(reader, wide=False, where=path), []


def _names(file: SceneFile, bands: str | None, needed: tuple[str, ...]) -> tuple[str, ...]:
    """Find the bands of a file by name: the needed ones get the names that the networks know."""
    names = file.descriptions if bands is None else tuple(name.strip() for name in bands.split(","))
    if len(names) != file.count:
        raise InputError(f"the file has {file.count} bands, but `bands` {bands!r} names {len(names)}", file=file.path,
                         option="bands", remedy=f"name each band, such as {','.join(needed)}")  # fmt: skip
    found = {find_name(name, [one for one in names if one]): name for name in needed}
    alpha = [letter == ALPHA and bands is None for letter in file.letters]
    return tuple(ALPHA if mask else found.get(name, UNNAMED) for name, mask in zip(names, alpha, strict=True))


def _order(file: SceneFile, bands: str | None) -> tuple[str, ...]:
    if bands is None:
        return tuple(file.letters)
    odd = sorted(set(bands) - set(f"rgbn{ALPHA}{UNNAMED}"))
    repeated = [letter for letter in set(bands) - {UNNAMED} if bands.count(letter) > 1]
    if odd or repeated or not bands:
        problem = f"`bands` {bands!r} must name bands by the letters r, g, b, n, each once, and {UNNAMED} for others"
        raise InputError(problem, option="bands", remedy="write letters in the order of the file, such as bgrn")
    if len(bands) == file.count - 1 and ALPHA in file.letters and ALPHA not in bands:
        at = file.letters.index(ALPHA)
        bands = bands[:at] + ALPHA + bands[at:]
    if len(bands) != file.count:
        problem = f"the file has {file.count} bands, but `bands` {bands!r} names {len(bands)}"
        raise InputError(problem, file=file.path, option="bands")
    return tuple(bands)


def _example(count: int) -> str:
    return {1: "r", 3: "rgb", 4: "bgrn"}.get(count, "bgrn".ljust(count, UNNAMED)[:count])


def _check_kind(letter: str, dtype: str, path: str, reader: TileReader) -> None:
    """Check that a band holds values of the kind that the networks were trained on."""
    if reader.source is not None:
        layer = reader.source.layers.get(letter)
        _check_fits(letter, dtype, layer.dtype if layer else "uint16", path,
                    letter in reader.limits or letter not in reader.source.scaled)  # fmt: skip
        return
    of_image = letter in RGB and reader.rgb_source == "jpg" and letter not in _of_indices(reader)
    trained = (reader.expected.image if of_image else reader.expected.tif) or ("uint8" if of_image else "")
    if not trained:
        trained = "uint16" if letter in reader.limits else "uint8"
    _check_fits(letter, dtype, trained, path, letter in reader.limits or letter not in reader.bands)


def _check_fits(letter: str, dtype: str, trained: str, path: str, limited: bool) -> None:
    """Check that values have the type of the training tiles, and limits where they need them."""
    fits = dtype == trained or (dtype in _SIXTEEN and trained in _SIXTEEN)
    if fits and (dtype == "uint8" or limited):
        return
    raise InputError(
        f"the file holds {dtype} values, but the networks were trained on {trained} values of band {letter}", file=path,
        option="limits",
        remedy="give a scene of the product that the tiles were made from, or stretch its values with `limits` scene",
    )  # fmt: skip


def _of_indices(reader: TileReader) -> set[str]:
    return {letter for band in reader.bands for letter in INDICES.get(band, ())}


def _percentiles(mosaic: Mosaic, needed: Needed) -> dict[str, tuple[float, float]]:
    """Compute limits of each band out of some rows of the scene."""
    height = mosaic.grid.height
    rows = np.unique(np.linspace(0, height - 1, min(_ROWS, height)).round().astype(int))
    parts: dict[str, list[np.ndarray]] = {letter: [] for letter in needed.letters}
    with MosaicReader(mosaic, needed) as reader:
        for row in rows.tolist():
            bands, valid = reader.rows(row, row + 1)
            for letter, band in bands.items():
                parts[letter].append(band[valid])
    limits = {}
    for letter, values in parts.items():
        seen = np.concatenate(values)
        low, high = np.percentile(seen.astype(np.float64), _PERCENTILES) if seen.size else (0.0, 0.0)
        if not low < high:
            about = f"only the value {low:g}" if seen.size else "no pixel with data"
            raise InputError(f"band {letter} of the scene has {about} in the rows that were looked at", option="limits",
                             file=mosaic.places[0].file.path, remedy="give another scene")  # fmt: skip
        limits[letter] = (float(low), float(high))
    return limits
