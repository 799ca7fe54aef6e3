"""What Kaggle says of a submission: whether it is listed, its status, its scores."""

import logging
import time
from collections.abc import Iterator
from typing import Any

from amazon_ml.errors import WorkError
from amazon_ml.kaggle.client import explained

log = logging.getLogger(__name__)

#: Seconds between looks at Kaggle's list: the first pause, and the longest that they grow to.
_PAUSE, _LONGEST = 1.0, 60.0

#: Submissions looked through, the newest first; Kaggle tells no more at a time.
_LISTED = 200


def look_up(api: Any, competition: str, ref: int, seconds: float, scored: bool = False) -> dict[str, Any] | None:
    """Look for a submission in Kaggle's list, again and again for some seconds; none where it is not there in time.

    With `scored`, until it has a score, or is wrong.
    """
    for _ in _pauses(seconds):
        try:
            with explained(f"the submissions to {competition}"):
                listed = api.competition_submissions(competition, page_size=_LISTED) or []
        except WorkError as error:  # it is sent; another look may do
            log.warning("%s", error)
            continue
        outcome = next((_outcome(told) for told in listed if told is not None and told.ref == ref), None)
        if outcome and not (scored and outcome["status"] == "pending"):
            return outcome
    return None


def _pauses(seconds: float) -> Iterator[None]:
    """Give turns, the first at once, the last when the seconds are over, with growing pauses between them."""
    end, pause = time.monotonic() + seconds, _PAUSE
    yield
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST)
        yield


def _outcome(told: Any) -> dict[str, Any]:
    scores = {"public": told.public_score, "private": told.private_score}
    return {
        "status": told.status.name.lower(),
        **{kind: float(score) if score else None for kind, score in scores.items()},
        **({"error": told.error_description} if told.error_description else {}),
    }
