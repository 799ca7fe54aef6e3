"""The configuration in a run folder: stored when a run begins, and held against that of every later call."""

import logging
import os
from itertools import chain, count
from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import config_text, flatten, hash_config, is_free
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import has_hash, write_text

log = logging.getLogger(__name__)

#: What folds depend on: with these changed, those of a run that trained nothing yet are made anew.
_MAKE_FOLDS = {
    "seed", "data.tags", "data.name_column", "data.tags_column", "data.tag_columns", "data.tag_separator",
    "data.min_share", "data.allow_missing", "data.allow_untagged", "data.merge_rows",
    "data.exclude", "data.bands", "data.rgb_source", "data.n_folds", "data.fold_by", "data.max_samples",
}  # fmt: skip


def save_config(run: Run, config: RunConfig) -> None:
    """Store the options in a new run; in an old one, refuse options that would mix two experiments.

    A run that stopped before it trained anything, for a wrong option perhaps, begins anew.
    """
    if run.blend.exists():
        raise InputError(f"{run.path} is a blend of other runs; choose another `run`")
    now, begun = flatten(config), run.begun()
    former = _former_options(run, config, begun)
    changed = [key for key in now if not is_free(key) and former.get(key) != now[key]]
    if changed and not begun:
        run.provenance.unlink(missing_ok=True)
        if run.folds.exists() and _MAKE_FOLDS.intersection(changed):
            aside = _set_aside(run.folds)
            log.warning("%s are set aside as %s: %s changed", run.folds, aside.name,
                        ", ".join(sorted(_MAKE_FOLDS.intersection(changed))))  # fmt: skip
        if run.bands.exists():
            _set_aside(run.bands)
    elif changed:
        told = "; ".join(f"{key} was {former.get(key)!r}, now {now[key]!r}" for key in changed[:4])
        raise InputError(
            f"{run.path} was made with other options ({told}). Choose another folder with `run`, or delete this one"
        )
    if not begun:
        write_config(run, config)


def _set_aside(path: Path) -> Path:
    """Give a file another name, since somebody may have made it; another file that was set aside before is kept."""
    names = (f"{path.stem}.before{number}{path.suffix}" for number in chain([""], map("-{}".format, count(2))))
    for aside in map(path.with_name, names):
        if not os.path.lexists(aside) or (aside.is_file() and aside.read_bytes() == path.read_bytes()):
            return path.replace(aside)
    raise AssertionError  # there are always more names


def _former_options(run: Run, config: RunConfig, begun: bool) -> dict[str, object]:
    """Read the options of a run by their dotted names; those that are given where the run has no others."""
    if begun and has_hash(run.config, hash_config(config)):
        return flatten(config)  # whoever changed or removed config.yaml: it is written anew
    if not run.config.exists():
        if begun:
            raise InputError(f"{run.config} is gone; put it back, or give the options that {run.path} was begun with")
        return flatten(config)
    return flatten(run.read_config(checked=begun))


def write_config(run: Run, config: RunConfig) -> None:
    """Write config.yaml; for a begun run only once its tiles are known to be the same."""
    write_text(run.config, config_text(config))
