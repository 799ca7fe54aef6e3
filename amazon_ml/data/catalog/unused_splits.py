"""Finds a column of published splits that no option names."""

from collections.abc import Mapping, Sequence

from amazon_ml.data.catalog.records import Records
from amazon_ml.data.config import SPLITS, Split, TableConfig

#: Titles of such a column.
_TITLES = ("split", "subset", "set")


def split_columns(records: Records, config: TableConfig) -> dict[str, frozenset[Split]]:
    """Give the splits in each column of a table that the options do not name, and that holds words for splits alone."""
    if config.split_column is not None or config.splits is not None:
        return {}
    named = {title.lower() for title in (config.name_column, config.tags_column) if title}
    found = {}
    for at, title in enumerate(records.header):
        if title.strip().lower() in _TITLES and title.lower() not in named:
            words = {cells[at].strip().lower() for line, cells in records.rows if line not in records.broken}
            if words <= SPLITS.keys():
                found[title] = frozenset(SPLITS[word] for word in words)
    return found


def shared_splits(tables: Sequence[Mapping[str, frozenset[Split]]]) -> dict[str, frozenset[Split]]:
    """Join what `split_columns` gives of several tables: all of them have the column."""
    titles = (title for title in tables[0] if all(title in table for table in tables))
    return {title: frozenset().union(*(table[title] for table in tables)) for title in titles}


def splits_in(columns: Mapping[str, frozenset[Split]]) -> str:
    """Give the title of a column with two splits at least; ``""`` where there is none.

    A table for each split has one word in all of its cells.
    """
    return next((title for title, splits in columns.items() if len(splits) > 1), "")
