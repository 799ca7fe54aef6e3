"""Arguments of a backbone that no configuration may give."""

from collections.abc import Mapping
from typing import Any

from amazon_ml.errors import InputError

#: Arguments of timm that read a file, or that no file of options can hold.
_FILES_AND_OBJECTS = {
    "cache_dir", "checkpoint_path", "features_only", "kwargs_filter", "pretrained_cfg", "pretrained_cfg_overlay",
    "pretrained_filter_fn", "pretrained_strict", "scriptable",
}  # fmt: skip


def check_backbone_args(backbone_args: Mapping[str, Any]) -> None:
    """Refuse arguments of a backbone that are set elsewhere; others are found when the backbone is made."""
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
