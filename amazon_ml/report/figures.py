"""Pictures of tiles with their tags."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from amazon_ml.data.images import read_tile
from amazon_ml.files import written_whole

_RIGHT, _MISSED, _SURPLUS = "#1a7f37", "#b35900", "#cf222e"


def draw_tiles(
    path: Path,
    images: Sequence[str],
    tags: Sequence[str],
    true: npt.NDArray[np.uint8],
    decided: npt.NDArray[np.uint8],
    *,
    title: str,
    columns: int = 6,
) -> None:
    """Draw tiles with their tags: right ones, missed ones and surplus ones told apart by mark and colour.

    Parameters
    ----------
    path
        PNG to write.
    images
        Files of the tiles.
    tags
        The tag list.
    true, decided
        Multi-hot arrays of shape (tiles, tags).
    title
        Line above the picture.
    """
    rows = -(-len(images) // columns)
    captions = [[line for line in map(_marked, tags, *pair) if line] for pair in zip(true, decided, strict=True)]
    most = max(map(len, captions))
    figure = Figure(figsize=(2 * columns, (2 + 0.17 * most) * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, image, lines in zip(axes, images, captions, strict=False):
        axis.imshow(read_tile(Path(image)), interpolation="nearest")
        # Empty lines below keep the same room under each tile.
        for place, (text, colour) in enumerate([*lines, *[(" ", "none")] * (most - len(lines))]):
            axis.annotate(
                text, (0, -0.02 - 0.085 * place), xycoords="axes fraction", va="top", fontsize=7, color=colour
            )
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def pick_varied(targets: npt.NDArray[np.uint8], count: int, seed: int) -> npt.NDArray[np.intp]:
    """Pick tiles so that rare tags are seen: each next tile is drawn among those of the tag shown least."""
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


def _marked(tag: str, true: int, decided: int) -> tuple[str, str] | None:
    return {
        (1, 1): (f"\N{CHECK MARK} {tag}", _RIGHT),
        (1, 0): (f"\N{MINUS SIGN} {tag} (missed)", _MISSED),
        (0, 1): (f"+ {tag} (surplus)", _SURPLUS),
    }.get((int(true), int(decided)))
