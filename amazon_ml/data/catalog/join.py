"""Joins rows of a table to files, and explains how a name without a file differs from the nearest file name."""

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

from amazon_ml.data.catalog.names import INVISIBLE, clean_name, composed, is_foreign, is_rounded
from amazon_ml.data.catalog.records import Records
from amazon_ml.data.readers.images import TIF_SUFFIXES

T = TypeVar("T")
#: Largest number of file names that are compared letter by letter.
_COMPARED = 20_000


class PathNames(Generic[T]):
    """Finds the meaning of a name with folders: a path below one of some folders, or an absolute path, also via links.

    Parameters
    ----------
    files
        Meaning of each path of a file.
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
        """Return the meaning of a name; None where there is no such file."""
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
        """Resolve the links among the folders of a path."""
        folder, name = os.path.split(path)
        return composed(f"{self._resolved(folder)}/{name}")


def locate(rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path]) -> pd.DataFrame:
    """Add the columns ``path`` and ``tif`` to the rows of a table; they are missing where there is no file.

    A table may name a file by its short name, by its path below one of the folders `places`, or by its absolute path.
    Tiles of two files may have their paths in the columns ``first`` and ``second``.
    """
    short = {composed(name): at for at, name in enumerate(files["image_name"])}
    names = rows["image_name"].tolist()
    found = [short.get(name) for name in names]
    if None in found:
        named = files["named" if "named" in files else "path"]  # tiles of several files are named by their place
        known = {path: at for at, path in enumerate(named)}
        for column in {"first", "second"} & set(files):
            known.update({path: at for at, path in enumerate(files[column]) if path})
        long = PathNames(known, places)
        found = [long.find(name) if at is None else at for name, at in zip(names, found, strict=True)]
    paths, tifs = (
        pd.Series([None if at is None else values[at] for at in found], dtype=object, index=rows.index)
        for values in (files["path"].tolist(), files["tif"].tolist())
    )
    return rows.assign(path=paths, tif=tifs)


class TileNames:
    """Finds the tile that a name of a table means, by the names of files alone.

    Parameters
    ----------
    files
        Lists the files; the first search calls it once.
    places
        Folders below which a table may name files by their path; the first ones are those of the files.
    """

    def __init__(self, files: Callable[[], Iterable[Path]], places: Sequence[Path]) -> None:
        self._files, self._places = files, places

    def find(self, name: str) -> str | None:
        """Return one key for all names of a tile; None where there is no file."""
        short, long, _ = self._known
        return name if name in short else long.find(name)

    def sharing(self, name: str) -> list[str]:
        """List the files that share a name, without their endings; empty where it means one tile at most."""
        _, _, shared = self._known
        return shared.get(name, [])

    def below(self, file: str) -> Path:
        """Give the path of a file below its folder of tiles: the folders above that say nothing about a tile."""
        path = Path(file).absolute()
        places = (place.absolute() for place in self._places)
        return next((path.relative_to(place) for place in places if path.is_relative_to(place)), path)

    def path_of(self, file: Path) -> str | None:
        """Return the shortest path that means a file, which is given without its ending; None where it is no tile.

        It does not begin at the root of the machine, so that it stays the same where the folder of tiles is moved.
        """
        whole = file.absolute()
        meant = self.find(str(whole))
        paths = ("/".join(whole.parts[start:]) for start in range(len(whole.parts) - 2, 0, -1))
        return None if meant is None else next((path for path in paths if self.find(path) == meant), None)

    def count(self, names: Iterable[str]) -> int:
        """Count the different names that have a file."""
        return sum(self.find(name) is not None for name in set(names))

    @cached_property
    def _known(self) -> tuple[frozenset[str], "PathNames[str]", dict[str, list[str]]]:
        paths = list(self._files())
        stems = [composed(path.stem) for path in paths]
        # A JPG and a TIF that share a name are one tile; of several JPGs each is named by its path.
        shared = Counter((stem, path.suffix.lower() in TIF_SUFFIXES) for stem, path in zip(stems, paths, strict=True))
        several = {stem for (stem, _), count in shared.items() if count > 1}
        meant = {str(path): str(path) if stem in several else stem for stem, path in zip(stems, paths, strict=True)}
        files: dict[str, list[str]] = {}
        for stem, path in zip(stems, paths, strict=True):
            if stem in several and (bare := str(path.with_suffix(""))) not in files.setdefault(stem, []):
                files[stem].append(bare)
        return frozenset(stems), PathNames(meant, self._places), files


def shared_files(joined: pd.DataFrame) -> pd.DataFrame:
    """List the rows that share their file with another row."""
    there = joined[joined["path"].notna()]
    return there[there["path"].duplicated(keep=False)]


def _without_zeros(name: str) -> str:
    """Remove zeros in front of a number, which a spreadsheet drops, and the ``.0`` that it adds."""
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


#: Possible differences between a name of a table and a name of a file: description, function that removes it, remedy.
_DIFFERENCES: tuple[tuple[str, Callable[[str], str], str], ...] = (
    ("the case of letters", str.casefold, "write it as the file has it"),
    ("a blank, or a character without width", _without_blanks, "remove it"),
    ("the Unicode form of letters", lambda name: unicodedata.normalize("NFKC", name), "copy the name from the file"),
    ("zeros in front, or .0 behind, as spreadsheets change numbers", _without_zeros,
     "keep that column as text when the table is saved"),
    ("an ending that no image has", _without_ending, "remove it"),
    ("the folder in front", _last, "write the path below the folder of images, or name that with `data.image_dir`"),
    ("marks in front or behind, such as quotes", _without_marks, "remove them"),
    ("the letters around the number", _numbers, "write the whole name"),
    ("several things (folder, case, zeros, ending)", _all, "write it as the file has it"),
)  # fmt: skip


class Differences:
    """Explains how names without a file differ from the nearest names of files.

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
        """Describe the difference between a name and a file, with the remedy; "" where no file is like it."""
        if is_rounded(name):
            return "a spreadsheet rounded it; save the table again from its source, with that column as text"
        for (what, key, remedy), index in zip(_DIFFERENCES, self._indexes, strict=True):
            like = index.get(key(name), [])
            if len(like) == 1:
                if key in (_last, _all) and is_foreign(name):  # the path is that of another machine
                    remedy = f"write {like[0]!r}"
                return f"the file is {like[0]!r}, which differs by {what}; {remedy}"
            if like:
                return (
                    f"{len(like)} files are like it, such as {like[0]!r} and {like[1]!r}; write the path of one of them"
                )
        return ""

    def explain(self, name: str) -> str:
        """Describe a name of the table, the nearest file, and their difference; "" where there is no near file."""
        column = self._other_column()
        if column is not None:
            return f"column {column!r} has names that fit: `data.name_column` {column!r}"
        difference = self.of(name)
        if not difference and self._files:
            near = difflib.get_close_matches(name, self._files[:_COMPARED], n=1, cutoff=0)
            difference = f"the nearest file is {near[0]!r}" if near else ""
        return f"the table has {name!r}; {difference}" if difference else ""

    def _other_column(self) -> str | None:
        """Find another column of the table in which at least half of the rows have files."""
        files, rows = {key for name in self._files for key in (name, _last(name))}, self._records.rows
        for at, column in enumerate(self._records.header):
            if sum(clean_name(cells[at]) in files for _, cells in rows) * 2 > len(rows):
                return column
        return None
