"""Decision rules, which convert probabilities to tags, and the metric; on arrays, without torch.

The public names are imported at their first use, since scikit-learn takes a second to import:

* decision rules, which are scikit-learn estimators: `FixedThreshold`, `GlobalThreshold`, `PerClassThresholds`,
  `BaggedThresholds`, `ShrunkThresholds`, `ExpectedFBeta`, `StackedExpectedFBeta`, and `SimplestRule`, which chooses
  among rules;
* `LabelConstraints`, the rules on combinations of tags; `fbeta_score`, the metric; `cross_predict`, predictions by
  rules that were fitted on other tiles.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amazon_ml.decisions.constraints import LabelConstraints
    from amazon_ml.decisions.crossfit import cross_predict
    from amazon_ml.decisions.expected_rules import ExpectedFBeta, StackedExpectedFBeta
    from amazon_ml.decisions.fbeta import fbeta_score
    from amazon_ml.decisions.selection import SimplestRule
    from amazon_ml.decisions.threshold_rules import (
        BaggedThresholds,
        FixedThreshold,
        GlobalThreshold,
        PerClassThresholds,
        ShrunkThresholds,
    )

__all__ = [
    "BaggedThresholds",
    "ExpectedFBeta",
    "FixedThreshold",
    "GlobalThreshold",
    "LabelConstraints",
    "PerClassThresholds",
    "ShrunkThresholds",
    "SimplestRule",
    "StackedExpectedFBeta",
    "cross_predict",
    "fbeta_score",
]

#: The module of each public name.
_MODULES = {
    "LabelConstraints": "constraints",
    "cross_predict": "crossfit",
    "fbeta_score": "fbeta",
    "ExpectedFBeta": "expected_rules",
    "StackedExpectedFBeta": "expected_rules",
    "SimplestRule": "selection",
    **dict.fromkeys(
        ("FixedThreshold", "GlobalThreshold", "PerClassThresholds", "BaggedThresholds", "ShrunkThresholds"),
        "threshold_rules",
    ),
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
