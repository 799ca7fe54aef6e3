"""Reads tables with one column for each tag: 0 and 1 in each become one cell of tags, as other tables have it."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Literal

from amazon_ml.data.catalog.columns import TAGS_COLUMNS, known_columns
from amazon_ml.data.catalog.faults import Fault
from amazon_ml.data.catalog.letters import spelling
from amazon_ml.data.catalog.records import Records
from amazon_ml.errors import InputError, listed

#: Which columns are tags: all but that of the names, or these.
TagColumns = Literal["all"] | Sequence[str]

_ON = re.compile(r"1(\.0*)?|true|yes", re.IGNORECASE)
_OFF = re.compile(r"0(\.0*)?|false|no", re.IGNORECASE)


def join_tag_columns(
    records: Records, name_at: int, wanted: TagColumns, split_at: int | None = None
) -> tuple[Records, tuple[str, ...]]:
    """Turn one column for each tag into one column of tags.

    1, 1.0, true and yes mean that a tile has the tag; 0, 0.0, false and no that it lacks it. Anything else is a fault.

    Parameters
    ----------
    records
        The table.
    name_at
        Position of the column of names.
    wanted
        ``all``, which passes over columns without a name that count rows or are empty, or the names of the columns.
    split_at
        Position of the column of published splits; None where there is none.

    Returns
    -------
    A table of two columns, names and tags (each cell a JSON list), and the tags in the order of the columns.

    Raises
    ------
    InputError
        If a column is missing, occurs twice, also in another spelling, has no name, or holds something other than tags.
    """
    columns = _columns(records, name_at, wanted, split_at)
    names = [records.header[at] for at in columns]
    if wanted in ("all", ["all"]):
        _check_all_are_tags(records, columns)
        _check_spellings(records, columns)
    rows, faults = [], []
    for line, cells in records.rows:
        values = [cells[at].strip() for at in columns]
        odd = [at for at, value in enumerate(values) if not (_ON.fullmatch(value) or _OFF.fullmatch(value))]
        if odd and line not in records.broken:
            what = f"column {names[odd[0]]!r} holds {values[odd[0]]!r}, not 0 or 1"
            faults.append(Fault("tag_values", records.file, line, what, "write 0 or 1", (cells[name_at].strip(),)))
        tags = [name for name, value in zip(names, values, strict=True) if _ON.fullmatch(value)]
        rows.append((line, [cells[name_at], json.dumps(tags, ensure_ascii=False)]))
    header = [records.header[name_at], "tags"]
    return replace(records, header=header, rows=rows, faults=[*records.faults, *faults]), tuple(names)


def _columns(records: Records, name_at: int, wanted: TagColumns, split_at: int | None) -> list[int]:
    header, path = records.header, records.path
    if wanted in ("all", ["all"]):
        found = [at for at, name in enumerate(header) if name and at not in (name_at, split_at)]
        _check_nameless(records, [at for at, name in enumerate(header) if not name and at not in (name_at, split_at)])
        if not found:
            raise InputError("the table has no column beside that of the names", file=path, option="data.tag_columns")
    else:
        found = [_find(records, name) for name in wanted]
    named = [header[at] for at in found]
    twice = sorted({name for name in named if header.count(name) > 1 or named.count(name) > 1})
    if twice:
        raise records.header_error(f"the column {twice[0]!r} occurs twice", option="data.tag_columns",
                                   remedy="rename or remove one of them")  # fmt: skip
    if name_at in found:
        raise InputError(f"the column {header[name_at]!r} holds the names of the tiles", file=path,
                         option="data.tag_columns", remedy="list the columns of tags only")  # fmt: skip
    return found


def _check_nameless(records: Records, columns: Sequence[int]) -> None:
    """Check that no column without a name holds a tag; one that counts rows has another number in each."""
    whole = [(line, cells) for line, cells in records.rows if line not in records.broken]
    for at in columns:
        values = [cells[at].strip() for _, cells in whole]
        if len(set(values)) < len(values) and all(map(_is_value, values)):
            raise records.header_error(
                f"column {at + 1} has no name, and holds {listed(sorted(set(values)))} as a column of a tag does",
                option="data.tag_columns",
                remedy="write the name of the tag into the header, or list the columns of tags with "
                "`data.tag_columns`",
            )  # fmt: skip


def _check_spellings(records: Records, columns: Sequence[int]) -> None:
    """Check that no two columns are one tag in two spellings; a list of columns may say that they are two."""
    forms: dict[str, str] = {}
    for at in columns:
        name = records.header[at]
        other = forms.setdefault(spelling(name), name)
        if other != name:
            raise records.header_error(
                f"the columns {other!r} and {name!r} are one tag in two spellings", option="data.tag_columns",
                remedy="join them, or list all columns of tags with `data.tag_columns` if they are two tags",
            )  # fmt: skip


def _find(records: Records, name: str) -> int:
    """Find a column by its name, or, where there is none, by the name in another case."""
    header = records.header
    if name.strip() in header:
        return header.index(name.strip())
    folded = [column.casefold() for column in header]
    if folded.count(name.strip().casefold()) == 1:
        return folded.index(name.strip().casefold())
    near, texts = get_close_matches(name, header, n=1), known_columns(header, TAGS_COLUMNS)
    remedy = f"did you mean {near[0]!r}?" if near else f"it has {listed(list(map(repr, header)))}"
    if texts and not near:
        remedy = f"if {header[texts[0]]!r} holds all tags of a tile, name it with `data.tags_column` instead"
    raise records.header_error(f"the table has no column {name!r}", option="data.tag_columns", remedy=remedy)


def _check_all_are_tags(records: Records, columns: Sequence[int]) -> None:
    """Check that no column holds other things in most of its rows, so that the column is none of a tag."""
    whole = [(line, cells) for line, cells in records.rows if line not in records.broken]
    for at in columns:
        odd = [(line, cells[at].strip()) for line, cells in whole if not _is_value(cells[at])]
        if 2 * len(odd) > len(whole):
            line, value = odd[0]
            problem = f"column {records.header[at]!r} is no column of a tag: it holds {value!r}"
            remedy = "list the columns of tags with `data.tag_columns`"
            if at in known_columns(records.header, TAGS_COLUMNS):
                remedy += "; if this one holds all tags of a tile, name it with `data.tags_column` instead"
            raise records.file.error(problem, line, option="data.tag_columns", remedy=remedy)


def _is_value(cell: str) -> bool:
    return bool(_ON.fullmatch(cell.strip()) or _OFF.fullmatch(cell.strip()))
