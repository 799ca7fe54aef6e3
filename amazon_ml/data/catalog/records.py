"""The records of a CSV: finds its delimiter and its header, and reads each row with its line in the file."""

import csv
import io
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from amazon_ml.data.catalog.faults import Fault
from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.data.catalog.text import REPLACEMENT, read_text
from amazon_ml.errors import InputError

log = logging.getLogger(__name__)

#: Possible delimiters of columns; the first one wins where several fit.
DELIMITERS = (",", ";", "\t", "|")
_LINE, _LINE_END = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)"), re.compile(r"\r\n|\r|\n")
#: Line above the header in which a spreadsheet declares the delimiter.
_DECLARED = re.compile(r"sep=(.)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Records:
    """The rows of a CSV, before its columns are interpreted.

    Parameters
    ----------
    file
        The file.
    header
        Names of the columns.
    header_line
        Line of the header.
    rows
        Line in the file and cells of each row, without blank rows; each has at least as many cells as the header.
    faults
        The lines that cannot be read.
    broken
        Lines of the rows that are among both `rows` and `faults`.
    delimiter
        Delimiter of columns.
    has_shares
        Whether tags have shares of the tile, in lists of JSON or Parquet.
    counts_rows
        Whether the names are the index of pandas, a column without a title, which may only count the rows.
    """

    file: TableFile
    header: list[str]
    header_line: int
    rows: list[tuple[int, list[str]]]
    faults: list[Fault]
    broken: frozenset[int]
    delimiter: str = ","
    has_shares: bool = False
    counts_rows: bool = False

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.file.path

    def header_error(self, problem: str, *, option: str = "", remedy: str = "") -> InputError:
        """Make the exception for the header, or for the file where it has none."""
        return self.file.error(problem, self.header_line or None, option=option, remedy=remedy)


def read_records(path: Path, known: Collection[str] = (), *, may_be_empty: bool = False) -> Records:
    """Read a CSV in any encoding that can be recognised, with a comma, semicolon, tab or bar between columns.

    Parameters
    ----------
    path
        The file.
    known
        Names of columns in lower case; they choose the delimiter where several fit.
    may_be_empty
        Whether a header without rows is allowed.

    Raises
    ------
    InputError
        If there is no header, or no row below it.
    """
    file, text = TableFile(path), read_text(path)
    delimiter, skipped = _find_delimiter(text, known)
    if delimiter != ",":
        log.info("%s: the delimiter of columns is %r", path, delimiter)
    # Some programs write a blank between the delimiter and a quote.
    blanks = re.search(rf'{re.escape(delimiter)} +"', text) is not None
    records, stray = split_records(text, delimiter, skip_blanks=blanks)
    records = [record for record in records if record[0] > skipped and any(map(str.strip, record[1]))]
    if not records:
        if stray:
            raise _broken(file, *stray[0]).error
        raise InputError("this is not a CSV that can be read: it is empty", file=path)
    (header_line, header), *rows = records
    broken_header = _odd_cells(header)
    if broken_header:
        raise _broken(file, header_line, broken_header).error
    if not rows and not stray and not may_be_empty:
        raise InputError("the table has a header but no rows", file=path, line=header_line)
    header = [name.strip() for name in header]
    faults = [_broken(file, line, what) for line, what in stray]
    width, broken, may_be_odd = len(header), set(), REPLACEMENT in text or "\0" in text
    for line, cells in rows:
        what = (_odd_cells(cells) if may_be_odd else "") or (_odd_width(cells, header) if len(cells) != width else "")
        if what:
            faults.append(_broken(file, line, what))
            broken.add(line)
    padded = [(line, cells + [""] * (width - len(cells)) if len(cells) < width else cells) for line, cells in rows]
    return Records(file, header, header_line, padded, faults, frozenset(broken), delimiter)


def split_records(
    text: str, delimiter: str = ",", *, skip_blanks: bool = False
) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
    """Split a CSV into its records, each with its first line; and list the lines with stray quotes.

    With `skip_blanks`, a quote after a delimiter and blanks begins a quoted cell.
    """
    try:
        return list(_records(text, delimiter, skip_blanks)), []
    except csv.Error:  # a quote that is not closed takes in all lines that follow: split line by line
        records, faults = [], []
        for number, line in enumerate(_LINE_END.split(text), start=1):
            try:
                records += [(number, fields) for _, fields in _records(line, delimiter, skip_blanks)]
            except csv.Error as error:
                faults.append((number, str(error)))
        return records, faults


def _records(text: str, delimiter: str, skip_blanks: bool) -> Iterator[tuple[int, list[str]]]:
    stream, line = io.StringIO(text, newline=""), 1
    reader = csv.reader(stream, strict=True, delimiter=delimiter, skipinitialspace=skip_blanks)
    for fields in reader:
        yield line, fields
        line = reader.line_num + 1


def _find_delimiter(text: str, known: Collection[str]) -> tuple[str, int]:
    """Find the delimiter of a header, and the number of lines above the header that declare it."""
    lines = (line[0] for line in _LINE.finditer(text))
    number, first = next(((n, line) for n, line in enumerate(lines, start=1) if line.strip()), (1, ""))
    first = first.rstrip("\r\n")
    declared = _DECLARED.fullmatch(first)
    if declared:
        return declared[1], number
    scores = []
    for delimiter in DELIMITERS:
        cells = [cell.strip().strip('"').lower() for cell in first.split(delimiter)]
        scores.append((sum(cell in known for cell in cells) if len(cells) > 1 else 0, len(cells)))
    return DELIMITERS[scores.index(max(scores))], 0


def _odd_cells(cells: list[str]) -> str:
    if any(REPLACEMENT in cell for cell in cells):
        return "it is not UTF-8"
    return "it holds a NUL byte" if any("\0" in cell for cell in cells) else ""


def _odd_width(cells: list[str], header: list[str]) -> str:
    """Describe a row that is longer or shorter than the header; blank cells at the end of either are allowed."""
    least = max(number for number, name in enumerate(header, start=1) if name)
    if least <= len(cells) and not any(cell.strip() for cell in cells[len(header) :]):
        return ""
    only = "only " if len(cells) < least else ""
    return f"{only}{len(cells)} column{'s' * (len(cells) > 1)}, but the header has {len(header)}"


def _broken(file: TableFile, line: int, what: str) -> Fault:
    remedy = next((remedy for part, remedy in _REMEDIES if part in what), "correct its quotes")
    return Fault("broken_rows", file, line, what, remedy, item=f"{file.at(line)}: {what}", unread=True)


_REMEDIES = (
    ("UTF-8", "save the table as CSV UTF-8"),
    ("NUL", "save the table as CSV UTF-8"),
    ("only", "separate its columns as the header does"),
    ("header has", "it has more columns than its header; put quotes around tags"),
)
