"""What signals do while Lightning trains or predicts, and that their handlers are put back afterwards."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl

from amazon_ml.runtime import preemption


@contextmanager
def interruptible(trainer: pl.Trainer) -> Iterator[None]:
    """Raise `KeyboardInterrupt` for Ctrl-C, which Lightning turns into an exit with status 1; keep the handlers.

    Lightning ignores Ctrl-C from the first one on, which a Python session would never get again. Its own handler of
    SIGTERM lets a prediction run to its end.
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
    finally:
        if former is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, former)
