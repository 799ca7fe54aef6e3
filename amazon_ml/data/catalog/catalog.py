"""The catalog of a folder of tiles: finds the layout, reads the tag table, joins it to the files, and checks all."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.by_template import lacks_first_band, list_tiles_of, no_tiles, paths_of
from amazon_ml.data.catalog.contents import no_images, unread_images
from amazon_ml.data.catalog.join import TileNames, locate, shared_files
from amazon_ml.data.catalog.label_tables import doubting
from amazon_ml.data.catalog.layout import Layout, find_layout, read_mapping, untagged_folders
from amazon_ml.data.catalog.missing import Missing, check_missing
from amazon_ml.data.catalog.namesakes import (
    Namesakes,
    also_by_either,
    check_pairs,
    distinguish,
    doubtful_pairs,
    files_alone,
    source_of,
    warn_of_pairs,
)
from amazon_ml.data.catalog.splits import assign_splits
from amazon_ml.data.catalog.table import TagTable
from amazon_ml.data.catalog.tables import read_tables
from amazon_ml.data.catalog.tiles import choose_files, files_needed
from amazon_ml.data.catalog.unused_splits import (
    name_folders,
    split_folders,
    splits_in,
    splits_option,
    without_option,
)
from amazon_ml.data.config import READING, ReadingConfig, RgbSource, Split
from amazon_ml.data.readers.band_files import BandFiles
from amazon_ml.data.readers.bands import parse_bands
from amazon_ml.data.readers.fitting import find_source, first_files, is_named
from amazon_ml.data.readers.named import NamedBands
from amazon_ml.errors import InputError, listed
from amazon_ml.labels import MultiHot, TagSet

log = logging.getLogger(__name__)

#: Columns of labelled tiles.
_COLUMNS = ["image_name", "path", "tif", "tags", "line"]
#: Columns of tiles without tags.
_FILES = ["image_name", "path", "tif"]


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
        One row for each tile without tags, and before them one for each tile of a published test split, whose tags
        training must not see: ``image_name``, ``path``, ``tif``.
    rgb_source
        Whether red, green and blue come from the ``jpg`` or the ``tif`` of a tile.
    source
        The files of a tile and the bands in them, where a template names them.
    valid
        Whether each labelled tile is in the published validation split, bool of shape (tiles,); None without such a
        split.
    tested
        The tiles of the published test split, the first rows of `unlabelled`: columns as in `labelled`.
    tested_targets
        Multi-hot array of these, shape (tiles, tags).
    split
        The only published split that the catalog holds, as `part` gives it; None where it holds all tiles.
    """

    tags: TagSet
    labelled: pd.DataFrame
    targets: MultiHot
    unlabelled: pd.DataFrame
    rgb_source: RgbSource = "jpg"
    source: NamedBands | None = None
    valid: npt.NDArray[np.bool_] | None = None
    tested: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_COLUMNS))
    tested_targets: MultiHot = field(default_factory=lambda: np.zeros((0, 0), dtype=np.uint8))
    split: Split | None = None

    @property
    def sha256(self) -> str:
        """Hash of the names and tags of the labelled tiles, whatever their order; equal hashes mean the same task."""
        return self._hash(self.labelled["image_name"], self.targets)

    @property
    def tested_sha256(self) -> str | None:
        """The same hash of the published test split; None without one."""
        return self._hash(self.tested["image_name"], self.tested_targets) if len(self.tested) else None

    def _hash(self, names: pd.Series, targets: MultiHot) -> str:
        columns = sorted(range(len(self.tags)), key=self.tags.names.__getitem__)
        tags = [(self.tags.names[column], b"") for column in columns]
        rows = zip(names, map(bytes, targets[:, columns]), strict=True)
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
            None if self.valid is None else self.valid[rows],
            self.tested.head(unlabelled),
            self.tested_targets[:unlabelled],
        )

    @property
    def scaling_tiles(self) -> pd.DataFrame:
        """The labelled tiles that limits of values are found from: those of the published training split, else all."""
        return self.labelled if self.valid is None else self.labelled[~self.valid]

    @property
    def held_out_sha256(self) -> str | None:
        """Hash of the names of the published validation split, whatever their order; None without one."""
        if self.valid is None:
            return None
        names = sorted(self.labelled["image_name"][self.valid])
        return hashlib.sha256("\0".join(names).encode()).hexdigest()

    def files(self, path: str) -> list[str]:
        """List the files of a tile with this first file."""
        several = None if self.source is None else self.source.files
        return [path] if several is None else several.paths(path)

    def everything(self) -> "Catalog":
        """Give the same tiles without splits: the tiles of all splits are labelled tiles."""
        if self.valid is None and self.tested.empty:
            return self
        return Catalog(
            self.tags,
            pd.concat([self.labelled, self.tested], ignore_index=True),
            np.concatenate([self.targets, self.tested_targets]),
            self.unlabelled.iloc[len(self.tested) :].reset_index(drop=True),
            self.rgb_source,
            self.source,
        )

    def part(self, split: Split) -> "Catalog":
        """Give the tiles of one published split as labelled tiles.

        Raises
        ------
        InputError
            If the split has no tile.
        """
        if split == "test":
            rows, targets = self.tested, self.tested_targets
        else:
            valid = np.zeros(len(self.labelled), dtype=bool) if self.valid is None else self.valid
            wanted = valid == (split == "val")
            rows, targets = self.labelled[wanted].reset_index(drop=True), self.targets[wanted]
        if rows.empty:
            raise InputError(f"no tile is in the split {split}", option="split",
                             remedy="name the tables by split with `data.labels_file`, or the column with "
                             "`data.split_column`")  # fmt: skip
        return Catalog(self.tags, rows, targets, self.unlabelled.iloc[:0], self.rgb_source, self.source, split=split)


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
    joins = names_with_files(layout, template)
    read = read_tables(layout.tables, config, joins)
    test_folders = untagged_folders(layout, read.rows["image_name"], template)
    files = list_tiles_of(template, layout.places, below=not layout.planet, exclude=test_folders)
    if files.empty and not test_folders:
        raise no_images(layout.places) if template is None else no_tiles(template, layout.places)
    settled, rgb_source = read_namesakes(read, files, layout, config)
    _check_clear(read, settled)
    files, _ = choose_files(settled.files, bands, rgb_source)
    needed = files_needed(bands, rgb_source)
    if template is not None:
        needed = f"file of band {template.bands[0]}" if template.each_band else f"file as `data.files` {config.files}"
    try:
        with doubting(layout.tables):
            joined = _join(read, files, settled, layout, config, needed, template)
    except InputError as error:
        hint = unread_images(layout.places)
        raise (error.advise(hint) if hint else error) from None
    if config.splits is not None:
        joined = assign_splits(joined, config.splits, root, joins)
    elif joined["split"].isna().all() and not splits_in(read.unused_splits):
        _warn_of_folders(joined, root, layout)
    untagged = list_tiles_of(template, test_folders, below=False, renamed={} if template else read_mapping(root))
    check_untagged(untagged, rgb_source, layout, config)
    unlabelled, lacking = choose_files(untagged, bands, rgb_source)
    if len(lacking):
        log.warning("%d of %d tiles without tags have no %s: %s; they are not used", len(lacking), len(untagged),
                    files_needed(bands, rgb_source), listed(lacking))  # fmt: skip
    targets, is_test = _encode(read, joined), (joined["split"] == "test").to_numpy()
    # Texts lie in Arrow, not in an object for each, from here on.
    joined = joined.astype(dict.fromkeys((*_FILES, "tags"), str))
    unlabelled = unlabelled[_FILES].astype(str)
    tested = joined.loc[is_test, _COLUMNS].reset_index(drop=True)
    _check_shared(tested, unlabelled)
    splits = joined.loc[~is_test, "split"]
    return Catalog(
        tags=read.tags,
        labelled=joined.loc[~is_test, _COLUMNS].reset_index(drop=True),
        targets=targets[~is_test],
        unlabelled=pd.concat([tested[_FILES], unlabelled], ignore_index=True) if len(tested) else unlabelled,
        rgb_source=rgb_source,
        source=find_source(config, template, joined["path"].tolist()),
        valid=(splits == "val").to_numpy() if (splits == "val").any() else None,
        tested=tested,
        tested_targets=targets[is_test],
    )  # fmt: skip


def _warn_of_folders(joined: pd.DataFrame, root: Path, layout: Layout) -> None:
    found = split_folders(joined["path"], root, layout.places)
    if found.named:
        option = splits_option(found)
        use = f"to use them, set `data.splits` '{option}'" if option else without_option(found)
        log.warning("%s: %s are called like published splits, which are not used here; %s", root, name_folders(found),
                    use)  # fmt: skip


def _check_shared(tested: pd.DataFrame, unlabelled: pd.DataFrame) -> None:
    """Check that no tile of the test split shares its name with a tile without tags: both are predicted."""
    shared = unlabelled["image_name"].isin(tested["image_name"])
    if shared.any():
        name, path = unlabelled.loc[shared, ["image_name", "path"]].iloc[0]
        raise InputError(f"{name} is also the name of a tile of the published test split", file=path,
                         remedy="name the files of the table by their paths, or move this file")  # fmt: skip


def names_with_files(layout: Layout, template: BandFiles | None = None) -> TileNames:
    """Return an index of the names that have a file; its first use lists the folders."""
    return TileNames(
        lambda: [path for place in layout.places for path in paths_of(template, place)], name_places(layout)
    )


def name_places(layout: Layout) -> tuple[Path, ...]:
    """List the folders below which a table may name files by their path."""
    return (*layout.places, *dict.fromkeys(path.parent for path in layout.table_paths))


def read_namesakes(
    table: TagTable, files: pd.DataFrame, layout: Layout, config: ReadingConfig
) -> tuple[Namesakes, RgbSource]:
    """Find which files of one name a table means, and the source of red, green and blue."""
    places, is_given = name_places(layout), is_named(config) or config.rgb_source is not None
    settled = distinguish(table.rows, files, places, paired=layout.planet or is_given)
    rgb_source = source_of(table.rows, settled.files, places, config, planet=layout.planet)
    if not is_given or not doubtful_pairs(settled.files):
        return settled, rgb_source
    if not layout.planet:
        named = distinguish(table.rows, files, places, paired=False).files
        warn_of_pairs(settled.files, parse_bands(config.bands), rgb_source, files_alone(named))
    if config.rgb_source is not None:
        settled = replace(settled, files=also_by_either(settled.files))
    return settled, rgb_source


def check_untagged(untagged: pd.DataFrame, rgb_source: str, layout: Layout, config: ReadingConfig) -> None:
    """Check that no test folders of other layouts than the competition's have several files of one name.

    Raises
    ------
    InputError
        If they do, and no option says which files are read.
    """
    if not layout.planet and not is_named(config) and config.rgb_source is None:
        check_pairs(untagged, parse_bands(config.bands), rgb_source, option="data.rgb_source",
                    remedy="say with `data.rgb_source` whether the TIFs or the other files are read, or move those "
                    "that are no tiles")  # fmt: skip


def _check_clear(table: TagTable, settled: Namesakes) -> None:
    if settled.unclear:
        first = table.rows["image_name"].isin(settled.unclear)
        file, line, name = table.rows.loc[first, ["table", "line", "image_name"]].iloc[0]
        (sentence, remedy), others = settled.unclear[name], len(settled.unclear) - 1
        more = f" (and {others:,} more such names)" if others else ""
        raise file.error(f"{sentence}{more}", int(line), remedy=remedy)


def _encode(table: TagTable, labelled: pd.DataFrame) -> MultiHot:
    targets = table.tags.encode_split(labelled["found"].tolist())
    for rule, broken in table.tags.logic_faults(targets).items():
        file, line, name = labelled[["table", "line", "image_name"]].iloc[broken[0]]
        log.warning("%s: tiles with %s: %d, such as %s (%s)", file.name, rule, len(broken), name, file.at(line))
    return targets


def _join(
    table: TagTable, files: pd.DataFrame, settled: Namesakes, layout: Layout, config: ReadingConfig, needed: str,
    template: BandFiles | None,
) -> pd.DataFrame:  # fmt: skip
    rows, where, places = table.rows, " and ".join(map(str, layout.places)), name_places(layout)
    joined = locate(rows, files, places)
    there = joined["path"].notna()
    without_row = files_without_row(joined["path"], table, files, places)
    if not there.all():
        missing = rows.loc[~there, "image_name"].tolist()
        lacking = (
            None if config.allow_missing or not there.any() else lacks_first_band(template, layout.places, missing)
        )
        if lacking is not None:
            more = f" (and {len(missing) - 1:,} more tiles have no file of it)" if len(missing) > 1 else ""
            remedy = f"{lacking.remedy}, or leave such tiles out with `data.allow_missing` true"
            problem = f"{lacking.problem}{more}"
            raise InputError(problem, file=lacking.file, option="data.allow_missing", remedy=remedy)
        others = settled.files if len(files) < len(settled.files) else settled.files.iloc[:0]
        other_kind = locate(rows[~there], others, places).dropna(subset="path")
        lacking_rows = Missing(
            missing, f"{needed} in {where}", other_kind["image_name"].tolist(), bool((other_kind["tif"] != "").any()),
            settled.apart, without_row,
        )  # fmt: skip
        check_missing(lacking_rows, table, files["image_name"].tolist(), config)
    twice = shared_files(joined)
    if len(twice):
        rows_of = zip(twice["image_name"], twice["table"], twice["line"], strict=True)
        names = listed([f"{name} ({file.at(line)})" for name, file, line in rows_of])
        problem = f"several rows name the file {twice['path'].iloc[0]}: {names}"
        raise twice["table"].iloc[0].error(problem, int(twice["line"].iloc[0]), remedy="keep one of them")
    if without_row:
        log.warning("%d images in %s have no row in %s: %s; they are not used", len(without_row), where,
                    listed(layout.table_paths), listed(without_row))  # fmt: skip
    return joined[there].reset_index(drop=True)


def files_without_row(used: Iterable[str], table: TagTable, files: pd.DataFrame, places: Sequence[Path]) -> list[str]:
    """List the names of the files that no row of the table means, and none that the list `exclude` removed."""
    paths = set(used)
    unused = files.loc[[path not in paths for path in files["path"]]]
    if len(unused) and table.excluded:
        excluded = locate(pd.DataFrame({"image_name": sorted(table.excluded)}, dtype=object), unused, places)
        unused = unused[~unused["path"].isin(set(excluded["path"]))]
    return [str(name) for name in unused["image_name"]]
