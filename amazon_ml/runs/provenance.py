"""Where a run comes from: enough to make it again, and to see that it cannot be."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.demo.demo import is_generated
from amazon_ml.data.folds.folds import read_folds, worst_deviation
from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import hash_config
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import write_json
from amazon_ml.runtime.files import sha256_of
from amazon_ml.version import __version__

_PACKAGES = ("torch", "pytorch-lightning", "timm", "albumentations", "numpy", "pandas", "opencv-python-headless")


#: What a run may not go on without: part of its provenance, fact, and what that is a hash of.
_CONSTANT = (
    ("data", "sha256", "the tiles or the tag table"),
    ("data", "soft_labels_sha256", "the labels of data.soft_labels"),
    ("folds", "sha256", "folds.csv"),
)


def save_provenance(run: Run, config: RunConfig, catalog: Catalog, processes: int, *, begun: bool) -> str:
    """Record a run's origin; on resuming, add the start and refuse data or folds that have changed.

    Parameters
    ----------
    run, config, catalog
        The run, its options and its tiles.
    processes
        How many processes train a network.
    begun
        Whether the run has trained anything; else nothing can be mixed.

    Returns
    -------
    The task of the run, see `task_of`.
    """
    start = this_start()
    facts = {"data": _data_provenance(config, catalog), "folds": _fold_provenance(run, config, catalog)}
    if begun:
        former = run.read_provenance()
        for part, fact, what in _CONSTANT:
            if former[part][fact] != facts[part][fact]:
                raise InputError(f"{run.path}: {what} changed since the run began; choose another `run`")
        write_json(run.provenance, {**former, **facts, "processes": processes, "starts": [*former["starts"], start]})
        return str(former["task"])
    task = task_of(run, config, facts)
    content = {"starts": [start], "processes": processes, **facts, "task": task, "made_with": versions()}
    write_json(run.provenance, content)
    return task


def task_of(run: Run, config: RunConfig, facts: Mapping[str, Any]) -> str:
    """Hash what the folds of a run have in common, so that a fold of another run is noticed.

    It is kept as it was when the run began: a later version of the package may know more options.
    """
    parts = [hash_config(config), *(facts[part].get(fact) for part, fact, _ in _CONSTANT), sha256_of(run.bands)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_processes(run: Run) -> int:
    """Read with how many training processes a run was begun."""
    return int(run.read_provenance().get("processes", 1)) if run.provenance.exists() else 1


def this_start() -> dict[str, str]:
    """Tell when this process works on a run, and by what command."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _data_provenance(config: RunConfig, catalog: Catalog) -> dict[str, Any]:
    support = dict(zip(catalog.tags.names, catalog.targets.sum(axis=0).tolist(), strict=True))
    return {
        "root": str(Path(config.data.root).resolve()),
        "generated": is_generated(Path(catalog.labelled["path"].iloc[0])),
        "sha256": catalog.sha256,
        "soft_labels_sha256": _soften_hash(config.data.soft_labels),
        "labelled": len(catalog.labelled),
        "unlabelled": len(catalog.unlabelled),
        "tags": support,
    }


def _soften_hash(table: str | None) -> str | None:
    if table is not None and not Path(table).is_file():
        raise InputError(f"data.soft_labels: there is no table {table}")
    return sha256_of(Path(table)) if table else None


def _fold_provenance(run: Run, config: RunConfig, catalog: Catalog) -> dict[str, Any]:
    fold = read_folds(run.folds, catalog.labelled["image_name"])
    return {
        "sha256": sha256_of(run.folds),
        "seed": config.seed,
        "sizes": fold.value_counts().sort_index().tolist(),
        "worst_relative_deviation": round(worst_deviation(catalog.targets, fold), 4),
    }


def versions() -> dict[str, Any]:
    """Tell with what releases, and on what machine, a run is made."""
    import torch  # here, since what reads a run does without

    return {
        "amazon_ml": __version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
    }


def _git_commit() -> str | None:
    here = Path(__file__).parents[1]
    tracked = ["ls-files", "--error-unmatch", "__init__.py"]  # else it is a repository around an installed package
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        for question in (tracked, describe):
            command = ["git", "-C", str(here), *question]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return answer
