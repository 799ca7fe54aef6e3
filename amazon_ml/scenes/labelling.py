"""Which tiles of a scene points and polygons with tags label, and which split each tile goes to.

Neighbours on the ground look alike. A split that draws tiles one by one would test a network on the ground that it was
trained on. So whole blocks of ground go to a split, and training tiles that overlap a tile of another split are
dropped.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.folds.folds import make_folds_by_scene
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot, split_tags
from amazon_ml.scenes.config import CutConfig
from amazon_ml.scenes.grid import Grid, Windows
from amazon_ml.scenes.vectors import Feature, Features, Polygon

#: Names of the splits: the first two folds of five are held out.
SPLITS = ("val", "test", "train", "train", "train")
#: Share of a polygon that a tile holds, from which on it has the polygon's tags.
_MOST_OF_POLYGON = 0.5
#: Largest number of pixels that one polygon is drawn on.
_MOST_PIXELS = 2**28

#: First row and first column of a tile.
Place = tuple[int, int]


@dataclass(frozen=True)
class Labelled:
    """Tiles with tags.

    Parameters
    ----------
    places
        First row and column of each tile, in rising order.
    tags
        Tags of each tile, sorted.
    """

    places: tuple[Place, ...]
    tags: tuple[tuple[str, ...], ...]


def label_tiles(features: Features, grid: Grid, windows: Windows, how: CutConfig) -> Labelled:
    """Give tags to tiles: a point has a tile around it, and polygons label the windows that they lie on.

    Parameters
    ----------
    features
        Points and polygons, in the CRS of the grid.
    grid
        Pixels of the scene.
    windows
        The windows that polygons label.
    how
        Options.

    Raises
    ------
    InputError
        If a feature has no tags, or none lies on the scene.
    """
    found: defaultdict[Place, set[str]] = defaultdict(set)
    for number, feature in enumerate(features.features, start=1):
        text = feature.properties.get(how.tags_column)
        tags = split_tags(text or "", how.tag_separator)
        if not tags:
            held = ", ".join(sorted(feature.properties)) or "none"
            raise InputError(
                f"feature {number} has no tags in its property {how.tags_column!r} (properties: {held})",
                file=features.path, option="tags_column", remedy="name the property, or remove the feature",
            )  # fmt: skip
        for place in (
            *_around_points(feature, grid, windows.size),
            *_below_polygons(feature, grid, windows, how.share),
        ):
            found[place] |= set(tags)
    if not found:
        raise InputError("no point and no polygon labels a tile of the scene", file=features.path, option="labels",
                         remedy="check the coordinate reference system of both, or set a smaller `share`")  # fmt: skip
    places = sorted(found)
    return Labelled(tuple(places), tuple(tuple(sorted(found[place])) for place in places))


def split_by_place(places: Sequence[Place], targets: MultiHot, how: CutConfig) -> list[str]:
    """Choose the split of each tile: whole blocks of ground, with the tags spread evenly; empty for a dropped tile.

    A tile of training that overlaps a tile of another split is dropped, and one of validation that overlaps a tile of
    the test.

    Raises
    ------
    InputError
        If there are too few blocks for the splits.
    """
    edge = how.block * how.size
    blocks = [((row + how.size // 2) // edge, (column + how.size // 2) // edge) for row, column in places]
    numbers = {block: number for number, block in enumerate(sorted(set(blocks)))}
    if len(numbers) < len(SPLITS):
        raise InputError(
            f"the tiles lie in {len(numbers)} blocks of {how.block} x {how.block} tiles, and {len(SPLITS)} are needed "
            "to split them by place", option="block", remedy="set a smaller `block`, or label more ground",
        )  # fmt: skip
    names = pd.Series(range(len(places)))
    block = np.array([numbers[one] for one in blocks], dtype=np.intp)
    folds = make_folds_by_scene(names, targets, block, len(SPLITS), how.seed)["fold"].tolist()
    chosen = [SPLITS[fold] for fold in folds]
    for split, others in (("train", ("val", "test")), ("val", ("test",))):
        held = [place for place, one in zip(places, chosen, strict=True) if one in others]
        overlapping = _overlapping(places, held, how.size)
        chosen = ["" if one == split and at in overlapping else one for at, one in enumerate(chosen)]
    return chosen


def _overlapping(places: Sequence[Place], held: Sequence[Place], size: int) -> set[int]:
    """List the tiles that overlap any held-out tile."""
    near: defaultdict[Place, list[Place]] = defaultdict(list)
    for row, column in held:
        near[row // size, column // size].append((row, column))
    found = set()
    for at, (row, column) in enumerate(places):
        cells = [(row // size + down, column // size + across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        if any(abs(r - row) < size and abs(c - column) < size for cell in cells for r, c in near.get(cell, ())):
            found.add(at)
    return found


def _around_points(feature: Feature, grid: Grid, size: int) -> Iterator[Place]:
    """Place a tile around each point; at the edge of the scene it is pulled inwards."""
    for x, y in feature.points.tolist():
        column, row = (x - grid.left) / grid.dx, (grid.top - y) / grid.dy
        if 0 <= column < grid.width and 0 <= row < grid.height:
            top, left = (round(at - size / 2) for at in (row, column))
            yield min(max(0, top), max(0, grid.height - size)), min(max(0, left), max(0, grid.width - size))


def _below_polygons(feature: Feature, grid: Grid, windows: Windows, share: float) -> Iterator[Place]:
    """List the windows that a polygon covers in part, or that hold most of it."""
    size = windows.size
    for polygon in feature.polygons:
        drawn = _draw(polygon, grid)
        if drawn is None:
            continue
        top, left, mask = drawn
        whole = int(mask.sum())
        # Sums over rectangles are differences of sums from the corner.
        sums = np.pad(mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
        height, width = mask.shape
        for row in _near(windows.down.starts, top, height, size):
            for column in _near(windows.across.starts, left, width, size):
                y = np.clip([row - top, row - top + size], 0, height)
                x = np.clip([column - left, column - left + size], 0, width)
                inside = int(sums[y[1], x[1]] - sums[y[0], x[1]] - sums[y[1], x[0]] + sums[y[0], x[0]])
                if inside and (inside >= share * size * size or inside >= _MOST_OF_POLYGON * whole):
                    yield row, column


def _near(starts: npt.NDArray[np.int64], first: int, length: int, size: int) -> list[int]:
    near: list[int] = starts[(starts < first + length) & (starts + size > first)].tolist()
    return near


def _draw(polygon: Polygon, grid: Grid) -> tuple[int, int, npt.NDArray[np.uint8]] | None:
    """Draw a polygon on the pixels around it; return its first row and column and the mask, or None outside."""
    from rasterio import Affine
    from rasterio.features import rasterize

    columns, rows = (polygon[0][:, 0] - grid.left) / grid.dx, (grid.top - polygon[0][:, 1]) / grid.dy
    left, right = max(0, int(np.floor(columns.min()))), min(grid.width, int(np.ceil(columns.max())))
    top, bottom = max(0, int(np.floor(rows.min()))), min(grid.height, int(np.ceil(rows.max())))
    if left >= right or top >= bottom:
        return None
    if (right - left) * (bottom - top) > _MOST_PIXELS:
        raise InputError(f"a polygon covers {right - left:,} x {bottom - top:,} pixels", option="labels",
                         remedy="divide it, or set a larger `gsd`")  # fmt: skip
    corner = Affine(grid.dx, 0.0, grid.x(left), 0.0, -grid.dy, grid.y(top))
    shape = {"type": "Polygon", "coordinates": [ring.tolist() for ring in polygon]}
    mask = rasterize([shape], out_shape=(bottom - top, right - left), transform=corner, dtype="uint8")
    return (top, left, mask) if mask.any() else None
