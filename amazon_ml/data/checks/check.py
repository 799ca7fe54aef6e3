"""Checks the table and the images of a folder of tiles, and reports all faults."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.splits import count_splits
from amazon_ml.data.checks.findings import Finding, weigh
from amazon_ml.data.checks.reading import reading_faults
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
from amazon_ml.data.config import READING, ReadingConfig
from amazon_ml.data.readers.broken import find_broken
from amazon_ml.data.readers.fitting import check_reading
from amazon_ml.errors import InputError, WorkError


@dataclass(frozen=True)
class Report:
    """The contents of a folder, and its faults.

    Parameters
    ----------
    table
        Table of names and tags; several are joined by blanks.
    rows
        Number of names in the table.
    splits
        Number of tiles in each published split; empty without splits. Rows without a file do not count, unless none
        has one.
    tags
        Number of these tiles with each tag of the tag list.
    tiles
        Number of tiles in each folder of images.
    findings
        Faults and remarks, faults first.
    exclude
        Names of the tagged tiles with faults, each with the kind of its first fault.
    """

    table: str
    rows: int
    splits: dict[str, int]
    tags: dict[str, int]
    tiles: dict[str, int]
    findings: tuple[Finding, ...]
    exclude: dict[str, str]

    @property
    def faults(self) -> list[Finding]:
        """The findings that would spoil training."""
        return [finding for finding in self.findings if finding.severity == "fault"]


def check(folder: Path, config: ReadingConfig = READING, *, n_folds: int = 2, num_workers: int = 2) -> Report:
    """Check the table and every image of a folder; a fault does not end the work, and no file is changed.

    The check finds folders and table, and reads tiles, as training does with the same options.

    Parameters
    ----------
    folder
        Folder of tiles.
    config
        Options for reading the table and the tiles.
    n_folds
        Number of folds of the planned training.
    num_workers
        Number of threads.

    Raises
    ------
    InputError
        If there is nothing to check: no folder, no table, no columns of names and tags, no tags.
    """
    if n_folds < 2:
        raise InputError(f"n_folds must be at least 2, not {n_folds}", option="n_folds")
    check_reading(config)
    seen = survey(folder, config)
    tiles = _tiles(seen)
    looks, thumbnails = scan(tiles["path"].tolist(), num_workers=num_workers, max_pixels=config.max_pixels)
    tiles = pd.concat([tiles, looks], axis=1)
    if seen.source is not None and seen.source.files is not None and seen.source.files.each_band:
        broken = find_broken([tiles[tiles["fault"] == ""]], seen.source.files.paths)
        tiles["fault"] = [
            fault or broken.get(path, "") for fault, path in zip(tiles["fault"], tiles["path"], strict=True)
        ]
    cases = chain(
        table_faults(seen),
        file_faults(seen, allow_missing=config.allow_missing),
        few_tiles(seen, n_folds),
        image_faults(tiles),
        reading_faults(tiles, seen.rgb_source, config, num_workers, seen.source),
        duplicate_faults(tiles, thumbnails, num_workers),
        tif_faults(tiles, num_workers, config.max_pixels),
    )
    names = seen.rows.drop_duplicates("image_name")
    findings, reasons = weigh(cases, len(names))
    used = seen.used.drop_duplicates("image_name")
    counts = {tag: sum(tag in tags for tags in used["tags"]) for tag in seen.tags.names}
    splits = dict(count_splits(used["split"])) if used["split"].notna().any() else {}
    return Report(" ".join(map(str, seen.tables)), len(names), splits, counts, seen.counts, findings, reasons)


def check_faults(folder: Path, report: Report) -> None:
    """Raise a `WorkError` that names the kinds of faults, if there are any."""
    if report.faults:
        kinds = ", ".join(finding.kind for finding in report.faults)
        raise WorkError(f"{folder} has faults that would spoil training: {kinds}")


def _tiles(seen: Survey) -> pd.DataFrame:
    """List the tiles with a file, tagged ones first.

    Columns are ``image_name``, ``path``, ``tif``, ``tagged``, ``tags`` and ``split``.
    """
    rows = seen.rows.drop_duplicates("image_name").set_index("image_name")
    tagged = seen.tagged[seen.tagged["path"].notna()].drop_duplicates("path").assign(tagged=True)
    for column in ("tags", "split"):
        tagged[column] = tagged["image_name"].map(rows[column])
    return pd.concat([tagged, seen.untagged.assign(tagged=False, split=None)], ignore_index=True)
