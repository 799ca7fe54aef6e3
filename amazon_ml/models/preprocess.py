"""Converts tiles of uint8 or uint16 to the input of a network, on the device.

Training, prediction and export share this preprocessing, so they cannot differ.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from amazon_ml.data.readers.scaling import STEPS
from amazon_ml.errors import InputError

Bytes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


def check_images(
    dtype: Any, shape: Sequence[int], channels: int, size: int | None = None, expected: str = "uint8"
) -> None:
    """Check that an array or a tensor holds tiles for the network: levels of shape (tiles, height, width, channels).

    Parameters
    ----------
    dtype, shape
        Type and shape of the array or tensor.
    channels
        Channels of a tile.
    size
        Height and width, pixels; any by default.
    expected
        Type of the levels, uint8 or uint16.

    Raises
    ------
    InputError
        If it does not, with the expected type and shape, and the remedy.
    """
    edges = (size or "height", size or "width")
    kind = str(dtype).removeprefix("torch.")
    shape, remedy = tuple(shape), ""
    if len(shape) == 3 and shape[-1] == channels:
        remedy = "give one tile as tiles[None]"
    elif len(shape) == 3:
        how = "tiles[..., None]" if channels == 1 else "numpy.stack(bands, axis=-1)"
        remedy = f"give the bands in a last axis, as {how}"
    elif len(shape) != 4:
        remedy = "give a stack of tiles"
    elif shape[-1] != channels:
        remedy = "put the channels last: transpose to (0, 2, 3, 1)" if shape[1] == channels else ""
    elif kind != expected:
        remedy = _other_levels(dtype, kind, expected)
    elif 0 in shape[1:3]:
        remedy = "leave out tiles without pixels"
    elif size is None or shape[1:3] == (size, size):
        return
    wanted = ", ".join(map(str, ("tiles", *edges, channels)))
    problem = f"`tiles` must be {expected} of shape ({wanted}), but these are {kind} of shape {shape}"
    raise InputError(problem, option="tiles", remedy=remedy)


def _other_levels(dtype: Any, kind: str, expected: str) -> str:
    """Say what to do about levels of another type."""
    levels = f"0..{np.iinfo(expected).max}"
    if kind.startswith("float"):
        return f"give values in {levels} as the files hold them, since the network normalises them"
    if kind.startswith(("int", "uint")) and kind not in ("uint8", "uint16"):
        # Such as int64, which other libraries make of levels: only the type is another one.
        call = f"tiles.to(torch.{expected})" if isinstance(dtype, torch.dtype) else f'tiles.astype("{expected}")'
        return f"give {call}, if all values are in {levels} as in the files of the training tiles"
    return f"scale them to {levels} as the training tiles were scaled"


def preprocess(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, size: int | None = None) -> torch.Tensor:
    """Put channels first, normalise, and scale.

    Parameters
    ----------
    images
        uint8 or uint16 of shape (tiles, height, width, channels).
    mean, std
        Mean and standard deviation of each channel, in 0..255.
    size
        Edge of the square to scale to, pixels, with an antialiasing triangle filter. By default tiles are not scaled.

    Returns
    -------
    float32 of shape (tiles, channels, height, width), channels innermost in memory.
    """
    inputs = normalise(images, mean, std)
    if size is None or inputs.shape[-2:] == (size, size):
        return inputs
    return F.interpolate(inputs, size=(size, size), mode="bilinear", antialias=True)


def normalise(
    images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Put channels first and normalise.

    Parameters
    ----------
    images
        uint8 of shape (tiles, height, width, channels), or uint16, whose levels are 257 times as fine.
    mean, std
        Mean and standard deviation of each channel, in 0..255.
    out
        Memory for the result on a CPU: float32, contiguous, of the shape of `images`. By default new memory, which
        for a large batch takes the system longer to clear than this function to fill.

    Returns
    -------
    float32 of shape (tiles, channels, height, width), channels innermost in memory: ``(images - mean) / std``, with
    the same bits on every path.
    """
    mean, std = mean.float(), std.float()
    if images.dtype == torch.uint16:
        mean, std = mean * STEPS, std * STEPS
    # Tiles have channels innermost, so the permuted view is channels_last already.
    if images.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()):
        return _normalised_at_once(images, mean, std, out).permute(0, 3, 1, 2)
    # Turned tiles are views with other strides: made contiguous as bytes, which are the smallest form. A compiled
    # network is compiled again for each order of strides.
    return ((images.contiguous().float() - mean) / std).permute(0, 3, 1, 2)


def _normalised_at_once(
    images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, out: torch.Tensor | None
) -> torch.Tensor:
    """Normalise in one pass; on a CPU PyTorch would make three arrays of the batch, with loops over channels."""
    if out is None:
        # From numpy, which requests huge pages from the system: these are cleared in half the time.
        out = torch.from_numpy(np.empty(images.shape, dtype=np.float32))
    width, channels = images.shape[2:]
    # Whole rows of pixels at a time, since a loop over three channels is too short for vector instructions.
    row = width * channels
    sources, targets = images.reshape(-1, row).numpy(), out.view(-1, row).numpy()
    _normalise_rows(sources, mean.repeat(width).numpy(), std.repeat(width).numpy(), targets)
    return out


def _normalise_each(sources: Bytes, mean: Floats, std: Floats, targets: Floats) -> None:
    for row in range(len(sources)):
        for at in range(len(mean)):
            targets[row, at] = (np.float32(sources[row, at]) - mean[at]) / std[at]


#: `_normalise_each`, compiled at the first call; dividing by zero gives infinity, as elsewhere, and no error.
_normalise_rows: Any = numba.njit(_normalise_each, nogil=True, error_model="numpy")
