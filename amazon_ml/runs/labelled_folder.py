"""A folder of labelled tiles, as calls name it."""

from dataclasses import dataclass
from pathlib import Path

from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.config import TABLE, Split, TableConfig
from amazon_ml.errors import InputError


@dataclass(frozen=True)
class LabelledFolder:
    """A folder of labelled tiles.

    Parameters
    ----------
    root
        The folder.
    table
        Options for finding and reading the table of tags; see `amazon_ml.runs.evaluate.evaluate`.
    split
        Published split of the tiles. None takes the test split where there is one, else all tiles.
    """

    root: Path
    table: TableConfig = TABLE
    split: Split | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.table, TableConfig):
            raise InputError(f"`table` is {self.table!r}, not options of a table", option="table",
                             remedy="make them with amazon_ml.data.config.TableConfig")  # fmt: skip

    def tables(self) -> list[Path]:
        """List the tables that are read: those of tags, and the list `exclude`."""
        exclude = [] if self.table.exclude is None else [Path(self.table.exclude)]
        return [*find_layout(self.root, self.table).table_paths, *exclude]
