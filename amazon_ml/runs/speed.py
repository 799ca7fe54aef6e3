"""How fast the networks of runs predict, measured in turns on the same tiles."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from amazon_ml.models.config import Tta
from amazon_ml.models.engines import Forward
from amazon_ml.runs.blend import single_runs
from amazon_ml.runs.bundle import Networks, run_networks
from amazon_ml.runs.folder import Run
from amazon_ml.runs.inference import Engine, predict_batches
from amazon_ml.runs.views import with_views

#: Times that each run is measured, and seconds of each measurement, at least.
_TURNS, _SECONDS = 3, 0.5
#: Largest batch that is timed: a larger one takes long on a CPU, and is hardly faster.
_BATCH = 64


@dataclass(frozen=True)
class _Ready:
    """A network that is ready to predict, with a batch of tiles."""

    forward: Forward
    images: torch.Tensor

    def seconds(self, at_least: float) -> float:
        """Seconds that a tile takes."""
        began, tiles = time.perf_counter(), 0
        while not tiles or time.perf_counter() - began < at_least:
            predict_batches(self.forward, [self.images])
            tiles += len(self.images)
        return (time.perf_counter() - began) / tiles


def measure_speeds(runs: Sequence[Run], tta: Tta | None = None) -> list[float]:
    """Measure how many images/s the networks of each run predict, with their views, without reading files.

    The runs take turns, so that other work on the machine slows all of them alike; the median of the turns counts. The
    tiles are noise, since speed does not depend on the pixels. All networks of a run predict every tile.

    Parameters
    ----------
    runs
        Runs and blends.
    tta
        Views in place of those of the runs.

    Raises
    ------
    InputError
        If a run has no networks.
    """
    ready = [
        [one for member in single_runs(run) for one in _ready(with_views(run_networks(member), tta))] for run in runs
    ]
    for networks in ready:
        for one in networks:
            one.seconds(0)  # the first batch includes initialisation
    turns = [[sum(one.seconds(_SECONDS / len(networks)) for one in networks) for networks in ready]
             for _ in range(_TURNS)]  # fmt: skip
    return [1 / statistics.median(seconds) for seconds in zip(*turns, strict=True)]


def _ready(networks: Networks) -> list[_Ready]:
    shape = (min(networks.batch_size, _BATCH), networks.size, networks.size, len(networks.read.bands))
    noise = np.random.default_rng(0).integers(256, size=shape, dtype=networks.read.dtype)
    return [_Ready(forward, torch.from_numpy(noise)) for forward in Engine().prepare(networks)]
