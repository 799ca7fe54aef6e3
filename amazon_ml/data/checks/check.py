"""All that is wrong with a folder of tiles, from one look at its table and its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.table import Reading
from amazon_ml.data.checks.findings import Finding, weigh
from amazon_ml.data.checks.reading import PixelReading, reading_faults
from amazon_ml.data.checks.scan import scan
from amazon_ml.data.checks.search import (
    duplicate_faults,
    few_tiles,
    file_faults,
    image_faults,
    table_faults,
    tif_faults,
)
from amazon_ml.data.checks.survey import Survey, survey


@dataclass(frozen=True)
class Report:
    """What a folder holds, and what is wrong with it.

    Parameters
    ----------
    table
        CSV of names and tags.
    rows
        Number of names in it.
    tags
        How many of these have each tag of the tag list.
    tiles
        Number of tiles in each folder of images.
    findings
        What is wrong or worth a look, faults first.
    leave_out
        Names of the tagged tiles that faults are about, each with the kind of the first.
    """

    table: str
    rows: int
    tags: dict[str, int]
    tiles: dict[str, int]
    findings: tuple[Finding, ...]
    leave_out: dict[str, str]

    @property
    def faults(self) -> list[Finding]:
        """Those findings that would spoil training."""
        return [finding for finding in self.findings if finding.severity == "fault"]


def check(
    folder: Path,
    *,
    table: Path | None = None,
    images: Path | None = None,
    tags: Sequence[str] | None = None,
    name_column: str | None = None,
    tags_column: str | None = None,
    tag_separator: str | None = None,
    allow_missing: bool = False,
    allow_untagged: bool = False,
    merge_rows: bool = False,
    leave_out: Path | None = None,
    n_folds: int = 2,
    workers: int = 2,
    pixels: PixelReading = PixelReading(),  # noqa: B008 (frozen)
) -> Report:
    """Look at the table and at every image of a folder; no fault ends the work, and nothing is changed.

    Folders and table are found as `read_catalog` finds them, with the same options; `n_folds` is the
    number of folds of the training, `workers` of threads, `pixels` how training would read the tiles.

    Raises
    ------
    InputError
        When there is nothing to check: no folder, no table, no columns of names and tags, no tags.
    """
    reading = Reading(tags, name_column, tags_column, tag_separator, allow_untagged, merge_rows, leave_out)
    seen = survey(folder, reading, table=table, images=images, bands=pixels.bands, colours=pixels.colours)
    tiles = _tiles(seen)
    looks, thumbnails = scan(tiles["path"].tolist(), workers=workers, max_pixels=pixels.max_pixels)
    tiles = pd.concat([tiles, looks], axis=1)
    cases = chain(
        table_faults(seen),
        file_faults(seen, allow_missing=allow_missing),
        few_tiles(seen, n_folds),
        image_faults(tiles),
        reading_faults(tiles, seen.colours, pixels, workers),
        duplicate_faults(tiles, thumbnails, workers),
        tif_faults(tiles, workers, pixels.max_pixels),
    )
    names = seen.rows.drop_duplicates("image_name")
    findings, reasons = weigh(cases, len(names))
    counts = {tag: sum(tag in tags for tags in names["tags"]) for tag in seen.tags.names}
    return Report(str(seen.table), len(names), counts, seen.counts, findings, reasons)


def _tiles(seen: Survey) -> pd.DataFrame:
    """List the tiles with a file, tagged ones first: ``image_name``, ``path``, ``tif``, ``tagged``, ``tags``."""
    tags = seen.rows.drop_duplicates("image_name").set_index("image_name")["tags"]
    tagged = seen.tagged[seen.tagged["path"].notna()].drop_duplicates("path").assign(tagged=True)
    tagged["tags"] = tagged["image_name"].map(tags)
    return pd.concat([tagged, seen.untagged.assign(tagged=False)], ignore_index=True)
