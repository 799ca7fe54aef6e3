"""Pictures of tiles with their tags, and of sweeps. They do not use pyplot, which would choose a plotting backend."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.transforms import Bbox, TransformedBbox

from amazon_ml.data.readers.images import Image
from amazon_ml.labels import shortened
from amazon_ml.runtime.files import atomic_write

#: Inches: the edge of a tile, the space between two, and the height of a line.
_TILE, _GAP, _LINE = 1.9, 0.1, 0.16
_RIGHT, _MISSED, _FALSE_POSITIVE = "#1a7f37", "#b35900", "#cf222e"
_LEGEND = "\N{CHECK MARK} right    \N{MINUS SIGN} missed    + false positive"
#: Most characters of a name below a tile.
_LONGEST = 24


def draw_tiles(
    path: Path,
    images: Sequence[Image],
    tags: Sequence[str],
    true: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    *,
    title: str,
    columns: int = 6,
) -> None:
    """Draw tiles with their tags: right tags, missed tags and false positives differ by mark and colour.

    Long names are shortened, so that they end before the next tile.

    Parameters
    ----------
    path
        PNG to write.
    images
        The tiles, uint8 arrays of shape (height, width, bands); the first three bands are shown as red,
        green and blue.
    tags
        Names of the columns.
    true, predicted
        Multi-hot arrays of shape (tiles, tags).
    title
        Line above the picture.
    """
    rows = -(-len(images) // columns)
    captions = [[line for line in map(_marked, tags, *pair) if line] for pair in zip(true, predicted, strict=True)]
    cell = _TILE + _LINE * (max(map(len, captions)) + 1)
    width, height = columns * (_TILE + _GAP) + _GAP, rows * cell + 3 * _LINE
    figure = Figure(figsize=(width, height))
    figure.text(0.5, 1 - _LINE / height, title, fontsize=11, ha="center", va="top", parse_math=False)
    figure.text(0.5, 1 - 2.1 * _LINE / height, _LEGEND, fontsize=7, ha="center", va="top", parse_math=False)
    for place, (image, lines) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(place, columns)
        left, top = _GAP + column * (_TILE + _GAP), height - 3 * _LINE - row * cell
        box = Bbox.from_bounds(left / width, (top - _TILE) / height, _TILE / width, _TILE / height)
        # Without axes, of which each takes as long to set up as to draw the tile and its captions.
        picture = BboxImage(TransformedBbox(box, figure.transFigure), interpolation="nearest", origin="upper")
        picture.set_data(image[..., [0, 1, 2] if image.shape[-1] > 2 else [0, 0, 0]])
        figure.add_artist(picture)
        for n, (text, colour) in enumerate(lines):
            lower = top - _TILE - _LINE * (n + 0.3)
            figure.text(left / width, lower / height, text, fontsize=7, color=colour, va="top", parse_math=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def draw_sweep(path: Path, sweep: pd.DataFrame, suggested: float) -> None:
    """Draw the loss over the learning rate, with the suggested rate.

    Parameters
    ----------
    path
        PNG to write.
    sweep
        Columns ``learning_rate``, ``loss`` and ``smoothed_loss``.
    suggested
        The suggested rate, which is marked.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.add_subplot(xscale="log", xlabel="learning rate", ylabel="training loss")
    axis.plot(sweep["learning_rate"], sweep["loss"], color="#bbbbbb", label="of a batch")
    axis.plot(sweep["learning_rate"], sweep["smoothed_loss"], color="#0969da", label="smoothed")
    axis.axvline(suggested, color=_RIGHT, linestyle="--", label=f"suggested: {suggested:.2g}")
    before = sweep["smoothed_loss"].iloc[: int(sweep["smoothed_loss"].to_numpy().argmin()) + 1]
    margin = 0.1 * before.max()
    axis.set_ylim(before.min() - margin, before.max() + margin)  # diverging losses would hide the rest
    axis.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def pick_varied(targets: npt.NDArray[np.uint8], count: int, seed: int) -> npt.NDArray[np.intp]:
    """Pick tiles so that rare tags are shown: each next tile is drawn from those of the tag that is shown least."""
    rng = np.random.default_rng(seed)
    left = rng.permutation(len(targets))
    shown = np.zeros(targets.shape[1])
    picked: list[int] = []
    while len(picked) < min(count, len(targets)):
        there = targets[left].any(axis=0)
        rarest = np.where(there, shown, np.inf).argmin()
        holders = np.flatnonzero(targets[left, rarest]) if there.any() else np.arange(len(left))
        tile = left[holders[0]]
        picked.append(int(tile))
        shown += targets[tile]
        left = left[left != tile]
    return np.array(picked, dtype=np.intp)


def _marked(tag: str, true: int, predicted: int) -> tuple[str, str] | None:
    name = shortened(tag, _LONGEST)
    return {
        (1, 1): (f"\N{CHECK MARK} {name}", _RIGHT),
        (1, 0): (f"\N{MINUS SIGN} {name}", _MISSED),
        (0, 1): (f"+ {name}", _FALSE_POSITIVE),
    }.get((int(true), int(predicted)))
