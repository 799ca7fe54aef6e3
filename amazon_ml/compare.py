"""Runs side by side: which is better, by how much, and whether that is more than noise."""

import logging
from pathlib import Path

from amazon_ml.decisions.rules import DEFAULT_RULE, RULES
from amazon_ml.errors import InputError
from amazon_ml.report.comparison import print_comparison, write_comparison_page
from amazon_ml.runs.access import own_paths
from amazon_ml.runs.compare import compare_runs
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs

log = logging.getLogger(__name__)


def compare(
    runs: list[Path], *, rule: str = DEFAULT_RULE, json: Path | None = None, page: Path | None = None,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Compare runs to the first of them, tile by tile, on the labelled tiles that all of them held out.

    Every run is predicted anew by one rule, so that a difference is one of networks. It is noise where
    its interval, a bootstrap's over tiles, holds 0; the more runs are compared, the wider intervals are.
    The runs are not changed.

    Parameters
    ----------
    runs
        Run folders of the same tags and labels, blends among them if need be; the first is the one
        that the others are compared to.
    rule
        Rule that decides: fixed, global, shrunk, bagged, per_class, expected, expected_constrained or stacked.
    json
        File for all that was found.
    page
        HTML file of the same tables and a drawing; it needs no other file.
    overwrite
        Replace files that are there.

    Raises
    ------
    InputError
        For fewer than two runs, and for runs that cannot be compared.
    """
    if rule not in RULES:
        raise InputError(f"--rule {rule}: there are {', '.join(RULES)}")
    if len({path.resolve() for path in runs}) < max(2, len(runs)):
        raise InputError("name two different runs or more")
    inputs = [path for run in runs for path in own_paths(Run(run))]
    check_outputs({"--json": json, "--page": page}, inputs, overwrite=overwrite)
    found = compare_runs([Run(path) for path in runs], rule)
    print_comparison(found)
    if json is not None:
        write_json(json, found)
    if page is not None:
        write_comparison_page(page, found)
        log.info("wrote %s", page)
