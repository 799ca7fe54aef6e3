"""Section on calibration: whether three in ten of the tiles with probability 0.3 have the tag."""

from html import escape

import numpy as np
import pandas as pd

from amazon_ml.decisions.calibration import reliability
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import figure, grid, listed, paragraph
from amazon_ml.report.page.results import Results
from amazon_ml.report.page.svg import Scale, axes, picture, polyline, segment
from amazon_ml.report.page.thresholds import MOST

_X, _Y = Scale(0, 1, 28, 152), Scale(0, 1, 132, 8)
_TICKS = [(0.0, "0"), (0.5, ".5"), (1.0, "1")]
_NAMED = 3


def calibration_section(results: Results) -> Section:
    """Draw frequency against probability, tag by tag."""
    table = reliability(results.p, results.true)
    worst = sorted(results.metrics["tags"], key=lambda record: -record["ece"])[:_NAMED]
    mean = float(np.mean([record["ece"] for record in results.metrics["tags"]]))
    sentence = (
        f"Probabilities are off by {mean:.3f} on average over tags, most for "
        + listed([f"{record['tag']} ({record['ece']:.3f})" for record in worst])
        + ". Each dot stands for the tiles whose probability lies in one tenth of the scale; a larger dot stands for "
        "more tiles. The horizontal axis is the mean probability, the vertical axis the share of these tiles that have "
        "the tag. On the dotted line both are equal; below it, the probabilities are too high."
    )
    charts = [_chart(results, tag, table[table["tag"] == tag]) for tag in results.most_lost(MOST)]
    return Section("calibration", "Calibration", paragraph(sentence) + grid(charts, "8.5rem"))


def _chart(results: Results, tag: int, bins: pd.DataFrame) -> str:
    p, frequency = bins["probability"].to_numpy(), bins["frequency"].to_numpy()
    radii = 1.5 + 3.5 * np.log1p(bins["tiles"].to_numpy()) / np.log1p(len(results.p))
    dots = [
        f'<circle cx="{_X(a):.1f}" cy="{_Y(b):.1f}" r="{r:.1f}"/>'
        for a, b, r in zip(p, frequency, radii, strict=True)
    ]  # fmt: skip
    line = polyline(_X, _Y, p, frequency, "blue") if len(p) > 1 else ""
    error = results.record(tag)["ece"]
    alt = f"Scatter chart: frequency of {results.tags[tag]} by probability, error {error:.3f}"
    drawn = [axes(_X, _Y, _TICKS, _TICKS), segment(_X, _Y, (0, 0), (1, 1), "faint"), line, *dots]
    return figure(picture(160, 150, drawn, alt), f"<b>{escape(results.tags[tag])}</b><br>error {error:.3f}")
