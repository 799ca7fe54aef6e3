"""Store the configuration when a run begins, and compare it with the configuration of every later call."""

import logging
import os
from contextlib import suppress
from dataclasses import fields
from itertools import chain, count
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.config import ReadingConfig, TableConfig
from amazon_ml.data.folds.folds import kind_difference, split_difference
from amazon_ml.data.folds.neighbours import NEIGHBOURS
from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import config_text, flatten, hash_config, is_free, is_idle
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import has_hash, is_made_by_run, write_text

log = logging.getLogger(__name__)

#: Options of the labelled tiles and their tags, and of the files that are read.
_TABLE = {f"data.{field.name}" for field in fields(TableConfig)}
_FILES = {"data.root", "data.bands", "data.band_names", "data.files", "data.rgb_source", "data.max_samples"}
#: The files that are made before anything is trained, and the options that each depends on. Where one of these changed
#: meanwhile, the file is made again; but other tiles or another table do not replace one that a person wrote, which is
#: compared with them when it is read.
_MADE_OF = {
    "folds.csv": {*_TABLE, *_FILES, "seed", "data.n_folds", "data.fold_by"},
    NEIGHBOURS: {*_TABLE, *_FILES},
    "bands.json": {"data.root", "seed", "data.size", "data.max_samples",
                   *(f"data.{field.name}" for field in fields(ReadingConfig))},
}  # fmt: skip

#: Options that give the published splits.
_SPLITS = ("labels_file", "split_column", "splits")


def save_config(run: Run, config: RunConfig) -> None:
    """Store the options in a new run; in a begun one, check that no option changed that changes results.

    A run that stopped before it trained anything, perhaps for a wrong option, starts from the beginning.
    """
    if run.blend.exists():
        raise InputError("this is a blend of other runs", file=run.path, option="run", remedy="choose another `run`")
    now, begun = flatten(config), run.begun()
    former = _former_options(run, config, begun)
    if not begun and (root := _former_root(run)) is not None:
        former["data.root"] = root
    differs = _differs if begun else _differs_before_training
    changed = [key for key in now if differs(key, former.get(key), now[key])]
    if changed and not begun:
        run.provenance.unlink(missing_ok=True)
        for name, options in _MADE_OF.items():
            path = run.path / name
            own = path in (run.folds, run.bands) and not is_made_by_run(path)
            reasons = sorted((options - _TABLE - {"data.root"} if own else options).intersection(changed))
            if reasons and path.exists():
                aside = _set_aside(path)
                log.warning("%s is renamed to %s: %s changed", path, aside.name, ", ".join(reasons))
    elif changed:
        changes = "; ".join(f"{key} was {former.get(key)!r}, now {now[key]!r}" for key in changed[:4])
        raise InputError(
            f"the run was made with other options ({changes})",
            file=run.path,
            option=changed[0],
            remedy="choose another folder with `run`, or delete this one",
        )
    if not begun:
        write_config(run, config)


def _differs(key: str, before: object, now: object) -> bool:
    """Whether a change of an option may change results: where a teacher lies does not, whether there is one does."""
    if key == "data.teacher":
        return (before is None) != (now is None)
    return not is_free(key) and before != now


def _differs_before_training(key: str, before: object, now: object) -> bool:
    """Whether a change of an option may change results where no hash of tiles and folds is compared yet."""
    if key == "data.root":
        return Path(str(before)).resolve() != Path(str(now)).resolve()
    return not is_idle(key) and before != now


def _set_aside(path: Path) -> Path:
    """Rename a file, since a person may have made it; files that were renamed before are not replaced."""
    names = (f"{path.stem}.before{number}{path.suffix}" for number in chain([""], map("-{}".format, count(2))))
    for aside in map(path.with_name, names):
        if not os.path.lexists(aside) or (aside.is_file() and aside.read_bytes() == path.read_bytes()):
            return path.replace(aside)
    raise AssertionError  # there is always a free name


def _former_options(run: Run, config: RunConfig, begun: bool) -> dict[str, object]:
    """Read the stored options of a run by their dotted names; those of this call where none are stored."""
    if begun and has_hash(run.config, hash_config(config)):
        return flatten(config)  # config.yaml may have been changed or removed: it is written again
    if not run.config.exists():
        if begun:
            raise InputError(
                "the file is missing",
                file=run.config,
                remedy=f"put it back, or give the options that {run.path} was begun with",
            )
        return flatten(config)
    return flatten(run.read_config(checked=begun))


def _former_root(run: Run) -> str | None:
    """Give the whole path of the former tiles, if it is known: config.yaml may hold one of another current folder."""
    with suppress(InputError):
        if run.provenance.exists():
            return str(run.read_provenance(checked=False)["data"]["root"])
    return None


def write_config(run: Run, config: RunConfig) -> None:
    """Write config.yaml; for a begun run, call it only after its tiles were checked."""
    write_text(run.config, config_text(config))


def check_split(run: Run, config: RunConfig, fold: "pd.Series[int]", catalog: Catalog, *, begun: bool) -> None:
    """Check that the published splits are those that the run was begun with, where its folds are one division.

    A person may write a division of their own before training, whatever splits are published. Call it before
    `write_config` of a begun run.

    Parameters
    ----------
    run, config
        The run, and the options of this call.
    fold
        Fold of each labelled tile.
    catalog
        The tiles.
    begun
        Whether any fold is begun.

    Raises
    ------
    InputError
        If the run made its folds of other splits, or was begun with other options of the splits.
    """
    made = is_made_by_run(run.folds)
    difference = split_difference(fold, catalog)
    if difference is None and (made or (begun and _names_validation(run) and catalog.valid is None)):
        difference = kind_difference(fold, catalog)
    if difference is None:
        return
    if not made and not (begun and has_other_splits(run, config)):
        log.info("%s is used as it was written, and the published split is not: %s", run.folds, difference)
        return
    given = (name for name in ("splits", "split_column") if getattr(config.data, name) is not None)
    remedy = "give the splits that the run was begun with, or choose another folder with `run`"
    raise InputError(difference, file=run.folds, option=f"data.{next(given, 'labels_file')}",
                     remedy=remedy if begun else "delete the file, and the folds are made again")  # fmt: skip


def has_other_splits(run: Run, config: RunConfig) -> bool:
    """Whether the options of the splits are others than the stored ones, or none are stored."""
    if not run.config.exists():
        return True
    former = run.read_config(checked=False).data
    return any(getattr(former, name) != getattr(config.data, name) for name in _SPLITS)


def _names_validation(run: Run) -> bool:
    """Whether the stored options name a validation split."""
    if not run.config.exists():
        return False
    former = run.read_config(checked=False).data
    return any("val" in given for given in (former.splits, former.labels_file) if isinstance(given, dict))
