"""Finds a column of published splits that no option names."""

from collections.abc import Sequence

from amazon_ml.data.catalog.records import Records
from amazon_ml.data.config import SPLITS, TableConfig

#: Titles of such a column.
_TITLES = ("split", "subset", "set")


def unused_splits(tables: Sequence[Records], config: TableConfig) -> str:
    """Give the title of a column of published splits that the options do not name; ``""`` where there is none.

    All of the tables have the column. All of its cells are words for splits, and of two splits at least: a table for
    each split has one word in all of its cells.
    """
    if config.split_column is not None or config.splits is not None:
        return ""
    named = {title.lower() for title in (config.name_column, config.tags_column) if title}
    for title in tables[0].header:
        if title.strip().lower() not in _TITLES or title.lower() in named:
            continue
        if any(title not in records.header for records in tables):
            continue
        words = {word for records in tables for word in _words(records, records.header.index(title))}
        if words <= SPLITS.keys() and len({SPLITS[word] for word in words}) > 1:
            return title
    return ""


def _words(records: Records, at: int) -> set[str]:
    return {cells[at].strip().lower() for line, cells in records.rows if line not in records.broken}
