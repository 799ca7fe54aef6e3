"""Print the findings in a submission, the difference of two, and what was sent."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console, print_line
from amazon_ml.cli.show.findings import findings_table
from amazon_ml.data.checks.findings import Finding
from amazon_ml.kaggle.diff import SubmissionDiff
from amazon_ml.kaggle.lint import Lint
from amazon_ml.kaggle.records import Record


def print_lint(found: Lint, examples: int) -> None:
    """Print how frequent tags are in a submission, and the findings, with some cases of each kind."""
    print_line(f"{found.file}: {found.rows:,} rows, {found.tags_per_tile:.2f} tags per tile")
    console().print(_shares(found))
    if found.expected:
        print_line(f"expected: {found.expected}; z: the difference in standard errors")
    for rule, rows in found.logic.items():
        print_line(f"against the label logic: {rule}: {rows:,} rows, {rows / found.rows:.2%}")
    print_findings(found.findings, examples)


def print_findings(findings: Sequence[Finding], examples: int = 3) -> None:
    """Print the findings in a submission, with some cases of each kind."""
    console().print(findings_table(findings, examples))


def print_parcel(summary: Mapping[str, str]) -> None:
    """Print the summary of a submission that is to be sent."""
    width = max(map(len, summary))
    for name, value in summary.items():
        print_line(f"{name:<{width}}  {value}")


def print_records(records: Sequence[Record]) -> None:
    """Print the submissions that were sent of a run, and their scores."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("sent", "message", "status"):
        table.add_column(heading)
    for heading in ("number", "public", "private"):
        table.add_column(heading, justify="right")
    for record in records:
        status = ": ".join(str(text) for text in (record.get("status"), record.get("error")) if text)
        scores = (record.get("ref"), record.get("public"), record.get("private"))
        cells = (record.get("time"), record.get("message"), status, *scores)
        table.add_row(*("" if cell is None else escape(str(cell)) for cell in cells))
    console().print(table)


def print_diff(found: SubmissionDiff) -> None:
    """Print which tags differ between two submissions."""
    print_line(f"A {found['a']}\nB {found['b']}")
    if found["tags"]:
        console().print(_changes(found))
    sentence = f"{found['differing']:,} of {found['tiles']:,} tiles differ"
    for side, names in (("A", found["only_a"]), ("B", found["only_b"])):
        if names:
            sentence += f"; {len(names):,} are only in {side}, such as {names[0]}"
    print_line(sentence)


def _shares(found: Lint) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("tag")
    for heading in ("tiles", "share", *(("expected", "z") if found.expected else ())):
        table.add_column(heading, justify="right")
    for record in found.tags:
        compared = (f"{record['expected']:.2%}", f"{record['z']:+.1f}") if "z" in record else ()
        table.add_row(escape(record["tag"]), f"{record['tiles']:,}", f"{record['share']:.2%}", *compared)
    return table


def _changes(found: SubmissionDiff) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("tag")
    for heading in ("in A", "in B", "only in A", "only in B"):
        table.add_column(heading, justify="right")
    for record in found["tags"]:
        counts = (f"{count:,}" for count in (record["a"], record["b"], record["only_a"], record["only_b"]))
        table.add_row(escape(record["tag"]), *counts)
    return table
