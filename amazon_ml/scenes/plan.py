"""How a scene is divided into shards, as its folder of parts says, and which shards are done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.runs.shards import Shard
from amazon_ml.scenes.outputs import PARTS, RECORD
from amazon_ml.scenes.parts import PLAN, part_file, read_plan


@dataclass(frozen=True)
class Plan:
    """A scene in shards, as the folder of parts stores it.

    Parameters
    ----------
    run
        Run or bundle.
    scene
        Files and folders of the scene.
    options
        Options of reading it.
    folder
        Folder that relative paths begin at.
    shards
        Number of shards.
    strips
        Numbers of the strips that have cells.
    engine, precision
        What computes, see `amazon_ml.Predictor`.
    method
        Name of the engine and the precision that computes, also where `precision` leaves it to the machine.
    on_gpu
        Whether the shards are for machines with a GPU.
    """

    run: str
    scene: tuple[str, ...]
    options: dict[str, Any]
    folder: str
    shards: int
    strips: tuple[int, ...]
    engine: str
    precision: str | None
    method: str
    on_gpu: bool


def read_shards(out: Path) -> Plan | None:
    """Read how the scene of an output folder is divided; None where it holds no shards.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    content = read_plan(out / PARTS)
    if content is None:
        return None
    try:
        plan = Plan(
            str(content["run"]), tuple(map(str, content["scene"])), dict(content["options"]), str(content["folder"]),
            int(content["shards"]), tuple(map(int, content["strips"])), str(content["engine"]),
            None if content["precision"] is None else str(content["precision"]), str(content["method"]),
            bool(content["on_gpu"]),
        )  # fmt: skip
        if not 1 <= plan.shards <= len(plan.strips):
            raise ValueError(f"{plan.shards} shards of {len(plan.strips)} strips")
        return plan
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"the file does not say how a scene is divided ({error})", file=out / PARTS / PLAN,
                         remedy=f"remove {out / PARTS}, and tag the shards again") from None  # fmt: skip


def read_former(out: Path, run: Path, scene: Sequence[str], engine: str, precision: str | None) -> Plan | None:
    """Read how the scene was divided before, where that was for the same run, scene, engine and precision."""
    try:
        former = read_shards(out)
    except InputError:  # it is written anew
        return None
    if former is None:
        return None
    same = (former.run, former.scene, former.engine, former.precision) == (str(run), tuple(scene), engine, precision)
    return former if same else None


def is_shard_done(out: Path, number: int) -> bool:
    """Whether all strips of a shard are there, or joined already."""
    plan = read_shards(out)
    if plan is None:
        return is_merged(out)
    own = strips_of_shard(Shard(number, plan.shards), len(plan.strips)) if number < plan.shards else ()
    return bool(own) and all(part_file(out / PARTS, plan.strips[at]).exists() for at in own)


def is_merged(out: Path) -> bool:
    """Whether the map is complete, and no parts of another one are there."""
    return (out / RECORD).exists() and not (out / PARTS).exists()


def strips_of_shard(shard: Shard, strips: int) -> range:
    """Give the places of a shard's strips among all; shards have as many strips that follow each other, or one more."""
    return range(shard.number * strips // shard.count, (shard.number + 1) * strips // shard.count)
