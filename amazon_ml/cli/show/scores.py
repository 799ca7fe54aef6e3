"""Scores as tables on a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console
from amazon_ml.decisions.rules import RULES

#: Pairs of tags that are told, of those that are mistaken for each other.
_SHOWN = 3


def print_scores(metrics: dict[str, Any]) -> None:
    """Print a run's scores; `metrics` is the content of metrics.json, or what ``evaluate`` gives."""
    beta, page, tuned_here = f"F{metrics['beta']:g}", console(), "rules" in metrics
    page.print(_tag_table(metrics["tags"], beta, tuned_here))
    for line in (_confusions(metrics["confusions"]), _logic_faults(metrics["logic_faults"])):
        if line:
            page.print(line, highlight=False, markup=False)
    if tuned_here:
        page.print(_rule_table(metrics["rules"], metrics["rule"], beta))
    page.print(_score_table(metrics, beta))


def print_folds(figures: dict[str, Any]) -> None:
    """Print how even and how tight folds are; `figures` is what `examine_folds` gives."""
    tiles, pairs = f"{figures['tiles']:,}", f"{figures['pairs']:,}"
    table = Table(
        title=escape(f"{figures['folds_file']}: {tiles} tiles of {figures['tiles_of']}"),
        title_justify="left",
        caption=f"{pairs} pairs of tiles are known to touch; the largest scene has {figures['largest_scene']:,} tiles.",
        caption_justify="left",
    )
    table.add_column("fold")
    for heading in ("tiles", "tag spread worst", "more or less of it", "tiles with a neighbour in another fold"):
        table.add_column(heading, justify="right")
    for record in figures["folds"]:
        table.add_row(str(record["fold"]), f"{record['tiles']:,}", escape(record["worst_tag"]),
                      f"{record['deviation']:+.1%}", f"{record['leakage']:.2%}")  # fmt: skip
    table.add_section()
    table.add_row("all", tiles, "", "", f"{figures['leakage']:.2%}")
    console().print(table)


def print_jobs(rows: list[dict[str, Any]]) -> None:
    """Print what became of jobs; `rows` is what ``slurm status`` gives."""
    table = Table(title=escape(f"output in {Path(rows[0]['log']).parent}"), title_justify="left")
    for heading in ("job", "Slurm says", "where, or why not", "done", "output", "its last line"):
        table.add_column(heading)
    for row in rows:
        done, output = "yes" if row["done"] else "", Path(row["log"]).name
        table.add_row(*map(escape, (row["task"], row["state"], row["where"], done, output, row["says"])))
    console().print(table)


def _score_table(metrics: dict[str, Any], beta: str) -> Table:
    rule = metrics["rule"]
    trained_on = "but the network was trained on these tiles" if metrics.get("held_out") is False else "honest"
    names = {
        "fitted": f"{rule}, on the rows it was fitted on (flattering)",
        "cross_fitted": f"{rule}, cross-fitted ({trained_on})",
        "cross_fitted_minus_fixed": "difference of cross-fitted to fixed, paired",
        "constant": "best constant answer, fitted",
        "predicted": f"with the run's decision, {rule}",
        "predicted_minus_fixed": "difference to fixed, paired",
    }
    table = Table(title=_title(metrics), title_justify="left")
    table.add_column(f"{beta} over {metrics['tiles']:,} tiles")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right")
    for key, score in metrics["fbeta"].items():
        low, high = score["interval"]
        name = names.get(key, f"fixed threshold {key.removeprefix('fixed_')}")
        table.add_row(name, f"{score['value']:.4f}", f"{low:.4f} to {high:.4f}")
    return table


def _rule_table(rules: dict[str, Any], chosen: str, beta: str) -> Table:
    note = "all cross-fitted; * the run's decision"
    table = Table(caption=note, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule")
    table.add_column("what it does")
    for heading in (beta, "minus fixed", "std. error"):
        table.add_column(heading, justify="right")
    for name, score in rules.items():
        what = RULES[name].summary if name in RULES else "the simplest about as good as the best"
        paired = score["minus_fixed"]
        figures = (f"{score['value']:.4f}", f"{paired['value']:+.4f}", f"{paired['standard_error']:.4f}")
        table.add_row(f"{name} *" if name == chosen else name, what, *figures)
    return table


def _title(metrics: dict[str, Any]) -> str:
    source = "GENERATED tiles (says nothing about Kaggle)" if metrics["generated"] else "Tiles"
    part = {True: ", held out", False: ", TRAINED ON, not held out"}.get(metrics.get("held_out"), "")  # type: ignore[arg-type]
    return f"{source} of {escape(metrics['tiles_of'])}{part}"


def _tag_table(records: Sequence[dict[str, Any]], beta: str, tuned_here: bool) -> Table:
    note = "gain: of the score, were this tag without error"
    if tuned_here:
        note += "\nthreshold: fitted on all rows, the rest cross-fitted"
        note += "\nown: 5 % to 95 % of the thresholds that bootstraps find best for the tag"
    table = Table(caption=note, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("tag", no_wrap=True)
    own = ["own"] if tuned_here else []
    for heading in ("support", "predicted", "threshold", *own, "precision", "recall", beta, "gain"):
        table.add_column(heading, justify="right")
    for record in records:
        counts = [f"{record[key]:,}" for key in ("support", "predicted")]
        threshold = "" if record["threshold"] is None else f"{record['threshold']:.3f}"
        own = ["{:.2f}-{:.2f}".format(*record["own_threshold"])] if tuned_here else []
        scores = [f"{record[key]:.3f}" for key in ("precision", "recall", "fbeta")]
        table.add_row(escape(record["tag"]), *counts, threshold, *own, *scores, f"{record['gain_if_perfect']:.4f}")
    return table


def _confusions(pairs: Sequence[dict[str, Any]]) -> str:
    told = [f"{pair['false_positive']} for {pair['missed']} ({pair['tiles']:,})" for pair in pairs[:_SHOWN]]
    return f"most often one tag for another: {', '.join(told)}" if told else ""


def _logic_faults(faults: dict[str, dict[str, int]]) -> str:
    told = [f"{rule}: {tiles:,}" for rule, tiles in faults["predicted"].items()]
    true = sum(faults["truth"].values())
    return f"predicted against the label logic ({true:,} in truth): {'; '.join(told) or 'none'}" if told or true else ""
