"""Columns of a tag table: finding those of names and tags, and recognising one column a tag."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from amazon_ml.data.catalog.records import DELIMITERS, Records
from amazon_ml.data.readers.images import SUFFIXES
from amazon_ml.errors import InputError, listed

#: Column names that are understood without being given, the competition's first; paths come before numbers.
NAME_COLUMNS = (
    "image_name", "image", "filename", "file_name", "file", "image_path", "img_path", "filepath", "file_path", "path",
    "image_file", "img_name", "img", "tile", "tile_name", "tile_path", "patch", "patch_name", "name",
    "image_id", "img_id", "tile_id", "patch_id", "id",
)  # fmt: skip
TAGS_COLUMNS = ("tags", "labels", "tag", "label", "classes")
#: Words that say whether something is there, and so are no names of tags.
_YES_OR_NO = frozenset(
    ("true", "false", "t", "f", "yes", "no", "y", "n", "on", "off", "present", "absent")
)  # fmt: skip
#: Ticks: what stands in a column a tag beside empty cells.
TICKS = frozenset("x✓✔☑")
#: Within the name of a column of numbers that are no counts of a tag.
_NO_COUNTS = re.compile(
    r"tag|label|class|categor|type|code|id$|^id|index|fold|split|cluster|region|scene|year|month|day|^[xywh]$|row|col"
)
_ZERO_OR_ONE = re.compile(r"[+-]?[01](\.0*)?")


def is_mark(cell: str) -> bool:
    """Whether a cell holds 0 or 1, true or false, yes or no: whether something is there, not what."""
    return cell.casefold() in _YES_OR_NO or bool(_ZERO_OR_ONE.fullmatch(cell))


def find_column(table: Path, columns: Sequence[str], wanted: str | None, known: Sequence[str], option: str) -> int:
    """Find a column by the name that is wanted, or else by the first of the known ones; case does not matter.

    Raises
    ------
    InputError
        Where there is none, or two of that name.
    """
    found = known_columns(columns, [wanted] if wanted else known, exact=bool(wanted))
    if found:
        same = [column for column in columns if column.lower() == columns[found[0]].lower()]
        if len(same) > 1:
            raise InputError(f"{table} has {len(same)} columns named {same[0]!r}; rename all but the right one")
        return found[0]
    remedy = f"Name the right one with `{option}`"
    if len(columns) == 1 and any(mark in columns[0] for mark in (*DELIMITERS, " ")):
        remedy = "Save it with commas between its columns"
    elif columns and columns[0].lower().endswith(SUFFIXES):
        remedy = "Its first line looks like a row: write a header above it, such as image_name,tags"
    raise InputError(
        f"{table} has no column {wanted or known[0]!r}; it has {', '.join(map(repr, columns)) or 'none'}. {remedy}"
    )


def known_columns(columns: Sequence[str], known: Sequence[str], *, exact: bool = False) -> list[int]:
    """List the columns with names of `known`, in the order of `known`; blanks, ``-`` and ``_`` do not matter."""
    keys = [column.strip().lower() if exact else _key(column) for column in columns]
    sought = [name.strip().lower() if exact else _key(name) for name in known]
    return [keys.index(key) for key in dict.fromkeys(sought) if key in keys]


def title_keys(titles: Collection[str]) -> frozenset[str]:
    """Give what `is_title` compares with: the known names of columns, and some more."""
    return frozenset(_key(name) for name in (*NAME_COLUMNS, *TAGS_COLUMNS, *titles))


def is_title(cell: str, keys: frozenset[str]) -> bool:
    """Whether a cell holds the name of a column."""
    return _key(cell) in keys


def _key(column: str) -> str:
    return re.sub(r"[\s_-]+", "", column).casefold()


def mark_columns(records: Records, apart_from: Collection[int] = ()) -> list[int]:
    """List the columns whose cells all are 0 or 1, true or false, yes or no, or ticks: one column a tag."""
    found = []
    for column in range(len(records.header)):
        cells = {cells[column].strip() for line, cells in records.rows if line not in records.broken} - {""}
        ticks = {cell.casefold() for cell in cells} <= TICKS
        if column not in apart_from and cells and (ticks or all(map(is_mark, cells))):
            found.append(column)
    return found


def count_columns(records: Records, name_at: int, tags_at: int) -> list[int]:
    """List the other columns of counts, where the column of tags holds counts, too: one column a tag.

    A column whose name says that it holds classes or tags holds no counts.
    """
    found = [
        at
        for at, column in enumerate(records.header)
        if at != name_at and not _NO_COUNTS.search(column.casefold()) and _are_counts(records, at)
    ]
    return [at for at in found if at != tags_at] if tags_at in found else []


def _are_counts(records: Records, at: int) -> bool:
    cells = {cells[at].strip() for line, cells in records.rows if line not in records.broken} - {""}
    return "0" in cells and all(re.fullmatch(r"\d{1,3}", cell) for cell in cells)


def describe_marks(records: Records, marks: Sequence[int]) -> str:
    """Say which columns hold marks, and what the first row has there."""
    line, cells = records.rows[0]
    shown = [f"{records.header[column]} {cells[column]!r}" for column in marks]
    return f"one column a tag ({len(marks)}; line {line}: {listed(shown)})"


#: What to do about one column a tag.
WRITE_TAGS = "write the tags of each tile into one column, such as 'forest river', and name it with `data.tags_column`"


def check_marks(records: Records) -> None:
    """Refuse a table that has one column a tag, and no column of tags.

    Raises
    ------
    InputError
        With what was seen, where it is such a table.
    """
    marks = mark_columns(records, known_columns(records.header, NAME_COLUMNS))
    # Two columns are one a tag; one is, too, where the header has nothing else beside the name.
    if len(marks) > 1 or (marks and len(records.header) <= 2):
        raise InputError(f"{records.path} has {describe_marks(records, marks)}; {WRITE_TAGS}")


def check_numbered(records: Records) -> None:
    """Refuse a table with columns such as ``tag1`` and ``tag2``, of which one alone would be read.

    Raises
    ------
    InputError
        Where it is such a table.
    """
    numbered = [name for name in records.header if re.fullmatch(r"(tag|label|class)(s|es)?\d+", _key(name))]
    if numbered:
        raise InputError(f"{records.path} has several columns of tags, such as {listed(numbered)}; {WRITE_TAGS}")
