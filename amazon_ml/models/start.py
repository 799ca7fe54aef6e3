"""Makes the network that training starts from, with the normalisation that belongs to its weights."""

import torch
from torch import nn

from amazon_ml.data.readers.stretch import Stretch
from amazon_ml.errors import InputError
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.satellite import fill_backbone, find_weights, input_scaling
from amazon_ml.models.weights import input_statistics, make_backbone


def start_network(
    model: ModelConfig, tags: int, size: int, in_chans: int, bands: Stretch | None
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Make a backbone, and the mean and the standard deviation of each of its channels, in 0..255.

    Parameters
    ----------
    model
        Options of the network.
    tags
        Number of logits.
    size
        Edge of the tiles, pixels.
    in_chans
        Number of channels.
    bands
        Bands of the tiles, which ``model.weights_from`` needs.

    Raises
    ------
    InputError
        If an option is wrong, or weights do not fit.
    """
    if model.weights_from is None:
        backbone = _made(model, tags, size, in_chans)
        mean, std = input_statistics(backbone, in_chans)
    else:
        backbone, mean, std = _of_satellites(model, tags, size, in_chans, bands)
    means, stds = torch.tensor(model.mean or mean) * 255, torch.tensor(model.std or std) * 255
    if means.shape != (in_chans,) or stds.shape != means.shape:
        raise InputError(f"`model.mean` and `model.std` must have {in_chans} values", option="model.mean")
    if not (stds > 0).all():
        raise InputError(f"`model.std` is a divisor and must be above 0, not {model.std}", option="model.std")
    return backbone, means, stds


def _made(model: ModelConfig, tags: int, size: int, in_chans: int, *, fresh: bool = False) -> nn.Module:
    return make_backbone(
        model.backbone, tags, pretrained=model.pretrained and not fresh, weights=None if fresh else model.weights,
        normalised=_knows_scaling(model), in_chans=in_chans, img_size=size, **model.backbone_args,
    )  # fmt: skip


def _of_satellites(
    model: ModelConfig, tags: int, size: int, in_chans: int, bands: Stretch | None
) -> tuple[nn.Module, list[float], list[float]]:
    assert model.weights_from is not None and model.weights is not None
    row = find_weights(model.weights_from, model.backbone)
    if bands is None or len(bands) != in_chans:
        raise InputError(f"the weights {row.name} need the names of the {in_chans} bands", option="bands",
                         remedy="give bands={name: None, ...}, or let a data module give them")  # fmt: skip
    sensor = model.weights_sensor
    # First, since it reads no file.
    mean, std = ([], []) if _knows_scaling(model) else input_scaling(row, bands, sensor)
    backbone = _made(model, tags, size, in_chans, fresh=True)
    fill_backbone(backbone, row, model.weights, list(bands), sensor)
    return backbone, mean, std


def _knows_scaling(model: ModelConfig) -> bool:
    """Whether the normalisation of the input does not come from the weights."""
    return bool(model.mean and model.std) or model.normalization == "training"
