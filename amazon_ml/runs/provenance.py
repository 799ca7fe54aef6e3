"""Record where a run comes from: tiles, folds, versions, commands. On resuming, check tiles and folds."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from amazon_ml.data.catalog.by_template import files_of
from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.demo.demo import is_generated
from amazon_ml.data.folds.folds import fold_numbers, read_folds, worst_deviation
from amazon_ml.data.readers.sizes import common_edge
from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import hash_config
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import check_recorded, write_json
from amazon_ml.runs.provenance_file import (
    DataProvenance,
    FoldProvenance,
    Origin,
    Provenance,
    Start,
    TeacherProvenance,
    Versions,
)
from amazon_ml.runs.tiles import read_bands
from amazon_ml.runtime.files import sha256_of
from amazon_ml.version import __version__

_PACKAGES = ("torch", "pytorch-lightning", "timm", "albumentations", "numpy", "pandas", "opencv-python-headless")


def save_provenance(
    run: Run, config: RunConfig, catalog: Catalog, processes: int, teacher: TeacherProvenance | None = None, *,
    begun: bool,
) -> str:  # fmt: skip
    """Record where a run comes from; on resuming, add the start, and refuse tiles or folds that have changed.

    Parameters
    ----------
    run, config, catalog
        The run, its options and its tiles.
    processes
        How many processes train each network.
    teacher
        The teacher of a new run; a begun run keeps the one that it has.
    begun
        Whether any fold is begun, so that its tiles and folds must stay the same.

    Returns
    -------
    The task of the run, see `task_of`.
    """
    start = this_start()
    origin: Origin = {"data": _data_provenance(run, config, catalog), "folds": _fold_provenance(run, config, catalog)}
    if begun:
        former = run.read_provenance()
        _check_same(run, former, origin)
        write_json(run.provenance, {**former, **origin, "processes": processes, "starts": [*former["starts"], start]})
        return str(former["task"])
    if teacher is not None:
        origin["teacher"] = teacher
    task = task_of(run, config, origin)
    content: Provenance = {
        "starts": [start],
        "processes": processes,
        "data": origin["data"],
        "folds": origin["folds"],
        "task": task,
        "made_with": versions(),
    }
    if teacher is not None:
        content["teacher"] = teacher
    write_json(run.provenance, content)
    return task


def _check_same(run: Run, former: Origin, now: Origin) -> None:
    for what, before, after in (
        ("the tiles or the tag table", former["data"]["sha256"], now["data"]["sha256"]),
        ("the published test split", former["data"].get("tested_sha256"), now["data"].get("tested_sha256")),
        ("the labels of data.soft_labels", former["data"]["soft_labels_sha256"], now["data"]["soft_labels_sha256"]),
        ("folds.csv", former["folds"]["sha256"], now["folds"]["sha256"]),
    ):
        if before != after:
            raise InputError(f"{what} changed since the run began", file=run.path, remedy="choose another `run`")
    # The hash of the table does not depend on the order of its tags, but the outputs of the networks do.
    moved = [pair for pair in zip(former["data"]["tags"], now["data"]["tags"], strict=True) if len(set(pair)) > 1]
    if moved:
        raise InputError(
            f"the order of the tags changed since the run began: {moved[0][1]} is where {moved[0][0]} was",
            file=run.path, remedy="give the columns of the table their former order, or choose another `run`",
        )  # fmt: skip


def check_read_again(run: Run, config: RunConfig) -> None:
    """Check that the files which each fold reads are as the run recorded them; folds may begin hours apart.

    Raises
    ------
    InputError
        If one was changed meanwhile.
    """
    for path in (run.folds, run.bands):
        check_recorded(path)
    table = config.data.soft_labels
    if _soft_labels_hash(table) != run.read_provenance()["data"]["soft_labels_sha256"]:
        raise InputError("the file changed since the run began", file=table, option="data.soft_labels",
                         remedy="put it back, or choose another `run`")  # fmt: skip


def task_of(run: Run, config: RunConfig, origin: Origin) -> str:
    """Hash all that the folds of a run have in common, so that a fold of another run is noticed.

    The hash is stored when the run begins, and not computed again: a later version of the package may have more
    options.
    """
    data, folds = origin["data"], origin["folds"]
    hashes = [data.get("sha256"), data.get("soft_labels_sha256"), folds.get("sha256")]
    if "teacher" in origin:
        hashes.append(origin["teacher"]["sha256"])
    return hashlib.sha256(json.dumps([hash_config(config), *hashes, sha256_of(run.bands)]).encode()).hexdigest()


def read_processes(run: Run) -> int:
    """Read how many processes trained each network when a run began."""
    return int(run.read_provenance().get("processes", 1)) if run.provenance.exists() else 1


def this_start() -> Start:
    """Give the time now and the command of this process."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _data_provenance(run: Run, config: RunConfig, catalog: Catalog) -> DataProvenance:
    edge = common_edge(catalog.labelled["path"].tolist(), files_of(read_bands(run)))
    if config.data.gsd is not None and edge is None:
        raise InputError(
            f"`data.gsd` is {config.data.gsd:g}, but a scale needs square tiles of one size", file=config.data.root,
            option="data.gsd", remedy="set `data.gsd` null, or cut the tiles to one size",
        )  # fmt: skip
    support = dict(zip(catalog.tags.names, catalog.targets.sum(axis=0).tolist(), strict=True))
    provenance: DataProvenance = {
        "root": str(Path(config.data.root).resolve()),
        "generated": is_generated(Path(catalog.labelled["path"].iloc[0])),
        "sha256": catalog.sha256,
        "soft_labels_sha256": _soft_labels_hash(config.data.soft_labels),
        "labelled": len(catalog.labelled),
        "unlabelled": len(catalog.unlabelled),
        "edge": edge,
        "tags": support,
    }
    if len(catalog.tested):
        provenance |= {"tested": len(catalog.tested), "tested_sha256": catalog.tested_sha256}
    return provenance


def _soft_labels_hash(table: str | None) -> str | None:
    if table is not None and not Path(table).is_file():
        raise InputError(f"data.soft_labels: there is no table {table}", option="data.soft_labels")
    return sha256_of(Path(table)) if table else None


def _fold_provenance(run: Run, config: RunConfig, catalog: Catalog) -> FoldProvenance:
    fold = read_folds(run.folds, catalog.labelled["image_name"])
    return {
        "sha256": sha256_of(run.folds),
        "seed": config.seed,
        "sizes": [int((fold == number).sum()) for number in fold_numbers(fold)],
        "worst_relative_deviation": round(worst_deviation(catalog.targets, fold), 4),
    }


def versions() -> Versions:
    """Give the versions of the packages and the name of the machine."""
    import torch  # here: commands that only read a run do not need it

    return {
        "amazon_ml": __version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": dict(_packages()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
    }


@cache  # what a process has imported stays as it is, whatever is installed or committed meanwhile
def _packages() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


@cache
def _git_commit() -> str | None:
    here = Path(__file__).parents[1]
    tracked = [
        "ls-files",
        "--error-unmatch",
        "__init__.py",
    ]  # else the repository is another one, around an installed package
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        for question in (tracked, describe):
            command = ["git", "-C", str(here), *question]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return answer
