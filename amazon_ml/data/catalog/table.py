"""Tables of names and tags: reading a CSV, finding its columns, deciding the tag list."""

import difflib
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.data.images import SUFFIXES
from amazon_ml.errors import InputError, listed
from amazon_ml.labels import PLANET, TagSet, check_tags, declared, split_tags
from amazon_ml.regular import check_regular

log = logging.getLogger(__name__)

PLANET_TABLES = ("train_v2.csv", "train_classes.csv")
#: Column names that are understood without being told, the competition's first.
NAME_COLUMNS = ("image_name", "image", "filename", "file_name", "file", "name", "image_id", "id")
TAGS_COLUMNS = ("tags", "labels", "tag", "label", "classes")


def read_table(
    table: Path, name_column: str | None = None, tags_column: str | None = None, leave_out: Path | None = None
) -> pd.DataFrame:
    """Read a table of names and tags; names lose an image ending.

    Rows with a name that stands in the CSV `leave_out` are passed over.

    Returns
    -------
    Table of ``image_name``, ``tags`` and ``line`` (the line in the file, the header being 1).
    """
    raw, lines = read_csv(table)
    columns = [str(column) for column in raw.columns]
    tags = find_column(table, columns, tags_column, TAGS_COLUMNS, "data.tags_column")
    names = _read_names(table, raw, lines, name_column)
    rows = pd.DataFrame({"image_name": names, "tags": raw[tags], "line": lines})
    if leave_out is not None:
        rows = _without(rows, table, leave_out)
    _refuse_repeated(table, rows["image_name"], rows["line"])
    return rows


def read_names(table: Path) -> list[str]:
    """Read the names of a table, in its order, whatever other columns it has."""
    try:
        raw, lines = read_csv(table)
        names = _read_names(table, raw, lines)
        _refuse_repeated(table, names, lines)
    except InputError as error:
        raise InputError(f"cannot take names: {error}") from None
    return names.tolist()


def choose_tags(
    table: Path, tag_strings: pd.Series, tags: Sequence[str] | None = None, separator: str | None = None
) -> TagSet:
    """Decide the tag list of a table, as `read_catalog` tells."""
    if tags is None and table.name not in PLANET_TABLES:
        return TagSet(_distinct_tags(table, tag_strings, separator))
    return PLANET if tags is None else declared(tags)


def find_column(table: Path, columns: list[str], wanted: str | None, known: Sequence[str], option: str) -> str:
    """Find a column by the name that is wanted, or else by the first of the known ones; case does not matter."""
    by_lower = {column.strip().lower(): column for column in columns}
    for candidate in [wanted.lower()] if wanted else known:
        if candidate in by_lower:
            return by_lower[candidate]
    remedy = f"Name the right one with --{option}"
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        remedy = "Save it with commas between its columns"
    raise InputError(
        f"{table} has no column {wanted or known[0]!r}; it has {', '.join(map(repr, columns)) or 'none'}. {remedy}"
    )


def without_suffix(name: str) -> str:
    """Drop an image ending from a name."""
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name


def read_csv(table: Path, may_be_empty: bool = False) -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Read a CSV as text, with the line of each row in the file, the header being 1."""
    check_regular(table)
    try:
        with warnings.catch_warnings():
            # Where rows are longer than the header, it would only warn, and drop what is behind.
            warnings.simplefilter("error", category=pd.errors.ParserWarning)
            raw = pd.read_csv(
                table, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False, skip_blank_lines=False
            )
    except FileNotFoundError:
        raise InputError(f"there is no table {table}") from None
    except pd.errors.ParserWarning:
        raise InputError(f"{table} has rows with more columns than its header; put quotes around tags") from None
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{table} is not a CSV that can be read: {str(error).strip()}") from None
    lines = pd.Series(np.arange(len(raw)) + 2)
    filled = (raw != "").any(axis=1)
    if not filled.any() and not may_be_empty:
        raise InputError(f"{table} has a header but no rows")
    return raw[filled].reset_index(drop=True), lines[filled].reset_index(drop=True)


def _read_names(
    table: Path, raw: pd.DataFrame, lines: "pd.Series[int]", name_column: str | None = None
) -> "pd.Series[str]":
    column = find_column(table, [str(name) for name in raw.columns], name_column, NAME_COLUMNS, "data.name_column")
    names = raw[column].str.strip().map(without_suffix)
    nameless = lines[names == ""]
    if len(nameless):
        raise InputError(f"{table} line {nameless.iloc[0]}: the name in column {column!r} is empty")
    return names


def _refuse_repeated(table: Path, names: "pd.Series[str]", lines: "pd.Series[int]") -> None:
    again = names[names.duplicated(keep=False)]
    if len(again):
        first = again.iloc[0]
        where = ", ".join(map(str, lines[names == first]))
        raise InputError(f"{table}: {again.nunique()} names stand more than once, such as {first} on lines {where}")


def _without(rows: pd.DataFrame, table: Path, leave_out: Path) -> pd.DataFrame:
    try:
        names = set(_read_names(leave_out, *read_csv(leave_out, may_be_empty=True)))  # a name may have two reasons
    except InputError as error:
        raise InputError(f"cannot take names: {error}") from None
    unknown = names.difference(rows["image_name"])
    if unknown and unknown == names:
        raise InputError(f"{leave_out} names no tile of {table}; name the right list with --data.leave_out, or none")
    if unknown:
        log.warning("%s names %d tiles that %s lacks: %s", leave_out, len(unknown), table, listed(sorted(unknown)))
    kept = rows[~rows["image_name"].isin(names)].reset_index(drop=True)
    if kept.empty:
        raise InputError(f"{leave_out} leaves nothing of {table}")
    log.info("%s: %d rows are left out, as %s says", table, len(rows) - len(kept), leave_out)
    return kept


def _distinct_tags(table: Path, tag_strings: pd.Series, separator: str | None) -> tuple[str, ...]:
    counts = Counter(tag for tags in tag_strings for tag in set(split_tags(tags, separator)))
    if not counts:
        raise InputError(f"{table} names no tag at all")
    try:
        check_tags(counts)  # before each is compared with each
    except InputError as error:
        raise InputError(f"{table}: {error}") from None
    joined = [tag for tag in counts if any(mark in tag for mark in ",;|")]
    if joined:
        log.warning("%s: %r is read as one tag; if it is several, set tag_separator", table, joined[0])
    for tag, count in counts.items():
        near = [other for other in difflib.get_close_matches(tag, counts, n=3, cutoff=0.85) if other != tag]
        if near and count * 20 < counts[near[0]]:
            log.warning(
                "%s: %r on %d tiles looks like %r on %d; if it is a slip, mend the table",
                table, tag, count, near[0], counts[near[0]],
            )  # fmt: skip
    return tuple(sorted(counts))
