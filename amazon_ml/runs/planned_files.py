"""The files of a prediction in parts: sizes and times when it was planned, and whether a folder holds the same."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.file_table import FilesOf, count_names, hash_files, size_and_time
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json

log = logging.getLogger(__name__)

#: Columns of the list of tiles for the files of each: the sum of their sizes, and their time or a hash of their times.
MEASURES = ("bytes", "mtime_ns")

#: Tiles of one call whose bytes are compared at most, and the threads that read them.
_MOST_COMPARED, _THREADS = 64, 8
#: Changed tiles that every shard may have, even one of few tiles.
_FEW = 3


def add_measures(tiles: pd.DataFrame, files: FilesOf) -> pd.DataFrame:
    """Add sizes and times of the files of each tile; tiles that cannot be looked at have none."""
    measures = [_measure(_files(path, tif, files)) for path, tif in zip(tiles["path"], tiles["tif"], strict=True)]
    texts = [("", "") if one is None else (str(one[0]), str(one[1])) for one in measures]
    return tiles.assign(**{name: [text[at] for text in texts] for at, name in enumerate(MEASURES)})


def measures_read(record: Path, tiles: int) -> list[tuple[str, str]] | None:
    """Give the sizes and times of the files that a part was made of, from its record; earlier records lack them."""
    try:
        content = read_json(record)
    except InputError:  # `merge` names a damaged record
        return None
    columns = [content.get(name) for name in MEASURES] if isinstance(content, dict) else []
    if not columns or not all(isinstance(column, list) and len(column) == tiles for column in columns):
        return None
    return [(str(size), str(time)) for size, time in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Planned:
    """Folder of the ``parts``, and the ``root`` of the tiles that they were planned for, where that is known."""

    parts: Path
    root: Path | None

    def is_for(self, root: Path) -> bool:
        """Whether they were planned for this very folder, under this name or another."""
        try:
            return self.root is not None and self.root.samefile(root)
        except OSError:  # it is gone, or may not be looked at
            return False


def check_same_files(
    listed: pd.DataFrame, root: Path, planned: Planned, files: FilesOf, *, done: bool,
    read: Sequence[tuple[str, str]] | None = None, share: int = 1,
) -> None:  # fmt: skip
    """Check that a folder holds the files that a part was planned for.

    Sizes are compared, and times, which mounts and most copies of a folder keep. Where only times differ, and the
    former folder is there, too, the bytes of some tiles are compared, spread over all. Files that changed in the former
    folder itself are only reported while the part is not done: a tile that is broken by now is refused or left out
    where it is predicted.

    Parameters
    ----------
    listed
        Rows of the list of tiles, with paths relative to the folder of tiles.
    root
        The folder of tiles of this call.
    planned
        What the parts were planned for.
    files
        Lists the files of a tile by its first one.
    done
        Whether the part is there already.
    read
        Sizes and times of the files that a part was made of, which count instead of those of the list.
    share
        The number of parts that share the limit of tiles whose bytes are compared.

    Raises
    ------
    InputError
        If files differ, or the folder holds none of them.
    """
    if not root.is_dir() or not set(MEASURES) <= set(listed.columns):
        return
    columns = (listed[name].tolist() for name in ("image_name", "path", "tif", *MEASURES))
    # A part may be made of a copy of the folder, so the times of the list are as good as those of the copy.
    of_list = list(zip(*columns, strict=True))
    made_of = [(size, time) for *_, size, time in of_list] if read is None else read
    rows = [(*row[:3], size, {row[4], time}) for row, (size, time) in zip(of_list, made_of, strict=True) if size]
    changed, retimed, gone = [], [], []
    for name, path, tif, size, times in rows:
        now = _measure(_files_below(root, path, tif, files))
        if now is None:
            gone.append(name)  # where some are left, it is reported or left out where it is predicted
        elif str(now[0]) != size:
            changed.append(name)
        elif str(now[1]) not in times:
            retimed.append((name, path, tif))
    if len(gone) == len(rows):
        changed = gone
    own = planned.is_for(root)
    if retimed and not changed and not own and planned.root is not None and os.path.isdir(planned.root):  # noqa: PTH112 (no error)
        compared = retimed[:: -(-len(retimed) // max(1, _MOST_COMPARED // share))]
        same = partial(_same_bytes, former=planned.root, root=root, files=files)
        with ThreadPoolExecutor(_THREADS) as pool:
            changed = [row[0] for row, is_same in zip(compared, pool.map(same, compared), strict=True) if not is_same]
        if len(compared) < len(retimed):
            log.info("%s: of %d tiles whose files have other times, the bytes of %d were compared with those of %s",
                     root, len(retimed), len(compared), planned.root)  # fmt: skip
        retimed = []
    if changed and (done or not own):
        of = "" if planned.root is None else f", which was {planned.root}"
        raise InputError(
            f"{planned.parts} holds parts of another folder of tiles{of}: the files of {count_names(changed)}, differ "
            "or are missing", file=root, option="tiles", remedy=f"choose another `out`, or delete {planned.parts}",
        )  # fmt: skip
    if touched := [*changed, *(row[0] for row in retimed)]:
        log.warning("%s: the files of %s, have another size or time than when the parts were planned; parts that are "
                    "not done use the present files", root, count_names(touched))  # fmt: skip


def check_most_same(planned: pd.DataFrame, present: pd.DataFrame, readable: "pd.Series[str]", root: Path) -> None:
    """Check that most tiles of a shard, of those that can be read, have the sizes that they were planned with.

    A few may have changed. Where most did, this is another folder of the same path, as on another computer.

    Parameters
    ----------
    planned, present
        Tiles of the shard, with the measures of the plan, and with those of now.
    readable
        Names of the tiles that can be read.
    root
        The folder of tiles.
    """
    if not set(MEASURES) <= set(planned.columns):
        return
    known = planned["image_name"].isin(readable) & (planned["bytes"] != "") & (present["bytes"] != "")
    changed = planned.loc[known & (planned["bytes"] != present["bytes"]), "image_name"]
    if len(changed) > max(_FEW, known.sum() / 2):
        raise InputError(
            f"the parts are of another folder of tiles of this path: {len(changed):,} of {known.sum():,} tiles of the "
            f"shard have another size than when it was planned, such as {changed.iloc[0]}", file=root, option="tiles",
            remedy="choose another `out`",
        )  # fmt: skip


def _same_bytes(row: tuple[str, str, str], former: Path, root: Path, files: FilesOf) -> bool:
    """Whether a tile has the same bytes in both folders; so counts one that cannot be read in the former folder."""
    then, now = (_files_below(folder, row[1], row[2], files) for folder in (former, root))
    try:
        before = hash_files(*then)
    except InputError:
        return True
    return before == hash_files(*now)


def _files(path: str, tif: str, files: FilesOf) -> list[str]:
    return [*files(path), *([tif] if tif not in ("", path) else [])]


def _files_below(root: Path, path: str, tif: str, files: FilesOf) -> list[str]:
    return _files(str(root / path), str(root / tif) if tif else "", files)


def _measure(paths: Sequence[str]) -> tuple[int, int] | None:
    try:
        return size_and_time(*paths)
    except InputError:
        return None
