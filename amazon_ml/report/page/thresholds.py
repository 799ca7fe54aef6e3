"""Section of thresholds: the score of each tag by threshold, the chosen threshold, and how sure the choice is."""

from html import escape

import numpy as np

from amazon_ml.decisions.per_tag import fbeta_by_threshold
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import figure, grid, paragraph
from amazon_ml.report.page.results import Results
from amazon_ml.report.page.svg import Scale, axes, band, picture, polyline, segment

#: Most tags that are drawn: those with the largest loss of score.
MOST = 40
_SHRUNK = ", whose thresholds are shrunk to a common one"
#: Thresholds, evenly spaced in log odds.
_GRID = 1 / (1 + np.exp(-np.linspace(np.log(0.005 / 0.995), np.log(0.99 / 0.01), 90)))
_X = Scale(0.005, 0.99, 28, 212, log_odds=True)
_Y = Scale(0, 1, 112, 6)
_X_TICKS = [(0.01, ".01"), (0.05, ".05"), (0.2, ".2"), (0.5, ".5"), (0.9, ".9")]
_Y_TICKS = [(0.0, "0"), (0.5, ".5"), (1.0, "1")]


def thresholds_section(results: Results) -> Section:
    """Draw a small chart for each tag."""
    curves = fbeta_by_threshold(results.true, results.p, _GRID, results.beta)
    shown = results.most_lost(MOST)
    sentence = (
        f"Each curve is the tag's own {results.f} over tiles for every threshold from .005 to .99, spaced by log odds. "
        "Where it is flat, the threshold hardly matters. "
    )
    rule = results.metrics["rule"]
    if any(results.record(tag)["threshold"] is not None for tag in shown):
        sentence += (
            '<span class="doubted">The dashed line</span> is the threshold of the run, the shade holds 90 % of those '
            f"that resampled tiles give: wide for rare tags{_SHRUNK if rule == 'shrunk' else ''}."
        )
        if rule != "fixed":  # whose threshold nothing chooses
            sentence += (
                f" Thresholds are chosen for the mean {results.f} of tiles, so they need not lie at the top of a tag's "
                "own curve."
            )
    else:
        sentence += (
            f"The run's rule, {rule}, has no thresholds; the shade holds 90 % of those that resampled tiles give."
        )
    if len(shown) < len(results.tags):
        sentence += f" Of {len(results.tags)} tags, the {len(shown)} with the largest loss of score are drawn."
    charts = [_chart(results, tag, curves[:, tag]) for tag in shown]
    return Section("thresholds", "Thresholds", paragraph(sentence) + grid(charts, "10rem"))


def _chart(results: Results, tag: int, curve: np.ndarray) -> str:
    record, drawn = results.record(tag), [axes(_X, _Y, _X_TICKS, _Y_TICKS)]
    own, chosen = record.get("own_threshold"), record["threshold"]
    if own:
        drawn.append(band(_X, _Y, own[0], own[1], "area"))
    drawn.append(polyline(_X, _Y, _GRID, curve, "blue"))
    best = f"at best {curve.max():.2f} near {_GRID[curve.argmax()]:.2f}"
    if chosen is not None:
        drawn.append(segment(_X, _Y, (chosen, 0), (chosen, 1), "orange"))
        best += f"; threshold {chosen:.3f}"
    alt = f"Line chart: {results.f} of {results.tags[tag]} by threshold, {best}"
    caption = f"<b>{escape(results.tags[tag])}</b><br>" + (f"threshold {chosen:.3f}" if chosen is not None else "")
    return figure(picture(220, 130, drawn, alt), caption)
