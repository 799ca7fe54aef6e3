"""Reads a scene in strips of rows: whole rows from the top to the bottom, each row once, in a thread ahead of its user.

Only the strip in use, the next one and the rows that both share are in memory, however long the scene is.
"""

import math
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.band_names import ALPHA
from amazon_ml.data.readers.band_order import Bands
from amazon_ml.data.readers.images import Image, Mask
from amazon_ml.data.readers.tif import is_mask, opaque_value
from amazon_ml.errors import InputError
from amazon_ml.scenes.grid import Grid
from amazon_ml.scenes.placing import Mosaic, Place
from amazon_ml.scenes.sources import SceneFile, damaged, opened

#: Turns the unscaled bands of some rows into channels of uint8 or uint16, (rows, width, bands).
Scale = Callable[[Bands], Image]
_Item = TypeVar("_Item")

#: Bytes that the raster library may hold of decoded blocks: enough for one row of blocks, within these bounds.
_CACHE = 2**26, 2**29
#: Largest number of files that are open at the same time.
_OPEN = 64
#: Value that says that a warped pixel has data, which every type holds; and number of blocks that are looked at to find
#: the value of opaque pixels of a file.
_OPAQUE, _BLOCKS = 255.0, 16
#: Settings of the raster library: no code in files, and no search for files beside those that are named.
_SETTINGS = {"GDAL_VRT_ENABLE_PYTHON": "NO", "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO"}


@dataclass(frozen=True)
class Strip:
    """Rows of a scene.

    Parameters
    ----------
    top
        First row.
    channels
        uint8 or uint16 of shape (rows, width, bands).
    valid
        Whether each pixel has data, shape (rows, width).
    """

    top: int
    channels: Image
    valid: Mask


def read_strips(rows: Callable[[int, int], tuple[Image, Mask]], spans: Sequence[tuple[int, int]]) -> Iterator[Strip]:
    """Read spans of rows, which may overlap; rows that a span shares with the one before are not read again.

    Parameters
    ----------
    rows
        Reads the rows from a first one up to and without a last one.
    spans
        First row of each strip and the row after its last one, in rising order.
    """
    held: Strip | None = None
    for top, end in spans:
        if held is not None and top < held.top + len(held.valid):
            keep = top - held.top
            channels, valid = held.channels[keep:], held.valid[keep:]
            more = rows(held.top + len(held.valid), end)
            held = Strip(top, np.concatenate([channels, more[0]]), np.concatenate([valid, more[1]]))
        else:
            held = Strip(top, *rows(top, end))
        yield held


def read_ahead(items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """Compute each item in a thread, the same for all, while the item before is in use."""
    end = object()
    with ThreadPoolExecutor(1, "scene") as reader:
        try:
            ahead = reader.submit(next, items, end)
            while (item := ahead.result()) is not end:
                ahead = reader.submit(next, items, end)
                yield item  # type: ignore[misc]  # never `end`
        finally:
            reader.submit(_close, items).result()


def _close(items: Iterator[Any]) -> None:
    if hasattr(items, "close"):
        items.close()


@dataclass(frozen=True)
class Needed:
    """Bands of a scene that are read.

    Parameters
    ----------
    letters
        Letters or names of the bands.
    orders
        For each file, by its path, a letter or a name for each of its bands.
    nodata
        Value that means no data in files that declare none; None for none.
    """

    letters: tuple[str, ...]
    orders: dict[str, tuple[str, ...]]
    nodata: float | None = None


class MosaicReader:
    """Reads rows of a mosaic; use it in a ``with`` block, and in one thread.

    Parameters
    ----------
    mosaic
        The files on their grid.
    needed
        The bands that are read.
    """

    def __init__(self, mosaic: Mosaic, needed: Needed) -> None:
        self.mosaic, self.needed = mosaic, needed
        self.dtype = np.dtype(mosaic.places[0].file.dtype)
        self._open: dict[str, tuple[ExitStack, Any]] = {}
        self._env: Any = None

    def __enter__(self) -> "MosaicReader":
        import rasterio

        self._env = rasterio.Env(GDAL_CACHEMAX=_cache_bytes(self.mosaic), **_SETTINGS)
        self._env.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for stack, _ in self._open.values():
            stack.close()
        self._open.clear()
        self._env.__exit__(*error)

    def rows(self, top: int, end: int) -> tuple[dict[str, npt.NDArray[Any]], Mask]:
        """Read rows: the values of each band, (rows, width), and which pixels have data."""
        shape = (end - top, self.mosaic.grid.width)
        bands = {letter: np.zeros(shape, dtype=self.dtype) for letter in self.needed.letters}
        valid = np.zeros(shape, dtype=bool)
        for place in self.mosaic.places:
            if place.row < end and place.row + place.height > top:
                self._paste(place, top, end, bands, valid)
            else:
                self._forget(place.file.path)
        return bands, valid

    def _paste(self, place: Place, top: int, end: int, bands: dict[str, npt.NDArray[Any]], valid: Mask) -> None:
        """Put the pixels of a file where no file before it has data."""
        grid = self.mosaic.grid
        first, last = max(top, place.row), min(end, place.row + place.height)
        left, right = max(0, place.column), min(grid.width, place.column + place.width)
        if left >= right:
            return
        here = np.s_[first - top : last - top, left:right]
        missing = ~valid[here]
        if not missing.any():
            return
        window = (first - place.row, last - place.row), (left - place.column, right - place.column)
        values, shown = self._read(place, window)
        put = missing & shown
        for letter, band in zip(self.needed.letters, values, strict=True):
            np.copyto(bands[letter][here], band, where=put, casting="safe")
        valid[here] |= put

    def _read(self, place: Place, window: tuple[tuple[int, int], tuple[int, int]]) -> tuple[npt.NDArray[Any], Mask]:
        """Read the needed bands of a window, and which of its pixels have data."""
        from rasterio.errors import RasterioError

        file, order = place.file, self.needed.orders[place.file.path]
        indexes = [order.index(letter) + 1 for letter in self.needed.letters]
        dataset = self._dataset(place)
        try:
            if place.aligned:
                return self._read_plain(file, order, dataset, indexes, window)
            read = dataset.read([*indexes, dataset.count], window=window)
        except RasterioError as error:
            raise damaged(file.path, error) from None
        return read[:-1], self._finite(read[:-1], read[-1] > _OPAQUE / 2)

    def _read_plain(
        self,
        file: SceneFile,
        order: tuple[str, ...],
        dataset: Any,
        indexes: list[int],
        window: tuple[tuple[int, int], tuple[int, int]],
    ) -> tuple[npt.NDArray[Any], Mask]:
        if ALPHA in order:
            read = dataset.read([*indexes, order.index(ALPHA) + 1], window=window)
            values, alpha = read[:-1], read[-1]
            if is_mask(alpha) is False:
                raise _no_transparency(file.path)
            return values, self._finite(values, alpha != 0)
        values = dataset.read(indexes, window=window)
        shown = np.ones(values.shape[1:], dtype=bool)
        nodata = missing_value(file, self.needed.nodata)
        if file.validity == "mask":
            shown = dataset.read_masks(1, window=window) != 0
        elif nodata is not None and not math.isnan(nodata):
            shown = (values != np.asarray(nodata).astype(values.dtype)).any(axis=0)
        return values, self._finite(values, shown)

    def _finite(self, values: npt.NDArray[Any], shown: Mask) -> Mask:
        return shown & np.isfinite(values).all(axis=0) if values.dtype.kind == "f" else shown

    def _dataset(self, place: Place) -> Any:
        path = place.file.path
        if path not in self._open:
            while len(self._open) >= _OPEN:
                self._forget(next(iter(self._open)))
            stack = ExitStack()
            file = stack.enter_context(opened(path, place.file.driver))
            if not place.aligned:
                file = self._on_grid(file, place, stack)
            self._open[path] = stack, file
        return self._open[path][1]

    def _on_grid(self, file: Any, place: Place, stack: ExitStack) -> Any:
        """Make the view of a file on the grid; its last band says which pixels have data."""
        from rasterio.errors import RasterioError

        order, alpha = self.needed.orders[place.file.path], None
        if ALPHA in order:
            band = order.index(ALPHA) + 1
            try:
                alpha = band, _opaque(file, band)
            except RasterioError as error:
                raise damaged(place.file.path, error) from None
        if "alpha" in {one.name for one in file.colorinterp}:  # may be another band than the order says
            file = _without_colours(file, stack)
        return stack.enter_context(_warped(file, place, self.mosaic.grid, alpha, self.needed.nodata))

    def _forget(self, path: str) -> None:
        if path in self._open:
            self._open.pop(path)[0].close()


def _no_transparency(path: str) -> InputError:
    return InputError("the band named transparency holds data", file=path, option="bands",
                      remedy="name all bands with `bands`, such as bgrn")  # fmt: skip


def _opaque(file: Any, band: int) -> float:
    """Find the value of opaque pixels in the band of transparency of a file, by some of its blocks.

    They are the same whichever rows are asked for, so that strips of any height give the same pixels.
    """
    from rasterio.windows import Window

    height, width = file.block_shapes[band - 1]
    down, across = -(-file.height // height), -(-file.width // width)
    seen: list[npt.NDArray[Any]] = []
    for at in np.random.default_rng(0).permutation(down * across).tolist():
        row, column = at // across * height, at % across * width
        block = Window(column, row, min(width, file.width - column), min(height, file.height - row))
        values = file.read(band, window=block)
        if values.any():
            seen.append(values[:: 1 + len(values) // 64, :: 1 + values.shape[1] // 64].ravel())
        if len(seen) == _BLOCKS:
            break
    if not seen:
        return _OPAQUE  # all pixels are clear
    found = opaque_value(np.concatenate(seen))
    if found is None:
        raise _no_transparency(file.name)
    return found


def _without_colours(file: Any, stack: ExitStack) -> Any:
    """Make a view of a file whose bands have no colours: one with data has that of transparency, which a warp heeds."""
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    with MemoryFile(ext=".vrt") as described:
        copy(file, described.name, driver="VRT")
        text = described.read()
    view = stack.enter_context(MemoryFile(re.sub(rb"<ColorInterp>\w+</ColorInterp>", b"", text), ext=".vrt"))
    return stack.enter_context(view.open(driver="VRT"))


def missing_value(file: SceneFile, nodata: float | None) -> float | None:
    """Give the value that means no data in a file: its own, else that of the option; None if no pixel can have it."""
    value = nodata if file.nodata is None else file.nodata
    return value if value is not None and can_hold(file.dtype, value) else None


def can_hold(dtype: str, value: float) -> bool:
    """Whether a pixel of a type can have a value."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return float(value).is_integer() and limits.min <= value <= limits.max


def _warped(file: Any, place: Place, grid: Grid, alpha: tuple[int, float] | None, nodata: float | None) -> Any:
    """Make the view of a file on the grid; its last band is `_OPAQUE` where pixels have data.

    `alpha` is the band of transparency, with the value of its opaque pixels.
    """
    from rasterio import Affine
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    about = place.file
    ratio = math.sqrt(about.width * about.height / (place.width * place.height))
    # As tiles are scaled: by averages of areas to shrink, cubic to enlarge.
    how = Resampling.average if ratio > 1.1 else Resampling.cubic if ratio < 0.9 else Resampling.bilinear
    missing = missing_value(about, nodata)
    if missing is None and np.dtype(about.dtype).kind == "f":
        missing = math.nan
    options: dict[str, object] = {"add_alpha": True, "DST_ALPHA_MAX": _OPAQUE}
    if alpha is not None:
        options |= {"src_alpha": alpha[0], "SRC_ALPHA_MAX": alpha[1], "src_nodata": None, "nodata": None}
    elif missing is not None:
        options |= {"src_nodata": missing, "nodata": None, "UNIFIED_SRC_NODATA": "YES"}
    corner = Affine(grid.dx, 0.0, grid.x(place.column), 0.0, -grid.dy, grid.y(place.row))
    return WarpedVRT(
        file, crs=grid.crs, transform=corner, width=place.width, height=place.height, resampling=how, **options
    )


def _cache_bytes(mosaic: Mosaic) -> int:
    """Bytes of decoded blocks to hold: two rows of blocks, so that a block that two strips share is decoded once."""
    low, high = _CACHE
    rows = [
        2 * place.file.block[0] * place.file.width * place.file.count * np.dtype(place.file.dtype).itemsize
        for place in mosaic.places
    ]
    return min(high, max(low, sum(rows)))
