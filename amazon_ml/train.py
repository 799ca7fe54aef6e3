"""The whole job: fit, predict held-out tiles, tune, score, tag the test tiles; resumes."""

import logging
import time
from typing import Any

import numpy as np
import pandas as pd

from amazon_ml.data.bands import read_reader
from amazon_ml.data.catalog import Catalog
from amazon_ml.data.folds import read_folds
from amazon_ml.errors import InputError
from amazon_ml.files import write_table
from amazon_ml.kaggle.submission import make_submission
from amazon_ml.report.figures import draw_tiles, pick_varied
from amazon_ml.report.tables import print_scores
from amazon_ml.runs.config import Options, keep_options, parse_train, write_options
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.fit import fit_fold, fold_data
from amazon_ml.runs.folder import Run, locked, probability_table, read_oof, read_probabilities, write_truth
from amazon_ml.runs.provenance import keep_provenance
from amazon_ml.runs.tune import LEAST_TILES, keep_rule

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Run ``amazon-ml train``."""
    run, options = parse_train(arguments)
    train(run, options)


def train(run: Run, options: Options) -> dict[str, Any]:
    """Run the whole job into a run folder.

    Parameters
    ----------
    run
        Where everything is written. A folder that was begun with the same options is finished.
    options
        As `parse_train` gives them.

    Returns
    -------
    The content of metrics.json.
    """
    began = time.perf_counter()
    with locked(run):
        keep_options(run, options)
        first = fold_data(run, options, 0)
        catalog = first.catalog
        folds = _folds(run, options, catalog)
        keep_provenance(run, options, catalog)
        write_options(run, options)
        write_truth(run, catalog.labelled["image_name"], catalog.tags, catalog.targets)
        log.info("%s: %s labelled tiles, %s untagged, %d tags", run.path, f"{len(catalog.labelled):,}",
                 f"{len(catalog.unlabelled):,}", len(catalog.tags))  # fmt: skip
        for fold in folds:
            data = first if fold == 0 else fold_data(run, options, fold)
            fit_fold(run.fold(fold), options, data, options["seed"] + fold)
        _gather(run, catalog)
        metrics = keep_rule(run)
        _draw(run, catalog, metrics)
        print_scores(metrics)
        if len(catalog.unlabelled):
            _submit(run)
    log.info("%s is done after %.0f s", run.path, time.perf_counter() - began)
    return metrics


def _folds(run: Run, options: Options, catalog: Catalog) -> list[int]:
    if not options["data"]["hold_out"]:
        return [0]
    fold = read_folds(run.folds, catalog.labelled["image_name"])
    there = sorted(set(fold))
    asked = there if options["folds"] == "all" else sorted(set(options["folds"]))
    if not asked or not set(asked) <= set(there):
        raise InputError(f"--folds {options['folds']}: there are the folds {there}")
    held_out = int(fold.isin(asked).sum())
    if held_out < LEAST_TILES:
        raise InputError(
            f"folds {asked} hold out {held_out} of {len(fold)} tiles; cut-offs need {LEAST_TILES} at least: "
            "ask for more --folds, or fewer of them with --data.n_folds"
        )
    return asked


def _gather(run: Run, catalog: Catalog) -> None:
    """Put all finished folds together, of this call or before: held-out tiles once, untagged tiles averaged."""
    tags = catalog.tags.names
    folds = [fold for fold in run.finished_folds() if fold.test.exists() or catalog.unlabelled.empty]
    valid = [read_probabilities(fold.valid, tags) for fold in folds]
    names = pd.concat([names for names, _ in valid])
    if names.duplicated().any():
        raise InputError(
            f"{run.path}: {names[names.duplicated()].iloc[0]} is held out in two folds; delete the fold folders"
        )
    write_table(run.oof, probability_table(names.tolist(), tags, np.concatenate([p for _, p in valid])))
    if len(catalog.unlabelled):
        test = [read_probabilities(fold.test, tags) for fold in folds]
        if any(not names.equals(catalog.unlabelled["image_name"]) for names, _ in test):
            raise InputError(f"{run.path}: the untagged tiles changed between folds; delete the fold folders")
        mean = np.mean([p for _, p in test], axis=0)
        write_table(run.test, probability_table(test[0][0].tolist(), tags, mean))


def _submit(run: Run) -> None:
    try:
        make_submission(run.path)
    except InputError as error:  # part of the test tiles is a reason for no submission, not for no run
        log.warning("no submission was written: %s", error)


def _draw(run: Run, catalog: Catalog, metrics: dict[str, Any]) -> None:
    names, tags, p, true = read_oof(run)
    decided = read_decision(run).rule.decide(p)
    picked = pick_varied(true, 18, seed=0)
    tiles = catalog.labelled.set_index("image_name").loc[names.iloc[picked]]
    read = read_reader(run.bands)
    images = [read(path, tif) for path, tif in zip(tiles["path"], tiles["tif"], strict=True)]
    source = "Generated tiles" if metrics["generated"] else "Tiles"
    part = "not trained on" if metrics["held_out"] else "trained on"
    title = f"{source} the network was {part}, with the tags it gave them"
    draw_tiles(run.picture, images, tags, true[picked], decided[picked], title=title)
