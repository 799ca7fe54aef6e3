"""The layers of the backbone, from the stem to the head: frozen stages, batch norms, learning rates."""

from typing import Any, cast

import pytorch_lightning as pl
import timm
from timm.optim import param_groups_layer_decay, param_groups_weight_decay  # type: ignore[attr-defined]
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def stages(backbone: nn.Module) -> list[list[nn.Parameter]]:
    """List the parameters of each stage of a timm backbone: the stem first, the head last."""
    matcher = cast(Any, backbone).group_matcher(coarse=True)
    names = timm.models.group_parameters(backbone, matcher)
    return [[backbone.get_parameter(name) for name in names[place]] for place in sorted(names)]


def train_last(backbone: nn.Module, count: int) -> None:
    """Train the last `count` stages, including the head, and freeze those before them.

    The running statistics of a frozen batch norm do not change either, and it normalises with them.
    """
    for place, stage in enumerate(reversed(stages(backbone))):
        for parameter in stage:
            parameter.requires_grad_(place < count)
    for norm in batch_norms(backbone):
        norm.train(trains(norm))


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """List all batch norms of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def trains(norm: _BatchNorm) -> bool:
    """Whether a norm is not frozen; a norm without weights is never frozen."""
    own = [parameter.requires_grad for parameter in norm.parameters(recurse=False)]
    return any(own) or not own


class SyncNorms(pl.plugins.TorchSyncBatchNorm):
    """Batch norms with statistics over all processes.

    Many norms of timm include the activation after them; the conversion of PyTorch, which Lightning calls, would
    remove it.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Convert the norms, in place."""
        converted: nn.Module = timm.layers.convert_sync_batchnorm(model)  # type: ignore[attr-defined,no-untyped-call]
        return converted

    def revert(self, model: nn.Module) -> nn.Module:
        """Do not change them: in prediction they need no other process, and give the same results."""
        return model


def optimizer_groups(backbone: nn.Module, lr: float, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Split the parameters into groups for an optimizer.

    Parameters
    ----------
    backbone
        A timm network.
    lr
        Learning rate of the head.
    weight_decay
        Weight decay of matrices and kernels; vectors, and exceptions of the network, have none.
    layer_decay
        Factor, in 0..1, between the learning rates of each layer and of the layer above it.

    Returns
    -------
    Groups with ``params``, ``weight_decay`` and, if rates differ, ``lr``.
    """
    excepted: set[str] = getattr(backbone, "no_weight_decay", set)()
    if layer_decay == 1:
        return list(param_groups_weight_decay(backbone, weight_decay=weight_decay, no_weight_decay_list=excepted))
    groups = param_groups_layer_decay(
        backbone, weight_decay=weight_decay, no_weight_decay_list=excepted, layer_decay=layer_decay
    )
    return [{**group, "lr": lr * group["lr_scale"]} for group in groups]
