"""Fetch the scores of submissions that were sent before, and record them in the run."""

from pathlib import Path
from typing import cast

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.client import sign_in
from amazon_ml.kaggle.outcomes import look_up
from amazon_ml.kaggle.records import Record, locked_records
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import write_json

#: Statuses that do not change any more.
_FINAL = ("complete", "error", "refused")


def fetch_scores(run: Path, *, wait: float = 0) -> list[Record]:
    """Fetch missing scores of a run's submissions from Kaggle, and record them in the run.

    Where no score is missing, Kaggle is not called.

    Parameters
    ----------
    run
        Run folder.
    wait
        Seconds to wait for each submission without a score.

    Returns
    -------
    All submissions of the run, the oldest first.

    Raises
    ------
    InputError
        Where nothing was sent of the run, or Kaggle refuses the credentials.
    WorkError
        Where Kaggle cannot be reached.
    """
    if wait < 0:
        raise InputError(f"`wait` is {wait:g}; it is a number of seconds, not below 0", option="wait")
    with locked_records(run) as records:
        if not records:
            raise InputError(
                "nothing was sent of this run", file=run, remedy=f"amazon-ml submit send {Run(run).submission} sends it"
            )
        if any(_is_open(record) for record in records):
            api = sign_in()
            for record in filter(_is_open, records):
                outcome = look_up(api, record["competition"], record["ref"], wait, scored=wait > 0)
                if outcome is not None:
                    record.update(cast(Record, outcome))
                write_json(Run(run).submissions, records)
    return records


def check_scored(records: list[Record], wait: float) -> None:
    """Raise a `WorkError` with the submissions that have no score after waiting."""
    late = [record["ref"] for record in records if _is_open(record)]
    if wait and late:
        raise WorkError(
            f"no score after {wait:g} s for {', '.join(map(str, late))}; the same command fetches them again"
        )


def _is_open(record: Record) -> bool:
    """Whether the status of a submission may change; without a number it cannot be looked up."""
    return "ref" in record and record.get("status") not in _FINAL
