"""What to do about a file of a run that is not as the run wrote it, or that is not there."""

import re
from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import no_file

#: Files that training depends on. A change after training would make held-out tiles and scores wrong.
FIXED = frozenset(
    {"config.yaml", "provenance.json", "folds.csv", "bands.json", "tiles.parquet", "untagged.parquet",
     "teacher.parquet", "teacher.json"}
)  # fmt: skip

#: The verb that makes a file again from its sources; other files are made by training a fold.
_MAKES = {"oof.parquet": "gather", "test.parquet": "gather", "decision.json": "tune", "metrics.json": "tune"}


def remedy_for(path: Path, *, known: bool = True) -> str:
    """Say what to do about a changed file, or about one without a hash."""
    run = run_of(path)
    if known and path.name in FIXED:
        again = ", or run the command that trained the run, with its options" if path.name == "config.yaml" else ""
        return f"put it back{again}: the networks were trained with it (amazon-ml accept {run} takes other files only)"
    return f"put it back, or take the run as it is with amazon-ml accept {run}"


def remake(path: Path) -> str:
    """Say how a file is made again."""
    run = run_of(path)
    if path.parent == run and (run / "blend.json").exists() and _MAKES.get(path.name) == "gather":
        return "blend the runs again"
    if path.parent == run and path.name in _MAKES:
        return f"make it again with amazon-ml {_MAKES[path.name]} {run}"
    return f"delete it, and run the command that trained {run}: it predicts again"


def missing(path: Path) -> InputError:
    """Make the error for a file of a run that does not exist: the run may not be finished."""
    run = run_of(path)
    if (run / "oof.parquet").exists():
        remedy = f"make it with amazon-ml tune {run}" if _MAKES.get(path.name) == "tune" else "put it back"
        return InputError(no_file(path).problem, file=path, remedy=remedy)
    is_blend = (run / "blend.json").exists()
    remedy = "blend the runs again" if is_blend else "run the command that began it, which resumes, or wait for its end"
    return InputError(f"{no_file(path).problem}: the run is not finished", file=path, remedy=remedy)


def run_of(path: Path) -> Path:
    """Give the run folder of a file of a run or of a fold."""
    folder = path.parent
    is_fold = re.fullmatch(r"fold-\d+", folder.name) and not (folder / "config.yaml").exists()
    return folder.parent if is_fold else folder
