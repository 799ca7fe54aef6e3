"""The configuration of a run: options and YAML, checked against the types that take them."""

import logging
import math
import os
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl

from amazon_ml.arguments import Parser
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.errors import InputError
from amazon_ml.models.tagger import TileTagger
from amazon_ml.regular import check_regular
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import has_hash, write_text
from amazon_ml.runs.loggers import check_loggers
from amazon_ml.runs.options import Options, flatten, hash_options, is_free, options_text
from amazon_ml.yaml_files import read_yaml

log = logging.getLogger(__name__)

#: Set by the run itself.
_DATA_BY_RUN = {"fold", "folds_file", "bands_file", "seed", "on_gpu"}
_MODEL_BY_RUN = {"tags", "size", "in_chans"}
_TRAINER_BY_RUN = {
    "logger", "callbacks", "default_root_dir", "enable_checkpointing", "use_distributed_sampler",
    "reload_dataloaders_every_n_epochs", "inference_mode", "plugins", "model_registry", "fast_dev_run",
    "overfit_batches", "limit_test_batches", "limit_predict_batches", "num_sanity_val_steps", "barebones",
}  # fmt: skip
#: Those that Lightning takes as an object, too. A file can name a class only by a path that is imported, whatever
#: lies there, so that these take names only.
_TRAINER_BY_NAME: dict[str, tuple[Any, str | None, str]] = {
    "accelerator": (str, "auto", "hardware that trains: auto, cpu, gpu, or another of Lightning's names"),
    "strategy": (str, "auto", "how processes train together: auto, ddp or ddp_find_unused_parameters_true"),
    "profiler": (Literal["simple", "advanced", "pytorch", "xla"] | None, None, "what measures the time of each part"),
}
#: What folds depend on: with these changed, those of a run that trained nothing yet are made anew.
_MAKE_FOLDS = {
    "seed", "data.tags", "data.name_column", "data.tags_column", "data.tag_separator", "data.allow_missing",
    "data.allow_untagged", "data.merge_rows",
    "data.leave_out", "data.bands", "data.colours", "data.n_folds", "data.fold_by", "data.limit",
}  # fmt: skip
#: Where ``~`` stands for the home folder.
_PATHS = (
    ("data", "root"), ("data", "table"), ("data", "images"), ("data", "packed"), ("data", "leave_out"),
    ("data", "soften"),
    ("model", "weights"),
)  # fmt: skip


#: Options that take a YAML file.
_CONFIGS = ("--config", "--data", "--model", "--trainer")

_TRAINS = (
    "Train, predict the held-out tiles, tune the cut-offs, score, tag the test tiles. "
    "The same command resumes a run that was stopped."
)


def train_parser(verb: str = "train", does: str = _TRAINS) -> Parser:
    """Make the parser of ``amazon-ml train``, or of another verb that takes the same options."""
    parser = Parser(prog=f"amazon-ml {verb}", description=does)
    parser.add_argument("--config", action="config", help="YAML file with any of these options; later ones win")
    parser.add_argument("--run", type=str | None, help="run folder (default: runs/ and the name of the last --config)")
    parser.add_argument(
        "--folds", type=Literal["all"] | int | list[int], default=[0],
        help="folds to train a network for, each held out once: one, a list, or all; processes at work on other "
        "folds of the run do not disturb each other",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of folds, order, augmentation and weights")
    parser.add_argument("--beta", type=float, default=2.0, help="weight of recall in the F-beta that is tuned for")
    parser.add_argument(
        "--loggers", type=dict[str, dict[str, Any]], default={},
        help="logging services beside CSV and TensorBoard, wandb or mlflow, with arguments of Lightning's logger",
    )  # fmt: skip
    parser.add_class_arguments(PlanetDataModule, "data", skip=_DATA_BY_RUN)
    parser.add_class_arguments(TileTagger, "model", skip=_MODEL_BY_RUN)
    parser.add_class_arguments(pl.Trainer, "trainer", skip=_TRAINER_BY_RUN | _TRAINER_BY_NAME.keys())
    for name, (kind, default, meaning) in _TRAINER_BY_NAME.items():
        parser.add_argument(f"--trainer.{name}", type=kind, default=default, help=meaning)
    return parser


def parse_train(arguments: list[str], parser: Parser | None = None) -> tuple[Run, Options]:
    """Parse the arguments of ``amazon-ml train``; a wrong key or value exits with status 2."""
    _check_configs(arguments)
    parsed = (parser or train_parser()).parse_args(arguments)
    configs = parsed.pop("config") or []
    folder = parsed.pop("run")
    if folder is None:
        folder = Path("runs") / (Path(str(configs[-1])).stem if configs else "default")
    options: Options = parsed.as_dict()
    if isinstance(options["folds"], int):
        options["folds"] = [options["folds"]]
    if not 0 < options["beta"] < math.inf:
        raise InputError("--beta must be more than 0, and finite")
    if not 0 <= options["seed"] < 2**32:
        raise InputError("--seed must be in 0..2**32 - 1")
    check_loggers(options["loggers"])
    for section, key in _PATHS:
        if options[section][key] is not None:
            options[section][key] = str(Path(options[section][key]).expanduser())
    return Run(Path(folder).expanduser()), options


def _check_configs(arguments: list[str]) -> None:
    """Refuse configurations that the parser would wait for: no regular files, and YAML that multiplies itself."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in _CONFIGS:
            file = Path(value if equals else following)
            check_regular(file)
            if option != "--config" and file.suffix in (".yaml", ".yml") and file.is_file():
                read_yaml(file)


def keep_options(run: Run, options: Options) -> None:
    """Store the options in a new run; in an old one, refuse options that would mix two experiments.

    A run that stopped before it trained anything, for a wrong option perhaps, begins anew.
    """
    if run.blend.exists():
        raise InputError(f"{run.path} is a blend of other runs; choose another --run")
    now, begun = flatten(options), run.begun()
    former = _former_options(run, options, begun)
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
            f"{run.path} was made with other options ({told}). Choose another folder with --run, or delete this one"
        )
    if not begun:
        write_options(run, options)


def _set_aside(path: Path) -> Path:
    """Give a file another name, since somebody may have made it; another file that was set aside before is kept."""
    names = (f"{path.stem}.before{number}{path.suffix}" for number in chain([""], map("-{}".format, count(2))))
    for aside in map(path.with_name, names):
        if not os.path.lexists(aside) or (aside.is_file() and aside.read_bytes() == path.read_bytes()):
            return path.replace(aside)
    raise AssertionError  # there are always more names


def _former_options(run: Run, options: Options, begun: bool) -> Options:
    """Read the options of a run by their dotted names; those that are given where the run has no others."""
    if begun and has_hash(run.config, hash_options(options)):
        return flatten(options)  # whoever changed or removed config.yaml: it is written anew
    if not run.config.exists():
        if begun:
            raise InputError(f"{run.config} is gone; put it back, or give the options that {run.path} was begun with")
        return flatten(options)
    # Options that are newer than the run have their defaults, which change nothing.
    return flatten(train_parser().get_defaults().as_dict()) | flatten(run.options(checked=begun))


def write_options(run: Run, options: Options) -> None:
    """Write config.yaml; for a begun run only once its tiles are known to be the same."""
    write_text(run.config, options_text(options))
