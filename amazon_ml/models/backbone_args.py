"""Checks the arguments of a backbone that a configuration gives."""

from collections.abc import Mapping
from typing import Any

from amazon_ml.errors import InputError

#: Arguments of timm that read a file, or that a file of options cannot hold.
_FILES_AND_OBJECTS = {
    "cache_dir", "checkpoint_path", "features_only", "kwargs_filter", "pretrained_cfg", "pretrained_cfg_overlay",
    "pretrained_filter_fn", "pretrained_strict", "scriptable",
}  # fmt: skip


def check_backbone_args(backbone_args: Mapping[str, Any]) -> None:
    """Check that the arguments of a backbone are allowed; timm finds other errors when it makes the backbone."""
    option = "model.backbone_args"
    if foreign := sorted(backbone_args.keys() & _FILES_AND_OBJECTS):
        raise InputError(f"`{option}`: {', '.join(foreign)} cannot be set by a configuration", option=option,
                         remedy="omit it (a file of weights is named with `model.weights`)")  # fmt: skip
    own = sorted(backbone_args.keys() & {"num_classes", "in_chans", "img_size", "pretrained"})
    if own:
        problem = f"`{option}`: other options set {', '.join(own)}"
        raise InputError(problem, option=option, remedy="omit it")
    for name, rate in backbone_args.items():
        if "drop" in name and name.endswith("rate") and not _is_share(rate):
            raise InputError(f"`{option}`: {name} must be in 0..1, not {rate!r}", option=option)


def _is_share(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and 0 <= value <= 1)
