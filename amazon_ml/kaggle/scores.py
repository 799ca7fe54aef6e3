"""Scores of what was sent before: asked for, recorded in the run, and shown."""

from pathlib import Path

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.client import sign_in
from amazon_ml.kaggle.outcomes import look_up
from amazon_ml.kaggle.records import Record, kept
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import write_json

#: Statuses after which Kaggle says nothing new.
_FINAL = ("complete", "error", "refused")


def fetch_scores(run: Path, *, wait: float = 0) -> list[Record]:
    """Ask Kaggle for the scores that a run's submissions lack, and record them in the run.

    Where none is lacking, Kaggle is not asked.

    Parameters
    ----------
    run
        Run folder.
    wait
        Seconds to wait for each that has no score yet.

    Returns
    -------
    What was sent, the oldest first.

    Raises
    ------
    InputError
        When nothing was sent of the run, or Kaggle refuses the credentials.
    WorkError
        When Kaggle cannot be reached.
    """
    if wait < 0:
        raise InputError(f"`wait` is {wait:g}; it is a number of seconds, not below 0")
    with kept(run) as records:
        if not records:
            raise InputError(f"nothing was sent of {run}; amazon-ml submit send {Run(run).submission} sends it")
        if any(_is_open(record) for record in records):
            api = sign_in()
            for record in filter(_is_open, records):
                outcome = look_up(api, record["competition"], record["ref"], wait, scored=wait > 0)
                record.update(outcome or {})
                write_json(Run(run).submissions, records)
    return records


def check_scored(records: list[Record], wait: float) -> None:
    """Raise a `WorkError` that names the submissions whose scores did not come, where some were waited for."""
    late = [record["ref"] for record in records if _is_open(record)]
    if wait and late:
        raise WorkError(f"no score after {wait:g} s for {', '.join(map(str, late))}; the same command looks again")


def _is_open(record: Record) -> bool:
    """Whether Kaggle knows more of a submission; of one without a number it cannot be asked."""
    return "ref" in record and record.get("status") not in _FINAL
