"""Surveys the table and the file names of a folder, also where `read_catalog` raises an error."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.by_template import find_tiles_of, no_tiles
from amazon_ml.data.catalog.catalog import (
    check_untagged,
    files_without_row,
    name_places,
    names_with_files,
    read_namesakes,
)
from amazon_ml.data.catalog.contents import no_images
from amazon_ml.data.catalog.faults import Fault
from amazon_ml.data.catalog.join import Differences, locate
from amazon_ml.data.catalog.layout import Layout, find_layout, read_mapping, untagged_folders
from amazon_ml.data.catalog.splits import assign_splits
from amazon_ml.data.catalog.table import TagTable
from amazon_ml.data.catalog.tables import scan_tables
from amazon_ml.data.catalog.tiles import choose_files
from amazon_ml.data.catalog.unused_splits import (
    before_use,
    name_folders,
    split_folders,
    splits_in,
    splits_option,
    without_option,
)
from amazon_ml.data.config import ReadingConfig, RgbSource
from amazon_ml.data.readers.bands import parse_bands
from amazon_ml.data.readers.fitting import find_source, first_files
from amazon_ml.data.readers.named import NamedBands
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet


@dataclass(frozen=True)
class Survey:
    """Contents of the table and names of the files of a folder.

    Parameters
    ----------
    tables
        The tag tables.
    tags
        The tag list.
    rows
        Rows of the tables that can be read: ``image_name``, ``line``, ``tags`` (each a frozenset), ``split`` and
        ``untagged`` as in `TagTable.rows`.
    tagged
        One row for each name in the table: ``image_name``, ``path`` and ``tif``, the latter two missing where there is
        no file.
    untagged
        Tiles in test folders: ``image_name``, ``path``, ``tif``.
    without_row
        Names of the files beside those of tagged tiles that have no row.
    colourless
        Names of tiles in test folders without the file that red, green and blue are read from.
    counts
        Number of tiles in each folder of images.
    rgb_source
        Whether red, green and blue are read from the ``jpg`` or the ``tif`` of a tile.
    source
        The files of a tile and the bands in them, where a template names them.
    table_faults
        Faults of the table that training raises.
    slips
        A sentence on each rare tag that looks like a frequent one.
    phrases
        A sentence on each pair of tags that may be one name with a blank.
    unused_splits
        The column or the folders of published splits that are not used; empty where there are none.
    differences
        The difference between each name without a file and a similar file name.
    broken_names
        A sentence on each file whose name cannot be used, or is not unique.
    """

    tables: tuple[Path, ...]
    tags: TagSet
    rows: pd.DataFrame
    tagged: pd.DataFrame
    untagged: pd.DataFrame
    without_row: list[str]
    colourless: list[str]
    counts: dict[str, int]
    rgb_source: RgbSource
    source: NamedBands | None
    table_faults: list[Fault]
    slips: list[str]
    phrases: list[str]
    unused_splits: str
    differences: dict[str, str]
    broken_names: list[str]

    @property
    def used(self) -> pd.DataFrame:
        """The rows of tiles that training uses: those with a file; all where none has one, which is another fault."""
        there = self.tagged.loc[self.tagged["path"].notna(), "image_name"]
        return self.rows[self.rows["image_name"].isin(there)] if len(there) else self.rows


def survey(folder: Path, config: ReadingConfig) -> Survey:
    """Find and read a folder's table, and join it to the files, as `read_catalog` does with these options.

    Raises
    ------
    InputError
        If there is nothing to survey: no folder, no table, no columns of names and tags, no tags.
    """
    template, bands = first_files(config), parse_bands(config.bands)
    layout = find_layout(folder, config, template)
    joins = names_with_files(layout, template)
    read = scan_tables(layout.tables, config, joins)
    rows = read.rows
    tests = untagged_folders(layout, rows["image_name"], template)
    renamed, broken_mapping = _read_mapping(folder)
    files, broken_files = find_tiles_of(template, layout.places, below=not layout.planet, exclude=tests)
    others, broken_others = find_tiles_of(template, tests, below=False, renamed=renamed)
    if files.empty and others.empty and not (broken_files or broken_others):
        places = [*layout.places, *tests]
        raise no_images(places) if template is None else no_tiles(template, places)
    settled, rgb_source = read_namesakes(read, files, layout, config)
    files = settled.files
    usable, _ = choose_files(files, bands, rgb_source)
    untagged, colourless = choose_files(others, bands, rgb_source)
    # `choose_files` returns TIFs only where the bands need them; here they are compared with the JPGs.
    listed = pd.concat([files, others])
    tifs = pd.Series(listed["tif"].array, index=listed["path"].array)
    names = rows[["image_name"]].drop_duplicates(ignore_index=True)
    tagged = locate(names, usable, name_places(layout))
    if config.splits is not None:
        located = assign_splits(rows.merge(tagged, on="image_name"), config.splits, folder, joins)
        rows = located[rows.columns]
        tagged = tagged[tagged["image_name"].isin(rows["image_name"])].reset_index(drop=True)
    missing = tagged.loc[tagged["path"].isna(), "image_name"]
    differences = Differences(usable["image_name"].tolist(), read.records)
    return Survey(
        tables=layout.table_paths,
        tags=read.tags,
        rows=rows.assign(tags=rows["found"].map(frozenset)),
        tagged=tagged.assign(tif=tagged["path"].map(tifs).astype(object).fillna("")),
        untagged=untagged.assign(tif=untagged["path"].map(tifs).astype(object).fillna("")),
        without_row=files_without_row(tagged["path"], read, usable, name_places(layout)),
        colourless=colourless.tolist(),
        counts={str(place): _count(listed, place) for place in (*layout.places, *tests)},
        rgb_source=rgb_source,
        source=find_source(config, template, tagged["path"].dropna().tolist()),
        table_faults=read.faults,
        slips=read.slips,
        phrases=read.phrases,
        unused_splits=_unused_splits(read, tagged, folder, layout) if rows["split"].isna().all() else "",
        differences={name: sentence for name in missing if (sentence := differences.of(name))},
        broken_names=[
            *broken_mapping,
            *map(str, broken_files),
            *map(str, broken_others),
            *_doubtful(others, rgb_source, layout, config),
            *(f"{sentence}; {remedy}" for sentence, remedy in settled.unclear.values()),
        ],
    )


def _doubtful(others: pd.DataFrame, rgb_source: RgbSource, layout: Layout, config: ReadingConfig) -> list[str]:
    try:
        check_untagged(others, rgb_source, layout, config)
    except InputError as error:
        return [str(error)]
    return []


def _unused_splits(read: TagTable, tagged: pd.DataFrame, folder: Path, layout: Layout) -> str:
    """Name a column of published splits that no option names, or else folders of them."""
    if title := splits_in(read.unused_splits):
        first = before_use(read.unused_splits[title])
        return f"column {title!r}{f': {first} first' if first else ''}"
    found = split_folders(tagged["path"].dropna(), folder, layout.places)
    if not found.named:
        return ""
    option = splits_option(found)
    use = f"splits '{option}'" if option else without_option(found)
    return f"{name_folders(found)}: {use}"


def _read_mapping(folder: Path) -> tuple[dict[str, str], list[str]]:
    try:
        return read_mapping(folder), []
    except InputError as error:
        return {}, [str(error)]


def _count(tiles: pd.DataFrame, place: Path) -> int:
    # Whole paths: those below the current folder, whose own path is a point, do not begin with the point.
    here, folder = f"{Path.cwd()}/", f"{str(place.absolute()).rstrip('/')}/"
    files = zip(tiles["path"], tiles["tif"], strict=True)
    return sum(
        any(path and (path if path.startswith("/") else here + path).startswith(folder) for path in pair)
        for pair in files
    )
