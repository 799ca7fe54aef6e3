"""Reads a tile from a ``.npy`` file of numpy: its bands first or last."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.headers import check_pixels
from amazon_ml.data.readers.images import Raw
from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import cannot_read, open_regular

_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: Path, bands: int, max_pixels: int = MAX_PIXELS) -> Raw:
    """Read the bands of an array.

    Parameters
    ----------
    path
        File of an array of shape (height, width, bands) or (bands, height, width); of one band, (height, width) too.
    bands
        Number of bands; the axis of this length is that of the bands.
    max_pixels
        Largest number of pixels; four bands count as one.

    Returns
    -------
    Array in the type of the file, shape (height, width, bands).

    Raises
    ------
    InputError
        If the file is missing, damaged or no such array, holds objects or no numbers, or both ends of its shape could
        be the bands.
    """
    return _read(path, max_pixels, lambda shape: _bands_are_last(shape, bands, path))


def read_any_npy(path: Path, max_pixels: int = MAX_PIXELS) -> Raw:
    """Read the bands of an array as `read_npy` does, where their number is not known: the shortest axis is theirs."""
    return _read(path, max_pixels, _shortest_is_last)


def _read(path: Path, max_pixels: int, bands_are_last: Callable[[tuple[int, ...]], bool]) -> Raw:
    try:
        with open(open_regular(path), "rb") as stream:  # noqa: PTH123 (a descriptor)
            shape, dtype = _header(stream, path)
            problem = _fault(os.fstat(stream.fileno()).st_size - stream.tell(), shape, dtype)
            if problem:
                raise InputError(problem, file=path, remedy="save it again")
            last = bands_are_last(shape)
            whole = (*shape, 1) if len(shape) == 2 else shape
            height, width, bands = whole if last else (*whole[1:], whole[0])
            check_pixels(path, width, height * max(1, -(-bands // 4)), max_pixels)
            stream.seek(0)
            values = np.load(stream, allow_pickle=False)
    except OSError as error:
        raise cannot_read(path, error) from None
    except InputError:
        raise
    except (ValueError, EOFError) as error:
        raise InputError(f"this is not an array of numpy that can be read ({error})", file=path,
                         remedy="save it again with numpy.save") from None  # fmt: skip
    values = values.astype(values.dtype.newbyteorder("="), copy=False).reshape(whole)
    return np.ascontiguousarray(values if last else np.moveaxis(values, 0, -1))


def npy_size(path: Path) -> tuple[int, int]:
    """Read width and height out of the header of an array, as `read_any_npy` does; 0 where there is none."""
    try:
        with open(open_regular(path), "rb") as stream:  # noqa: PTH123 (a descriptor)
            shape, _ = _header(stream, path)
    except (OSError, ValueError, EOFError):
        return 0, 0
    if len(shape) not in (2, 3):
        return 0, 0
    height, width = shape[:2] if _shortest_is_last(shape) else shape[1:]
    return width, height


def _shortest_is_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or shape[-1] <= shape[0]


def npy_fault(descriptor: int, size: int) -> tuple[str, str, str]:
    """Find a fault in the header of an array, and the remedy, both empty where there is none; and its type."""
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        stream.seek(0)
        try:
            shape, dtype = _header(stream, Path())
        except (InputError, ValueError, EOFError) as error:
            problem = getattr(error, "problem", str(error))
            return f"this is not an array of numpy that can be read ({problem})", "save it again with numpy.save", ""
        problem = _fault(size - stream.tell(), shape, dtype)
        return problem, "save it again" if problem else "", str(dtype.newbyteorder("="))


def _header(stream: BinaryIO, path: Path) -> tuple[tuple[int, ...], "np.dtype[np.generic]"]:
    version = np.lib.format.read_magic(stream)
    if version in _HEADERS:
        shape, _, dtype = _HEADERS[version](stream)
        return shape, dtype
    raise InputError(f"version {version} of the format holds no plain numbers", file=path, remedy="save it again")


def _fault(length: int, shape: tuple[int, ...], dtype: "np.dtype[np.generic]") -> str:
    if len(shape) not in (2, 3) or 0 in shape:
        return f"the array has the shape {shape}, which is not that of a tile"
    if dtype.hasobject or dtype.kind not in "uif":
        return f"the array holds {'objects' if dtype.hasobject else dtype}, not integers or floating-point numbers"
    needed = dtype.itemsize * int(np.prod(shape, dtype=object))
    return f"the file is cut short ({length:,} bytes of values, not {needed:,})" if length < needed else ""


def _bands_are_last(shape: tuple[int, ...], bands: int, path: Path) -> bool:
    """Whether the last axis is that of the bands, by its length."""
    expected = f"(height, width, {bands}) or ({bands}, height, width)"
    if len(shape) == 2 and bands == 1:
        return True
    if len(shape) != 3 or bands not in (shape[0], shape[-1]):
        raise InputError(f"the array has the shape {shape}, not {expected}", file=path, option="data.band_names",
                         remedy="name each band with `data.band_names`")  # fmt: skip
    if shape[0] == shape[-1]:
        raise InputError(f"the first and the last axis of the shape {shape} may be the {bands} bands", file=path,
                         remedy="save it as a TIF")  # fmt: skip
    return shape[-1] == bands
