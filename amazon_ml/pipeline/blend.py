"""Blends: one run made of several, used like any other."""

import logging
from pathlib import Path

from amazon_ml.decisions.blending import WAYS
from amazon_ml.errors import InputError
from amazon_ml.pipeline.finish import finish
from amazon_ml.runs.access import check_run_folder, locked
from amazon_ml.runs.blend import make_blend
from amazon_ml.runs.folder import Run
from amazon_ml.runs.scores import Metrics
from amazon_ml.runs.tiles import listed_tiles

log = logging.getLogger(__name__)


def blend(runs: list[Path], *, run: Path, how: str = "mean") -> Metrics:
    """Average or stack runs; the blend is a run like any other, tuned, scored and used with the same verbs.

    The runs may differ in network, size, bands, loss and folds, for every stored probability is by a
    network that never saw the tile. Weights and stacks are fitted on labels, too: each tile that is
    tuned and scored on is blended by those fitted on other tiles, and untagged and new tiles by those
    fitted on all. A rule that is tuned on such rows has seen a held-out label through the weights
    of other rows only, which is far less than the noise of the score. Where several ways or many sets
    of runs are tried, the best one's score flatters it, as that of any choice does.

    Parameters
    ----------
    runs
        Run folders of the same labelled tiles and tags, blends among them if need be. They are read
        again when the blend predicts new tiles.
    run
        Folder of the blend; an earlier blend there is replaced.
    how
        mean, of probabilities; logit_mean, of log odds; rank, of ranks tag by tag, made probabilities
        again; weighted, the mean with weights of least log loss; or stacked, each tag learnt from all
        tags of all runs, held to the mean of log odds.

    Returns
    -------
    The content of the blend's metrics.json.

    Raises
    ------
    InputError
        For fewer than two different runs, for runs of other tiles, labels or tags, and for an unknown way.

    Examples
    --------
    >>> metrics = blend([Path("runs/demo"), Path("runs/other")], run=Path("runs/blend"), how="mean")
    >>> sorted(metrics["fbeta"])
    ['constant', 'cross_fitted', 'cross_fitted_minus_fixed', 'fitted', 'fixed_0.2']
    """
    if how not in WAYS:
        raise InputError(f"`how` {how}: there are {', '.join(WAYS)}")
    members, folder = [Run(path) for path in runs], Run(run)
    if len({member.path.resolve() for member in members}) < max(2, len(members)):
        raise InputError("name two different runs or more")
    if folder.path.resolve() in {member.path.resolve() for member in members}:
        raise InputError(f"`run` {run} is one of the runs to blend; choose another")
    if folder.config.exists() and not folder.blend.exists():
        raise InputError(f"`run` {run} holds another run; choose another")
    check_run_folder(folder)
    for member in members:
        member.read_config()  # refuses what is no run, before a lock makes the folder of the blend
    with locked(folder):
        make_blend(folder, members, how)
        metrics = finish(folder, listed_tiles(folder))
    log.info("%s blends %d runs: %s", run, len(members), how)
    return metrics
