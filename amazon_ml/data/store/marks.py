"""Recognises packed stores and unfinished ones, so that no other folder is replaced or removed.

``store.json`` describes a store, and ``plan.json`` an unfinished one. This package writes both, and no other file
lies beside theirs.
"""

import os
import re
import shutil
import stat
from pathlib import Path

from amazon_ml.data.store.packed import ARRAY, DESCRIPTION
from amazon_ml.errors import InputError, listed
from amazon_ml.runtime.files import read_json

#: The plan of a partial store, and the journal of its finished blocks, one line for each.
PLAN, JOURNAL = "plan.json", "journal.jsonl"

_NAMES = (ARRAY, DESCRIPTION, PLAN, JOURNAL)
#: Temporary files of these, and files that NFS and macOS leave in any folder.
_HIDDEN = re.compile(rf"\.({'|'.join(map(re.escape, _NAMES))})\.[0-9a-f]{{16}}\.part|\.nfs[0-9a-f]+|\.DS_Store")
#: Keys of a description of a store, and of a plan.
_KEYS = {"size", "reader", "tiles"}


def check_store(folder: Path) -> None:
    """Check that a folder holds only a packed store or an unfinished one.

    Parameters
    ----------
    folder
        The folder; it may be missing or empty.

    Raises
    ------
    InputError
        If it holds something else.
    """
    if not os.path.lexists(folder):
        return
    remedy = "move it away, or name another folder"
    if folder.is_symlink() or not folder.is_dir():
        raise InputError("this is a link or no folder, so it cannot become a packed store", file=folder, remedy=remedy)
    entries = sorted(folder.iterdir())
    foreign = [path.name for path in entries if not _is_part(path)]
    if foreign:
        raise InputError(f"this folder is no packed store: it holds {listed(foreign)}", file=folder, remedy=remedy)
    if entries and not any(_describes(folder / name) for name in (DESCRIPTION, PLAN)):
        problem = f"this folder is no packed store: no {DESCRIPTION} describes it"
        raise InputError(problem, file=folder, remedy=remedy)


def remove_store(folder: Path) -> None:
    """Remove a packed store or an unfinished one, if it exists; raises as `check_store` for anything else."""
    check_store(folder)
    if folder.exists():
        shutil.rmtree(folder)


def _is_part(path: Path) -> bool:
    named = path.name in _NAMES or _HIDDEN.fullmatch(path.name) is not None
    return named and stat.S_ISREG(path.lstat().st_mode)


def _describes(file: Path) -> bool:
    if not file.exists():
        return False
    try:
        content = read_json(file)
    except InputError:
        return False
    return isinstance(content, dict) and content.keys() >= _KEYS
