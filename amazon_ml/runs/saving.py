"""Tables of predictions on their way to a file: harmless in a spreadsheet, and not lost with the disk they go to."""

import tempfile
from pathlib import Path

import pandas as pd

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.files import write_table

#: What a cell begins with that a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def save_table(out: Path, table: pd.DataFrame) -> None:
    """Write a table that took long to make; where that fails, write it to the folder of temporary files.

    Raises
    ------
    WorkError
        When `out` could not be written; the message says where the table is instead.
    """
    try:
        write_table(out, table)
    except WorkError as error:
        instead = Path(tempfile.mkdtemp(prefix="amazon-ml-")) / out.name
        try:
            write_table(instead, table)
        except WorkError:
            raise error from None
        raise WorkError(f"{error}; what was predicted is in {instead}") from None


def check_defuse(out: Path, defuse: bool) -> None:
    """Refuse to defuse what no spreadsheet reads as text."""
    if defuse and out.suffix != ".csv":
        raise InputError(f"`defuse` is for a CSV, and `out` {out} is none")


def defused(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before names, tags and headings that a spreadsheet would take for a formula."""
    text = {name: table[name].map(_defused) for name in ("image_name", "tags")}
    return table.assign(**text).rename(columns=_defused)


def _defused(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
