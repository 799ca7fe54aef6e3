"""The rows of a tag table as far as they can be read, where `catalog.read_table` refuses the whole."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.table import NAME_COLUMNS, TAGS_COLUMNS, find_column, without_suffix
from amazon_ml.errors import InputError
from amazon_ml.regular import check_regular

#: What stands for bytes that are not UTF-8.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def read_rows(
    table: Path, name_column: str | None = None, tags_column: str | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Read what can be read of a table of names and tags.

    Returns
    -------
    Table of ``image_name``, ``tags`` and ``line``, as `catalog.read_table` gives it but with names
    that are repeated; and a sentence on each row that is broken. A broken row with a name is in both.

    Raises
    ------
    InputError
        When there is no such file, or no column of names or tags.
    """
    check_regular(table)
    try:
        text = table.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read {table}: {error.strerror}") from None
    records, faults = split_records(text)
    (_, header), *records = [record for record in records if any(record[1])] or [(1, [])]
    name_at = header.index(find_column(table, header, name_column, NAME_COLUMNS, "name_column"))
    tags_at = header.index(find_column(table, header, tags_column, TAGS_COLUMNS, "tags_column"))
    rows = []
    for line, fields in records:
        padded = fields + [""] * len(header)
        name = without_suffix(padded[name_at].strip())
        faults += (f"line {line}: {fault}" for fault in _faults(name, fields, len(header)))
        if name:
            rows.append((name, padded[tags_at], line))
    return pd.DataFrame(rows, columns=["image_name", "tags", "line"]), faults


def split_records(text: str) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Split a CSV into its records, each with the line where it starts; and tell lines with stray quotes."""
    try:
        return list(_records(text)), []
    except csv.Error:  # a quote that is not closed takes all that follows for its own: split line by line
        records, faults = [], []
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                records += [(number, fields) for _, fields in _records(line)]
            except csv.Error as error:
                faults.append(f"line {number}: {error}")
        return records, faults


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
    for fields in reader:
        yield line, fields
        line = reader.line_num + 1


def _faults(name: str, fields: list[str], columns: int) -> Iterator[str]:
    if not name:
        yield "there is no name"
    if len(fields) > columns:
        yield f"{len(fields)} columns, but the header has {columns}"
    if any(_REPLACEMENT in field for field in fields):
        yield "it is not UTF-8"
