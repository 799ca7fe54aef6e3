"""From a run's out-of-fold probabilities to its decision and its scores."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.crossfit import Fit, choosing, cross_decide, score, simplest
from amazon_ml.decisions.expected import Structure
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.rules import DEFAULT, RULES, fits_for
from amazon_ml.decisions.shrink import bootstrap
from amazon_ml.decisions.thresholds import START
from amazon_ml.errors import InputError
from amazon_ml.files import sha256_of
from amazon_ml.labels import MultiHot, declared
from amazon_ml.runs.access import locked
from amazon_ml.runs.bundle import check_bundled, withdraw_bundle, write_bundle
from amazon_ml.runs.decision import LEAST_TILES, Decision, asked_before, write_decision
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.hashes import write_json
from amazon_ml.runs.scores import where_lost

log = logging.getLogger(__name__)

#: Asks for the simplest rule that is about as good as the best.
BEST = "best"


def tune(run: Path, *, rule: str | None = None) -> dict[str, Any]:
    """Fit the rule that decides tags, on a run's out-of-fold probabilities, and compare all rules honestly.

    Writes decision.json, metrics.json and the bundle. Scores are cross-fitted: every tile is decided by a rule that
    was fitted on other tiles, and so is the choice of the best rule.

    Parameters
    ----------
    run
        Run folder.
    rule
        Rule to keep: fixed, global, shrunk, bagged, per_class, expected, expected_structured, stacked;
        or best, the simplest of them within one standard error of the best. When not given: the one
        that was asked for last, at first shrunk.

    Returns
    -------
    The content of metrics.json.
    """
    folder = Run(run)
    if rule not in (*RULES, BEST, None):
        raise InputError(f"--rule {rule}: there are {', '.join(RULES)}, and {BEST}")
    folder.read_config()  # a lock would make the folder where there is none
    with locked(folder):
        return keep_rule(folder, rule)


def keep_rule(folder: Run, rule: str | None = None) -> dict[str, Any]:
    """Do the work of `tune` for a caller that holds the run's lock."""
    if rule is None:
        before = asked_before(folder)
        rule = before if before in (*RULES, BEST) else DEFAULT
    if folder.finished_folds():
        check_bundled(folder)  # before anything is written: there would be no bundle for the decision
    _, tags, p, true = read_oof(folder)
    config, data = folder.read_config(), folder.facts()["data"]
    beta, seed = config.beta, config.seed
    if len(p) < LEAST_TILES:
        raise InputError(
            f"{folder.path} has {len(p)} held-out tiles; cut-offs cannot be tuned on fewer than {LEAST_TILES}"
        )
    fits = fits_for(Structure.of(declared(tags)))
    asked = {BEST: choosing(fits, seed=seed)} if rule == BEST else {}
    answers = _cross_fitted({**fits, **asked}, p, true, beta, seed)
    per_tile = {name: fbeta_per_tile(true, answer, beta) for name, answer in answers.items()}
    chosen = list(fits)[simplest([per_tile[name] for name in fits])] if rule == BEST else rule
    fitted = fits[chosen](p, true, beta)
    held_out = config.data.hold_out
    metrics = {
        "tiles_of": data["root"],
        "generated": data["generated"],
        "beta": beta,
        "tiles": len(p),
        "held_out": held_out,
        "rule": chosen,
        "f2": {
            f"fixed_{START}": score(per_tile["fixed"]),
            "fitted": score(fbeta_per_tile(true, fitted.decide(p), beta)),
            "cross_fitted": score(per_tile[rule]),
            "cross_fitted_minus_fixed": score(per_tile[rule] - per_tile["fixed"]),
            "constant": score(fbeta_per_tile(true, _best_constant(true, beta), beta)),
        },
        "rules": {
            name: {**score(scores), "minus_fixed": score(scores - per_tile["fixed"])}
            for name, scores in per_tile.items()
        },
        **where_lost(tags, p, true, answers[rule], fitted, beta, bootstrap(p, true, beta, seed=seed)),
    }
    withdraw_bundle(folder)  # a bundle with the former decision must not outlive it
    write_decision(
        folder,
        Decision(chosen, fitted, tags, beta),
        asked=rule,
        cross_fitted=metrics["rules"][rule],
        tuned_on={
            "tiles": len(p),
            "held_out": held_out,
            "data_sha256": data["sha256"],
            "oof_sha256": sha256_of(folder.oof),
        },
    )
    write_json(folder.metrics, metrics, made_of=[folder.oof, folder.truth])
    if folder.finished_folds():
        write_bundle(folder)
    return metrics


def _cross_fitted(
    fits: Mapping[str, Fit], p: npt.NDArray[np.float32], true: MultiHot, beta: float, seed: int
) -> dict[str, MultiHot]:
    answers = {}
    for name, fit in fits.items():
        began = time.perf_counter()
        answers[name] = cross_decide(fit, p, true, beta=beta, seed=seed)
        log.info("cross-fitted %s in %.1f s", name, time.perf_counter() - began)
    return answers


def _best_constant(true: MultiHot, beta: float) -> MultiHot:
    """Give every tile the same tags: the k most frequent, with the best k."""
    ranked = np.argsort(-true.mean(axis=0), kind="stable")
    answers = [np.isin(np.arange(true.shape[1]), ranked[:k]) for k in range(1, true.shape[1] + 1)]
    repeated = [np.broadcast_to(answer, true.shape).astype(np.uint8) for answer in answers]
    return max(repeated, key=lambda answer: float(fbeta_per_tile(true, answer, beta).mean()))
