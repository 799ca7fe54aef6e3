"""Accept files of a run that a person changed: record new hashes, and note the change in the provenance."""

import getpass
import logging
from contextlib import ExitStack
from pathlib import Path

from amazon_ml.errors import InputError, listed
from amazon_ml.runs.access import locked, locked_fold
from amazon_ml.runs.bundle import withdraw_bundle, write_bundle
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hash_remedies import FIXED
from amazon_ml.runs.hashes import (
    ChangedError,
    adopt,
    bind,
    check_recorded,
    hash_file,
    is_recorded,
    read_task,
    write_json,
)
from amazon_ml.runs.provenance import task_of, this_start
from amazon_ml.runs.provenance_file import Acceptance

log = logging.getLogger(__name__)


def accept(run: Path) -> None:
    """Take the files of a run as they are, after somebody changed some by hand; provenance.json lists them.

    Other commands refuse a file of a run that is not as the run wrote it. After this command they read it. A file that
    is made of a changed one, such as metrics.json of truth.csv, is refused until it is made again. The files that
    training depends on (config.yaml, folds.csv, bands.json, provenance.json, tiles.parquet) cannot be changed once a
    network is trained. Options that change no result, such as data.root, may be edited in config.yaml at any time. All
    files of a run without hashes are accepted.

    Parameters
    ----------
    run
        Run folder, or a blend.
    """
    folder = Run(run)
    folder.read_config(checked=False)  # before the lock, which would make the folder where there is none
    with locked(folder), ExitStack() as held:
        for fold in folder.begun_folds():
            held.enter_context(locked_fold(fold))
        changed = [path for path in folder.trusted() if _is_changed(path)]
        _check_free(folder, changed)
        note = {path.relative_to(run).as_posix(): hash_file(path) for path in changed}
        had_bundle = folder.bundle.exists()
        if changed:
            withdraw_bundle(folder)  # it was made of the former file
        _note(folder, note)  # first, so that the note is there whenever this process is killed
        for path in changed:
            adopt(path)
    for path in changed:
        log.info("accepted %s", path)
    if not changed:
        log.info("%s is as the run wrote it; there is nothing to accept", run)
    elif had_bundle:
        _rewrite_bundle(folder)


def _is_changed(path: Path) -> bool:
    try:
        check_recorded(path, sources=False)
    except ChangedError:
        return True
    return False


def _check_free(run: Run, changed: list[Path]) -> None:
    """Refuse changes of files that training depends on; a file without a hash belongs to a run without hashes."""
    fixed = [path for path in changed if path.name in FIXED and is_recorded(path)]
    if fixed and (run.begun_folds() or run.blend.exists()):
        raise InputError(
            "the networks were trained with the recorded content of these files; nothing was accepted",
            file=listed(fixed),
            remedy="put them back, or train into another `run`",
        )


def _note(run: Run, files: dict[str, str]) -> None:
    """Record in the provenance what was accepted, when and by whom; record the task of folds that have none."""
    provenance = run.read_provenance(checked=False)
    task = provenance.get("task")
    if task is None and not run.blend.exists():
        provenance["task"] = task = task_of(run, run.read_config(checked=False), provenance)
    for fold in run.begun_folds():
        if read_task(fold.path) is None:
            bind(fold.path, str(task))
    if files:
        acceptance: Acceptance = {**this_start(), "user": _user(), "files": files}
        write_json(run.provenance, {**provenance, "accepted": [*provenance.get("accepted", []), acceptance]})


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container, the user may have no name
        return "unknown"


def _rewrite_bundle(run: Run) -> None:
    with locked(run):
        try:
            write_bundle(run)
        except InputError as error:
            log.warning("%s is withdrawn until it can be written again: %s", run.bundle, error)
