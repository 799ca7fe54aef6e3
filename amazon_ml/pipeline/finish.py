"""Finishes a run after prediction: decision, scores, picture, submission and page."""

import contextlib
import logging
from pathlib import Path

import pandas as pd

from amazon_ml.data.readers.shown import shown_channels
from amazon_ml.errors import InputError
from amazon_ml.kaggle.make import save_submission
from amazon_ml.report.figures import draw_tiles, pick_varied
from amazon_ml.report.page.write import write_report
from amazon_ml.runs.decision import read_decision
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.former_audit import clear_audit
from amazon_ml.runs.hashes import is_edited, is_recorded, is_unchanged, remove
from amazon_ml.runs.scores import Metrics
from amazon_ml.runs.tiles import read_bands
from amazon_ml.runs.tune import tune_locked

log = logging.getLogger(__name__)


def finish(run: Run, tiles: pd.DataFrame | None) -> Metrics:
    """Tune, score, draw and tag the test tiles, for a caller that holds the run's lock.

    Parameters
    ----------
    run
        Run folder with its probabilities.
    tiles
        Labelled tiles of a catalog, for the picture; without them, no picture is drawn.

    Returns
    -------
    The contents of metrics.json.
    """
    metrics = tune_locked(run)
    clear_audit(run)
    if tiles is not None:
        _draw(run, tiles, metrics)
    else:
        _clear(run.picture)  # a former one shows the tags of a former decision
    if run.test.exists():
        _submit(run)
    else:
        _clear_submission(run)
    _report(run, tiles)
    return metrics


def _submit(run: Run) -> None:
    try:
        save_submission(run)
    except InputError as error:  # problems of the test tiles must not end the run
        log.warning("no submission was written: %s", error)
        _clear_submission(run)


def _clear_submission(run: Run) -> None:
    """Remove the submission that the run wrote before and not now, unless it is of the present probabilities."""
    if not run.submission.is_file():
        return
    if not is_recorded(run.submission) or is_edited(run.submission):
        log.warning("%s is left as it is, though it may be of former probabilities; amazon-ml submit make %s writes it "
                    "anew", run.submission, run.path)  # fmt: skip
    elif not (run.test.exists() and is_unchanged(run.submission)):
        remove(run.submission)
        log.warning("removed %s: it was of former probabilities or of a former decision, and none was written",
                    run.submission)  # fmt: skip


def _report(run: Run, tiles: pd.DataFrame | None) -> None:
    try:
        write_report(run, tiles)
    except Exception as error:  # the run is complete without its page
        log.warning("no report.html was written: %s; amazon-ml report %s tries again", error, run.path)
        _clear(run.report)  # a former one shows former scores


def _clear(page: Path) -> None:
    with contextlib.suppress(OSError):  # such as a folder in its place; the run is complete all the same
        page.unlink(missing_ok=True)


def _draw(run: Run, labelled: pd.DataFrame, metrics: Metrics) -> None:
    names, tags, p, true = read_oof(run)
    predicted = read_decision(run).rule.predict(p)
    picked = pick_varied(true, 18, seed=0)
    tiles = labelled.set_index("image_name").loc[names.iloc[picked]]
    read = read_bands(run)
    images = [shown_channels(read, read(path, tif)) for path, tif in zip(tiles["path"], tiles["tif"], strict=True)]
    source = "Generated tiles" if metrics["generated"] else "Tiles"
    part = "not trained on" if metrics["held_out"] else "trained on"
    title = f"{source} the network was {part}, with the tags it gave them"
    draw_tiles(run.picture, images, tags, true[picked], predicted[picked], title=title)
