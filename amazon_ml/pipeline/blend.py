"""Blends: one run made of several runs, for use like any other run."""

import logging
from collections.abc import Sequence

from amazon_ml.decisions.blending import WAYS
from amazon_ml.errors import InputError
from amazon_ml.pipeline.finish import finish
from amazon_ml.runs.access import check_run_folder, locked
from amazon_ml.runs.blend import make_blend
from amazon_ml.runs.folder import Run
from amazon_ml.runs.scores import Metrics
from amazon_ml.runs.tiles import listed_tiles
from amazon_ml.settings import AnyPath, as_path, as_paths

log = logging.getLogger(__name__)


def blend(runs: Sequence[AnyPath], *, run: AnyPath, how: str = "mean") -> Metrics:
    """Average or stack runs; the blend is a run like any other, tuned, scored and used with the same verbs.

    The runs may differ in network, size, bands, loss and folds, since every stored probability comes from a network
    that never saw the tile. Weights and stacks are also fitted on labels: each labelled tile is blended by weights that
    were fitted on other tiles, and untagged and new tiles by weights that were fitted on all. A rule that is tuned on
    such rows depends on a held-out label only through the weights of other rows, which is far less than the noise of
    the score. If several ways or many sets of runs are tried, the score of the best one is too high, as for any
    choice.

    Parameters
    ----------
    runs
        Run folders with the same labelled tiles and tags; they may be blends. They are read again when the blend
        predicts new tiles.
    run
        Folder of the blend; an earlier blend there is replaced.
    how
        mean, of probabilities; logit_mean, of log odds; rank, of ranks for each tag, converted to probabilities;
        weighted, the mean with weights of least log loss; or stacked, each tag predicted from all tags of all runs,
        with a penalty towards the mean of log odds.

    Returns
    -------
    The content of the blend's metrics.json.

    Raises
    ------
    InputError
        For fewer than two different runs, for runs of other tiles, labels or tags, and for an unknown way.

    Examples
    --------
    >>> metrics = blend(["runs/demo", "runs/other"], run="runs/blend", how="mean")
    >>> sorted(metrics["fbeta"])
    ['constant', 'cross_fitted', 'cross_fitted_minus_fixed', 'fitted', 'fixed_0.2']
    """
    if how not in WAYS:
        raise InputError(f"`how` {how} is unknown", option="how", remedy=f"there are {', '.join(WAYS)}")
    members, folder = [Run(path) for path in as_paths("runs", runs)], Run(as_path("run", run))
    if len({member.path.resolve() for member in members}) < max(2, len(members)):
        raise InputError("name two different runs or more", option="runs")
    if folder.path.resolve() in {member.path.resolve() for member in members}:
        raise InputError(f"`run` {run} is one of the runs to blend", option="run", remedy="choose another folder")
    if folder.config.exists() and not folder.blend.exists():
        raise InputError(f"`run` {run} holds another run", option="run", remedy="choose another folder")
    check_run_folder(folder)
    for member in members:
        member.read_config()  # an error if this is no run, before a lock makes the folder of the blend
    with locked(folder):
        make_blend(folder, members, how)
        metrics = finish(folder, listed_tiles(folder))
    log.info("%s blends %d runs: %s", run, len(members), how)
    return metrics
