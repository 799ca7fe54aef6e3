"""The area of interest: which share of each cell of a scene lies inside."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError
from amazon_ml.scenes.clipping import project_near
from amazon_ml.scenes.grid import Grid, Windows
from amazon_ml.scenes.vectors import read_features, shapes


def shares_inside(aoi: Path, grid: Grid, windows: Windows) -> npt.NDArray[np.float32]:
    """Share of each cell inside the polygons of a file, by the centres of pixels: float32 of shape (rows, columns).

    Raises
    ------
    InputError
        If the file holds no polygon, or none of them lies on the scene.
    """
    from rasterio import Affine
    from rasterio.features import rasterize

    features = read_features(aoi, "aoi")
    if not any(one.polygons for one in features.features):
        raise InputError("the file holds no polygon with an area", file=aoi, option="aoi")
    polygons = list(shapes(project_near(features, grid)))
    tops = [max(y for _, y in polygon["coordinates"][0]) for polygon in polygons]  # type: ignore[index]
    bottoms = [min(y for _, y in polygon["coordinates"][0]) for polygon in polygons]  # type: ignore[index]
    shares = np.zeros(windows.shape, dtype=np.float32)
    columns = windows.across.edges
    for row, (first, last) in enumerate(zip(windows.down.edges[:-1], windows.down.edges[1:], strict=True)):
        top, bottom = grid.y(int(first)), grid.y(int(last))
        here = [one for one, high, low in zip(polygons, tops, bottoms, strict=True) if high > bottom and low < top]
        if here:
            corner = Affine(grid.dx, 0.0, grid.left, 0.0, -grid.dy, top)
            mask = rasterize(here, out_shape=(int(last - first), grid.width), transform=corner, dtype="uint8")
            inside = np.add.reduceat(mask.sum(axis=0, dtype=np.int64), columns[:-1])
            shares[row] = inside / ((last - first) * np.diff(columns))
    if not shares.any():
        raise InputError("no polygon covers the middle of a pixel of the scene", file=aoi, option="aoi",
                         remedy="check the coordinate reference system of both")  # fmt: skip
    return shares
