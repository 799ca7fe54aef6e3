"""Runs side by side, on the terminal: the sheets of text that the page of a comparison shows, too."""

from typing import Any

from rich import box
from rich.markup import escape as plain
from rich.table import Table

from amazon_ml.cli.show.console import console, say
from amazon_ml.report.comparison import Sheet, caution, lead, sheets


def print_comparison(found: dict[str, Any]) -> None:
    """Print a comparison; `found` is what `amazon_ml.runs.compare.compare_runs` gives."""
    say(lead(found))
    for sheet in sheets(found):
        console().print(_rich(sheet))
    say(caution(found))


def _rich(sheet: Sheet) -> Table:
    table = Table(title=plain(sheet.title), title_justify="left", caption=plain(sheet.note), caption_justify="left",
                  box=box.SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    for place, heading in enumerate(sheet.headings):
        table.add_column(plain(heading), justify="left" if sheet.words or not place else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(plain, row))
    return table
