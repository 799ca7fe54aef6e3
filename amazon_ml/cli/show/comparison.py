"""Print a comparison of runs: the same tables of text as on its page."""

from rich import box
from rich.markup import escape as plain
from rich.table import Table

from amazon_ml.cli.show.console import console, print_line
from amazon_ml.report.comparison import Sheet, caution, lead, sheets
from amazon_ml.runs.compare import Comparison


def print_comparison(found: Comparison) -> None:
    """Print a comparison of runs."""
    print_line(lead(found))
    for sheet in sheets(found):
        console().print(_table(sheet))
    print_line(caution(found))


def _table(sheet: Sheet) -> Table:
    table = Table(title=plain(sheet.title), title_justify="left", caption=plain(sheet.note), caption_justify="left",
                  box=box.SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    for place, heading in enumerate(sheet.headings):
        table.add_column(plain(heading), justify="left" if sheet.words or not place else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(plain, row))
    return table
