"""Tiles in folders: finding image files, naming them, choosing those that bands are read from."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from amazon_ml.data.bands import need_tif
from amazon_ml.data.images import SUFFIXES, TIF_SUFFIXES
from amazon_ml.errors import InputError

log = logging.getLogger(__name__)

TEST_FOLDERS = ("test-jpg", "test-jpg-additional", "test", "test-tif-v2", "test-tif")
#: Table of ``old,new`` names that mends those of ``file_*.tif``; ``test_*.tif`` are right as they are.
MAPPING = "test_v2_file_mapping.csv"


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
    found = [(folder, path) for folder in folders for path in image_files(folder, below, set(leave_out))]
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


def natural_order(name: str) -> tuple[str, int, str]:
    """Sort key that puts ``test_10`` behind ``test_9``."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits or -1), name


def is_tif(path: str) -> bool:
    """Whether a file's ending is that of a TIF."""
    return path.lower().endswith(TIF_SUFFIXES)


def image_files(folder: Path, below: bool, leave_out: set[Path]) -> Iterator[Path]:
    """Find the image files in a folder, and in the folders below it on request."""
    for where, deeper, files in os.walk(folder, followlinks=True):
        here = Path(where)
        deeper[:] = [name for name in deeper if below and not name.startswith(".") and here / name not in leave_out]
        yield from (here / name for name in files if is_image(name))


def _is_misnamed(path: Path) -> bool:
    """Whether a file carries a name of the kind that the competition's mapping mends."""
    return is_tif(path.name) and path.stem.startswith("file_")


def is_image(name: str) -> bool:
    """Whether a file name is that of a tile."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")  # macOS puts ._name beside name
