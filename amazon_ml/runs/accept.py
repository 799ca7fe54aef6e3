"""What a person changed in a run, taken as it is: new hashes, and a note of it in the provenance."""

import getpass
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError, listed
from amazon_ml.runs.access import locked, locked_fold
from amazon_ml.runs.bundle import withdraw_bundle, write_bundle
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import (
    FIXED,
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

log = logging.getLogger(__name__)


def accept(run: Path) -> None:
    """Take the files of a run as they are, after somebody changed some by hand; provenance.json tells which.

    Verbs refuse a file of a run that is not as the run wrote it. After this one they read it. A file that is made
    of a changed one, such as metrics.json of truth.csv, is refused until it is made anew. What training goes by
    (config.yaml, folds.csv, bands.json, provenance.json, tiles.parquet) cannot be changed once a network is trained;
    options that change no result, such as data.root, may be edited in config.yaml at any time. A run without
    hashes is taken as a whole.

    Parameters
    ----------
    run
        Run folder, or a blend.
    """
    folder = Run(run)
    folder.read_config(checked=False)  # a lock would make the folder where there is none
    with locked(folder), ExitStack() as held:
        for fold in folder.begun_folds():
            held.enter_context(locked_fold(fold))
        changed = [path for path in folder.trusted() if _is_changed(path)]
        _check_free(folder, changed)
        note = {path.relative_to(run).as_posix(): hash_file(path) for path in changed}
        had_bundle = folder.bundle.exists()
        if changed:
            withdraw_bundle(folder)  # it must not tell of the former file
        _note(folder, note)  # first: the note is there, whenever this process is killed
        for path in changed:
            adopt(path)
    for path in changed:
        log.info("accepted %s", path)
    if not changed:
        log.info("%s is as it was written; nothing to accept", run)
    elif had_bundle:
        _bundle_anew(folder)


def _is_changed(path: Path) -> bool:
    try:
        check_recorded(path, sources=False)
    except ChangedError:
        return True
    return False


def _check_free(run: Run, changed: list[Path]) -> None:
    """Refuse changes of what networks were trained by; a file without a hash is one of a run without hashes."""
    fixed = [path for path in changed if path.name in FIXED and is_recorded(path)]
    if fixed and (run.begun_folds() or run.blend.exists()):
        raise InputError(
            f"{listed(fixed)}: the run was made by what is recorded; put it back, or train into another `run`; "
            "nothing was accepted"
        )


def _note(run: Run, files: dict[str, str]) -> None:
    """Tell in the provenance what was accepted, when, by whom; bind folds that no task is known of."""
    facts = run.read_provenance(checked=False)
    task = facts.get("task")
    if task is None and not run.blend.exists():
        facts["task"] = task = task_of(run, run.read_config(checked=False), facts)
    for fold in run.begun_folds():
        if read_task(fold.path) is None:
            bind(fold.path, str(task))
    if files:
        accepted: list[dict[str, Any]] = [*facts.get("accepted", ()), {**this_start(), "user": _user(), "files": files}]
        write_json(run.provenance, {**facts, "accepted": accepted})


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may give its user no name
        return "unknown"


def _bundle_anew(run: Run) -> None:
    with locked(run):
        try:
            write_bundle(run)
        except InputError as error:
            log.warning("%s is withdrawn until it can be written anew: %s", run.bundle, error)
