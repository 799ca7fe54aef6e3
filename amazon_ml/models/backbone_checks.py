"""Checks the options of a network against its backbone and its tiles, before the first epoch."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from amazon_ml.errors import InputError
from amazon_ml.models.backbone_args import check_backbone_args
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.layers import stages
from amazon_ml.models.losses import check_loss
from amazon_ml.models.weights import check_backbone


def check_names(model: ModelConfig) -> None:
    """Check backbone, loss and their arguments by name, before the tags are known and the network is made."""
    check_backbone_args(model.backbone_args)
    check_loss(model.loss, model.loss_args)
    check_backbone(model.backbone)


def check_scaling(model: ModelConfig, tif_limits: object) -> None:
    """Check that a network normalises tiles itself whose levels span the whole range of 16 bits.

    Values of a sensor fill a small part of that range, so the statistics of photographs would make tiles nearly black.
    """
    if tif_limits == "full" and model.normalization == "weights" and not (model.mean and model.std):
        raise InputError(
            "`data.tif_limits` full: the statistics of pretrained weights do not fit levels of the whole range",
            option="model.normalization", remedy="set it to training, or give `model.mean` and `model.std`",
        )  # fmt: skip


@torch.no_grad()
def try_sizes(backbone: nn.Module, in_chans: int, tags: int, model: ModelConfig, size: int) -> None:
    """Check that a backbone accepts all sizes of training, now instead of in the epoch that reaches them."""
    backbone.eval()
    for edge in sorted({size, *model.progressive_resizing.values()}):
        try:
            logits = backbone(torch.zeros(1, in_chans, edge, edge))
        except Exception as error:  # each network raises its own type
            option = "data.size" if edge == size else "model.progressive_resizing"
            problem = f"`{option}`: {model.backbone} cannot use tiles of {edge} px: {str(error).splitlines()[0]}"
            raise InputError(problem, option=option) from error
        if getattr(logits, "shape", None) != (1, tags):
            problem = f"{model.backbone} with {model.backbone_args} does not give one logit for each tag"
            raise InputError(problem, option="model.backbone_args")
    backbone.train()


def explain_lone_tile(error: ValueError) -> InputError | None:
    """Explain PyTorch's error of a batch norm with a single value, that of one tile; None for another error."""
    if "more than 1 value per channel" not in str(error):
        return None
    remedy = (
        "use a larger `data.batch_size`; in a loader of your own, larger batches, or drop_last=True where only the "
        "last has one tile"
    )
    return InputError("a batch of one tile cannot train a batch norm at this size", option="data.batch_size",
                      remedy=remedy)  # fmt: skip


def check_stages(backbone: nn.Module, name: str, unfreeze: Mapping[int, int | Literal["all"]]) -> None:
    """Check that a backbone has the stages of ``model.unfreeze``."""
    if not unfreeze:
        return
    if not hasattr(backbone, "group_matcher"):
        raise InputError("the backbone has no stages; omit `model.unfreeze`", option="model.unfreeze")
    there = len(stages(backbone))
    if min(unfreeze) != 0 or any(count != "all" and not 1 <= count <= there for count in unfreeze.values()):
        raise InputError(
            f"`model.unfreeze` must give from epoch 0 on how many of the {there} stages of {name} train: 1..{there}, "
            "or all", option="model.unfreeze",
        )  # fmt: skip
