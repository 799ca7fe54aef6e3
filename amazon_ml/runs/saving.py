"""Save tables of predictions: safe for spreadsheets, and to another folder where the disk fails."""

import tempfile
from pathlib import Path

import pandas as pd

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.files import write_table

#: A spreadsheet reads a cell as a formula where it begins with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def save_table(out: Path, table: pd.DataFrame) -> None:
    """Write a table that took long to compute; where that fails, write it to the folder of temporary files.

    Raises
    ------
    WorkError
        Where `out` could not be written; the message names the file that was written instead.
    """
    try:
        write_table(out, table)
    except WorkError as error:
        instead = Path(tempfile.mkdtemp(prefix="amazon-ml-")) / out.name
        try:
            write_table(instead, table)
        except WorkError:
            raise error from None
        raise WorkError(f"{error}; the predictions are in {instead}") from None


def check_defuse(out: Path, defuse: bool) -> None:
    """Check that only a CSV is defused."""
    if defuse and out.suffix != ".csv":
        raise InputError(f"`defuse` is for a CSV, and `out` {out} is none", option="defuse")


def defused(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before names, tags and headings that a spreadsheet would read as a formula."""
    text = {name: table[name].map(_defused) for name in ("image_name", "tags")}
    return table.assign(**text).rename(columns=_defused)


def _defused(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
