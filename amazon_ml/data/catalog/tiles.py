"""Tiles in folders: finds image files, names the tiles, and chooses the files that bands are read from."""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from amazon_ml.data.catalog.walk import Identity, walk
from amazon_ml.data.config import RgbSource
from amazon_ml.data.readers.bands import need_tif
from amazon_ml.data.readers.images import SUFFIXES, TIF_SUFFIXES
from amazon_ml.errors import InputError
from amazon_ml.labels import UNWRITABLE

log = logging.getLogger(__name__)

#: Remedy for a name of a table that several files share.
NAME_BY_PATH = "name the file by its path, or move the others"
#: Folders of the competition.
TRAIN_JPG = ("train-jpg",)
TRAIN_TIF = ("train-tif-v2", "train-tif")
TEST_FOLDERS = ("test-jpg", "test-jpg-additional", "test", "test-tif-v2", "test-tif")
#: Table of ``old,new`` names that corrects those of ``file_*.tif``; the names of ``test_*.tif`` are right.
MAPPING = "test_v2_file_mapping.csv"


def list_tiles(
    folders: Sequence[Path],
    *,
    below: bool = True,
    exclude: Sequence[Path] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """List the tiles in some folders as `find_tiles` does, and raise the first fault.

    Raises
    ------
    InputError
        If a file cannot be a tile of the list, with the number of such files.
    """
    tiles, faults = find_tiles(folders, below=below, exclude=exclude, renamed=renamed)
    if faults:
        raise first_of(faults)
    misnamed = [Path(tif) for tif in tiles["tif"] if "/file_" in tif]
    unmended = [tif for tif in misnamed if tif.name.startswith("file_") and tif.parent.name in TEST_FOLDERS]
    if unmended and not renamed:
        log.warning("%d TIFs such as %s have a wrong name in the competition's archive, and there is no %s to correct "
                    "it; put it there, or name the folder that holds it", len(unmended), unmended[0],
                    MAPPING)  # fmt: skip
    return tiles


def find_tiles(
    folders: Sequence[Path],
    *,
    below: bool = True,
    exclude: Sequence[Path] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> tuple[pd.DataFrame, list[InputError]]:
    """Find the tiles in some folders, in natural order of their names.

    The name of a tile is its file name without the ending; a TIF and one other image of the same name are one tile.
    Where several files of one kind share a name, the name is the path below the folder instead.

    Parameters
    ----------
    folders
        Folders to search.
    below
        Whether to search their subfolders, too.
    exclude
        Subfolders to skip.
    renamed
        Corrected names of TIFs, as `read_mapping` gives them.

    Returns
    -------
    Table of ``image_name``, ``path`` (the JPG or PNG where there is one, else the TIF) and ``tif``
    (``""`` where there is none); and an error for each file that the table cannot hold.
    """
    seen: set[Identity] = set()
    faults: list[InputError] = []
    found = []
    for folder in folders:
        for path in image_files(folder, below, set(exclude), seen):
            # As text: a set may have a million files.
            text, name = str(path), path.name
            if fault := name_fault(text):
                faults.append(fault)
            else:
                tif = is_tif(name)
                found.append((folder, text, name[: name.rindex(".")], tif, tif and name.startswith("file_")))
    faults += [
        InputError(f"the file is not in {MAPPING}, so what it shows is unknown", file=text,
                   remedy="remove it, or complete the table")
        for _, text, stem, _, misnamed in found
        if renamed and misnamed and stem not in renamed
    ]  # fmt: skip
    stems = [renamed.get(stem, stem) if misnamed else stem for _, _, stem, _, misnamed in found]
    shared = Counter((stem, tif) for stem, (_, _, _, tif, _) in zip(stems, found, strict=True))
    several = {stem for (stem, _), count in shared.items() if count > 1}
    files: dict[tuple[str, bool], str] = {}
    for stem, (folder, text, _, tif, _) in zip(stems, found, strict=True):
        name = Path(text).relative_to(folder).with_suffix("").as_posix() if stem in several else stem
        first = files.setdefault((name, tif), text)
        if first != text:
            problem = f"this file and {first} both have the name {name}"
            faults.append(InputError(problem, file=text, remedy="keep one of them"))
    names = sorted({name for name, _ in files}, key=natural_order)
    tifs = [files.get((name, True), "") for name in names]
    paths = [files.get((name, False), tif) for name, tif in zip(names, tifs, strict=True)]
    return pd.DataFrame({"image_name": names, "path": paths, "tif": tifs}), faults


def first_of(faults: Sequence[InputError]) -> InputError:
    """Give the first of the errors of some files, with the number of the others."""
    error, others = faults[0], len(faults) - 1
    return error.advise(f"and {others:,} more such files") if others else error


def choose_rgb_source(files: pd.DataFrame) -> RgbSource:
    """Choose the source of red, green and blue: ``tif`` where all files are TIFs, else ``jpg``."""
    return "tif" if len(files) and files["path"].map(is_tif).all() else "jpg"


def choose_files(files: pd.DataFrame, bands: Sequence[str], rgb_source: str) -> tuple[pd.DataFrame, "pd.Series[str]"]:
    """Select the files of each tile that its bands are read from.

    Parameters
    ----------
    files
        Table as `list_tiles` gives it.
    bands
        Bands that will be read.
    rgb_source
        ``jpg`` or ``tif``.

    Returns
    -------
    Table of ``image_name``, ``path`` and ``tif``, the last ``""`` where no second file is needed; and
    the names of tiles that lack a file.
    """
    both = need_tif(bands)
    if rgb_source == "tif":
        fit = files["tif"] != ""
        chosen = files.assign(path=files["tif"], tif="")
    else:
        fit = ~files["path"].map(is_tif).astype(bool) & ((files["tif"] != "") | (not both))
        chosen = files if both else files.assign(tif="")
    return chosen[fit].reset_index(drop=True), files.loc[~fit, "image_name"]


def files_needed(bands: Sequence[str], rgb_source: str) -> str:
    """Describe the files that a tile is read from."""
    if rgb_source == "tif":
        return "TIF"
    return "JPG with a TIF beside it" if need_tif(bands) else "JPG, PNG, WebP or BMP"


def sharing_names(names: Iterable[str], files: pd.DataFrame) -> dict[str, list[int]]:
    """Find the names of a table that several files share, so that only their paths distinguish them.

    Parameters
    ----------
    names
        Names of the table.
    files
        Table as `list_tiles` gives it.

    Returns
    -------
    The positions of the files for each such name.
    """
    sharing: dict[str, dict[str, int]] = {}
    short = [name.rpartition("/")[2] for name in files["image_name"]]
    # Only files that share a name have a path as their name.
    shared = {last for name, last in zip(files["image_name"], short, strict=True) if len(name) > len(last)}
    if not shared:
        return {}
    for at, (last, name) in enumerate(zip(short, files["image_name"], strict=True)):
        if last in shared:
            sharing.setdefault(last, {})[name] = at
    wanted = set(names)
    # The name of a file in the folder itself is its path, if the table names the other files of this name by path.
    return {
        name: list(sharing[name].values())
        for name in sorted(wanted & sharing.keys())
        if sharing[name].keys() != {name} and not (wanted - {name}) & sharing[name].keys()
    }


def natural_order(name: str) -> tuple[str, int, str]:
    """Return a sort key that puts ``test_10`` after ``test_9``."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits or -1), name


def is_tif(path: str) -> bool:
    """Whether a file's ending is that of a TIF."""
    return path.lower().endswith(TIF_SUFFIXES)


def image_files(
    folder: Path, below: bool, exclude: Iterable[Path] = (), seen: set[Identity] | None = None
) -> Iterator[Path]:
    """Find the image files in a folder, and in its subfolders on request.

    Everything with the name of an image counts: broken links, FIFOs, and folders without images in them. They cannot
    be read, and a message must name them.

    Parameters
    ----------
    folder
        Folder to search.
    below
        Whether to search its subfolders, too.
    exclude
        Subfolders to skip.
    seen
        Folders that were searched before, as `walk` takes them.
    """
    for listing in walk(folder, depth=None if below else 0, skip=exclude, seen=seen):
        here = listing.path
        yield from (here / name for name in listing.files if is_image(name))
        called = (here / name for name in listing.folders if is_image(name))
        yield from (path for path in called if next(image_files(path, below=True), None) is None)


def name_fault(text: str) -> InputError | None:
    """Say why no table can hold the path of a file; its error has the path as bytes are written. None where one can."""
    if text.isascii() and text.isprintable():
        return None
    odd = next((mark for mark in text if unicodedata.category(mark) in UNWRITABLE), None)
    if odd is None:
        return None
    what = "is not UTF-8" if unicodedata.category(odd) == "Cs" else f"holds the control character {odd!a}"
    return InputError(f"the name {what}", file=repr(os.fsencode(text)), remedy="rename the file or its folder")


def is_image(name: str) -> bool:
    """Whether a file name is the name of a tile."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")  # macOS puts ._name beside name
