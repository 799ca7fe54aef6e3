"""Print the speeds and the readings of a benchmark."""

from rich.table import Table

from amazon_ml.bench.bench import Benchmark
from amazon_ml.bench.measure import Figure, Reading
from amazon_ml.cli.show.console import console


def print_bench(measured: Benchmark) -> None:
    """Print the results of a benchmark."""
    machine, rounds = measured["machine"], measured["rounds"]
    devices = ", ".join(str(device) for device in (machine["gpu"], machine["processor"]) if device)
    title = f"{devices}, {machine['cores']} cores; medians of {rounds} rounds"
    console().print(_table(measured["figures"], title))
    if measured["readings"]:
        console().print(_reading_table(measured["readings"]))


def _table(found: list[Figure], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("what", "ours, tiles/s", "baseline, tiles/s", "times as fast", "must reach"):
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=heading == "what")
    for figure in found:
        speeds = [
            f"{figure['tiles'] / seconds:,.0f}" for seconds in (figure["ours_seconds"], figure["baseline_seconds"])
        ]
        goal = "" if figure["must_reach"] is None else f"{figure['must_reach']:g}"
        table.add_row(figure["what"], *speeds, f"{figure['times_as_fast']:.2f}", goal)
    return table


def _reading_table(readings: list[Reading]) -> Table:
    table = Table()
    for heading in ("reading", "value", "goal"):
        table.add_column(heading, justify="left" if heading == "reading" else "right", no_wrap=True)
    for reading in readings:
        goals = (("≥", reading["at_least"]), ("≤", reading["at_most"]))
        bounds = [f"{sign} {goal:,g}" for sign, goal in goals if goal is not None]
        table.add_row(reading["what"], f"{reading['value']:,.4g}", " ".join(bounds))
    return table
