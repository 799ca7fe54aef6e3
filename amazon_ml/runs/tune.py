"""From a run's out-of-fold probabilities to its decision and its scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.decisions.crossfit import bootstrap_interval, cross_decide
from amazon_ml.decisions.fbeta import Floats, fbeta_per_tile, score_per_tag
from amazon_ml.decisions.thresholds import START, Thresholds, fixed, per_class
from amazon_ml.errors import InputError
from amazon_ml.files import read_json, sha256_of, write_json
from amazon_ml.labels import TagSet
from amazon_ml.runs.folder import Run, read_probabilities

RULE = "per_class"
#: Between tags in truth.csv; unlike a space or a comma, no tag is likely to hold it.
TRUTH_SEPARATOR = "|"


@dataclass(frozen=True)
class Decision:
    """A rule, the tags it is for, and the beta it was tuned for; stored as ``decision.json``."""

    tags: tuple[str, ...]
    thresholds: Thresholds
    beta: float


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
    tags, p, true = read_oof(folder)
    beta = float(options["beta"])
    if len(p) < 10:
        raise InputError(f"{run} has {len(p)} held-out tiles; cut-offs cannot be tuned on fewer than 10")
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
    write_json(
        folder.decision,
        {
            "rule": RULE,
            "beta": beta,
            "at_least_one": thresholds.at_least_one,
            "thresholds": dict(zip(tags, thresholds.values, strict=True)),
            "cross_fitted": metrics["f2"]["cross_fitted"],
            "tuned_on": {"tiles": len(p), "held_out": held_out, "oof_sha256": sha256_of(folder.oof)},
        },
    )
    write_json(folder.metrics, metrics)
    return metrics


def read_oof(folder: Run) -> tuple[tuple[str, ...], npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Read the tags, the out-of-fold probabilities and the truth of the same tiles."""
    tags = tuple(read_json(folder.provenance)["data"]["tags"])
    names, p = read_probabilities(folder.oof, tags)
    truth = pd.read_csv(folder.truth, dtype=str, keep_default_na=False).set_index("image_name")["tags"]
    true = TagSet(tags).encode(truth.loc[names].tolist(), separator=TRUTH_SEPARATOR)
    return tags, p, true


def read_decision(folder: Run) -> Decision:
    """Read a run's decision."""
    content = read_json(folder.decision)
    try:
        values = {str(tag): float(value) for tag, value in content["thresholds"].items()}
        thresholds = Thresholds(tuple(values.values()), bool(content["at_least_one"]))
        return Decision(tuple(values), thresholds, float(content["beta"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder.decision} is not a decision: {error!r}; make it anew with amazon-ml tune") from None


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
