"""Loggers of services that may fail while training goes on, and names of curves that a service accepts."""

import logging
import posixpath
import re
import time
from argparse import Namespace
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytorch_lightning as pl

from amazon_ml.runtime.addresses import without_secrets

log = logging.getLogger(__name__)

#: A failed call may have waited for a server; the pause behind it is this many times longer than the wait.
_PAUSE = 4


class TolerantLogger(pl.loggers.Logger):
    """Passes figures to the logger of a service; where that fails, it warns once, and training goes on without it.

    Nothing is sent then until a later epoch begins. The files of the fold have all figures in any case.

    Parameters
    ----------
    service
        Name of the service, for messages.
    inner
        The logger, whose run is open.
    """

    def __init__(self, service: str, inner: pl.loggers.Logger) -> None:
        super().__init__()
        self.inner = inner
        self._service, self._name, self._version = service, inner.name, inner.version
        self._warned = self._pauses = False
        self._again_at = 0.0
        self._owed: Any = None
        self._status: str | None = None

    @property
    def name(self) -> str | None:
        """The name of the logger."""
        return self._name

    @property
    def version(self) -> int | str | None:
        """The name of the run in the service."""
        return self._version

    @property
    def save_dir(self) -> str | None:
        """The folder of the logger."""
        return self.inner.save_dir

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send figures."""
        self._try("log_metrics", metrics, step=step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **options: Any) -> None:
        """Send the options of training; where that fails, `try_again` does."""
        self._owed = None if self._try("log_hyperparams", params, *args, **options) else params

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Send a checkpoint, if the options ask for it."""
        self._try("after_save_checkpoint", checkpoint_callback)

    def save(self) -> None:
        """Write what is not written yet."""
        self._try("save")

    def finalize(self, status: str) -> None:
        """Note how training ended; `send_end` sends it, when the network is saved."""
        self._status = status

    def send_end(self) -> None:
        """End the run in the service, which may answer again."""
        if self._status is not None:
            self._pauses = False
            self._try("finalize", self._status)

    def try_again(self) -> None:
        """Send again from now on, if the service has had time to recover."""
        self._pauses = self._pauses and time.monotonic() < self._again_at
        if self._owed is not None:
            self.log_hyperparams(self._owed)

    def _try(self, method: str, *args: Any, **options: Any) -> bool:
        if self._pauses:
            return False
        began = time.monotonic()
        try:
            getattr(self.inner, method)(*args, **options)
        except Exception as error:  # each service raises its own errors
            now = time.monotonic()
            self._pauses, self._again_at = True, now + _PAUSE * (now - began)
            if not self._warned:
                log.warning(
                    "`loggers.%s` fails, and training goes on; metrics.csv, per_tag.csv and TensorBoard have all "
                    "figures. Later epochs try again. (%s)", self._service, brief(error),
                )  # fmt: skip
            self._warned = True
            return False
        return True


class TryAgain(pl.Callback):
    """Lets loggers whose service has failed try again in each epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Try again."""
        for logger in trainer.loggers:
            if isinstance(logger, TolerantLogger):
                logger.try_again()


def brief(error: BaseException) -> str:
    """Give the start of the message of an error, without secrets."""
    text = " ".join(without_secrets(str(error)).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} …"


def curve_name(name: str) -> str:
    """Write a name of a curve in the characters that MLflow accepts; different names stay different.

    Other characters become their number: ``-x`` and hexadecimal digits, and a ``-`` behind them. So does the start of
    such a code in a name itself.

    Examples
    --------
    >>> curve_name("per_tag/f2/clear"), curve_name("per_tag/f2/é:é"), curve_name("pre-xyz")
    ('per_tag/f2/clear', 'per_tag/f2/-xe9--x3a--xe9-', 'pre-x2d-xyz')
    """
    coded = re.sub(r"[^a-zA-Z0-9_/. -]|-(?=x)", _code, name)
    if posixpath.normpath(coded) != coded or coded.startswith("/"):  # MLflow takes a name for a path
        coded = re.sub(r"[/.]", _code, coded)
    if len(coded) > _LONGEST:
        coded = f"{coded[: _LONGEST - 33].rstrip('/')}-{sha256(name.encode()).hexdigest()[:32]}"
    return coded


#: Characters in the longest name that MLflow accepts.
_LONGEST = 250


def _code(match: re.Match[str]) -> str:
    return f"-x{ord(match[0]):x}-"
