"""The grid of a scene: one CRS and one size of pixels for all of its files, and where each file lies on it.

A file whose pixels are those of the grid is read as it is. Others are warped to the grid while they are read: files of
another CRS, of another resolution, rotated, or with the south at the top.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError
from amazon_ml.scenes.grid import Grid
from amazon_ml.scenes.projecting import DEGREES, body_of, is_elsewhere, project
from amazon_ml.scenes.sources import SceneFile

#: Relative difference of two resolutions that counts as none.
SAME = 0.01
#: Part of a pixel that a file may be shifted against the grid and still be read as it is.
_SHIFT = 0.01
#: Largest number of pixels along an edge of a grid.
_MOST = 2**31 - 1
#: Relative difference of an edge from its length on the ground, up to which it is not worth a note; up to which the CRS
#: is kept, since national and continental grids reach it at their borders; and the same where no UTM zone is.
_NOTED, _DISTORTED, _POLAR = 0.02, 0.06, 0.1
#: Projections of the whole world, which are no grid of a country or a continent.
_OF_THE_WORLD = ("eqc", "cea")
#: Metres of the edges that are compared.
_EDGE = 100.0
_WARP = "warp it to a metric CRS with gdalwarp -t_srs"
#: Points along an edge of a file that are projected to find its outline.
_POINTS = 21


@dataclass(frozen=True)
class Place:
    """Where a file lies on the grid.

    Parameters
    ----------
    file
        The file.
    column, row
        First pixel of the grid; negative where the file begins outside.
    width, height
        Pixels of the grid.
    aligned
        Whether the pixels of the file are those of the grid, so that it is not warped.
    """

    file: SceneFile
    column: int
    row: int
    width: int
    height: int
    aligned: bool


@dataclass(frozen=True)
class Mosaic:
    """All files of a scene on one grid; where several hold a pixel, the first that has data counts.

    Parameters
    ----------
    grid
        The grid.
    places
        The files that have pixels on it, in their order.
    notes
        What was decided about the ground, in sentences for the user.
    """

    grid: Grid
    places: tuple[Place, ...]
    notes: tuple[str, ...]


def place_files(
    files: Sequence[SceneFile], gsd: float | None, *, pixel_coordinates: bool = False, like: Grid | None = None
) -> Mosaic:
    """Choose the grid of a scene.

    Parameters
    ----------
    files
        Its files; the first one decides about the CRS and, without `gsd`, about the resolution.
    gsd
        Metres a pixel that the networks expect; None takes the scene as it is.
    pixel_coordinates
        Whether a file without a CRS gets the coordinates of its pixels.
    like
        Grid of another scene, which is taken as it is.

    Raises
    ------
    InputError
        If a file has no CRS, without `pixel_coordinates`; if the grid would be too large; or if no file lies on `like`.
    """
    if like is not None:
        return _on_grid(files, like)
    lacking = [file for file in files if not file.crs]
    if lacking:
        return _in_pixels(files, lacking[0], gsd, allowed=pixel_coordinates)
    first = files[0]
    notes: list[str] = []
    crs = _metric_crs(first, notes)
    dx, dy = _resolution(first, crs, gsd, notes)
    outlines = [_outline(file, crs) for file in files]
    own = crs == first.crs and first.is_north_up and _agree(first.transform[0], dx) and _agree(-first.transform[4], dy)
    anchor = (first.transform[2], first.transform[5]) if own else _corner(outlines)
    grid = _grid_around(outlines, crs, anchor, dx, dy)
    places = tuple(_placed(file, outline, grid) for file, outline in zip(files, outlines, strict=True))
    return Mosaic(grid, places, (*notes, *_warp_notes(places)))


def pixel_hectares(grid: Grid) -> float | None:
    """Area of a pixel in hectares; None in pixel coordinates."""
    return None if not grid.crs else grid.dx * grid.dy * metres_per_unit(grid.crs) ** 2 / 10_000


def metres_per_unit(crs: str) -> float:
    """Metres in a unit of a projected CRS."""
    from rasterio.crs import CRS

    return float(CRS.from_wkt(crs).linear_units_factor[1])


def name_crs(crs: str) -> str:
    """Name a CRS for people: its code, else its name."""
    if not crs:
        return "pixel coordinates"
    from rasterio.crs import CRS

    known = CRS.from_wkt(crs)
    code = known.to_authority()
    return ":".join(code) if code else crs.split('"')[1]


def _on_grid(files: Sequence[SceneFile], grid: Grid) -> Mosaic:
    """Place files on the grid of another scene."""
    if not grid.crs:
        same = len(files) == 1 and not files[0].crs and (files[0].width, files[0].height) == (grid.width, grid.height)
        if not same:
            problem = "the other result is in pixel coordinates, and the scene is not of its size"
            raise InputError(problem, file=files[0].path, option="like", remedy="tag both with coordinates")
        return Mosaic(grid, (Place(files[0], 0, 0, grid.width, grid.height, aligned=True),), ())
    lacking = next((file for file in files if not file.crs), None)
    if lacking:
        raise _no_position(lacking)
    places = tuple(_placed(file, _outline(file, grid.crs), grid) for file in files)
    there = tuple(
        one for one in places
        if one.column < grid.width and one.row < grid.height and one.column + one.width > 0 and one.row + one.height > 0
    )  # fmt: skip
    if not there:
        raise InputError("the scene does not lie on the ground of the other result", file=files[0].path, option="like")
    return Mosaic(grid, there, _warp_notes(there))


def _warp_notes(places: Sequence[Place]) -> tuple[str, ...]:
    warped = sum(not place.aligned for place in places)
    if not warped:
        return ()
    return (f"{warped:,} of {len(places):,} files are warped to the grid, since their pixels are not on it",)


def _in_pixels(files: Sequence[SceneFile], lacking: SceneFile, gsd: float | None, *, allowed: bool) -> Mosaic:
    if not allowed:
        raise _no_position(lacking, ", or set `pixel_coordinates` for a map in pixels")
    if len(files) > 1:
        raise InputError("a mosaic of several files needs coordinates", file=lacking.path, option="pixel_coordinates",
                         remedy="tag the files one by one")  # fmt: skip
    notes = ["coordinates are pixels, and areas are not known"]
    if gsd is not None:
        notes.append(f"the scene is taken as it is, although the networks expect {gsd:g} m a pixel")
    grid = Grid("", 0.0, 0.0, 1.0, 1.0, lacking.width, lacking.height)
    return Mosaic(grid, (Place(lacking, 0, 0, lacking.width, lacking.height, aligned=True),), tuple(notes))


def _no_position(file: SceneFile, otherwise: str = "") -> InputError:
    """Make the error for a file whose pixels have no coordinates."""
    problem, remedy = {
        "": ("the file has no coordinate reference system", "assign it with gdal_edit -a_srs"),
        "crs": ("the file has a coordinate reference system, but no position", "set it with gdal_edit -a_ullr"),
        "gcps": ("the file has ground control points, but no grid of pixels", "warp it with gdalwarp -t_srs"),
        "rpcs": ("the file has a camera model (RPC), but no grid of pixels", "warp it with gdalwarp -rpc -t_srs"),
    }[file.hint]
    return InputError(problem, file=file.path, option="scene", remedy=remedy + otherwise)


def _metric_crs(file: SceneFile, notes: list[str]) -> str:
    """Choose the CRS of the grid: that of the file where its units are ground distances, else the local UTM zone."""
    from rasterio.crs import CRS

    crs, name = CRS.from_wkt(file.crs), name_crs(file.crs)
    if not (crs.is_geographic or crs.is_projected):
        problem = f"the coordinates of {name} are neither projected nor degrees"
        raise InputError(problem, file=file.path, option="scene", remedy=f"assign the right one, or {_WARP}")
    if crs.is_projected and is_elsewhere(file.crs):
        notes.append(
            f"{name} cannot be projected to longitude and latitude: lengths and areas are taken as it gives them"
        )
        return file.crs
    # The scale of Mercator's projections changes with the latitude, so none is kept, also where its scale is right.
    kind = crs.to_dict().get("proj")
    is_mercator = kind in ("merc", "webmerc")
    lengths, hectares = _distortion(file) if crs.is_projected and not is_mercator else (math.inf, math.inf)
    differ = f"lengths in {name} differ by {lengths:.1%} from those on the ground here"
    kept = f"{differ}, and hectares by {hectares:.1%}"
    if lengths <= (_NOTED if kind in _OF_THE_WORLD else _DISTORTED):
        notes += [kept] if lengths > _NOTED else []
        return file.crs
    x, y = _outline(file, CRS.from_epsg(DEGREES).to_wkt()).mean(axis=0)
    if not (math.isfinite(x) and abs(y) <= 84):
        if lengths <= _POLAR:
            notes.append(kept)
            return file.crs
        problem = "no UTM zone covers the scene"
        raise InputError(problem, file=file.path, option="scene", remedy=_WARP)
    zone = int((x + 180) % 360 // 6) + 1
    code = (32600 if y >= 0 else 32700) + zone
    why = f"{name} has degrees" if crs.is_geographic else differ
    if is_mercator:
        why = f"the scale of {name} changes with the latitude"
    notes.append(f"the scene is warped to EPSG:{code} (UTM), since {why}")
    return str(CRS.from_epsg(code).to_wkt())


def _distortion(file: SceneFile) -> tuple[float, float]:
    """Give the larger relative difference of two edges of a pixel from their lengths on the ground, and of its area.

    They are taken at the middle of the file: of an edge along each axis of its projected CRS, against a projection that
    is true there.
    """
    from rasterio.crs import CRS

    body = body_of(file.crs)
    a, b, c, d, e, f = file.transform
    x, y = a * file.width / 2 + b * file.height / 2 + c, d * file.width / 2 + e * file.height / 2 + f
    step = _EDGE / metres_per_unit(file.crs)
    corners = np.array([[x, y], [x + step, y], [x, y + step]])
    try:
        ((longitude, latitude),) = project(corners[:1], file.crs, CRS.from_dict(proj="longlat", **body).to_wkt())
        local = CRS.from_dict(proj="laea", lat_0=latitude, lon_0=longitude, units="m", **body).to_wkt()
        middle, *others = project(corners, file.crs, local)
    except ValueError:  # coordinates that its degrees do not reach
        return 0.0, 0.0
    edges = (np.array(others) - middle) / _EDGE
    lengths = float(np.abs(np.hypot(*edges.T) - 1).max())
    hectares = abs(1 / abs(float(np.linalg.det(edges))) - 1)
    return (lengths, hectares) if math.isfinite(lengths) else (0.0, 0.0)


def _resolution(file: SceneFile, crs: str, gsd: float | None, notes: list[str]) -> tuple[float, float]:
    """Choose width and height of the pixels of the grid, in units of its CRS."""
    unit = metres_per_unit(crs)
    dx, dy = _native(file, crs)
    metres = math.sqrt(dx * dy) * unit
    if gsd is None:
        notes.append(
            f"the scene is taken at its own {metres:.4g} m a pixel: the run does not say how many metres a pixel of "
            "its tiles shows (`gsd` sets it)"
        )
        if _agree(dx, dy):
            return dx, dy
        notes.append(f"pixels of {dx * unit:.4g} x {dy * unit:.4g} m are warped to squares")
        return (math.sqrt(dx * dy),) * 2
    if _agree(dx * unit, gsd) and _agree(dy * unit, gsd):
        return dx, dy
    notes.append(f"the scene is warped from {metres:.4g} to {gsd:g} m a pixel, as the networks expect")
    return gsd / unit, gsd / unit


def _native(file: SceneFile, crs: str) -> tuple[float, float]:
    """Width and height of the file's pixels in units of a CRS."""
    a, b, _, d, e, _ = file.transform
    if crs == file.crs:
        return math.hypot(a, d), math.hypot(b, e)
    outline = _outline(file, crs)
    x, y = outline[:, 0], outline[:, 1]
    area = abs(float(np.dot(x - x[0], np.roll(y, -1)) - np.dot(np.roll(x - x[0], -1), y))) / 2
    return (math.sqrt(area / (file.width * file.height)),) * 2


def _outline(file: SceneFile, crs: str) -> npt.NDArray[np.float64]:
    """Project the border of a file to a CRS: points of shape (n, 2)."""
    along = np.linspace(0, 1, _POINTS)[:-1]
    columns = np.concatenate([along, np.ones_like(along), 1 - along, np.zeros_like(along)]) * file.width
    rows = np.concatenate([np.zeros_like(along), along, np.ones_like(along), 1 - along]) * file.height
    a, b, c, d, e, f = file.transform
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    try:
        outline = project(np.stack([x, y], axis=1), file.crs, crs)
    except ValueError as error:
        problem = f"the scene cannot be projected to {name_crs(crs)} ({error})"
        raise InputError(problem, file=file.path, option="scene") from None
    if not np.isfinite(outline).all():
        problem = f"the scene cannot be projected to {name_crs(crs)}"
        raise InputError(problem, file=file.path, option="scene", remedy="check its coordinates")
    return outline


def _corner(outlines: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float]:
    points = np.concatenate(outlines)
    return float(points[:, 0].min()), float(points[:, 1].max())


def _grid_around(
    outlines: Sequence[npt.NDArray[np.float64]], crs: str, anchor: tuple[float, float], dx: float, dy: float
) -> Grid:
    """Make the grid that covers all outlines, with a corner of a pixel at the anchor."""
    points = np.concatenate(outlines)
    first = (
        _whole((points[:, 0].min() - anchor[0]) / dx, up=False),
        _whole((anchor[1] - points[:, 1].max()) / dy, up=False),
    )
    last = (
        _whole((points[:, 0].max() - anchor[0]) / dx, up=True),
        _whole((anchor[1] - points[:, 1].min()) / dy, up=True),
    )
    width, height = last[0] - first[0], last[1] - first[1]
    if min(width, height) < 1:
        problem = f"the scene is smaller than a pixel of {dx:,.6g} x {dy:,.6g}"
        raise InputError(problem, option="gsd", remedy="set a smaller `gsd`")
    if max(width, height) > _MOST:
        problem = f"the files lie {width:,} x {height:,} pixels apart"
        raise InputError(problem, option="scene", remedy="tag them one by one, or set a larger `gsd`")
    return Grid(crs, anchor[0] + first[0] * dx, anchor[1] - first[1] * dy, dx, dy, width, height)


def _placed(file: SceneFile, outline: npt.NDArray[np.float64], grid: Grid) -> Place:
    left, top = (outline[:, 0].min() - grid.left) / grid.dx, (grid.top - outline[:, 1].max()) / grid.dy
    right, bottom = (outline[:, 0].max() - grid.left) / grid.dx, (grid.top - outline[:, 1].min()) / grid.dy
    shifted = max(abs(edge - round(edge)) for edge in (left, top, right, bottom))
    same = round(right) - round(left) == file.width and round(bottom) - round(top) == file.height
    if file.crs == grid.crs and file.is_north_up and same and shifted <= _SHIFT:
        return Place(file, round(left), round(top), file.width, file.height, aligned=True)
    column, row = _whole(left, up=False), _whole(top, up=False)
    return Place(file, column, row, _whole(right, up=True) - column, _whole(bottom, up=True) - row, aligned=False)


def _whole(value: float, *, up: bool) -> int:
    """Round up or down to a whole pixel; a hundredth beyond a border is none."""
    nearest = round(value)
    if abs(value - nearest) <= _SHIFT:
        return nearest
    return math.ceil(value) if up else math.floor(value)


def _agree(one: float, other: float) -> bool:
    return abs(one / other - 1) <= SAME
