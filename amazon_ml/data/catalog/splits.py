"""Published splits: reads them from a column, from lists of names or from folders, and finds tiles in two of them."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.columns import NAME_COLUMNS, TAGS_COLUMNS, find_column, is_title, known_columns, title_keys
from amazon_ml.data.catalog.faults import Fault, Row
from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.names import clean_name
from amazon_ml.data.catalog.places import find_place
from amazon_ml.data.catalog.records import Records
from amazon_ml.data.catalog.text import read_text
from amazon_ml.data.catalog.tiles import NAME_BY_PATH
from amazon_ml.data.config import SPLITS, Split
from amazon_ml.errors import InputError, listed

log = logging.getLogger(__name__)

#: What stands between two cells of a list of names.
_BETWEEN = re.compile(r"[,;\t|]")
#: Titles of names in a list; ``id`` may also count rows, so that it does not decide between several columns.
_NAMING = tuple(name for name in NAME_COLUMNS if name != "id")
_WORDS = "write train, val (or validation) or test"


def split_column_of(records: Records, wanted: str) -> int:
    """Find the column of splits."""
    return find_column(records.path, records.header, wanted, (), "data.split_column")


def read_splits(records: Records, column: int) -> tuple[list[Split | None], list[Fault]]:
    """Read the split of each row.

    Parameters
    ----------
    records
        The table.
    column
        Position of the column of splits.

    Returns
    -------
    The split of each row, in their order, and a fault for each row that has none.

    Raises
    ------
    InputError
        If no row has a split: the column is another one.
    """
    splits: list[Split | None] = []
    faults = []
    for line, cells in records.rows:
        value = cells[column].strip()
        splits.append(split := SPLITS.get(value.lower()))
        if split is None and line not in records.broken:
            what = f"column {records.header[column]!r} holds {value!r}, which is no split"
            faults.append(Fault("splits", records.file, line, what, _WORDS, item=f"{records.file.at(line)}: {what}"))
    if not any(splits) and faults:
        raise records.file.error(faults[0].what, faults[0].line, option="data.split_column", remedy=_WORDS)
    return splits, faults


def in_folders_of_splits(rows: Sequence[Row], joins: TileNames) -> list[Row]:
    """Put the folder of its split before a name that several files share, where one of them lies in such a folder.

    Sets are published so: ``train/0.png`` and ``val/0.png``, with a table of each split that names ``0``.
    """
    return [row._replace(name=_in_its_folder(row.name, row.split, joins)) if row.split else row for row in rows]


def _in_its_folder(name: str, split: Split, joins: TileNames) -> str:
    files = [file for file in joins.sharing(name) if _split_of(joins.below(file)) == split]
    return (joins.path_of(Path(files[0])) or name) if len(files) == 1 else name


def _split_of(file: Path) -> Split | None:
    """Return the split whose word is the name of the folder nearest above a file, which is a path below the tiles."""
    return next((SPLITS[part.lower()] for part in file.parts[-2::-1] if part.lower() in SPLITS), None)


def are_in_two_splits(rows: Sequence[Row]) -> bool:
    """Whether a name stands in two splits."""
    splits: dict[str, Split | None] = {}
    return any(splits.setdefault(row.name, row.split) != row.split for row in rows)


def find_two_splits(rows: pd.DataFrame, joins: TileNames | None = None) -> list[Fault]:
    """Find the names that stand in two splits.

    Parameters
    ----------
    rows
        Rows of all tables: ``image_name``, ``split``, ``table`` and ``line``.
    joins
        Index of the names that have a file: a name of several files may be in several splits.
    """
    repeated = rows["image_name"].duplicated(keep=False)
    if not repeated.any():  # to group an empty table takes long
        return []
    again = rows[repeated]
    faults = []
    for name, group in again.groupby("image_name", sort=False):
        if len(set(group["split"])) > 1:
            places = [f"{split or 'no split'} ({table.place(line)})" for split, table, line
                      in zip(group["split"], group["table"], group["line"], strict=True)]  # fmt: skip
            last = group.iloc[-1]
            what = f"{name} is in two splits: {listed(places)}"
            remedy = "keep one of these rows"
            if joins is not None and (files := joins.sharing(str(name))):
                what, remedy = f"{what}, and may be any of {listed(files)}", NAME_BY_PATH
            faults.append(Fault("two_splits", last["table"], int(last["line"]), what, remedy, (str(name),),
                                item=what))  # fmt: skip
    return faults


def count_splits(splits: "pd.Series[str]") -> Mapping[str, int]:
    """Count the tiles of each split, in the order train, val, test."""
    counts = splits.value_counts()
    return {split: int(counts.get(split, 0)) for split in ("train", "val", "test")}


def assign_splits(
    located: pd.DataFrame, splits: Mapping[str, str | list[str]], root: Path, joins: TileNames
) -> pd.DataFrame:
    """Give each tile the split of the list or the folder that it is in; tiles in none are left out.

    Parameters
    ----------
    located
        Rows of the tables with their files: ``image_name``, ``path``, ``table`` and ``line``.
    splits
        For each split lists of names, or folders of images; a relative path is looked for in the current folder, then
        in `root`.
    root
        Folder of the tiles.
    joins
        Index of the names that have a file.

    Raises
    ------
    InputError
        If a list or a folder does not exist or names no tile, or a tile is in two splits.
    """
    found = pd.Series([None] * len(located), index=located.index, dtype=object)
    for split, named in splits.items():
        for text in [named] if isinstance(named, str) else named:
            place = _place(text, root)
            inside = _below(located, place) if place.is_dir() else _listed(located, place, joins)
            if not inside.any():
                raise InputError(f"no tile of the table is in it, for the split {split}", file=place,
                                 option="data.splits")  # fmt: skip
            twice = inside & found.notna() & (found != split)
            if twice.any():
                name, other = located.loc[twice, "image_name"].iloc[0], found[twice].iloc[0]
                more = f", and {twice.sum() - 1:,} more tiles" if twice.sum() > 1 else ""
                raise InputError(f"{name} is in the splits {other} and {split}{more}", file=place,
                                 option="data.splits", remedy="remove it from one of them")  # fmt: skip
            found[inside] = split
    if (without := found.isna()).any():
        log.warning("%s of %s tiles are in none of the splits, such as %s; they are not used",
                    f"{without.sum():,}", f"{len(found):,}", located.loc[without, "image_name"].iloc[0])  # fmt: skip
    return located.assign(split=found)[~without].reset_index(drop=True)


def _place(text: str, root: Path) -> Path:
    place = find_place(text, root)
    if place.exists():
        return place
    raise InputError(f"there is no such file or folder, neither here nor in {root}", file=text, option="data.splits",
                     remedy="name a list of names, or a folder of images")  # fmt: skip


def _below(located: pd.DataFrame, folder: Path) -> "pd.Series[bool]":
    prefixes = (f"{folder.absolute()}/", f"{folder.resolve()}/")
    paths = [None if pd.isna(path) else str(Path(path).absolute()) for path in located["path"]]
    return pd.Series([path is not None and path.startswith(prefixes) for path in paths], index=located.index)


def _listed(located: pd.DataFrame, table: Path, joins: TileNames) -> "pd.Series[bool]":
    names = _read_list(table, frozenset(located["image_name"]), joins)
    inside = located["image_name"].isin(names)
    unknown = names.difference(located.loc[inside, "image_name"])
    if unknown:  # the list names files in another way than the table
        meant = {key for name in unknown if (key := joins.find(name)) is not None}
        inside |= pd.Series([joins.find(name) in meant for name in located["image_name"]], index=located.index)
        if lacking := sorted(name for name in unknown if joins.find(name) is None):
            log.warning("%s names %d tiles without a file: %s", table, len(lacking), listed(lacking))
    return inside


def _read_list(table: Path, tiles: frozenset[str], joins: TileNames) -> frozenset[str]:
    """Read the names of a list, with or without a header, from the column that holds them."""
    lines = [(number, line) for number, line in enumerate(read_text(table).splitlines(), start=1) if line.strip()]
    rows = [[clean_name(cell.strip().strip('"')) for cell in _BETWEEN.split(line)] for _, line in lines]
    if not rows:
        return frozenset()

    def means_tile(name: str) -> bool:
        return bool(name) and (name in tiles or joins.find(name) is not None)

    first, titles = rows[0], title_keys(())
    others = [cell for cell in first if not is_title(cell, titles)]
    has_header = len(others) < len(first) and not any(map(means_tile, others))
    known = known_columns(first, _NAMING) if has_header else []
    rows = rows[1:] if has_header else rows
    tags = known_columns(first, TAGS_COLUMNS) if has_header else []
    columns = known or [at for at in range(max(map(len, rows), default=0)) if at not in tags]
    joined = [at for at in columns if any(means_tile(row[at]) for row in rows if len(row) > at)]
    if len(joined) > 1 and not known:
        row = next(row for row in rows if len(row) > max(joined))
        raise InputError(f"several columns of the list name tiles: {listed([repr(row[at]) for at in joined])}",
                         file=table, line=lines[len(lines) - len(rows)][0], option="data.splits",
                         remedy="write a header such as image_name above the names, or keep their column "
                         "alone")  # fmt: skip
    chosen = next(iter((*joined, *columns)), 0)
    return frozenset(row[chosen] for row in rows if len(row) > chosen) - {""}
