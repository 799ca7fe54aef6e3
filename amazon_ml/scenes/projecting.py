"""Projects points from one coordinate reference system to another, with one kind of error."""

from typing import Any

import numpy as np
import numpy.typing as npt

#: Characters of an error of PROJ, which may hold whole systems.
_TEXT = 200
#: EPSG code of longitude and latitude on the Earth.
DEGREES = 4326
#: What a projection says of the shape of its body.
_BODY = ("datum", "ellps", "a", "b", "rf", "R")

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
        raise ValueError(str(error)[:_TEXT]) from None
    return np.stack([np.asarray(x), np.asarray(y)], axis=1)


def body_of(crs: str) -> dict[str, Any]:
    """Give what a CRS says of the shape of its body, as parameters of PROJ."""
    from rasterio.crs import CRS

    about = CRS.from_wkt(crs).to_dict()
    return {name: about[name] for name in _BODY if name in about} or {"datum": "WGS84"}


def is_elsewhere(crs: str) -> bool:
    """Whether a CRS is of another body than the Earth, such as the Moon: PROJ refuses to go from one to the other."""
    from rasterio.crs import CRS

    own = CRS.from_dict(proj="longlat", **body_of(crs)).to_wkt()
    try:
        project(np.zeros((1, 2)), own, CRS.from_epsg(DEGREES).to_wkt())
    except ValueError:
        return True
    return False
