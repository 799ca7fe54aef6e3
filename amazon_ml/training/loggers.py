"""Loggers of learning curves beside files: Weights & Biases and MLflow, on request.

A fold is one run of such a service. The folder of the fold stores the name of that run, so that resumed training
continues the same run.
"""

import importlib
import importlib.util
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytorch_lightning as pl

from amazon_ml.errors import InputError
from amazon_ml.runs.folder import FoldFolder
from amazon_ml.runtime.addresses import secrets_in, without_secrets
from amazon_ml.runtime.files import read_json, write_json
from amazon_ml.runtime.locks import locked
from amazon_ml.training.tolerant import TolerantLogger, brief, curve_name

log = logging.getLogger(__name__)

Arguments = dict[str, Any]

#: Seconds that the end of a run waits for W&B. Its data lies in the folder of the fold, for `wandb sync`.
FINISH_WITHIN = 60
#: Lock in the run folder while a run of MLflow is opened.
LOCK = ".loggers.lock"
#: Attempts to open a run of MLflow, and seconds of one after which there is no other one.
OPENINGS, _QUICK = 4, 30
#: Most figures that MLflow takes at once.
_AT_ONCE = 1000
#: Patience of MLflow with a server; by its own defaults, one call to a dead one may take minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


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
    address
        Gives the address of the service where it is known, for messages.
    """

    open: Callable[[FoldFolder, str | None, Arguments], AbstractContextManager[pl.loggers.Logger]]
    by_run: frozenset[str]
    secrets: str
    address: Callable[[Arguments], str] = lambda _: ""


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


#: Run folder, name and arguments of the services that have opened a run for a fold there in this process.
_answered: set[tuple[Path, str, str]] = set()


@contextmanager
def open_loggers(folder: FoldFolder, requested: Mapping[str, Arguments]) -> Iterator[list[pl.loggers.Logger]]:
    """Open the requested loggers of a fold, with the names of its runs in the services from an earlier start.

    A service that has answered for a former fold, and does not for this one, is left out.

    Raises
    ------
    InputError
        If a service does not answer at all.
    """
    known = read_json(folder.loggers) if folder.loggers.exists() else {}
    if not isinstance(known, dict):
        raise InputError(
            "the file does not name the runs of a fold in services",
            file=folder.loggers,
            remedy="put it back, or delete it",
        )
    loggers: list[pl.loggers.Logger] = []
    with ExitStack() as stack:
        for name, arguments in requested.items():
            key = (folder.path.parent, name, repr(arguments))
            address = without_secrets(SERVICES[name].address(arguments))
            log.info("opening the run of %s in %s%s", folder.path, name, f" at {address}" if address else "")
            try:
                context = SERVICES[name].open(folder, known.get(name), arguments)
                logger = context.__enter__()
                stack.push(partial(_close, name, context))
                known[name] = logger.version
                loggers.append(tolerant := TolerantLogger(name, logger))
                stack.callback(tolerant.send_end)
            except Exception as error:  # each service raises its own errors
                if key in _answered and name not in known:  # a former fold may have taken hours
                    log.warning(
                        "`loggers.%s` cannot open a run for %s, which trains without it; metrics.csv, per_tag.csv and "
                        "TensorBoard have all figures. (%s)", name, folder.path, brief(error),
                    )  # fmt: skip
                    continue
                raise _cannot_open(name, error, folder, name in known) from None  # its text may hold secrets
            _answered.add(key)
            write_json(folder.loggers, known)
        yield loggers


def _close(name: str, context: AbstractContextManager[Any], *error: Any) -> None:
    """End the use of a service; where that fails, the work goes on."""
    try:
        context.__exit__(*error)
    except Exception as fault:
        if fault is not error[1]:
            log.warning("`loggers.%s` cannot be closed (%s)", name, brief(fault))


def _cannot_open(name: str, error: Exception, folder: FoldFolder, known: bool) -> InputError:
    option, text = f"loggers.{name}", without_secrets(str(error))
    if isinstance(error, InputError):
        return InputError(f"`{option}`: {text}", option=option)
    remedy = "if the service is down, omit the option: a run may resume with other loggers"
    if known:
        remedy += f"; delete {folder.loggers} to begin a new run there"
    return InputError(f"`{option}`: {text}", option=option, remedy=remedy)


@contextmanager
def _wandb(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
    own = {"id": known or uuid4().hex, "save_dir": folder.path}
    settings = _limit_wait(arguments.get("settings"))
    logger = pl.loggers.WandbLogger(**{"name": _name(folder), **arguments, **settings, **own})
    run, status = logger.experiment, 1
    try:
        yield logger
        status = 0
    finally:  # ends the run in the service, which the next fold would otherwise continue
        try:
            run.finish(exit_code=status)
        except Exception as error:
            log.warning(
                "`loggers.wandb` has not sent all figures of %s (%s); once the service answers, send them with: "
                "wandb sync %s", folder.path, brief(error), Path(run.dir).parent,
            )  # fmt: skip


def _limit_wait(given: Any) -> Arguments:
    """Limit the seconds that the end of a run waits for W&B, which otherwise has no limit, unless they are given."""
    fields = getattr(importlib.import_module("wandb").Settings, "model_fields", {})
    if not isinstance(given, dict | None) or "finish_timeout_raises" not in fields:  # an older release
        return {}
    own: Arguments = {"finish_timeout": FINISH_WITHIN, "finish_timeout_raises": True}
    return {"settings": {k: v for k, v in own.items() if f"WANDB_{k.upper()}" not in os.environ} | (given or {})}


class _MLFlow(pl.loggers.MLFlowLogger):
    """Logs hyperparameters once: MLflow accepts no other values, and a resumed fold loads no pretrained weights.

    Lightning would leave out characters that MLflow does not accept, so that the curves of two tags could become one.
    """

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures under names that MLflow accepts."""
        named = [(curve_name(name), value) for name, value in metrics.items()]
        for start in range(0, len(named), _AT_ONCE):
            super().log_metrics(dict(named[start : start + _AT_ONCE]), step)

    def log_hyperparams(self, params: Any) -> None:
        """Log hyperparameters unless the service has some."""
        if not self.experiment.get_run(self.run_id).data.params:
            super().log_hyperparams(params)


@contextmanager
def _mlflow(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
    if "tracking_uri" not in arguments and "MLFLOW_TRACKING_URI" not in os.environ:
        raise InputError("there is no tracking_uri", remedy="set it, such as sqlite:///mlflow.db or a server")
    with _variables(_PATIENCE):
        # Lightning reads the variable only once, when it is imported.
        own = {"run_name": _name(folder), "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI")}
        arguments = {**own, **arguments, "run_id": known}
        with ExitStack() as stack:
            if not _is_web(arguments):  # two folds that begin together would make the tables of a new database at once
                waits = "waiting for another fold that opens its run in mlflow"
                stack.enter_context(locked(folder.path.parent / LOCK, waits, wait=True))
            logger = _opened(arguments)
        yield logger


def _is_web(arguments: Arguments) -> bool:
    return str(arguments["tracking_uri"]).startswith(("http:", "https:"))


def _opened(arguments: Arguments) -> pl.loggers.Logger:
    """Open a run of MLflow, again where another run makes the same database or experiment at the same time."""
    for attempt in range(1, OPENINGS + 1):
        began = time.monotonic()
        try:
            logger = _MLFlow(**arguments)
            assert logger.version is not None  # asks the service
            return logger
        except (AssertionError, ImportError, TypeError):
            raise
        except Exception as error:
            exists = getattr(error, "error_code", "") == "RESOURCE_ALREADY_EXISTS"
            if attempt == OPENINGS or (_is_web(arguments) and not exists) or time.monotonic() - began > _QUICK:
                raise
            time.sleep(attempt * (0.5 + random.Random().random()))  # no number of those that training draws
    raise AssertionError


@contextmanager
def _variables(defaults: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment that are not set, until the context ends."""
    own = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


def _name(folder: FoldFolder) -> str:
    return "/".join(folder.path.resolve().parts[-2:])


#: Services by name, which is also the name of the package.
SERVICES = {
    "wandb": Service(
        _wandb,
        frozenset({"id", "version", "resume", "save_dir", "dir", "experiment"}),
        "WANDB_API_KEY",
        lambda _: os.environ.get("WANDB_BASE_URL", ""),
    ),
    "mlflow": Service(
        _mlflow,
        frozenset({"run_id", "save_dir"}),
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole address as MLFLOW_TRACKING_URI,",
        lambda arguments: str(arguments.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI", "")),
    ),
}
