"""Compare runs on the tiles that all of them held out, or on those of a labelled folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import pandas as pd

from amazon_ml.data.config import Split
from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import Estimate, cross_predict, score, standard_error
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.macro_micro import PairedMetrics, paired_metrics, rare_tags
from amazon_ml.decisions.matrices import Floats, MultiHot
from amazon_ml.decisions.paired import (
    Difference,
    Verdict,
    log_loss_per_tile,
    normal_interval,
    paired,
    paired_per_tag,
    shared_level,
)
from amazon_ml.decisions.per_tag import score_per_tag
from amazon_ml.decisions.rules import make_rules
from amazon_ml.errors import InputError
from amazon_ml.labels import declared
from amazon_ml.models.config import Tta
from amazon_ml.runs.blend import BLEND_OPTIONS, options_of, single_runs
from amazon_ml.runs.common_tiles import common_truth, held_out, of_folder, shared_names
from amazon_ml.runs.config_file import is_idle
from amazon_ml.runs.curves import read_curves
from amazon_ml.runs.folder import Run
from amazon_ml.runs.labelled_folder import LabelledFolder


class Loss(TypedDict):
    """The mean log loss over tiles, its ``value`` in nats, and its ``standard_error``."""

    value: float
    standard_error: float


class Differences(TypedDict):
    """Paired differences of a run to the first, for each score; see `ComparedRun`."""

    fixed: Difference
    cross_fitted: Difference
    log_loss: Difference
    other_scores: dict[str, Difference]


class Training(TypedDict):
    """How a run was trained, None where its curves do not hold it.

    ``epochs`` of the longest fold; ``images_per_second``, the median over epochs; ``train_seconds`` of training steps,
    the sum over folds, without steps that a kill lost.
    """

    epochs: int | None
    images_per_second: float | None
    train_seconds: float | None


class ComparedRun(Training):
    """One of the compared runs.

    ``run``, its name; ``path``; ``held_out``, its number of held-out tiles, or of tiles of the labelled folder;
    ``fixed`` and ``cross_fitted``, F-beta of the fixed threshold and of the rule; ``log_loss``; ``other_scores``,
    average precision and F1, macro and micro, by the names of `amazon_ml.decisions.macro_micro`; ``minus_first``, None
    for the first run; ``networks``, how many it has, and ``megabytes`` of their weights, None where they are gone;
    ``predicted_per_second``, the images/s of all networks together, None where that was not measured; ``soft_labels``,
    whether it was trained on `data.soft_labels`.
    """

    run: str
    path: str
    held_out: int
    fixed: Estimate
    cross_fitted: Estimate
    log_loss: Loss
    other_scores: dict[str, float]
    minus_first: Differences | None
    networks: int | None
    megabytes: float | None
    predicted_per_second: float | None
    soft_labels: bool


class TagDifference(TypedDict):
    """Difference of a tag's own F-beta to the first run: ``value``, its interval ``low``, ``high``, ``verdict``."""

    value: float
    low: float
    high: float
    verdict: Verdict


class ComparedTag(TypedDict):
    """One tag: ``support`` in tiles, ``fbeta`` of each run, and ``minus_first`` of each run but the first."""

    tag: str
    support: int
    fbeta: list[float]
    minus_first: list[TagDifference]


class DifferingOption(TypedDict):
    """An option by its dotted name, and its ``values``, one for each run; None where it lacks it, as blends do."""

    option: str
    values: list[object]


class Comparison(TypedDict):
    """Runs that are compared to the first of them.

    ``tiles``, how many are compared; ``tiles_of``, their labelled folder, None where all runs held them out; ``split``,
    the published split in that folder; ``tta``, views in place of those of the runs; ``generated``, whether the tiles
    are generated; ``beta``; ``rule``; ``level``, the probability that an interval of a difference covers; ``runs``;
    ``tags``; ``tags_without_positive``, those that no compared tile carries, which macro averages leave out;
    ``tags_with_few_positives``, those that fewer than `amazon_ml.decisions.macro_micro.FEW_POSITIVES` of them carry;
    ``options``, those that differ and may change results.
    """

    tiles: int
    tiles_of: str | None
    split: Split | None
    tta: Tta | None
    generated: bool
    beta: float
    rule: str
    level: float
    runs: list[ComparedRun]
    tags: list[ComparedTag]
    tags_without_positive: list[str]
    tags_with_few_positives: list[str]
    options: list[DifferingOption]


@dataclass(frozen=True)
class _PerTile:
    """Scores of a run on each tile, shape (tiles,): F-beta of the fixed threshold and of the rule, log loss."""

    fixed: Floats
    cross_fitted: Floats
    log_loss: Floats


def compare_runs(
    runs: Sequence[Run],
    rule: str,
    *,
    folder: LabelledFolder | None = None,
    tta: Tta | None = None,
    speed: bool = False,
) -> Comparison:
    """Compare runs to the first of them.

    Parameters
    ----------
    runs
        Two or more runs of the same tags. The first gives beta and the seed of cross-fitting.
    rule
        The decision rule for all of them, by its name in `amazon_ml.decisions.rules`.
    folder
        Labelled tiles that all runs predict now; by default, tiles that all of them held out are compared.
    tta
        Views in place of those of the runs; for a folder.
    speed
        Whether to measure how fast their networks predict.

    Raises
    ------
    InputError
        For runs with different tags or labels, without held-out tiles, or with too few of them in common.
    """
    rows = held_out(runs) if folder is None else of_folder(runs, folder, tta)
    tags, names = runs[0].tags(), shared_names(runs, rows, folder)
    true = common_truth(runs, rows, names)
    config = runs[0].read_config()
    beta, seed = config.beta, config.seed
    rules = make_rules(beta=beta, constraints=LabelConstraints.of(declared(tags)))
    level = shared_level(len(runs) - 1)
    scores, predicted = [], []
    probabilities = [row.predict().loc[names, list(tags)].to_numpy() for row in rows]
    for values in probabilities:
        fixed, own = (cross_predict(rules[name], values, true, seed=seed) for name in ("fixed", rule))
        scores.append(
            _PerTile(
                fixed=fbeta_per_tile(true, fixed, beta),
                cross_fitted=fbeta_per_tile(true, own, beta),
                log_loss=log_loss_per_tile(true, values),
            )
        )
        predicted.append(own)
    without, few = rare_tags(true)
    others = paired_metrics(true, probabilities, predicted, level=level)
    weights, speeds = [_weights(run) for run in runs], _speeds(runs, tta) if speed else [None] * len(runs)
    return {
        "tiles": len(names),
        "tiles_of": None if folder is None else str(folder.root),
        "split": rows[0].split,
        "tta": tta,
        "generated": rows[0].generated,
        "beta": beta,
        "rule": rule,
        "level": level,
        "runs": [
            {
                "run": label,
                "path": str(run.path),
                "held_out": len(row.true),
                "fixed": score(own.fixed),
                "cross_fitted": score(own.cross_fitted),
                "log_loss": _loss(own.log_loss),
                "other_scores": others["scores"][place],
                "minus_first": _differences(place, scores, others, level) if place else None,
                "networks": len(files) or None,
                "megabytes": sum(file.stat().st_size for file in files) / 1e6 if files else None,
                "predicted_per_second": predicts,
                "soft_labels": run.read_provenance()["data"].get("soft_labels_sha256") is not None,
                **_training(run),
            }
            for place, (label, run, row, own, files, predicts) in enumerate(
                zip(_labels(runs), runs, rows, scores, weights, speeds, strict=True)
            )
        ],
        "tags": _per_tag(tags, true, predicted, beta, level),
        "tags_without_positive": [tags[column] for column in without],
        "tags_with_few_positives": [tags[column] for column in few],
        "options": _differing(runs),
    }


def _labels(runs: Sequence[Run]) -> list[str]:
    """Name the runs by their folders, or by whole paths where two folders have one name."""
    names = [run.path.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _loss(per_tile: Floats) -> Loss:
    return {"value": float(per_tile.mean()), "standard_error": float(standard_error(per_tile))}


def _differences(place: int, scores: Sequence[_PerTile], others: PairedMetrics, level: float) -> Differences:
    first, own = scores[0], scores[place]
    return {
        "fixed": paired(own.fixed, first.fixed, level=level),
        "cross_fitted": paired(own.cross_fitted, first.cross_fitted, level=level),
        "log_loss": paired(own.log_loss, first.log_loss, level=level, interval=normal_interval),
        "other_scores": others["minus_first"][place - 1],
    }


def _per_tag(
    tags: Sequence[str], true: MultiHot, predicted: Sequence[MultiHot], beta: float, level: float
) -> list[ComparedTag]:
    scores = np.column_stack([score_per_tag(true, one, beta)["fbeta"] for one in predicted])
    differences = [paired_per_tag(true, one, predicted[0], beta, level=level) for one in predicted[1:]]
    return [
        {
            "tag": tag,
            "support": int(true[:, i].sum()),
            "fbeta": scores[i].tolist(),
            "minus_first": [cast(TagDifference, table.iloc[i].to_dict()) for table in differences],
        }
        for i, tag in enumerate(tags)
    ]


def _training(run: Run) -> Training:
    """Read from the learning curves how fast and how long a run was trained."""
    read = [read_curves(fold.metrics) for fold in run.finished_folds()]
    curves = [curve for curve in read if curve is not None]
    together = pd.concat([pd.DataFrame(), *curves])
    speeds, seconds = (
        together[name].dropna() if name in together else pd.Series(dtype=float)
        for name in ("images_per_second", "train_seconds")
    )
    return {
        "epochs": max((int(curve["epoch"].max()) + 1 for curve in curves), default=None),
        "images_per_second": float(speeds.median()) if len(speeds) else None,
        "train_seconds": float(seconds.sum()) if len(seconds) else None,
    }


def _weights(run: Run) -> list[Path]:
    """List the weights of the networks of a run or a blend; none where those of a member are gone."""
    try:
        runs = [one.finished_folds() for one in single_runs(run)]
    except InputError:
        return []
    return [fold.weights for folds in runs for fold in folds] if all(runs) else []


def _speeds(runs: Sequence[Run], tta: Tta | None) -> list[float]:
    from amazon_ml.runs.speed import measure_speeds  # here: other comparisons do not need PyTorch

    return measure_speeds(runs, tta)


def _differing(runs: Sequence[Run]) -> list[DifferingOption]:
    """List the options that may change results and differ: between runs that have them, or in what only blends have."""
    options, found = [options_of(run) for run in runs], list[DifferingOption]()
    for name in dict.fromkeys(name for one in options for name in one if not is_idle(name)):
        values = [one.get(name) for one in options]
        known = [value for value, one in zip(values, options, strict=True) if name in one or name in BLEND_OPTIONS]
        if any(value != known[0] for value in known):
            found.append({"option": name, "values": values})
    return found
