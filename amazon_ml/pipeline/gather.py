"""Finishes a run whose folds were trained in separate processes: the work of the verb ``gather``."""

from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.pipeline.finish import finish
from amazon_ml.runs.access import locked
from amazon_ml.runs.decision import requested_before
from amazon_ml.runs.folder import Run
from amazon_ml.runs.gather import gather_folds, missing_folds
from amazon_ml.runs.scores import Metrics
from amazon_ml.runs.tiles import listed_tiles


def gather(run: Path, *, partial: bool = False) -> Metrics:
    """Put the folds of a run together, and tune, score and tag the test tiles; trains nothing.

    It is for folds that were trained in separate processes, as on a cluster.

    Parameters
    ----------
    run
        Run folder.
    partial
        Use the finished folds, although others are not finished.

    Returns
    -------
    The contents of metrics.json.

    Raises
    ------
    InputError
        For a folder that is no run, for a blend, for folds that are not finished, and for a decision that a person
        changed.
    """
    folder = Run(run)
    folder.read_config()  # before a lock makes a folder that does not exist
    if folder.blend.exists():
        raise InputError("the run is a blend of other runs, without folds", file=run, option="run")
    with locked(folder, wait=True):
        missing = [] if partial else missing_folds(folder)
        if missing:
            raise InputError(f"folds {missing} are not finished", file=run, option="partial",
                             remedy="train them with `folds`, or use the others with `partial` true")  # fmt: skip
        requested_before(folder)  # before any file is written: a changed decision is an error
        gather_folds(folder)
        return finish(folder, listed_tiles(folder))
