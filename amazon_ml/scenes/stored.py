"""Reads results of a scene again, from the folder that they were written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot
from amazon_ml.runtime.files import read_json
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.scenes.grid import Grid, Windows, place_windows
from amazon_ml.scenes.outputs import FORMAT, PARQUET, RECORD
from amazon_ml.scenes.result import SceneResult, probability_columns

_AGAIN = "run amazon-ml scene predict again"


@dataclass(frozen=True)
class Frame:
    """Where the cells of a result lie.

    Parameters
    ----------
    grid
        Its pixels.
    windows
        Its windows.
    tags
        Its tags.
    """

    grid: Grid
    windows: Windows
    tags: tuple[str, ...]


def read_frame(folder: Path, option: str) -> Frame:
    """Read where the cells of a result lie.

    Raises
    ------
    InputError
        If the folder holds no finished result, or its record is damaged.
    """
    record = folder / RECORD
    if not record.is_file():
        raise InputError(f"the folder holds no finished result of a scene: it lacks {RECORD}", file=folder,
                         option=option, remedy=_AGAIN)  # fmt: skip
    content = read_json(record)
    try:
        if content["format"] != FORMAT:
            problem = f"the file has format {content['format']}, and this version of amazon-ml reads format {FORMAT}"
            raise InputError(problem, file=record, option=option, remedy=_AGAIN)
        grid = _grid(content["grid"])
        return Frame(grid, place_windows(grid, int(content["size"]), int(content["stride"])), tuple(
            str(tag) for tag in content["tags"]))  # fmt: skip
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, InputError) and error.file is not None:
            raise
        raise InputError(f"the file is no record of a scene ({error})", file=record, option=option,
                         remedy=_AGAIN) from None  # fmt: skip


def read_result(folder: Path, option: str) -> SceneResult:
    """Read the probabilities and tags of a result.

    Raises
    ------
    InputError
        If the folder holds no finished result, or a file of it is missing or damaged.
    """
    frame = read_frame(folder, option)
    file = folder / PARQUET
    check_regular(file)
    names = probability_columns(frame.tags)
    try:
        table = pq.read_table(file)
        rows, columns = (table[name].to_numpy() for name in ("row", "column"))
        p = np.full((*frame.windows.shape, len(names)), np.nan, dtype=np.float32)
        p[rows, columns] = np.stack([table[name].to_numpy() for name in names], axis=1)
        valid, inside = (_spread(table[name].to_numpy(), rows, columns, frame) for name in ("valid", "inside"))
        predicted = _predicted(table["tags"].to_pylist(), rows, columns, frame)
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise InputError(f"the file is no table of the cells of a scene ({error})", file=file, option=option,
                         remedy=_AGAIN) from None  # fmt: skip
    return SceneResult(frame.grid, frame.windows, frame.tags, p, predicted, valid, inside)


def _grid(content: Any) -> Grid:
    grid = Grid(
        str(content["crs"]), *(float(content[name]) for name in ("left", "top", "dx", "dy")),
        *(int(content[name]) for name in ("width", "height")),
    )  # fmt: skip
    if not (grid.dx > 0 and grid.dy > 0 and grid.width > 0 and grid.height > 0):
        raise ValueError("a size is not positive")
    return grid


def _spread(
    values: npt.NDArray[Any], rows: npt.NDArray[Any], columns: npt.NDArray[Any], frame: Frame
) -> npt.NDArray[np.float32]:
    spread = np.zeros(frame.windows.shape, dtype=np.float32)
    spread[rows, columns] = values
    return spread


def _predicted(texts: list[str | None], rows: npt.NDArray[Any], columns: npt.NDArray[Any], frame: Frame) -> MultiHot:
    """Convert the texts of tags to a multi-hot array; a tag with a space in its name counts where all of it is there."""
    predicted = np.zeros((*frame.windows.shape, len(frame.tags)), dtype=np.uint8)
    for text, row, column in zip(texts, rows.tolist(), columns.tolist(), strict=True):
        padded = f" {text or ''} "
        predicted[row, column] = [f" {tag} " in padded for tag in frame.tags]
    return predicted
