"""Signals that stop a process, so that the same command can resume later: at once, or at a good moment of the work."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

#: Signals of schedulers before a time limit (USR1, USR2), and before they take a machine away (TERM).
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


@dataclass
class _Request:
    listening: bool = False
    sign: signal.Signals | None = None
    held: bool = False


_request = _Request()  # one for the process, like signal handlers


class Stopped(SystemExit):
    """A signal has stopped the work; the same command resumes it.

    Parameters
    ----------
    where
        The progress of the work, for the message.
    """

    STATUS = 85  # ERESTART among the errors of Linux; shells do not use it

    def __init__(self, where: str = "") -> None:
        super().__init__(self.STATUS)
        self.where = where

    def __str__(self) -> str:
        by = _request.sign.name if _request.sign else "a signal to another process"
        return " ".join(filter(None, ("stopped by", by, self.where))) + "; the same command resumes"


def listen() -> None:
    """React to the signals from now on: the first one raises `Stopped`, at once or at the end of `held`."""
    _request.listening, _request.sign = True, None
    reclaim()


def reclaim() -> None:
    """Set the handlers again after a library has replaced them, if this process listens to the signals."""
    if _request.listening and threading.current_thread() is threading.main_thread():
        for sign in SIGNALS:
            signal.signal(sign, _note)


def listening() -> bool:
    """Whether this process reacts to the signals, so that it ends with the status of `Stopped`."""
    return _request.listening


def holding() -> bool:
    """Whether the current work ends itself at a good moment."""
    return _request.held


def requested() -> bool:
    """Whether a signal has requested this process to stop."""
    return _request.sign is not None


@contextmanager
def held() -> Iterator[None]:
    """Only note signals, for work that ends itself at a good moment when a stop was `requested`.

    The end of the block raises `Stopped` at the latest.
    """
    _request.held = True
    try:
        yield
    finally:
        _request.held = False
    if requested():
        raise Stopped


def _note(number: int, frame: FrameType | None) -> None:
    if requested():
        return  # the process already stops, and a checkpoint may be half written
    _request.sign = signal.Signals(number)
    if not _request.held:
        raise Stopped
