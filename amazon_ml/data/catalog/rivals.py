"""Checks that only one column of a table holds tags, and only one holds names."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from amazon_ml.data.catalog.cells import read_list
from amazon_ml.data.catalog.columns import NAME_COLUMNS, TAGS_COLUMNS, is_mark, known_columns
from amazon_ml.data.catalog.join import TileNames
from amazon_ml.data.catalog.names import clean_name
from amazon_ml.data.catalog.records import Records
from amazon_ml.errors import listed

log = logging.getLogger(__name__)

_NAMELESS = re.compile(r"(unnamed: \d+(_level_\d+)?(\.\d+)?)?", re.IGNORECASE)
#: Words in the name of a second column of tags.
_SECOND = frozenset(
    ("first", "second", "third", "primary", "secondary", "main", "other", "extra", "more", "additional")
)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
#: Number of columns with values in 0..1 from which on they are the sides of a box.
_BOX = 4


def name_first_column(records: Records, joins: TileNames) -> Records:
    """Name the first column where it alone has no name and holds names of tiles: pandas writes an index so.

    Only where no column has a known name, and most rows have a file.
    """
    nameless = [at for at, name in enumerate(records.header) if _NAMELESS.fullmatch(name)]
    if nameless != [0] or known_columns(records.header, NAME_COLUMNS):
        return records
    found = sum(joins.find(clean_name(cells[0])) is not None for _, cells in records.rows)
    if 2 * found <= len(records.rows):
        return records
    log.info("%s: the names are in the first column, which has no name", records.path)
    return replace(records, header=[NAME_COLUMNS[0], *records.header[1:]], counts_rows=True)


def check_spread(records: Records, first: int) -> None:
    """Check that no unnamed column after column `first` holds a value: tags were spread over several columns.

    Raises
    ------
    InputError
        If one does, with the first such cell.
    """
    named = {at for at, name in enumerate(records.header) if not _NAMELESS.fullmatch(name)}
    for line, cells in records.rows:
        for at in range(first + 1, len(cells) if line not in records.broken else 0):
            if at not in named and cells[at].strip():
                problem = f"{cells[at].strip()!r} stands in column {at + 1}, which the header does not name"
                remedy = "write the tags of each tile into one column, or name the column if it holds something else"
                raise records.file.error(problem, line, remedy=remedy)


def check_second_tags(records: Records, others: Sequence[int], tags_at: int, separator: str | None) -> None:
    """Check that no other column holds tags that the chosen column lacks in the same row.

    Parameters
    ----------
    records
        The table.
    others
        Positions of the columns that hold neither names nor these tags nor splits.
    tags_at
        Position of the column of tags.
    separator
        Separator of tags.

    Raises
    ------
    InputError
        If one does, with the first row that would lose a tag.
    """
    chosen = _column_tokens(records, tags_at, separator)
    vocabulary = frozenset().union(*chosen)
    known = set(known_columns(records.header, TAGS_COLUMNS))
    for at in others:
        column, words_at = records.header[at], _column_tokens(records, at, separator)
        found = frozenset(word for words in words_at for word in words if not _NUMBER.fullmatch(word))
        if not found or all(map(is_mark, found)):
            continue
        alike = at in known or _is_second(column, records.header[tags_at])
        if not alike and 2 * len(found & vocabulary) < len(found):
            continue
        for (line, cells), mine, theirs in zip(records.rows, chosen, words_at, strict=True):
            if not theirs <= mine:
                raise records.file.error(
                    f"column {column!r} holds {cells[at].strip()!r}, and column {records.header[tags_at]!r} holds "
                    f"{cells[tags_at].strip()!r}: both look like tags",
                    line, option="data.tags_column",
                    remedy="write all tags into one column, or name the right one with `data.tags_column`",
                )  # fmt: skip


def value_column(records: Records, others: Sequence[int]) -> str:
    """Find the column among `others` that holds the presence or the amount of the tag in each row; "" without one."""
    found = []
    for at in others:
        cells = {cells[at].strip() for _, cells in records.rows} - {""}
        if len(cells) > 1 and all(is_mark(cell) or _is_share(cell) for cell in cells):
            found.append(records.header[at])
    return found[0] if 0 < len(found) < _BOX else ""


def check_second_names(records: Records, known: Sequence[int], counts: Sequence[int]) -> None:
    """Check that no two columns of names fit files and name different ones.

    Raises
    ------
    InputError
        If two do, with the first row that differs.
    """
    joined = [at for at, count in zip(known, counts, strict=True) if 2 * count >= len(records.rows) > 0]
    last: Callable[[str], str] = lambda cell: clean_name(cell).rpartition("/")[2]  # noqa: E731
    for at in joined[1:]:
        for line, cells in records.rows:
            if last(cells[at]) != last(cells[joined[0]]) and line not in records.broken:
                both = [repr(records.header[joined[0]]), repr(records.header[at])]
                raise records.file.error(
                    f"columns {' and '.join(both)} name different files, {listed([cells[joined[0]], cells[at]])}",
                    line, option="data.name_column",
                    remedy="name the right one with `data.name_column`",
                )  # fmt: skip


def _column_tokens(records: Records, at: int, separator: str | None) -> list[frozenset[str]]:
    """Return the words of each cell of a column; cells of tags repeat, and each is read once."""
    tokens = {cell: _tokens(cell, separator) for cell in {cells[at] for _, cells in records.rows}}
    return [tokens[cells[at]] for _, cells in records.rows]


def _tokens(cell: str, separator: str | None) -> frozenset[str]:
    cell = cell.strip()
    words = read_list(cell)
    if words is None:
        words = cell.split(separator)
    return frozenset(word.strip().casefold() for word in words) - {""}


def _is_second(column: str, chosen: str) -> bool:
    """Whether a column has the name of the chosen one with a number, a letter, or a word such as ``second``."""
    mine, theirs = (" ".join(re.findall(r"[^\W_]+", name.casefold())) for name in (chosen, column))
    rest = re.sub(rf"(^| ){re.escape(mine)}( |$)", " ", theirs).strip()
    return rest != theirs and (rest in _SECOND or bool(re.fullmatch(r"\d+|[a-z]", rest)))


def _is_share(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell)) and 0 <= float(cell) <= 1
