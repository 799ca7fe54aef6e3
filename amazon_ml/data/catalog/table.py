"""Reads one table of names and tags, and finds all of its faults."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

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
from amazon_ml.data.catalog.excluded import without_excluded
from amazon_ml.data.catalog.faults import Fault, Row, raise_faults
from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.names import clean_name, ending_of
from amazon_ml.data.catalog.records import Records, read_records
from amazon_ml.data.catalog.repeated import differ, find_repeated, find_untagged, merge_rows
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
from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.data.catalog.tag_columns import join_tag_columns
from amazon_ml.data.catalog.tags import TagColumn, count_tags, find_phrases, near_slips, read_tags
from amazon_ml.data.catalog.unused_splits import split_columns
from amazon_ml.data.config import TABLE, Split, TableConfig
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet

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
        One row for each tile: ``image_name``, ``tags`` (the text of the cell), ``found`` (a tuple of tags), ``table``
        (its `TableFile`), ``line`` (its number there), ``untagged`` (whether it has no tag, and its cell has no other
        fault), ``split`` (train, val or test; None without published splits) and ``ending`` (of the name in the table,
        such as ``.tif``; ``""`` without one). Names may be repeated where rows are not merged.
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
        The splits in each column that no option names and that holds words for splits alone, by its title; None among
        them where a cell is blank.
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
    unused_splits: Mapping[str, frozenset[Split | None]] = field(default_factory=dict)


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
    chosen = _choose_columns(records or _read(path, config), config, joins, split)
    is_given, records, config = config.tags is not None, chosen.records, chosen.config
    rows, faults = _rows(chosen)
    if joins is not None and (split or are_in_two_splits(rows)):
        rows = in_folders_of_splits(rows, joins)
    faults, everything = [*faults, *chosen.faults], {row.name for row in rows}
    meant: dict[str, str | None] = {}
    if config.exclude is not None:
        rows, faults, meant = without_excluded(rows, faults, path, Path(config.exclude), joins, alone=alone)
    if not any(row.whole for row in rows):
        raise_faults(faults)
    column = _read_column(chosen, rows, is_given=is_given, alone=alone)
    frame = _frame(records.file, rows, column)
    _check_amounts(chosen, frame)
    two_splits = find_two_splits(frame, joins)
    in_two = {name for fault in two_splits for name in fault.names}
    repeated = [] if config.merge_rows else find_repeated(records.file, frame[~frame["image_name"].isin(in_two)], joins)
    if config.merge_rows:
        frame = merge_rows(records.file, frame)
    untagged = [] if config.allow_untagged else find_untagged(records.file, frame)
    own_two = two_splits if alone else []  # of several tables, they are found among the rows of all
    own_list = config.tags is None and path.name not in PLANET_TABLES
    split_at_blanks = config.tag_separator is None and not column.are_lists
    return TagTable(
        path=path,
        rows=frame,
        tags=column.tags,
        faults=[*faults, *own_two, *repeated, *column.faults, *untagged],
        slips=near_slips(count_tags(frame["found"].tolist())) if own_list else [],
        phrases=find_phrases(frame["found"].tolist()) if own_list and split_at_blanks else [],
        records=records,
        excluded=frozenset(everything.difference(row.name for row in rows)),
        meant=meant,
        unused_splits=chosen.unused_splits,
    )


class _Chosen(NamedTuple):
    """A table whose columns are chosen.

    `config` fits one column of tags, also where the table had one for each; `others` are further columns, `splits` the
    split of each row, and `faults` those of the column of splits.
    """

    records: Records
    config: TableConfig
    name_at: int
    tags_at: int
    others: list[int]
    splits: Sequence[Split | None]
    faults: list[Fault]
    unused_splits: Mapping[str, frozenset[Split | None]]


def _choose_columns(records: Records, config: TableConfig, joins: TileNames | None, split: Split | None) -> _Chosen:
    """Find the columns of names, tags and splits, and check that no other column holds what they lack."""
    unused_splits = split_columns(records, config)
    if config.name_column is None and joins is not None:
        records = name_first_column(records, joins)
    split_at = None if config.split_column is None else split_column_of(records, config.split_column)
    own: list[Split | None] = [split] * len(records.rows)
    splits, faults = (own, []) if split_at is None else read_splits(records, split_at)
    if config.tag_columns is not None:
        (records, config), split_at = _joined(records, config, joins), None
    tags_at = _find_tags(records, config.tags_column)
    name_at = _find_names(records, config.name_column, joins)
    if name_at == tags_at:
        problem = f"column {records.header[name_at]!r} cannot hold both names and tags"
        raise InputError(problem, file=records.path,
                         option="data.name_column" if config.name_column else "data.tags_column",
                         remedy="name the right ones with `data.name_column` and `data.tags_column`")  # fmt: skip
    records = mark_swallowed(records, name_at, tags_at, config.tag_separator)
    check_spread(records, min(name_at, tags_at))
    others = [at for at in range(len(records.header)) if at not in (name_at, tags_at, split_at)]
    if config.tags_column is None:
        check_second_tags(records, others, tags_at, config.tag_separator)
    for at in (name_at, tags_at):  # a tag may be called so
        unused_splits.pop(records.header[at], None)
    return _Chosen(records, config, name_at, tags_at, others, splits, faults, unused_splits)


def _read_column(chosen: _Chosen, rows: Sequence[Row], *, is_given: bool, alone: bool) -> TagColumn:
    """Read the column of tags; an error of a given list names the option, and one of the titles of columns the file."""
    records, config, name_at, tags_at = chosen[:4]
    by_column = config.tag_columns is not None

    def marks() -> str:
        columns = mark_columns(records, (name_at, tags_at))
        if len(columns) < 2 and config.tags_column is not None and (counts := count_columns(records, name_at, tags_at)):
            return describe_marks(records, [tags_at, *counts])
        return describe_marks(records, columns) if len(columns) > 1 else ""

    try:
        return read_tags(
            records.file, rows, tags=config.tags, planet=records.path.name in PLANET_TABLES,
            separator=config.tag_separator, marks=marks, alone=alone, columns=by_column,
        )  # fmt: skip
    except InputError as error:
        if error.option != "tags":
            raise
        if is_given:
            raise InputError(error.problem, option="data.tags", remedy="correct `data.tags`") from None
        raise InputError(error.problem, file=records.path, remedy=error.remedy) from None  # the titles of its columns


def _frame(table: TableFile, rows: Sequence[Row], column: TagColumn) -> pd.DataFrame:
    return pd.DataFrame({
        "image_name": pd.Series([row.name for row in rows], dtype=object),
        "tags": pd.Series([row.cell for row in rows], dtype=object),
        "found": pd.Series(column.found, dtype=object),
        "table": pd.Series([table] * len(rows), dtype=object),
        "line": [row.line for row in rows],
        "untagged": column.untagged,
        "split": pd.Series([row.split for row in rows], dtype=object),
        "ending": pd.Series([row.ending for row in rows], dtype=object),
    })  # fmt: skip


def _check_amounts(chosen: _Chosen, frame: pd.DataFrame) -> None:
    """Check that a table with a row for each tag has no column that says whether the tile has the tag."""
    value = value_column(chosen.records, chosen.others)
    if value and (frame["found"].map(len) <= 1).all() and differ(frame):
        problem = f"the table has one row for each tag, and column {value!r} holds the presence or amount of the tag"
        raise InputError(problem, file=chosen.records.path,
                         remedy="remove the rows of tags that a tile does not have, and that column")  # fmt: skip


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
        raise records.header_error(f"the table has no column for the tag {lacking[0]}", option="data.tag_columns",
                                   remedy="add it, with 0 in each row where no tile has the tag; for training, "
                                   "`data.tags` may leave the tag out")  # fmt: skip
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


def _rows(chosen: _Chosen) -> tuple[list[Row], list[Fault]]:
    """Turn records into rows; a broken row with a name is among both rows and faults."""
    records, name_at, tags_at = chosen.records, chosen.name_at, chosen.tags_at
    column, file = records.header[name_at], records.file
    titles = title_keys((column, records.header[tags_at]))
    # Cells repeat, and few look like a header.
    headers = frozenset(
        cell for cell in {cells[tags_at] for _, cells in records.rows} if is_title(cell.strip(_BLANKS), titles)
    )
    rows, faults = [], []
    by_line = {fault.line: fault for fault in records.faults}
    for (line, cells), split in zip(records.rows, chosen.splits, strict=True):
        name, cell, broken = clean_name(cells[name_at]), cells[tags_at].strip(_BLANKS), by_line.pop(line, None)
        if not name:
            faults.append(Fault("broken_rows", file, line, f"the name in column {column!r} is empty", "write it, or "
                                "remove the row", item=f"{file.at(line)}: there is no name"))  # fmt: skip
        elif broken and not name.isprintable():
            faults.append(broken)
        elif cells[tags_at] in headers and is_title(name, titles):
            faults.append(Fault("header_again", file, line, f"the header is repeated: {cells[name_at]}, {cell}",
                                "remove it", item=file.at(line)))  # fmt: skip
        else:
            rows.append(Row(name, cell, line, broken is None, split, ending_of(cells[name_at])))
            faults += [replace(broken, names=(name,))] if broken else []
    if not rows and not faults and not by_line:
        raise records.header_error("the table has a header but no rows")
    return rows, sorted([*by_line.values(), *faults], key=lambda fault: fault.line)
