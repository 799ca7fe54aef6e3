"""Reads one table of names and tags, and finds all of its faults."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.columns import (
    NAME_COLUMNS,
    TAGS_COLUMNS,
    check_marks,
    check_numbered,
    count_columns,
    describe_marks,
    find_column,
    is_title,
    known_columns,
    mark_columns,
    title_keys,
)
from amazon_ml.data.catalog.excluded import check_clear
from amazon_ml.data.catalog.faults import Fault, Row, raise_faults
from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.names import clean_name, without_suffix
from amazon_ml.data.catalog.records import Records, read_records
from amazon_ml.data.catalog.repeated import describe_repeated, differ, find_repeated, find_untagged, merge_rows
from amazon_ml.data.catalog.rivals import (
    check_second_names,
    check_second_tags,
    check_spread,
    name_first_column,
    value_column,
)
from amazon_ml.data.catalog.splits import (
    are_in_two_splits,
    find_two_splits,
    in_folders_of_splits,
    read_splits,
    split_column_of,
)
from amazon_ml.data.catalog.structured import is_structured, read_structured
from amazon_ml.data.catalog.swallowed import mark_swallowed
from amazon_ml.data.catalog.tag_columns import join_tag_columns
from amazon_ml.data.catalog.tags import count_tags, find_phrases, near_slips, read_tags
from amazon_ml.data.catalog.unused_splits import split_columns
from amazon_ml.data.config import TABLE, Split, TableConfig
from amazon_ml.errors import InputError, listed
from amazon_ml.labels import TagSet

__all__ = ["PLANET_TABLES", "TagTable", "read_csv", "read_excluded", "read_names", "scan_table",
           "without_suffix"]  # fmt: skip

log = logging.getLogger(__name__)

PLANET_TABLES = ("train_v2.csv", "train_classes.csv")
#: Blanks around a cell that are ignored; others, such as no-break blanks, are faults.
_BLANKS = " \t\r\n\v\f"


@dataclass(frozen=True)
class TagTable:
    """The contents of a tag table.

    Parameters
    ----------
    path
        The file.
    rows
        One row for each tile: ``image_name``, ``tags`` (the text of the cell), ``found`` (a tuple of tags), ``line``
        (in the file), ``untagged`` (whether it has no tag, and its cell has no other fault), ``file`` (the Path of the
        table) and ``split`` (train, val or test; None without published splits). Names may be repeated where rows are
        not merged.
    tags
        The tag list.
    faults
        Faults that training raises, the gravest first.
    slips
        A sentence on each rare tag that looks like a frequent one, where the tag list comes from the table.
    phrases
        A sentence on each pair of tags that may be one name with a blank.
    records
        The file as a CSV.
    excluded
        Names of the rows that the list `exclude` removed.
    meant
        The names of that list that have rows here, with a key of the tile; None where it has no file.
    unused_splits
        The splits in each column that no option names and that holds words for splits alone, by its title.
    """

    path: Path
    rows: pd.DataFrame
    tags: TagSet
    faults: list[Fault]
    slips: list[str]
    phrases: list[str]
    records: Records
    excluded: frozenset[str] = frozenset()
    meant: Mapping[str, str | None] = field(default_factory=dict)
    unused_splits: Mapping[str, frozenset[Split]] = field(default_factory=dict)


def scan_table(
    path: Path, config: TableConfig = TABLE, joins: TileNames | None = None, *, alone: bool = True,
    records: Records | None = None, split: Split | None = None,
) -> TagTable:  # fmt: skip
    """Read a table of names and tags as far as possible, and find all its faults.

    Parameters
    ----------
    path
        The file.
    config
        Options for reading it.
    joins
        Index of the names that have a file; it chooses among several columns of names.
    alone
        Whether it is the only table; else the list `exclude` may name tiles of others.
    records
        The content of the file, where it is read already.
    split
        The split of all rows, whose folder has the files of the names that several files share.

    Raises
    ------
    InputError
        If there is no such file, no column of names or tags, or no tag.
    """
    is_given, records = config.tags is not None, records or _read(path, config)
    unused_splits = split_columns(records, config)
    columns = config.tag_columns is not None
    if config.name_column is None and joins is not None:
        records = name_first_column(records, joins)
    split_at = None if config.split_column is None else split_column_of(records, config.split_column)
    own: list[Split | None] = [split] * len(records.rows)
    splits, split_faults = (own, []) if split_at is None else read_splits(records, split_at)
    if config.tag_columns is not None:
        (records, config), split_at = _joined(records, config, joins), None
    tags_at = _find_tags(records, config.tags_column)
    name_at = _find_names(records, config.name_column, joins)
    if name_at == tags_at:
        raise InputError(f"column {records.header[name_at]!r} cannot hold both names and tags", file=path,
                         option="data.name_column" if config.name_column else "data.tags_column",
                         remedy="name the right ones with `data.name_column` and `data.tags_column`")  # fmt: skip
    records = mark_swallowed(records, name_at, tags_at, config.tag_separator)
    check_spread(records, min(name_at, tags_at))
    others = [at for at in range(len(records.header)) if at not in (name_at, tags_at, split_at)]
    if config.tags_column is None:
        check_second_tags(records, others, tags_at, config.tag_separator)
    rows, faults = _rows(records, name_at, tags_at, splits)
    if joins is not None and (split or are_in_two_splits(rows)):
        rows = in_folders_of_splits(rows, joins)
    faults, excluded = [*faults, *split_faults], frozenset[str]()
    meant: dict[str, str | None] = {}
    if config.exclude is not None:
        everything = {row.name for row in rows}
        rows, faults, meant = _without(rows, faults, path, Path(config.exclude), joins, alone=alone)
        excluded = frozenset(everything.difference(row.name for row in rows))

    if not any(row.whole for row in rows):
        raise_faults(faults)

    def marks() -> str:
        columns = mark_columns(records, (name_at, tags_at))
        if len(columns) < 2 and config.tags_column is not None and (counts := count_columns(records, name_at, tags_at)):
            return describe_marks(records, [tags_at, *counts])
        return describe_marks(records, columns) if len(columns) > 1 else ""

    try:
        column = read_tags(
            path, rows, tags=config.tags, planet=path.name in PLANET_TABLES, separator=config.tag_separator,
            marks=marks, alone=alone, columns=columns,
        )  # fmt: skip
    except InputError as error:
        if error.option != "tags":
            raise
        if is_given:
            raise InputError(error.problem, option="data.tags", remedy="correct `data.tags`") from None
        raise InputError(error.problem, file=path, remedy=error.remedy) from None  # the titles of its columns
    frame = pd.DataFrame({
        "image_name": pd.Series([row.name for row in rows], dtype=object),
        "tags": pd.Series([row.cell for row in rows], dtype=object),
        "found": pd.Series(column.found, dtype=object),
        "line": [row.line for row in rows],
        "untagged": column.untagged,
        "file": pd.Series([path] * len(rows), dtype=object),
        "split": pd.Series([row.split for row in rows], dtype=object),
    })  # fmt: skip
    value = value_column(records, others)
    if value and (frame["found"].map(len) <= 1).all() and differ(frame):
        problem = (
            f"the table has one row for each tag, and column {value!r} holds the presence or the amount of the tag"
        )
        raise InputError(problem, file=path,
                         remedy="remove the rows of tags that a tile does not have, and that column")  # fmt: skip
    two_splits = find_two_splits(frame, joins)
    in_two = {name for fault in two_splits for name in fault.names}
    repeated = [] if config.merge_rows else find_repeated(path, frame[~frame["image_name"].isin(in_two)], joins)
    if config.merge_rows:
        frame = merge_rows(path, frame)
    untagged = [] if config.allow_untagged else find_untagged(path, frame)
    own_list = config.tags is None and path.name not in PLANET_TABLES
    slips = near_slips(count_tags(frame["found"].tolist())) if own_list else []
    split_at_blanks = config.tag_separator is None and not column.are_lists
    phrases = find_phrases(frame["found"].tolist()) if own_list and split_at_blanks else []
    own_two = two_splits if alone else []  # of several tables, they are found among the rows of all
    faults = [*faults, *own_two, *repeated, *column.faults, *untagged]
    return TagTable(path, frame, column.tags, faults, slips, phrases, records, excluded, meant, unused_splits)


def read_names(table: Path) -> list[str]:
    """Read the names of a table in their order; other columns are ignored.

    Raises
    ------
    InputError
        If the table cannot be read, or a name stands twice.
    """
    names, lines = _read_names(table)
    frame = pd.DataFrame({"image_name": names, "line": lines})
    again = frame[frame["image_name"].duplicated(keep=False)]
    if len(again):
        problem = f"cannot read the names: {describe_repeated(again)}"
        raise InputError(problem, file=table, line=int(again["line"].iloc[0]), remedy="keep one row of each")
    return names


def read_excluded(table: Path) -> frozenset[str]:
    """Read the names of the list `exclude`, which may be empty, and may name a tile twice, for two reasons.

    Raises
    ------
    InputError
        If the list cannot be read.
    """
    return frozenset(_read_names(table, may_be_empty=True)[0])


def read_csv(table: Path) -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Read any CSV as text, with the line of each row in the file, counted from 1.

    Raises
    ------
    InputError
        If the table cannot be read.
    """
    records = read_records(table)
    raise_faults(records.faults)
    width = len(records.header)
    raw = pd.DataFrame([cells[:width] for _, cells in records.rows], columns=records.header, dtype=object)
    return raw, pd.Series([line for line, _ in records.rows])


def _read(path: Path, config: TableConfig) -> Records:
    if is_structured(path):
        return read_structured(path, config.min_share, config.name_column)
    wanted = [name.lower() for name in (config.name_column, config.tags_column, config.split_column) if name]
    return read_records(path, {*NAME_COLUMNS, *TAGS_COLUMNS, *wanted})


def _joined(records: Records, config: TableConfig, joins: TileNames | None) -> tuple[Records, TableConfig]:
    """Turn a table with one column for each tag into one with a column of tags, and the options into those for it."""
    if config.tags_column is not None:
        raise InputError("`data.tags_column` and `data.tag_columns` cannot both be given", option="data.tag_columns",
                         remedy="leave out the one that does not fit the table")  # fmt: skip
    name_at = _find_names(records, config.name_column, joins)
    records = mark_swallowed(records, name_at)
    split_at = None if config.split_column is None else split_column_of(records, config.split_column)
    joined, tags = join_tag_columns(records, name_at, config.tag_columns or (), split_at)
    lacking = [tag for tag in config.tags or () if tag not in set(tags)]
    if lacking:
        raise InputError(
            f"the table has no column for the tag {lacking[0]}", file=records.path, line=records.header_line or None,
            option="data.tag_columns", remedy="add the column, or leave the tag out of `data.tags`",
        )  # fmt: skip
    return joined, replace(
        config, name_column=joined.header[0], tags_column=joined.header[1], tags=config.tags or list(tags),
        tag_separator=None,
    )  # fmt: skip


def _find_tags(records: Records, wanted: str | None) -> int:
    if wanted is None and not known_columns(records.header, TAGS_COLUMNS):
        check_marks(records)
    if wanted is None:
        check_numbered(records)
    return find_column(records.path, records.header, wanted, TAGS_COLUMNS, "data.tags_column")


def _find_names(records: Records, wanted: str | None, joins: TileNames | None) -> int:
    """Find the column of names; of several known ones, the first of those whose names have most files."""
    known = known_columns(records.header, NAME_COLUMNS)
    if wanted is not None or len(known) < 2 or joins is None:
        return find_column(records.path, records.header, wanted, NAME_COLUMNS, "data.name_column")
    counts = [joins.count(clean_name(cells[column]) for _, cells in records.rows) for column in known]
    check_second_names(records, known, counts)
    chosen = known[counts.index(max(counts))]
    log.info("%s: the names are in column %r", records.path, records.header[chosen])
    return find_column(records.path, records.header, records.header[chosen], NAME_COLUMNS, "data.name_column")


def _rows(
    records: Records, name_at: int, tags_at: int, splits: Sequence[Split | None]
) -> tuple[list[Row], list[Fault]]:
    """Turn records into rows; a broken row with a name is among both rows and faults."""
    column, path = records.header[name_at], records.path
    titles = title_keys((column, records.header[tags_at]))
    # Cells repeat, and few look like a header.
    headers = frozenset(
        cell for cell in {cells[tags_at] for _, cells in records.rows} if is_title(cell.strip(_BLANKS), titles)
    )
    rows, faults = [], []
    by_line = {fault.line: fault for fault in records.faults}
    for (line, cells), split in zip(records.rows, splits, strict=True):
        name, cell, broken = clean_name(cells[name_at]), cells[tags_at].strip(_BLANKS), by_line.pop(line, None)
        if not name:
            faults.append(Fault("broken_rows", path, line, f"the name in column {column!r} is empty", "write it, or "
                                "remove the row", item=f"line {line}: there is no name"))  # fmt: skip
        elif broken and not name.isprintable():
            faults.append(broken)
        elif cells[tags_at] in headers and is_title(name, titles):
            faults.append(Fault("header_again", path, line, f"the header is repeated: {cells[name_at]}, {cell}",
                                "remove the line", item=f"line {line}"))  # fmt: skip
        else:
            rows.append(Row(name, cell, line, broken is None, split))
            faults += [replace(broken, names=(name,))] if broken else []
    if not rows and not faults and not by_line:
        raise InputError("the table has a header but no rows", file=path, line=records.header_line or None)
    return rows, sorted([*by_line.values(), *faults], key=lambda fault: fault.line)


def _read_names(table: Path, *, may_be_empty: bool = False) -> tuple[list[str], list[int]]:
    try:
        records = read_records(table, NAME_COLUMNS, may_be_empty=may_be_empty)
        raise_faults(records.faults)
        known = known_columns(records.header, NAME_COLUMNS)
        if not known:
            shown = listed(list(map(repr, records.header)))
            raise InputError(f"the table has no column of names; its first line has {shown}", file=table,
                             remedy="write a header above the names, such as image_name")  # fmt: skip
        column = find_column(table, records.header, records.header[known[0]], NAME_COLUMNS, "data.name_column")
        raise_faults(mark_swallowed(records, column).faults)
        names = [clean_name(cells[column]) for _, cells in records.rows]
        lines = [line for line, _ in records.rows]
        if "" in names:
            problem = f"the name in column {records.header[column]!r} is empty"
            raise InputError(problem, file=table, line=lines[names.index("")])
    except InputError as error:
        problem = f"cannot read the names: {error.problem}"
        raise InputError(problem, file=error.file, line=error.line, option=error.option, remedy=error.remedy) from None
    return names, lines


def _without(
    rows: list[Row], faults: list[Fault], table: Path, exclude: Path, joins: TileNames | None, *, alone: bool
) -> tuple[list[Row], list[Fault], dict[str, str | None]]:
    """Remove the rows of a list, and their faults; give the names of the list that have rows, and the tile of each."""
    names, own = read_excluded(exclude), {row.name for row in rows}

    def tile_of(name: str) -> str | None:
        # In one of several tables a name means the file beside the table first, since others may have it, too.
        beside = joins.find(str((table.parent / name).absolute())) if joins is not None and not alone else None
        return beside or (None if joins is None else joins.find(name))

    # To find tiles lists the folders, which one table needs only for other names.
    meant = {name: None if alone else tile_of(name) for name in names & own}
    gone = set(meant)
    if (others := names - own) and joins is not None:  # the list names files by another path than the table
        tiles = {name: tile for name in others if (tile := joins.find(name)) is not None}
        sought = frozenset(tiles.values())
        found = {name: tile for name in own if (tile := tile_of(name)) in sought}
        there = frozenset(found.values())
        gone |= found.keys()
        meant |= {name: tile for name, tile in tiles.items() if tile in there}
    unknown = names.difference(meant)
    if alone:
        check_clear(exclude, unknown, own, joins)
    if unknown and unknown == names and alone:
        raise InputError(f"the list names no tile of {table}, only {listed(sorted(unknown))}", file=exclude,
                         option="data.exclude",
                         remedy="give the list of this table, or none")  # fmt: skip
    if unknown and alone:
        log.warning("%s names %d tiles that %s lacks: %s", exclude, len(unknown), table, listed(sorted(unknown)))
    kept = [row for row in rows if row.name not in gone]
    if not kept:
        raise InputError(f"the list excludes all {len(rows)} tiles of {table}", file=exclude, option="data.exclude")
    log.info("%s: %s excludes %d rows", table, exclude, len(rows) - len(kept))
    return kept, [fault for fault in faults if not fault.names or not gone.issuperset(fault.names)], meant
