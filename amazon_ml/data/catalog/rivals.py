"""Other columns that hold what the column of tags, or that of names, should hold alone."""

import re
from collections.abc import Callable, Sequence

from amazon_ml.data.catalog.cells import read_list
from amazon_ml.data.catalog.columns import TAGS_COLUMNS, is_mark, known_columns
from amazon_ml.data.catalog.names import clean_name
from amazon_ml.data.catalog.records import Records
from amazon_ml.errors import InputError, listed

_NAMELESS = re.compile(r"(unnamed: \d+(_level_\d+)?(\.\d+)?)?", re.IGNORECASE)
#: What people add to the name of a column for a second one of its kind.
_SECOND = frozenset(
    ("first", "second", "third", "primary", "secondary", "main", "other", "extra", "more", "additional")
)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
#: So many columns of shares beside a tag are the sides of a box.
_BOX = 4


def check_spread(records: Records, first: int) -> None:
    """Refuse cells behind column `first` whose column has no name: tags were spread over several columns.

    Raises
    ------
    InputError
        With the first such line and cell.
    """
    named = {at for at, name in enumerate(records.header) if not _NAMELESS.fullmatch(name)}
    for line, cells in records.rows:
        for at in range(first + 1, len(cells) if line not in records.broken else 0):
            if at not in named and cells[at].strip():
                raise InputError(
                    f"{records.path} line {line}: {cells[at].strip()!r} stands in column {at + 1}, which the header "
                    "does not name; write the tags of each tile into one column, or name the column if it holds "
                    "something else"
                )


def check_second_tags(records: Records, tags_at: int, name_at: int, separator: str | None) -> None:
    """Refuse a table with another column of tags, which have some that the chosen column lacks in that row.

    Raises
    ------
    InputError
        With the column, and the first row that would lose a tag.
    """
    chosen = [_tokens(cells[tags_at], separator) for _, cells in records.rows]
    vocabulary = frozenset().union(*chosen)
    known = set(known_columns(records.header, TAGS_COLUMNS))
    for at, column in enumerate(records.header):
        if at in (tags_at, name_at):
            continue
        others = [_tokens(cells[at], separator) for _, cells in records.rows]
        found = frozenset(word for words in others for word in words if not _NUMBER.fullmatch(word))
        if not found or all(map(is_mark, found)):
            continue
        alike = at in known or _is_second(column, records.header[tags_at])
        if not alike and 2 * len(found & vocabulary) < len(found):
            continue
        for (line, cells), mine, theirs in zip(records.rows, chosen, others, strict=True):
            if not theirs <= mine:
                raise InputError(
                    f"{records.path} line {line}: column {column!r} holds {cells[at].strip()!r}, and column "
                    f"{records.header[tags_at]!r} holds {cells[tags_at].strip()!r}: both look like tags; write all "
                    "tags into one column, or name the right one with `data.tags_column`"
                )


def value_column(records: Records, tags_at: int, name_at: int) -> str:
    """Find the column that says whether, or how much, the tag of a row is there; "" where there is none."""
    found = []
    for at, column in enumerate(records.header):
        cells = {cells[at].strip() for _, cells in records.rows} - {""}
        if at not in (tags_at, name_at) and len(cells) > 1 and all(is_mark(cell) or _is_share(cell) for cell in cells):
            found.append(column)
    return found[0] if 0 < len(found) < _BOX else ""


def check_second_names(records: Records, known: Sequence[int], counts: Sequence[int]) -> None:
    """Refuse several columns of names that each join with files, but with different ones.

    Raises
    ------
    InputError
        With the columns, and the first row that differs.
    """
    joined = [at for at, count in zip(known, counts, strict=True) if 2 * count >= len(records.rows) > 0]
    last: Callable[[str], str] = lambda cell: clean_name(cell).rpartition("/")[2]  # noqa: E731
    for at in joined[1:]:
        for line, cells in records.rows:
            if last(cells[at]) != last(cells[joined[0]]) and line not in records.broken:
                both = [repr(records.header[joined[0]]), repr(records.header[at])]
                raise InputError(
                    f"{records.path} line {line}: columns {' and '.join(both)} name different files, "
                    f"{listed([cells[joined[0]], cells[at]])}; name the right one with `data.name_column`"
                )


def _tokens(cell: str, separator: str | None) -> frozenset[str]:
    cell = cell.strip()
    words = read_list(cell)
    if words is None:
        words = cell.split(separator)
    return frozenset(word.strip().casefold() for word in words) - {""}


def _is_second(column: str, chosen: str) -> bool:
    """Whether a column's name is that of the chosen one with a number, a letter, or a word such as ``second``."""
    mine, theirs = (" ".join(re.findall(r"[^\W_]+", name.casefold())) for name in (chosen, column))
    rest = re.sub(rf"(^| ){re.escape(mine)}( |$)", " ", theirs).strip()
    return rest != theirs and (rest in _SECOND or bool(re.fullmatch(r"\d+|[a-z]", rest)))


def _is_share(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell)) and 0 <= float(cell) <= 1
