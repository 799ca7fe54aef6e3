"""Tag satellite tiles: from a folder of images to an honest F2 and a Kaggle submission.

The public names are imported when they are first used, so that ``import amazon_ml`` is fast and brings no PyTorch::

    import amazon_ml as am

    tagger = am.Predictor.load("runs/demo/bundle")
    tags = tagger.predict("tiles/")
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from amazon_ml.torchvision_hook import install as _install_torchvision_hook

if TYPE_CHECKING:
    from amazon_ml.data.datamodule import PlanetDataModule as PlanetDataModule
    from amazon_ml.errors import InputError as InputError
    from amazon_ml.errors import WorkError as WorkError
    from amazon_ml.labels import TagSet as TagSet
    from amazon_ml.models.seeding import PerStepSeed as PerStepSeed
    from amazon_ml.models.tagger import TileTagger as TileTagger
    from amazon_ml.predictor import Predictor as Predictor

__version__ = "0.1.0"

#: Public name to the module that holds it. The imports above say the same to type checkers.
_PUBLIC = {
    "InputError": "amazon_ml.errors",
    "PerStepSeed": "amazon_ml.models.seeding",
    "PlanetDataModule": "amazon_ml.data.datamodule",
    "Predictor": "amazon_ml.predictor",
    "TagSet": "amazon_ml.labels",
    "TileTagger": "amazon_ml.models.tagger",
    "WorkError": "amazon_ml.errors",
}

__all__ = ["__version__", *_PUBLIC]

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # at import it would ask the network for a newer release
_install_torchvision_hook()


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
