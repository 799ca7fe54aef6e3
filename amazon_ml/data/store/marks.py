"""Which folders are packed stores, or the beginning of one: no other folder is replaced or removed.

A store says in ``store.json`` what it is, and one that is being made in ``plan.json``; both are written by this
package, and nothing else lies beside their files.
"""

import os
import re
import shutil
import stat
from pathlib import Path

from amazon_ml.data.store.packed import ARRAY, DESCRIPTION
from amazon_ml.errors import InputError, listed
from amazon_ml.runtime.files import read_json

#: What a partial store is to become, and which blocks of it are done, a line each.
PLAN, JOURNAL = "plan.json", "journal.jsonl"

_NAMES = (ARRAY, DESCRIPTION, PLAN, JOURNAL)
#: Temporary files of these, and what NFS and macOS leave in any folder.
_HIDDEN = re.compile(rf"\.({'|'.join(map(re.escape, _NAMES))})\.[0-9a-f]{{16}}\.part|\.nfs[0-9a-f]+|\.DS_Store")
#: What a description of a store says, and a plan of one.
_KEYS = {"size", "reader", "tiles"}


def check_store(folder: Path) -> None:
    """Refuse a folder that holds something else than a packed store or the beginning of one.

    Parameters
    ----------
    folder
        The folder; none there, or an empty one, is right.

    Raises
    ------
    InputError
        With what is in the way.
    """
    if not os.path.lexists(folder):
        return
    remedy = "move it away, or name another folder"
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{folder} is a link or no folder, where a packed store is to be; {remedy}")
    entries = sorted(folder.iterdir())
    foreign = [path.name for path in entries if not _is_part(path)]
    if foreign:
        raise InputError(f"{folder} holds {listed(foreign)}, and is no packed store; {remedy}")
    if entries and not any(_describes(folder / name) for name in (DESCRIPTION, PLAN)):
        raise InputError(f"{folder} is no packed store: no {DESCRIPTION} says what it holds; {remedy}")


def remove_store(folder: Path) -> None:
    """Remove a packed store or the beginning of one, where it is there; anything else is refused."""
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
