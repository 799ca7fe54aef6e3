"""Prediction in parts: a list of tiles is divided into shards, each shard has a file, and `merge` joins the files.

The folder of parts holds the list of tiles that every process uses, even if the folder of tiles changes meanwhile::

    parts/
      plan.json                 the number of shards, a hash of networks and decision
      engine.json               the engine and the precision of all parts, as the first of them chose it
      tiles.csv                 image_name, path, tif: the tiles in the order of the table to come; sizes and times
      part-00003.parquet        the rows of one shard; complete or missing
      hashes/part-00003.json    the hash of that file, which `merge` checks; sizes and times of the tiles' files
      part-00003.skipped.csv    tiles of the shard that cannot be read and have no rows; only where there are any

Shards end where batches of prediction end. So every tile is predicted in the same batch as without shards, and its
probabilities are the same to the bit.
"""

import logging
import os
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd

from amazon_ml.data.catalog.file_table import FilesOf
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.errors import InputError, WorkError, listed
from amazon_ml.runs.access import check_no_links
from amazon_ml.runs.planned_files import MEASURES, Planned, check_same_files, measures_read
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
    """One of the parts that a list of tiles is divided into.

    Parameters
    ----------
    number
        Its number, counted from 0.
    count
        Number of all shards.
    """

    number: int
    count: int


class Plan(TypedDict):
    """The content of plan.json.

    Numbers of ``tiles``, of tiles in a ``batch`` and of ``shards``; ``made_of``, a hash of networks and decision;
    ``root``, the folder of the tiles.
    """

    tiles: int
    batch: int
    shards: int
    made_of: str
    root: NotRequired[str]


@dataclass(frozen=True)
class Parts:
    """Paths in a folder of parts. To name a path reads and makes nothing."""

    path: Path

    @property
    def plan(self) -> Path:
        """How the tiles are divided; where the file is there, the list of tiles is complete."""
        return self.path / "plan.json"

    @property
    def tiles(self) -> Path:
        """The tiles, with the paths of their files relative to the folder of tiles."""
        return self.path / "tiles.csv"

    @property
    def engine(self) -> Path:
        """The engine and the precision of all parts."""
        return self.path / "engine.json"

    def part(self, number: int) -> Path:
        """Give the path of one shard's file."""
        return self.path / f"part-{number:05d}.parquet"

    def skipped(self, number: int) -> Path:
        """Give the path of the list of tiles that one shard leaves out, since they cannot be read."""
        return self.path / f"part-{number:05d}.skipped.csv"

    def record(self, number: int) -> Path:
        """Give the path of one part's hash; each part has its own, since processes write parts at the same time."""
        return self.path / "hashes" / f"part-{number:05d}.json"

    def is_done(self, number: int) -> bool:
        """Whether one part exists, and its hash."""
        return self.part(number).exists() and self.record(number).exists()

    def lock(self) -> AbstractContextManager[None]:
        """Lock the plan."""
        return locked(self.path / ".lock", f"waiting for another process to plan {self.path}", wait=True)

    def part_lock(self, number: int) -> AbstractContextManager[None]:
        """Lock one part; other processes may lock other parts at the same time."""
        busy = f"another process is working on {self.part(number)}; wait for it"
        return locked(self.path / f".part-{number:05d}.lock", busy)


def check_parts(parts: Parts) -> None:
    """Check that a folder holds parts and nothing else; hidden files, such as a lock, may be there."""
    if os.path.lexists(parts.path) and not parts.path.is_dir():
        raise InputError(f"`out` {parts.path}: the parts need a folder", option="out", remedy="name another one")
    if not parts.path.exists():
        return
    there = sorted(parts.path.iterdir())
    check_no_links(there)
    if parts.plan.exists():  # after the listing: another process writes the plan before parts
        _plan(parts)
        return
    foreign = [path.name for path in there if path.name[0] != "." and not _is_listing(path)]
    if foreign:
        raise InputError(
            f"`out` {parts.path} holds {listed(foreign)}, which are not parts of a prediction",
            option="out",
            remedy="name another folder",
        )


def _is_listing(path: Path) -> bool:
    """Whether a file is the list of tiles that is written before the plan is."""
    if path.name != Parts(path.parent).tiles.name or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.readline(1000).rstrip().startswith(",".join(_COLUMNS).encode())


def parse_shard(text: str) -> Shard:
    """Read ``3/16`` as shard 3 of 16, counted from 0."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(f"`shard` {text}: write a shard as 0/16 to 15/16, counted from 0", option="shard")
    return Shard(int(match[1]), int(match[2]))


def save_plan(parts: Parts, tiles: pd.DataFrame, root: Path, count: int, batch: int, made_of: str) -> None:
    """Write the list of tiles and the plan, for a caller that holds the lock.

    Parameters
    ----------
    parts
        The folder.
    tiles
        Tiles as `list_tiles` gives them, with the sizes and times of their files, as `add_measures` adds them.
    root
        Folder of the tiles.
    count
        Number of shards.
    batch
        Tiles that are predicted together.
    made_of
        Hash of the networks and the decision.
    """
    batches = -(-len(tiles) // batch)
    if not 1 <= count <= batches:
        raise InputError(
            f"{len(tiles):,} tiles are {batches:,} batches of {batch:,}, for 1 to {batches:,} shards, not {count:,}",
            option="shard",
        )
    below = tiles.assign(**{kind: [_below(root, path) for path in tiles[kind]] for kind in ("path", "tif")})
    write_table(parts.tiles, below[[*_COLUMNS, *MEASURES]])
    plan: Plan = {
        "tiles": len(tiles),
        "batch": batch,
        "shards": count,
        "made_of": made_of,
        "root": str(root.absolute()),
    }
    write_json(parts.plan, plan)  # last: with it, the folder counts as planned


def check_plan(parts: Parts, count: int, made_of: str) -> None:
    """Check that existing parts are of the same networks, the same decision and the same number of shards."""
    plan, remedy = _plan(parts), "choose another `out`"
    if plan["made_of"] != made_of:
        raise InputError(
            "the folder holds parts of another run, bundle or decision, or of other views", file=parts.path,
            option="out", remedy=remedy,
        )  # fmt: skip
    if plan["shards"] != count:
        raise InputError(f"the parts are {plan['shards']} shards, not {count}", file=parts.path, option="out",
                         remedy=remedy)  # fmt: skip


def read_shard(parts: Parts, number: int, root: Path) -> pd.DataFrame:
    """Read the tiles of one shard, as `list_tiles` gives them, with their measures where the list has them."""
    plan = _plan(parts)
    tiles = _listed(parts).iloc[rows_of(number, plan["shards"], plan["tiles"], plan["batch"])]
    return tiles.assign(
        **{kind: [str(root / path) if path else "" for path in tiles[kind]] for kind in ("path", "tif")}
    ).reset_index(drop=True)


def check_tiles_of(parts: Parts, number: int | None, root: Path, files: FilesOf) -> None:
    """Check that a folder of tiles is the one that the parts are of, by the files of one shard, or of all."""
    plan, tiles = _plan(parts), _listed(parts)
    planned = Planned(parts.path, Path(plan["root"]) if "root" in plan else None)
    for one in range(plan["shards"]) if number is None else [number]:
        rows = tiles.iloc[rows_of(one, plan["shards"], plan["tiles"], plan["batch"])]
        done = parts.is_done(one)
        read = measures_read(parts.record(one), len(rows)) if done else None
        share = plan["shards"] if number is None else 1
        check_same_files(rows, root, planned, files, done=done, read=read, share=share)


def save_part(parts: Parts, number: int, table: pd.DataFrame, method: str, read: pd.DataFrame | None = None) -> None:
    """Write one part, then its hash, its method and measures of the files read; without a hash it counts as missing."""
    parts.record(number).parent.mkdir(exist_ok=True)
    parts.record(number).unlink(missing_ok=True)
    save_table(parts.part(number), table)
    measures = {} if read is None else {name: read[name].tolist() for name in MEASURES}
    write_json(parts.record(number), {"sha256": sha256_of(parts.part(number)), "engine": method, **measures})


def _check_part(parts: Parts, number: int) -> str:
    """Check that a part is as its shard wrote it; return the name of its method."""
    path, record = parts.part(number), parts.record(number)
    if not record.exists():
        raise WorkError(f"{path} has no recorded hash ({record}); predict its shard again")
    try:
        content = read_json(record)
    except InputError:
        content = None
    if not isinstance(content, dict) or "sha256" not in content:
        raise WorkError(f"{record} does not hold the hash of a part; delete {path}, and predict its shard again")
    check_regular(path)
    if sha256_of(path) != content["sha256"]:
        raise WorkError(
            f"{path} is not as its shard wrote it: its SHA-256 differs; delete it, and predict its shard again"
        )
    return str(content.get("engine", "torch"))


def save_skipped(parts: Parts, number: int, planned: "pd.Series[str]", there: "pd.Series[str]") -> None:
    """List the tiles of a shard that its part will lack; call it before the part is written."""
    lacking = planned[~planned.isin(there)]
    if len(lacking):
        write_table(parts.skipped(number), pd.DataFrame({"image_name": lacking}))
    else:
        parts.skipped(number).unlink(missing_ok=True)


def _skipped(parts: Parts, number: int) -> list[str]:
    file, part = parts.skipped(number), parts.part(number).name
    if not file.exists():
        return []
    again = f"delete {part} and {file.name}, and predict with `shard` {number}/{_plan(parts)['shards']}"
    return _read_list(file, ("image_name",), again)["image_name"].tolist()


def rows_of(number: int, count: int, tiles: int, batch: int) -> slice:
    """Give the rows of one of `count` shards; each has the same number of whole batches, or one more."""
    batches = -(-tiles // batch)
    first, end = (batches * n // count * batch for n in (number, number + 1))
    return slice(first, min(end, tiles))


def missing_parts(parts: Parts) -> list[int]:
    """List the shards that have no part yet."""
    return [number for number in range(_plan(parts)["shards"]) if not parts.part(number).exists()]


def merge(parts: Path, *, out: Path, defuse: bool = False, overwrite: bool = False) -> None:
    """Join the parts of a prediction; the table is the same as without shards.

    Parameters
    ----------
    parts
        Folder that ``amazon-ml predict`` with ``shard`` wrote its parts to.
    out
        File to write, .parquet or .csv.
    defuse
        Put an apostrophe before cells of a CSV that a spreadsheet would read as a formula.
    overwrite
        Replace an existing file.
    """
    check_ending(out)
    check_defuse(out, defuse)
    folder = Parts(parts)
    if not folder.plan.exists():
        raise InputError(
            "there is no such file", file=folder.plan, remedy="name the folder that predict `shard` wrote its parts to"
        )
    missing, plan = missing_parts(folder), _plan(folder)
    numbered = [folder.part(number) for number in range(plan["shards"])]
    inputs = [folder.plan, folder.tiles, *numbered, *tables_around(Path(plan.get("root") or os.devnull))]
    check_outputs({"out": out}, inputs, overwrite=overwrite)
    if missing:
        raise InputError(
            f"the folder lacks {len(missing)} of {plan['shards']} parts, such as {folder.part(missing[0]).name}",
            file=parts,
            remedy=f"predict with `shard` {missing[0]}/{plan['shards']}",
        )
    names = _listed(folder)["image_name"].to_numpy()
    tables, skipped, methods = [], 0, dict[str, Path]()
    for number in range(plan["shards"]):
        left_out = _skipped(folder, number)
        expected = names[rows_of(number, plan["shards"], plan["tiles"], plan["batch"])]
        table = _part(folder.part(number), expected[~np.isin(expected, left_out)])
        methods.setdefault(_check_part(folder, number), folder.part(number))
        if len(methods) > 1:
            (first, of), (other, path) = methods.items()
            problem = f"engines differ: {of.name} was predicted with {first}, and {path.name} with {other}"
            raise InputError(
                problem, file=parts, remedy="predict all shards again with one engine, into another folder"
            )
        tables.append(table)
        skipped += len(left_out)
    table = pd.concat(tables, ignore_index=True)
    save_table(out, defused(table) if defuse else table)
    if skipped:
        log.warning("%s lacks %d of %s tiles, which could not be read; %s lists them", out, skipped,
                    f"{len(names):,}", folder.path / "part-*.skipped.csv")  # fmt: skip
    log.info("wrote %s: %s tiles from %d parts", out, f"{len(table):,}", plan["shards"])


def check_ending(out: Path) -> None:
    """Check that a table will be Parquet or CSV; call it before any work is done."""
    if out.suffix not in (".parquet", ".csv"):
        raise InputError(f"`out` {out}: the file must end in .parquet or .csv", option="out")


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


def _plan(parts: Parts) -> Plan:
    remedy = f"put it back, or delete {parts.path} and predict again"
    try:
        plan: Plan = read_json(parts.plan)
    except InputError as error:
        raise InputError(error.problem, file=parts.plan, line=error.line, remedy=remedy) from None
    if not _is_plan(plan):
        raise InputError("the file does not describe how tiles are divided into shards", file=parts.plan, remedy=remedy)
    return plan


def _is_plan(content: object) -> bool:
    if not isinstance(content, dict):
        return False
    numbers = (content.get(name) for name in ("shards", "tiles", "batch"))
    counts = [one for one in numbers if type(one) is int and one > 0]
    texts = isinstance(content.get("made_of"), str) and isinstance(content.get("root", ""), str)
    return texts and len(counts) == 3 and counts[0] <= -(-counts[1] // counts[2])


def _listed(parts: Parts) -> pd.DataFrame:
    remedy = f"put it back, or delete {parts.path} and predict again"
    tiles, expected = _read_list(parts.tiles, _COLUMNS, remedy), _plan(parts)["tiles"]
    if len(tiles) != expected:
        raise InputError(f"the list has {len(tiles):,} tiles, and {parts.plan.name} {expected:,}", file=parts.tiles,
                         remedy=remedy)  # fmt: skip
    return tiles


def _read_list(file: Path, columns: tuple[str, ...], remedy: str) -> pd.DataFrame:
    check_regular(file)
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        table[list(columns)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"this is not a list of tiles ({error})", file=file, remedy=remedy) from None
    return table


def _below(root: Path, path: str) -> str:
    return Path(path).relative_to(root).as_posix() if path else ""
