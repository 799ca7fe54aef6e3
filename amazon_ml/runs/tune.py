"""From a run's out-of-fold probabilities to its decision and its scores."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.crossfit import bootstrap_interval, cross_decide
from amazon_ml.decisions.fbeta import Floats, fbeta_per_tile, score_per_tag
from amazon_ml.decisions.thresholds import START, Thresholds, fixed, per_class
from amazon_ml.errors import InputError
from amazon_ml.files import read_json, sha256_of, write_json
from amazon_ml.runs.decision import Decision, write_decision
from amazon_ml.runs.folder import Run, read_oof

#: Fewer held-out tiles than this say nothing about cut-offs.
LEAST_TILES = 10


def tune(run: Path) -> dict[str, Any]:
    """Tune the cut-offs of a run on its out-of-fold probabilities, and score them honestly.

    Writes decision.json and metrics.json. The cross-fitted F2 is the honest one: every tile is
    decided with cut-offs tuned on other tiles.

    Parameters
    ----------
    run
        Run folder.

    Returns
    -------
    The content of metrics.json.
    """
    folder = Run(run)
    options, data = folder.options(), read_json(folder.provenance)["data"]
    _, tags, p, true = read_oof(folder)
    beta = float(options["beta"])
    if len(p) < LEAST_TILES:
        raise InputError(f"{run} has {len(p)} held-out tiles; cut-offs cannot be tuned on fewer than {LEAST_TILES}")
    thresholds = per_class(p, true, beta)
    cross_fitted = cross_decide(per_class, p, true, beta=beta, seed=options["seed"])
    held_out = bool(options["data"]["hold_out"])
    metrics = {
        "tiles_of": data["root"],
        "generated": data["generated"],
        "beta": beta,
        "tiles": len(p),
        "held_out": held_out,
        "f2": _scores(p, true, thresholds, cross_fitted, beta),
        "tags": per_tag_records(tags, true, cross_fitted, thresholds, beta),
    }
    write_decision(
        folder,
        Decision(tags, thresholds, beta),
        cross_fitted=metrics["f2"]["cross_fitted"],
        tuned_on={"tiles": len(p), "held_out": held_out, "oof_sha256": sha256_of(folder.oof)},
    )
    write_json(folder.metrics, metrics)
    return metrics


def score(per_tile: Floats) -> dict[str, Any]:
    """Mean over tiles with its 95 % bootstrap interval."""
    return {"value": float(per_tile.mean()), "interval": list(bootstrap_interval(per_tile))}


def per_tag_records(
    tags: tuple[str, ...],
    true: npt.NDArray[np.uint8],
    decided: npt.NDArray[np.uint8],
    thresholds: Thresholds,
    beta: float,
) -> list[dict[str, Any]]:
    """One record a tag: support, threshold, precision, recall, F-beta."""
    table = score_per_tag(true, decided, beta)
    table.insert(0, "tag", tags)
    table.insert(2, "threshold", thresholds.values)
    records: list[dict[str, Any]] = table.to_dict(orient="records")  # type: ignore[assignment]
    return records


def _scores(
    p: npt.NDArray[np.float32],
    true: npt.NDArray[np.uint8],
    fitted: Thresholds,
    cross_fitted: npt.NDArray[np.uint8],
    beta: float,
) -> dict[str, Any]:
    baseline = fbeta_per_tile(true, fixed(p, true).decide(p), beta)
    honest = fbeta_per_tile(true, cross_fitted, beta)
    return {
        f"fixed_{START}": score(baseline),
        "fitted": score(fbeta_per_tile(true, fitted.decide(p), beta)),
        "cross_fitted": score(honest),
        "cross_fitted_minus_fixed": score(honest - baseline),
        "constant": score(fbeta_per_tile(true, _best_constant(true, beta), beta)),
    }


def _best_constant(true: npt.NDArray[np.uint8], beta: float) -> npt.NDArray[np.uint8]:
    """Give every tile the same tags: the k most frequent, with the best k."""
    ranked = np.argsort(-true.mean(axis=0), kind="stable")
    answers = [np.isin(np.arange(true.shape[1]), ranked[:k]) for k in range(1, true.shape[1] + 1)]
    repeated = [np.broadcast_to(answer, true.shape).astype(np.uint8) for answer in answers]
    return max(repeated, key=lambda answer: float(fbeta_per_tile(true, answer, beta).mean()))
