"""The tags: how each fares, and what it costs."""

from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import Cell, listed, number, paragraph, table, words
from amazon_ml.report.page.results import Results

#: Tags and pairs of tags that are named in the sentences.
_NAMED = 3


def tags_section(results: Results) -> Section:
    """Tell support, precision, recall, score and loss of each tag."""
    lost = 1 - results.score["value"]
    records = results.metrics["tags"]
    costly = sorted(records, key=lambda record: -record["gain_if_perfect"])[:_NAMED]
    dear = [
        f"{record['tag']} ({_share(record['gain_if_perfect'], lost):.0%})"
        for record in costly
        if record["gain_if_perfect"] > 0
    ]
    told = [
        f"{results.score['value']:.4f} leaves {lost:.4f} of {results.f} to be gained. "
        + (f"The most is lost with {listed(dear)}. " if dear else "")
        + "A share says how much of the loss would go if that tag alone were without error; the shares need not add "
        f"up to 100 %, for {results.f} is a mean over tiles."
    ]
    pairs = [
        f"{pair['false_positive']} for {pair['missed']} ({pair['tiles']:,} tiles)"
        for pair in results.metrics["confusions"][:_NAMED]
    ]
    if pairs:
        told.append(f"Most often one tag is given for another: {listed(pairs)}.")
    most = max(record["support"] for record in records) or 1
    rows = [_row(record, lost, most) for record in records]
    headings = ("tag", "tiles with it", "tiles given it", "threshold", "precision", "recall", results.f,
                "share of loss", "calibration error")  # fmt: skip
    note = (
        "Precision, recall and score are cross-fitted; the threshold is the run's, fitted on all tiles. "
        "Calibration error: how far probabilities lie from frequencies, on average."
    )
    return Section("tags", "Tags", "".join(map(paragraph, told)) + table(headings, rows) + paragraph(note, "note"))


def _row(record: dict[str, float | str | None], lost: float, most: float) -> list[Cell]:
    values = {key: float(value) for key, value in record.items() if isinstance(value, (int, float))}
    share = _share(values["gain_if_perfect"], lost)
    cut = Cell(f"{values['threshold']:.3f}", values["threshold"]) if "threshold" in values else Cell("", -1.0)
    return [
        words(str(record["tag"])),
        number(values["support"], ",.0f", share=values["support"] / most),
        number(values["predicted"], ",.0f", share=values["predicted"] / most),
        cut,
        *(number(values[key], ".3f", share=values[key]) for key in ("precision", "recall", "fbeta")),
        number(share, ".1%", share=share),
        number(values["ece"], ".3f"),
    ]


def _share(gain: float, lost: float) -> float:
    return gain / lost if lost > 0 else 0.0
