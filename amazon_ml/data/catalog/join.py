"""Rows of a table joined to files; where a name has no file, what differs between it and the nearest."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.names import INVISIBLE, clean_name, composed
from amazon_ml.data.catalog.records import Records

#: So many file names are compared letter by letter at the most.
_COMPARED = 20_000


def locate(rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path]) -> pd.DataFrame:
    """Add to the rows of a table ``path`` and ``tif``, missing where there is no file.

    A table may name files by their path below one of the folders `places`, or by their whole path,
    where short names would do.
    """
    short = {composed(name): at for at, name in enumerate(files["image_name"])}
    names = rows["image_name"].tolist()
    found = [short.get(name) for name in names]
    if None in found:
        long = {key: at for at, path in enumerate(files["path"]) for key in long_names(Path(path), places)}
        found = [long.get(name) if at is None else at for name, at in zip(names, found, strict=True)]
    paths, tifs = (
        pd.Series([None if at is None else values[at] for at in found], dtype=object, index=rows.index)
        for values in (files["path"].tolist(), files["tif"].tolist())
    )
    return rows.assign(path=paths, tif=tifs)


def long_names(path: Path, places: Sequence[Path]) -> Iterable[str]:
    """List the names with folders by which a table may mean a file."""
    for place in places:
        if path.is_relative_to(place):
            yield composed(path.relative_to(place).with_suffix("").as_posix())
    yield composed(path.with_suffix("").as_posix())
    yield composed(path.absolute().with_suffix("").as_posix())


def shared_files(joined: pd.DataFrame) -> pd.DataFrame:
    """List the rows whose file another row names, too."""
    there = joined[joined["path"].notna()]
    return there[there["path"].duplicated(keep=False)]


def _without_zeros(name: str) -> str:
    """Drop what a spreadsheet drops: zeros in front of a number; and what it adds: ``.0``."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"\.0+$", "", name))


def _without_blanks(name: str) -> str:
    return "".join(letter for letter in name if not letter.isspace() and letter not in INVISIBLE)


def _without_ending(name: str) -> str:
    return re.sub(r"(\.[A-Za-z][A-Za-z0-9]{1,4})+$", "", name)


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _numbers(name: str) -> str:
    plain = re.sub(r"\.0+$", "", name)
    return "-".join(str(int(digits)) for digits in re.findall(r"[0-9]+", plain)) or name


def _all(name: str) -> str:
    plain = unicodedata.normalize("NFKD", _last(_without_blanks(name))).casefold()
    return _without_zeros(_without_ending("".join(c for c in plain if not unicodedata.combining(c))))


#: What may differ between a name of a table and that of a file: what is left of both without it, and a remedy.
_DIFFERENCES: tuple[tuple[str, Callable[[str], str], str], ...] = (
    ("the case of letters", str.casefold, "write it as the file has it"),
    ("a blank, or a character without width", _without_blanks, "remove it"),
    ("the Unicode form of letters", lambda name: unicodedata.normalize("NFKC", name), "copy the name from the file"),
    ("zeros in front, or .0 behind, as spreadsheets change numbers", _without_zeros,
     "keep that column as text when the table is saved"),
    ("an ending that is no image's", _without_ending, "remove it"),
    ("the folder in front", _last, "write the path below the folder of images, or name that with --data.images"),
    ("the letters around the number", _numbers, "write the whole name"),
    ("several things (folder, case, zeros, ending)", _all, "write it as the file has it"),
)  # fmt: skip


class Differences:
    """Says what differs between names that have no file and the nearest names of files.

    Parameters
    ----------
    files
        Names of the files.
    records
        The table, whose other columns may hold the names.
    """

    def __init__(self, files: Sequence[str], records: Records) -> None:
        self._files = [composed(name) for name in files]
        self._records = records

    @cached_property
    def _indexes(self) -> list[dict[str, list[str]]]:
        indexes: list[dict[str, list[str]]] = []
        for _, key, _ in _DIFFERENCES:
            index: dict[str, list[str]] = {}
            for name in self._files:
                index.setdefault(key(name), []).append(name)
            indexes.append(index)
        return indexes

    def of(self, name: str) -> str:
        """Say what differs between a name and a file; "" where no file is like it."""
        for (what, key, remedy), index in zip(_DIFFERENCES, self._indexes, strict=True):
            like = index.get(key(name), [])
            if len(like) == 1:
                return f"the file is {like[0]!r}, which differs by {what}; {remedy}"
            if like:
                return (
                    f"{len(like)} files are like it, such as {like[0]!r} and {like[1]!r}; write the path of one of them"
                )
        return ""

    def explain(self, name: str) -> str:
        """Say in a sentence what the table has, what the nearest file is, and what differs."""
        column = self._other_column()
        if column is not None:
            return f"column {column!r} has names that fit: --data.name_column {column!r}"
        said = self.of(name)
        if not said and self._files:
            near = difflib.get_close_matches(name, self._files[:_COMPARED], n=1, cutoff=0)
            said = f"the nearest file is {near[0]!r}" if near else ""
        return f"the table has {name!r}; {said}" if said else ""

    def _other_column(self) -> str | None:
        """Find another column of the table in which at least half of the rows have files."""
        files, rows = {key for name in self._files for key in (name, _last(name))}, self._records.rows
        for at, column in enumerate(self._records.header):
            if sum(clean_name(cells[at]) in files for _, cells in rows) * 2 > len(rows):
                return column
        return None
