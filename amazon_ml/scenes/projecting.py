"""Projects points from one coordinate reference system to another, with one kind of error."""

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


def project(points: Points, source: str, target: str) -> Points:
    """Project points of shape (n, 2) from one CRS to another; what cannot be projected is not finite.

    Raises
    ------
    ValueError
        If the two systems have nothing to do with each other, or the projection fails.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    if source == target or not len(points):
        return points
    try:
        x, y = transform(source, target, *points.T)
    except (RasterioError, CPLE_BaseError) as error:
        raise ValueError(str(error)) from None
    return np.stack([np.asarray(x), np.asarray(y)], axis=1)
