"""Sending a submission to Kaggle: checked before, agreed to, and looked up after, since a lost one raises nothing."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.client import PLANET_COMPETITION, explained, sign_in
from amazon_ml.kaggle.form import find_form, run_around
from amazon_ml.kaggle.lint import Lint, check_faults, expect, lint
from amazon_ml.kaggle.outcomes import look_up
from amazon_ml.kaggle.records import Record, kept
from amazon_ml.kaggle.rows import read_submission
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import read_recorded
from amazon_ml.runtime.files import sha256_of, write_json

log = logging.getLogger(__name__)

#: Seconds after which a submission that has a number should be in the list.
_ARRIVAL = 15.0


@dataclass(frozen=True)
class Parcel:
    """A submission that is ready to be sent.

    Parameters
    ----------
    file
        The submission.
    message
        What Kaggle shows beside it.
    competition
        Name of the competition in the address of its page.
    run
        Run that it is of; None where it is of none.
    lint
        What was found in it.
    summary
        What a person wants to know before agreeing: competition, file, hash, message, rows, decision and score.
    """

    file: Path
    message: str
    competition: str
    run: Path | None
    lint: Lint
    summary: dict[str, str]


def prepare(
    file: Path, *, message: str, competition: str = PLANET_COMPETITION, run: Path | None = None,
    sample: Path | None = None,
) -> Parcel:  # fmt: skip
    """Read and check a submission that is to be sent; sends nothing.

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
    """
    run = run or run_around(file)
    form = find_form(None if competition == PLANET_COMPETITION else run, sample)
    found = lint(read_submission(file), form, expect(run))
    summary = {"competition": competition, "file": str(file), "sha256": sha256_of(file), "message": message}
    summary |= {"rows": f"{found.rows:,}", "tags a tile": f"{found.tags_per_tile:.2f}", **_about(run)}
    return Parcel(file, message, competition, run, found, summary)


def send(parcel: Parcel, *, confirm: Callable[[], None], wait: float = 0) -> Record:
    """Send a submission to Kaggle, and see that it arrives.

    Credentials are those of Kaggle's own client: ~/.kaggle/access_token, KAGGLE_API_TOKEN, KAGGLE_USERNAME
    and KAGGLE_KEY, or kaggle.json.

    Parameters
    ----------
    parcel
        What `prepare` gave.
    confirm
        Called before anything is sent; it raises where a person does not agree.
    wait
        Seconds to wait for the scores.

    Returns
    -------
    What was recorded in the run: time, number, status and, once they are known, scores.

    Raises
    ------
    InputError
        When Kaggle refuses the credentials or the competition.
    WorkError
        When the submission has faults, does not arrive, Kaggle finds it wrong, or the scores do not come in time.
    """
    check_faults(parcel.lint)
    run = parcel.run
    with kept(run) as before:
        record = {key: parcel.summary[key] for key in ("competition", "file", "sha256", "message")}
        _warn_of_repetition(before, record["sha256"])
        confirm()
        api = sign_in()
        outcome = _send(api, run, before, {"time": datetime.now(UTC).isoformat(timespec="seconds"), **record}, wait)
    _tell(outcome, wait, f"amazon-ml submit scores {run} fetches it" if run else "the competition's page will show it")
    return outcome


def _send(api: Any, run: Path | None, before: list[Record], record: Record, wait: float) -> Record:
    """Send, look it up, wait for the scores; the run knows of each step, so that none is lost with the process."""
    competition = record["competition"]
    _record(run, before, {**record, "status": "sending"})
    try:
        record = {**record, "ref": _deliver(api, competition, Path(record["file"]), record["message"])}
    except (InputError, _NotTakenError):
        _record(run, before, {**record, "status": "refused"})
        raise
    _record(run, before, {**record, "status": "sent"})
    outcome = look_up(api, competition, record["ref"], _ARRIVAL)
    if outcome is None:
        raise WorkError(f"Kaggle gave the submission number {record['ref']}, but does not list it; look at the "
                        "competition's page before you send it again")  # fmt: skip
    _record(run, before, {**record, **outcome})
    log.info("it arrived: submission %d", record["ref"])
    if wait and outcome["status"] == "pending":
        outcome = look_up(api, competition, record["ref"], wait, scored=True) or outcome
        _record(run, before, {**record, **outcome})
    return {**record, **outcome}


def _about(run: Path | None) -> dict[str, str]:
    """Tell the decision of a run and its score, as far as they are known."""
    if run is None:
        return {}
    about = {"run": str(run)}
    if Run(run).decision.exists():
        about["decision"] = str(read_recorded(Run(run).decision).get("rule"))
    if Run(run).metrics.exists():
        metrics = read_recorded(Run(run).metrics)
        score = metrics.get("fbeta", {}).get("cross_fitted", {}).get("value")
        about |= {f"F{metrics.get('beta', 2):g}, cross-fitted": f"{score:.4f}"} if score is not None else {}
    return about


def _warn_of_repetition(before: list[Record], sha256: str) -> None:
    for record in before:
        if record.get("sha256") == sha256 and record.get("status") != "refused":
            number = f"as submission {record['ref']}" if record.get("ref") else "but is not known to have arrived"
            log.warning("the same file was sent on %s, %s", record.get("time"), number)


class _NotTakenError(WorkError):
    """It is certain that nothing was submitted."""


def _deliver(api: Any, competition: str, file: Path, message: str) -> int:
    """Upload and submit; gives the submission's number, which the client leaves at 0 where an upload fails."""
    try:
        with explained(f"a submission to {competition}"):
            ref = int(api.competition_submit(str(file), message, competition, quiet=True).ref or 0)
    except WorkError as error:
        raise WorkError(f"{error}; look at the competition's page before, it may have arrived all the same") from None
    if ref <= 0:
        raise _NotTakenError("Kaggle did not take the upload, and nothing was submitted; try the same command later")
    return ref


def _tell(outcome: Record, wait: float, later: str) -> None:
    ref = outcome["ref"]
    if outcome["status"] == "error":
        raise WorkError(f"Kaggle finds submission {ref} wrong: {outcome.get('error', 'it does not say why')}")
    if outcome["status"] == "complete":
        log.info("submission %d: public score %s, private score %s", ref, outcome["public"], outcome["private"])
    elif wait:
        raise WorkError(f"submission {ref} arrived, but has no score after {wait:g} s; do not send it again, {later}")
    else:
        log.info("submission %d has no score yet; %s", ref, later)


def _record(run: Path | None, before: list[Record], record: Record) -> None:
    """Keep a submission in its run, behind those before it."""
    if run is not None:
        write_json(Run(run).submissions, [*before, record])
