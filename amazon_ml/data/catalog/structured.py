"""Reads tables that are no CSV, Parquet, JSON and JSON Lines, as records of text like those of a CSV.

A list of tags becomes the text of a JSON list, which the reader of cells understands.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.columns import NAME_COLUMNS, known_columns
from amazon_ml.data.catalog.records import Records
from amazon_ml.data.catalog.table_file import TableFile
from amazon_ml.data.catalog.text import are_json_lines
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import no_json
from amazon_ml.runtime.regular_files import cannot_read, check_regular

#: Columns of a JSON object from names to tags.
_NAME, _TAGS = "image_name", "tags"
#: Column of a Parquet file with an index of pandas that has no name.
_INDEX = "__index_level_0__"
#: What stands before an entry of a JSON list.
_ENTRY = re.compile(r"[\s,]*")
#: Most letters of a value in a message.
_LONGEST = 80
#: Threads that read small files: reading releases the interpreter lock.
_THREADS = 8


@dataclass
class _Shares:
    """The least share of a tag that counts, and whether a table gave any share."""

    least: float
    seen: bool = False


def is_structured(path: Path) -> bool:
    """Whether a table is Parquet, JSON or JSON Lines, by its ending."""
    return path.suffix.lower() in _READERS


def read_structured(path: Path, min_share: float = 0.0, name_column: str | None = None) -> Records:
    """Read a table of Parquet, JSON or JSON Lines.

    JSON is an object from each name to its tags, or a list of objects with the same keys; JSON Lines has such an object
    on each line. Tags are text, a list of text, or a list of pairs of a tag and its share of the tile.

    Parameters
    ----------
    path
        The file.
    min_share
        Least share of a tag that counts; a share of 0 never does.
    name_column
        Column of the names, where an option names it.

    Returns
    -------
    Records, whose lines are those of the file for JSON, or the numbers of its objects where several share a line, and
    the numbers of rows for Parquet. All are counted from 1.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else.
    """
    check_regular(path)
    try:
        records = _READERS[path.suffix.lower()](path, shares := _Shares(min_share), name_column)
        return replace(records, has_shares=shares.seen)
    except FileNotFoundError:
        raise InputError("there is no such table", file=path) from None
    except OSError as error:
        raise cannot_read(path, error) from None


def describes_one_tile(path: Path, tags_key: str) -> bool:
    """Whether a file is JSON of one tile: an object with a list of tags under a key, such as ``labels``."""
    if path.suffix.lower() != ".json":
        return False
    with suppress(InputError, OSError, ValueError, RecursionError):
        check_regular(path)
        content = json.loads(path.read_bytes())
        return isinstance(content, dict) and isinstance(content.get(tags_key), list)
    return False


def read_tile_files(
    paths: Sequence[Path], tags_key: str, min_share: float = 0.0, *, name_key: str | None = None,
    split_key: str | None = None,
) -> Records:  # fmt: skip
    """Read a JSON for each tile, whose name is that of its folder, as BigEarthNet 1 has them.

    Parameters
    ----------
    paths
        The files.
    tags_key
        Key of the list of tags in each.
    min_share
        Least share of a tag that counts.
    name_key
        Key of the name of the tile; None takes the name of the folder.
    split_key
        Key of the published split of the tile; None where the files say none.

    Returns
    -------
    Records of the name, the tags and, with `split_key`, the split; their lines are the numbers of the files, from 1.

    Raises
    ------
    InputError
        If a file is something else, or lacks a key.
    """
    shares = _Shares(min_share)

    def cells(path: Path) -> list[str]:
        check_regular(path)
        try:
            content = json.loads(path.read_bytes())
        except OSError as error:
            raise cannot_read(path, error) from None
        except (ValueError, RecursionError) as error:
            raise no_json(path, error) from None
        if not isinstance(content, dict) or not isinstance(content.get(tags_key), list):
            raise InputError(f"the JSON has no list {tags_key!r}", file=path, option="data.tags_column")
        name = path.parent.name if name_key is None else _text_of(content, name_key, path, "data.name_column")
        split = [] if split_key is None else [_text_of(content, split_key, path, "data.split_column")]
        return [name, _cell(content[tags_key], TableFile(path), 1, shares), *split]

    with ThreadPoolExecutor(_THREADS) as pool:
        rows = list(enumerate(pool.map(cells, paths, chunksize=64), start=1))
    header = [name_key or _NAME, tags_key, *([split_key] if split_key else [])]
    if len({title.lower() for title in header}) < len(header):
        raise InputError(f"one key cannot hold two things: {', '.join(header)}", file=paths[0],
                         option="data.split_column" if split_key else "data.name_column",
                         remedy="name another key for each of name, tags and split")  # fmt: skip
    file = TableFile(paths[0], tiles=paths)
    return Records(file, header, 0, rows, [], frozenset(), has_shares=shares.seen)


def _text_of(content: Mapping[str, Any], key: str, path: Path, option: str) -> str:
    """Give the text under a key of the JSON of a tile."""
    value = content.get(key)
    if not isinstance(value, str):
        found = f"holds {_shown(value)} under {key!r}, not a text" if key in content else f"has no key {key!r}"
        raise InputError(f"the JSON {found}", file=path, option=option, remedy="correct the file, or leave the option "
                         "out" if key in content else f"its keys are {', '.join(content)}")  # fmt: skip
    return value


def _read_parquet(path: Path, shares: _Shares, name_column: str | None) -> Records:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        table = pq.read_table(path)
        frame = table.slice(0, 0).to_pandas()
        header = [str(name) for name in frame]  # without the index of pandas
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"this is not a Parquet file that can be read: {error}", file=path) from None
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError(f"two columns have one name: {', '.join(header)}", file=path)
    file = TableFile(path, "row")
    stored = set(table.column_names)  # a range has a name, and no column
    header = [*(name for name in _names_in_index(frame.index, header, name_column) if name in stored), *header]
    columns = [
        _plain_texts(column := table.column(name), file, shares) or _column(column.to_pandas(), file, shares)
        for name in header
    ]
    rows = [(row, list(cells)) for row, cells in enumerate(zip(*columns, strict=True), start=1)]
    return _records(file, ["" if name == _INDEX else name for name in header], 0, rows)


def _names_in_index(index: pd.Index, header: Sequence[str], name_column: str | None) -> list[str]:
    """Give the column with the index of pandas where it holds the names of the tiles, since no column does."""
    if index.names == [None]:  # without a name, it is a column where it is no count of the rows
        found = not isinstance(index, pd.RangeIndex) and name_column is None
        return [_INDEX] if found and not known_columns(header, NAME_COLUMNS) else []
    named = [str(name) for name in index.names if name is not None]
    if name_column is None:
        return named[:1] if len(named) == 1 and not known_columns(header, NAME_COLUMNS) else []
    wanted = name_column.strip().lower()
    lacking = wanted not in (name.strip().lower() for name in header)
    return [name for name in named if lacking and name.strip().lower() == wanted]


def _plain_texts(column: Any, file: TableFile, shares: _Shares) -> list[str] | None:
    """Write a column of text, or of lists of text, without a gap; None for another column."""
    import pyarrow as pa

    whole, lists = column.combine_chunks(), pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    values = whole.flatten() if lists else whole
    if not len(whole):
        return []
    if whole.null_count or values.null_count or not (pa.types.is_string(values.type) or
                                                     pa.types.is_large_string(values.type)):  # fmt: skip
        return None
    texts: list[str] = values.to_numpy(zero_copy_only=False).tolist()
    if not lists:
        return texts
    ends = (whole.offsets.to_numpy() - whole.offsets[0].as_py()).tolist()
    found = [tuple(texts[start:end]) for start, end in pairwise(ends)]
    written = {tags: _cell(tags, file, 1, shares) for tags in set(found)}  # sets of tags repeat
    return [written[tags] for tags in found]


def _column(values: pd.Series, file: TableFile, shares: _Shares) -> list[str]:
    """Write a column as text; lists of tags repeat, and each is written once."""
    known: dict[tuple[str, ...], str] = {}
    cells = []
    for row, value in enumerate(values.tolist(), start=1):
        if isinstance(value, np.ndarray) and value.dtype == object and all(type(one) is str for one in value):
            key = tuple(value)
            if key not in known:
                known[key] = _cell(value, file, row, shares)
            cells.append(known[key])
        else:
            cells.append(value if type(value) is str else _cell(value, file, row, shares))
    return cells


def _read_json(path: Path, shares: _Shares, _: str | None) -> Records:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and are_json_lines(text):
            raise InputError("the file is JSON Lines, an object on each line", file=path, option="data.labels_file",
                             remedy="rename it to end in .jsonl") from None  # fmt: skip
        raise no_json(path, error) from None
    if isinstance(content, _Pairs):
        file, lines = _numbered(path, _lines(text, [name for name, _ in content.pairs]), "entry")
        rows = [
            (line, [name, _cell(_plain(value), file, line, shares)])
            for line, (name, value) in zip(lines, content.pairs, strict=True)
        ]
        return _records(file, [_NAME, _TAGS], int(file.unit == "line"), rows)
    if isinstance(content, list) and content and all(isinstance(one, _Pairs) for one in content):
        return _objects(*_numbered(path, _starts(text), "object"), content, shares)
    raise InputError("the JSON is neither an object from names to tags nor a list of objects", file=path,
                     option="data.labels_file", remedy="write one of these, or name another table with "
                     "`data.labels_file`")  # fmt: skip


def _read_json_lines(path: Path, shares: _Shares, _: str | None) -> Records:
    lines, content = [], []
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise no_json(path, error) from None
    for number, line in enumerate(text.split("\n"), start=1):  # other line ends may stand within a text
        if not line.strip():
            continue
        try:
            one = json.loads(line, object_pairs_hook=_Pairs)
            problem = "" if isinstance(one, _Pairs) else f"holds {_shown(one)}, which is no object"
        except (ValueError, RecursionError) as error:
            problem = f"is not JSON: {getattr(error, 'msg', 'it is nested too deep')}"
        if problem:
            raise InputError(f"the line {problem}", file=path, line=number, option="data.labels_file",
                             remedy="write one object on each line; a file that is one JSON as a whole ends in "
                             ".json")  # fmt: skip
        lines.append(number)
        content.append(one)
    file = TableFile(path)
    return _objects(file, lines, content, shares) if content else _records(file, [], 0, [])


def _objects(file: TableFile, lines: Sequence[int], content: Sequence["_Pairs"], shares: _Shares) -> Records:
    header, rows = [name for name, _ in content[0].pairs], []
    keys = frozenset(header)
    for number, (line, one) in enumerate(zip(lines, content, strict=True), start=1):
        values, which = dict(one.pairs), "it" if file.unit == "object" else f"object {number}"
        if len(values) < len(one.pairs):
            names = [name for name, _ in one.pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise file.error(f"{which} has the key {twice!r} twice", line, remedy="keep one of them")
        if apart := keys.symmetric_difference(values):
            key = sorted(apart)[0]
            what, other = ("lacks", "has") if key in keys else ("has", "lacks")
            remedy = 'write the same keys into each object, "" where one has no value'
            raise file.error(f"{which} {what} the key {key!r}, which the first {other}", line, remedy=remedy)
        rows.append((line, [_cell(_plain(values[name]), file, line, shares) for name in header]))
    return _records(file, header, lines[0], rows)


def _numbered(path: Path, lines: list[int], unit: str) -> tuple[TableFile, list[int]]:
    """Give the lines of the objects; where two share one, as in compact JSON, a line says little: their numbers."""
    if len(set(lines)) == len(lines):
        return TableFile(path), lines
    return TableFile(path, unit), list(range(1, len(lines) + 1))


def _starts(text: str) -> list[int]:
    """Find the line on which each entry of a list begins."""
    decoder, place, counted, line, lines = json.JSONDecoder(), text.index("[") + 1, 0, 1, []
    while (found := _ENTRY.match(text, place)) and text[found.end()] != "]":
        start = found.end()
        line, counted = line + text.count("\n", counted, start), start
        lines.append(line)
        place = decoder.raw_decode(text, start)[1]
    return lines


_READERS: Mapping[str, Callable[[Path, _Shares, str | None], Records]] = {
    ".parquet": _read_parquet,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
}


class _Pairs:
    """A JSON object with all its keys: a dictionary would drop those that are repeated."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _plain(value: Any) -> Any:
    """Return a JSON value; an object becomes its pairs, such as tags with their shares."""
    return [[name, inner] for name, inner in value.pairs] if isinstance(value, _Pairs) else value


def _shown(value: Any) -> str:
    """Write a value for a message as JSON has it, cut where it is long."""
    text = json.dumps(_bare(value), ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _bare(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {name: _bare(inner) for name, inner in value.pairs}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return [_bare(one) for one in value] if isinstance(value, (list, tuple)) else value


def _records(file: TableFile, header: list[str], header_line: int, rows: list[tuple[int, list[str]]]) -> Records:
    if not rows:
        raise file.error("the table has no rows")
    if len(set(header)) < len(header):
        raise file.error(f"two columns have one name: {', '.join(header)}")
    return Records(file, [name.strip() for name in header], header_line, rows, [], frozenset())


def _cell(value: Any, file: TableFile, line: int, shares: _Shares) -> str:
    """Write a value as the text of a cell."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return json.dumps([tag for one in value for tag in _tags(one, file, line, shares)], ensure_ascii=False)
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (str, int, float, np.integer, np.floating)):
        return str(value)
    raise file.error(f"a cell holds {type(value).__name__}, not text, a number or a list", line)


def _tags(one: Any, file: TableFile, line: int, shares: _Shares) -> list[str]:
    """Return the tag of an entry of a list: a text, or a pair of a text and a share that is large enough."""
    if isinstance(one, str):
        return [one]
    if isinstance(one, (list, tuple, np.ndarray)) and len(one) == 2 and isinstance(one[0], str):
        share, shares.seen = one[1], True
        if isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1:
            return [one[0]] if share > 0 and share >= shares.least else []
        raise file.error(f"the share of {one[0]!r} is {_shown(share)}, not a number in 0..1", line)
    raise file.error(f"a list of tags holds {_shown(one)}, neither a tag nor a pair of a tag and its share", line)


def _lines(text: str, names: Sequence[str]) -> list[int]:
    """Find the line of each name of an object, in their order."""
    lines, line, place, escaped = [], 1, 0, text.isascii()
    for name in names:
        key = json.dumps(name, ensure_ascii=escaped)
        at = text.find(key, place)
        if at >= 0:
            line, place = line + text.count("\n", place, at), at + len(key)  # a key holds no line break
        lines.append(line)
    return lines
