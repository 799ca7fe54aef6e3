"""What a folder of tiles holds: its layout is found, its tag table joined to its files, all checked.

Layouts that are found without being told:

========================================================== ====================================
``train-jpg/ test-jpg/ test-jpg-additional/``              the competition's archives
``planet/planet/train-jpg/`` … ``train_classes.csv``       the data-set mirror
``train-jpg/ test/``                                       both test sets merged
``train-tif-v2/ test-tif-v2/`` beside these or alone       4-band TIFs
one CSV of names and tags, images anywhere beneath         any other tagged set
========================================================== ====================================
"""

import difflib
import hashlib
import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from amazon_ml.data.bands import COLOURS, need_tif, parse_bands
from amazon_ml.data.images import SUFFIXES, TIF_SUFFIXES
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET, MultiHot, TagSet, declared, split_tags

log = logging.getLogger(__name__)

PLANET_TABLES = ("train_v2.csv", "train_classes.csv")
SAMPLES = ("sample_submission_v2.csv", "sample_submission.csv")
TRAIN_JPG = ("train-jpg",)
TRAIN_TIF = ("train-tif-v2", "train-tif")
TEST_FOLDERS = ("test-jpg", "test-jpg-additional", "test", "test-tif-v2", "test-tif")
#: Table of ``old,new`` names that mends those of ``file_*.tif``; ``test_*.tif`` are right as they are.
MAPPING = "test_v2_file_mapping.csv"
#: Column names that are understood without being told, the competition's first.
NAME_COLUMNS = ("image_name", "image", "filename", "file_name", "file", "name", "image_id", "id")
TAGS_COLUMNS = ("tags", "labels", "tag", "label", "classes")
#: How deep a layout may lie below the folder that is named; archives nest their folders.
_DEPTH = 4


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
        """Hash of the labelled tiles' names and tags; two folders with one hash hold the same task."""
        digest = hashlib.sha256("\n".join(self.tags.names).encode())
        for name, row in zip(self.labelled["image_name"], self.targets, strict=True):
            digest.update(f"\n{name}\t".encode() + row.tobytes())
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
                    files_needed(bands, colours), _listed(lacking))  # fmt: skip
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


def find_layout(root: Path, table: Path | None = None, images: Path | None = None) -> Layout:
    """Find the tag table and the folders of images; what is given is not looked for.

    Raises
    ------
    InputError
        For a folder without a layout or with more than one.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; name the folder of tiles (--data.root in training)")
    folders = list(_survey(root))
    planet = _planet_folders(root, folders) if table is None and images is None else []
    places = planet or [images or root]
    table = table or (_planet_table(root, planet[0], folders) if planet else _only_table(root, folders))
    tests = (f.path for f in folders if f.is_called(TEST_FOLDERS) and f.path not in places)
    return Layout(table, tuple(places), tuple(tests), bool(planet))


def choose_tags(
    table: Path, tag_strings: pd.Series, tags: Sequence[str] | None = None, separator: str | None = None
) -> TagSet:
    """Decide the tag list of a table, as `read_catalog` tells."""
    if tags is None and table.name not in PLANET_TABLES:
        return TagSet(_distinct_tags(table, tag_strings, separator))
    return PLANET if tags is None else declared(tags)


def untagged_folders(layout: Layout, names: pd.Series) -> list[Path]:
    """List the test folders, but for those with tiles that the table names and that lie nowhere else."""
    if layout.planet or not layout.tests:
        return list(layout.tests)
    elsewhere = {path.stem for path in _images(layout.places[0], True, set(layout.tests))}
    sought = {Path(name).name for name in names} - elsewhere
    return [folder for folder in layout.tests if sought.isdisjoint(p.stem for p in _images(folder, False, set()))]


def read_table(
    table: Path, name_column: str | None = None, tags_column: str | None = None, leave_out: Path | None = None
) -> pd.DataFrame:
    """Read a table of names and tags; names lose an image ending.

    Rows with a name that stands in the CSV `leave_out` are passed over.

    Returns
    -------
    Table of ``image_name``, ``tags`` and ``line`` (the line in the file, the header being 1).
    """
    raw, lines = _read_csv(table)
    columns = [str(column) for column in raw.columns]
    tags = find_column(table, columns, tags_column, TAGS_COLUMNS, "data.tags_column")
    names = _read_names(table, raw, lines, name_column)
    rows = pd.DataFrame({"image_name": names, "tags": raw[tags], "line": lines})
    if leave_out is not None:
        rows = _without(rows, table, leave_out)
    _refuse_repeated(table, rows["image_name"], rows["line"])
    return rows


def read_names(table: Path) -> list[str]:
    """Read the names of a table, in its order, whatever other columns it has."""
    try:
        raw, lines = _read_csv(table)
        names = _read_names(table, raw, lines)
        _refuse_repeated(table, names, lines)
    except InputError as error:
        raise InputError(f"cannot take names: {error}") from None
    return names.tolist()


def find_sample(root: Path) -> Path | None:
    """Find the sample submission in a folder of tiles; its rows give the order of a submission."""
    found = {csv: folder.path / csv for folder in _survey(root) for csv in folder.csvs if csv in SAMPLES}
    return next((found[csv] for csv in SAMPLES if csv in found), None)


def list_tiles(
    folders: Sequence[Path],
    *,
    below: bool = True,
    leave_out: Sequence[Path] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """List the tiles in some folders, as `find_tiles` does; what it finds fault with is refused."""
    tiles, faults = find_tiles(folders, below=below, leave_out=leave_out, renamed=renamed)
    if faults:
        raise InputError(faults[0])
    unmended = [tif for tif in map(Path, tiles["tif"]) if _is_misnamed(tif) and tif.parent.name in TEST_FOLDERS]
    if unmended and not renamed:
        log.warning("%d TIFs such as %s are misnamed in the competition's archive, and no %s mends that; "
                    "put it there, or name the folder that holds it", len(unmended), unmended[0], MAPPING)  # fmt: skip
    return tiles


def find_tiles(
    folders: Sequence[Path],
    *,
    below: bool = True,
    leave_out: Sequence[Path] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> tuple[pd.DataFrame, list[str]]:
    """Find the tiles in some folders, in natural order of their names.

    A tile's name is its file name without the ending; a TIF and one other image that share it are
    one tile. Where more files share a name, every name is the path below its folder instead.

    Parameters
    ----------
    folders
        Where to look.
    below
        Whether to look in folders beneath, too.
    leave_out
        Folders beneath that are passed over.
    renamed
        Names of TIFs to the tiles that they show, as `read_mapping` gives them.

    Returns
    -------
    Table of ``image_name``, ``path`` (the JPG or PNG where there is one, else the TIF) and ``tif``
    (``""`` where there is none); and a sentence on each file that it cannot hold.
    """
    found = [(folder, path) for folder in folders for path in _images(folder, below, set(leave_out))]
    faults = [
        f"{path} is not in {MAPPING}, so what it shows is unknown; remove it, or complete the table"
        for _, path in found
        if renamed and _is_misnamed(path) and path.stem not in renamed
    ]
    stems = [renamed.get(path.stem, path.stem) if _is_misnamed(path) else path.stem for _, path in found]
    shared = Counter((stem, is_tif(path.name)) for stem, (_, path) in zip(stems, found, strict=True))
    if any(count > 1 for count in shared.values()):
        stems = [path.relative_to(folder).with_suffix("").as_posix() for folder, path in found]
    files: dict[tuple[str, bool], str] = {}
    for name, (_, path) in zip(stems, found, strict=True):
        first = files.setdefault((name, is_tif(path.name)), str(path))
        if first != str(path):
            faults.append(f"two files have the name {name}: {first} and {path}; keep one of them")
    names = sorted({name for name, _ in files}, key=natural_order)
    tifs = [files.get((name, True), "") for name in names]
    paths = [files.get((name, False), tif) for name, tif in zip(names, tifs, strict=True)]
    return pd.DataFrame({"image_name": names, "path": paths, "tif": tifs}), faults


def choose_colours(files: pd.DataFrame) -> str:
    """Decide whether colours come from ``jpg`` or ``tif``: from JPGs where there are any, or no files at all."""
    return "tif" if len(files) and files["path"].map(is_tif).all() else "jpg"


def choose_files(files: pd.DataFrame, bands: Sequence[str], colours: str) -> tuple[pd.DataFrame, "pd.Series[str]"]:
    """Keep of each tile the files that its bands are read from.

    Parameters
    ----------
    files
        Table as `list_tiles` gives it.
    bands
        Bands that will be read.
    colours
        ``jpg`` or ``tif``.

    Returns
    -------
    Table of ``image_name``, ``path`` and ``tif``, the last ``""`` where no second file is needed; and
    the names of tiles that lack a file.
    """
    both = need_tif(bands)
    if colours == "tif":
        fit = files["tif"] != ""
        chosen = files.assign(path=files["tif"], tif="")
    else:
        fit = ~files["path"].map(is_tif).astype(bool) & ((files["tif"] != "") | (not both))
        chosen = files if both else files.assign(tif="")
    return chosen[fit].reset_index(drop=True), files.loc[~fit, "image_name"]


def files_needed(bands: Sequence[str], colours: str) -> str:
    """Say which files a tile is read from."""
    if colours == "tif":
        return "TIF"
    return "JPG with a TIF beside it" if need_tif(bands) else "JPG or PNG"


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
        raise InputError(f"{root} holds more than one {MAPPING}: {_listed(found)}; keep one of them")
    raw, lines = _read_csv(found[0])
    if not {"old", "new"} <= set(raw.columns):
        raise InputError(f"{found[0]} must have the columns old and new; it has {', '.join(map(str, raw.columns))}")
    renaming = raw[["old", "new"]].map(lambda name: without_suffix(name.strip()))
    for column in ("old", "new"):
        again = renaming[column].duplicated()
        if again.any():
            raise InputError(f"{found[0]} line {lines[again].iloc[0]}: {renaming[column][again].iloc[0]} stands twice")
    mended = renaming[renaming["old"].str.startswith("file_")]
    return dict(zip(mended["old"], mended["new"], strict=True))


def locate(rows: pd.DataFrame, files: pd.DataFrame, place: Path) -> pd.DataFrame:
    """Add to the rows of a table ``path`` and ``tif``, missing where there is no file.

    A table may name files by their path below the folder `place` where short names would do.
    """
    if not rows["image_name"].isin(files["image_name"]).any():
        inside = [Path(path) for path in files["path"] if Path(path).is_relative_to(place)]
        long = {str(path): path.relative_to(place).with_suffix("").as_posix() for path in inside}
        files = files.assign(image_name=files["path"].map(long))
    return rows.merge(files[files["image_name"].notna()], on="image_name", how="left")


def natural_order(name: str) -> tuple[str, int, str]:
    """Sort key that puts ``test_10`` behind ``test_9``."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits or -1), name


def _survey(root: Path) -> Iterator[_Folder]:
    for where, below, files in os.walk(root, followlinks=True):
        path = Path(where)
        deep = len(path.relative_to(root).parts)
        below[:] = sorted(name for name in below if not name.startswith(".") and deep < _DEPTH)
        yield _Folder(
            path,
            tuple(sorted(name for name in files if name.lower().endswith(".csv") and not name.startswith("."))),
            any(_is_image(name) for name in files),
        )


def _planet_folders(root: Path, folders: list[_Folder]) -> list[Path]:
    """Find the competition's folder of labelled JPGs, and that of their TIFs: either, both or none."""
    kinds = [[f.path for f in folders if f.is_called(names)] for names in (TRAIN_JPG, TRAIN_TIF)]
    for found in kinds:
        if len(found) > 1:
            raise InputError(
                f"{root} holds more than one {found[0].name}: {_listed(found)}; name one parent "
                "(--data.root in training)"
            )
    return [path for found in kinds for path in found]


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
        raise InputError(f"{root} holds more than one tag table: {_listed(found)}; name one with --data.table")
    raise InputError(f"{root} has {images.name} but no tag table; put {wanted} beside it, or set --data.table")


def _only_table(root: Path, folders: list[_Folder]) -> Path:
    found = [folder.path / csv for folder in folders for csv in folder.csvs if csv not in (*SAMPLES, MAPPING)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{root} holds {len(found)} CSV files: {_listed(found)}; name the tag table with --data.table")
    raise InputError(
        f"{root} has neither {TRAIN_JPG[0]} nor a CSV of names and tags; "
        "name the folder of tiles (--data.root in training), or the table with --data.table"
    )


def _read_csv(table: Path, may_be_empty: bool = False) -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Read a CSV as text, with the line of each row in the file, the header being 1."""
    try:
        with warnings.catch_warnings():
            # Where rows are longer than the header, it would only warn, and drop what is behind.
            warnings.simplefilter("error", category=pd.errors.ParserWarning)
            raw = pd.read_csv(
                table, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False, skip_blank_lines=False
            )
    except FileNotFoundError:
        raise InputError(f"there is no table {table}") from None
    except pd.errors.ParserWarning:
        raise InputError(f"{table} has rows with more columns than its header; put quotes around tags") from None
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{table} is not a CSV that can be read: {str(error).strip()}") from None
    lines = pd.Series(np.arange(len(raw)) + 2)
    filled = (raw != "").any(axis=1)
    if not filled.any() and not may_be_empty:
        raise InputError(f"{table} has a header but no rows")
    return raw[filled].reset_index(drop=True), lines[filled].reset_index(drop=True)


def _read_names(
    table: Path, raw: pd.DataFrame, lines: "pd.Series[int]", name_column: str | None = None
) -> "pd.Series[str]":
    column = find_column(table, [str(name) for name in raw.columns], name_column, NAME_COLUMNS, "data.name_column")
    names = raw[column].str.strip().map(without_suffix)
    nameless = lines[names == ""]
    if len(nameless):
        raise InputError(f"{table} line {nameless.iloc[0]}: the name in column {column!r} is empty")
    return names


def _refuse_repeated(table: Path, names: "pd.Series[str]", lines: "pd.Series[int]") -> None:
    again = names[names.duplicated(keep=False)]
    if len(again):
        first = again.iloc[0]
        where = ", ".join(map(str, lines[names == first]))
        raise InputError(f"{table}: {again.nunique()} names stand more than once, such as {first} on lines {where}")


def _without(rows: pd.DataFrame, table: Path, leave_out: Path) -> pd.DataFrame:
    try:
        names = set(_read_names(leave_out, *_read_csv(leave_out, may_be_empty=True)))  # a name may have two reasons
    except InputError as error:
        raise InputError(f"cannot take names: {error}") from None
    unknown = names.difference(rows["image_name"])
    if unknown and unknown == names:
        raise InputError(f"{leave_out} names no tile of {table}; name the right list with --data.leave_out, or none")
    if unknown:
        log.warning("%s names %d tiles that %s lacks: %s", leave_out, len(unknown), table, _listed(sorted(unknown)))
    kept = rows[~rows["image_name"].isin(names)].reset_index(drop=True)
    if kept.empty:
        raise InputError(f"{leave_out} leaves nothing of {table}")
    log.info("%s: %d rows are left out, as %s says", table, len(rows) - len(kept), leave_out)
    return kept


def find_column(table: Path, columns: list[str], wanted: str | None, known: Sequence[str], option: str) -> str:
    """Find a column by the name that is wanted, or else by the first of the known ones; case does not matter."""
    by_lower = {column.strip().lower(): column for column in columns}
    for candidate in [wanted.lower()] if wanted else known:
        if candidate in by_lower:
            return by_lower[candidate]
    remedy = f"Name the right one with --{option}"
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        remedy = "Save it with commas between its columns"
    raise InputError(
        f"{table} has no column {wanted or known[0]!r}; it has {', '.join(map(repr, columns)) or 'none'}. {remedy}"
    )


def without_suffix(name: str) -> str:
    """Drop an image ending from a name."""
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name


def _distinct_tags(table: Path, tag_strings: pd.Series, separator: str | None) -> tuple[str, ...]:
    counts = Counter(tag for tags in tag_strings for tag in set(split_tags(tags, separator)))
    if not counts:
        raise InputError(f"{table} names no tag at all")
    joined = [tag for tag in counts if any(mark in tag for mark in ",;|")]
    if joined:
        log.warning("%s: %r is read as one tag; if it is several, set tag_separator", table, joined[0])
    for tag, count in counts.items():
        near = [other for other in difflib.get_close_matches(tag, counts, n=3, cutoff=0.85) if other != tag]
        if near and count * 20 < counts[near[0]]:
            log.warning(
                "%s: %r on %d tiles looks like %r on %d; if it is a slip, mend the table",
                table, tag, count, near[0], counts[near[0]],
            )  # fmt: skip
    return tuple(sorted(counts))


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
        said = f"{len(missing):,} of {len(rows):,} tiles in {table} have no {needed} in {where}: {_listed(missing)}"
        if not allow_missing:
            raise InputError(f"{said}. Complete the folder, or leave them out with --data.allow_missing true")
        log.warning("%s; they are left out", said)
    surplus = files.loc[~files["path"].isin(joined["path"]), "image_name"]
    if len(surplus):
        log.warning(
            "%d images in %s have no row in %s: %s; they are left out", len(surplus), where, table, _listed(surplus)
        )
    return joined.loc[there, ["image_name", "path", "tif", "tags", "line"]].reset_index(drop=True)


def _images(folder: Path, below: bool, leave_out: set[Path]) -> Iterator[Path]:
    for where, deeper, files in os.walk(folder, followlinks=True):
        here = Path(where)
        deeper[:] = [name for name in deeper if below and not name.startswith(".") and here / name not in leave_out]
        yield from (here / name for name in files if _is_image(name))


def is_tif(path: str) -> bool:
    """Whether a file's ending is that of a TIF."""
    return path.lower().endswith(TIF_SUFFIXES)


def _is_misnamed(path: Path) -> bool:
    """Whether a file carries a name of the kind that the competition's mapping mends."""
    return is_tif(path.name) and path.stem.startswith("file_")


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")  # macOS puts ._name beside name


def _listed(items: Sequence[object] | pd.Series | pd.Index) -> str:
    shown = ", ".join(str(item) for item in list(items)[:4])
    return shown + (" …" if len(items) > 4 else "")
