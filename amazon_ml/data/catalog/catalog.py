"""What a folder of tiles holds: its layout is found, its tag table joined to its files, all checked."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amazon_ml.data.bands import COLOURS, parse_bands
from amazon_ml.data.catalog.layout import find_layout, read_mapping, untagged_folders
from amazon_ml.data.catalog.table import choose_tags, read_table
from amazon_ml.data.catalog.tiles import choose_colours, choose_files, files_needed, list_tiles, locate
from amazon_ml.errors import InputError, listed
from amazon_ml.labels import MultiHot, TagSet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalog:
    """The tiles of one folder.

    Parameters
    ----------
    tags
        The tag list.
    labelled
        One row a tile with tags: ``image_name``, ``path``, ``tif`` (file with its near infrared, ``""``
        where that is not asked for or lies in `path`), and of the table ``tags`` (as they stand there)
        and ``line``; in the order of the table.
    targets
        Multi-hot array of the labelled tiles, shape (tiles, tags).
    unlabelled
        One row a tile without tags: ``image_name``, ``path``, ``tif``.
    colours
        Whether red, green and blue are read from the ``jpg`` or the ``tif`` of a tile.
    """

    tags: TagSet
    labelled: pd.DataFrame
    targets: MultiHot
    unlabelled: pd.DataFrame
    colours: str = "jpg"

    @property
    def sha256(self) -> str:
        """Hash of the labelled tiles' names and tags, in any order; two folders with one hash hold the same task."""
        columns = sorted(range(len(self.tags)), key=self.tags.names.__getitem__)
        tags = [(self.tags.names[column], b"") for column in columns]
        rows = zip(self.labelled["image_name"], map(bytes, self.targets[:, columns]), strict=True)
        digest = hashlib.sha256(b"%d" % len(tags))
        for name, values in [*tags, *sorted(rows)]:
            encoded = name.encode(errors="surrogatepass")
            digest.update(b"\n%d:%b%b" % (len(encoded), encoded, values))  # by its length, one name is not like two
        return digest.hexdigest()

    def subset(self, labelled: Sequence[int] | np.ndarray, unlabelled: int) -> "Catalog":
        """Keep the labelled rows given by position, and the first `unlabelled` of the others."""
        rows = np.asarray(labelled)
        return Catalog(
            self.tags,
            self.labelled.iloc[rows].reset_index(drop=True),
            self.targets[rows],
            self.unlabelled.head(unlabelled),
            self.colours,
        )


def read_catalog(
    root: Path,
    *,
    table: Path | None = None,
    images: Path | None = None,
    tags: Sequence[str] | None = None,
    name_column: str | None = None,
    tags_column: str | None = None,
    tag_separator: str | None = None,
    allow_missing: bool = False,
    bands: Sequence[str] = COLOURS,
    colours: str | None = None,
    leave_out: Path | None = None,
) -> Catalog:
    """Read the catalog of a folder.

    The tag list is decided here and nowhere else: it is `tags` where that is given; the
    competition's 17 where the table has one of its names; and otherwise the distinct tags of the
    table, sorted.

    Parameters
    ----------
    root
        The folder, or a parent of it.
    table
        CSV of names and tags; found when not given.
    images
        Folder of the labelled images; found when not given.
    tags
        The tag list, in the order of columns.
    name_column, tags_column
        Columns of the table; common names are understood.
    tag_separator
        What stands between tags; any white space by default.
    allow_missing
        Leave out rows whose file is missing, instead of refusing the folder.
    bands
        Bands that will be read; they tell which files a tile needs.
    colours
        Which files give red, green and blue: ``jpg`` (PNGs, too) or ``tif``; by default the JPGs
        where there are any.
    leave_out
        CSV of names whose rows are passed over, whatever is wrong with them.

    Raises
    ------
    InputError
        For a folder without a layout or with more than one, and for a broken table.
    """
    if tag_separator == "":
        raise InputError("data.tag_separator is empty; leave it out where white space parts the tags")
    layout = find_layout(root, table, images)
    table = layout.table
    rows = read_table(table, name_column, tags_column, leave_out)
    tag_set = choose_tags(table, rows["tags"], tags, tag_separator)
    test_folders = untagged_folders(layout, rows["image_name"])
    files = list_tiles(layout.places, below=not layout.planet, leave_out=test_folders)
    colours = colours or choose_colours(files)
    files, _ = choose_files(files, bands, colours)
    labelled = _join(table, rows, files, layout.places, allow_missing, needed=files_needed(bands, colours))
    untagged = list_tiles(test_folders, below=False, renamed=read_mapping(root))
    unlabelled, lacking = choose_files(untagged, bands, colours)
    if len(lacking):
        log.warning("%d of %d tiles without tags have no %s: %s; they are left out", len(lacking), len(untagged),
                    files_needed(bands, colours), listed(lacking))  # fmt: skip
    return Catalog(
        tags=tag_set,
        labelled=labelled,
        targets=_encode(tag_set, table, labelled, tag_separator),
        unlabelled=unlabelled,
        colours=colours,
    )


def catalog_options(data: Mapping[str, Any]) -> dict[str, Any]:
    """Pick from the data options those of `read_catalog`."""
    paths = {key: Path(data[key]) if data[key] else None for key in ("table", "images", "leave_out")}
    plain = ("tags", "name_column", "tags_column", "tag_separator", "allow_missing", "colours")
    return {**paths, **{key: data[key] for key in plain}, "bands": parse_bands(data["bands"])}


def _encode(tag_set: TagSet, table: Path, labelled: pd.DataFrame, separator: str | None) -> MultiHot:
    rows = [f"line {line} ({name})" for line, name in zip(labelled["line"], labelled["image_name"], strict=True)]
    try:
        targets = tag_set.encode(labelled["tags"].tolist(), separator=separator, rows=rows)
    except InputError as error:
        raise InputError(f"{table}: {error}") from None
    for rule, broken in tag_set.logic_faults(targets).items():
        log.warning("%s: %d tiles with %s, such as %s", table, len(broken), rule, rows[broken[0]])
    return targets


def _join(
    table: Path, rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path], allow_missing: bool, needed: str
) -> pd.DataFrame:
    joined = locate(rows, files, places[0])
    there = joined["path"].notna()
    missing, where = rows.loc[~there, "image_name"], " and ".join(map(str, places))
    if len(missing) == len(rows):
        raise InputError(
            f"none of the {len(rows):,} tiles in {table} has a {needed} in {where}; name it with --data.images"
        )
    if len(missing):
        said = f"{len(missing):,} of {len(rows):,} tiles in {table} have no {needed} in {where}: {listed(missing)}"
        if not allow_missing:
            raise InputError(f"{said}. Complete the folder, or leave them out with --data.allow_missing true")
        log.warning("%s; they are left out", said)
    surplus = files.loc[~files["path"].isin(joined["path"]), "image_name"]
    if len(surplus):
        log.warning(
            "%d images in %s have no row in %s: %s; they are left out", len(surplus), where, table, listed(surplus)
        )
    return joined.loc[there, ["image_name", "path", "tif", "tags", "line"]].reset_index(drop=True)
