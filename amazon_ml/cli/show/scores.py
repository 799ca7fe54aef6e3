"""Print the scores of a run as tables."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from amazon_ml.cli.show.console import console
from amazon_ml.decisions.crossfit import Estimate
from amazon_ml.decisions.macro_micro import FEW_POSITIVES, TITLES
from amazon_ml.decisions.rules import RULES
from amazon_ml.runs.scores import Breakdown, Confusion, LogicFaults, Metrics, RuleScore, TagRecord, scored_rule

#: Pairs of tags that are shown, of those that are confused.
_SHOWN = 3


def print_scores(metrics: Metrics) -> None:
    """Print the scores of a run: by tag, by rule, and over all tiles."""
    beta, page, rules = f"F{metrics['beta']:g}", console(), metrics.get("rules")
    page.print(_tag_table(metrics["tags"], beta, tuned_here=rules is not None))
    for line in (_confusions(metrics["confusions"]), _logic_faults(metrics["logic_faults"])):
        if line:
            page.print(line, highlight=False, markup=False)
    if rules is not None:
        page.print(_rule_table(rules, metrics["rule"], beta))
    page.print(_other_table(metrics))
    page.print(_score_table(metrics, beta))
    if "test" in metrics:
        test = metrics["test"]
        page.print(_other_table(test))
        page.print(_fbeta_table(test["fbeta"], metrics, beta, test["tiles"], "Published test split, scored once"))


def _other_table(metrics: Breakdown) -> Table:
    notes = [
        f"{said}: {', '.join(tags)}"
        for said, tags in (
            ("macro averages leave out tags that no tile carries", metrics["tags_without_positive"]),
            (f"intervals of macro averages are too narrow, since fewer than {FEW_POSITIVES} tiles carry",
             metrics["tags_with_few_positives"]),
        )
        if tags
    ]  # fmt: skip
    table = Table(caption=escape("\n".join(notes)) or None, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("other metrics")
    for heading in ("value", "95 % interval"):
        table.add_column(heading, justify="right")
    for key, score in metrics["other_scores"].items():
        low, high = score["interval"]
        table.add_row(TITLES[key], f"{score['value']:.4f}", f"{low:.4f} to {high:.4f}")
    return table


def _score_table(metrics: Metrics, beta: str) -> Table:
    trained_on = "but the network was trained on these tiles" if metrics.get("held_out") is False else "honest"
    if metrics.get("soft_labels"):
        trained_on = "may be too high: soft labels may depend on these tiles"
    return _fbeta_table(metrics["fbeta"], metrics, beta, metrics["tiles"], _title(metrics), trained_on)


def _fbeta_table(
    scores: Mapping[str, Estimate], metrics: Metrics, beta: str, tiles: int, title: str, trained_on: str = ""
) -> Table:
    rule = metrics["rule"]
    names = {
        "fitted": f"{rule}, on the rows it was fitted on (flattering)",
        "cross_fitted": f"{scored_rule(metrics)}, cross-fitted ({trained_on})",
        "cross_fitted_minus_fixed": "difference of cross-fitted to fixed, paired",
        "constant": "best constant answer, fitted",
        "predicted": f"with the run's decision, {rule}",
        "predicted_minus_fixed": "difference to fixed, paired",
    }
    table = Table(title=title, title_justify="left")
    table.add_column(f"{beta} over {tiles:,} tiles")
    table.add_column("mean", justify="right")
    table.add_column("95 % interval", justify="right")
    for key, score in scores.items():
        low, high = score["interval"]
        name = names.get(key, f"fixed threshold {key.removeprefix('fixed_')}")
        table.add_row(name, f"{score['value']:.4f}", f"{low:.4f} to {high:.4f}")
    return table


def _rule_table(rules: Mapping[str, RuleScore], chosen: str, beta: str) -> Table:
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


def _title(metrics: Metrics) -> str:
    source = "GENERATED tiles (says nothing about Kaggle)" if metrics["generated"] else "Tiles"
    split = f", split {metrics['split']}" if "split" in metrics else ""
    part = {True: ", held out", False: ", TRAINED ON, not held out"}.get(metrics.get("held_out"), "")  # type: ignore[arg-type]
    return f"{source} of {escape(metrics['tiles_of'])}{split}{part}"


def _tag_table(records: Sequence[TagRecord], beta: str, *, tuned_here: bool) -> Table:
    note = "gain: how much the score would rise if this tag had no error"
    if tuned_here:
        note += "\nthreshold: fitted on all rows, all else cross-fitted"
        note += "\nown: 5 % to 95 % of the thresholds that bootstraps find best for the tag"
    table = Table(caption=note, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("tag", no_wrap=True)
    own = ["own"] if tuned_here else []
    for heading in ("support", "predicted", "threshold", *own, "precision", "recall", beta, "gain"):
        table.add_column(heading, justify="right")
    for record in records:
        counts = [f"{count:,}" for count in (record["support"], record["predicted"])]
        threshold = "" if record["threshold"] is None else f"{record['threshold']:.3f}"
        own = ["{:.2f}-{:.2f}".format(*record["own_threshold"])] if tuned_here else []
        scores = [f"{score:.3f}" for score in (record["precision"], record["recall"], record["fbeta"])]
        table.add_row(escape(record["tag"]), *counts, threshold, *own, *scores, f"{record['gain_if_perfect']:.4f}")
    return table


def _confusions(pairs: Sequence[Confusion]) -> str:
    shown = [f"{pair['false_positive']} for {pair['missed']} ({pair['tiles']:,})" for pair in pairs[:_SHOWN]]
    return f"most frequent confusions: {', '.join(shown)}" if shown else ""


def _logic_faults(faults: LogicFaults) -> str:
    rules = [f"{rule}: {tiles:,}" for rule, tiles in faults["predicted"].items()]
    true = sum(faults["truth"].values())
    if not rules and not true:
        return ""
    return f"tiles predicted against the label logic ({true:,} in truth): {'; '.join(rules) or 'none'}"
