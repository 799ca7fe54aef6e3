"""Work on many files in threads, and say how far it is."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

#: Items that are handed to the threads together, so that little waits in memory and Ctrl-C is heard.
_BLOCK = 2048
_SECONDS_BETWEEN_LINES = 10.0


def mapped(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, what: str) -> Iterator[Result]:
    """Give the results of a function for each item, in order, computed by threads.

    Threads serve where the time goes into libraries that let others run meanwhile: decoding, hashing,
    numpy on large arrays.

    Parameters
    ----------
    function
        What is done with an item.
    items
        What it is done with.
    workers
        Number of threads.
    what
        What the items are, for the progress bar on a terminal and for the lines elsewhere.
    """
    with ThreadPoolExecutor(workers) as pool:
        blocks = (items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK))
        results = (result for block in blocks for result in pool.map(function, block))
        yield from _told(results, len(items), what)


def _told(results: Iterable[Result], total: int, what: str) -> Iterator[Result]:
    if sys.stderr.isatty():
        yield from track(results, what, total=total, console=Console(stderr=True), transient=True)
        return
    told = time.monotonic()
    for done, result in enumerate(results, start=1):
        if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            log.info("%s: %s of %s", what, f"{done:,}", f"{total:,}")
        yield result
