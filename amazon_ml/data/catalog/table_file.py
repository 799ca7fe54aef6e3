"""A table of tags as messages name it: its file, and what the numbers of its rows count."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amazon_ml.errors import InputError

_SEVERAL = {"entry": "entries"}


@dataclass(frozen=True, eq=False)
class TableFile:
    """The file of a table.

    Parameters
    ----------
    path
        The file; the first one where each row is a file of its own.
    unit
        What the number of a row counts, from 1: lines of the file; rows of Parquet; objects or entries of JSON, where
        several share a line.
    tiles
        Where each row is a file of its own: these files, in the order of the rows.
    """

    path: Path
    unit: str = "line"
    tiles: Sequence[Path] = ()

    @property
    def name(self) -> str:
        """Name of the whole table: its path, or the first file and the number of others."""
        more = len(self.tiles) - 1
        return f"{self.path} and {more:,} more files" if more > 0 else str(self.path)

    def at(self, number: int) -> str:
        """Name a row within the table: ``line 3``, or the file that is this row."""
        return str(self.tiles[number - 1]) if self.tiles else f"{self.unit} {number}"

    def at_all(self, numbers: Sequence[int]) -> str:
        """Name rows within the table: ``line 3``, ``lines 3, 4``."""
        if self.tiles:
            return ", ".join(map(self.at, numbers))
        several = _SEVERAL.get(self.unit, f"{self.unit}s")
        return f"{several if len(numbers) > 1 else self.unit} {', '.join(map(str, numbers))}"

    def place(self, number: int) -> str:
        """Name a row among several tables: ``labels.csv, line 3``, or the file that is this row."""
        return self.at(number) if self.tiles else f"{self.path.name}, {self.at(number)}"

    def error(self, problem: str, number: int | None = None, *, option: str = "", remedy: str = "") -> InputError:
        """Make the exception for a row, or for the whole table without a number."""
        if number is not None and self.tiles:
            return InputError(problem, file=self.tiles[number - 1], line=1, option=option, remedy=remedy)
        return InputError(problem, file=self.path, line=number, unit=self.unit, option=option, remedy=remedy)
