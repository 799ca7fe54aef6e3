"""What was sent of a run: a list of submissions in its folder, kept whole by one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.runs.access import check_writable
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import read_json
from amazon_ml.runtime.locks import locked

#: A submission: ``time``, ``competition``, ``file``, ``sha256``, ``message``, ``status``; its number ``ref``, once it
#: has one; once it is listed, ``public`` and ``private`` score (None before there are any), and Kaggle's ``error``.
Record = dict[str, Any]


@contextmanager
def kept(run: Path | None) -> Iterator[list[Record]]:
    """Hold the records of a run for this process, and give them, the oldest first; none where there is no run.

    Raises
    ------
    InputError
        When `run` is no run, where a record would be lost, its records are broken, or another process holds them.
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
    records = read_json(path)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path} is not a list of submissions; mend or remove it")
    return records
