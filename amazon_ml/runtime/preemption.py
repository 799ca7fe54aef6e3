"""Signals that ask a process to stop, so that the same command goes on later; at once, or where the work sees to it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

#: What schedulers send ahead of a time limit (USR1, USR2), and before they take a machine away (TERM).
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


@dataclass
class _Request:
    listening: bool = False
    sign: signal.Signals | None = None
    held: bool = False


_request = _Request()  # one for the process, as signal handlers are


class Stopped(SystemExit):
    """A signal has stopped the work, and the same command goes on with it.

    Parameters
    ----------
    where
        How far the work has come, for the message.
    """

    STATUS = 85  # of Linux's errors ERESTART, and none of the shell's own

    def __init__(self, where: str = "") -> None:
        super().__init__(self.STATUS)
        self.where = where

    def __str__(self) -> str:
        by = _request.sign.name if _request.sign else "a signal to another process"
        return " ".join(filter(None, ("stopped by", by, self.where))) + "; the same command goes on"


def listen() -> None:
    """Heed the signals from now on: the first one raises `Stopped`, at once or where they are `held`."""
    _request.listening, _request.sign = True, None
    reclaim()


def reclaim() -> None:
    """Take the signals back from a library that took them; only where they are listened to."""
    if _request.listening and threading.current_thread() is threading.main_thread():
        for sign in SIGNALS:
            signal.signal(sign, _note)


def listening() -> bool:
    """Whether this process heeds the signals, so that it ends with the status of `Stopped`."""
    return _request.listening


def holding() -> bool:
    """Whether the work at hand ends itself at a good moment."""
    return _request.held


def requested() -> bool:
    """Whether this process was asked to stop."""
    return _request.sign is not None


@contextmanager
def held() -> Iterator[None]:
    """Have signals noted only, for work that ends itself at a good moment when it was `asked`; leaving does at last."""
    _request.held = True
    try:
        yield
    finally:
        _request.held = False
    if requested():
        raise Stopped


def _note(number: int, frame: FrameType | None) -> None:
    if requested():
        return  # it is under way, and a checkpoint perhaps half written
    _request.sign = signal.Signals(number)
    if not _request.held:
        raise Stopped
