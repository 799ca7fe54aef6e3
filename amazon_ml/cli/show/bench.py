"""Speeds and readings of a benchmark, on the terminal."""

from typing import Any

from rich.table import Table

from amazon_ml.cli.show.console import console

#: How a goal of a reading is shown.
_BOUNDS = (("≥", "at_least"), ("≤", "at_most"))


def print_bench(measured: dict[str, Any]) -> None:
    """Print a benchmark; `measured` is what `amazon_ml.bench.bench.bench` gives."""
    machine, rounds = measured["machine"], measured["rounds"]
    devices = ", ".join(filter(None, (machine["gpu"], machine["processor"])))
    title = f"{devices}, {machine['cores']} cores; medians of {rounds} rounds"
    console().print(_table(measured["figures"], title))
    if measured["readings"]:
        console().print(_reading_table(measured["readings"]))


def _table(found: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("what", "ours, tiles/s", "baseline, tiles/s", "times as fast", "must reach"):
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=heading == "what")
    for figure in found:
        speeds = [f"{figure['tiles'] / figure[seconds]:,.0f}" for seconds in ("ours_seconds", "baseline_seconds")]
        goal = "" if figure["must_reach"] is None else f"{figure['must_reach']:g}"
        table.add_row(figure["what"], *speeds, f"{figure['times_as_fast']:.2f}", goal)
    return table


def _reading_table(readings: list[dict[str, Any]]) -> Table:
    table = Table()
    for heading in ("besides", "value", "goal"):
        table.add_column(heading, justify="left" if heading == "besides" else "right", no_wrap=True)
    for reading in readings:
        bounds = [f"{sign} {reading[key]:,g}" for sign, key in _BOUNDS if reading[key] is not None]
        table.add_row(reading["what"], f"{reading['value']:,.4g}", " ".join(bounds))
    return table
