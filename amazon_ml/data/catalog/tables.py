"""Reads the tables of tags of a folder as one table: each by itself, then what only all of them together show."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.excluded import check_clear
from amazon_ml.data.catalog.faults import Fault, raise_faults
from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.label_tables import LabelTable, doubting
from amazon_ml.data.catalog.letters import spelling
from amazon_ml.data.catalog.name_lists import read_excluded
from amazon_ml.data.catalog.repeated import merge_rows
from amazon_ml.data.catalog.splits import find_two_splits
from amazon_ml.data.catalog.structured import describes_one_tile, read_tile_files
from amazon_ml.data.catalog.table import TagTable, scan_table
from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.data.catalog.tags import count_tags, near_slips
from amazon_ml.data.catalog.tiles import NAME_BY_PATH
from amazon_ml.data.catalog.unused_splits import before_use, shared_splits, splits_in
from amazon_ml.data.config import TABLE, Split, TableConfig
from amazon_ml.errors import InputError, listed
from amazon_ml.labels import TagSet

log = logging.getLogger(__name__)


def read_tables(tables: Sequence[LabelTable], config: TableConfig = TABLE, joins: TileNames | None = None) -> TagTable:
    """Read tables of names and tags as `scan_tables` does, and raise the first fault.

    Raises
    ------
    InputError
        If there is a fault, with the number of faults.
    """
    read = scan_tables(tables, config, joins)
    with doubting(tables):
        raise_faults(read.faults)
    for slip in read.slips:
        log.warning("%s: %s; if it is a slip, correct the table", read.path, slip)
    for phrase in read.phrases:
        log.warning("%s: %s", read.path, phrase)
    if title := splits_in(read.unused_splits):
        first = before_use(read.unused_splits[title])
        log.warning("%s: column %r holds published splits, which are not used here; to use them, %sset "
                    "`data.split_column`", read.path, title, f"{first}, and " if first else "")  # fmt: skip
    return read


def scan_tables(tables: Sequence[LabelTable], config: TableConfig = TABLE, joins: TileNames | None = None) -> TagTable:
    """Read tables of names and tags as far as possible, and find all their faults.

    Parameters
    ----------
    tables
        The files, with their splits.
    config
        Options for reading them.
    joins
        Index of the names that have a file.

    Returns
    -------
    One table; ``split`` of its rows is None where there are no splits.

    Raises
    ------
    InputError
        If one of them cannot be read as a table of tags, or they do not fit together.
    """
    by_table = any(table.split for table in tables)
    given = (by_table, config.split_column is not None, config.splits is not None)
    if sum(given) > 1:
        raise InputError("splits are given in two ways: by tables, with `data.split_column`, or with `data.splits`",
                         option="data.split_column" if given[1] else "data.splits",
                         remedy="leave out those that do not fit")  # fmt: skip
    if len(tables) > 1 and describes_one_tile(tables[0].path, tags_key := config.tags_column or "labels"):
        return _scan_tile_files(tables, tags_key, config, joins)
    with doubting(tables):
        scanned = [scan_table(table.path, config, joins, alone=len(tables) == 1) for table in tables]
    _check_shares(scanned, config.min_share)
    if len(scanned) > 1:
        scanned = _named_apart(scanned, joins)
    if by_table and joins is not None and _share_names(tables, scanned, joins):
        scanned = [scan_table(table.path, config, joins, alone=len(tables) == 1, split=table.split) for table in tables]
        scanned = _named_apart(scanned, joins)
    parts = [
        read.rows.assign(split=table.split) if by_table else read.rows
        for table, read in zip(tables, scanned, strict=True)
    ]
    if len(scanned) == 1:
        return replace(scanned[0], rows=parts[0], unused_splits={} if by_table else scanned[0].unused_splits)
    rows = pd.concat(parts, ignore_index=True)
    tags, own_list = _tags_of(scanned, config), config.tags is None and config.tag_columns is None
    if config.exclude is not None:
        _check_excluded(Path(config.exclude), scanned, joins)
    two_splits = find_two_splits(rows, joins)
    repeated = _repeated(rows, {name for fault in two_splits for name in fault.names}, joins)
    faults = [
        *(fault for read in scanned for fault in read.faults),
        *two_splits,
        *(() if config.merge_rows else repeated),
        *(_spellings(rows) if own_list else ()),
        *(_one_tag(rows) if own_list else ()),
    ]
    if config.merge_rows and repeated:
        rows = merge_rows(scanned[0].records.file, rows)
    slips = near_slips(count_tags(rows["found"].tolist())) if own_list else []
    phrases = list(dict.fromkeys(phrase for read in scanned for phrase in read.phrases))
    unused = {} if by_table else shared_splits([read.unused_splits for read in scanned])
    excluded = frozenset().union(*(read.excluded for read in scanned))
    return replace(
        scanned[0], rows=rows, tags=tags, faults=faults, slips=slips, phrases=phrases, unused_splits=unused,
        excluded=excluded,
    )  # fmt: skip


def _scan_tile_files(
    tables: Sequence[LabelTable], tags_key: str, config: TableConfig, joins: TileNames | None
) -> TagTable:
    """Read a file for each tile."""
    paths = [table.path for table in tables]
    records = read_tile_files(
        paths, tags_key, config.min_share, name_key=config.name_column, split_key=config.split_column
    )
    header = replace(config, name_column=records.header[0], tags_column=records.header[1])
    read = scan_table(paths[0], header, joins, records=records)
    _check_shares([read], config.min_share)
    if config.split_column is not None:
        return read
    splits = pd.Series([tables[number - 1].split for number in read.rows["line"]], dtype=object)
    return replace(read, rows=read.rows.assign(split=splits))


def _tags_of(scanned: Sequence[TagTable], config: TableConfig) -> TagSet:
    """Return the tag list of all tables: the same columns of tags in each, or all of their tags, sorted."""
    first = scanned[0].tags
    if config.tags is not None:
        return first
    if config.tag_columns is None:
        return TagSet(tuple(sorted({tag for read in scanned for tag in read.tags.names})))
    for read in scanned[1:]:
        apart = sorted(set(first.names).symmetric_difference(read.tags.names))
        if apart:
            lacking = apart[0] not in read.tags.names
            problem = f"the table {'lacks' if lacking else 'has'} the column {apart[0]!r}"
            problem += f", which {scanned[0].path} {'has' if lacking else 'lacks'}"
            raise read.records.header_error(problem, option="data.tag_columns",
                                            remedy="list the columns of tags with `data.tag_columns`")  # fmt: skip
    return first


def _check_shares(scanned: Sequence[TagTable], min_share: float) -> None:
    """Check that a table gives shares of tags where some are too small to count: all tags would count instead."""
    if min_share and not any(read.records.has_shares for read in scanned):
        raise InputError("the table gives no share of any tag, so that none is too small", file=scanned[0].path,
                         option="data.min_share", remedy="leave `data.min_share` out, or name the table with the "
                         "shares (`data.labels_file`)")  # fmt: skip


def _check_excluded(exclude: Path, scanned: Sequence[TagTable], joins: TileNames | None) -> None:
    """Check that the list `exclude` names tiles of some table, and one tile with each name."""
    tiles: dict[str, dict[str | None, Path]] = {}
    for read in scanned:
        for name, tile in read.meant.items():
            tiles.setdefault(name, {}).setdefault(tile, read.path)
    unknown = sorted(read_excluded(exclude).difference(tiles))
    check_clear(exclude, unknown, (name for read in scanned for name in read.rows["image_name"]), joins)
    if not tiles:
        raise InputError("the list names no tile of the tables", file=exclude, option="data.exclude",
                         remedy="give the list of these tables, or none")  # fmt: skip
    if unclear := sorted(name for name, several in tiles.items() if len(several) > 1):
        raise InputError(f"{unclear[0]} names a tile of each of {listed(tiles[unclear[0]].values())}", file=exclude,
                         option="data.exclude", remedy=NAME_BY_PATH)  # fmt: skip
    if unknown:
        log.warning("%s names %d tiles that the tables lack: %s", exclude, len(unknown), listed(unknown))


def _share_names(tables: Sequence[LabelTable], scanned: Sequence[TagTable], joins: TileNames) -> bool:
    """Whether a name stands in the tables of two splits because several files have it."""
    splits: dict[str, Split | None] = {}
    return any(
        splits.setdefault(name, table.split) != table.split and joins.sharing(name)
        for table, read in zip(tables, scanned, strict=True)
        for name in read.rows["image_name"]
    )


def _named_apart(scanned: Sequence[TagTable], joins: TileNames | None) -> list[TagTable]:
    """Put the folder of its table before a name that stands in tables of several folders, where a file lies there."""
    folders = [read.path.parent for read in scanned]
    if joins is None or len(set(folders)) < 2:
        return list(scanned)
    owners: dict[str, set[Path]] = {}
    for folder, read in zip(folders, scanned, strict=True):
        # Rows that the list `exclude` removed count, so that a tile keeps its name whatever the list holds.
        for name in read.excluded.union(read.rows["image_name"]):
            owners.setdefault(name, set()).add(folder)
    return [_beside(read, folder, owners, joins) for folder, read in zip(folders, scanned, strict=True)]


def _beside(read: TagTable, folder: Path, owners: Mapping[str, set[Path]], joins: TileNames) -> TagTable:
    renamed = {
        name: path
        for name in read.rows["image_name"]
        if len(owners[name]) > 1 and (path := joins.path_of(folder / name)) is not None
    }
    if not renamed:
        return read
    rows = read.rows.assign(image_name=[renamed.get(name, name) for name in read.rows["image_name"]])
    return replace(read, rows=rows)


def _repeated(rows: pd.DataFrame, other: set[str], joins: TileNames | None) -> list[Fault]:
    """Find names that stand in several tables of one split; the faults of one table are found with it."""
    again = rows[rows["image_name"].duplicated(keep=False) & ~rows["image_name"].isin(other)]
    faults = []
    for name, group in again.groupby("image_name", sort=False):
        if group["table"].nunique() < 2:
            continue
        alike = len(set(map(frozenset, group["found"]))) == 1
        last = group.iloc[-1]
        places = listed([table.place(line) for table, line in zip(group["table"], group["line"], strict=True)])
        what = f"{name} stands in several tables ({places}), with {'the same' if alike else 'other'} tags"
        remedy = "keep one row"
        if joins is not None and (files := joins.sharing(str(name))):
            what, remedy = f"{what}, and may be any of {listed(files)}", NAME_BY_PATH
        faults.append(Fault("repeated_rows" if alike else "contradictory_rows", last["table"], int(last["line"]), what,
                            remedy, (str(name),), item=what))  # fmt: skip
    return faults


def _one_tag(rows: pd.DataFrame) -> list[Fault]:
    """Find that all tiles of all tables have the same tags; one table of several may, such as that of a category."""
    if len(set(map(frozenset, rows["found"]))) > 1:
        return []
    what = f"all {len(rows):,} tiles have the same tags: {listed(rows['found'].iloc[0])}, so there is nothing to learn"
    return [Fault("one_tag", rows["table"].iloc[0], int(rows["line"].iloc[0]), what, "name the right column with "
                  "`data.tags_column`, or list the tags with `data.tags` if more will follow", item=what)]  # fmt: skip


def _spellings(rows: pd.DataFrame) -> list[Fault]:
    """Find tags that one table spells in another way than another table."""
    places: dict[str, tuple[TableFile, int]] = {}
    for found, table, line in zip(rows["found"], rows["table"], rows["line"], strict=True):
        for tag in found:
            places.setdefault(tag, (table, int(line)))
    forms: dict[str, list[str]] = {}
    for tag in sorted(places):
        forms.setdefault(spelling(tag), []).append(tag)
    faults = []
    for tags in forms.values():
        if len({places[tag][0] for tag in tags}) > 1:
            shown = " and ".join(f"{tag!r} ({places[tag][0].place(places[tag][1])})" for tag in tags)
            what = f"one tag is spelt in several ways: {shown}"
            faults.append(Fault("spellings", *places[tags[-1]], what, "spell it in one way, or list all tags with "
                                "`data.tags` if they are several", item=what))  # fmt: skip
    return faults
