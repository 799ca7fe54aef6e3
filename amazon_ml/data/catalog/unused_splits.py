"""Finds published splits that no option names: a column of a table, or folders of tiles."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from amazon_ml.data.catalog.records import Records
from amazon_ml.data.config import SPLITS, Split, TableConfig

#: A folder of a split within a path that begins and ends with a slash; folders in each other share a slash.
_FOLDER = re.compile(rf"/({'|'.join(SPLITS)})(?=/)", re.IGNORECASE)
#: Titles of columns that most likely are meant for splits.
_TITLES = frozenset(("split", "subset", "set"))
#: Number of folders of one split that a message names.
_SHOWN = 3


def split_columns(records: Records, config: TableConfig) -> dict[str, frozenset[Split | None]]:
    """Give what each column holds that the options do not name, and that holds words for splits alone.

    That is its splits, and None where some of its cells are blank.
    """
    if config.split_column is not None or config.splits is not None:
        return {}
    named = {title.lower() for title in (config.name_column, config.tags_column) if title}
    found = {}
    for at, title in enumerate(records.header):
        if title.strip().lower() not in named and (splits := _splits_of(records, at)):
            found[title] = splits
    return found


def _splits_of(records: Records, at: int) -> frozenset[Split | None]:
    """Give the splits whose words a column holds, and None for blank cells; nothing where it holds anything else."""
    splits: set[Split | None] = set()
    for line, cells in records.rows:
        if line not in records.broken:
            word = cells[at].strip().lower()
            if word and word not in SPLITS:  # as in the first row of nearly all columns
                return frozenset()
            splits.add(SPLITS[word] if word else None)
    return frozenset() if splits == {None} else frozenset(splits)


def shared_splits(tables: Sequence[Mapping[str, frozenset[Split | None]]]) -> dict[str, frozenset[Split | None]]:
    """Join what `split_columns` gives of several tables: all of them have the column."""
    titles = (title for title in tables[0] if all(title in table for table in tables))
    return {title: frozenset().union(*(table[title] for table in tables)) for title in titles}


def splits_in(columns: Mapping[str, frozenset[Split | None]]) -> str:
    """Give the title of a column with two splits at least, a title of splits before others; ``""`` without such.

    A table for each split has one word in all of its cells.
    """
    titles = [title for title, splits in columns.items() if len(splits - {None}) > 1]
    return min(titles, key=lambda title: title.strip().lower() not in _TITLES, default="")


def before_use(splits: frozenset[Split | None]) -> str:
    """Say what is to be done before an option names a column: it refuses blank cells, and training needs tiles."""
    if None in splits:
        return "write train, val or test into its blank cells"
    return "" if "train" in splits else "write train for the tiles to train on"


class SplitFolders(NamedTuple):
    """Folders that are called like splits.

    Parameters
    ----------
    named
        For each split its folders, as the option `splits` takes them; empty where there are fewer than two splits.
    tiles
        Number of labelled tiles.
    others
        Number of those that lie in none of the folders.
    nested
        Whether a folder lies in one of another split; the option refuses such.
    """

    named: Mapping[Split, Sequence[str]]
    tiles: int
    others: int
    nested: bool


def split_folders(paths: Iterable[str], root: Path, places: Iterable[Path]) -> SplitFolders:
    """Find the folders that are called like splits and hold tiles; the folder nearest above a tile is its split.

    Parameters
    ----------
    paths
        Files of the labelled tiles.
    root
        The folder that a call names.
    places
        The folders of the labelled tiles: what lies above them says nothing about a tile.
    """
    here = os.getcwd()  # noqa: PTH109 (text, as below)
    tops = [_closed(str(place.absolute())) for place in places]
    found: dict[Split, set[str]] = {}
    others = 0
    counts = Counter(map(os.path.dirname, paths))  # of many tiles, and text is faster
    for folder, count in counts.items():
        whole = _closed(os.path.join(here, folder))  # noqa: PTH118
        top = next((top for top in tops if whole.startswith(top)), None)
        inner = [] if top is None else list(_FOLDER.finditer(whole, len(top) - 1))
        if inner:
            found.setdefault(SPLITS[inner[-1][1].lower()], set()).add(whole[: inner[-1].end()])
        else:
            others += count
    named: dict[Split, list[str]] = {}
    if len(found) > 1:
        named = {split: sorted(_as_option(Path(one), root) for one in found[split])
                 for split in dict.fromkeys(SPLITS.values()) if split in found}  # fmt: skip
    nested = any(
        inner.startswith(_closed(outer))
        for split, folders in found.items() for other in found.keys() - {split}
        for inner in folders for outer in found[other]
    )  # fmt: skip
    return SplitFolders(named, counts.total(), others, nested)


def _closed(folder: str) -> str:
    return f"{folder.rstrip('/')}/"


def _as_option(folder: Path, root: Path) -> str:
    """Write a folder as an option finds it: relative to the root, unless the current folder has such a path, too."""
    if not folder.is_relative_to(root.absolute()):
        return str(folder)
    inner = folder.relative_to(root.absolute())
    return str(folder if inner.exists() and not inner.samefile(folder) else inner)


def splits_option(found: SplitFolders) -> str:
    """Write the value of the option `splits` that uses folders of splits; the first of many.

    ``""`` where the option would leave tiles out, lack tiles to train on, or be refused.
    """
    if "train" not in found.named or found.others or found.nested:
        return ""
    values = []
    for split, named in found.named.items():
        more = ", …" * (len(named) > _SHOWN)
        several = f"[{', '.join(named[:_SHOWN])}{more}]"
        values.append(f"{split}: {several if len(named) > 1 else named[0]}")
    return f"{{{', '.join(values)}}}"


def without_option(found: SplitFolders) -> str:
    """Say what keeps folders of splits from being used as they are, and what a user can do."""
    if found.others:
        problem = f"{found.others:,} of {found.tiles:,} labelled tiles lie in none of them"
        move = "move these tiles into the folder of their split, such as train/"
    elif "train" not in found.named:
        problem, move = "none of them holds tiles to train on", "move tiles to train on into train/"
    else:
        problem, move = "some of them lie in each other", "move these apart"
    leave = ", or leave the tiles of test out with `data.exclude`" if "test" in found.named else ""
    return f"{problem}: {move}{leave}"


def name_folders(found: SplitFolders) -> str:
    """Name the first folder of each split for a message."""
    return f"the folders {' and '.join(named[0] for named in found.named.values())}"
