"""The page of a tagged scene."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from amazon_ml.scenes.page.document import document
from amazon_ml.scenes.page.embed import (
    amounts,
    cell_notes,
    embed_cells,
    embed_flags,
    embed_probabilities,
    largest,
    merged_cells,
    picture_uri,
)  # fmt: skip
from amazon_ml.scenes.result import SceneResult


def scene_title(paths: Sequence[str]) -> str:
    """Name a scene by its files."""
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return Path(paths[0]).name + more


def scene_page(title: str, result: SceneResult, summary: pd.DataFrame, picture: bytes) -> str:
    """Make the page of a scene.

    Parameters
    ----------
    title
        Plain text.
    result
        Its cells.
    summary
        The areas of the tags, as `SceneResult.summary` gives them.
    picture
        The scene as WebP.
    """
    merged = merged_cells(result.windows, len(result.tags))
    areas = amounts(summary["hectares"].tolist(), " ha")
    shares = amounts((100 * summary["share"]).tolist(), " %")
    known = result.known
    spread = result.p[known].std(axis=0).argmax() if known.any() else 0
    content = {
        "kind": "scene", "tags": list(result.tags), **embed_cells(result.grid, result.windows, merged),
        "amounts": [area or share for area, share in zip(areas, shares, strict=True)],
        "p": embed_probabilities(largest(result.p, merged)),
        "predicted": embed_flags(largest(result.predicted, merged).astype(bool)),
        # First the tag whose probabilities differ most: it says most about the scene.
        "shown": [int(spread)], "threshold": 0.5, "pictures": [picture_uri(picture)],
    }  # fmt: skip
    sums = "The areas beside the tags are sums of area x probability, as in `summary.csv`."
    notes = [*cell_notes(result.grid, result.windows, merged), sums, *map(_sentence, result.notes)]
    return document(title, content, notes)


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."
