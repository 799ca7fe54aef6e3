"""From uint8 tiles to what a network takes, on the device: the one preprocessing there is.

Training, prediction and export go through it, so they cannot drift apart.
"""

import numpy as np
import torch
from torch.nn import functional as F

#: Values that are normalised at once on a CPU: half a megabyte of float32, which stays in the cache of a core.
_CHUNK = 2**17


def preprocess(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, size: int | None = None) -> torch.Tensor:
    """Turn channels first, normalise, and scale.

    Parameters
    ----------
    images
        uint8 of shape (tiles, height, width, channels).
    mean, std
        Of each channel, in 0..255.
    size
        Edge of the square to scale to, pixels: with a triangle filter as wide as the shrinking asks
        for. As the tiles are by default.

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
    """Turn channels first and normalise.

    Parameters
    ----------
    images
        uint8 of shape (tiles, height, width, channels).
    mean, std
        Of each channel, in 0..255.
    out
        Memory for the result on a CPU: float32, contiguous, of the shape of `images`. By default new memory,
        which for a large batch takes the system longer to clear than us to fill.

    Returns
    -------
    float32 of shape (tiles, channels, height, width), channels innermost in memory; equal to
    ``(images - mean) / std`` but for rounding.
    """
    mean, std = mean.float(), std.float()
    # Tiles come with channels innermost; as a permuted view that is channels_last already.
    if images.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()):
        return _normalise_in_chunks(images, mean, std, out).permute(0, 3, 1, 2)
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _normalise_in_chunks(
    images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, out: torch.Tensor | None
) -> torch.Tensor:
    """Work through the batch in pieces that stay in the cache, where the plain expression makes three arrays."""
    if out is None:
        # From numpy, which asks the system for huge pages: those are cleared in half the time.
        out = torch.from_numpy(np.empty(images.shape, dtype=np.float32))
    if images.numel() == 0:
        return out
    width, channels = images.shape[2:]
    # Over whole rows of pixels, since a loop over three channels is too short for vector instructions.
    scale, shift = (1 / std).repeat(width), (-mean / std).repeat(width)
    rows = max(1, _CHUNK // (width * channels))
    sources, targets = images.reshape(-1, width * channels), out.view(-1, width * channels)
    for source, target in zip(torch.split(sources, rows), torch.split(targets, rows), strict=True):
        torch.addcmul(shift, target.copy_(source), scale, out=target)
    return out
