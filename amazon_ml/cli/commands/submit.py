"""Submissions to Kaggle: ``submit make|lint|diff|send|scores``."""

import sys
from pathlib import Path

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.client import PLANET_COMPETITION


def lint(
    file: Path, *, run: Path | None = None, sample: Path | None = None, examples: int = 3, json: Path | None = None,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Check a submission before it is sent: names, order, tags, label logic, and how frequent tags are.

    Faults end with status 1; remarks do not.

    Parameters
    ----------
    file
        The submission.
    run
        Run that it is of, for tags, names and how frequent its decision gave tags on held-out tiles. By
        default the folder of the file, where that is a run; else the competition's are taken.
    sample
        Sample submission whose names and order are requested.
    examples
        How many cases of a kind are shown; the JSON holds all.
    json
        File for all that was found.
    overwrite
        Replace a file that is there.

    Raises
    ------
    WorkError
        When there are faults.
    """
    from dataclasses import asdict

    from amazon_ml.cli.show.submission import print_lint
    from amazon_ml.kaggle.form import run_around
    from amazon_ml.kaggle.lint import check_faults, lint_submission
    from amazon_ml.runs.access import own_paths
    from amazon_ml.runs.folder import Run
    from amazon_ml.runtime.files import write_json
    from amazon_ml.runtime.outputs import check_outputs

    if examples < 1:
        raise InputError("`examples` must be at least 1")
    run = run or run_around(file)
    check_outputs({"json": json}, [file, sample, *(own_paths(Run(run)) if run else [])], overwrite=overwrite)
    found = lint_submission(file, run=run, sample=sample)
    print_lint(asdict(found), found.findings, examples)
    if json is not None:
        write_json(json, asdict(found))
    check_faults(found)


def send(
    file: Path, *, message: str, competition: str = PLANET_COMPETITION, run: Path | None = None,
    sample: Path | None = None, yes: bool = False, wait: float = 0,
) -> None:  # fmt: skip
    """Send a submission to Kaggle, once it has no faults and you agree, and see that it arrives.

    Credentials are those of Kaggle's own client: ~/.kaggle/access_token, KAGGLE_API_TOKEN, KAGGLE_USERNAME
    and KAGGLE_KEY, or kaggle.json.

    Parameters
    ----------
    file
        The submission.
    message
        What Kaggle shows beside it.
    competition
        Name of the competition in the address of its page.
    run
        Run that it is of, where what was sent is recorded. By default the folder of the file, where that is a run.
    sample
        Sample submission whose names and order are requested. By default the official ones, or those of
        the run for another competition.
    yes
        Send without a question.
    wait
        Seconds to wait for the scores.
    """
    from amazon_ml.cli.show.submission import print_findings, print_parcel
    from amazon_ml.kaggle import send as sending
    from amazon_ml.kaggle.lint import check_faults

    if wait < 0:
        raise InputError(f"`wait` is {wait:g}; it is a number of seconds, not below 0")
    parcel = sending.prepare(file, message=message, competition=competition, run=run, sample=sample)
    print_findings(parcel.lint.findings)
    check_faults(parcel.lint)
    print_parcel(parcel.summary)
    sending.send(parcel, confirm=(lambda: None) if yes else _confirm, wait=wait)


def _confirm() -> None:
    """Ask a person, and end the work without a clear yes."""
    if not sys.stdin.isatty():
        raise InputError("nothing was sent: there is no terminal for the question; `yes` sends without it")
    try:
        answer = input("send this to Kaggle? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise WorkError("nothing was sent")


def scores(run: Path, *, wait: float = 0) -> None:
    """Ask Kaggle for the scores that a run's submissions lack, record them in the run, and show them all.

    Where none is lacking, Kaggle is not asked.

    Parameters
    ----------
    run
        Run folder.
    wait
        Seconds to wait for each that has no score yet.
    """
    from amazon_ml.cli.show.submission import print_records
    from amazon_ml.kaggle.scores import check_scored, fetch_scores

    records = fetch_scores(run, wait=wait)
    print_records(records)
    check_scored(records, wait)
