"""The file `config.yaml` of a run: which of its options may change later, and a hash of the others."""

import dataclasses
import hashlib
import json
from pathlib import Path

import yaml

from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runtime.yaml_files import read_yaml
from amazon_ml.settings import build, to_plain

#: Options that change no result of a run. Neither do those of logging services.
IDLE = (
    "data.packed", "data.num_workers", "data.gsd", "trainer.enable_progress_bar", "trainer.enable_model_summary",
    "trainer.log_every_n_steps", "trainer.profiler",
)  # fmt: skip
#: Options that may change when a run is resumed: they decide how the work is done, and how much of it, but not the
#: result. The folders of the tiles and of the teacher may change, too, since hashes show that they hold the same. The
#: number of processes that train a network is checked where they are counted, since torchrun and srun set it, too.
FREE = (
    *IDLE, "folds", "data.root", "data.labels_file", "data.splits", "data.image_dir", "data.teacher", "data.untagged",
    "trainer.devices", "trainer.num_nodes",
)  # fmt: skip


def is_idle(key: str) -> bool:
    """Whether an option, by its dotted name, changes no result of a run."""
    return key in IDLE or key.split(".")[0] == "loggers"


def is_free(key: str) -> bool:
    """Whether an option, by its dotted name, may change in a begun run."""
    return key in FREE or is_idle(key)


def flatten(config: RunConfig) -> dict[str, object]:
    """Give the options of a run by their dotted names, such as ``data.size``, with plain values."""
    flat: dict[str, object] = {}
    for name, value in _plain(config).items():
        if isinstance(value, dict) and dataclasses.is_dataclass(getattr(config, name)):
            flat |= {f"{name}.{key}": one for key, one in value.items()}
        else:
            flat[name] = value
    return flat


def read_config(path: Path) -> RunConfig:
    """Read the configuration of a run.

    Raises
    ------
    InputError
        Where there is none, or where the file is something else.
    """
    if not path.exists():
        raise InputError(f"this is not a run: it has no {path.name}", file=path.parent)
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("data", "model")):
        raise InputError("this is not the configuration of a run", file=path)
    there = {name for key in content for name in _dotted(key, content[key])}
    if lacking := [name for name in _NAMES if name not in there]:  # the default may differ from the run's option
        raise InputError(
            f"the file lacks {lacking[0]}", file=path, option=lacking[0], remedy="put it back as the run wrote it"
        )
    try:
        return build(RunConfig, content)
    except InputError as error:
        raise InputError(error.problem, file=path, option=error.option, remedy=error.remedy) from None


def _dotted(name: str, value: object) -> list[str]:
    return [name, *(f"{name}.{key}" for key in value)] if isinstance(value, dict) else [name]


def config_text(config: RunConfig) -> str:
    """Give a configuration as `config.yaml` holds it."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)


def hash_config(config: RunConfig) -> str:
    """Hexadecimal SHA-256 of the options that may not change; a person may edit the others in `config.yaml`."""
    fixed = {key: value for key, value in flatten(config).items() if not is_free(key)}
    fixed["taught"] = config.data.teacher is not None  # whether there is a teacher counts, but not where it lies
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def _plain(config: RunConfig) -> dict[str, object]:
    """Give a configuration as plain values, without the folder of the run, which may be moved."""
    return {name: value for name, value in to_plain(config).items() if name != "run"}


#: Options that `config.yaml` must hold.
_NAMES = list(flatten(RunConfig.load([], {"data.root": ""})))
