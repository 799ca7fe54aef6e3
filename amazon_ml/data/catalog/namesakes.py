"""Image files of one name: which of them a row of a table means, and which a reader reads.

A TIF and a JPG (or another image) of one name are one tile in the folders of the competition. Elsewhere the second file
may be a mask or a preview. So the ending or the path in the table decides, or an option; else the tile is refused.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.join import PathNames, locate
from amazon_ml.data.catalog.names import composed
from amazon_ml.data.catalog.tiles import (
    TEST_FOLDERS,
    TRAIN_JPG,
    TRAIN_TIF,
    choose_rgb_source,
    files_needed,
    is_tif,
    sharing_names,
)
from amazon_ml.data.config import ReadingConfig, RgbSource
from amazon_ml.data.readers.bands import need_tif
from amazon_ml.errors import InputError, listed

log = logging.getLogger(__name__)

#: Remedy for a name of a table that several files have.
NAME_THE_FILE = (
    "name the file by its path, and by its ending where two have one path; or, where one folder holds all tiles, name "
    "it with `data.image_dir`"
)
_ENDINGS = {".jpeg": ".jpg", ".tiff": ".tif"}


@dataclass(frozen=True)
class Namesakes:
    """The files of some folders, after the rows of a table decided which of several files of one name they mean.

    Parameters
    ----------
    files
        Table as `list_tiles` gives it. Of a pair, the file that the table names is left, or both as two tiles.
    unclear
        For each name that may mean several files: a sentence with the files, and the remedy.
    apart
        Whether rows name one of a TIF and another image of one name.
    """

    files: pd.DataFrame
    unclear: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    apart: bool = False


def distinguish(rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path], *, paired: bool) -> Namesakes:
    """Find the files that the rows of a table mean, where several files have one name.

    Parameters
    ----------
    rows
        Rows of a table: ``image_name``, without an ending, and ``ending``, ``""`` where the table has none.
    files
        Table as `list_tiles` gives it.
    places
        Folders below which the table may name files by their path.
    paired
        Whether a TIF and another image of one name are one tile in any case: an option or the layout says so.
    """
    files, unclear = _shared(rows, files, places)
    return Namesakes(files, unclear) if paired else _pairs(rows, files, places, unclear)


def source_of(
    rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path], config: ReadingConfig, *, planet: bool
) -> RgbSource:
    """Choose the source of red, green and blue by the files that the rows of a table mean, else by all files."""
    if not isinstance(config.bands, str):
        return "tif"
    if config.rgb_source is not None:
        return config.rgb_source
    chosen = choose_rgb_source(files)
    if planet or chosen == "tif" or (files["tif"] == "").all():
        return chosen
    found = locate(rows, files, places)
    found = found[found["path"].notna()]
    return choose_rgb_source(found) if len(found) else chosen


def also_by_either(files: pd.DataFrame) -> pd.DataFrame:
    """Let a table name a tile by the path of either of its two files, as `locate` reads it."""
    return files.assign(first=files["path"], second=files["tif"])


def files_alone(files: pd.DataFrame) -> frozenset[str]:
    """List the files that are a tile without another file."""
    return frozenset(path for path, tif in zip(files["path"], files["tif"], strict=True) if tif in ("", path))


def doubtful_pairs(files: pd.DataFrame) -> list[int]:
    """List the positions of tiles of a TIF and another image that lie in no folders of the competition."""
    if not (files["tif"] != "").any():
        return []
    known: dict[tuple[str, str], bool] = {}
    found = []
    for at, (path, tif) in enumerate(zip(files["path"], files["tif"], strict=True)):
        if tif and path != tif:
            folders = _folder(path), _folder(tif)
            if (doubt := known.get(folders)) is None:
                doubt = known[folders] = not _is_published(*folders)
            if doubt:
                found.append(at)
    return found


def warn_of_pairs(
    files: pd.DataFrame, bands: Sequence[str], rgb_source: str, named: Collection[str] = frozenset()
) -> None:
    """Say which file of a TIF and another image of one name is read, outside of the competition's folders.

    Parameters
    ----------
    files
        Table as `list_tiles` gives it.
    bands, rgb_source
        What is read of a tile.
    named
        The files that a table names by their path or their ending: where they are read, nothing is said.
    """
    both = rgb_source != "tif" and need_tif(bands)
    order = ("tif", "path") if rgb_source == "tif" else ("path", "tif")
    pairs = [tuple(str(files[column].iloc[at]) for column in order) for at in doubtful_pairs(files)]
    pairs = [pair for pair in pairs if both or pair[0] not in named]
    if pairs:
        first, second = pairs[0]
        what = f"red, green and blue come from files such as {first}, and other bands from {second}"
        if not both:
            though = ", though the table names it" if second in named else ""
            what = f"files such as {first} are read, and {second} is not{though}"
        log.warning("%d tiles have a TIF and another image of one name: %s", len(pairs), what)


def check_pairs(files: pd.DataFrame, bands: Sequence[str], rgb_source: str, *, option: str, remedy: str) -> None:
    """Check that no folder beside that of the tiles has files of their names, where no table says which are tiles.

    Two files in one folder, one of them perhaps in a subfolder, and two that are both needed, are a tile, with a
    warning: no option could name the outer folder without the inner one.

    Parameters
    ----------
    files
        Table as `list_tiles` gives it.
    bands, rgb_source
        What is read of a tile.
    option
        Name of the setting that gave the folder.
    remedy
        What to do about two folders.

    Raises
    ------
    InputError
        If a TIF and another image of one name lie in two folders beside each other, and one of them is read.
    """
    if rgb_source == "tif" or not need_tif(bands):
        for at in doubtful_pairs(files):
            name, path, tif = (files[column].iloc[at] for column in ("image_name", "path", "tif"))
            if not _is_nested(path, tif):
                needed = files_needed(bands, rgb_source)
                raise InputError(f"{name} may be any of {listed([path, tif])}; a {needed} is read here",
                                 file=path, option=option, remedy=remedy)  # fmt: skip
    warn_of_pairs(files, bands, rgb_source)


def _shared(
    rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path]
) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Find the names that files of several folders share; the file of the ending in the table gets the name."""
    shared = sharing_names(rows["image_name"], files)
    if not shared:
        return files, {}
    endings = _endings(rows, shared)
    paths, tifs, names = (files[column].tolist() for column in ("path", "tif", "image_name"))
    at_name, unclear, renamed = {name: at for at, name in enumerate(names)}, {}, False
    for name, tiles in shared.items():
        each = {at: list(dict.fromkeys(file for file in (paths[at], tifs[at]) if file)) for at in tiles}
        fit = [at for at, those in each.items() for file in those if endings[name] and _ending(file) == endings[name]]
        if len(fit) == 1:
            other = at_name.get(name, fit[0])
            names[other] = _below(paths[other], places)
            names[fit[0]], renamed = name, True
        else:
            those = [file for several in each.values() for file in several]
            unclear[name] = f"{name} may be any of {listed(those)}", NAME_THE_FILE
    return files.assign(image_name=names) if renamed else files, unclear


def _pairs(
    rows: pd.DataFrame, files: pd.DataFrame, places: Sequence[Path], unclear: dict[str, tuple[str, str]]
) -> Namesakes:
    """Find the file of each pair that the rows mean, by its path or its ending, and make it a tile of its own."""
    doubt = doubtful_pairs(files)
    if not doubt:
        return Namesakes(files, unclear)
    paths, tifs, names = (files[column].tolist() for column in ("path", "tif", "image_name"))
    short = {composed(names[at]): at for at in doubt}
    by_path = any("/" in name for name in rows["image_name"])
    both = {file: (at, _bare(file)) for at in doubt for file in (paths[at], tifs[at])} if by_path else {}
    long = PathNames(both, places)
    meant: dict[int, dict[str, str]] = {}
    for name, ending in zip(rows["image_name"].tolist(), rows["ending"].tolist(), strict=True):
        at, bare = short.get(name), ""
        if at is None:
            at, bare = (long.find(name) if "/" in name else None) or (None, "")
        if at is None:
            continue
        fit = [file for file in (paths[at], tifs[at]) if not bare or _bare(file) == bare]
        if len(fit) > 1:
            fit = [file for file in fit if _ending(file) == _ENDINGS.get(ending, ending)]
        if len(fit) == 1:
            meant.setdefault(at, {}).setdefault(fit[0], name)
        else:
            unclear[name] = f"{name} may be any of {listed([tifs[at], paths[at]])}", _remedy(paths[at], tifs[at])
    second: dict[str, str] = {}
    for at, named in meant.items():
        (file, name), *others = named.items()
        if others:  # rows mean both
            names[at] = name
        second |= dict(others)
        paths[at], tifs[at] = file, file if is_tif(file) else ""
    settled = files.assign(image_name=names, path=paths, tif=tifs)
    if second:
        tif = [file if is_tif(file) else "" for file in second]
        more = pd.DataFrame({"image_name": list(second.values()), "path": list(second), "tif": tif})
        settled = pd.concat([settled, more], ignore_index=True)
    return Namesakes(settled, unclear, apart=bool(meant))


def _remedy(path: str, tif: str) -> str:
    there = "" if _folder(path) == _folder(tif) else ", or name the folder of the images with `data.image_dir`"
    return (
        f"write the ending or the path of the image in the table{there}; where red, green and blue come from JPGs or "
        "PNGs, and only other bands from TIFs, set `data.rgb_source` jpg; where all come from TIFs, tif"
    )


def _is_published(jpgs: str, tifs: str) -> bool:
    """Whether two folders, or those above them below their common folder, are the competition's of JPGs and of TIFs."""
    of_jpgs, of_tifs = (folder.lower().split("/") for folder in (jpgs, tifs))
    while of_jpgs and of_tifs and of_jpgs[0] == of_tifs[0]:
        del of_jpgs[0], of_tifs[0]
    tests = [[name for name in TEST_FOLDERS if ("tif" in name) == tif] for tif in (False, True)]
    return any(
        not set(of_jpgs).isdisjoint(names) and not set(of_tifs).isdisjoint(others)
        for names, others in ((TRAIN_JPG, TRAIN_TIF), tests)
    )


def _endings(rows: pd.DataFrame, names: Iterable[str]) -> dict[str, str]:
    """Give the ending of each of some names; ``""`` where rows have several."""
    among = rows[rows["image_name"].isin(list(names))]
    endings: dict[str, set[str]] = {}
    for name, ending in zip(among["image_name"], among["ending"], strict=True):
        endings.setdefault(name, set()).add(_ENDINGS.get(ending, ending))
    return {name: several.pop() if len(several) == 1 else "" for name, several in endings.items()}


def _ending(file: str) -> str:
    ending = Path(file).suffix.lower()
    return _ENDINGS.get(ending, ending)


def _bare(file: str) -> str:
    return file[: file.rindex(".")]


def _folder(file: str) -> str:
    return file.rpartition("/")[0]


def _is_nested(first: str, second: str) -> bool:
    """Whether two files lie in one folder, or one of them in a folder inside that of the other."""
    above, below = sorted((file[: file.rfind("/") + 1] for file in (first, second)), key=len)
    return below.startswith(above)


def _below(file: str, places: Sequence[Path]) -> str:
    """Name a file by its path below its folder of tiles, with its ending: no tile is named so."""
    path = Path(file)
    return next((path.relative_to(place).as_posix() for place in places if path.is_relative_to(place)), file)
