"""Finds the tiles whose files a template names: a file for each band, or arrays; other tiles as `list_tiles` does."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from amazon_ml.data.catalog.names import composed
from amazon_ml.data.catalog.tiles import (
    choose_files,
    find_tiles,
    first_of,
    image_files,
    list_tiles,
    name_fault,
    natural_order,
)
from amazon_ml.data.catalog.walk import Identity, walk
from amazon_ml.data.readers.band_files import BAND, BandFiles, lacks_band, listed_all
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.errors import InputError


def list_tiles_of(
    files: BandFiles | None,
    folders: Sequence[Path],
    *,
    below: bool = True,
    exclude: Sequence[Path] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """List the tiles in some folders as `find_tiles_of` does, and raise the first fault."""
    if files is None:
        return list_tiles(folders, below=below, exclude=exclude, renamed=renamed)
    tiles, faults = find_tiles_of(files, folders, exclude=exclude)
    if faults:
        raise first_of(faults)
    return tiles


def find_tiles_of(
    files: BandFiles | None,
    folders: Sequence[Path],
    *,
    below: bool = True,
    exclude: Sequence[Path] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> tuple[pd.DataFrame, list[InputError]]:
    """Find the tiles in some folders, in natural order of their names.

    Parameters
    ----------
    files
        Template of the files of a tile; without one, as `find_tiles` does.
    folders, below, exclude, renamed
        As `find_tiles` takes them; a template looks into all subfolders.

    Returns
    -------
    Table of ``image_name``, ``path`` and ``tif``, both the file of the first band, and, by a template, ``named``: the
    path by which a table may name the tile. And an error for each file that the table cannot hold. Where two tiles
    share a name, it is the path below the folder instead.
    """
    if files is None:
        return find_tiles(folders, below=below, exclude=exclude, renamed=renamed)
    seen: set[Identity] = set()
    found = [(folder, *each) for folder in folders for each in _matching(files, folder, exclude, seen)]
    faults = [fault for _, text, _, _ in found if (fault := name_fault(text))]
    found = [each for each in found if not name_fault(each[1])] if faults else found
    # Most names are one of a kind: a set finds that faster than a count of each.
    shared = Counter(name for *_, name in found) if len({name for *_, name in found}) < len(found) else {}
    names = [
        Path(f"{above}{name}").relative_to(folder).as_posix() if shared.get(name, 1) > 1 else name
        for folder, _, above, name in found
    ]
    order = sorted(range(len(names)), key=[natural_order(name) for name in names].__getitem__)
    suffix = files.suffix
    texts = {
        "image_name": [names[at] for at in order],
        "path": [found[at][1] for at in order],
        "named": [f"{found[at][2]}{found[at][3]}{suffix}" for at in order],
    }
    again = [name for name, count in Counter(texts["image_name"]).items() if count > 1] if shared else []
    files_of_names = dict(zip(texts["image_name"], texts["path"], strict=True)) if again else {}
    faults += [
        InputError(f"two tiles have the name {name}", file=files_of_names[name], remedy="keep one of them")
        for name in again
    ]
    table = pd.DataFrame(texts)
    table.insert(2, "tif", table["path"])
    return table, faults


def paths_of(files: BandFiles | None, folder: Path, exclude: Iterable[Path] = (), *, below: bool = True) -> list[Path]:
    """List a path with the name of each tile in a folder: of its file, or by a template of the place of its files."""
    if files is None:
        return list(image_files(folder, below, exclude))
    return [Path(f"{above}{name}{files.suffix}") for _, above, name in _matching(files, folder, exclude, set())]


def choose_files_for(read: TileReader, tiles: pd.DataFrame) -> "tuple[pd.DataFrame, pd.Series[str]]":
    """Select the files of each tile that a reader needs, as `choose_files` does."""
    if read.source is not None and read.source.files is not None:
        return tiles.assign(tif=""), tiles["image_name"].iloc[:0]
    return choose_files(tiles, read.bands, read.rgb_source)


def files_of(read: TileReader) -> BandFiles | None:
    """Give the template of the files that a reader reads."""
    return None if read.source is None else read.source.files


def no_tiles(files: BandFiles, folders: Sequence[Path]) -> InputError:
    """Make the error for folders without a file that a template names."""
    where = " and ".join(map(str, folders))
    sought = files.template.replace(BAND, files.bands[0]) if files.each_band else files.template
    there = [str(listing.path / name) for folder in folders for listing in walk(folder) for name in listing.files]
    bands = files.bands_among(there) if files.each_band else []
    remedy = f"the files hold the bands {listed_all(bands)}" if bands else "correct `data.files` or `data.image_dir`"
    alike = [path for path in there if path.endswith(files.suffix)] or there
    example = f", but files such as {alike[0]}" if alike else ""
    return InputError(f"no file is named as {sought} (`data.files`){example}", file=where,
                      option="data.bands" if bands else "data.files", remedy=remedy)  # fmt: skip


def lacks_first_band(files: BandFiles | None, folders: Sequence[Path], names: Sequence[str]) -> InputError | None:
    """Make the error for tiles that have files of other bands than the first one; None where there is no such tile."""
    if files is None or not files.each_band:
        return None
    there = [f"{listing.folder}/{name}" for folder in folders for listing in walk(folder) for name in listing.files]
    found = files.tile_among(names, there)
    return None if found is None else lacks_band(files, files.bands[0], found[1], found[0])


def _matching(
    files: BandFiles, folder: Path, exclude: Iterable[Path], seen: set[Identity]
) -> Iterator[tuple[str, str, str]]:
    """Yield the path of the first file of each tile, the start of that path before the name, and the name."""
    end = files.tail.rpartition("/")[2]
    for listing in walk(folder, skip=exclude, seen=seen):
        here = ""
        for name in listing.files:
            # Most files are those of other bands, which this comparison finds faster than a regular expression.
            if name.endswith(end):
                here = here or listing.folder
                parts = files.named(f"{here}/{name}")
                if parts is not None:
                    yield f"{here}/{name}", parts[0], composed(parts[1])
