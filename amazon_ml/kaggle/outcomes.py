"""Look up a submission in Kaggle's list: its status and its scores."""

import logging
import time
from collections.abc import Iterator
from typing import Any

from amazon_ml.errors import WorkError
from amazon_ml.kaggle.client import translated_errors
from amazon_ml.kaggle.records import Outcome

log = logging.getLogger(__name__)

#: Seconds between two calls: the first pause, and the longest one.
_PAUSE, _LONGEST = 1.0, 60.0

#: Submissions that are searched, the newest first; Kaggle lists no more at a time.
_LISTED = 200


def look_up(api: Any, competition: str, ref: int, seconds: float, scored: bool = False) -> Outcome | None:
    """Search for a submission in Kaggle's list until it is there; None where it is not there in time.

    Parameters
    ----------
    api
        Kaggle's client.
    competition, ref
        Name of the competition, and number of the submission.
    seconds
        How long to search.
    scored
        Wait also until it has a score or an error.
    """
    for _ in _pauses(seconds):
        try:
            with translated_errors(f"the submissions to {competition}"):
                listed = api.competition_submissions(competition, page_size=_LISTED) or []
        except WorkError as error:  # it is sent; the next call may succeed
            log.warning("%s", error)
            continue
        outcome = next((_outcome(one) for one in listed if one is not None and one.ref == ref), None)
        if outcome and not (scored and outcome["status"] == "pending"):
            return outcome
    return None


def _pauses(seconds: float) -> Iterator[None]:
    """Pause between turns, longer each time: the first turn is at once, the last one at the end of the seconds."""
    end, pause = time.monotonic() + seconds, _PAUSE
    yield
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST)
        yield


def _outcome(submission: Any) -> Outcome:
    public, private = submission.public_score, submission.private_score
    outcome: Outcome = {
        "status": submission.status.name.lower(),
        "public": float(public) if public else None,
        "private": float(private) if private else None,
    }
    if submission.error_description:
        outcome["error"] = submission.error_description
    return outcome
