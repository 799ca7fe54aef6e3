"""Section on pairs of tags: how often they occur together, in truth and as predicted."""

from html import escape

import numpy as np
import numpy.typing as npt

from amazon_ml.labels import MultiHot, shortened
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import figure, grid, listed, paragraph
from amazon_ml.report.page.results import Results
from amazon_ml.report.page.svg import picture, text

#: Most tags that are drawn, the most frequent ones; pairs that the sentences name.
_MOST, _NAMED = 30, 3
_CELL, _LABEL = 18, 118
_LONGEST = 18


def together_section(results: Results) -> Section | None:
    """Draw truth and prediction side by side, and name the pairs that differ most; None for a single tag."""
    if len(results.tags) < 2:
        return None
    frequent = np.sort(np.argsort(-results.true.sum(axis=0), kind="stable")[:_MOST])
    tags = [results.tags[tag] for tag in frequent]
    true, predicted = counts_together(results.true[:, frequent]), counts_together(results.predicted[:, frequent])
    body = [paragraph(_sentences(tags, true, predicted))]
    if len(tags) < len(results.tags):
        body.append(paragraph(f"The {len(tags)} most frequent of {len(results.tags)} tags.", "note"))
    charts = [
        figure(_matrix(tags, true, "in truth"), "In truth"),
        figure(_matrix(tags, predicted, "as predicted"), "As predicted"),
    ]
    return Section("together", "Tags that go together", "".join(body) + grid(charts, "21rem"))


def counts_together(hot: MultiHot) -> npt.NDArray[np.int64]:
    """Count the tiles that have both of two tags, shape (tags, tags)."""
    counts: npt.NDArray[np.int64] = hot.astype(np.int64).T @ hot.astype(np.int64)
    return counts


def _sentences(tags: list[str], true: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> str:
    sentence = (
        "A darker field is a larger share: of the tiles with the tag of the row, those that also have the tag of the "
        "column. Predicted tags are those of the run's rule, fitted on all tiles; those of the section Tags are "
        "cross-fitted. A rule that weighs recall more than precision predicts more tags than there are, and so more "
        "pairs."
    )
    more = np.triu(predicted - true, k=1)
    for sign, how in ((1, "more often"), (-1, "less often")):
        first = np.argsort(-sign * more, axis=None, kind="stable")[:_NAMED]
        places = [divmod(int(place), len(tags)) for place in first]
        pairs = [
            f"{tags[a]} with {tags[b]} ({predicted[a, b]:,} tiles, {true[a, b]:,} in truth)"
            for a, b in places
            if sign * more[a, b] > 0
        ]
        sentence += f" Predicted together {how} than in truth: {listed(pairs)}." if pairs else ""
    return sentence


def _matrix(tags: list[str], counts: npt.NDArray[np.int64], where: str) -> str:
    share = counts / np.maximum(np.diag(counts), 1)[:, None]
    edge, marks = _LABEL + _CELL * len(tags), []
    for row, tag in enumerate(tags):
        short, middle = shortened(tag, _LONGEST), _LABEL + _CELL * (row + 0.5)
        marks += [text(_LABEL - 4, middle + 4, short, "end"), text(middle + 4, _LABEL - 4, short, "start", -90)]
        for column, other in enumerate(tags):
            if row != column:
                marks.append(
                    f'<rect class="cell" x="{_LABEL + _CELL * column}" y="{_LABEL + _CELL * row}" '
                    f'width="{_CELL - 1}" height="{_CELL - 1}" fill-opacity="{0.04 + 0.96 * share[row, column]:.2f}">'
                    f"<title>{escape(f'{tag} with {other}: {counts[row, column]:,} tiles, {share[row, column]:.0%}')}"
                    "</title></rect>"
                )
    return picture(edge, edge, marks, f"Matrix of {len(tags)} tags: how often two occur together {where}")
