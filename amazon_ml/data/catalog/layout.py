"""The layout of a folder of tiles: where its table, its labelled images and its test images lie.

Layouts that are found without being told:

========================================================== ====================================
``train-jpg/ test-jpg/ test-jpg-additional/``              the competition's archives
``planet/planet/train-jpg/`` … ``train_classes.csv``       the data-set mirror
``train-jpg/ test/``                                       both test sets merged
``train-tif-v2/ test-tif-v2/`` beside these or alone       4-band TIFs
one CSV of names and tags, images anywhere beneath         any other tagged set
========================================================== ====================================
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.contents import archives_in, check_folder, no_images, other_tables
from amazon_ml.data.catalog.names import composed
from amazon_ml.data.catalog.table import PLANET_TABLES, read_csv, without_suffix
from amazon_ml.data.catalog.tiles import MAPPING, TEST_FOLDERS, image_files, is_image
from amazon_ml.data.catalog.walk import walk
from amazon_ml.data.config import TABLE, TableConfig
from amazon_ml.errors import InputError, listed

SAMPLES = ("sample_submission_v2.csv", "sample_submission.csv")
TRAIN_JPG = ("train-jpg",)
TRAIN_TIF = ("train-tif-v2", "train-tif")
#: How deep a layout may lie below the folder that is named; archives nest their folders.
_DEPTH = 4


@dataclass(frozen=True)
class Layout:
    """Which part of a folder is what, told from names alone; nothing is opened.

    Parameters
    ----------
    table
        CSV of names and tags.
    places
        Folders of the labelled images.
    tests
        Folders that are called as the competition's test folders are, and hold images.
    planet
        Whether this is the competition's layout, where no images lie in folders beneath.
    """

    table: Path
    places: tuple[Path, ...]
    tests: tuple[Path, ...]
    planet: bool


@dataclass(frozen=True)
class _Folder:
    """One folder as the survey saw it: its tag tables and samples, and whether it holds images."""

    path: Path
    csvs: tuple[str, ...]
    has_images: bool

    def is_called(self, names: Sequence[str]) -> bool:
        return self.has_images and self.path.name in names


def find_layout(root: Path, config: TableConfig = TABLE) -> Layout:
    """Find the tag table and the folders of images; what is given is not looked for.

    Raises
    ------
    InputError
        For a folder without a layout or with more than one.
    """
    table, images = (Path(given) if given else None for given in (config.labels_file, config.image_dir))
    check_folder(root, "name the folder of tiles (`data.root` in training)", has_table=True)
    if images is not None:
        check_folder(images, "name the folder of the labelled images with `data.image_dir`")
    folders = list(_survey(root))
    planet = _planet_folders(root, folders) if table is None and images is None else []
    places = planet or [images or root]
    table = table or (_planet_table(root, planet[0], folders) if planet else _only_table(root, folders))
    tests = (f.path for f in folders if f.is_called(TEST_FOLDERS) and f.path not in places)
    return Layout(table, tuple(places), tuple(tests), bool(planet))


def untagged_folders(layout: Layout, names: pd.Series) -> list[Path]:
    """List the test folders, but for those with tiles that the table names and that lie nowhere else."""
    if layout.planet or not layout.tests:
        return list(layout.tests)
    elsewhere = {composed(path.stem) for path in image_files(layout.places[0], True, layout.tests)}
    sought = {Path(name).name for name in names} - elsewhere
    return [
        folder
        for folder in layout.tests
        if sought.isdisjoint(composed(path.stem) for path in image_files(folder, False))
    ]


def find_sample(root: Path) -> Path | None:
    """Find the sample submission in a folder of tiles; its rows give the order of a submission."""
    found = {csv: folder.path / csv for folder in _survey(root) for csv in folder.csvs if csv in SAMPLES}
    return next((found[csv] for csv in SAMPLES if csv in found), None)


def read_mapping(root: Path) -> dict[str, str]:
    """Find and read the competition's table that mends names of TIFs; empty where there is none.

    Raises
    ------
    InputError
        When there are two, or one that is not a renaming.
    """
    found = [folder.path / MAPPING for folder in _survey(root) if MAPPING in folder.csvs]
    if not found:
        return {}
    if len(found) > 1:
        raise InputError(f"{root} holds more than one {MAPPING}: {listed(found)}; keep one of them")
    raw, lines = read_csv(found[0])
    if not {"old", "new"} <= set(raw.columns):
        raise InputError(f"{found[0]} must have the columns old and new; it has {', '.join(map(str, raw.columns))}")
    renaming = raw[["old", "new"]].map(lambda name: without_suffix(name.strip()))
    for column in ("old", "new"):
        again = renaming[column].duplicated()
        if again.any():
            raise InputError(f"{found[0]} line {lines[again].iloc[0]}: {renaming[column][again].iloc[0]} stands twice")
    mended = renaming[renaming["old"].str.startswith("file_")]
    return dict(zip(mended["old"], mended["new"], strict=True))


def known_tables(root: Path) -> list[Path]:
    """List the competition's tables in a folder: tags, sample submissions, the mapping of names."""
    known = (*PLANET_TABLES, *SAMPLES, MAPPING)
    return [folder.path / name for folder in _survey(root) for name in folder.csvs if name in known]


def _survey(root: Path) -> Iterator[_Folder]:
    for listing in walk(root, depth=_DEPTH, prefer=(*TRAIN_JPG, *TRAIN_TIF, *TEST_FOLDERS)):
        yield _Folder(
            listing.path,
            tuple(name for name in listing.files if name.lower().endswith(".csv")),
            any(map(is_image, listing.files)),
        )


def _planet_folders(root: Path, folders: list[_Folder]) -> list[Path]:
    """Find the competition's folder of labelled JPGs, and that of their TIFs: either, both or none."""
    kinds = [[f.path for f in folders if f.is_called(names)] for names in (TRAIN_JPG, TRAIN_TIF)]
    for found in kinds:
        if len(found) > 1:
            raise InputError(
                f"{root} holds more than one {found[0].name}: {listed(found)}; name one parent "
                "(`data.root` in training)"
            )
    places = [path for found in kinds for path in found]
    bare = [f.path for f in folders if f.path.name in (*TRAIN_JPG, *TRAIN_TIF) and not f.has_images]
    elsewhere = any(f.has_images for f in folders if f.path.name not in TEST_FOLDERS)
    if bare and not elsewhere and not any(next(image_files(path, below=True), None) for path in bare):
        raise InputError(no_images(bare))
    return places


def _planet_table(root: Path, images: Path, folders: list[_Folder]) -> Path:
    """Find the competition's table nearest above the images, and else anywhere."""
    found = [folder.path / csv for folder in folders for csv in folder.csvs if csv in PLANET_TABLES]
    for parent in images.parents:
        near = [path for path in found if path.parent == parent]
        if near or parent == root:
            found = near or found
            break
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(PLANET_TABLES)
    if found:
        raise InputError(f"{root} holds more than one tag table: {listed(found)}; name one with `data.labels_file`")
    raise InputError(f"{root} has {images.name} but no tag table; put {wanted} beside it, or set `data.labels_file`")


def _only_table(root: Path, folders: list[_Folder]) -> Path:
    found = [folder.path / csv for folder in folders for csv in folder.csvs if csv not in (*SAMPLES, MAPPING)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{root} holds {len(found)} CSV files: {listed(found)}; name the tag table with `data.labels_file`"
        )
    packed = archives_in(root) or other_tables(root)
    raise InputError(
        f"{root} has neither {TRAIN_JPG[0]} nor a CSV of names and tags; "
        + (packed or "name the folder of tiles (`data.root` in training), or the table with `data.labels_file`")
    )
