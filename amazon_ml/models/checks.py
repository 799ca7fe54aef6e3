"""Options of a network that cannot be."""

import math
from collections.abc import Mapping
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.models.schedules import SCHEDULES
from amazon_ml.models.tta import MEANS, VIEWS

#: Arguments of timm that read a file, or that no file of options can hold.
_FILES_AND_OBJECTS = {
    "cache_dir", "checkpoint_path", "features_only", "kwargs_filter", "pretrained_cfg", "pretrained_cfg_overlay",
    "pretrained_filter_fn", "pretrained_strict", "scriptable",
}  # fmt: skip


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of `TileTagger` that cannot be; those that a backbone refuses are found when it is made."""
    schedule, warmup, tta, tta_mean = (options[key] for key in ("schedule", "warmup", "tta", "tta_mean"))
    lr, weight_decay, layer_decay = (options[key] for key in ("lr", "weight_decay", "layer_decay"))
    progressive, ema, swa, backbone_args = (options[key] for key in ("progressive", "ema", "swa", "backbone_args"))
    for option, value, known in (
        ("schedule", schedule, SCHEDULES), ("tta", tta, VIEWS), ("tta_mean", tta_mean, MEANS),
    ):  # fmt: skip
        if value not in known:
            raise InputError(f"model.{option}: there is no {value!r}; there are {', '.join(known)}")
    if not 0 < lr < math.inf or not 0 <= weight_decay < math.inf or not 0 <= warmup <= 1:
        raise InputError(
            "model.lr must be above 0, model.weight_decay not below 0, both finite, and model.warmup in 0..1"
        )
    if any(epoch < 0 or edge < 8 for epoch, edge in progressive.items()):
        raise InputError("model.progressive: epochs must not be below 0, nor edges below 8 px")
    if not 0 < layer_decay <= 1:
        raise InputError("model.layer_decay must be above 0, and 1 at most")
    if ema is not None and swa is not None:
        raise InputError("model.ema and model.swa: choose one of them")
    if not 0 <= (ema or 0) < 1 or not 0 < (1 if swa is None else swa) <= 1:
        raise InputError("model.ema must be in 0..1 and below 1, model.swa above 0 and 1 at most")
    if foreign := sorted(backbone_args.keys() & _FILES_AND_OBJECTS):
        raise InputError(
            f"model.backbone_args: {', '.join(foreign)} is not taken from a configuration; leave it out (weights "
            "from a file are named with model.weights)"
        )
    own = sorted(backbone_args.keys() & {"num_classes", "in_chans", "img_size", "pretrained"})
    if own:
        raise InputError(f"model.backbone_args: {', '.join(own)} is set from other options; leave it out")
    for name, rate in backbone_args.items():
        if "drop" in name and name.endswith("rate") and not _is_share(rate):
            raise InputError(f"model.backbone_args: {name} must be in 0..1, not {rate!r}")


def _is_share(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and 0 <= value <= 1)
