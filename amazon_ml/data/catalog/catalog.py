"""The catalog of a folder of tiles: finds the layout, reads the tag table, joins it to the files, and checks all."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.by_template import list_tiles_of, no_tiles, paths_of
from amazon_ml.data.catalog.contents import no_images, unread_images
from amazon_ml.data.catalog.join import Differences, TileNames, locate, shared_files
from amazon_ml.data.catalog.layout import Layout, find_layout, read_mapping, untagged_folders
from amazon_ml.data.catalog.table import TagTable, read_table
from amazon_ml.data.catalog.tiles import (
    NAME_BY_PATH,
    ambiguous_names,
    choose_files,
    choose_rgb_source,
    files_needed,
)
from amazon_ml.data.config import READING, ReadingConfig, RgbSource
from amazon_ml.data.readers.band_files import BandFiles
from amazon_ml.data.readers.bands import parse_bands
from amazon_ml.data.readers.fitting import find_source, first_files, is_named
from amazon_ml.data.readers.named import NamedBands
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
        One row for each tile with tags, in the order of the table: ``image_name``, ``path``, ``tif`` (the file with
        its near infrared; ``""`` where the bands do not need one, or `path` holds it), ``tags`` (the text of the
        cell) and ``line`` (in the table).
    targets
        Multi-hot array of the labelled tiles, shape (tiles, tags).
    unlabelled
        One row for each tile without tags: ``image_name``, ``path``, ``tif``.
    rgb_source
        Whether red, green and blue come from the ``jpg`` or the ``tif`` of a tile.
    source
        The files of a tile and the bands in them, where a template names them.
    """

    tags: TagSet
    labelled: pd.DataFrame
    targets: MultiHot
    unlabelled: pd.DataFrame
    rgb_source: RgbSource = "jpg"
    source: NamedBands | None = None

    @property
    def sha256(self) -> str:
        """Hash of the names and tags of the labelled tiles, whatever their order; equal hashes mean the same task."""
        columns = sorted(range(len(self.tags)), key=self.tags.names.__getitem__)
        tags = [(self.tags.names[column], b"") for column in columns]
        rows = zip(self.labelled["image_name"], map(bytes, self.targets[:, columns]), strict=True)
        digest = hashlib.sha256(b"%d" % len(tags))
        for name, values in [*tags, *sorted(rows)]:
            encoded = name.encode(errors="surrogatepass")
            digest.update(b"\n%d:%b%b" % (len(encoded), encoded, values))  # the length keeps one name apart from two
        return digest.hexdigest()

    def subset(self, labelled: Sequence[int] | np.ndarray, unlabelled: int) -> "Catalog":
        """Select labelled rows by their positions, and the first `unlabelled` of the other tiles."""
        rows = np.asarray(labelled)
        return Catalog(
            self.tags,
            self.labelled.iloc[rows].reset_index(drop=True),
            self.targets[rows],
            self.unlabelled.head(unlabelled),
            self.rgb_source,
            self.source,
        )

    def files(self, path: str) -> list[str]:
        """List the files of a tile with this first file."""
        several = None if self.source is None else self.source.files
        return [path] if several is None else several.paths(path)


def read_catalog(root: Path, config: ReadingConfig = READING) -> Catalog:
    """Read the catalog of a folder.

    Only this function chooses the tag list. It is `config.tags` where that is given, the 17 tags of the competition
    where the table has the name of one of its tables, and otherwise the distinct tags of the table, sorted.

    Parameters
    ----------
    root
        The folder, or a parent of it.
    config
        Options for reading the table and the tiles.

    Raises
    ------
    InputError
        If the folder has no layout or more than one, or the table has a fault.
    """
    template, bands = first_files(config), parse_bands(config.bands)
    layout = find_layout(root, config, template)
    read = read_table(layout.table, config, names_with_files(layout, template))
    test_folders = untagged_folders(layout, read.rows["image_name"], template)
    files = list_tiles_of(template, layout.places, below=not layout.planet, exclude=test_folders)
    if files.empty and not test_folders:
        raise no_images(layout.places) if template is None else no_tiles(template, layout.places)
    rgb_source: RgbSource = "tif" if is_named(config) else config.rgb_source or choose_rgb_source(files)
    _check_ambiguous(read, files)
    files, _ = choose_files(files, bands, rgb_source)
    try:
        labelled = _join(read, files, layout.places, config.allow_missing, needed=files_needed(bands, rgb_source))
    except InputError as error:
        if hint := unread_images(layout.places):
            error = InputError(error.problem, file=error.file, line=error.line, option=error.option,
                               remedy="; ".join(filter(None, (error.remedy, hint))))  # fmt: skip
        raise error from None
    untagged = list_tiles_of(template, test_folders, below=False, renamed={} if template else read_mapping(root))
    unlabelled, lacking = choose_files(untagged, bands, rgb_source)
    if len(lacking):
        log.warning("%d of %d tiles without tags have no %s: %s; they are not used", len(lacking), len(untagged),
                    files_needed(bands, rgb_source), listed(lacking))  # fmt: skip
    return Catalog(
        tags=read.tags,
        labelled=labelled[["image_name", "path", "tif", "tags", "line"]],
        targets=_encode(read, labelled),
        unlabelled=unlabelled[["image_name", "path", "tif"]],
        rgb_source=rgb_source,
        source=find_source(config, template, labelled["path"].tolist()),
    )


def names_with_files(layout: Layout, template: BandFiles | None = None) -> TileNames:
    """Return an index of the names that have a file; its first use lists the folders."""
    return TileNames(
        lambda: [path for place in layout.places for path in paths_of(template, place)], name_places(layout)
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
        raise InputError(f"{ambiguous[name]}{more}", file=table.path, line=int(line), remedy=NAME_BY_PATH)


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
        problem = f"several rows name the file {twice['path'].iloc[0]}: {names}"
        raise InputError(problem, file=path, line=int(twice["line"].iloc[0]), remedy="keep one of them")
    without_row = files.loc[~files["path"].isin(joined["path"]), "image_name"]
    if len(without_row):
        log.warning("%d images in %s have no row in %s: %s; they are not used", len(without_row), where, path,
                    listed(without_row))  # fmt: skip
    return joined[there].reset_index(drop=True)


def _check_missing(
    missing: Sequence[str], table: TagTable, files: pd.DataFrame, sought: str, *, allow_missing: bool
) -> None:
    """Raise for tiles without a file, or warn where the options allow them; explain how their names differ."""
    near, name, count = Differences(files["image_name"].tolist(), table.records), missing[0], len(table.rows)
    if len(missing) == count:
        hint = near.explain(name)
        problem = f"none of the {count:,} tiles has a {sought}"
        if hint:
            raise InputError(f"{problem}: {hint}", file=table.path,
                             remedy="if the images lie elsewhere, name their folder with `data.image_dir`")  # fmt: skip
        raise InputError(problem, file=table.path, remedy="name the folder of images with `data.image_dir`")
    problem = f"{len(missing):,} of {count:,} tiles have no {sought}: {listed(missing)}"
    hint = near.of(name)
    hint = hint and f". For {name}, {hint}"
    if not allow_missing:
        remedy = f"complete the folder, or allow missing files with `data.allow_missing` true{hint}"
        raise InputError(problem, file=table.path, remedy=remedy)
    log.warning("%s: %s; they are not used%s", table.path, problem, hint)
