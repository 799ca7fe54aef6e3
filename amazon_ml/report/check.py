"""The check of a folder of tiles: on the terminal, as JSON, and as a list of names to leave out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pandas as pd
from rich.markup import escape
from rich.table import Table

from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.data.checks.check import Report, check
from amazon_ml.data.checks.findings import Finding
from amazon_ml.data.checks.reading import PixelReading
from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.bands import parse_bands
from amazon_ml.errors import InputError, WorkError
from amazon_ml.report.tables import console
from amazon_ml.runtime.files import write_json, write_table
from amazon_ml.runtime.outputs import check_outputs


def check_folder(
    folder: Path, *, table: Path | None = None, images: Path | None = None, tags: list[str] | None = None,
    name_column: str | None = None, tags_column: str | None = None, tag_separator: str | None = None,
    allow_missing: bool = False, allow_untagged: bool = False, merge_rows: bool = False, exclude: Path | None = None,
    examples: int = 3, workers: int | None = None, json: Path | None = None, leave_out: Path | None = None,
    bands: str = "rgb", colours: Literal["jpg", "tif"] | None = None, tif_order: str | None = None,
    tif_limits: dict[str, list[float]] | None = None, max_pixels: int = MAX_PIXELS,
    n_folds: int = 5, overwrite: bool = False,
) -> None:  # fmt: skip
    """Find what would spoil training on a folder of tiles, before it is trained on.

    Faults end with status 1; remarks do not.

    Parameters
    ----------
    folder
        Folder of tiles, in any layout that training takes, whole or not.
    table
        CSV of names and tags; found when not given.
    images
        Folder of the labelled images; found when not given.
    tags
        The tag list. When not given: the competition's 17 where the table has one of its names, else
        the distinct tags of the table.
    name_column
        Column of the table with file names; common names are understood.
    tags_column
        Column of the table with tags; common names are understood.
    tag_separator
        What stands between tags in a row; any white space when not given.
    allow_missing
        Rows whose file is missing are meant to be left out.
    allow_untagged
        Tiles without a tag are meant.
    merge_rows
        Rows of one name are one tile, with the tags of all of them.
    exclude
        CSV of names whose rows are passed over: the data.leave_out of the training to come.
    examples
        How many cases of a kind are shown; the JSON holds all.
    workers
        Threads; by default one a core.
    json
        File for all that was found.
    leave_out
        CSV to write, for data.leave_out: the names of the tagged tiles that faults are about.
    bands
        Channels of a tile, as in ``data.bands`` of training.
    colours
        Files that red, green and blue are read from, ``jpg`` or ``tif``; the JPGs by default, where there are any.
    tif_order
        Letters of the bands in a TIF, as they lie there.
    tif_limits
        For each band of a TIF, by its letter, the values that become 0 and 255.
    max_pixels
        Pixels of an image file at the most, by its header.
    n_folds
        Folds of the training to come, which needs as many tiles.
    overwrite
        Replace files that are there.

    Raises
    ------
    WorkError
        When there are faults.
    """
    if examples < 1 or (workers is not None and workers < 1):
        raise InputError("--examples and --workers must be at least 1")
    if n_folds < 2:
        raise InputError(f"--n_folds must be at least 2, not {n_folds}")
    pixels = PixelReading(parse_bands(bands), colours, tif_order, tif_limits, max_pixels)
    pixels.validate()
    outputs = {"--json": json, "--leave_out": leave_out}
    if any(outputs.values()):
        inputs = [find_layout(folder, table, images).table, exclude, *tables_around(folder)]
        check_outputs(outputs, inputs, overwrite=overwrite)
    report = check(
        folder, table=table, images=images, tags=tags, name_column=name_column, tags_column=tags_column,
        tag_separator=tag_separator, allow_missing=allow_missing, allow_untagged=allow_untagged,
        merge_rows=merge_rows, leave_out=exclude, n_folds=n_folds, workers=workers or os.cpu_count() or 1,
        pixels=pixels,
    )  # fmt: skip
    _print(report, examples)
    if json is not None:
        write_json(json, asdict(report))
    if leave_out is not None:
        names = pd.DataFrame(report.leave_out.items(), columns=["image_name", "reason"])
        write_table(leave_out, names)
    if report.faults:
        raise WorkError(f"{folder} has faults that would spoil training: {', '.join(f.kind for f in report.faults)}")


def _print(report: Report, examples: int) -> None:
    tiles = {"tagged in the table": report.rows, **{f"in {folder}": count for folder, count in report.tiles.items()}}
    console().print(_counts("tiles", tiles), _counts("tag", report.tags), findings_table(report.findings, examples))


def _counts(heading: str, counts: Mapping[str, int]) -> Table:
    table = Table()
    table.add_column(heading)
    table.add_column("count", justify="right")
    for name, count in counts.items():
        table.add_row(escape(name), f"{count:,}")
    return table


def findings_table(findings: Sequence[Finding], examples: int) -> Table | str:
    """Lay out findings with some cases of each."""
    if not findings:
        return "nothing to remark on"
    table = Table(show_lines=True)
    for heading in ("", "count", "what", "such as", "remedy"):
        table.add_column(heading, justify="right" if heading == "count" else "left")
    for finding in findings:
        shown = "\n".join(finding.items[:examples]) + "\n…" * (finding.count > examples)
        table.add_row(finding.severity, f"{finding.count:,}", finding.what, escape(shown), finding.remedy)
    return table
