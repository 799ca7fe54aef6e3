"""Reads lists of names, whose other columns do not matter, and any CSV as text."""

from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.columns import NAME_COLUMNS, find_column, known_columns
from amazon_ml.data.catalog.faults import raise_faults
from amazon_ml.data.catalog.names import clean_name
from amazon_ml.data.catalog.records import read_records
from amazon_ml.data.catalog.repeated import describe_repeated
from amazon_ml.data.catalog.swallowed import mark_swallowed
from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.errors import InputError, listed


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
        problem = f"cannot read the names: {describe_repeated(TableFile(table), again)}"
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
