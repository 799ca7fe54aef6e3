"""Finds quoted cells that swallow rows: a quote that is closed some lines too late makes them one cell."""

import re
from collections.abc import Iterator
from dataclasses import replace

from amazon_ml.data.catalog.cells import read_list
from amazon_ml.data.catalog.faults import Fault
from amazon_ml.data.catalog.names import clean_name
from amazon_ml.data.catalog.records import Records

_LINE_END = re.compile(r"\r\n|\r|\n")


def mark_swallowed(records: Records, name_at: int, tags_at: int | None = None, separator: str | None = None) -> Records:
    """Add the rows that hold other rows within a cell to the broken ones.

    A name holds no line end. A cell of tags may hold line ends, or the delimiter where it separates tags, but not
    both. In any other cell a line is a row if the place of the name holds a name like those of other rows.

    Parameters
    ----------
    records
        The table.
    name_at, tags_at
        Positions of the columns.
    separator
        Separator of tags; any white space where it is None.
    """
    rows = [(line, cells) for line, cells in records.rows if any(_LINE_END.search(cell) for cell in cells)]
    if not rows:
        return records
    shapes = {_shape(cells[name_at]) for _, cells in records.rows if not _LINE_END.search(cells[name_at])}
    faults = []
    for line, cells in rows:
        found = next(_rows_within(records, cells, name_at, tags_at, separator, shapes), None)
        if found is not None and line not in records.broken:
            what = f"a quoted cell begins in this row and goes on over later rows, such as {found!r}"
            faults.append(Fault("broken_rows", records.file, line, what, "close its quote, or remove the line end",
                                item=f"{records.file.at(line)}: {what}", unread=True))  # fmt: skip
    lines = records.broken.union(fault.line for fault in faults)
    return replace(records, faults=[*records.faults, *faults], broken=lines)


def _rows_within(
    records: Records, cells: list[str], name_at: int, tags_at: int | None, separator: str | None, shapes: set[str]
) -> Iterator[str]:
    mark = records.delimiter
    for at, cell in enumerate(cells):
        lines = [line for line in _LINE_END.split(cell.strip()) if line.strip()]
        if len(lines) < 2:
            continue
        if at == name_at:
            yield lines[1]
        elif at == tags_at and (separator is None or mark not in separator):
            if mark in cell and read_list(cell.strip()) is None:
                yield next((line for line in lines[1:] if mark in line), lines[1])
        else:
            for line in lines[1:]:
                fields = line.split(mark)
                if name_at < len(fields) > 1 and _shape(fields[name_at]) in shapes:
                    yield line


def _shape(name: str) -> str:
    """Replace the digits of a name, so that the names of one table look alike."""
    return re.sub(r"\d+", "0", clean_name(name.strip().strip('"')))
