"""Rows of a table joined to files; where a name has no file, what differs between it and the nearest."""

import difflib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd

from amazon_ml.data.catalog.names import INVISIBLE, clean_name, composed, is_rounded
from amazon_ml.data.catalog.records import Records
from amazon_ml.data.readers.images import TIF_SUFFIXES

T = TypeVar("T")
#: So many file names are compared letter by letter at the most.
_COMPARED = 20_000


class PathNames(Generic[T]):
    """Finds what a name with folders means: a path below one of some folders, or a whole path, through links or not.

    Parameters
    ----------
    files
        Paths of files to what they mean.
    places
        The folders.
    """

    def __init__(self, files: Mapping[str, T], places: Sequence[Path]) -> None:
        self._places = [place.absolute() for place in dict.fromkeys(places)]
        self._resolved = cache(os.path.realpath)
        self._meant: dict[str, T] = {}
        for path, meant in files.items():
            for key in self._keys(Path(path), places):
                self._meant.setdefault(key, meant)

    def find(self, name: str) -> T | None:
        """Give what a name means; None where there is no such file."""
        if name in self._meant or "/" not in name or "\0" in name:
            return self._meant.get(name)
        for place in self._places:
            whole = os.path.normpath(place / name)
            for key in (whole, self._real(whole)):
                if key in self._meant:
                    return self._meant[key]
        return None

    def _keys(self, path: Path, places: Sequence[Path]) -> Iterator[str]:
        bare = path.with_suffix("")
        for place in places:
            if path.is_relative_to(place):
                yield composed(bare.relative_to(place).as_posix())
        yield composed(bare.as_posix())
        whole = os.path.normpath(bare.absolute())
        yield composed(whole)
        yield self._real(whole)

    def _real(self, path: str) -> str:
        """Give the path of a file whose folders are no links."""
        folder, name = os.path.split(path)
        return composed(f"{self._resolved(folder)}/{name}")


def locate(rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path]) -> pd.DataFrame:
    """Add to the rows of a table ``path`` and ``tif``, missing where there is no file.

    A table may name files by their path below one of the folders `places`, or by their whole path,
    where short names would do.
    """
    short = {composed(name): at for at, name in enumerate(files["image_name"])}
    names = rows["image_name"].tolist()
    found = [short.get(name) for name in names]
    if None in found:
        long = PathNames({path: at for at, path in enumerate(files["path"])}, places)
        found = [long.find(name) if at is None else at for name, at in zip(names, found, strict=True)]
    paths, tifs = (
        pd.Series([None if at is None else values[at] for at in found], dtype=object, index=rows.index)
        for values in (files["path"].tolist(), files["tif"].tolist())
    )
    return rows.assign(path=paths, tif=tifs)


class TileNames:
    """Tells which tile a name of a table means, from the names of files alone.

    Parameters
    ----------
    files
        Finds the files; it is called once, and only when a name is looked for.
    places
        Folders below which a table may name files by their path.
    """

    def __init__(self, files: Callable[[], Iterable[Path]], places: Sequence[Path]) -> None:
        self._files, self._places = files, places

    def find(self, name: str) -> str | None:
        """Give the same for all names of one tile; None where there is no file."""
        short, long = self._known
        return name if name in short else long.find(name)

    def count(self, names: Iterable[str]) -> int:
        """Count the different names that have a file."""
        return sum(self.find(name) is not None for name in set(names))

    @cached_property
    def _known(self) -> tuple[frozenset[str], "PathNames[str]"]:
        paths = list(self._files())
        stems = [composed(path.stem) for path in paths]
        # A JPG and a TIF that share a name are one tile; of several JPGs each is named by its path.
        shared = Counter((stem, path.suffix.lower() in TIF_SUFFIXES) for stem, path in zip(stems, paths, strict=True))
        several = {stem for (stem, _), count in shared.items() if count > 1}
        meant = {str(path): str(path) if stem in several else stem for stem, path in zip(stems, paths, strict=True)}
        return frozenset(stems), PathNames(meant, self._places)


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


def _without_marks(name: str) -> str:
    return re.sub(r"^[\W_]+|[\W_]+$", "", name)


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
    ("the folder in front", _last, "write the path below the folder of images, or name that with `data.image_dir`"),
    ("marks in front or behind, such as quotes", _without_marks, "remove them"),
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
        if is_rounded(name):
            return "a spreadsheet rounded it; save the table anew from where it came, with that column as text"
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
            return f"column {column!r} has names that fit: `data.name_column` {column!r}"
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
