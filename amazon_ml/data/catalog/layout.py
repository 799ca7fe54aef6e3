"""The layout of a folder of tiles: finds its table, its labelled images and its test images.

Layouts that are found without an option:

========================================================== ====================================
``train-jpg/ test-jpg/ test-jpg-additional/``              the competition's archives
``planet/planet/train-jpg/`` … ``train_classes.csv``       the data-set mirror
``train-jpg/ test/``                                       both test sets merged
``train-tif-v2/ test-tif-v2/`` beside these or alone       4-band TIFs
one CSV of names and tags, images anywhere beneath         any other tagged set
one Parquet or JSON, where there is no CSV                 the same
``…_train.csv``, ``…_val.csv`` and perhaps ``…_test.csv``  a set with published splits
========================================================== ====================================
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.by_template import files_of, list_tiles_of, no_tiles, paths_of
from amazon_ml.data.catalog.contents import archives_in, check_folder, lone_table, no_images, other_tables
from amazon_ml.data.catalog.join import PathNames
from amazon_ml.data.catalog.label_tables import LabelTable, describe_tables, named_tables, split_tables
from amazon_ml.data.catalog.name_lists import read_csv
from amazon_ml.data.catalog.names import composed, without_suffix
from amazon_ml.data.catalog.namesakes import check_pairs
from amazon_ml.data.catalog.places import find_place
from amazon_ml.data.catalog.table import PLANET_TABLES
from amazon_ml.data.catalog.tiles import MAPPING, TEST_FOLDERS, TRAIN_JPG, TRAIN_TIF, image_files, is_image
from amazon_ml.data.catalog.walk import walk
from amazon_ml.data.config import TABLE, TableConfig
from amazon_ml.data.readers.band_files import BandFiles
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.errors import InputError, listed

log = logging.getLogger(__name__)

SAMPLES = ("sample_submission_v2.csv", "sample_submission.csv")
#: Depth of a layout below the named folder, at most; archives nest their folders.
_DEPTH = 4


@dataclass(frozen=True)
class Layout:
    """The parts of a folder of tiles, found by names alone; no file is opened.

    Parameters
    ----------
    tables
        Tables of names and tags.
    places
        Folders of the labelled images.
    tests
        Folders that have the name of a test folder of the competition, and hold images.
    planet
        Whether this is the layout of the competition, whose folders of images have no subfolders.
    """

    tables: tuple[LabelTable, ...]
    places: tuple[Path, ...]
    tests: tuple[Path, ...]
    planet: bool

    @property
    def table_paths(self) -> tuple[Path, ...]:
        """The files of the tables."""
        return tuple(table.path for table in self.tables)


@dataclass(frozen=True)
class _Folder:
    """One folder of the survey: its CSV files, and whether it holds images."""

    path: Path
    csvs: tuple[str, ...]
    has_images: bool

    def is_called(self, names: Sequence[str]) -> bool:
        return self.has_images and self.path.name in names


def find_layout(root: Path, config: TableConfig = TABLE, files: BandFiles | None = None) -> Layout:
    """Find the tag table and the folders of images, except those that the options give.

    Parameters
    ----------
    root
        The folder.
    config
        Options of the table.
    files
        Template of the files of a tile; the layout is then none of the competition's.

    Raises
    ------
    InputError
        If the folder has no layout, or more than one.
    """
    images = find_place(config.image_dir, root) if config.image_dir else None
    check_folder(root, "name the folder of tiles (`data.root` in training)", has_table=True)
    named = named_tables(config.labels_file, root) if config.labels_file is not None else None
    if images is not None:
        check_folder(images, "name the folder of the labelled images with `data.image_dir`",
                     option="data.image_dir")  # fmt: skip
    # A template may mean a folder for each tile; where the table is named, only test folders are sought.
    folders = list(_survey(root, depth=_DEPTH if named is None or files is None else 0))
    if named is not None and files is not None:
        folders += [_Folder(root / name, (), has_images=False) for name in TEST_FOLDERS if (root / name).is_dir()]
    planet = _planet_folders(root, folders) if named is None and images is None and files is None else []
    places = planet or [images or root]
    tables = named or ((_planet_table(root, planet[0], folders),) if planet else _own_tables(root, folders))
    tests = (f.path for f in folders if _is_test(f, files) and f.path not in places)
    return Layout(tables, tuple(places), tuple(tests), bool(planet))


def _is_test(folder: _Folder, files: BandFiles | None) -> bool:
    return folder.path.name in TEST_FOLDERS if files is not None else folder.is_called(TEST_FOLDERS)


def untagged_folders(layout: Layout, names: pd.Series, files: BandFiles | None = None) -> list[Path]:
    """List the test folders, without those that hold tiles which the table names by path, or which no other has."""
    if layout.planet or not layout.tests:
        return list(layout.tests)
    elsewhere = {composed(path.stem) for path in paths_of(files, layout.places[0], layout.tests)}
    sought = {Path(name).name for name in names} - elsewhere
    named = _folders_of([name for name in names if "/" in name], layout, files)
    return [
        folder
        for folder in layout.tests
        if folder not in named
        and sought.isdisjoint(composed(path.stem) for path in paths_of(files, folder, below=False))
    ]


def _folders_of(names: Sequence[str], layout: Layout, files: BandFiles | None) -> set[Path]:
    """Find the test folders that hold files which some paths name, also where other folders have files so called."""
    if not names:
        return set()
    inside = {str(path): folder for folder in layout.tests for path in paths_of(files, folder)}
    places = (*layout.places, *dict.fromkeys(path.parent for path in layout.table_paths))
    known = PathNames(inside, places)
    return {folder for name in names if (folder := known.find(name)) is not None}


def tiles_below(folder: Path, read: TileReader, option: str = "tiles") -> pd.DataFrame:
    """List the tiles in a folder and its subfolders for a reader.

    Parameters
    ----------
    folder
        The folder.
    read
        The reader.
    option
        Name of the parameter or the setting that gave the folder.

    Raises
    ------
    InputError
        If there are no tiles, or two folders beside each other have files of one name, of which the reader reads one.
    """
    template = files_of(read)
    listed = list_tiles_of(template, [folder], renamed={} if template else read_mapping(folder))
    if listed.empty:
        raise no_images([folder]) if template is None else no_tiles(template, [folder])
    remedy = (
        f"name the folder of the tiles alone with `{option}`, or, where no folder holds them alone, move the others "
        "out of it; if both are files of one tile, put them into one folder"
    )
    check_pairs(listed, read.bands, read.rgb_source, option=option, remedy=remedy)
    return listed


def find_sample(root: Path) -> Path | None:
    """Find the sample submission in a folder of tiles; a submission has its rows in the same order."""
    found = {csv: folder.path / csv for folder in _survey(root) for csv in folder.csvs if csv in SAMPLES}
    return next((found[csv] for csv in SAMPLES if csv in found), None)


def read_mapping(root: Path) -> dict[str, str]:
    """Find and read the competition's table of corrected names of TIFs; empty where there is none.

    Raises
    ------
    InputError
        If there are two, or its names are not unique.
    """
    found = [folder.path / MAPPING for folder in _survey(root) if MAPPING in folder.csvs]
    if not found:
        return {}
    if len(found) > 1:
        raise InputError(f"more than one {MAPPING}: {listed(found)}", file=root, remedy="keep one of them")
    raw, lines = read_csv(found[0])
    if not {"old", "new"} <= set(raw.columns):
        problem = f"the table must have the columns old and new; it has {', '.join(map(str, raw.columns))}"
        raise InputError(problem, file=found[0], line=1)
    renaming = raw[["old", "new"]].map(lambda name: without_suffix(name.strip()))
    for column in ("old", "new"):
        again = renaming[column].duplicated()
        if again.any():
            problem = f"{renaming[column][again].iloc[0]} stands twice"
            raise InputError(problem, file=found[0], line=int(lines[again].iloc[0]))
    mended = renaming[renaming["old"].str.startswith("file_")]
    return dict(zip(mended["old"], mended["new"], strict=True))


def known_tables(root: Path) -> list[Path]:
    """List the tables of the competition in a folder: tags, sample submissions, the mapping of names."""
    known = (*PLANET_TABLES, *SAMPLES, MAPPING)
    return [folder.path / name for folder in _survey(root) for name in folder.csvs if name in known]


def _survey(root: Path, depth: int = _DEPTH) -> Iterator[_Folder]:
    for listing in walk(root, depth=depth, prefer=(*TRAIN_JPG, *TRAIN_TIF, *TEST_FOLDERS)):
        yield _Folder(
            listing.path,
            tuple(name for name in listing.files if name.lower().endswith(".csv")),
            any(map(is_image, listing.files)),
        )


def _planet_folders(root: Path, folders: list[_Folder]) -> list[Path]:
    """Find the competition's folders of labelled JPGs and of labelled TIFs: both, one or none."""
    kinds = [[f.path for f in folders if f.is_called(names)] for names in (TRAIN_JPG, TRAIN_TIF)]
    for found in kinds:
        if len(found) > 1:
            raise InputError(f"more than one {found[0].name}: {listed(found)}", file=root,
                             remedy="name one parent (`data.root` in training)")  # fmt: skip
    places = [path for found in kinds for path in found]
    bare = [f.path for f in folders if f.path.name in (*TRAIN_JPG, *TRAIN_TIF) and not f.has_images]
    elsewhere = any(f.has_images for f in folders if f.path.name not in TEST_FOLDERS)
    if bare and not elsewhere and not any(next(image_files(path, below=True), None) for path in bare):
        raise no_images(bare)
    return places


def _planet_table(root: Path, images: Path, folders: list[_Folder]) -> LabelTable:
    """Find the competition's table: the nearest above the images, or else any."""
    found = [folder.path / csv for folder in folders for csv in folder.csvs if csv in PLANET_TABLES]
    for parent in images.parents:
        near = [path for path in found if path.parent == parent]
        if near or parent == root:
            found = near or found
            break
    if len(found) == 1:
        return LabelTable(found[0])
    wanted = " or ".join(PLANET_TABLES)
    if found:
        raise InputError(f"more than one tag table: {listed(found)}", file=root, option="data.labels_file",
                         remedy="name one with `data.labels_file`")  # fmt: skip
    raise InputError(f"the folder has {images.name} but no tag table", file=root, option="data.labels_file",
                     remedy=f"put {wanted} beside it, or set `data.labels_file`")  # fmt: skip


def _own_tables(root: Path, folders: list[_Folder]) -> tuple[LabelTable, ...]:
    """Find the only table of a folder, or one for each split that its name says."""
    found = [folder.path / csv for folder in folders for csv in folder.csvs if csv not in (*SAMPLES, MAPPING)]
    if len(found) == 1:
        return (LabelTable(found[0]),)
    by_split = split_tables(path.name for path in found) if len({path.parent for path in found}) == 1 else {}
    if by_split:
        tables = tuple(LabelTable(found[0].parent / name, split) for split, name in by_split.items())
        log.info("%s has a table for each split: %s", root, describe_tables(tables))
        return tables
    if found:
        raise InputError(
            f"the folder holds {len(found)} CSV files: {listed(found)}", file=root, option="data.labels_file",
            remedy="name the tag table with `data.labels_file`, or one for each split, such as "
            "`data.labels_file` {train: …, val: …, test: …}",
        )  # fmt: skip
    if (lone := lone_table(root)) is not None:
        log.info("%s is taken for the table of %s", lone, root)
        return (LabelTable(lone, guessed=True),)
    remedy = archives_in(root) or other_tables(root) or _of_classes(root, folders)
    remedy = remedy or "name the folder of tiles (`data.root` in training), or the table with `data.labels_file`"
    problem = f"the folder has neither {TRAIN_JPG[0]} nor a CSV of names and tags"
    raise InputError(problem, file=root, remedy=remedy)


def _of_classes(root: Path, folders: list[_Folder]) -> str:
    """Say how images in a folder for each class get a table; ``""`` where they do not lie so."""
    classes = [folder.path for folder in folders if folder.has_images and folder.path != root]
    if len({path.name for path in classes}) < 2:
        return ""
    file = next(image_files(classes[0], below=False))
    row = f"{file.relative_to(root)},{'_'.join(file.parent.name.split())}"
    return (
        "if each folder holds the images of one class, write a table of them, such as labels.csv: the header "
        f"image_name,tags and a row for each image, such as {row}"
    )
