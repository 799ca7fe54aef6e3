"""What a folder of tiles holds: its layout is found, its tag table joined to its files, all checked."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.contents import no_images, unread_images
from amazon_ml.data.catalog.join import Differences, TileNames, locate, shared_files
from amazon_ml.data.catalog.layout import Layout, find_layout, read_mapping, untagged_folders
from amazon_ml.data.catalog.table import TagTable, read_table
from amazon_ml.data.catalog.tiles import (
    ambiguous_names,
    choose_files,
    choose_rgb_source,
    files_needed,
    image_files,
    list_tiles,
)
from amazon_ml.data.config import READING, ReadingConfig, RgbSource
from amazon_ml.data.readers.bands import parse_bands
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
    rgb_source
        Whether red, green and blue are read from the ``jpg`` or the ``tif`` of a tile.
    """

    tags: TagSet
    labelled: pd.DataFrame
    targets: MultiHot
    unlabelled: pd.DataFrame
    rgb_source: RgbSource = "jpg"

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
            self.rgb_source,
        )


def read_catalog(root: Path, config: ReadingConfig = READING) -> Catalog:
    """Read the catalog of a folder.

    The tag list is decided here and nowhere else: it is `config.tags` where that is given; the
    competition's 17 where the table has one of its names; and otherwise the distinct tags of the
    table, sorted.

    Parameters
    ----------
    root
        The folder, or a parent of it.
    config
        How its table and its tiles are read.

    Raises
    ------
    InputError
        For a folder without a layout or with more than one, and for a broken table.
    """
    layout, bands = find_layout(root, config), parse_bands(config.bands)
    read = read_table(layout.table, config, names_with_files(layout))
    test_folders = untagged_folders(layout, read.rows["image_name"])
    files = list_tiles(layout.places, below=not layout.planet, exclude=test_folders)
    if files.empty and not test_folders:
        raise InputError(no_images(layout.places))
    rgb_source = config.rgb_source or choose_rgb_source(files)
    _check_ambiguous(read, files)
    files, _ = choose_files(files, bands, rgb_source)
    try:
        labelled = _join(read, files, layout.places, config.allow_missing, needed=files_needed(bands, rgb_source))
    except InputError as error:
        raise InputError(f"{error}{unread_images(layout.places)}") from None
    untagged = list_tiles(test_folders, below=False, renamed=read_mapping(root))
    unlabelled, lacking = choose_files(untagged, bands, rgb_source)
    if len(lacking):
        log.warning("%d of %d tiles without tags have no %s: %s; they are left out", len(lacking), len(untagged),
                    files_needed(bands, rgb_source), listed(lacking))  # fmt: skip
    return Catalog(
        tags=read.tags,
        labelled=labelled[["image_name", "path", "tif", "tags", "line"]],
        targets=_encode(read, labelled),
        unlabelled=unlabelled,
        rgb_source=rgb_source,
    )


def names_with_files(layout: Layout) -> TileNames:
    """Give what tells names with a file from others; the folders are walked when it is asked first."""
    return TileNames(
        lambda: [path for place in layout.places for path in image_files(place, True)], name_places(layout)
    )


def name_places(layout: Layout) -> tuple[Path, ...]:
    """List the folders below which a table may name files by their path."""
    return (*layout.places, layout.table.parent)


def _check_ambiguous(table: TagTable, files: pd.DataFrame) -> None:
    ambiguous = ambiguous_names(table.rows["image_name"], files)
    if ambiguous:
        first = table.rows["image_name"].isin(ambiguous)
        line, name = table.rows.loc[first, ["line", "image_name"]].iloc[0]
        more = f" (and {len(ambiguous) - 1:,} more such names)" if len(ambiguous) > 1 else ""
        raise InputError(f"{table.path} line {line}: {ambiguous[name]}{more}")


def _encode(table: TagTable, labelled: pd.DataFrame) -> MultiHot:
    targets = table.tags.encode_split(labelled["found"].tolist())
    for rule, broken in table.tags.logic_faults(targets).items():
        line, name = labelled["line"].iloc[broken[0]], labelled["image_name"].iloc[broken[0]]
        log.warning("%s: %d tiles with %s, such as line %d (%s)", table.path, len(broken), rule, line, name)
    return targets


def _join(
    table: TagTable, files: pd.DataFrame, places: Sequence[Path], allow_missing: bool, needed: str
) -> pd.DataFrame:
    rows, path, where = table.rows, table.path, " and ".join(map(str, places))
    joined = locate(rows, files, (*places, path.parent))
    there = joined["path"].notna()
    if not there.all():
        missing = rows.loc[~there, "image_name"].tolist()
        _check_missing(missing, table, files, f"{needed} in {where}", allow_missing=allow_missing)
    twice = shared_files(joined)
    if len(twice):
        names = listed([f"{name} (line {line})" for name, line in zip(twice["image_name"], twice["line"], strict=True)])
        raise InputError(f"{path}: several rows name the file {twice['path'].iloc[0]}: {names}; keep one of them")
    surplus = files.loc[~files["path"].isin(joined["path"]), "image_name"]
    if len(surplus):
        log.warning(
            "%d images in %s have no row in %s: %s; they are left out", len(surplus), where, path, listed(surplus)
        )
    return joined[there].reset_index(drop=True)


def _check_missing(
    missing: Sequence[str], table: TagTable, files: pd.DataFrame, sought: str, *, allow_missing: bool
) -> None:
    """Refuse a table whose tiles have no file, or warn where some may lack; say what differs between names."""
    near, name, count = Differences(files["image_name"].tolist(), table.records), missing[0], len(table.rows)
    if len(missing) == count:
        hint = near.explain(name)
        said = f"none of the {count:,} tiles in {table.path} has a {sought}"
        raise InputError(f"{said}: {hint}. If the images lie elsewhere, name their folder with `data.image_dir`" if hint
                         else f"{said}; name the folder of images with `data.image_dir`")  # fmt: skip
    said = f"{len(missing):,} of {count:,} tiles in {table.path} have no {sought}: {listed(missing)}"
    hint = near.of(name)
    hint = hint and f". For {name}, {hint}"
    if not allow_missing:
        raise InputError(f"{said}. Complete the folder, or leave them out with `data.allow_missing` true{hint}")
    log.warning("%s; they are left out%s", said, hint)
