"""Compares two dates of the same ground: where tags appeared, and where they went."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.errors import InputError
from amazon_ml.labels import declared
from amazon_ml.runtime.files import write_json, write_table, write_text
from amazon_ml.runtime.outputs import check_place
from amazon_ml.scenes.change import Change, change_of
from amazon_ml.scenes.formats import write_geojson, write_geoparquet
from amazon_ml.scenes.geopackage import write_geopackage
from amazon_ml.scenes.grid import cell_bounds
from amazon_ml.scenes.journals import check_closed
from amazon_ml.scenes.layer import Column, Layer, unique_names
from amazon_ml.scenes.map_files import map_file
from amazon_ml.scenes.outputs import PICTURE
from amazon_ml.scenes.page.changes import changes_page
from amazon_ml.scenes.picture import read_picture
from amazon_ml.scenes.placing import pixel_hectares
from amazon_ml.scenes.result import FIXED, SceneResult, tag_texts
from amazon_ml.scenes.stored import read_frame, read_result
from amazon_ml.version import __version__

log = logging.getLogger(__name__)

CHANGES, PARQUET, GEOJSON, SUMMARY, RECORD, MAP = (
    "changes.gpkg", "changes.parquet", "changes.geojson", "changes.csv", "compare.json", "map.html",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What changed between two dates.

    Parameters
    ----------
    before, after
        The two results, on the same grid.
    tags
        Tags of the ground: those of the weather are left out.
    appeared, went
        Probabilities for each cell and tag that it appeared, or went: shape (rows, columns, tags); NaN where a date
        has no probabilities.
    changes
        What was computed for each tag.
    least
        Least probability from which on a change is listed.
    """

    before: SceneResult
    after: SceneResult
    tags: tuple[str, ...]
    appeared: npt.NDArray[np.float32]
    went: npt.NDArray[np.float32]
    changes: tuple[Change, ...]
    least: float

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which cells have probabilities at both dates."""
        return self.before.known & self.after.known

    def layer(self) -> Layer:
        """Make a layer of the cells: tags that appeared and went, and the probabilities ``new_…`` and ``gone_…``."""
        rows, columns = np.nonzero((self.before.inside > 0) & (self.after.inside > 0))
        known = self.known[rows, columns]
        appeared, went = self.appeared[rows, columns], self.went[rows, columns]
        texts = [tag_texts(self.tags, (one >= self.least).astype(np.uint8), known) for one in (appeared, went)]
        names = unique_names([f"{kind}_{tag}" for kind in ("new", "gone") for tag in self.tags],
                             (*FIXED, "appeared", "went"))  # fmt: skip
        values = np.concatenate([appeared, went], axis=1)
        titles = [f"{tag} {kind}" for kind in ("appeared", "went") for tag in self.tags]
        most = np.where(known[:, None], values, 0).sum(axis=0) if len(values) else np.zeros(len(names))
        order = np.argsort(-most, kind="stable").tolist()
        return Layer(
            "changes", self.before.grid.crs, cell_bounds(self.before.grid, self.before.windows, rows, columns),
            (
                Column("row", rows), Column("column", columns), Column("appeared", texts[0]), Column("went", texts[1]),
                *(Column(name, values[:, at]) for at, name in enumerate(names)),
            ),
            {names[at]: titles[at] for at in order},
        )  # fmt: skip

    def summary(self) -> pd.DataFrame:
        """Estimate the areas where each tag appeared and went, with intervals of 95 %.

        Cells count with the smaller of their areas at the two dates. The intervals hold the chance in each cell and how
        uncertain the rate of change is.

        Returns
        -------
        pandas.DataFrame
            A row for each tag: ``appeared`` and ``went`` in hectares with ``…_low`` and ``…_high`` (NaN in pixel
            coordinates), and the numbers of cells whose change is listed, ``appeared_cells`` and ``went_cells``.
        """
        unit = pixel_hectares(self.before.grid) or np.nan
        whole = float(_areas(self.before, self.after).sum())
        overlap = (self.before.windows.size / self.before.windows.stride) ** 2
        table: dict[str, object] = {"tag": list(self.tags)}
        for name, p, areas in (
            ("appeared", self.appeared, [change.appeared_area for change in self.changes]),
            ("went", self.went, [change.went_area for change in self.changes]),
        ):
            low, high = ([area.quantile(share, whole, overlap=overlap) for area in areas] for share in (0.025, 0.975))
            table |= {
                name: np.array([area.mean for area in areas]) * unit, f"{name}_low": np.array(low) * unit,
                f"{name}_high": np.array(high) * unit, f"{name}_cells": (p[self.known] >= self.least).sum(axis=0),
            }  # fmt: skip
        return pd.DataFrame({**table, "cells": int(self.known.sum())})


def _areas(before: SceneResult, after: SceneResult) -> npt.NDArray[np.float64]:
    """Pixels of each cell that is known at both dates: the smaller number of those that have data."""
    shares = np.minimum(before.valid * before.inside, after.valid * after.inside)
    areas: npt.NDArray[np.float64] = (before.windows.areas() * shares)[before.known & after.known]
    return areas


def compare_scenes(
    before: Path, after: Path, *, out: Path, least: float = 0.5, geojson: bool = False, overwrite: bool = False
) -> Comparison:
    """Find where tags appeared, and where they went, between two dates of the same ground.

    Parameters
    ----------
    before
        Folder of the result of the earlier scene, as ``amazon-ml scene predict`` writes it.
    after
        Folder of the later one, on the same grid: tag it with the option ``--like BEFORE``.
    out
        Folder to write: map.html, changes.gpkg, changes.parquet, changes.csv and compare.json.
    least
        Least probability from which on a change is listed, in 0..1.
    geojson
        Write changes.geojson, too, in longitude and latitude.
    overwrite
        Replace existing results.

    Returns
    -------
    Comparison
        The changes of each cell.

    Raises
    ------
    InputError
        If the results do not have the same cells and tags, or an output exists.
    """
    if not 0 < least <= 1:
        raise InputError(f"`least` must be above 0 and at most 1, not {least}", option="least")
    if os.path.realpath(out) in map(os.path.realpath, (before, after)):
        raise InputError(f"`out` {out} holds one of the results that are compared, and its {MAP}", option="out",
                         remedy="name another folder")  # fmt: skip
    results = read_result(before, "before"), read_result(after, "after")
    frames = read_frame(before, "before"), read_frame(after, "after")
    if frames[0].networks != frames[1].networks:
        log.warning("the scenes were tagged by different networks, whose differences look like changes of the ground")
    _check_same(*results, before, after)
    if geojson and not results[0].grid.crs:
        raise InputError("a GeoJSON needs longitude and latitude, which pixel coordinates lack", option="geojson")
    pictures = [
        read_picture(folder / PICTURE, results[0].grid, option)
        for folder, option in ((before, "before"), (after, "after"))
    ]
    _check_free(out, overwrite)
    comparison = compare_results(*results, least=least, frequencies=frames[0].frequencies)
    layer = comparison.layer()
    for name, write in ((CHANGES, write_geopackage), (PARQUET, write_geoparquet), (GEOJSON, write_geojson)):
        if name != GEOJSON or geojson:
            with map_file(out / name) as temporary:
                write(temporary, layer)
    summary = comparison.summary()
    write_table(out / SUMMARY, summary.round(4))
    title = f"Changes from {before.resolve().name} to {after.resolve().name}"
    write_text(out / MAP, changes_page(title, comparison, summary, pictures))
    write_json(out / RECORD, {
        "amazon_ml": __version__, "before": str(before), "after": str(after), "least": least,
        "tags": list(comparison.tags), "cells": int(comparison.known.sum()),
    })  # fmt: skip
    log.info("wrote %s: %s cells", out, f"{int(comparison.known.sum()):,}")
    return comparison


def compare_results(
    before: SceneResult, after: SceneResult, *, least: float = 0.5, frequencies: Mapping[str, float] | None = None
) -> Comparison:
    """Compute the probabilities of change of each cell and tag of two results on the same grid.

    Parameters
    ----------
    before, after
        The results.
    least
        Least probability from which on a change is listed.
    frequencies
        Share of the training tiles with each tag; by default the mean of its probabilities.
    """
    rules = declared(before.tags)
    tags = tuple(tag for tag in before.tags if tag not in (*rules.exactly_one, *rules.alone))
    known = before.known & after.known
    hidden = [_hidden(one, rules.alone, known) for one in (before, after)]
    appeared, went = (np.full((*known.shape, len(tags)), np.nan, dtype=np.float32) for _ in range(2))
    areas, changes = _areas(before, after), []
    for at, tag in enumerate(tags):
        column = before.tags.index(tag)
        first, second = (one.p[..., column][known].astype(np.float64) for one in (before, after))
        change = change_of(first, second, hidden[0], hidden[1], (frequencies or {}).get(tag), areas)
        changes.append(change)
        appeared[known, at], went[known, at] = change.appeared, change.went
    return Comparison(before, after, tags, appeared, went, tuple(changes), least)


def _hidden(result: SceneResult, alone: Sequence[str], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Probability for each known cell that a tag that stands alone, such as cloudy, hides the ground."""
    hidden = np.zeros(int(known.sum()))
    for tag in alone:
        hidden = np.maximum(hidden, result.p[..., result.tags.index(tag)][known])
    return hidden


def _check_same(one: SceneResult, other: SceneResult, before: Path, after: Path) -> None:
    """Check that two results have the same cells and tags."""
    if one.tags != other.tags:
        raise InputError(f"the tags are not those of {before}", file=after, option="after",
                         remedy="tag both scenes with the same run")  # fmt: skip
    same = one.grid == other.grid and (one.windows.size, one.windows.stride) == (
        other.windows.size, other.windows.stride,
    )  # fmt: skip
    if not same:
        raise InputError(f"the cells are not those of {before}", file=after, option="after",
                         remedy=f"tag the later scene with `like` {before}")  # fmt: skip
    if not (one.known & other.known).any():
        raise InputError(f"no cell has tags here and in {before}", file=after, option="after")


def _check_free(out: Path, overwrite: bool) -> None:
    if os.path.lexists(out) and not out.is_dir():
        raise InputError(f"`out` {out} is no folder", option="out", remedy="name another folder")
    there = [name for name in (CHANGES, PARQUET, GEOJSON, SUMMARY, RECORD, MAP) if os.path.lexists(out / name)]
    if there and not overwrite:
        raise InputError(f"`out` {out} holds {there[0]} already", option="out",
                         remedy="name another folder, or replace it with `overwrite`")  # fmt: skip
    check_closed(out / CHANGES)
    for name in there:
        (out / name).unlink()
    check_place(out / RECORD)
