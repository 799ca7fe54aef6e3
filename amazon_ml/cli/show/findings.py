"""Print the findings of a check of a folder of tiles."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console
from amazon_ml.data.checks.check import Report
from amazon_ml.data.checks.findings import Finding


def print_check(report: Report, folder: Path, examples: int) -> None:
    """Print numbers of tiles, splits and tags in a folder, and the findings, with some cases of each kind."""
    tiles = {"tagged in the table": report.rows, **{f"in {folder}": count for folder, count in report.tiles.items()}}
    splits = [_counts("split", report.splits)] if report.splits else []
    shown = [_counts("tiles", tiles), *splits, _counts("tag", report.tags)]
    console().print(*shown, findings_table(report.findings, examples))


def _counts(heading: str, counts: Mapping[str, int]) -> Table:
    table = Table()
    table.add_column(heading)
    table.add_column("count", justify="right")
    for name, count in counts.items():
        table.add_row(escape(name), f"{count:,}")
    return table


def findings_table(findings: Sequence[Finding], examples: int) -> Table | str:
    """Make a table of findings with some cases of each."""
    if not findings:
        return "no findings"
    table = Table(show_lines=True)
    for heading in ("", "count", "what", "such as", "remedy"):
        table.add_column(heading, justify="right" if heading == "count" else "left")
    for finding in findings:
        shown = "\n".join(finding.items[:examples]) + "\n…" * (finding.count > examples)
        table.add_row(finding.severity, f"{finding.count:,}", finding.what, escape(shown), finding.remedy)
    return table
