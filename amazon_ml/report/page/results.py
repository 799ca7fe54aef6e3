"""What the sections are made of: the files of a finished run, read once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.hashes import read_recorded


@dataclass(frozen=True)
class Results:
    """A run that is tuned and scored.

    Parameters
    ----------
    run
        Its folder.
    config
        What was asked.
    metrics
        Content of metrics.json.
    tags
        In the order of columns.
    names
        Of the held-out tiles.
    p
        Probabilities of shape (tiles, tags).
    true, predicted
        Multi-hot of the same shape; decided by the run's decision, which was fitted on these tiles.
    """

    run: Run
    config: RunConfig
    metrics: dict[str, Any]
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
        """What the score is called, such as F2."""
        return f"F{self.beta:g}"

    @property
    def score(self) -> dict[str, Any]:
        """The score that counts: cross-fitted, with its interval."""
        score: dict[str, Any] = self.metrics["fbeta"]["cross_fitted"]
        return score

    def record(self, column: int) -> dict[str, Any]:
        """Give what metrics.json says of a tag."""
        record: dict[str, Any] = self.metrics["tags"][column]
        return record

    def most_lost(self, count: int) -> list[int]:
        """List the columns of the tags that cost most of the score, in the order of columns."""
        gains = [record["gain_if_perfect"] for record in self.metrics["tags"]]
        return sorted(np.argsort(-np.array(gains), kind="stable")[:count].tolist())


def read_results(run: Run) -> Results:
    """Read a run.

    Raises
    ------
    InputError
        Where it is no run, or one that is not tuned and scored.
    """
    config = run.read_config()
    if not run.metrics.exists():
        raise InputError(f"{run.path} is not scored yet; amazon-ml tune {run.path} does that once folds are finished")
    names, tags, p, true = read_oof(run)
    metrics = read_recorded(run.metrics)
    try:
        told = tuple(record["tag"] for record in metrics["tags"]), metrics["tiles"]
    except (KeyError, TypeError):
        told = None
    if told != (tags, len(p)):
        raise InputError(f"{run.metrics} does not fit {run.oof}; amazon-ml tune {run.path} writes it anew")
    return Results(run, config, metrics, tags, names, p, true, read_decision(run).rule.predict(p))
