"""Folds batch norm into the convolutions before it, for prediction: two passes over memory become one.

In evaluation mode, batch norm is an affine map of each channel with fixed numbers, so the convolution before it can do
both. Which convolution stands before which norm is observed in one pass, since many networks cannot be traced. A
network whose output changes is left as it was.
"""

import copy
from typing import cast

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

#: Layers that convolve with their weight as it is, by exact type; subclasses may change it in each pass.
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
#: Largest change of an output, relative to the largest output; rounding changes less.
_TOLERANCE = 1e-4


def fold_batch_norm(network: nn.Module, example: torch.Tensor) -> tuple[nn.Module, int]:
    """Fold batch norm into convolutions.

    Parameters
    ----------
    network
        A network in evaluation mode; it is not changed.
    example
        Some inputs, not all equal. The outputs for them must stay the same.

    Returns
    -------
    A folded copy and the number of norms that were folded; the network itself and 0 where none can be.
    """
    folded = copy.deepcopy(network)
    with torch.no_grad():
        pairs = _observe(folded, example)
        if not pairs:
            return network, 0
        for norm, convolution in pairs.items():
            _fold(convolution, norm)
        _replace(folded, {norm: _after(norm) for norm in pairs})
        # `forward`: a compiled network would be compiled for this example.
        before, after = network.forward(example), folded.forward(example)
        worst = (before - after).abs().max() / before.abs().max().clamp_min(torch.finfo(before.dtype).tiny)
    return (folded, len(pairs)) if bool(worst <= _TOLERANCE) else (network, 0)


def _observe(network: nn.Module, example: torch.Tensor) -> dict[nn.BatchNorm2d, nn.Conv2d]:
    """Pair each norm with the convolution whose output is its input; both must run exactly once."""
    convolved: dict[int, nn.Conv2d] = {}
    outputs: list[torch.Tensor] = []  # kept, so that no other tensor gets the identity of one of them
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}
    calls: dict[nn.Module, int] = {}

    def after_convolution(module: nn.Module, _: object, output: torch.Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        convolved[id(output)] = cast(nn.Conv2d, module)
        outputs.append(output)

    def before_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        calls[module] = calls.get(module, 0) + 1
        if (convolution := convolved.get(id(inputs[0]))) is not None:
            pairs[cast(nn.BatchNorm2d, module)] = convolution

    hooks = []
    for module in network.modules():
        if type(module) in _CONVOLUTIONS:
            hooks.append(module.register_forward_hook(after_convolution))
        elif type(module) in _NORMS and cast(nn.BatchNorm2d, module).running_mean is not None:
            hooks.append(module.register_forward_pre_hook(before_norm))
    try:
        network.forward(example)
    finally:
        for hook in hooks:
            hook.remove()
    together = list(pairs.values())
    return {
        norm: convolution
        for norm, convolution in pairs.items()
        if calls[norm] == calls[convolution] == together.count(convolution) == 1
    }


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give the convolution the weights of both, computed in float64."""
    numbers = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    mean, variance, scale, shift = (None if each is None else each.double() for each in numbers)
    bias = None if convolution.bias is None else convolution.bias.double()
    assert mean is not None and variance is not None
    # The function takes None for the scale, the shift and the bias, but does not declare it for all of them.
    weight, bias = fuse_conv_bn_weights(convolution.weight.double(), bias, mean, variance, norm.eps, scale, shift)
    dtype = convolution.weight.dtype
    convolution.weight, convolution.bias = nn.Parameter(weight.to(dtype)), nn.Parameter(bias.to(dtype))


def _after(norm: nn.BatchNorm2d) -> nn.Module:
    """Return what is left of a norm: nothing, or the activation that timm puts into it."""
    return nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()


def _replace(network: nn.Module, others: dict[nn.BatchNorm2d, nn.Module]) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in others:
                setattr(parent, name, others[child])
