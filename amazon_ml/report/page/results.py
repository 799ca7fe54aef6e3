"""The results that sections show: the files of a finished run, read once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.crossfit import Estimate
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.hashes import read_recorded
from amazon_ml.runs.scores import Metrics, TagRecord


@dataclass(frozen=True)
class Results:
    """A run that is tuned and scored.

    Parameters
    ----------
    run
        Its folder.
    config
        Its options.
    metrics
        Content of metrics.json.
    tags
        Names of the columns.
    names
        Names of the held-out tiles.
    p
        Probabilities of shape (tiles, tags).
    true, predicted
        True and predicted tags, multi-hot of the same shape; the run's decision was fitted on these tiles.
    """

    run: Run
    config: RunConfig
    metrics: Metrics
    tags: tuple[str, ...]
    names: pd.Series
    p: npt.NDArray[np.float32]
    true: MultiHot
    predicted: MultiHot

    @property
    def beta(self) -> float:
        """Weight of recall against precision in the score."""
        return float(self.metrics["beta"])

    @property
    def f(self) -> str:
        """Name of the score, such as F2."""
        return f"F{self.beta:g}"

    @property
    def score(self) -> Estimate:
        """The cross-fitted score, with its interval."""
        return self.metrics["fbeta"]["cross_fitted"]

    def record(self, column: int) -> TagRecord:
        """Give the scores of a tag."""
        return self.metrics["tags"][column]

    def most_lost(self, count: int) -> list[int]:
        """List the columns of the tags with the largest loss of score, in the order of columns."""
        gains = [record["gain_if_perfect"] for record in self.metrics["tags"]]
        return sorted(np.argsort(-np.array(gains), kind="stable")[:count].tolist())


def read_results(run: Run) -> Results:
    """Read a run.

    Raises
    ------
    InputError
        Where it is no run, or a run that is not tuned and scored.
    """
    config = run.read_config()
    if not run.metrics.exists():
        raise InputError(
            "the run is not scored yet", file=run.path, remedy=f"run amazon-ml tune {run.path} once folds are finished"
        )
    names, tags, p, true = read_oof(run)
    metrics: Metrics = read_recorded(run.metrics)
    try:
        scored = tuple(record["tag"] for record in metrics["tags"]), metrics["tiles"]
    except (KeyError, TypeError):
        scored = None
    if scored != (tags, len(p)):
        raise InputError(
            f"the file does not fit {run.oof}", file=run.metrics, remedy=f"amazon-ml tune {run.path} writes it again"
        )
    return Results(run, config, metrics, tags, names, p, true, read_decision(run).rule.predict(p))
