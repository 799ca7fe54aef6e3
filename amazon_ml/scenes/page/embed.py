"""What a map page embeds: cells and probabilities, as JSON and base64, within a bounded size."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.scenes.grid import Grid, Windows
from amazon_ml.scenes.picture import picture_factor, picture_size
from amazon_ml.scenes.placing import metres_per_unit, name_crs

#: Largest number of probabilities of a page; they take 2 bytes each, and a third more as text.
MOST_VALUES = 3_000_000
#: A probability of 1, and the number that stands for no value; 16 bits keep probabilities to 1e-5.
FULL, NONE = 65534, 65535

_Value = TypeVar("_Value", bound=np.generic)


def merged_cells(windows: Windows, planes: int) -> int:
    """Rows and columns of cells that the page draws as one, so that the values of some planes fit into it."""
    rows, columns = windows.shape
    merged = 1
    while math.ceil(rows / merged) * math.ceil(columns / merged) * planes > MOST_VALUES:
        merged += 1
    return merged


def largest(values: npt.NDArray[_Value], merged: int) -> npt.NDArray[_Value]:
    """Take the largest value of each square of cells; NaN only where all are.

    Parameters
    ----------
    values
        Shape (rows, columns, …).
    merged
        Edge of the squares.
    """
    if merged == 1:
        return values
    for axis in (0, 1):
        values = np.fmax.reduceat(values, np.arange(0, values.shape[axis], merged), axis=axis)
    return values


def embed_probabilities(p: npt.NDArray[np.float32]) -> str:
    """Encode probabilities of shape (rows, columns, tags) as base64 of uint16, little-endian, one tag after another."""
    known = np.isfinite(p)
    numbers = np.where(known, np.rint(np.where(known, p, 0) * FULL), NONE).astype("<u2")
    return _text(np.moveaxis(numbers, -1, 0).tobytes())


def embed_flags(on: npt.NDArray[np.bool_]) -> str:
    """Encode flags of shape (rows, columns, tags) as base64 of bits, the first one lowest, one tag after another."""
    return _text(np.packbits(np.moveaxis(on, -1, 0), bitorder="little").tobytes())


def picture_uri(webp: bytes) -> str:
    """Make the address of a picture that holds the picture itself."""
    return "data:image/webp;base64," + _text(webp)


def embed_cells(grid: Grid, windows: Windows, merged: int) -> dict[str, object]:
    """Describe where the cells, the windows and the picture lie, in pixels of the scene, and the ground below them."""
    factor, (height, width) = picture_factor(grid), picture_size(grid)
    return {
        "rows": _edges(windows.down.edges, merged), "columns": _edges(windows.across.edges, merged),
        "tops": windows.down.starts[::merged].tolist(), "lefts": windows.across.starts[::merged].tolist(),
        "size": windows.size, "merged": merged,
        "pictureHeight": height * factor, "pictureWidth": width * factor, "factor": factor,
        "ground": [grid.left, grid.top, grid.dx, grid.dy], "crs": name_crs(grid.crs),
        "metres": metres_per_unit(grid.crs) if grid.crs else 0,
    }  # fmt: skip


def cell_notes(grid: Grid, windows: Windows, merged: int) -> list[str]:
    """Say what a cell of the page is, and how sharp the picture."""
    notes = [f"Each cell stands for a window of {windows.size} x {windows.size} pixels, every {windows.stride} pixels."]
    if merged > 1:
        notes.append(
            f"There are too many cells for a page: each one here joins {merged} x {merged} of them, with their largest "
            "probabilities. The other files hold all cells."
        )
    if (factor := picture_factor(grid)) > 1:
        notes.append(f"A pixel of the picture shows {factor} x {factor} pixels of the scene.")
    return notes


def json_text(content: Mapping[str, object]) -> str:
    """Write JSON that can stand in a script element of HTML, whatever texts it holds."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def amounts(values: Sequence[float], unit: str) -> list[str]:
    """Write areas for people; empty where they are not known."""
    return ["" if math.isnan(value) else f"{value:,.{_decimals(value)}f}{unit}" for value in values]


def _decimals(value: float) -> int:
    return 0 if abs(value) >= 10 else 1


def _edges(edges: npt.NDArray[np.int64], merged: int) -> list[int]:
    kept: list[int] = edges[:-1:merged].tolist()
    return [*kept, int(edges[-1])]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
