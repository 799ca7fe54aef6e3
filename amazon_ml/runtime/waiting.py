"""Waits for other processes that a signal can end.

PyTorch waits in C++ for half an hour or for days, where signal handlers of Python do not run. The interpreter passes
each signal to a thread. The thread checks whether the handler has run, and ends the process if it has not.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from amazon_ml.runtime import preemption

log = logging.getLogger(__name__)

#: Seconds in which a handler must run: during a wait for other processes; during a wait between steps of training,
#: where the others may be a step behind; for an interrupt outside of waits; and for other signals outside of waits,
#: where one call of PyTorch may compute for long.
_IN_A_WAIT, _BETWEEN_STEPS, _INTERRUPT, _ELSEWHERE = 2.0, 20.0, 10.0, 60.0
#: Seconds between two checks.
_LOOK = 0.1


@dataclass
class _State:
    """State of this process: whether it waits, and whether it was interrupted."""

    waits: int = 0  # number of beginnings and ends, so it is odd during a wait
    interrupted: bool = False
    before_end: list[Callable[[signal.Signals], None]] = field(default_factory=list)


_state = _State()  # one for the process, like signal handlers


@contextmanager
def wait() -> Iterator[None]:
    """Mark a wait for other processes, which a signal ends in seconds."""
    _state.waits += 1
    try:
        yield
    finally:
        _state.waits += 1


@contextmanager
def before_end(work: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call a function before a signal ends a wait and the process."""
    _state.before_end.append(work)
    try:
        yield
    finally:
        _state.before_end.remove(work)


@contextmanager
def watched() -> Iterator[None]:
    """Watch for signals while this process works with others; only in the main thread, where handlers run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    former, keyboard = signal.set_wakeup_fd(writing, warn_on_full_buffer=False), signal.getsignal(signal.SIGINT)
    _state.interrupted = False
    if callable(keyboard):
        signal.signal(signal.SIGINT, _note_and(keyboard))
    watch = threading.Thread(target=_watch, args=(reading,), daemon=True)
    watch.start()
    try:
        yield
    finally:
        if callable(keyboard):
            signal.signal(signal.SIGINT, keyboard)
        signal.set_wakeup_fd(former)
        os.close(writing)
        watch.join()
        os.close(reading)


def _note_and(handler: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], object]:
    def note(number: int, frame: FrameType | None) -> object:
        _state.interrupted = True
        return handler(number, frame)

    return note


def _watch(reading: int) -> None:
    watched_for = {signal.SIGINT, *preemption.SIGNALS}
    while numbers := os.read(reading, 64):
        for number in watched_for.intersection(numbers):
            threading.Thread(target=_end_unless_handled, args=(signal.Signals(number),), daemon=True).start()


def _end_unless_handled(sign: signal.Signals) -> None:
    """End this process if a handler does not run in time: the main thread does not return from C++."""
    began, waits = time.monotonic(), _state.waits
    while time.monotonic() - began < _patience(sign):
        time.sleep(_LOOK)
        if _handled(sign) or _state.waits != waits:
            return
    for work in _state.before_end:
        work(sign)
    log.error("%s by %s while it waited for other processes", *_named(sign))
    logging.shutdown()
    os._exit(status(sign))


def _handled(sign: signal.Signals) -> bool:
    return _state.interrupted if sign == signal.SIGINT else preemption.requested()


def _patience(sign: signal.Signals) -> float:
    if _state.waits % 2:
        return _BETWEEN_STEPS if preemption.holding() and sign != signal.SIGINT else _IN_A_WAIT
    return _INTERRUPT if sign == signal.SIGINT else _ELSEWHERE


def _named(sign: signal.Signals) -> tuple[str, str]:
    return ("interrupted" if sign == signal.SIGINT else "stopped"), sign.name


def status(sign: signal.Signals) -> int:
    """Return the exit status of the command line for a signal."""
    if sign == signal.SIGINT:
        return 130
    return preemption.Stopped.STATUS if preemption.listening() else 128 + sign


def _forget_in_child() -> None:
    """Separate the signals of a forked process, such as a loader process, from those of this one."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_in_child)
