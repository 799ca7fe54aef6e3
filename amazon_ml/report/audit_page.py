"""The page of an audit: tiles whose tags the network contradicts, to be judged by eye."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from amazon_ml.data.images import Image
from amazon_ml.files import write_text
from amazon_ml.report.page import html_page

#: Pixels; larger tiles are scaled down, so that a page of a hundred stays below 3 MB.
_EDGE = 160

_STYLE = """main { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid #8886; border-radius: 6px; padding: .6rem; }
img { width: 100%; border-radius: 4px; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
.doubted { color: light-dark(#b35900, #f0a050); font-weight: 600; }
.missing { color: light-dark(#0a5fb4, #6cb6ff); font-weight: 600; }
"""


def write_audit_page(
    path: Path, rows: pd.DataFrame, images: Sequence[Image], given: Sequence[Sequence[str]], *, title: str
) -> None:
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
        The tags that each tile carries.
    title
        Heading of the page.
    """
    tiles = list(rows.groupby("image_name", sort=False))
    cards = [
        _card(str(name), labels, image, tags) for (name, labels), image, tags in zip(tiles, images, given, strict=True)
    ]
    lead = (
        f"{len(tiles)} tiles, the strongest contradictions first. "
        '<span class="doubted">Orange</span>: a tag that the tile carries and the network doubts. '
        '<span class="missing">Blue</span>: a tag that it lacks and the network sees. The number is the probability '
        "by networks that were not trained on the tile. Networks err, too: look before you change a tag."
    )
    body = "\n".join([f"<p>{lead}</p>", "<main>", *cards, "</main>"])
    write_text(path, html_page(title, body, _STYLE))


def _card(name: str, labels: pd.DataFrame, image: Image, tags: Sequence[str]) -> str:
    lines = [f"<b>{escape(name)}</b>", escape(", ".join(tags) or "no tag")]
    for tag, given, p in zip(labels["tag"], labels["given"], labels["probability"], strict=True):
        kind, mark = ("doubted", "\N{MINUS SIGN}") if given else ("missing", "+")
        lines.append(f'<span class="{kind}">{mark} {escape(str(tag))} {p:.3f}</span>')
    alt = escape(f"tile {name}, tagged {', '.join(tags)}", quote=True)
    return f'<figure><img src="{_embedded(image)}" alt="{alt}"><figcaption>{"<br>".join(lines)}</figcaption></figure>'


def _embedded(image: Image) -> str:
    shown = np.ascontiguousarray(image[..., [2, 1, 0] if image.shape[-1] > 2 else [0, 0, 0]])
    height, width = shown.shape[:2]
    scale = _EDGE / max(height, width)
    if scale < 1:
        size = round(width * scale), round(height * scale)
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
