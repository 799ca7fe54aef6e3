"""Contests of tagging a scene against the bare network on the same windows, and the speed of decoding it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from amazon_ml.bench.measure import Contest, Gauge, Ratio
from amazon_ml.data.config import TableConfig
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.stretch import stretch_of
from amazon_ml.decisions.threshold_rules import FixedThreshold
from amazon_ml.labels import PLANET
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.tagger import TileTagger, make_tagger
from amazon_ml.models.weights import save_weights
from amazon_ml.predictor import Predictor
from amazon_ml.runs.bundle import Bundle, Networks
from amazon_ml.runs.decision import Decision
from amazon_ml.runs.inference import load_taggers
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.scenes.config import SceneConfig
from amazon_ml.scenes.demo import write_scenes
from amazon_ml.scenes.grid import Windows
from amazon_ml.scenes.predict import predict_scene
from amazon_ml.scenes.prepare import Prepared, prepare
from amazon_ml.scenes.tagging import Tagger, read_strips_of, strips_of

#: Edge of a window, and windows that the network takes at once.
_SIZE, _BATCH = 128, 64
#: Windows from west to east.
_COLUMNS = 10


@dataclass
class _Decoding:
    """Reads a scene in strips, as tagging does, and notes how fast."""

    prepared: Prepared
    speeds: list[float] = field(default_factory=list)

    def __call__(self) -> None:
        """Read the scene once."""
        job = self.prepared.job
        began = time.perf_counter()
        for _ in read_strips_of(job, strips_of(job)):
            pass
        grid = job.mosaic.grid
        megabytes = grid.width * grid.height * len(job.needed.letters) / 1e6  # values of 8 bits
        self.speeds.append(megabytes / (time.perf_counter() - began))

    def speed(self) -> float:
        """Median of the decoded megabytes a second."""
        return statistics.median(self.speeds)


def scenes(windows: int, backbone: str, scratch: Path) -> Contest:
    """Tag a painted scene with an untrained network, with windows of 128 px beside each other, and at half of that.

    The baseline gives the same windows to the network in batches of 64 that lie ready in memory. Decoding is also
    measured alone; in tagging it is done by a thread ahead of the network.
    """
    size, rows = _SIZE, max(2, -(-windows // _COLUMNS))
    scene = write_scenes(scratch / "scenes", rows=rows, columns=_COLUMNS, size=size).before
    networks = _untrained(scratch, backbone)
    decision = Decision("fixed", FixedThreshold().fit(*_answers()), PLANET.names, 2.0)
    predictor = Predictor(Bundle(networks, decision, TableConfig()), device="cpu")
    (tagger,) = load_taggers(networks)
    runs: dict[str, Callable[[], object]] = {}
    ratios, gauges = [], []
    for stride in (size, size // 2):
        how, at = SceneConfig(stride=stride), f"stride {stride}"
        prepared = prepare(Tagger(predictor.bundle, predictor), scene, how)
        tiles = _windows(prepared)
        decode = _Decoding(prepared)
        runs |= {
            f"network, {at}": _bare(tagger, tiles),
            f"scene, {at}": _tagged(predictor, scene, how),
            f"decoding, {at}": decode,
        }
        what = f"scene in windows of {size} px, {at} / bare network"
        ratios.append(Ratio(what, f"scene, {at}", f"network, {at}", 0.9, tiles=len(tiles)))
        gauges.append(Gauge(f"decoding for {at}, MB/s", decode.speed))
    return Contest(runs, ratios, tiles=windows, one_core=True, gauges=gauges)


def _untrained(scratch: Path, backbone: str) -> Networks:
    model, file = ModelConfig(backbone=backbone, pretrained=False), scratch / "network.safetensors"
    save_weights(file, make_tagger(model, PLANET.names, _SIZE, stretch_of(TileReader())))
    trainer = TrainerConfig(accelerator="cpu")
    return Networks(scratch, (file,), PLANET.names, model, _SIZE, TileReader(), _BATCH, trainer)


def _answers() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Give probabilities and tags that a rule without parameters is fitted on."""
    return np.full((2, len(PLANET)), 0.5), np.ones((2, len(PLANET)), dtype=np.uint8)


def _windows(prepared: Prepared) -> npt.NDArray[np.uint8]:
    """Cut all windows of a scene, as its networks get them."""
    job = prepared.job
    (strip,) = read_strips_of(job, [(0, slice(0, job.windows.shape[0]))])
    placed: Windows = job.windows
    return np.stack([
        strip.channels[top : top + placed.size, left : left + placed.size]
        for top in placed.down.starts.tolist() for left in placed.across.starts.tolist()
    ])  # fmt: skip


def _bare(tagger: TileTagger, tiles: npt.NDArray[np.uint8]) -> Callable[[], None]:
    batches = [torch.from_numpy(tiles[at : at + _BATCH]) for at in range(0, len(tiles), _BATCH)]

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                tagger.probabilities(batch)

    return run


def _tagged(predictor: Predictor, scene: Path, how: SceneConfig) -> Callable[[], object]:
    return lambda: predict_scene(predictor, scene, how)
