"""What tagging a scene gives: probabilities and tags of each cell, and areas with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.labels import MultiHot, TagSet
from amazon_ml.scenes.grid import Grid, Windows, cell_bounds
from amazon_ml.scenes.layer import Column, Layer, unique_names
from amazon_ml.scenes.placing import pixel_hectares

#: Standard deviations on both sides that hold 95 % of a normal distribution.
_NORMAL_95 = 1.959964


#: Columns of the cells beside those of the tags.
FIXED = ("fid", "geom", "geometry", "row", "column", "valid", "inside", "tags")


@dataclass(frozen=True)
class SceneResult:
    """Probabilities and tags of the cells of a scene.

    Parameters
    ----------
    grid
        Pixels that the windows were cut from.
    windows
        The windows, one for each cell.
    tags
        Names of the tags.
    p
        Probabilities, float32 of shape (rows, columns, tags); NaN where a window has too few pixels with data, or lies
        outside the area of interest.
    predicted
        Tags by the decision rule, 0 or 1, of the same shape; 0 where the probabilities are NaN.
    valid
        Share of the pixels of each window that have data, shape (rows, columns).
    inside
        Share of each cell that lies inside the area of interest; 1 without one.
    notes
        What was decided on the way, in sentences for the user.
    """

    grid: Grid
    windows: Windows
    tags: tuple[str, ...]
    p: npt.NDArray[np.float32]
    predicted: MultiHot
    valid: npt.NDArray[np.float32]
    inside: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which cells have probabilities, shape (rows, columns)."""
        known: npt.NDArray[np.bool_] = ~np.isnan(self.p[..., 0])
        return known

    def layer(self) -> Layer:
        """Make a layer of the cells of the area of interest, row by row.

        Its columns are ``row`` and ``column`` of the window, ``valid`` and ``inside``, ``tags`` separated by spaces,
        and ``p_…`` for the probability of each tag; the last two have no value where too few pixels have data.
        """
        rows, columns = np.nonzero(self.inside > 0)
        p, known = self.p[rows, columns], self.known
        names = probability_columns(self.tags)
        spread = self.p[known].std(axis=0) if known.any() else np.zeros(len(names))
        # First the tag whose probabilities differ most: it says most about the scene.
        order = np.argsort(-spread, kind="stable").tolist()
        texts = tag_texts(self.tags, self.predicted[rows, columns], known[rows, columns])
        return Layer(
            "cells", self.grid.crs, cell_bounds(self.grid, self.windows, rows, columns),
            (
                Column("row", rows), Column("column", columns), Column("valid", self.valid[rows, columns]),
                Column("inside", self.inside[rows, columns]), Column("tags", texts),
                *(Column(name, p[:, at]) for at, name in enumerate(names)),
            ),
            {names[at]: self.tags[at] for at in order},
        )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """Make a table with a row for each cell: the columns of `layer`, and a column for each tag."""
        columns = self.layer().columns
        names = [column.name for column in columns[: -len(self.tags)]]
        return pd.DataFrame(dict(zip([*names, *self.tags], (column.data for column in columns), strict=True)))

    def summary(self) -> pd.DataFrame:
        """Estimate the area of each tag, with an interval of 95 %.

        A cell counts with its area inside the area of interest, times the share of its window with data. The area of a
        tag is the sum of these areas times the probabilities; its variance is the sum of the squared areas times
        p (1 - p), as for independent cells. Where windows overlap, size² / stride² of them share their pixels, and the
        variance is so many times larger. The interval is that of a normal distribution, within 0 and the whole area.

        Returns
        -------
        pandas.DataFrame
            A row for each tag: ``hectares`` with ``low`` and ``high``, the same as a ``share`` of the area with data
            (``share_low``, ``share_high``), and what the decision rule alone says: ``tagged_hectares`` and
            ``tagged_cells``; ``cells`` and ``hectares_with_data`` are the same for all. Hectares are NaN in pixel
            coordinates.
        """
        hectares = pixel_hectares(self.grid)
        known = self.known
        areas = (self.windows.areas() * self.inside * self.valid)[known]
        p, on = self.p[known].astype(np.float64), self.predicted[known]
        overlap = (self.windows.size / self.windows.stride) ** 2
        expected = areas @ p
        spread = _NORMAL_95 * np.sqrt(overlap * (areas**2 @ (p * (1 - p))))
        total = areas.sum()
        low, high = np.maximum(expected - spread, 0), np.minimum(expected + spread, total)
        unit = np.nan if hectares is None else hectares
        share = 1 / total if total else np.nan
        return pd.DataFrame({
            "tag": list(self.tags),
            "hectares": expected * unit, "low": low * unit, "high": high * unit,
            "share": expected * share, "share_low": low * share, "share_high": high * share,
            "tagged_hectares": (areas @ on) * unit, "tagged_cells": on.sum(axis=0, dtype=int),
            "cells": int(known.sum()), "hectares_with_data": total * unit,
        })  # fmt: skip


def probability_columns(tags: Sequence[str]) -> list[str]:
    """Name the columns of the tags' probabilities."""
    return unique_names([f"p_{tag}" for tag in tags], FIXED)


def tag_texts(tags: Sequence[str], on: MultiHot, known: npt.NDArray[np.bool_]) -> list[str | None]:
    """Join the tags of each cell, by spaces unless a tag holds one; None where they are not known."""
    named = TagSet(tuple(tags))
    texts = named.decode(on, separator=named.separator())
    return [text if there else None for text, there in zip(texts, known.tolist(), strict=True)]
