"""Reads results of a scene again, from the folder that they were written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot, TagSet
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
    networks
        Hash of the weights and the decision that tagged it.
    frequencies
        Share of the training tiles with each tag, where that is recorded.
    """

    grid: Grid
    windows: Windows
    tags: tuple[str, ...]
    networks: str
    frequencies: dict[str, float]


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
        windows = place_windows(grid, int(content["size"]), int(content["stride"]))
        frequencies = {str(tag): float(share) for tag, share in content["frequencies"].items()}
        return Frame(grid, windows, tuple(map(str, content["tags"])), str(content["networks"]), frequencies)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
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
    left, top, dx, dy = (float(content[name]) for name in ("left", "top", "dx", "dy"))
    grid = Grid(str(content["crs"]), left, top, dx, dy, int(content["width"]), int(content["height"]))
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
    """Convert the texts of tags to a multi-hot array of all windows."""
    tags = TagSet(frame.tags)
    predicted = np.zeros((*frame.windows.shape, len(tags)), dtype=np.uint8)
    predicted[rows, columns] = tags.encode([text or "" for text in texts], separator=tags.separator())
    return predicted
