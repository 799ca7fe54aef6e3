"""Print the states of jobs as a table."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console
from amazon_ml.slurm.status import JobRow


def print_jobs(rows: list[JobRow]) -> None:
    """Print the states of jobs."""
    table = Table(title=escape(f"output in {Path(rows[0]['log']).parent}"), title_justify="left")
    for heading in ("job", "state", "nodes, or why it waits", "done", "output", "its last line"):
        table.add_column(heading)
    for row in rows:
        done, output = "yes" if row["done"] else "", Path(row["log"]).name
        table.add_row(*map(escape, (row["task"], row["state"], row["where"], done, output, row["last_line"])))
    console().print(table)
