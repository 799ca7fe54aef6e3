"""Tuning: fit and score decision rules on the out-of-fold probabilities of a run."""

import logging
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import Rule, cross_predict, score, simplest
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.rules import DEFAULT_RULE, RULES, make_rules
from amazon_ml.decisions.shrink import bootstrap
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot, declared
from amazon_ml.runs.access import locked
from amazon_ml.runs.bundle import check_bundled, withdraw_bundle, write_bundle
from amazon_ml.runs.decision import BEST, LEAST_TILES, Decision, Tuning, requested_before, write_decision
from amazon_ml.runs.folder import Run, read_oof, read_tested
from amazon_ml.runs.former_audit import clear_audit
from amazon_ml.runs.hashes import write_json
from amazon_ml.runs.scores import Metrics, score_breakdown, score_others
from amazon_ml.runtime.files import sha256_of
from amazon_ml.settings import AnyPath, as_path

log = logging.getLogger(__name__)


def tune(run: AnyPath, *, rule: str | None = None) -> Metrics:
    """Fit the decision rule on a run's out-of-fold probabilities, and score all rules on tiles they were not fitted on.

    Writes decision.json, metrics.json and the bundle. Scores are cross-fitted: every tile is predicted by a rule that
    was fitted on other tiles. The choice of the best rule is cross-fitted, too. A published test split is scored with
    the fitted rule.

    Parameters
    ----------
    run
        Run folder.
    rule
        Rule to store: fixed, global, shrunk, bagged, per_class, expected, expected_constrained, stacked;
        or best, the simplest of them within one standard error of the best. By default the one that was
        requested last, at first shrunk.

    Returns
    -------
    The content of metrics.json; see `amazon_ml.runs.scores.Metrics`.

    Raises
    ------
    InputError
        For an unknown rule, for a folder that is no run, and for fewer than 10 held-out tiles.

    Examples
    --------
    >>> metrics = tune("runs/demo", rule="global")
    >>> metrics["rule"], "global" in metrics["rules"]
    ('global', True)
    """
    folder = Run(as_path("run", run))
    if rule not in (*RULES, BEST, None):
        raise InputError(f"`rule` {rule}: there are {', '.join(RULES)}, and {BEST}", option="rule")
    folder.read_config()  # before the lock, which would make the folder where there is none
    with locked(folder):
        metrics = tune_locked(folder, rule)
        clear_audit(folder)  # labels may have been edited
    return metrics


def tune_locked(folder: Run, rule: str | None = None) -> Metrics:
    """Do the work of `tune` for a caller that holds the run's lock."""
    if rule is None:
        before = requested_before(folder)
        rule = before if before in (*RULES, BEST) else DEFAULT_RULE
    if folder.finished_folds():
        check_bundled(folder)  # before a decision is written that could not be bundled
    _, tags, p, true = read_oof(folder)
    config, data = folder.read_config(), folder.read_provenance()["data"]
    beta, seed = config.beta, config.seed
    if len(p) < LEAST_TILES:
        raise InputError(
            f"the run has {len(p)} held-out tiles; thresholds cannot be tuned on fewer than {LEAST_TILES}",
            file=folder.path,
        )
    rules = make_rules(beta=beta, constraints=LabelConstraints.of(declared(tags)))
    requested = {BEST: _best_of(rules, beta, seed)} if rule == BEST else {}
    answers = _cross_fitted({**rules, **requested}, p, true, seed)
    per_tile = {name: fbeta_per_tile(true, answer, beta) for name, answer in answers.items()}
    chosen = list(rules)[simplest([per_tile[name] for name in rules])] if rule == BEST else rule
    fitted = rules[chosen].fit(p, true)
    held_out = config.data.validate
    bags = bootstrap(p, true, beta, random_state=seed)
    breakdown = score_breakdown(tags, p, true, answers[rule], fitted, beta, bags)
    metrics: Metrics = {
        "tiles_of": data["root"],
        "generated": data["generated"],
        "beta": beta,
        "tiles": len(p),
        "held_out": held_out,
        "rule": chosen,
        "fbeta": {
            f"fixed_{DEFAULT_THRESHOLD}": score(per_tile["fixed"]),
            "fitted": score(fbeta_per_tile(true, fitted.predict(p), beta)),
            "cross_fitted": score(per_tile[rule]),
            "cross_fitted_minus_fixed": score(per_tile[rule] - per_tile["fixed"]),
            "constant": score(fbeta_per_tile(true, _best_constant(true, beta), beta)),
        },
        "rules": {
            name: {**score(scores), "minus_fixed": score(scores - per_tile["fixed"])}
            for name, scores in per_tile.items()
        },
        "tags": breakdown["tags"],
        "other_scores": breakdown["other_scores"],
        "tags_without_positive": breakdown["tags_without_positive"],
        "tags_with_few_positives": breakdown["tags_with_few_positives"],
        "confusions": breakdown["confusions"],
        "logic_faults": breakdown["logic_faults"],
    }
    if held_out and data.get("soft_labels_sha256") is not None:
        metrics["soft_labels"] = True
    tested = read_tested(folder)
    if tested is not None:
        _, p_tested, true_tested = tested
        metrics["test"] = score_others(tags, p_tested, true_tested, fitted, beta)
    tuning: Tuning = {
        "requested": rule,
        "cross_fitted": metrics["rules"][rule],
        "tuned_on": {
            "tiles": len(p),
            "held_out": held_out,
            "data_sha256": data["sha256"],
            "oof_sha256": sha256_of(folder.oof),
        },
    }
    _store(folder, Decision(chosen, fitted, tags, beta), tuning, metrics, tested=tested is not None)
    return metrics


def _store(folder: Run, decision: Decision, tuning: Tuning, metrics: Metrics, *, tested: bool) -> None:
    """Write the decision, the scores and the bundle.

    Parameters
    ----------
    folder
        The run.
    decision, tuning
        The fitted rule, and what it was tuned on.
    metrics
        The scores.
    tested
        Whether the scores are also of a published test split.
    """
    withdraw_bundle(folder)  # before the new decision is written: a bundle must not hold the former one
    write_decision(folder, decision, tuning)
    sources = [folder.oof, folder.truth, *([folder.test, folder.tested] if tested else [])]
    write_json(folder.metrics, metrics, made_of=sources)
    if folder.finished_folds():
        write_bundle(folder)


def _cross_fitted(
    rules: Mapping[str, Rule], p: npt.NDArray[np.float32], true: MultiHot, seed: int
) -> dict[str, MultiHot]:
    answers = {}
    for name, rule in rules.items():
        began = time.perf_counter()
        answers[name] = cross_predict(rule, p, true, seed=seed)
        log.info("cross-fitted %s in %.1f s", name, time.perf_counter() - began)
    return answers


def _best_of(rules: Mapping[str, Rule], beta: float, seed: int) -> Rule:
    # Imported here: the import takes a second, which --help should not cost.
    from amazon_ml.decisions.selection import SimplestRule

    return SimplestRule(list(rules.items()), beta=beta, random_state=seed)


def _best_constant(true: MultiHot, beta: float) -> MultiHot:
    """Predict the same tags for every tile: those with the best mean F-beta.

    A tag of k predicted ones adds (1 + beta^2) / (beta^2 |Y| + k) on each tile that has it, so the best k tags are
    those that add the most. To predict none is right on the tiles without tags.
    """
    sizes = true.sum(axis=1)
    best, answer = float(np.count_nonzero(sizes == 0)), np.zeros(true.shape[1], dtype=np.uint8)
    for k in range(1, true.shape[1] + 1):
        added = (1 + beta**2) / (beta**2 * sizes + k) @ true
        chosen = np.argsort(-added, kind="stable")[:k]
        if (total := float(added[chosen].sum())) > best:
            best, answer = total, np.zeros_like(answer)
            answer[chosen] = 1
    return np.broadcast_to(answer, true.shape)
