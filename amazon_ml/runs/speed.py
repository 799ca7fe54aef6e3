"""How fast the networks of runs predict, measured in turns on the same tiles."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.blend import single_runs
from amazon_ml.runs.bundle import Networks, run_networks
from amazon_ml.runs.folder import Run
from amazon_ml.runs.inference import choose_device, load_taggers, placed, predict_batches

#: Times that each run is measured, and seconds of each measurement, at least.
_TURNS, _SECONDS = 3, 0.5
#: Largest batch that is timed: a larger one takes long on a CPU, and is hardly faster.
_BATCH = 64


@dataclass(frozen=True)
class _Ready:
    """A network on its device, with a batch of tiles."""

    tagger: TileTagger
    batch: dict[str, torch.Tensor]
    device: torch.device
    cast: torch.dtype | None

    def seconds(self, at_least: float) -> float:
        """Seconds that a tile takes."""
        began, tiles = time.perf_counter(), 0
        while not tiles or time.perf_counter() - began < at_least:
            predict_batches(self.tagger, [self.batch], self.device, self.cast)
            tiles += len(self.batch["image"])
        return (time.perf_counter() - began) / tiles


def measure_speeds(runs: Sequence[Run]) -> list[float]:
    """Measure how many images/s the networks of each run predict, with their views, without reading files.

    The runs take turns, so that other work on the machine slows all of them alike; the median of the turns counts. The
    tiles are noise, since speed does not depend on the pixels. All networks of a run predict every tile.

    Raises
    ------
    InputError
        If a run has no networks.
    """
    ready = [[one for member in single_runs(run) for one in _ready(run_networks(member))] for run in runs]
    for networks in ready:
        for one in networks:
            one.seconds(0)  # the first batch includes initialisation
    turns = [[sum(one.seconds(_SECONDS / len(networks)) for one in networks) for networks in ready]
             for _ in range(_TURNS)]  # fmt: skip
    return [1 / statistics.median(seconds) for seconds in zip(*turns, strict=True)]


def _ready(networks: Networks) -> list[_Ready]:
    device, edge = choose_device(networks), networks.size
    shape = (min(networks.batch_size, _BATCH), edge, edge, len(networks.read.bands))
    noise = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    taggers = (placed(tagger, networks, device) for tagger in load_taggers(networks))
    return [_Ready(tagger, {"image": torch.from_numpy(noise)}, device, cast) for tagger, cast in taggers]
