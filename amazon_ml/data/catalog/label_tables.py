"""Finds the tables of tags that an option names: one, several, or one for each published split."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

from amazon_ml.data.catalog.contents import tables_in
from amazon_ml.data.catalog.places import find_place
from amazon_ml.data.config import SPLITS, LabelsFile, Split
from amazon_ml.errors import InputError, listed

_OPTION = "data.labels_file"
#: ``ucm_train.csv``, ``val.csv``: the end of a name that says the split.
_SPLIT_NAME = re.compile(rf"(?P<set>.*?)[\s._-]*(?P<split>{'|'.join(SPLITS)})", re.IGNORECASE)


class LabelTable(NamedTuple):
    """A table of tags.

    Parameters
    ----------
    path
        The file.
    split
        The published split of all of its tiles; None where the split is not that of a table.
    guessed
        Whether it was taken for the table because no other file may be one.
    """

    path: Path
    split: Split | None = None
    guessed: bool = False


@contextmanager
def doubting(tables: Sequence[LabelTable]) -> Iterator[None]:
    """Add to an error of a table that was guessed that it may be none."""
    try:
        yield
    except InputError as error:
        if not any(table.guessed and error.file == table.path for table in tables):
            raise
        doubt = f"{error.file} was taken for the table, since there is no CSV; name another with `{_OPTION}`"
        raise error.advise(doubt, option=_OPTION) from None


def named_tables(labels_file: LabelsFile, root: Path) -> tuple[LabelTable, ...]:
    """Find the tables that the option names, in its order.

    Parameters
    ----------
    labels_file
        A path or a pattern, several of them, or one or several for each split. Of names with ``|`` between them, the
        first name that fits a file is used.
    root
        Folder of the tiles. A relative path is looked for in the current folder, then in this one.

    Raises
    ------
    InputError
        If a path or a pattern fits no file, or two entries name one file.
    """
    by_split = labels_file.items() if isinstance(labels_file, dict) else [(None, labels_file)]
    found = [
        LabelTable(path, SPLITS[split] if split else None)
        for split, named in by_split
        for text in ([named] if isinstance(named, str) else named)
        for path in _paths(text, root)
    ]
    if not found:
        raise InputError("the list of tables is empty", option=_OPTION, remedy="name a table, or leave the option out")
    first: dict[Path, LabelTable] = {}
    for one in found:
        before = first.setdefault(one.path.resolve(), one)
        if before is not one:
            splits = f", for {before.split} and for {one.split}" if before.split != one.split else ""
            raise InputError(f"`{_OPTION}` names {one.path} twice{splits}", option=_OPTION,
                             remedy="name each table once")  # fmt: skip
    return tuple(found)


def split_tables(names: Iterable[str]) -> dict[Split, str]:
    """Find a table for each split among names of files such as ``ucm_train.csv``, ``ucm_val.csv``, ``ucm_test.csv``.

    Returns
    -------
    The name for each split. Empty unless all names are such names of one set, with a training and a validation table:
    a test table beside a training table alone may be one without tags.
    """
    found: dict[Split, str] = {}
    sets = set()
    for name in names:
        match = _SPLIT_NAME.fullmatch(Path(name).stem)
        if match is None or (split := SPLITS[match["split"].lower()]) in found:
            return {}
        found[split] = name
        sets.add(match["set"])
    return found if len(sets) == 1 and {"train", "val"} <= found.keys() else {}


def _paths(text: str, root: Path) -> list[Path]:
    """Return the file of a path, or the files of a pattern in the order of their names."""
    # A set has another name with each that passes it on; but a name may also hold the mark between them.
    for name in (text, *filter(None, map(str.strip, text.split("|")))):
        if found := _files(name, root):
            return found
    if (place := find_place(text, root)).exists() or place.is_symlink():  # its reader says what it is instead
        return [place]
    tables = tables_in(root) if root.is_dir() else []
    remedy = f"name the right one with `{_OPTION}`: {listed(tables)}" if tables else ""
    if has_magic(text) or "|" in text:
        raise InputError(f"`{_OPTION}` {text!r} fits no file, neither in the current folder nor in {root}",
                         option=_OPTION,
                         remedy=remedy or f"write the pattern below {root}, such as labels/*.csv")  # fmt: skip
    raise InputError(f"there is no such table, neither here nor in {root}", file=place, option=_OPTION,
                     remedy=remedy or f"name the table with `{_OPTION}`")  # fmt: skip


def _files(name: str, root: Path) -> list[Path]:
    if place := next((place for place in (Path(name), root / name) if place.is_file()), None):
        return [place]
    patterns = (Path(), root) if has_magic(name) else ()
    fitting = (sorted(path for path in _matches(folder, name) if path.is_file()) for folder in patterns)
    return next(filter(None, fitting), [])


def _matches(folder: Path, pattern: str) -> Iterable[Path]:
    anchor = Path(pattern).anchor
    return Path(anchor).glob(str(Path(pattern).relative_to(anchor))) if anchor else folder.glob(pattern)


def describe_tables(tables: Sequence[LabelTable]) -> str:
    """Name the tables for a message."""
    return listed([f"{table.path.name} ({table.split})" if table.split else table.path.name for table in tables])
