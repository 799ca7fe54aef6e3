"""Finds a column of published splits that no option names."""

from amazon_ml.data.catalog.records import Records
from amazon_ml.data.config import SPLITS, TableConfig

#: Titles of such a column.
_TITLES = ("split", "subset", "set")


def unused_splits(records: Records, config: TableConfig) -> str:
    """Give the title of a column of published splits that the options do not name; ``""`` where there is none.

    All cells of the column are words for splits, and of two splits at least.
    """
    if config.split_column is not None or config.splits is not None:
        return ""
    named = {title.lower() for title in (config.name_column, config.tags_column) if title}
    for at, title in enumerate(records.header):
        if title.strip().lower() in _TITLES and title.lower() not in named:
            words = {cells[at].strip().lower() for line, cells in records.rows if line not in records.broken}
            if words <= SPLITS.keys() and len({SPLITS[word] for word in words}) > 1:
                return title
    return ""
