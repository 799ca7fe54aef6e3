"""The benchmark: its contests, on generated tiles, and their results."""

import importlib.metadata
import logging
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypedDict

import torch

from amazon_ml.bench.bands import bands
from amazon_ml.bench.engines import engines
from amazon_ml.bench.loading import loading
from amazon_ml.bench.measure import Contest, Figure, Reading, figures, readings
from amazon_ml.bench.scenes import scenes
from amazon_ml.bench.training import Setting, thresholds, training
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.errors import InputError, check_least
from amazon_ml.runs.bundle import open_bundle
from amazon_ml.runs.predict import inputs_of
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "numpy", "numba", "opencv-python-headless", "simplejpeg", "albumentations", "scikit-learn")
#: Training with a goal for one H100: at least 3,000 tiles/s, at most 5 % of the time waiting for data.
_ON_GPU = Setting("resnet50", 256, 256, 120, "cuda", "bf16-mixed", compile=True, speed=3000, wait=0.05)


class Benchmark(TypedDict):
    """The results of a benchmark.

    ``machine``: ``gpu``, ``processor``, ``cores``, ``threads``, ``system``, ``python``, and versions of libraries by
    their names; ``rounds``; ``size`` of the tiles that are loaded, in pixels; ``figures``; ``readings``.
    """

    machine: dict[str, str | int | None]
    rounds: int
    size: int
    figures: list[Figure]
    readings: list[Reading]


def bench(
    *,
    rounds: int = 5,
    size: int = 256,
    tiles: int = 640,
    data: Path | None = None,
    backbone: str = "regnetx_002",
    run: Path | None = None,
    only: Literal["thresholds", "loading", "bands", "engines", "views", "scenes", "training", "gpu"] | None = None,
    json: Path | None = None,
    overwrite: bool = False,
) -> Benchmark:
    """Measure threshold search, loading, prediction, scenes and training against plain baselines, on generated tiles.

    Parameters
    ----------
    rounds
        How often each contestant runs; medians are shown.
    size
        Edge of the tiles that are loaded, pixels.
    tiles
        Number of generated tiles that are loaded, at least 64.
    data
        Folder of tiles of `size` to load instead, with at least 64 labelled ones; prediction takes all its tiles.
    backbone
        timm name of the network that is trained on the CPU, on tiles of 64 px, and tags scenes.
    run
        Run or bundle of one network of RGB tiles that ``engines`` and ``views`` predict with, at its own size; by
        default an EfficientNet-Lite0 with random weights.
    only
        One of the measurements; all by default. ``bands`` loads made tiles of twelve bands of 120 px. ``engines``
        predicts with each engine. ``views`` does so with tiles of 32 px, enlarged to 64, in eight views. ``scenes``
        tags a painted scene of as many windows of 128 px as `tiles`. ``gpu`` trains a ResNet-50 on tiles of
        256 px in bfloat16, where there is a GPU.
    json
        File for the figures.
    overwrite
        Replace an existing file.

    Returns
    -------
    The results, as they are written to `json`.
    """
    check_least("rounds", rounds, 1)
    check_least("tiles", tiles, 64)
    inputs = [*(tables_around(data) if data else ()), *(inputs_of(run, open_bundle(run)) if run else ())]
    check_outputs({"json": json}, inputs, overwrite=overwrite)
    contests: dict[str, Callable[[Path], Contest]] = {
        "thresholds": lambda _: thresholds(),
        "loading": lambda scratch: loading(data or _demo_tiles(scratch, tiles, size), size, scratch),
        "bands": lambda scratch: bands(tiles, scratch),
        "engines": lambda scratch: engines(data or _demo_tiles(scratch, tiles, size), size, "none", scratch, run),
        "views": lambda scratch: engines(data or _demo_tiles(scratch, tiles, 32), 64, "d4", scratch, run),
        "scenes": lambda scratch: scenes(tiles, backbone, scratch),
        "training": lambda scratch: _training(scratch, Setting(backbone, 64, 64, 30, "cpu", "32-true")),
        "gpu": lambda scratch: _training(scratch, _ON_GPU),
    }
    if not torch.cuda.is_available():
        if only == "gpu":
            raise InputError("`only` gpu: PyTorch finds no GPU with CUDA here", option="only")
        del contests["gpu"]
    measured: list[Figure] = []
    read: list[Reading] = []
    for name in [only] if only else contests:
        with tempfile.TemporaryDirectory() as scratch:
            contest = contests[name](Path(scratch))
            log.info("measuring %s: %s", name, ", ".join(contest.runs))
            measured += figures(contest, rounds)
            read += readings(contest)
    content: Benchmark = {
        "machine": _machine(),
        "rounds": rounds,
        "size": size,
        "figures": measured,
        "readings": read,
    }
    if json is not None:
        write_json(json, content)
    return content


def _training(scratch: Path, setting: Setting) -> Contest:
    return training(_demo_tiles(scratch, 640, setting.size), scratch, setting)


def _demo_tiles(scratch: Path, tiles: int, size: int) -> Path:
    folder = scratch / "tiles"
    write_demo(folder, tiles=tiles, test_tiles=0, size=size)
    return folder


def _machine() -> dict[str, str | int | None]:
    return {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    """Read the name of the processor from Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
