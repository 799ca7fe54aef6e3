"""Contestants that are timed in turn, and the ratios between them."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import torch

Runs = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one contestant is as another.

    Parameters
    ----------
    what
        What is compared.
    ours, baseline
        Names of the contestants.
    goal
        The least that the ratio must reach, where something was promised.
    """

    what: str
    ours: str
    baseline: str
    goal: float | None = None


@dataclass(frozen=True)
class Reading:
    """A figure that a contestant leaves behind.

    Parameters
    ----------
    what
        What it is, with its unit.
    read
        Gives it, once the contestants have run.
    at_least, at_most
        What was promised, where something was.
    """

    what: str
    read: Callable[[], float]
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Contest:
    """Contestants that do the same work, and what is to be compared.

    Parameters
    ----------
    runs
        Name to function; one call does the work once.
    ratios
        What is compared.
    tiles
        Tiles that go through one call.
    one_core
        Whether PyTorch and OpenCV are held to one thread.
    readings
        What is told besides.
    """

    runs: Runs
    ratios: Sequence[Ratio]
    tiles: int
    one_core: bool = False
    readings: Sequence[Reading] = ()


def figures(contest: Contest, rounds: int) -> list[dict[str, Any]]:
    """Time the contestants in turn, `rounds` times; one record a ratio, of medians.

    Taking turns, a machine that is slow for a moment is slow for all. Of a run, `times_as_fast` is
    the median over rounds of the ratio within the round.
    """
    with _cores(contest.one_core):
        seconds = _seconds(contest.runs, rounds)
    return [
        {
            "what": ratio.what,
            "tiles": contest.tiles,
            "ours": ratio.ours,
            "ours_seconds": statistics.median(seconds[ratio.ours]),
            "baseline": ratio.baseline,
            "baseline_seconds": statistics.median(seconds[ratio.baseline]),
            "times_as_fast": statistics.median(
                theirs / ours for ours, theirs in zip(seconds[ratio.ours], seconds[ratio.baseline], strict=True)
            ),
            "must_reach": ratio.goal,
        }
        for ratio in contest.ratios
    ]


def taken(contest: Contest) -> list[dict[str, Any]]:
    """Take the readings of a contest that has run; one record each."""
    return [
        {"what": reading.what, "value": reading.read(), "at_least": reading.at_least, "at_most": reading.at_most}
        for reading in contest.readings
    ]


def _seconds(runs: Runs, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # a first call pays for caches and code that is compiled once
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


@contextmanager
def _cores(one: bool) -> Iterator[None]:
    threads = torch.get_num_threads(), cv2.getNumThreads()
    if one:
        torch.set_num_threads(1)
        cv2.setNumThreads(0)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
