"""The picture of a scene for its map page, scaled down while the scene is read; transparent where it has no data."""

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from amazon_ml.data.readers.bands import RGB, TileReader
from amazon_ml.data.readers.images import Image, Mask
from amazon_ml.data.readers.shown import shown_channels, shown_levels
from amazon_ml.errors import InputError
from amazon_ml.report.page.thumbnails import shown_bands
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.scenes.grid import Grid, Windows

#: Longest edge of the picture. Noise of this size takes 3 MB as WebP, ground a fraction of that.
LONGEST = 2048
#: Quality of the WebP, and the largest file that is read again.
_QUALITY, _LARGEST = 80, 2**25


def picture_factor(grid: Grid) -> int:
    """Pixels of the scene along the edge of a pixel of its picture."""
    return max(1, -(-max(grid.width, grid.height) // LONGEST))


def picture_size(grid: Grid) -> tuple[int, int]:
    """Height and width of the picture; its last row and column may reach beyond the scene."""
    factor = picture_factor(grid)
    return -(-grid.height // factor), -(-grid.width // factor)


def picture_rows(windows: Windows, part: slice, factor: int) -> tuple[int, int]:
    """First row of the picture that begins in some rows of cells, and the row after the last."""
    edges = windows.down.edges
    return -(-int(edges[part.start]) // factor), -(-int(edges[part.stop]) // factor)


def colours(reader: TileReader, channels: Image) -> Image:
    """Choose red, green and blue where the networks read all three, else the first three channels, or one of them.

    Levels of 16 bits become those of 8 that `shown_levels` gives.
    """
    channels = shown_levels(reader, channels)
    bands = list(reader.bands)
    if reader.source is None and set(RGB) <= set(bands):
        return channels[..., [bands.index(letter) for letter in RGB]]
    return shown_bands(shown_channels(reader, channels))


def shrink(channels: Image, valid: Mask, factor: int) -> Image:
    """Average squares of pixels.

    Parameters
    ----------
    channels
        Red, green and blue, uint8 of shape (rows, columns, 3).
    valid
        Which pixels have data; only those are averaged.
    factor
        Edge of the squares; the last ones are filled with the pixels of the edge.

    Returns
    -------
    uint8 of shape (rows, columns, 4), each axis divided by the factor and rounded up. Opacity, the last channel, is 0
    where fewer than half of the pixels have data, and 255 elsewhere.
    """
    rows, columns = valid.shape
    size = -(-rows // factor), -(-columns // factor)
    if not rows:
        return np.zeros((*size, 4), dtype=np.uint8)
    pads = [(0, size[0] * factor - rows), (0, size[1] * factor - columns)]
    share = np.pad(valid, pads, mode="edge").astype(np.uint8) * 255
    mean = np.pad(channels, [*pads, (0, 0)], mode="edge")
    if not valid.all():
        mean[share == 0] = 0
    if factor > 1:
        mean = cv2.resize(mean, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
        share = cv2.resize(share, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
        part = (share > 0) & (share < 255)
        mean[part] = np.minimum(np.rint(mean[part] * (255.0 / share[part])[:, None]), 255).astype(np.uint8)
    return np.dstack([mean, np.where(share > 127, 255, 0).astype(np.uint8)])


def encode_picture(picture: Image) -> bytes:
    """Encode a picture of red, green, blue and opacity as WebP."""
    shown = np.ascontiguousarray(picture[..., [2, 1, 0, 3]])
    _, encoded = cv2.imencode(".webp", shown, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return encoded.tobytes()


def read_picture(path: Path, grid: Grid, option: str) -> bytes:
    """Read the picture of a result again.

    Raises
    ------
    InputError
        If it is missing or damaged, or not of the size for the grid.
    """
    again = "run amazon-ml scene predict again"
    check_regular(path)
    if not path.is_file():
        raise InputError("there is no such file", file=path, option=option, remedy=again)
    content = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
    try:
        with PIL.Image.open(io.BytesIO(content), formats=["WEBP"]) as opened:
            fits = opened.size[::-1] == picture_size(grid)
            if fits:
                opened.load()
    except (OSError, ValueError, PIL.Image.DecompressionBombError):
        fits = False
    if not fits:
        raise InputError("the file is not the picture of a scene", file=path, option=option, remedy=again)
    return content


def empty_picture(grid: Grid) -> npt.NDArray[np.uint8]:
    """Make a picture that is transparent everywhere."""
    return np.zeros((*picture_size(grid), 4), dtype=np.uint8)
