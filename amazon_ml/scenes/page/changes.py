"""The page of a comparison: both dates with a swipe between them, and the cells whose tags appeared or went."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from amazon_ml.scenes.page.document import document
from amazon_ml.scenes.page.embed import (
    amounts,
    cell_notes,
    embed_cells,
    embed_probabilities,
    largest,
    merged_cells,
    picture_uri,
)  # fmt: skip

if TYPE_CHECKING:
    from amazon_ml.scenes.compare import Comparison


def changes_page(title: str, comparison: "Comparison", summary: pd.DataFrame, pictures: Sequence[bytes]) -> str:
    """Make the page of a comparison.

    Parameters
    ----------
    title
        Plain text.
    comparison
        Its cells.
    summary
        The areas of the changes, as `Comparison.summary` gives them.
    pictures
        Both dates as WebP.
    """
    before, after, tags = comparison.before, comparison.after, list(comparison.tags)
    merged = merged_cells(before.windows, 4 * len(tags))
    own = [before.tags.index(tag) for tag in tags]
    planes = {
        "appeared": comparison.appeared, "went": comparison.went, "before": before.p[..., own],
        "after": after.p[..., own],
    }  # fmt: skip
    areas = [amounts(summary[name].tolist(), " ha") for name in ("appeared", "went")]
    content = {
        "kind": "changes", "tags": tags, **embed_cells(before.grid, before.windows, merged),
        "amounts": [f"+{more} \N{MINUS SIGN}{less}" if more else "" for more, less in zip(*areas, strict=True)],
        **{name: embed_probabilities(largest(values, merged)) for name, values in planes.items()},
        "shown": list(range(len(tags))), "threshold": comparison.least, "pictures": [*map(picture_uri, pictures)],
    }  # fmt: skip
    sums = "Beside each tag stands where it appeared (+) and where it went, as in `changes.csv`."
    return document(title, content, [*cell_notes(before.grid, before.windows, merged), sums])
