"""Loggers of learning curves beside files: Weights & Biases and MLflow, on request.

A fold is one run of such a service. The folder of the fold stores the name of that run, so that resumed training
continues the same run.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytorch_lightning as pl

from amazon_ml.errors import InputError
from amazon_ml.runs.folder import FoldFolder
from amazon_ml.runtime.addresses import secrets_in
from amazon_ml.runtime.files import read_json, write_json

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Service:
    """A logging service.

    Parameters
    ----------
    open
        Opens a logger for the folder of a fold, the name of its run in the service (None at the first start) and the
        requested arguments; the logger is in use until the context ends.
    by_run
        Arguments that a configuration cannot set, since the run sets them.
    secrets
        Variables for secrets, which must not be in the options, since a run stores these.
    """

    open: Callable[[FoldFolder, str | None, Arguments], AbstractContextManager[pl.loggers.Logger]]
    by_run: frozenset[str]
    secrets: str


def check_loggers(requested: Mapping[str, Arguments]) -> None:
    """Check that services exist, and that arguments hold no secrets and nothing that the run sets.

    Raises
    ------
    InputError
        If not, with the remedy.
    """
    for name, arguments in requested.items():
        option = f"loggers.{name}"
        if name not in SERVICES:
            problem = f"`{option}`: there is no {name!r}"
            raise InputError(problem, option=option, remedy=f"there are {', '.join(SERVICES)}")
        service = SERVICES[name]
        for key in secrets_in(arguments):
            problem = f"`{option}.{key}`: a run stores its options, so they must not hold a secret"
            remedy = f"set {service.secrets} in the environment"
            raise InputError(problem, option=f"{option}.{key}", remedy=remedy)
        if own := sorted(arguments.keys() & service.by_run):
            problem = f"`{option}`: the run sets {', '.join(own)}"
            raise InputError(problem, option=option, remedy="omit it")
        if importlib.util.find_spec(name) is None:
            problem = f"`{option}` needs a package that is not installed"
            raise InputError(problem, option=option, remedy=f"pip install {name}")


@contextmanager
def open_loggers(folder: FoldFolder, requested: Mapping[str, Arguments]) -> Iterator[list[pl.loggers.Logger]]:
    """Open the requested loggers of a fold, with the names of its runs in the services from an earlier start."""
    known = read_json(folder.loggers) if folder.loggers.exists() else {}
    if not isinstance(known, dict):
        raise InputError(
            "the file does not name the runs of a fold in services",
            file=folder.loggers,
            remedy="put it back, or delete it",
        )
    loggers = []
    with ExitStack() as stack:
        for name, arguments in requested.items():
            try:
                logger = stack.enter_context(SERVICES[name].open(folder, known.get(name), arguments))
                known[name] = logger.version
            except Exception as error:  # each service raises its own errors
                remedy = f"delete {folder.loggers} to begin a new run there" if name in known else ""
                option = f"loggers.{name}"
                raise InputError(f"`{option}`: {error}", option=option, remedy=remedy) from error
            write_json(folder.loggers, known)
            loggers.append(logger)
        yield loggers


@contextmanager
def _wandb(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
    own = {"id": known or uuid4().hex, "save_dir": folder.path}
    logger = pl.loggers.WandbLogger(**{"name": _name(folder), **arguments, **own})
    with logger.experiment:  # ends the run in the service, which the next fold would otherwise continue
        yield logger


class _MLFlow(pl.loggers.MLFlowLogger):
    """Logs hyperparameters once: MLflow accepts no other values, and a resumed fold loads no pretrained weights."""

    def log_hyperparams(self, params: Any) -> None:
        """Log hyperparameters unless the service has some."""
        if not self.experiment.get_run(self.run_id).data.params:
            super().log_hyperparams(params)


@contextmanager
def _mlflow(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
    if "tracking_uri" not in arguments and "MLFLOW_TRACKING_URI" not in os.environ:
        raise InputError("there is no tracking_uri", remedy="set it, such as sqlite:///mlflow.db or a server")
    yield _MLFlow(**{"run_name": _name(folder), **arguments, "run_id": known})


def _name(folder: FoldFolder) -> str:
    return "/".join(folder.path.resolve().parts[-2:])


#: Services by name, which is also the name of the package.
SERVICES = {
    "wandb": Service(_wandb, frozenset({"id", "version", "resume", "save_dir", "dir", "experiment"}), "WANDB_API_KEY"),
    "mlflow": Service(
        _mlflow,
        frozenset({"run_id", "save_dir"}),
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole address as MLFLOW_TRACKING_URI,",
    ),
}
