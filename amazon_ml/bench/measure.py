"""Time contestants in turn, and compute the ratios between them."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

import cv2
import torch

Runs = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one contestant is as another.

    Parameters
    ----------
    what
        Description of the comparison.
    ours, baseline
        Names of the contestants.
    goal
        The smallest ratio that is a success; None where there is no goal.
    tiles
        Number of tiles in one call of both; None where it is that of the contest.
    """

    what: str
    ours: str
    baseline: str
    goal: float | None = None
    tiles: int | None = None


@dataclass(frozen=True)
class Gauge:
    """A value that can be read after the contestants have run.

    Parameters
    ----------
    what
        Description of the value, with its unit.
    read
        Gives the value.
    at_least, at_most
        Goals; None where there is none.
    """

    what: str
    read: Callable[[], float]
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Contest:
    """Contestants that do the same work, and the comparisons between them.

    Parameters
    ----------
    runs
        Name to function; one call does the work once.
    ratios
        Comparisons of two contestants.
    tiles
        Number of tiles in one call.
    one_core
        Whether PyTorch and OpenCV may use one thread only.
    gauges
        Further values to read.
    """

    runs: Runs
    ratios: Sequence[Ratio]
    tiles: int
    one_core: bool = False
    gauges: Sequence[Gauge] = ()


class Figure(TypedDict):
    """The result of a comparison.

    ``what`` is compared; ``tiles`` in one call; names of the contestants, ``ours`` and ``baseline``; medians over
    rounds of ``ours_seconds`` and ``baseline_seconds``; ``times_as_fast``, the median over rounds of the ratio within
    a round; ``must_reach``, its goal.
    """

    what: str
    tiles: int
    ours: str
    ours_seconds: float
    baseline: str
    baseline_seconds: float
    times_as_fast: float
    must_reach: float | None


class Reading(TypedDict):
    """A reading of a gauge: ``what`` it is, with its unit, its ``value``, its goals ``at_least``, ``at_most``."""

    what: str
    value: float
    at_least: float | None
    at_most: float | None


def figures(contest: Contest, rounds: int) -> list[Figure]:
    """Time the contestants in turn, `rounds` times; give a figure for each ratio.

    Contestants take turns, so that a machine that is slow for a moment is slow for all of them.
    """
    with _cores(contest.one_core):
        seconds = _seconds(contest.runs, rounds)
    return [
        {
            "what": ratio.what,
            "tiles": ratio.tiles or contest.tiles,
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


def readings(contest: Contest) -> list[Reading]:
    """Read the gauges of a contest that has run."""
    return [
        {"what": gauge.what, "value": gauge.read(), "at_least": gauge.at_least, "at_most": gauge.at_most}
        for gauge in contest.gauges
    ]


def _seconds(runs: Runs, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # the first call fills caches and compiles code
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
