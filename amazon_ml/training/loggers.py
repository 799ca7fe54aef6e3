"""Where learning curves go besides files: Weights & Biases and MLflow, where a configuration asks for them.

A fold is one run of such a service. The service's name for it is kept in the fold's folder, so that
training that is resumed goes on in the same one.
"""

import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytorch_lightning as pl

from amazon_ml.errors import InputError
from amazon_ml.runs.folder import FoldFolder
from amazon_ml.runtime.files import read_json, write_json

Arguments = dict[str, Any]

_SECRET = re.compile("api_?key|token|password|secret|credential", re.IGNORECASE)
_SECRET_IN_ADDRESS = re.compile("://[^/@]*:[^/@]+@")


@dataclass(frozen=True)
class Service:
    """A logging service.

    Parameters
    ----------
    open
        From a fold's folder, the service's name for it (none at the first start) and the arguments that were
        asked for to a logger, in use until the context is left.
    by_run
        Arguments that cannot be asked for, since the run sets them.
    secrets
        Where secrets belong instead of the options, which a run stores.
    """

    open: Callable[[FoldFolder, str | None, Arguments], AbstractContextManager[pl.loggers.Logger]]
    by_run: frozenset[str]
    secrets: str


def check_loggers(asked: Mapping[str, Arguments]) -> None:
    """Refuse services that there are not, secrets, and arguments that the run sets.

    Raises
    ------
    InputError
        With what to do instead.
    """
    for name, arguments in asked.items():
        if name not in SERVICES:
            raise InputError(f"loggers.{name}: there is no {name!r}; there are {', '.join(SERVICES)}")
        service = SERVICES[name]
        for key, value in _leaves(arguments):
            if _SECRET.search(key) or (isinstance(value, str) and _SECRET_IN_ADDRESS.search(value)):
                raise InputError(
                    f"loggers.{name}.{key}: the options are stored with the run, so no secret may be among them; "
                    f"set {service.secrets} in the environment"
                )
        if own := sorted(arguments.keys() & service.by_run):
            raise InputError(f"loggers.{name}: {', '.join(own)} is set by the run; leave it out")
        if importlib.util.find_spec(name) is None:
            raise InputError(f"loggers.{name} needs a package that is not installed: pip install {name}")


def _leaves(arguments: Arguments, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in arguments.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@contextmanager
def open_loggers(folder: FoldFolder, asked: Mapping[str, Arguments]) -> Iterator[list[pl.loggers.Logger]]:
    """Give the loggers of a fold, by the names that the services know it by from an earlier start."""
    known = read_json(folder.loggers) if folder.loggers.exists() else {}
    loggers = []
    with ExitStack() as stack:
        for name, arguments in asked.items():
            try:
                logger = stack.enter_context(SERVICES[name].open(folder, known.get(name), arguments))
                known[name] = logger.version
            except Exception as error:  # each service fails in its own ways
                hint = f"; without {folder.loggers}, a new one is begun" if name in known else ""
                raise InputError(f"loggers.{name}: {error}{hint}") from error
            write_json(folder.loggers, known)
            loggers.append(logger)
        yield loggers


@contextmanager
def _wandb(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
    own = {"id": known or uuid4().hex, "save_dir": folder.path}
    logger = pl.loggers.WandbLogger(**{"name": _name(folder), **arguments, **own})
    with logger.experiment:  # ends the service's run, which the next fold would go on in otherwise
        yield logger


class _MLFlow(pl.loggers.MLFlowLogger):
    """Logs hyperparameters once: MLflow refuses other values, and a resumed fold loads no pretrained weights."""

    def log_hyperparams(self, params: Any) -> None:
        """Log them unless the service has some."""
        if not self.experiment.get_run(self.run_id).data.params:
            super().log_hyperparams(params)


@contextmanager
def _mlflow(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
    if "tracking_uri" not in arguments and "MLFLOW_TRACKING_URI" not in os.environ:
        raise InputError("set tracking_uri, such as sqlite:///mlflow.db or the address of a server")
    yield _MLFlow(**{"run_name": _name(folder), **arguments, "run_id": known})


def _name(folder: FoldFolder) -> str:
    return "/".join(folder.path.resolve().parts[-2:])


#: Name of the service, which is that of its package, too.
SERVICES = {
    "wandb": Service(_wandb, frozenset({"id", "version", "resume", "save_dir", "dir", "experiment"}), "WANDB_API_KEY"),
    "mlflow": Service(
        _mlflow, frozenset({"run_id", "save_dir"}), "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    ),
}
