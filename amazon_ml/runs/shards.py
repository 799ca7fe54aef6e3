"""Prediction in parts: a list of tiles cut into shards, a file for each, and one table of them all.

The folder of parts holds the list that every process goes by, however the folder of tiles changes meanwhile::

    parts/
      plan.json                 how many shards, of which networks and decision
      tiles.csv                 image_name, path, tif: what is cut, in the order of the table to come
      part-00003.parquet        the rows of one shard; whole or not there
      hashes/part-00003.json    the hash of that file, which `merge` checks
      part-00003.skipped.csv    tiles that its rows lack, since they cannot be read; only where there are such

Shards end where batches of prediction end, so that every tile is predicted among the same others as without
shards, and comes out the same to the bit.
"""

import logging
import os
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.errors import InputError, WorkError, listed
from amazon_ml.runs.access import check_no_links
from amazon_ml.runs.saving import check_defuse, defused, save_table
from amazon_ml.runtime.files import read_json, sha256_of, write_json, write_table
from amazon_ml.runtime.locks import locked
from amazon_ml.runtime.outputs import check_outputs
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)

#: Columns of the list of tiles.
_COLUMNS = ("image_name", "path", "tif")


@dataclass(frozen=True)
class Shard:
    """One of so many parts.

    Parameters
    ----------
    number
        Which one, counted from 0.
    count
        How many there are.
    """

    number: int
    count: int


@dataclass(frozen=True)
class Parts:
    """Paths in a folder of parts; nothing is read or made by naming them."""

    path: Path

    @property
    def plan(self) -> Path:
        """How the tiles are cut; its presence says that the list of tiles is whole."""
        return self.path / "plan.json"

    @property
    def tiles(self) -> Path:
        """The tiles, with their files as paths below the folder of tiles."""
        return self.path / "tiles.csv"

    def part(self, number: int) -> Path:
        """Name the file of one shard."""
        return self.path / f"part-{number:05d}.parquet"

    def skipped(self, number: int) -> Path:
        """Name the list of the tiles that one shard leaves out, since they cannot be read."""
        return self.path / f"part-{number:05d}.skipped.csv"

    def record(self, number: int) -> Path:
        """Name the file with the hash of one part; each has its own, since processes write parts at the same time."""
        return self.path / "hashes" / f"part-{number:05d}.json"

    def is_done(self, number: int) -> bool:
        """Whether one part is there, and its hash."""
        return self.part(number).exists() and self.record(number).exists()

    def lock(self) -> AbstractContextManager[None]:
        """Hold the plan for this process."""
        return locked(self.path / ".lock", f"waiting for another process to plan {self.path}", wait=True)

    def part_lock(self, number: int) -> AbstractContextManager[None]:
        """Hold one part for this process, beside others that hold other parts."""
        busy = f"another process is working on {self.part(number)}; wait for it"
        return locked(self.path / f".part-{number:05d}.lock", busy)


def check_parts(parts: Parts) -> None:
    """Refuse a folder that holds something else than parts; hidden files, such as a lock, may be there."""
    if os.path.lexists(parts.path) and not parts.path.is_dir():
        raise InputError(f"`out` {parts.path}: the parts need a folder; name another one")
    if not parts.path.exists():
        return
    there = sorted(parts.path.iterdir())
    check_no_links(there)
    if parts.plan.exists():  # looked for after the rest, which another process may write now, the plan first
        _plan(parts)
        return
    foreign = [path.name for path in there if path.name[0] != "." and not _is_listing(path)]
    if foreign:
        raise InputError(f"`out` {parts.path} holds {listed(foreign)}, which are no parts; name another folder")


def _is_listing(path: Path) -> bool:
    """Whether a file is the list of tiles that is written before the plan is."""
    if path.name != Parts(path.parent).tiles.name or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.readline(1000).rstrip() == ",".join(_COLUMNS).encode()


def parse_shard(text: str) -> Shard:
    """Read ``3/16`` as shard 3 of 16, counted from 0."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(f"`shard` {text}: a shard is such as 0/16 to 15/16, counted from 0")
    return Shard(int(match[1]), int(match[2]))


def save_plan(parts: Parts, tiles: pd.DataFrame, root: Path, count: int, batch: int, made_of: str) -> None:
    """Write what is cut into how many shards, for a caller that holds the lock.

    Parameters
    ----------
    parts
        The folder.
    tiles
        Tiles as `list_tiles` gives them.
    root
        Folder that they lie in.
    count
        How many shards.
    batch
        Tiles that are predicted together.
    made_of
        Tells the networks and the decision from others.
    """
    batches = -(-len(tiles) // batch)
    if not 1 <= count <= batches:
        raise InputError(
            f"{len(tiles):,} tiles are {batches:,} batches of {batch:,}, for 1 to {batches:,} shards, not {count:,}"
        )
    below = tiles.assign(**{kind: [_below(root, path) for path in tiles[kind]] for kind in ("path", "tif")})
    write_table(parts.tiles, below[list(_COLUMNS)])
    plan = {"tiles": len(tiles), "batch": batch, "shards": count, "made_of": made_of, "root": str(root.absolute())}
    write_json(parts.plan, plan)  # last: with it, the folder counts as planned


def check_plan(parts: Parts, count: int, made_of: str) -> None:
    """Refuse to mix parts of other networks, of another decision, or of another number of shards."""
    plan = _plan(parts)
    if plan["made_of"] != made_of:
        raise InputError(f"{parts.path} holds parts of another run, bundle or decision; choose another `out`")
    if plan["shards"] != count:
        raise InputError(f"{parts.path} is cut into {plan['shards']} shards, not {count}; choose another `out`")


def read_shard(parts: Parts, number: int, root: Path) -> pd.DataFrame:
    """Read the tiles of one shard, as `list_tiles` gives them."""
    plan = _plan(parts)
    tiles = _listed(parts).iloc[rows_of(number, plan["shards"], plan["tiles"], plan["batch"])]
    return tiles.assign(
        **{kind: [str(root / path) if path else "" for path in tiles[kind]] for kind in ("path", "tif")}
    ).reset_index(drop=True)


def save_part(parts: Parts, number: int, table: pd.DataFrame) -> None:
    """Write one part, and then its hash, without which the part counts as not there."""
    parts.record(number).parent.mkdir(exist_ok=True)
    parts.record(number).unlink(missing_ok=True)
    save_table(parts.part(number), table)
    write_json(parts.record(number), {"sha256": sha256_of(parts.part(number))})


def _check_part(parts: Parts, number: int) -> None:
    """Refuse a part that is not as its shard wrote it."""
    path, record = parts.part(number), parts.record(number)
    if not record.exists():
        raise WorkError(f"{path} has no recorded hash ({record}); predict its shard again")
    content = read_json(record)
    if not isinstance(content, dict) or "sha256" not in content:
        raise WorkError(f"{record} does not hold the hash of a part; delete {path}, and predict its shard again")
    check_regular(path)
    if sha256_of(path) != content["sha256"]:
        raise WorkError(
            f"{path} is not as its shard wrote it: its SHA-256 is another; delete it, and predict its shard again"
        )


def save_skipped(parts: Parts, number: int, planned: "pd.Series[str]", there: "pd.Series[str]") -> None:
    """Write which tiles of a shard its part will lack, before the part is written."""
    lacking = planned[~planned.isin(there)]
    if len(lacking):
        write_table(parts.skipped(number), pd.DataFrame({"image_name": lacking}))
    else:
        parts.skipped(number).unlink(missing_ok=True)


def _skipped(parts: Parts, number: int) -> list[str]:
    file = parts.skipped(number)
    return _read_list(file, parts)["image_name"].tolist() if file.exists() else []


def rows_of(number: int, count: int, tiles: int, batch: int) -> slice:
    """Rows of one of `count` shards, each so many whole batches as any other, or one more; the last may be short."""
    batches = -(-tiles // batch)
    first, end = (batches * n // count * batch for n in (number, number + 1))
    return slice(first, min(end, tiles))


def missing_parts(parts: Parts) -> list[int]:
    """List the shards that have no part yet."""
    return [number for number in range(_plan(parts)["shards"]) if not parts.part(number).exists()]


def merge(parts: Path, *, out: Path, defuse: bool = False, overwrite: bool = False) -> None:
    """Put the parts of a prediction together; the table is the one that is written without shards.

    Parameters
    ----------
    parts
        Folder that ``amazon-ml predict --shard`` wrote its parts to.
    out
        File to write, .parquet or .csv.
    defuse
        Put an apostrophe before cells of a CSV that a spreadsheet would take for a formula.
    overwrite
        Replace a file that is there.
    """
    check_ending(out)
    check_defuse(out, defuse)
    folder = Parts(parts)
    if not folder.plan.exists():
        raise InputError(f"there is no {folder.plan}; name the folder that predict `shard` wrote its parts to")
    missing, plan = missing_parts(folder), _plan(folder)
    numbered = [folder.part(number) for number in range(plan["shards"])]
    inputs = [folder.plan, folder.tiles, *numbered, *tables_around(Path(plan.get("root") or os.devnull))]
    check_outputs({"out": out}, inputs, overwrite=overwrite)
    if missing:
        raise InputError(
            f"{parts} lacks {len(missing)} of {plan['shards']} parts, such as {folder.part(missing[0]).name}; "
            f"predict with `shard` {missing[0]}/{plan['shards']}"
        )
    names = _listed(folder)["image_name"].to_numpy()
    tables, skipped = [], 0
    for number in range(plan["shards"]):
        left_out = _skipped(folder, number)
        expected = names[rows_of(number, plan["shards"], plan["tiles"], plan["batch"])]
        table = _part(folder.part(number), expected[~np.isin(expected, left_out)])
        _check_part(folder, number)
        tables.append(table)
        skipped += len(left_out)
    table = pd.concat(tables, ignore_index=True)
    save_table(out, defused(table) if defuse else table)
    if skipped:
        log.warning("%s lacks %d of %s tiles, which could not be read; %s lists them", out, skipped,
                    f"{len(names):,}", folder.path / "part-*.skipped.csv")  # fmt: skip
    log.info("wrote %s: %s tiles of %d parts", out, f"{len(table):,}", plan["shards"])


def check_ending(out: Path) -> None:
    """Refuse a table that is neither Parquet nor CSV, before any work is done for it."""
    if out.suffix not in (".parquet", ".csv"):
        raise InputError(f"`out` {out}: the file must end in .parquet or .csv")


def _part(path: Path, expected: np.ndarray) -> pd.DataFrame:
    remedy = "delete it, and predict its shard again"
    check_regular(path)
    try:
        table = pd.read_parquet(path)
        names = table["image_name"].to_numpy()
    except (OSError, ValueError, KeyError) as error:
        raise WorkError(f"{path} is no part of a prediction ({error}); {remedy}") from None
    if not np.array_equal(names, expected):
        raise WorkError(
            f"{path} holds {len(names):,} tiles, which are not the {len(expected):,} of its shard; {remedy}"
        )
    return table


def _plan(parts: Parts) -> dict[str, Any]:
    plan: dict[str, Any] = read_json(parts.plan)
    if not isinstance(plan, dict) or not {"tiles", "batch", "shards", "made_of"} <= plan.keys():
        raise InputError(f"{parts.plan} does not tell how tiles are cut into shards; choose another `out`")
    return plan


def _listed(parts: Parts) -> pd.DataFrame:
    return _read_list(parts.tiles, parts)


def _read_list(file: Path, parts: Parts) -> pd.DataFrame:
    check_regular(file)
    try:
        return pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is no list of tiles ({error}); delete {parts.path}") from None


def _below(root: Path, path: str) -> str:
    return Path(path).relative_to(root).as_posix() if path else ""
