"""What was found in a submission, and how two differ, on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console, say
from amazon_ml.cli.show.findings import findings_table
from amazon_ml.data.checks.findings import Finding


def print_lint(found: dict[str, Any], findings: Sequence[Finding], examples: int) -> None:
    """Print how frequent tags are in a submission, and what was found in it.

    Parameters
    ----------
    found
        What `amazon_ml.kaggle.lint` gives, as plain data.
    findings
        What is wrong, of the same.
    examples
        How many cases of a kind are shown.
    """
    page = console()
    say(f"{found['file']}: {found['rows']:,} rows, {found['tags_per_tile']:.2f} tags a tile")
    page.print(_shares(found))
    if found["expected"]:
        say(f"expected: {found['expected']}; z: the difference in standard errors")
    for rule, rows in found["logic"].items():
        say(f"against the label logic: {rule}: {rows:,} rows, {rows / found['rows']:.2%}")
    print_findings(findings, examples)


def print_findings(findings: Sequence[Finding], examples: int = 3) -> None:
    """Print what was found in a submission, with some cases of each kind."""
    console().print(findings_table(findings, examples))


def print_parcel(facts: Mapping[str, str]) -> None:
    """Print what is about to be sent."""
    width = max(map(len, facts))
    for name, fact in facts.items():
        say(f"{name:<{width}}  {fact}")


def print_records(records: Sequence[Mapping[str, Any]]) -> None:
    """Print what was sent of a run, and its scores; `records` are those of `amazon_ml.kaggle.records`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("sent", "message", "status"):
        table.add_column(heading)
    for heading in ("number", "public", "private"):
        table.add_column(heading, justify="right")
    for record in records:
        status = ": ".join(str(record[key]) for key in ("status", "error") if record.get(key))
        told = (record.get("time"), record.get("message"), status, *map(record.get, ("ref", "public", "private")))
        table.add_row(*("" if fact is None else escape(str(fact)) for fact in told))
    console().print(table)


def print_diff(found: dict[str, Any]) -> None:
    """Print which tags differ between two submissions; `found` is what `amazon_ml.kaggle.diff` gives."""
    page = console()
    say(f"A {found['a']}\nB {found['b']}")
    if found["tags"]:
        page.print(_changes(found))
    told = f"{found['differing']:,} of {found['tiles']:,} tiles differ"
    for key in ("only_a", "only_b"):
        if found[key]:
            told += f"; {len(found[key]):,} are only in {key[-1].upper()}, such as {found[key][0]}"
    say(told)


def _shares(found: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("tag")
    for heading in ("tiles", "share", *(("expected", "z") if found["expected"] else ())):
        table.add_column(heading, justify="right")
    for record in found["tags"]:
        compared = (f"{record['expected']:.2%}", f"{record['z']:+.1f}") if "z" in record else ()
        table.add_row(escape(record["tag"]), f"{record['tiles']:,}", f"{record['share']:.2%}", *compared)
    return table


def _changes(found: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("tag")
    for heading in ("in A", "in B", "only in A", "only in B"):
        table.add_column(heading, justify="right")
    for record in found["tags"]:
        counts = (f"{record[key]:,}" for key in ("a", "b", "only_a", "only_b"))
        table.add_row(escape(record["tag"]), *counts)
    return table
