"""From uint8 tiles to what a network takes, on the device: the one preprocessing there is.

Training, prediction and export go through it, so they cannot drift apart.
"""

import torch
from torch.nn import functional as F


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


def normalise(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Turn channels first and normalise."""
    # Tiles come with channels innermost; as a permuted view that is channels_last already.
    return ((images.float() - mean.float()) / std.float()).permute(0, 3, 1, 2)
