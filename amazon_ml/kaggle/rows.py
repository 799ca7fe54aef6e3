"""Read the rows of a submission file, and list the faults of rows that cannot be read."""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.records import split_records
from amazon_ml.data.checks.findings import Case
from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import check_regular

HEADER = ["image_name", "tags"]

#: Replaces bytes that are not UTF-8.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Submission:
    """The content of a submission file.

    Parameters
    ----------
    path
        The file.
    rows
        Table of ``image_name``, ``tags`` and ``line`` (the line in the file, the header being 1);
        ``tags`` is None in a row with another number of columns.
    cases
        Faults of bytes, lines and columns.
    sha256
        Hash of the bytes that were read.
    """

    path: Path
    rows: pd.DataFrame
    cases: tuple[Case, ...]
    sha256: str


def read_submission(path: Path) -> Submission:
    """Read a submission as far as it can be read.

    Raises
    ------
    InputError
        Where there is no such file.
    """
    check_regular(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", file=path) from None
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="replace")
    records, stray = split_records(text)
    header = records[0][1] if records else []
    name_at, tags_at = (header.index(name) for name in HEADER) if set(HEADER) <= set(header) else (0, 1)
    width = max(len(header), len(HEADER))
    rows = [
        (fields[name_at], fields[tags_at] if len(fields) == width else None, line)
        for line, fields in records[1:]
        if len(fields) > name_at
    ]
    cases = [
        *_byte_cases(content, text),
        *(Case("unreadable", f"line {line}: {what}", line=line) for line, what in stray),
        *_line_cases(content, records, width),
    ]
    table = pd.DataFrame(rows, columns=[*HEADER, "line"], dtype=object)
    return Submission(path, table, tuple(cases), hashlib.sha256(content).hexdigest())


def _byte_cases(content: bytes, text: str) -> Iterator[Case]:
    if content.startswith(codecs.BOM_UTF8):
        yield Case("unreadable", "line 1: a byte order mark, which becomes part of the header", line=1)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        for line in _lines_with(_REPLACEMENT, text):
            yield Case("unreadable", f"line {line}: bytes that are not UTF-8", line=line)
    for line in _lines_with("\0", text):
        yield Case("unreadable", f"line {line}: a NUL byte", line=line)


def _lines_with(mark: str, text: str) -> list[int]:
    if mark not in text:
        return []
    return [number for number, line in enumerate(text.split("\n"), start=1) if mark in line]


def _line_cases(content: bytes, records: list[tuple[int, list[str]]], width: int) -> Iterator[Case]:
    header = records[0][1] if records else []
    if header != HEADER:
        yield Case("header", f"line 1: {','.join(header)!r}", line=1)
    if b"\r" in content:
        yield Case("form", "line ends other than a single line feed")
    for line, fields in records[1:]:
        if not fields:
            yield Case("form", f"line {line}: blank", line=line)
        elif len(fields) != width:
            columns = "1 column" if len(fields) == 1 else f"{len(fields)} columns"
            yield Case("columns", f"line {line}: {columns}, not {width}", line=line)
