"""Georeferenced rasters for tests of scenes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

Pixels = npt.NDArray[Any]
UTM = "EPSG:32720"
#: Corner and size of the pixels of made scenes.
LEFT, TOP, STEP = 500_000.0, 8_900_000.0, 10.0
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
RGBA = (*RGB, ColorInterp.alpha)


def ground(height: int, width: int, count: int = 3, seed: int = 0, dtype: str = "uint8", top: int = 255) -> Pixels:
    """Draw bands of shape (count, height, width), without zeros."""
    drawn = np.random.default_rng(seed).integers(1, top, size=(count, height, width))
    return drawn.astype(dtype)


def write_scene(
    path: Path, bands: Pixels, *, crs: str | None = UTM, transform: Any = None, column: int = 0, row: int = 0,
    colours: Sequence[ColorInterp] | None = RGB, names: Sequence[str] | None = None, mask: Pixels | None = None,
    **options: Any,
) -> Path:  # fmt: skip
    """Write bands as a GeoTIFF whose first pixel lies at a column and a row of the made ground."""
    count, height, width = bands.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    place = transform or from_origin(LEFT + column * STEP, TOP - row * STEP, STEP, STEP)
    about = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": bands.dtype, **options}
    if crs:
        about |= {"crs": crs, "transform": place}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **about) as file:
        if colours is not None and len(colours) == count:
            file.colorinterp = colours
        file.write(bands)
        if names:
            file.descriptions = names
        if mask is not None:
            file.write_mask(mask)
    return path


def quarters(folder: Path, bands: Pixels, row: int, column: int, **options: Any) -> list[Path]:
    """Write bands as four files that touch at a row and a column."""
    parts = []
    for name, rows, columns in (
        ("a", slice(0, row), slice(0, column)), ("b", slice(0, row), slice(column, None)),
        ("c", slice(row, None), slice(0, column)), ("d", slice(row, None), slice(column, None)),
    ):  # fmt: skip
        part = bands[:, rows, columns]
        parts.append(write_scene(folder / f"{name}.tif", part, row=rows.start, column=columns.start, **options))
    return parts
