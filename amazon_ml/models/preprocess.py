"""From the bytes of tiles to the numbers that a network takes; training, prediction and export share it."""

import numpy as np
import torch

#: Values that are worked on at once on a CPU: half a megabyte of float32, which stays in the cache of a core.
_CHUNK = 2**17


def normalise(
    images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Subtract the mean of each channel and divide by its standard deviation.

    Parameters
    ----------
    images
        uint8 of shape (tiles, height, width, channels).
    mean, std
        Of each channel, in 0..255; std above 0.
    out
        Memory for the result on a CPU, float32, contiguous, of the shape of `images`. New by default: for a
        large batch, having the system clear it takes longer than filling it.

    Returns
    -------
    float32 of shape (tiles, channels, height, width): a view with channels innermost in memory
    (``torch.channels_last``). It differs from ``(images - mean) / std`` by rounding only.
    """
    mean, std = mean.float(), std.float()
    if images.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()):
        return _normalise_in_chunks(images, mean, std, out).permute(0, 3, 1, 2)
    # A compiler makes one loop of this, as it stands; so does a GPU's memory, which is fast enough without.
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _normalise_in_chunks(
    images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, out: torch.Tensor | None
) -> torch.Tensor:
    """Do it row by row of pixels, in memory order, so that each value is written once to far memory."""
    if out is None:
        # From numpy, which asks the system for huge pages: they are cleared in half the time.
        out = torch.from_numpy(np.empty(images.shape, dtype=np.float32))
    if images.numel() == 0:
        return out
    width, channels = images.shape[2:]
    # Over whole rows of pixels, since loops over three channels are too short to be vectorised.
    scale, shift = (1 / std).repeat(width), (-mean / std).repeat(width)
    rows = max(1, _CHUNK // (width * channels))
    sources, targets = images.reshape(-1, width * channels), out.view(-1, width * channels)
    for source, target in zip(sources.split(rows), targets.split(rows), strict=True):
        torch.addcmul(shift, target.copy_(source), scale, out=target)
    return out
