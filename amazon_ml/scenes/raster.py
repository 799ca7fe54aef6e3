"""Writes the probabilities of a scene as a cloud-optimised GeoTIFF: one pixel a window, one band a tag."""

from pathlib import Path

import numpy as np

from amazon_ml.scenes.grid import stride_grid
from amazon_ml.scenes.result import SceneResult

#: Edge of the tiles of the file; a larger raster gets overviews.
_BLOCK = 128


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
    with MemoryFile() as memory:
        with memory.open(**about) as plain:
            plain.write(np.moveaxis(result.p, -1, 0))
            plain.descriptions = result.tags
        with memory.open() as plain:
            copy(plain, path, driver="COG", compress="DEFLATE", predictor="YES", blocksize=_BLOCK, resampling="AVERAGE")
