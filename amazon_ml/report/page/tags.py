"""Section of tags: the scores of each, and its share of the loss."""

from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import Cell, listed, number, paragraph, table, words
from amazon_ml.report.page.results import Results
from amazon_ml.runs.scores import TagRecord

#: Number of tags and of pairs of tags that the sentences name.
_NAMED = 3


def tags_section(results: Results) -> Section:
    """Show support, precision, recall, score and loss of each tag."""
    lost = 1 - results.score["value"]
    records = results.metrics["tags"]
    costly = sorted(records, key=lambda record: -record["gain_if_perfect"])[:_NAMED]
    losses = [
        f"{record['tag']} ({_share(record['gain_if_perfect'], lost):.0%})"
        for record in costly
        if record["gain_if_perfect"] > 0
    ]
    sentences = [
        f"The score is {results.score['value']:.4f}, so {lost:.4f} of {results.f} is lost. "
        + (f"Most of it is lost by {listed(losses)}. " if losses else "")
        + "The share of a tag is the part of the loss that would vanish if that tag had no error. The shares need not "
        f"add up to 100 %, since {results.f} is a mean over tiles."
    ]
    pairs = [
        f"{pair['false_positive']} for {pair['missed']} ({pair['tiles']:,} tiles)"
        for pair in results.metrics["confusions"][:_NAMED]
    ]
    if pairs:
        sentences.append(f"Most frequent confusions: {listed(pairs)}.")
    most = max(record["support"] for record in records) or 1
    rows = [_row(record, lost, most) for record in records]
    headings = ("tag", "support", "predicted", "threshold", "precision", "recall", results.f,
                "share of loss", "calibration error")  # fmt: skip
    note = (
        "Precision, recall and score are cross-fitted; the threshold is the run's, fitted on all tiles. "
        "Calibration error: mean distance between probabilities and frequencies."
    )
    return Section("tags", "Tags", "".join(map(paragraph, sentences)) + table(headings, rows) + paragraph(note, "note"))


def _row(record: TagRecord, lost: float, most: float) -> list[Cell]:
    share, threshold = _share(record["gain_if_perfect"], lost), record["threshold"]
    return [
        words(record["tag"]),
        number(record["support"], ",.0f", share=record["support"] / most),
        number(record["predicted"], ",.0f", share=record["predicted"] / most),
        Cell("", -1.0) if threshold is None else Cell(f"{threshold:.3f}", threshold),
        *(number(score, ".3f", share=score) for score in (record["precision"], record["recall"], record["fbeta"])),
        number(share, ".1%", share=share),
        number(record["ece"], ".3f"),
    ]


def _share(gain: float, lost: float) -> float:
    return gain / lost if lost > 0 else 0.0
