"""Scores as tables on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

#: Wide enough for the tables where there is no terminal to ask.
_PLAIN_WIDTH = 100


def print_scores(metrics: dict[str, Any]) -> None:
    """Print a run's scores and its per-tag table; `metrics` is the content of metrics.json."""
    beta = f"F{metrics['beta']:g}"
    names = {
        "fitted": "tuned, on the rows it was tuned on (flattering)",
        "cross_fitted": "tuned, cross-fitted (honest)",
        "cross_fitted_minus_fixed": "difference of cross-fitted to fixed, paired",
        "constant": "best constant answer, fitted",
        "decided": "with the run's decision",
    }
    table = Table(title=_title(metrics), title_justify="left")
    table.add_column(f"{beta} over {metrics['tiles']:,} tiles")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right")
    if metrics.get("held_out") is False:
        names["cross_fitted"] = "tuned, cross-fitted (but the network was trained on these tiles)"
    for key, score in metrics["f2"].items():
        low, high = score["interval"]
        name = names.get(key, f"fixed cut-off {key.removeprefix('fixed_')}")
        table.add_row(name, f"{score['value']:.4f}", f"{low:.4f} to {high:.4f}")
    tuned_here = "cross_fitted" in metrics["f2"]
    _print_tags(metrics["tags"], beta, "thresholds fitted on all rows, the rest cross-fitted" if tuned_here else None)
    console().print(table)


def print_folds(figures: dict[str, Any]) -> None:
    """Print how even and how tight folds are; `figures` is what `examine_folds` gives."""
    tiles, pairs = f"{figures['tiles']:,}", f"{figures['pairs']:,}"
    table = Table(
        title=f"{figures['folds_file']}: {tiles} tiles of {figures['tiles_of']}",
        title_justify="left",
        caption=f"{pairs} pairs of tiles are known to touch; the largest scene has {figures['largest_scene']:,} tiles.",
        caption_justify="left",
    )
    table.add_column("fold")
    for heading in ("tiles", "tag spread worst", "more or less of it", "tiles with a neighbour in another fold"):
        table.add_column(heading, justify="right")
    for record in figures["folds"]:
        table.add_row(str(record["fold"]), f"{record['tiles']:,}", record["worst_tag"],
                      f"{record['deviation']:+.1%}", f"{record['leakage']:.2%}")  # fmt: skip
    table.add_section()
    table.add_row("all", tiles, "", "", f"{figures['leakage']:.2%}")
    console().print(table)


def _title(metrics: dict[str, Any]) -> str:
    source = "GENERATED tiles (says nothing about Kaggle)" if metrics["generated"] else "Tiles"
    part = {True: ", held out", False: ", TRAINED ON, not held out"}.get(metrics.get("held_out"), "")  # type: ignore[arg-type]
    return f"{source} of {metrics['tiles_of']}{part}"


def _print_tags(records: Sequence[dict[str, Any]], beta: str, caption: str | None) -> None:
    table = Table(caption=caption, caption_justify="left")
    table.add_column("tag")
    for heading in ("support", "decided", "threshold", "precision", "recall", beta):
        table.add_column(heading, justify="right")
    for record in records:
        figures = [f"{record[key]:.3f}" for key in ("threshold", "precision", "recall", "fbeta")]
        table.add_row(record["tag"], f"{record['support']:,}", f"{record['decided']:,}", *figures)
    console().print(table)


def console() -> Console:
    """Give the terminal, or a page wide enough for tables where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=_PLAIN_WIDTH)
