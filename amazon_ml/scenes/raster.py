"""Writes the probabilities of a scene as a cloud-optimised GeoTIFF: one pixel a window, one band a tag."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from amazon_ml.scenes.grid import stride_grid
from amazon_ml.scenes.result import SceneResult

#: Edge of the tiles of the file; a larger raster gets overviews.
_BLOCK = 128
#: Bytes that are written at once.
_PIECE = 2**24


def write_raster(path: Path, result: SceneResult) -> None:
    """Write the probabilities; the descriptions of the bands are the tags, and NaN is the value without data.

    Parameters
    ----------
    path
        File to write.
    result
        The probabilities.
    """
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    grid = stride_grid(result.grid, result.windows)
    about = {
        "driver": "GTiff", "width": grid.width, "height": grid.height, "count": len(result.tags), "dtype": "float32",
        "nodata": np.nan, "transform": grid.transform, "tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK,
        "interleave": "pixel", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    if grid.crs:
        about["crs"] = grid.crs
    with MemoryFile() as memory, MemoryFile() as whole:
        with memory.open(**about) as plain:
            plain.write(np.moveaxis(result.p, -1, 0))
            plain.descriptions = result.tags
        with memory.open() as plain:
            copy(plain, whole.name, driver="COG", compress="DEFLATE", predictor="YES", blocksize=_BLOCK,
                 resampling="AVERAGE")  # fmt: skip
        save(whole, path)


def save(memory: Any, path: Path) -> None:
    """Write a raster that was made in memory to a file.

    The raster library does not report what it fails to write when it closes a file, as on a full disk.

    Parameters
    ----------
    memory
        A `rasterio.io.MemoryFile` without open datasets.
    path
        File to write.

    Raises
    ------
    OSError
        If it cannot be written whole.
    """
    with path.open("wb") as stream:
        shutil.copyfileobj(memory, stream, _PIECE)
