"""The page of an audit: tiles with the tags that the network contradicts."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from amazon_ml.data.readers.images import Image
from amazon_ml.report.page.document import Section, document
from amazon_ml.report.page.html import figure, grid, paragraph
from amazon_ml.report.page.thumbnails import data_uri
from amazon_ml.runtime.files import write_text

#: Pixels; larger tiles are scaled down, so that a page of a hundred tiles is smaller than 3 MB.
_EDGE = 160


def write_audit_page(
    path: Path, rows: pd.DataFrame, images: Sequence[Image], given: Sequence[Sequence[str]], *, title: str,
    extent: str,
) -> None:  # fmt: skip
    """Write the page.

    Parameters
    ----------
    path
        HTML file to write; it needs no other file and no network.
    rows
        Contradicted labels of the tiles shown: ``image_name``, ``tag``, ``given``, ``probability``; the tiles
        in the order in which they appear.
    images
        The tiles, uint8 arrays of shape (height, width, bands); the first three bands are shown.
    given
        The tags of each tile.
    title
        Heading of the page.
    extent
        How many labels are listed in the table, of how many, and in how many tiles.
    """
    tiles = list(rows.groupby("image_name", sort=False))
    cards = [
        _card(str(name), labels, image, tags) for (name, labels), image, tags in zip(tiles, images, given, strict=True)
    ]
    lead = (
        f"Listed are {escape(extent)}. {len(tiles):,} of these tiles are shown, the strongest contradictions first. "
        '<span class="doubted">Orange</span>: a tag that the tile has and the network doubts. '
        '<span class="missing">Blue</span>: a tag that the tile lacks and the network predicts. The number is the '
        "probability of networks that were not trained on the tile. Networks make errors, too: look at the tile before "
        "you change a tag."
    )
    cards_section = Section("tiles", "Tiles", grid(cards, "11rem"))
    write_text(path, document(title, paragraph(lead), [cards_section]))


def _card(name: str, labels: pd.DataFrame, shown: Image, tags: Sequence[str]) -> str:
    lines = [f"<b>{escape(name)}</b>", escape(", ".join(tags) or "no tag")]
    for tag, given, p in zip(labels["tag"], labels["given"], labels["probability"], strict=True):
        kind, mark = ("doubted", "\N{MINUS SIGN}") if given else ("missing", "+")
        lines.append(f'<span class="{kind}">{mark} {escape(str(tag))} {p:.3f}</span>')
    alt = escape(f"tile {name}, tagged {', '.join(tags)}", quote=True)
    image = f'<img src="{data_uri(shown, _EDGE, quality=85)}" alt="{alt}">'
    return figure(image, "<br>".join(lines), "card")
