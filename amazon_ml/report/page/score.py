"""Section of scores: with intervals, beside baselines without tuning and without a network, and for all rules."""

from html import escape

from amazon_ml.decisions.macro_micro import FEW_POSITIVES, TITLES
from amazon_ml.decisions.rules import RULES
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import Cell, number, paragraph, table, words
from amazon_ml.report.page.results import Results
from amazon_ml.report.page.svg import strip
from amazon_ml.runs.scores import Breakdown, scored_rule

#: Says why the score of a run that was trained on soft labels is not honest.
SOFT_LABELS = (
    "The networks were trained on soft labels, which may come from networks that were trained on the tiles that are "
    "scored here, so the scores may be too high."
)


def score_section(results: Results) -> Section:
    """Show the score, and compare it."""
    low, high = results.score["interval"]
    body = [
        paragraph(f"{results.score['value']:.4f}", "headline"),
        paragraph(
            f"{results.f} over {len(results.p):,} tiles; 95 % of resamples of these tiles lie between {low:.4f} and "
            f"{high:.4f}. {_honesty(results)} {_against_fixed(results)}"
        ),
        _scores(results),
        "<h3>All rules that turn probabilities into tags</h3>",
        _rules(results),
        paragraph("Dots are means, bars hold 95 % of resamples; the dotted line is no difference.", "note"),
        "<h3>Other metrics</h3>",
        _others(results.metrics),
        paragraph(_left_out(results.metrics), "note"),
    ]
    return Section("score", "Score", "\n".join(body))


def _honesty(results: Results) -> str:
    if results.metrics.get("soft_labels"):
        return SOFT_LABELS
    if results.metrics["held_out"]:
        return "Networks and thresholds were fitted without the tiles that they tagged here."
    return "The network was trained on these tiles, so the score says little about others."


def _against_fixed(results: Results) -> str:
    paired = results.metrics["fbeta"]["cross_fitted_minus_fixed"]
    low, high = paired["interval"]
    difference = f"{paired['value']:+.4f}, between {low:+.4f} and {high:+.4f}"
    if scored_rule(results.metrics) == "fixed":
        return f"The threshold is {DEFAULT_THRESHOLD} for every tag."
    if low <= 0 <= high:
        return (
            f"A threshold of {DEFAULT_THRESHOLD} for every tag is as good: the difference ({difference}) may be chance."
        )
    verdict = "better" if low > 0 else "worse"
    return f"That is {verdict} than a threshold of {DEFAULT_THRESHOLD} for every tag: {difference}."


def _scores(results: Results) -> str:
    rows = []
    for key, name in (
        ("cross_fitted", f"{scored_rule(results.metrics)}, cross-fitted"),
        (f"fixed_{DEFAULT_THRESHOLD}", f"fixed threshold {DEFAULT_THRESHOLD}"),
        ("constant", "best constant prediction, without a network"),
        ("fitted", f"{results.metrics['rule']}, on the rows it was fitted on (too high)"),
    ):
        score = results.metrics["fbeta"][key]
        low, high = score["interval"]
        drawn = strip(0, 1, (low, high), score["value"], f"{score['value']:.4f} on a scale from 0 to 1")
        rows.append(
            [words(name), number(score["value"], ".4f"), _interval(low, high), Cell(drawn, str(score["value"]))]
        )
    return table(("", results.f, "95 % interval", "from 0 to 1"), rows)


def test_section(results: Results) -> Section | None:
    """Show the scores on the published test split; None where there is none."""
    test = results.metrics.get("test")
    if test is None:
        return None
    low, high = test["fbeta"]["predicted"]["interval"]
    rows = []
    for key, name in (
        ("predicted", f"the run's rule, {results.metrics['rule']}"),
        (f"fixed_{DEFAULT_THRESHOLD}", f"fixed threshold {DEFAULT_THRESHOLD}"),
        ("predicted_minus_fixed", "difference, paired"),
    ):
        score = test["fbeta"][key]
        rows.append([words(name), number(score["value"], ".4f"), _interval(*score["interval"])])
    body = [
        paragraph(f"{test['fbeta']['predicted']['value']:.4f}", "headline"),
        paragraph(
            f"{results.f} over {test['tiles']:,} tiles of the published test split; 95 % of resamples of these tiles "
            f"lie between {low:.4f} and {high:.4f}. Nothing was trained, tuned or chosen on them."
        ),
        table(("", results.f, "95 % interval"), rows),
        "<h3>Other metrics</h3>",
        _others(test),
        paragraph(_left_out(test), "note"),
    ]
    return Section("test", "Test split", "\n".join(body))


def _others(scores: Breakdown) -> str:
    rows = []
    for key, score in scores["other_scores"].items():
        low, high = score["interval"]
        rows.append([words(TITLES[key]), number(score["value"], ".4f"), _interval(low, high)])
    return table(("", "value", "95 % interval"), rows)


def _left_out(scores: Breakdown) -> str:
    macro = "Macro is the mean over tags, micro is computed over all tags and tiles at once."
    if names := scores["tags_without_positive"]:
        macro += f" Macro leaves out tags that no tile carries: {escape(', '.join(names))}."
    if names := scores["tags_with_few_positives"]:
        few = f"fewer than {FEW_POSITIVES} tiles carry"
        macro += f" Intervals of macro averages are too narrow, since {few}: {escape(', '.join(names))}."
    return macro


def _rules(results: Results) -> str:
    rules = results.metrics["rules"]
    reach = max(abs(end) for rule in rules.values() for end in rule["minus_fixed"]["interval"]) or 1.0
    rows = []
    for name, rule in rules.items():
        paired, summary = (
            rule["minus_fixed"],
            RULES[name].summary if name in RULES else "the simplest rule within one standard error of the best",
        )
        low, high = paired["interval"]
        drawn = strip(-reach, reach, (low, high), paired["value"], f"{paired['value']:+.4f}, {low:+.4f} to {high:+.4f}")
        shown = f"<b>{escape(name)}</b> (chosen)" if name == results.metrics["rule"] else escape(name)
        rows.append(
            [Cell(shown, name), words(summary), number(rule["value"], ".4f"), number(paired["value"], "+.4f"),
             Cell(drawn, str(paired["value"]))]
        )  # fmt: skip
    return table(("rule", "what it does", results.f, f"minus fixed {DEFAULT_THRESHOLD}", f"±{reach:.4f}"), rows)


def _interval(low: float, high: float) -> Cell:
    return Cell(f"{low:.4f} to {high:.4f}", low)
