"""Tag tables in and above a folder of tiles, which no output may replace."""

import csv
import os
from contextlib import suppress
from pathlib import Path

from amazon_ml.data.catalog.columns import NAME_COLUMNS, TAGS_COLUMNS, known_columns
from amazon_ml.data.catalog.label_tables import named_tables
from amazon_ml.data.catalog.layout import SAMPLES, find_layout, known_tables
from amazon_ml.data.catalog.records import DELIMITERS
from amazon_ml.data.catalog.table import PLANET_TABLES
from amazon_ml.data.catalog.tiles import MAPPING
from amazon_ml.data.config import TABLE, TableConfig
from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import open_regular

#: Number of folders above the tiles that may hold a tag table: ``SET/images/train`` and ``SET/labels.csv``.
_ABOVE = 2
#: Bytes of a table that are read for its header and its first row.
_HEAD = 2**16


def tables_around(tiles: Path) -> list[Path]:
    """List tag tables, sample submissions and the mapping of names in a folder, and in the folders above it."""
    if not tiles.is_dir():
        return []
    folders = [tiles.absolute(), *tiles.absolute().parents[:_ABOVE]]
    if (real := tiles.resolve()) != tiles.absolute():
        folders += [real, *real.parents[:_ABOVE]]
    beside = [path for folder in folders for path in _csvs(folder) if _is_known(path) or _has_tags(path)]
    return [*known_tables(tiles), *beside]


def tables_of(root: Path, config: TableConfig = TABLE) -> list[Path]:
    """List the tables that a run was trained from, if they still exist."""
    found: list[Path] = []
    with suppress(InputError):
        found += [] if config.labels_file is None else [table.path for table in named_tables(config.labels_file, root)]
    with suppress(InputError):  # the folder may be gone, or hold other tables now
        found += [*find_layout(root, config).table_paths, *known_tables(root)]
    return found


def _csvs(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.name.lower().endswith((".csv", ".tsv", ".txt"))]
    except OSError:
        return []


def _is_known(path: Path) -> bool:
    return path.name in (*PLANET_TABLES, *SAMPLES, MAPPING)


def _has_tags(path: Path) -> bool:
    """Whether a table has columns of names and tags, without the columns of probabilities of a prediction."""
    rows = _first_rows(path)
    if not rows:
        return False
    header = rows[0]
    names, tags = known_columns(header, NAME_COLUMNS), known_columns(header, TAGS_COLUMNS)
    if not names or not tags:
        return False
    predicted = header[:2] == ["image_name", "tags"] and len(header) > 2
    return not (predicted and all(_is_share(cell) for row in rows[1:] for cell in row[2:]))


def _first_rows(path: Path) -> list[list[str]]:
    """Read the header and the first row of a table; an empty list where the file cannot be read."""
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            lines = stream.read(_HEAD).decode("utf-8-sig", errors="replace").splitlines()[:2]
    except (OSError, InputError):
        return []
    delimiter = max(DELIMITERS, key=lines[0].count) if lines else ","
    try:
        return list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return []


def _is_share(cell: str) -> bool:
    try:
        return 0 <= float(cell) <= 1
    except ValueError:
        return False
