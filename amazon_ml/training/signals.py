"""Calls of Lightning that train or predict: what signals do meanwhile and afterwards, and its errors as our own."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]

from amazon_ml.errors import InputError
from amazon_ml.runtime import preemption


@contextmanager
def interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Raise `KeyboardInterrupt` for Ctrl-C, which Lightning turns into an exit with status 1; keep the handlers.

    Lightning ignores Ctrl-C from the first one on, which a Python session would never get again. Its own handler of
    SIGTERM lets a prediction run to its end.

    Raises
    ------
    InputError
        Where Lightning refuses an option.
    """
    inside: Any = trainer
    inside._signal_connector.register_signal_handlers = preemption.reclaim
    former = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        if trainer.interrupted and ended.code == 1:
            raise KeyboardInterrupt from None
        raise
    except MisconfigurationException as error:
        raise InputError(f"`trainer`: {error}", option="trainer") from None
    finally:
        if former is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, former)
