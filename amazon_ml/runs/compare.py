"""Runs side by side, on the tiles that all of them held out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import cross_predict, score, standard_error
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.matrices import Floats, MultiHot
from amazon_ml.decisions.paired import log_loss_per_tile, normal_interval, paired, paired_per_tag, shared_level
from amazon_ml.decisions.per_tag import score_per_tag
from amazon_ml.decisions.rules import make_rules
from amazon_ml.errors import InputError
from amazon_ml.labels import declared
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import IDLE, flatten
from amazon_ml.runs.curves import read_curves
from amazon_ml.runs.decision import LEAST_TILES
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.hashes import read_recorded

#: What is compared tile by tile, and how its interval is made where not by bootstrap.
_INTERVALS = {"log_loss": {"interval": normal_interval}}


def compare_runs(runs: Sequence[Run], rule: str) -> dict[str, Any]:
    """Compare runs to the first of them.

    Parameters
    ----------
    runs
        Two or more of the same tags; beta and the seed of cross-fitting are the first's.
    rule
        The rule that decides for each of them, by its name in `amazon_ml.decisions.rules`.

    Returns
    -------
    Plain data: ``tiles``, how many are compared; ``generated``, ``beta``, ``rule``; ``level``, that of the
    intervals of differences; ``runs``, a record each: ``run``, ``path``, ``held_out`` tiles, the scores
    ``fixed``, ``cross_fitted`` (F-beta) and ``log_loss``, ``minus_first`` with the paired difference of each
    (none for the first), ``epochs``, ``images_per_second`` and ``train_seconds`` (None where not known);
    ``tags``, a record each: ``tag``, ``support``, ``fbeta`` of each run, ``minus_first`` of each but the first;
    ``options``, those that differ and may matter: ``option`` and ``values`` of each run.

    Raises
    ------
    InputError
        For runs of other tags or labels, without held-out tiles, or with too few in common.
    """
    rows = [_held_out(run) for run in runs]
    tags, names = runs[0].tags(), _shared(runs, rows)
    true = _common_truth(runs, rows, names)
    configs = [run.read_config() for run in runs]
    beta, seed = configs[0].beta, configs[0].seed
    rules = make_rules(beta=beta, constraints=LabelConstraints.of(declared(tags)))
    level = shared_level(len(runs) - 1)
    scores, predicted = [], []
    for p, _ in rows:
        values = p.loc[names, list(tags)].to_numpy()
        fixed, own = (cross_predict(rules[name], values, true, seed=seed) for name in ("fixed", rule))
        scores.append(
            {
                "fixed": fbeta_per_tile(true, fixed, beta),
                "cross_fitted": fbeta_per_tile(true, own, beta),
                "log_loss": log_loss_per_tile(true, values),
            }
        )
        predicted.append(own)
    return {
        "tiles": len(names),
        "generated": bool(runs[0].read_provenance()["data"]["generated"]),
        "beta": beta,
        "rule": rule,
        "level": level,
        "runs": [
            {
                "run": label,
                "path": str(run.path),
                "held_out": len(p),
                **_means(own),
                "minus_first": None if own is scores[0] else _differences(own, scores[0], level),
                **_training(run),
            }
            for label, run, (p, _), own in zip(_labels(runs), runs, rows, scores, strict=True)
        ],
        "tags": _per_tag(tags, true, predicted, beta, level),
        "options": _differing(runs, configs),
    }


def _held_out(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read out-of-fold probabilities and the truth of the same tiles, by name and tag."""
    if not run.read_config().data.validate:
        raise InputError(f"{run.path} was trained on every tile, so it has no held-out tiles to compare on")
    names, tags, p, true = read_oof(run)
    table = pd.DataFrame(p, index=pd.Index(names), columns=list(tags))
    return table, pd.DataFrame(true, index=table.index, columns=list(tags))


def _shared(runs: Sequence[Run], rows: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> pd.Index:
    """Give the tiles that all runs held out, in the order of the first."""
    first = rows[0][0]
    for run, (p, _) in zip(runs, rows, strict=True):
        apart = sorted(set(first.columns).symmetric_difference(p.columns))
        if apart:
            raise InputError(f"{run.path} is for other tags than {runs[0].path}: {', '.join(apart)}")
    shared = first.index[np.all([first.index.isin(p.index) for p, _ in rows], axis=0)]
    if len(shared) < LEAST_TILES:
        raise InputError(
            f"the runs have {len(shared)} held-out tiles in common, and {LEAST_TILES} are needed: train the same "
            "folds in each, with folds.csv of one copied into the new folders of the others"
        )
    return shared


def _common_truth(
    runs: Sequence[Run], rows: Sequence[tuple[pd.DataFrame, pd.DataFrame]], names: pd.Index
) -> npt.NDArray[np.uint8]:
    first = rows[0][1].loc[names]
    for run, (_, true) in zip(runs, rows, strict=True):
        differs = (true.loc[names, first.columns] != first).any(axis=1)
        if differs.any():
            raise InputError(
                f"{run.path} has other labels than {runs[0].path}: those of {differs.sum():,} tiles differ, such as "
                f"{differs.idxmax()}; compare runs of one tag table"
            )
    return first.to_numpy()


def _labels(runs: Sequence[Run]) -> list[str]:
    """Name the runs by their folders, or by whole paths where two folders have one name."""
    names = [run.path.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _means(scores: dict[str, Floats]) -> dict[str, Any]:
    loss = scores["log_loss"]
    told = {"value": float(loss.mean()), "standard_error": float(standard_error(loss))}
    return {**{name: score(scores[name]) for name in ("fixed", "cross_fitted")}, "log_loss": told}


def _differences(scores: dict[str, Floats], first: dict[str, Floats], level: float) -> dict[str, Any]:
    return {name: paired(own, first[name], level=level, **_INTERVALS.get(name, {})) for name, own in scores.items()}


def _per_tag(
    tags: Sequence[str], true: MultiHot, predicted: Sequence[MultiHot], beta: float, level: float
) -> list[dict[str, Any]]:
    scores = np.column_stack([score_per_tag(true, one, beta)["fbeta"] for one in predicted])
    differences = [paired_per_tag(true, one, predicted[0], beta, level=level) for one in predicted[1:]]
    return [
        {
            "tag": tag,
            "support": int(true[:, i].sum()),
            "fbeta": scores[i].tolist(),
            "minus_first": [table.iloc[i].to_dict() for table in differences],
        }
        for i, tag in enumerate(tags)
    ]


def _training(run: Run) -> dict[str, Any]:
    """Tell how fast and how long a run was trained, as far as its curves do."""
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


def _differing(runs: Sequence[Run], configs: Sequence[RunConfig]) -> list[dict[str, Any]]:
    """List the options that differ and may matter; one that a run does not have counts as none."""
    blends = [{"blend": read_recorded(run.blend)["how"]} if run.blend.exists() else {} for run in runs]
    flat = [{**blend, **flatten(config)} for blend, config in zip(blends, configs, strict=True)]
    keys = dict.fromkeys(key for one in flat for key in one if key not in IDLE and key != "loggers")
    values = {key: [one.get(key) for one in flat] for key in keys}
    return [
        {"option": key, "values": found} for key, found in values.items() if any(value != found[0] for value in found)
    ]
