"""The verbs ``submit lint|send|scores``; the others are functions of the library, see `amazon_ml.cli.verbs`."""

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
        The run of the submission: it gives tags, names, and how frequent its decision gave tags on held-out tiles. By
        default the folder of the file, where that is a run; else those of the competition are used.
    sample
        Sample submission with the names and their order.
    examples
        Number of cases that are shown; see `amazon_ml.cli.commands.data.check`.
    json
        File for the content and all findings.
    overwrite
        Replace an existing file.

    Raises
    ------
    WorkError
        Where there are faults.
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
        raise InputError("`examples` must be at least 1", option="examples")
    run = run or run_around(file)
    check_outputs({"json": json}, [file, sample, *(own_paths(Run(run)) if run else [])], overwrite=overwrite)
    found = lint_submission(file, run=run, sample=sample)
    print_lint(found, examples)
    if json is not None:
        write_json(json, asdict(found))
    check_faults(found)


def send(
    file: Path, *, message: str, competition: str = PLANET_COMPETITION, run: Path | None = None,
    sample: Path | None = None, yes: bool = False, wait: float = 0,
) -> None:  # fmt: skip
    """Send a submission to Kaggle, if it has no faults and you agree, and check that it arrives.

    The credentials are those of Kaggle's own client: ~/.kaggle/access_token, KAGGLE_API_TOKEN, KAGGLE_USERNAME and
    KAGGLE_KEY, or kaggle.json.

    Parameters
    ----------
    file
        The submission.
    message
        Description that Kaggle shows.
    competition
        Name of the competition, as in the address of its page.
    run
        The run of the submission, which records it. By default the folder of the file, where that is a run.
    sample
        Sample submission with the names and their order. By default the official ones, or those of the run for
        another competition.
    yes
        Send without asking.
    wait
        Seconds to wait for the scores.
    """
    from amazon_ml.cli.show.submission import print_findings, print_parcel
    from amazon_ml.kaggle import send as sending
    from amazon_ml.kaggle.lint import check_faults

    if wait < 0:
        raise InputError(f"`wait` is {wait:g}; it is a number of seconds, not below 0", option="wait")
    parcel = sending.prepare(file, message=message, competition=competition, run=run, sample=sample)
    print_findings(parcel.lint.findings)
    check_faults(parcel.lint)
    print_parcel(parcel.summary)
    sending.send(parcel, confirm=(lambda: None) if yes else _confirm, wait=wait)


def _confirm() -> None:
    """Ask a person; anything but a clear yes is an error."""
    if not sys.stdin.isatty():
        raise InputError(
            "nothing was sent: there is no terminal to ask on", option="yes", remedy="`yes` sends without asking"
        )
    try:
        answer = input("send this to Kaggle? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise WorkError("nothing was sent")


def scores(run: Path, *, wait: float = 0) -> None:
    """Fetch missing scores of a run's submissions from Kaggle, record them in the run, and show all of them.

    Where no score is missing, Kaggle is not called.

    Parameters
    ----------
    run
        Run folder.
    wait
        Seconds to wait for each submission without a score.
    """
    from amazon_ml.cli.show.submission import print_records
    from amazon_ml.kaggle.scores import check_scored, fetch_scores

    records = fetch_scores(run, wait=wait)
    print_records(records)
    check_scored(records, wait)
