"""The files of a prediction in parts: sizes and times when it was planned, and whether a folder holds the same."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.file_table import FilesOf, count_names, hash_files, size_and_time
from amazon_ml.errors import InputError

log = logging.getLogger(__name__)

#: Columns of the list of tiles for the files of each: the sum of their sizes, and their time or a hash of their times.
MEASURES = ("bytes", "mtime_ns")


def add_measures(tiles: pd.DataFrame, files: FilesOf) -> pd.DataFrame:
    """Add sizes and times of the files of each tile; tiles that cannot be looked at have none."""
    measures = [_measure(_files(path, tif, files)) for path, tif in zip(tiles["path"], tiles["tif"], strict=True)]
    texts = [("", "") if one is None else (str(one[0]), str(one[1])) for one in measures]
    return tiles.assign(**{name: [text[at] for text in texts] for at, name in enumerate(MEASURES)})


def check_same_files(planned: pd.DataFrame, root: Path, former: Path | None, files: FilesOf, parts: Path) -> None:
    """Check that a folder holds the files that parts were planned for.

    Sizes are compared, and times, which mounts and most copies of a folder keep. Where only times differ, and the
    former folder is there, too, bytes are compared.

    Parameters
    ----------
    planned
        Rows of the list of tiles, with paths relative to the folder of tiles.
    root
        The folder of tiles of this call.
    former
        The folder that the parts were planned for.
    files
        Lists the files of a tile by its first one.
    parts
        Folder of the parts, for messages.

    Raises
    ------
    InputError
        If files differ, or the folder holds none of them.
    """
    if not root.is_dir() or not set(MEASURES) <= set(planned.columns) or planned.empty:
        return
    rows = list(zip(*(planned[name].tolist() for name in ("image_name", "path", "tif", *MEASURES)), strict=True))
    changed, retimed, seen = [], [], 0
    for name, path, tif, size, time in rows:
        now = _measure(_files_below(root, path, tif, files))
        if now is None or not size:
            continue  # a tile that cannot be read is reported, or left out, where it is predicted
        seen += 1
        if str(now[0]) != size:
            changed.append(name)
        elif str(now[1]) != time:
            retimed.append((name, path, tif))
    if not seen and any(row[3] for row in rows):
        changed = [row[0] for row in rows]
    if not changed and retimed:
        if former is not None and former.is_dir() and not former.samefile(root):
            changed = [row[0] for row in retimed if not _same_bytes(row, former, root, files)]
        else:
            log.warning("%s: files have other times than when the parts were planned, but the same sizes: those of %s",
                        root, count_names([row[0] for row in retimed]))  # fmt: skip
    if changed:
        of = "" if former is None else f", which was {former}"
        raise InputError(
            f"{parts} holds parts of another folder of tiles{of}: here, the files of {count_names(changed)}, differ or "
            "are missing", file=root, option="tiles", remedy=f"choose another `out`, or delete {parts}",
        )  # fmt: skip


def _same_bytes(row: tuple[str, str, str], former: Path, root: Path, files: FilesOf) -> bool:
    """Whether a tile has the same bytes in both folders; a file that is gone from the former one counts as the same."""
    then, now = (_files_below(folder, row[1], row[2], files) for folder in (former, root))
    return _measure(then) is None or hash_files(*then) == hash_files(*now)


def _files(path: str, tif: str, files: FilesOf) -> list[str]:
    return [*files(path), *([tif] if tif not in ("", path) else [])]


def _files_below(root: Path, path: str, tif: str, files: FilesOf) -> list[str]:
    return _files(str(root / path), str(root / tif) if tif else "", files)


def _measure(paths: Sequence[str]) -> tuple[int, int] | None:
    try:
        return size_and_time(*paths)
    except InputError:
        return None
