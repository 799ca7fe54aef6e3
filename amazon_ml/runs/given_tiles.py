"""Tiles as callers name them from Python: arrays, folders, lists of files, tables."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.augment.augment import symmetric
from amazon_ml.data.catalog.by_template import choose_files_for, files_of
from amazon_ml.data.catalog.contents import check_folder
from amazon_ml.data.catalog.layout import tiles_below
from amazon_ml.data.catalog.tiles import files_needed, is_tif
from amazon_ml.data.readers.bands import TileReader, name_bands, need_tif
from amazon_ml.data.readers.images import Image, resize
from amazon_ml.errors import InputError
from amazon_ml.runs.bundle import Blended, Networks
from amazon_ml.runs.inference import all_members

#: Arrays of uint8 or uint16, a folder, files, or a table with a column ``path``.
Tiles = Image | str | PathLike[str] | Sequence[str | PathLike[str]] | npt.NDArray[Any] | pd.Series | pd.DataFrame

#: Types of arrays that hold files: objects and texts.
_FILES = "OSUT"
_KINDS = "an array of levels, a folder, a list of files or a table with a column path"


def as_array(tiles: Any) -> npt.NDArray[Any] | None:
    """Give the array of levels that a caller gave; None where it names tiles by their files.

    Raises
    ------
    InputError
        For a masked array with masked pixels: their levels are what the file has for missing data.
    """
    if not hasattr(tiles, "__array__") or isinstance(tiles, pd.DataFrame):
        return None
    if np.ma.is_masked(tiles):
        raise InputError(
            f"{int(np.ma.getmaskarray(tiles).sum()):,} values of the array are masked, and a mask cannot be used here",
            option="tiles", remedy="fill them with levels of your choice, as tiles.filled(0) does, or give the files",
        )  # fmt: skip
    array = np.asarray(tiles)
    return None if array.ndim == 1 and array.dtype.kind in _FILES else array


def native(images: npt.NDArray[Any]) -> np.dtype[Any]:
    """Give the type of an array in the byte order of this machine: big-endian files make arrays of the other one."""
    return images.dtype.newbyteorder("=")


def list_given(tiles: Any, read: TileReader) -> pd.DataFrame:
    """List tiles that are given as a folder, a table, or several files."""
    if isinstance(tiles, (str, PathLike)):
        return list_folder(Path(tiles), read)
    if isinstance(tiles, pd.DataFrame):
        return as_table(tiles)
    return list_files(list(tiles) if hasattr(tiles, "__array__") else tiles)


class TileArrays:
    """Tiles of an array, scaled like files; those in the byte order of another machine are converted one by one."""

    def __init__(self, images: Image, size: int) -> None:
        self.images, self.size, self.dtype = images, size, native(images)

    def __len__(self) -> int:
        return len(self.images)

    def fetch(
        self, rows: npt.NDArray[np.intp], symmetries: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Copy and scale the tiles, and apply the symmetries."""
        images = np.empty((len(rows), self.size, self.size, self.images.shape[-1]), dtype=self.dtype)
        for slot, row in enumerate(rows):
            tile = resize(np.ascontiguousarray(self.images[row], dtype=self.dtype), self.size)
            symmetric(tile, 0 if symmetries is None else int(symmetries[slot]), images[slot])
        return images


def check_same_levels(readers: Mapping[Path, TileReader]) -> None:
    """Check that the levels of an array mean the same to all members of a blend: the same bands, type and limits.

    Parameters
    ----------
    readers
        How each member reads tiles, by its folder.
    """
    (first, expected), *others = readers.items()
    for path, read in others:
        if _levels(read) != _levels(expected):
            how = " and ".join(f"{name_bands(one.bands)} in {one.dtype}" for one in (expected, read))
            raise InputError(
                f"one array cannot be right for all members of the blend: {first} and this run read {how}, or with "
                "other limits", file=path, option="tiles", remedy="give files, a folder or a table",
            )  # fmt: skip


def _levels(read: TileReader) -> tuple[object, ...]:
    indices = read.source and (read.source.inputs, read.source.reflectance)
    return read.bands, read.dtype, dict(read.limits), read.rgb_source, indices


def check_same_files(networks: Networks | Blended) -> None:
    """Check that all members of a blend find a tile by the same file."""
    readers = [files_of(member.read) for member in all_members(networks)]
    named = {files and (files.template, files.tail) for files in readers}  # the tail holds the first band
    if len(named) > 1:
        raise InputError("the members of the blend read tiles of different `data.files`, or of other first bands",
                         option="tiles", remedy="predict with each of them, and average the tables")  # fmt: skip


def list_folder(folder: Path, read: TileReader) -> pd.DataFrame:
    """List the tiles of a folder and its subfolders."""
    folder = folder.expanduser()
    if folder.is_file():
        remedy = f"give a folder, or a list of files such as [{str(folder)!r}]"
        raise InputError("this is a file, not a folder", file=folder, option="tiles", remedy=remedy)
    check_folder(folder, "give the folder of tiles", option="tiles")
    return tiles_below(folder, read)


def list_files(files: Sequence[Any]) -> pd.DataFrame:
    """Make a table of a list of files."""
    if not isinstance(files, Sequence):
        raise InputError(f"`tiles` must be {_KINDS}, not a {type(files).__name__}", option="tiles")
    odd = [file for file in files if not isinstance(file, (str, PathLike))]
    if odd:
        remedy = "make one array of arrays with numpy.stack" if hasattr(odd[0], "shape") else ""
        raise InputError(
            f"`tiles` must be {_KINDS}, but the list holds a {type(odd[0]).__name__}", option="tiles", remedy=remedy
        )
    return as_table(pd.DataFrame({"path": [str(file) for file in files]}))


def list_scene(scene: Any) -> list[str]:
    """List the files of a scene, which is one path or several."""
    alone = isinstance(scene, (str, PathLike, pd.DataFrame)) or not isinstance(scene, Iterable)
    files = [scene] if alone else list(scene)
    odd = [file for file in files if not isinstance(file, (str, PathLike))]
    if not odd:
        return list(map(str, files))
    found = f"a {type(scene).__name__}" if alone else f"a {type(scene).__name__} that holds a {type(odd[0]).__name__}"
    remedy = "write the array as a georeferenced TIF" if hasattr(scene, "shape") or hasattr(odd[0], "shape") else ""
    raise InputError(f"`scene` must be a file, a folder, or a list of them, not {found}", option="scene", remedy=remedy)


def as_table(table: pd.DataFrame) -> pd.DataFrame:
    """Convert a table with a column ``path`` to a table like that of a catalog."""
    if "path" not in table:
        problem = f"the table of tiles has no column path, only {', '.join(map(str, table.columns))}"
        raise InputError(problem, option="tiles")
    if twice := [name for name in ("path", "tif", "image_name") if (table.columns == name).sum() > 1]:
        raise InputError(f"the table of tiles has several columns {twice[0]}", option="tiles",
                         remedy="keep one of them, as tiles.loc[:, ~tiles.columns.duplicated()] does")  # fmt: skip
    path = table["path"].reset_index(drop=True)
    if path.isna().any():
        row = int(path.isna().to_numpy().argmax())
        raise InputError(f"row {row + 1} of the table of tiles has no path", option="tiles")
    path = path.map(lambda file: str(Path(file).expanduser())).astype(object)
    own = path.where(path.map(is_tif).astype(bool), "")
    beside = table["tif"].reset_index(drop=True).fillna("").map(str) if "tif" in table else own
    names = path.map(lambda file: Path(file).stem)
    if "image_name" in table:
        names = table["image_name"].reset_index(drop=True)
    return pd.DataFrame({"image_name": names, "path": path, "tif": beside.where(beside != "", own)})


def choose_files(tiles: pd.DataFrame, read: TileReader) -> pd.DataFrame:
    """Select the files that a reader needs; a tile without one is an error."""
    chosen, lacking = choose_files_for(read, tiles)
    if len(lacking):
        path = tiles["path"].tolist()[int(lacking.iloc[0])]
        needed = files_needed(read.bands, read.rgb_source)
        remedy = "name the TIF in a column tif, or give the folder"
        if read.rgb_source != "tif" and is_tif(path):  # the JPG is missing, and one TIF cannot replace it
            beside = need_tif(read.bands)
            remedy = "name the JPG in the column path, or give the folder" if beside else "give these, or train on TIFs"
        raise InputError(f"the run reads the bands {name_bands(read.bands)} of a {needed}", file=path,
                         option="tiles", remedy=remedy)  # fmt: skip
    return chosen
