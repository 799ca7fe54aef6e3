"""Paints a scene, a later one of the same ground with clearings, and the truth of each of their cells.

Each cell is a tile of the generator of `amazon_ml.data.demo`. The later scene has the same cells, drawn with the same
random numbers, so that what both have in common looks alike; on some of them people have been at work.
"""

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from amazon_ml.data.demo.demo import draw_tile
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import atomic_write
from amazon_ml.runtime.outputs import check_outputs
from amazon_ml.scenes.formats import write_geojson
from amazon_ml.scenes.grid import Grid, cell_bounds, place_windows
from amazon_ml.scenes.layer import Column, Layer
from amazon_ml.scenes.raster import save
from amazon_ml.scenes.vectors import crs_of

log = logging.getLogger(__name__)

#: UTM zone and corner of the painted ground: a place in Rondônia, and metres along the edge of a cell, as in the tiles
#: of the competition (256 pixels of 3 m).
_ZONE, _LEFT, _TOP, _METRES = 32720, 480_000.0, 8_900_000.0, 768.0
#: Steps of the clearing front, and what each adds to forest: first a road, then the fields along it.
_SEQUENCE = (("road",), ("road", "agriculture"), ("road", "agriculture", "habitation"))
_BURNT, _MINE = ("slash_burn", "cultivation"), ("artisinal_mine", "water", "bare_ground")

Tags = tuple[str, ...]
Bounds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DemoScene:
    """What was painted.

    Parameters
    ----------
    before, after
        Files of the two scenes.
    cells
        Number of cells.
    changed
        Number of cells whose tags differ.
    """

    before: Path
    after: Path
    cells: int
    changed: int


def write_scenes(
    folder: Path, *, rows: int = 12, columns: int = 16, size: int = 64, seed: int = 0, overwrite: bool = False
) -> DemoScene:
    """Paint a scene, a later one of the same ground with clearings, and write the truth of each cell.

    The scenes are drawn, not photographed. Their cells have the edge of the tiles that ``amazon-ml data demo`` draws by
    default, so that the network of ``make train`` tags them.

    Parameters
    ----------
    folder
        Folder to write: before.tif, after.tif, truth.csv, and the tags of the cells as before.geojson and
        after.geojson.
    rows
        Number of cells from north to south, at least 2.
    columns
        Number of cells from west to east, at least 2.
    size
        Edge of a cell in pixels, at least 16; a cell is 768 m wide.
    seed
        Seed of the ground, at least 0.
    overwrite
        Replace existing files.

    Returns
    -------
    DemoScene
        The files, and how many cells changed.

    Raises
    ------
    InputError
        If a number is out of range, or a file exists.
    """
    for name, value, least in (("rows", rows, 2), ("columns", columns, 2), ("size", size, 16), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"`{name}` must be at least {least}, not {value}", option=name)
    if rows * columns > 40_000:
        raise InputError(f"`rows` {rows} times `columns` {columns} are more than 40,000 cells", option="rows")
    folder = Path(folder).expanduser()
    names = ("before.tif", "after.tif", "truth.csv", "before.geojson", "after.geojson")
    existing = [name for name in names if (folder / name).exists()]
    if existing and not overwrite:
        raise InputError(f"the folder holds {existing[0]} already", file=folder, option="folder",
                         remedy="name another folder, or replace it with `overwrite`")  # fmt: skip
    check_outputs({"folder": folder / "truth.csv"}, overwrite=overwrite)
    before, after = _plan(rows, columns, np.random.default_rng([seed, 0, 1]))
    step = _METRES / size
    grid = Grid(crs_of(_ZONE), _LEFT, _TOP, step, step, columns * size, rows * size)
    bounds = cell_bounds(grid, place_windows(grid, size, size), *np.divmod(np.arange(rows * columns), columns))
    for name, tags in (("before", before), ("after", after)):
        _write_scene(folder / f"{name}.tif", _paint(tags, columns, size, seed), grid)
        with atomic_write(folder / f"{name}.geojson") as temporary:
            write_geojson(temporary, _layer(name, grid.crs, tags, bounds))
    _write_truth(folder / "truth.csv", before, after, bounds)
    changed = sum(one != other for one, other in zip(before, after, strict=True))
    log.info("%s: %d cells, %d of them changed", folder, rows * columns, changed)
    return DemoScene(folder / "before.tif", folder / "after.tif", rows * columns, changed)


def _plan(rows: int, columns: int, rng: np.random.Generator) -> tuple[list[Tags], list[Tags]]:
    """Choose the tags of each cell before and after: forest, a river, a road with fields, and clearings beside it."""
    river = np.clip(columns // 4 + np.cumsum(rng.integers(-1, 2, rows)), 0, columns - 1)
    road = np.clip(rows // 2 + np.cumsum(rng.integers(-1, 2, columns)) // 2, 0, rows - 1)
    reach = columns // 2
    mine = int(rng.integers(rows))
    before, after = [], []
    for row in range(rows):
        for column in range(columns):
            ground = {"clear", "primary"} | ({"water"} if river[row] == column else set())
            distance = abs(int(road[column]) - row)
            if distance == 0 and column <= reach:
                ground |= set(_SEQUENCE[int(rng.integers(len(_SEQUENCE)))])
            later = set(ground)
            if distance == 0 and column > reach:
                later |= set(_SEQUENCE[int(rng.integers(len(_SEQUENCE)))])
            elif distance == 1 and rng.random() < 0.5:
                later |= {"agriculture"} if rng.random() < 0.6 else set(_BURNT)
            if row == mine and column == int(river[row]):
                later |= set(_MINE)
            before.append(tuple(sorted(ground)))
            after.append(tuple(sorted(later)))
    return before, after


def _paint(tags: Sequence[Tags], columns: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Paint all cells, each with random numbers of its own; result of shape (height, width, 3)."""
    tiles = [draw_tile(one, size, np.random.default_rng([seed, 1, at])) for at, one in enumerate(tags)]
    return np.concatenate([np.concatenate(tiles[at : at + columns], axis=1) for at in range(0, len(tiles), columns)])


def _write_scene(path: Path, pixels: npt.NDArray[np.uint8], grid: Grid) -> None:
    from rasterio.enums import ColorInterp
    from rasterio.io import MemoryFile

    about = {"driver": "GTiff", "width": grid.width, "height": grid.height, "count": 3, "dtype": "uint8",
             "crs": grid.crs, "transform": grid.transform, "tiled": True, "compress": "deflate", "interleave": "pixel",
             "photometric": "RGB"}  # fmt: skip
    with MemoryFile() as memory, atomic_write(path) as temporary:
        with memory.open(**about) as file:
            file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            file.write(np.moveaxis(pixels, -1, 0))
        save(memory, temporary)


def _write_truth(path: Path, before: Sequence[Tags], after: Sequence[Tags], bounds: Bounds) -> None:
    middles = (bounds[:, :2] + bounds[:, 2:]) / 2
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("x", "y", "before", "after"))
        for (x, y), one, other in zip(middles.tolist(), before, after, strict=True):
            writer.writerow((x, y, " ".join(one), " ".join(other)))


def _layer(name: str, crs: str, tags: Sequence[Tags], bounds: Bounds) -> Layer:
    """Make a layer of the cells with their tags, as labels of polygons."""
    return Layer(name, crs, bounds, (Column("tags", [" ".join(one) for one in tags]),))
