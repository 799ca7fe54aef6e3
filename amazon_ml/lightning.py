"""The one door to Lightning and timm: `from amazon_ml.lightning import pl, timm`.

Both import torchvision, and package indexes pair a CPU build of PyTorch with a torchvision built
for CUDA, whose compiled operators then do not load: `import torchvision` stops at "operator
torchvision::nms does not exist" and takes timm and Lightning down with it. Declaring the two
operators that torchvision looks for at import is enough, since nothing here calls them.
"""

import contextlib
import logging
import warnings

import torch


def _declare_torchvision_operators() -> torch.library.Library | None:
    if torch.version.cuda is not None:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # a torchvision that fits has them already
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library


# Operators live as long as the library object does.
_torchvision = _declare_torchvision_operators()

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # torchvision's line on its missing image decoder
    import pytorch_lightning as pl
    import timm
    from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]
        LightningEnvironment,
        SLURMEnvironment,
        TorchElasticEnvironment,
    )
    from pytorch_lightning.plugins.io import TorchCheckpointIO
    from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]
    from pytorch_lightning.utilities.rank_zero import rank_zero_only  # type: ignore[attr-defined]
    from timm.optim import param_groups_layer_decay, param_groups_weight_decay  # type: ignore[attr-defined]

# What it says at this level is about hardware that is not there and services that are not used.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)

__all__ = [
    "LightningEnvironment",
    "MisconfigurationException",
    "SLURMEnvironment",
    "TorchCheckpointIO",
    "TorchElasticEnvironment",
    "param_groups_layer_decay",
    "param_groups_weight_decay",
    "pl",
    "rank_zero_only",
    "timm",
]
