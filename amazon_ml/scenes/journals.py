"""Files beside a SQLite database, such as a GeoPackage, in which another program has changes that are not in it yet."""

from pathlib import Path

from amazon_ml.errors import InputError

#: First bytes of a journal that SQLite rolls back; those of a finished one are zeros.
_JOURNAL = bytes.fromhex("d9d505f920a163d7")
CLOSE = "save and close it in the other program; where none has it open, open it in QGIS once, and close it there"


def pending(path: Path) -> Path | None:
    """Find the file beside a database that may hold changes of it: a log that is not empty, or a journal in use.

    Parameters
    ----------
    path
        The database.
    """
    log, journal = _beside(path, "-wal"), _beside(path, "-journal")
    if log.is_file() and log.stat().st_size:
        return log
    return journal if _is_in_use(journal) else None


def _is_in_use(journal: Path) -> bool:
    if not journal.is_file():
        return False
    try:
        with journal.open("rb") as stream:
            return stream.read(len(_JOURNAL)) == _JOURNAL
    except OSError:  # of another user
        return True


def check_closed(path: Path) -> None:
    """Check that a database can be replaced: SQLite would put the changes of the former file into the new one.

    Raises
    ------
    InputError
        If another program has changes of it that may not be in it yet, or such changes are left of a former database.
    """
    if (beside := pending(path)) is None:
        return
    if not path.exists():  # there is nothing to open, and SQLite would put it into the new file
        raise InputError(f"{beside.name} lies there without its database", file=path, option="out",
                         remedy=f"remove {beside}, or name another folder")  # fmt: skip
    # A log that is written back is not empty, either, while the other program runs.
    raise InputError(f"another program has the file open: {beside.name} may hold changes of it", file=path,
                     option="out", remedy=f"{CLOSE}, or name another folder")  # fmt: skip


def remove_journals(path: Path) -> None:
    """Remove the files of a former database, which hold no changes: an empty log, its index, a finished journal."""
    for ending in ("-wal", "-shm", "-journal"):
        _beside(path, ending).unlink(missing_ok=True)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
