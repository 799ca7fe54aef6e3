"""The options of a run, as `config.yaml` holds them: which are free, and a hash of those that are not."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from amazon_ml.errors import InputError
from amazon_ml.yaml_files import read_yaml

#: The options of a run, by section.
Options = dict[str, Any]

#: Options that change nothing of what comes out of a run; so do those of logging services.
IDLE = (
    "data.packed", "data.workers", "trainer.enable_progress_bar", "trainer.enable_model_summary",
    "trainer.log_every_n_steps", "trainer.profiler",
)  # fmt: skip
#: What may change between a run and its resumption: how, and how much of the work is done, not what comes out.
#: Where the tiles lie is free, too: their hashes tell that they are the same. The number of processes that train a
#: network is checked where they are counted, since torchrun and srun set it, too.
FREE = (
    *IDLE, "folds", "data.root", "data.table", "data.images", "trainer.devices", "trainer.num_nodes",
)  # fmt: skip


def is_free(key: str) -> bool:
    """Whether an option, by its dotted name, may change in a begun run."""
    return key in FREE or key.split(".")[0] == "loggers"


def flatten(options: Options, prefix: str = "") -> Options:
    """Give options by their dotted names, such as ``data.size``; what lies deeper stays one value."""
    flat: Options = {}
    for key, value in options.items():
        nested = isinstance(value, dict) and prefix.count(".") < 1
        flat.update(flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value})
    return flat


def read_options(path: Path) -> Options:
    """Read the configuration of a run.

    Raises
    ------
    InputError
        Where there is none, or where the file is another one.
    """
    if not path.exists():
        raise InputError(f"{path.parent} is not a run: it has no {path.name}")
    options = read_yaml(path)
    if not isinstance(options, dict) or not all(isinstance(options.get(key), dict) for key in ("data", "model")):
        raise InputError(f"{path} is not the configuration of a run")
    return options


def options_text(options: Options) -> str:
    """Give options as `config.yaml` holds them."""
    return yaml.safe_dump(options, sort_keys=False, allow_unicode=True)


def hash_options(options: Options) -> str:
    """Hexadecimal SHA-256 of the options that are not free: a person may edit the others in `config.yaml`."""
    return _hash_text(options_text(options))


@lru_cache(maxsize=32)
def _hash_text(text: str) -> str:
    stored = yaml.safe_load(text)  # as it is read again: tuples are lists
    settled = {str(key): value for key, value in flatten(stored).items() if not is_free(str(key))}
    return hashlib.sha256(json.dumps(settled, sort_keys=True, default=str).encode()).hexdigest()
