"""Work on many files in threads, and say how far it is."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
    track,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

#: Items that are handed to the threads together, so that little waits in memory and Ctrl-C is heard.
_BLOCK = 2048
_SECONDS_BETWEEN_LINES = 10.0


def mapped(
    function: Callable[[Item], Result], items: Sequence[Item], *, num_workers: int, what: str
) -> Iterator[Result]:
    """Give the results of a function for each item, in order, computed by threads.

    Threads serve where the time goes into libraries that let others run meanwhile: decoding, hashing,
    numpy on large arrays.

    Parameters
    ----------
    function
        What is done with an item.
    items
        What it is done with.
    num_workers
        Number of threads.
    what
        What the items are, for the progress bar on a terminal and for the lines elsewhere.
    """
    with ThreadPoolExecutor(num_workers) as pool:
        blocks = (items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK))
        results = (result for block in blocks for result in pool.map(function, block))
        yield from tracked(results, len(items), what)


def tracked(results: Iterable[Result], total: int, what: str) -> Iterator[Result]:
    """Give results as they come, and say how far it is: with a bar on a terminal, in lines elsewhere."""
    if sys.stderr.isatty():
        yield from track(results, what, total=total, console=Console(stderr=True), transient=True)
        return
    told = time.monotonic()
    for done, result in enumerate(results, start=1):
        if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            log.info("%s: %s of %s", what, f"{done:,}", f"{total:,}")
        yield result


@contextmanager
def counted(total: int, done: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show how far a work is that says itself when it is further: with a bar on a terminal, else a line a tenth.

    Parameters
    ----------
    total
        Number of items.
    done
        How many of them an earlier call has done.
    what
        What is done with them, such as ``packing``.

    Yields
    ------
    To be called with the number of items that are done since.
    """
    if sys.stderr.isatty():
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total, completed=done)
            yield lambda more: bar.advance(task, more)
        return
    tenth = 10 * done // total

    def advance(more: int) -> None:
        nonlocal done, tenth
        done += more
        if 10 * done // total > tenth:
            tenth = 10 * done // total
            log.info("%s: %s of %s", what, f"{done:,}", f"{total:,}")

    yield advance


@contextmanager
def watched(size: Callable[[], int], total: int, what: str) -> Iterator[None]:
    """Say how far something is that grows by itself while the block runs.

    Parameters
    ----------
    size
        Gives its bytes now.
    total
        Its bytes when it is done; 0 where that is not known.
    what
        What it is, for the progress bar on a terminal and for the lines elsewhere.
    """
    over = Event()
    show = _show_bar if sys.stderr.isatty() else _show_lines
    watcher = Thread(target=show, args=(over, size, total, what), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _show_bar(over: Event, size: Callable[[], int], total: int, what: str) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total or None)
        while not over.wait(0.2):
            bar.update(task, completed=size())


def _show_lines(over: Event, size: Callable[[], int], total: int, what: str) -> None:
    while not over.wait(_SECONDS_BETWEEN_LINES):
        log.info("%s: %.1f of %s MB", what, size() / 1e6, f"{total / 1e6:.1f}" if total else "an unknown number of")
