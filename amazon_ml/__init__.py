"""Tag satellite tiles: from a folder of images to an honest F2 and a Kaggle submission.

The public names are imported when they are first used, so that ``import amazon_ml`` is fast and brings no PyTorch::

    import amazon_ml as am

    tagger = am.Predictor.load("runs/demo/bundle")
    tags = tagger.predict("tiles/")
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from amazon_ml.runtime.torchvision_hook import install as _install_torchvision_hook
from amazon_ml.version import __version__

if TYPE_CHECKING:
    from amazon_ml.data.datamodule import PlanetDataModule as PlanetDataModule
    from amazon_ml.decisions import BaggedThresholds as BaggedThresholds
    from amazon_ml.decisions import ExpectedFBeta as ExpectedFBeta
    from amazon_ml.decisions import FixedThreshold as FixedThreshold
    from amazon_ml.decisions import GlobalThreshold as GlobalThreshold
    from amazon_ml.decisions import LabelConstraints as LabelConstraints
    from amazon_ml.decisions import PerClassThresholds as PerClassThresholds
    from amazon_ml.decisions import ShrunkThresholds as ShrunkThresholds
    from amazon_ml.decisions import StackedExpectedFBeta as StackedExpectedFBeta
    from amazon_ml.decisions import fbeta_score as fbeta_score
    from amazon_ml.errors import InputError as InputError
    from amazon_ml.errors import WorkError as WorkError
    from amazon_ml.labels import TagSet as TagSet
    from amazon_ml.models.seeding import PerStepSeed as PerStepSeed
    from amazon_ml.models.tagger import TileTagger as TileTagger
    from amazon_ml.pipeline.blend import blend as blend
    from amazon_ml.pipeline.train import RunResult as RunResult
    from amazon_ml.pipeline.train import train as train
    from amazon_ml.predictor import Predictor as Predictor
    from amazon_ml.report.comparison import compare as compare
    from amazon_ml.runs.config import RunConfig as RunConfig
    from amazon_ml.runs.evaluate import evaluate as evaluate
    from amazon_ml.runs.tune import tune as tune

#: Public name to the module that holds it. The imports above say the same to type checkers.
_PUBLIC = {
    "BaggedThresholds": "amazon_ml.decisions",
    "ExpectedFBeta": "amazon_ml.decisions",
    "FixedThreshold": "amazon_ml.decisions",
    "GlobalThreshold": "amazon_ml.decisions",
    "InputError": "amazon_ml.errors",
    "LabelConstraints": "amazon_ml.decisions",
    "PerClassThresholds": "amazon_ml.decisions",
    "PerStepSeed": "amazon_ml.models.seeding",
    "PlanetDataModule": "amazon_ml.data.datamodule",
    "Predictor": "amazon_ml.predictor",
    "RunConfig": "amazon_ml.runs.config",
    "RunResult": "amazon_ml.pipeline.train",
    "ShrunkThresholds": "amazon_ml.decisions",
    "StackedExpectedFBeta": "amazon_ml.decisions",
    "TagSet": "amazon_ml.labels",
    "TileTagger": "amazon_ml.models.tagger",
    "WorkError": "amazon_ml.errors",
    "blend": "amazon_ml.pipeline.blend",
    "compare": "amazon_ml.report.comparison",
    "evaluate": "amazon_ml.runs.evaluate",
    "fbeta_score": "amazon_ml.decisions",
    "train": "amazon_ml.pipeline.train",
    "tune": "amazon_ml.runs.tune",
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
