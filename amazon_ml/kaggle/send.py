"""Send a submission to Kaggle: check it, ask for agreement, send it, and check that it arrived."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.client import PLANET_COMPETITION, sign_in, translated_errors
from amazon_ml.kaggle.form import find_form, run_around
from amazon_ml.kaggle.lint import Lint, check_faults, expect, lint
from amazon_ml.kaggle.outcomes import look_up
from amazon_ml.kaggle.records import Record, locked_records
from amazon_ml.kaggle.rows import read_submission
from amazon_ml.runs.decision import BEST, scored_as
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import changed_sources, has_hash, is_copy, is_edited, read_recorded
from amazon_ml.runtime.files import sha256_of, write_json
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)

#: Seconds within which a sent submission should be in Kaggle's list.
_ARRIVAL = 15.0


@dataclass(frozen=True)
class Parcel:
    """A checked submission that can be sent.

    Parameters
    ----------
    file
        The submission.
    message
        Description that Kaggle shows.
    competition
        Name of the competition, as in the address of its page.
    run
        The run of the submission; None where there is none.
    lint
        Findings of the check.
    summary
        What a person should know before agreeing: competition, file, hash, message, rows, decision and score.
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
    """Read and check a submission; nothing is sent.

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

    Raises
    ------
    InputError
        Where the file was made with a former decision or former probabilities: the score would be that of another file.
    """
    run = run or run_around(file)
    _check_present(file)
    form = find_form(None if competition == PLANET_COMPETITION else run, sample)
    submission = read_submission(file)
    found = lint(submission, form, expect(run))
    summary = {"competition": competition, "file": str(file), "sha256": submission.sha256, "message": message}
    summary |= {"rows": f"{found.rows:,}", "tags per tile": f"{found.tags_per_tile:.2f}"}
    summary |= _about(run, file, summary["sha256"])
    return Parcel(file, message, competition, run, found, summary)


def send(parcel: Parcel, *, confirm: Callable[[], None], wait: float = 0) -> Record:
    """Send a submission to Kaggle, and check that it arrives.

    The credentials are those of Kaggle's own client: ~/.kaggle/access_token, KAGGLE_API_TOKEN, KAGGLE_USERNAME and
    KAGGLE_KEY, or kaggle.json.

    Parameters
    ----------
    parcel
        The result of `prepare`.
    confirm
        Function that is called before anything is sent; it raises an error where a person does not agree.
    wait
        Seconds to wait for the scores.

    Returns
    -------
    The record of the submission in the run.

    Raises
    ------
    InputError
        Where Kaggle refuses the credentials or the competition, or the file has changed since `prepare`.
    WorkError
        Where the submission has faults or does not arrive, Kaggle reports an error, or scores do not come in time.
    """
    check_faults(parcel.lint)
    run = parcel.run
    with locked_records(run) as before:
        _warn_of_repetition(before, parcel.summary["sha256"])
        confirm()
        with _checked_copy(parcel) as copy:
            record = _send(sign_in(), run, before, copy, _new_record(parcel), wait)
    later = f"amazon-ml submit scores {run} fetches it" if run else "the competition's page will show it"
    _report_outcome(record, wait, later)
    return record


@contextmanager
def _checked_copy(parcel: Parcel) -> Iterator[Path]:
    """Give a copy of what was checked and shown: the file itself may change while a person is asked, and later."""
    check_regular(parcel.file)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / parcel.file.name  # Kaggle shows the name
        try:
            shutil.copyfile(parcel.file, copy)
        except OSError as error:
            raise InputError(f"the file cannot be read: {error.strerror}", file=parcel.file) from None
        if sha256_of(copy) != parcel.summary["sha256"]:
            raise InputError("the file has changed since it was checked, and nothing was sent", file=parcel.file,
                             remedy="run the same command again")  # fmt: skip
        _check_present(parcel.file)
        yield copy


def _new_record(parcel: Parcel) -> Record:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "competition": parcel.summary["competition"],
        "file": parcel.summary["file"],
        "sha256": parcel.summary["sha256"],
        "message": parcel.summary["message"],
        "status": "sending",
    }


def _send(api: Any, run: Path | None, before: list[Record], copy: Path, record: Record, wait: float) -> Record:
    """Send, look it up, wait for the scores; each step is recorded in the run at once, in case the process ends."""
    competition = record["competition"]
    _save(run, before, record)
    try:
        ref = _deliver(api, competition, copy, record["message"])
    except (InputError, _NotTakenError):
        record["status"] = "refused"
        _save(run, before, record)
        raise
    record["status"], record["ref"] = "sent", ref
    _save(run, before, record)
    outcome = look_up(api, competition, ref, _ARRIVAL)
    if outcome is None:
        raise WorkError(f"Kaggle gave the submission the number {ref}, but does not list it; look at the competition's "
                        "page before you send it again")  # fmt: skip
    record.update(cast(Record, outcome))
    _save(run, before, record)
    log.info("it arrived: submission %d", ref)
    if wait and record["status"] == "pending" and (scored := look_up(api, competition, ref, wait, scored=True)):
        record.update(cast(Record, scored))
        _save(run, before, record)
    return record


def _check_present(file: Path) -> None:
    """Check that a submission was made with the present decision and probabilities of its run."""
    changed = changed_sources(file)
    if changed and not is_edited(file):  # what a person made of it is theirs to send
        raise InputError(
            f"the submission was made before {' and '.join(source.name for source in changed)} changed",
            file=file,
            remedy=f"make it again with amazon-ml submit make {file.parent}, or move it out of the run to send it as "
            "it is",
        )


def _about(run: Path | None, file: Path, sha256: str) -> dict[str, str]:
    """Give the decision and the score of a run, if the run recorded this content as its submission."""
    if run is None:
        return {}
    about = {"run": str(run)}
    if is_edited(file):
        return {**about, "edited": "the file is not as the run wrote it; the score of the run is not its score"}
    own = Run(run).submission
    if not is_copy(own, sha256) and (not has_hash(own, sha256) or changed_sources(own)):
        return {**about, "decision": "not known: the run has not recorded this file with its present decision"}
    decision = Run(run).decision
    if decision.exists():
        made = read_recorded(decision)
        about["decision"] = scored_as(str(made.get("rule")), chosen=made.get("requested") == BEST)
    files = (decision, Run(run).test, Run(run).oof)
    accepted = read_recorded(Run(run).provenance).get("accepted", [])
    edited = [
        file.name for file in files
        if file.exists() and sha256_of(file) in [one["files"].get(file.name) for one in accepted]
    ]  # fmt: skip
    if edited:
        return {**about, "score": f"not known: a person edited {' and '.join(edited)}, and accepted the change"}
    if Run(run).metrics.exists():
        metrics = read_recorded(Run(run).metrics)
        score = metrics.get("fbeta", {}).get("cross_fitted", {}).get("value")
        if score is not None:
            about[f"F{metrics.get('beta', 2):g}, cross-fitted"] = f"{score:.4f}{_caution(metrics)}"
    return about


def _caution(metrics: dict[str, Any]) -> str:
    if metrics.get("soft_labels"):
        return " (may be too high: soft labels may depend on these tiles)"
    return " (too high: the network was trained on these tiles)" if metrics.get("held_out") is False else ""


def _warn_of_repetition(before: list[Record], sha256: str) -> None:
    for record in before:
        if record.get("sha256") == sha256 and record.get("status") != "refused":
            number = f"as submission {record['ref']}" if record.get("ref") else "and it is unknown whether it arrived"
            log.warning("the same file was sent on %s, %s", record.get("time"), number)


class _NotTakenError(WorkError):
    """Kaggle certainly received no submission."""


def _deliver(api: Any, competition: str, file: Path, message: str) -> int:
    """Upload and submit; return the number of the submission, which the client leaves at 0 where an upload fails."""
    try:
        with translated_errors(f"a submission to {competition}"):
            ref = int(api.competition_submit(str(file), message, competition, quiet=True).ref or 0)
    except WorkError as error:
        raise WorkError(f"{error}; look at the competition's page before, since it may have arrived") from None
    if ref <= 0:
        raise _NotTakenError("Kaggle did not accept the upload, and nothing was submitted; try the same command later")
    return ref


def _report_outcome(record: Record, wait: float, later: str) -> None:
    """Log the scores; an error of the submission, and scores that did not come in time, are a `WorkError`."""
    ref = record["ref"]
    if record["status"] == "error":
        raise WorkError(f"Kaggle reports an error of submission {ref}: {record.get('error', 'without a reason')}")
    if record["status"] == "complete":
        log.info("submission %d: public score %s, private score %s", ref, record["public"], record["private"])
    elif wait:
        raise WorkError(f"submission {ref} arrived, but has no score after {wait:g} s; do not send it again, {later}")
    else:
        log.info("submission %d has no score yet; %s", ref, later)


def _save(run: Path | None, before: list[Record], record: Record) -> None:
    """Write the record of a submission into its run, after the earlier ones."""
    if run is not None:
        write_json(Run(run).submissions, [*before, record])
