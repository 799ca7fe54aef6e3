"""The list of submissions that were sent of a run; one process at a time changes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NotRequired, TypedDict

from amazon_ml.errors import InputError
from amazon_ml.runs.access import check_writable
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import read_json
from amazon_ml.runtime.locks import locked


class Outcome(TypedDict):
    """What Kaggle lists of a submission: ``status``, ``public`` and ``private`` score (None before), and ``error``."""

    status: str
    public: float | None
    private: float | None
    error: NotRequired[str]


class Record(TypedDict):
    """A submission.

    ``time`` in ISO 8601, UTC; ``competition``; ``file`` and its ``sha256``; ``message``; ``status``, that of Kaggle, or
    ``sending``, ``sent`` or ``refused``; ``ref``, Kaggle's number, once there is one; scores ``public`` and ``private``
    and ``error`` as in `Outcome`, once Kaggle lists it.
    """

    time: str
    competition: str
    file: str
    sha256: str
    message: str
    status: str
    ref: NotRequired[int]
    public: NotRequired[float | None]
    private: NotRequired[float | None]
    error: NotRequired[str]


@contextmanager
def locked_records(run: Path | None) -> Iterator[list[Record]]:
    """Lock the records of a run and read them, the oldest first; an empty list where there is no run.

    Raises
    ------
    InputError
        Where `run` is no run, so that a record would be lost; where its records are broken; where another process has
        locked them.
    """
    if run is None:
        yield []
        return
    Run(run).read_config()
    check_writable(Run(run))
    with locked(run / ".submissions.lock", f"another process is sending a submission of {run}; wait for it"):
        yield _read(run)


def _read(run: Path) -> list[Record]:
    path = Run(run).submissions
    if not path.exists():
        return []
    records: list[Record] = read_json(path)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError("this is not a list of submissions", file=path, remedy="correct or remove it")
    return records
