"""Which tiles of a scene points and polygons with tags label, and which split each tile goes to.

Neighbours on the ground look alike. A split that draws tiles one by one would test a network on the ground that it was
trained on. So whole blocks of ground go to a split, and training tiles that overlap a tile of another split are
dropped.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.cells import in_brackets, read_list
from amazon_ml.data.catalog.tags import doubt_separators
from amazon_ml.data.folds.folds import make_folds_by_scene
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot, split_tags
from amazon_ml.scenes.config import CutConfig
from amazon_ml.scenes.grid import Grid, Windows
from amazon_ml.scenes.squares import hold_a_point
from amazon_ml.scenes.vectors import Feature, Features, Polygon

log = logging.getLogger(__name__)

#: Names of the splits: the first two folds of five are held out.
SPLITS = ("val", "test", "train", "train", "train")
#: Share of a polygon that a tile holds, from which on it has the polygon's tags.
_MOST_OF_POLYGON = 0.5
#: Largest number of pixels that one polygon is drawn on.
_MOST_PIXELS = 2**28

#: Advice on a tag of a table, and the one on the tags of a feature.
_AS_LIST = ("list all tags with `data.tags`", 'write the tags as a list, such as ["forest", "river"],')
#: Advice on a text of a list.
_EACH_ALONE = "write each tag as a string of its own"
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

    Each of these tiles has the tags of all points in it, and of all polygons that cover enough of it.

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
    numbered = [(one.number or at, one) for at, one in enumerate(features.features, start=1)]
    tags = [_tags_of(feature, number, features, how) for number, feature in numbered]
    _check_tags(numbered, features, how)
    points, owners = _pixels_of_points(features, grid)
    found: dict[Place, set[str]] = {place: set() for place in _around(points, grid, windows.size)}
    tiles = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    for feature, own in zip(features.features, tags, strict=True):
        for polygon in feature.polygons:
            for place in _below(polygon, grid, windows, tiles, how.share):
                found.setdefault(place, set()).update(own)
    if not found:
        raise InputError("no point and no polygon labels a tile of the scene", file=features.path, option="labels",
                         remedy="check the coordinate reference system of both, or set a smaller `share`")  # fmt: skip
    places = sorted(found)
    corners, pixels = np.array(places, dtype=np.int64), np.floor(points).astype(np.int64)
    for tag, numbers in _features_by_tag(tags).items():
        own_points = pixels[np.isin(owners, numbers)]
        for at in np.flatnonzero(hold_a_point(corners, own_points, windows.size)).tolist():
            found[places[at]].add(tag)
    return Labelled(tuple(places), tuple(tuple(sorted(found[place])) for place in places))


def _tags_of(feature: Feature, number: int, features: Features, how: CutConfig) -> list[str]:
    """Read the tags of a feature: a text that is split, or a list of texts."""
    text = _text_of(feature, how)
    tags = read_list(text) if in_brackets(text) else split_tags(text, how.tag_separator)
    if tags is None:
        raise InputError(f"the property {how.tags_column!r} of feature {number} is {text[:80]!r}, not a list of texts",
                         file=features.path, option="tags_column",
                         remedy='write the tags alone, such as "forest river", or as ["forest", "river"]')  # fmt: skip
    if not tags:
        held = ", ".join(sorted(feature.properties)) or "none"
        raise InputError(
            f"feature {number} has no tags in its property {how.tags_column!r} (properties: {held})",
            file=features.path, option="tags_column", remedy="name the property, or remove the feature",
        )  # fmt: skip
    return tags


def _text_of(feature: Feature, how: CutConfig) -> str:
    return feature.properties.get(how.tags_column, "").strip()


def _check_tags(numbered: Sequence[tuple[int, Feature]], features: Features, how: CutConfig) -> None:
    """Check that no tag looks like several tags, as for a table; a text of a list is one tag, with a warning."""
    texts = [(number, _text_of(feature, how)) for number, feature in numbered]
    for are_lists in (False, True):
        own = [(number, text) for number, text in texts if in_brackets(text) == are_lists]
        doubts = doubt_separators((text for _, text in own), how.tag_separator)
        doubted = [(number, text) for number, text in own if text in doubts]
        # A bar separates tags in the tables of a run.
        refused = [(number, text) for number, text in doubted if not are_lists or "|" in text]
        if refused:
            number, text = refused[0]
            remedy = doubts[text].remedy.replace("`data.tag_separator`", "`tag_separator`").replace(*_AS_LIST)
            raise InputError(f"feature {number}: {doubts[text].what}", file=features.path, option="tag_separator",
                             remedy=_EACH_ALONE if are_lists else remedy)  # fmt: skip
        if doubted:
            number, text = doubted[0]
            log.warning("%s: feature %d: %s, and counts as one tag; if it is several, %s", features.path, number,
                        doubts[text].what, _EACH_ALONE)  # fmt: skip


def _features_by_tag(tags: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """List the features with each tag."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, own in enumerate(tags):
        for tag in set(own):
            numbers[tag].append(number)
    return numbers


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
    corners, others = (np.array(each, dtype=np.int64).reshape(-1, 2) for each in (places, held))
    # A tile that overlaps begins less than an edge before or behind; all numbers are moved by an edge, to be positive.
    return set(np.flatnonzero(hold_a_point(corners + 1, others + size, 2 * size - 1)).tolist())


def _pixels_of_points(features: Features, grid: Grid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Give row and column of the points on the scene, and the number of the feature of each."""
    points = np.concatenate([np.zeros((0, 2)), *(one.points for one in features.features)])
    owners = np.repeat(np.arange(len(features.features)), [len(one.points) for one in features.features])
    at = np.stack([(grid.top - points[:, 1]) / grid.dy, (points[:, 0] - grid.left) / grid.dx], axis=1)
    inside = ((at >= 0) & (at < (grid.height, grid.width))).all(axis=1)
    return at[inside], owners[inside]


def _around(points: npt.NDArray[np.float64], grid: Grid, size: int) -> list[Place]:
    """Place a tile around each point; at the edge of the scene it is pulled inwards."""
    most = np.maximum(0, np.array([grid.height, grid.width]) - size)
    return [(row, column) for row, column in np.clip(np.rint(points - size / 2), 0, most).astype(np.int64).tolist()]


def _below(polygon: Polygon, grid: Grid, windows: Windows, tiles: npt.NDArray[np.int64], share: float) -> list[Place]:
    """List the windows and the tiles, which are sorted, that a polygon covers in part, or that hold most of it."""
    size = windows.size
    drawn = _draw(polygon, grid)
    if drawn is None:
        return []
    top, left, mask = drawn
    whole = int(mask.sum())
    # Sums over rectangles are differences of sums from the corner.
    sums = np.pad(mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
    height, width = mask.shape
    rows, columns = (
        _near(axis.starts, first, length, size)
        for axis, first, length in ((windows.down, top, height), (windows.across, left, width))
    )
    near = tiles[np.searchsorted(tiles[:, 0], top - size, side="right") : np.searchsorted(tiles[:, 0], top + height)]
    near = near[(near[:, 1] + size > left) & (near[:, 1] < left + width)]
    around = np.concatenate([np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2), near])
    (y, x), (end_y, end_x) = (np.clip(around + edge - (top, left), 0, (height, width)).T for edge in (0, size))
    inside = sums[end_y, end_x] - sums[y, end_x] - sums[end_y, x] + sums[y, x]
    labelled = (inside > 0) & ((inside >= share * size * size) | (inside >= _MOST_OF_POLYGON * whole))
    return [(row, column) for row, column in around[labelled].tolist()]


def _near(starts: npt.NDArray[np.int64], first: int, length: int, size: int) -> npt.NDArray[np.int64]:
    return starts[(starts < first + length) & (starts + size > first)]


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
