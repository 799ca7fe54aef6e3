"""Columns of a tag table: finds those of names and of tags, and recognises tables with one column for each tag."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from amazon_ml.data.catalog.records import DELIMITERS, Records
from amazon_ml.data.readers.images import SUFFIXES
from amazon_ml.errors import InputError, listed

#: Names of columns that are recognised without an option, the competition's first; paths come before numbers.
NAME_COLUMNS = (
    "image_name", "image", "filename", "file_name", "file", "image_path", "img_path", "filepath", "file_path", "path",
    "image_file", "img_name", "img", "tile", "tile_name", "tile_path", "patch", "patch_name", "name",
    "image_id", "img_id", "tile_id", "patch_id", "id", "image\\label",
)  # fmt: skip
TAGS_COLUMNS = ("tags", "labels", "tag", "label", "classes")
#: Words for "present" or "absent"; they are no names of tags.
_YES_OR_NO = frozenset(
    ("true", "false", "t", "f", "yes", "no", "y", "n", "on", "off", "present", "absent")
)  # fmt: skip
#: Ticks: the filled cells of a table with one column for each tag.
TICKS = frozenset("x✓✔☑")
#: Parts of names of columns whose numbers are no counts of a tag.
_NO_COUNTS = re.compile(
    r"tag|label|class|categor|type|code|id$|^id|index|fold|split|cluster|region|scene|year|month|day|^[xywh]$|row|col"
)
_ZERO_OR_ONE = re.compile(r"[+-]?[01](\.0*)?")


def is_mark(cell: str) -> bool:
    """Whether a cell holds 0 or 1, true or false, yes or no: "present" or "absent" instead of a name."""
    return cell.casefold() in _YES_OR_NO or bool(_ZERO_OR_ONE.fullmatch(cell))


def find_column(table: Path, columns: Sequence[str], wanted: str | None, known: Sequence[str], option: str) -> int:
    """Find a column by the `wanted` name, or else by the first `known` name that the table has; case is ignored.

    Raises
    ------
    InputError
        If there is no such column, or two of that name.
    """
    found = known_columns(columns, [wanted] if wanted else known, exact=bool(wanted))
    if found:
        same = [column for column in columns if column.lower() == columns[found[0]].lower()]
        if len(same) > 1:
            problem = f"the table has {len(same)} columns named {same[0]!r}"
            raise InputError(problem, file=table, remedy="rename all but the right one")
        return found[0]
    remedy = f"name the right one with `{option}`"
    if len(columns) == 1 and any(mark in columns[0] for mark in (*DELIMITERS, " ")):
        remedy = "save it with commas between its columns"
    elif columns and columns[0].lower().endswith(SUFFIXES):
        remedy = "its first line looks like a row: write a header above it, such as image_name,tags"
    elif wanted is None and "" in columns:  # an option cannot name it
        remedy = f"write {known[0]} above the column without a name, or {remedy}"
    problem = f"the table has no column {wanted or known[0]!r}, only {', '.join(map(repr, columns)) or 'unnamed ones'}"
    raise InputError(problem, file=table, option=option, remedy=remedy)


def known_columns(columns: Sequence[str], known: Sequence[str], *, exact: bool = False) -> list[int]:
    """List the columns whose names are among `known`, in the order of `known`; blanks, ``-`` and ``_`` are ignored."""
    keys = [column.strip().lower() if exact else _key(column) for column in columns]
    sought = [name.strip().lower() if exact else _key(name) for name in known]
    return [keys.index(key) for key in dict.fromkeys(sought) if key in keys]


def title_keys(titles: Collection[str]) -> frozenset[str]:
    """Return the names that `is_title` compares with: the known names of columns, and `titles`."""
    return frozenset(_key(name) for name in (*NAME_COLUMNS, *TAGS_COLUMNS, *titles))


def is_title(cell: str, keys: frozenset[str]) -> bool:
    """Whether a cell holds the name of a column."""
    return _key(cell) in keys


def _key(column: str) -> str:
    return re.sub(r"[\s_-]+", "", column).casefold()


def mark_columns(records: Records, apart_from: Collection[int] = ()) -> list[int]:
    """List the columns whose cells all are 0 or 1, true or false, yes or no, or ticks: one column for each tag."""
    found = []
    for column in range(len(records.header)):
        cells = {cells[column].strip() for line, cells in records.rows if line not in records.broken} - {""}
        ticks = {cell.casefold() for cell in cells} <= TICKS
        if column not in apart_from and cells and (ticks or all(map(is_mark, cells))):
            found.append(column)
    return found


def count_columns(records: Records, name_at: int, tags_at: int) -> list[int]:
    """List the other columns of counts where the column of tags holds counts, too: one column for each tag.

    Columns with a name for classes or tags count as no counts.
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
    """Describe the columns that hold marks, with their values in the first row."""
    line, cells = records.rows[0]
    shown = [f"{records.header[column]} {cells[column]!r}" for column in marks]
    return f"one column for each tag ({len(marks)}; {records.file.at(line)}: {listed(shown)})"


#: Remedy for a table with one column for each tag.
WRITE_TAGS = (
    "if each of these columns is a tag, set `data.tag_columns` all, or list them there; else write the tags of each "
    "tile into one column, such as 'forest river', and name it with `data.tags_column`"
)


def check_marks(records: Records) -> None:
    """Check that a table without a column of tags does not have one column for each tag.

    Raises
    ------
    InputError
        If it has, with these columns.
    """
    marks = mark_columns(records, known_columns(records.header, NAME_COLUMNS))
    # Two columns of marks are enough; one is, too, where the header has no other column beside the name.
    if len(marks) > 1 or (marks and len(records.header) <= 2):
        raise InputError(f"the table has {describe_marks(records, marks)}", file=records.path,
                         option="data.tag_columns", remedy=WRITE_TAGS)  # fmt: skip


def check_numbered(records: Records) -> None:
    """Check that a table has no columns such as ``tag1`` and ``tag2``, of which only one would be read.

    Raises
    ------
    InputError
        If it has.
    """
    numbered = [name for name in records.header if re.fullmatch(r"(tag|label|class)(s|es)?\d+", _key(name))]
    if numbered:
        problem = f"the table has several columns of tags, such as {listed(numbered)}"
        raise InputError(problem, file=records.path, option="data.tags_column", remedy="write the tags of each tile "
                         "into one column, such as 'forest river', and name it with `data.tags_column`")  # fmt: skip
