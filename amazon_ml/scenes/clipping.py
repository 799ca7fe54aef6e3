"""Cuts polygons to the surroundings of a scene, and puts points on their edges, so that they can be projected.

A projection is good near its centre only, and edges that are straight in one system are curved in another.
"""

import numpy as np
import numpy.typing as npt

from amazon_ml.scenes.grid import Grid
from amazon_ml.scenes.projecting import Points, project
from amazon_ml.scenes.vectors import Feature, Features, Polygon

#: Points along an edge of a scene that are projected, part of its extent that is kept around it, number of pieces that
#: an edge of the whole extent gets, and largest number of pieces of an edge.
_POINTS, _MARGIN, _PIECES, _MOST = 21, 0.1, 64, 1000

#: Left, bottom, right and top.
Box = tuple[float, float, float, float]


def project_near(features: Features, grid: Grid) -> Features:
    """Convert the polygons of features to the coordinates of a grid, as far as they lie near it; points are left out.

    Parameters
    ----------
    features
        The features.
    grid
        The grid; in pixel coordinates nothing is converted.
    """
    if grid.crs in ("", features.crs):
        return features
    box, step = _surroundings(grid, features.crs)
    near = []
    for one in features.features:
        polygons = (_cut(polygon, box) for polygon in one.polygons)
        dense = (tuple(_dense(ring, step) for ring in polygon) for polygon in polygons if polygon)
        near.append(Feature(np.zeros((0, 2)), tuple(dense), one.properties))
    return Features(features.path, features.crs, tuple(near)).projected(grid.crs)


def _surroundings(grid: Grid, crs: str) -> tuple[Box | None, float]:
    """Give the box around a grid in another CRS, and the longest edge that stays straight.

    There is no box where the coordinates jump within the grid, as at the 180th meridian.
    """
    along = np.linspace(0, 1, _POINTS)
    border = np.concatenate([
        np.stack([along * grid.width, np.full_like(along, row)], axis=1) for row in np.linspace(0, grid.height, _POINTS)
    ])  # fmt: skip
    points = np.stack([grid.left + border[:, 0] * grid.dx, grid.top - border[:, 1] * grid.dy], axis=1)
    try:
        moved = project(points, grid.crs, crs)
    except ValueError:
        return None, np.inf  # the error comes again where the polygons are projected
    if not np.isfinite(moved).all():
        return None, np.inf
    rows = np.sort(moved.reshape(_POINTS, _POINTS, 2), axis=1)
    low, high = moved.min(axis=0), moved.max(axis=0)
    extent = high - low
    gap = np.diff(rows, axis=1).max(axis=(0, 1))
    if gap[0] > extent[0] / 2 > 0:  # one half of the points lies at each end
        return None, float(extent.max()) / _PIECES / _MOST
    margin = _MARGIN * extent.max()
    box = (float(low[0] - margin), float(low[1] - margin), float(high[0] + margin), float(high[1] + margin))
    return box, float(extent.max()) / _PIECES


def _cut(polygon: Polygon, box: Box | None) -> Polygon:
    """Cut a polygon to a box; empty where it lies outside."""
    if box is None:
        return polygon
    rings = [_cut_ring(ring, box) for ring in polygon]
    return tuple(ring for ring in rings if len(ring)) if len(rings[0]) else ()


def _cut_ring(ring: Points, box: Box) -> Points:
    """Cut a ring at the four sides of a box, one after the other (Sutherland and Hodgman)."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    if low[0] >= box[0] and low[1] >= box[1] and high[0] <= box[2] and high[1] <= box[3]:
        return ring
    for axis, limit, sign in ((0, box[0], 1), (1, box[1], 1), (0, box[2], -1), (1, box[3], -1)):
        if not len(ring):
            break
        after = np.roll(ring, -1, axis=0)
        inside = sign * (ring[:, axis] - limit) >= 0
        crosses = inside != np.roll(inside, -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (limit - ring[:, axis]) / (after[:, axis] - ring[:, axis])
        crossing = ring + np.where(crosses, part, 0)[:, None] * (after - ring)
        crossing[:, axis] = np.where(crosses, limit, crossing[:, axis])
        ring = np.stack([ring, crossing], axis=1)[np.stack([inside, crosses], axis=1)]
    return ring


def _dense(ring: Points, step: float) -> Points:
    """Put points on the edges of a ring that are longer than a step."""
    edges = np.roll(ring, -1, axis=0) - ring
    pieces = np.clip(np.ceil(np.abs(edges).max(axis=1) / step), 1, _MOST).astype(np.intp)
    edge: npt.NDArray[np.intp] = np.repeat(np.arange(len(ring)), pieces)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    dense: Points = ring[edge] + (number / pieces[edge])[:, None] * edges[edge]
    return dense
