"""Section of tiles: the best and the worst of all, and for each tag the best, the worst and the most doubtful."""

from collections.abc import Callable
from html import escape

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.logistic import logit
from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import figure, grid, paragraph
from amazon_ml.report.page.results import Results

#: Gives the source of a tile's image by its name.
Thumbnail = Callable[[str], str]

#: Most thumbnails in the galleries of tags, so that the page is small; tiles in each gallery.
_MOST, _EACH = 240, 4
_OVERALL = 6


def gallery_section(results: Results, thumbnail: Thumbnail) -> Section:
    """Show tiles with their true and predicted tags and probabilities."""
    scores = fbeta_per_tile(results.true, results.predicted, results.beta)
    worst, best = worst_and_best(scores, results.p, results.true, _OVERALL)
    body = [
        paragraph(
            "A check marks a tag that was predicted rightly, "
            '<span class="doubted">\N{MINUS SIGN} a missed tag</span>, '
            '<span class="missing">+ a false positive</span>; the number is its probability. Tags are those of the '
            "run's rule, fitted on all tiles."
        ),
        "<h3>The worst tiles</h3>",
        _cards(results, thumbnail, worst, scores),
        "<h3>The best tiles</h3>",
        _cards(results, thumbnail, best, scores),
        "<h3>Tag by tag</h3>",
    ]
    shown = results.most_lost(_MOST // 3)
    each = min(_EACH, _MOST // (3 * len(shown)))
    if len(shown) < len(results.tags):
        body.append(paragraph(f"The {len(shown)} tags that cost most of the score, of {len(results.tags)}.", "note"))
    body += [_of_tag(results, thumbnail, tag, each, scores) for tag in shown]
    return Section("tiles", "Tiles", "\n".join(body))


def worst_and_best(
    scores: npt.NDArray[np.float64], p: npt.NDArray[np.float32], true: npt.NDArray[np.uint8], count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pick tiles by score; of equal ones, the worst has the least likely truth, the best has the most tags."""
    surprise = -np.log(np.maximum(np.where(true, p, 1 - p), 1e-7)).sum(axis=1)
    return np.lexsort((-surprise, scores))[:count], np.lexsort((surprise, -true.sum(axis=1), -scores))[:count]


def pick_for_tag(
    p: npt.NDArray[np.float32],
    true: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    threshold: float,
    count: int,
) -> dict[str, npt.NDArray[np.intp]]:
    """Pick tiles by one tag.

    Parameters
    ----------
    p, true, predicted
        Probability, truth and prediction of each tile, shape (tiles,).
    threshold
        Probability of the greatest doubt.
    count
        Most tiles to pick for each reason.

    Returns
    -------
    ``best``: tiles whose tag was predicted rightly, the surest first. ``worst``: tiles predicted wrongly, the surest
    first. ``most doubtful``: tiles nearest to the threshold in log odds.
    """
    right, wrong = np.flatnonzero(true & predicted), np.flatnonzero(true != predicted)
    doubt = np.abs(logit(p) - logit(np.clip(threshold, 1e-6, 1 - 1e-6)))
    return {
        "best": right[np.argsort(-p[right], kind="stable")][:count],
        "worst": wrong[np.argsort(-np.abs(p - true)[wrong], kind="stable")][:count],
        "most doubtful": np.argsort(doubt, kind="stable")[:count],
    }


def _of_tag(results: Results, thumbnail: Thumbnail, tag: int, each: int, scores: npt.NDArray[np.float64]) -> str:
    record, name = results.record(tag), escape(results.tags[tag])
    threshold = DEFAULT_THRESHOLD if record["threshold"] is None else float(record["threshold"])
    picked = pick_for_tag(results.p[:, tag], results.true[:, tag], results.predicted[:, tag], threshold, each)
    rows = [
        f"<h3>{name}: {kind}</h3>" + _cards(results, thumbnail, tiles, scores, tag)
        for kind, tiles in picked.items()
        if len(tiles)
    ]
    counts = f"{record['support']:,} tiles, {results.f} {record['fbeta']:.3f}"
    return f"<details><summary><b>{name}</b> ({counts})</summary>{''.join(rows)}</details>"


def _cards(
    results: Results,
    thumbnail: Thumbnail,
    tiles: npt.NDArray[np.intp],
    scores: npt.NDArray[np.float64],
    tag: int | None = None,
) -> str:
    return grid([_card(results, thumbnail, int(tile), float(scores[tile]), tag) for tile in tiles], "8.5rem")


def _card(results: Results, thumbnail: Thumbnail, tile: int, score: float, tag: int | None) -> str:
    name = str(results.names.iloc[tile])
    truth = [results.tags[column] for column in np.flatnonzero(results.true[tile])]
    given = [results.tags[column] for column in np.flatnonzero(results.predicted[tile])]
    alt = f"Tile {name}; true tags: {', '.join(truth) or 'none'}; predicted: {', '.join(given) or 'none'}"
    lines = [f"{escape(name)}, {results.f} {score:.2f}"]
    for column in range(len(results.tags)):
        line = _line(results, tile, column)
        if line or column == tag:
            lines.append(line or f"{escape(results.tags[column])} {results.p[tile, column]:.2f}, rightly not predicted")
    image = f'<img src="{thumbnail(name)}" alt="{escape(alt)}">'
    return figure(image, "<br>".join(lines), "card")


def _line(results: Results, tile: int, column: int) -> str:
    text = f"{escape(results.tags[column])} {results.p[tile, column]:.2f}"
    return {
        (1, 1): f"\N{CHECK MARK} {text}",
        (1, 0): f'<span class="doubted">\N{MINUS SIGN} {text}</span>',
        (0, 1): f'<span class="missing">+ {text}</span>',
    }.get((int(results.true[tile, column]), int(results.predicted[tile, column])), "")
