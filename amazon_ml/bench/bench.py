"""Contests on generated tiles: which are run, and the figures of all of them."""

import importlib.metadata
import logging
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from amazon_ml.bench.loading import loading
from amazon_ml.bench.measure import Contest, figures, taken
from amazon_ml.bench.training import Setting, thresholds, training
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "numpy", "numba", "opencv-python-headless", "simplejpeg", "albumentations", "scikit-learn")
#: The job of the goal for one H100: at least 3,000 tiles/s, at most 5 % of the time waiting for data.
_ON_GPU = Setting("resnet50", 256, 256, 120, "cuda", "bf16-mixed", compile=True, speed=3000, wait=0.05)


def bench(
    *,
    rounds: int = 5,
    size: int = 256,
    tiles: int = 640,
    data: Path | None = None,
    backbone: str = "regnetx_002",
    only: Literal["thresholds", "loading", "training", "gpu"] | None = None,
    json: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Measure threshold search, loading and training against plain baselines, on generated tiles.

    Parameters
    ----------
    rounds
        How often each contestant is run; medians are shown.
    size
        Edge of the tiles that are loaded, pixels.
    tiles
        How many generated tiles are loaded, 64 at least.
    data
        Folder of tiles to load instead, of `size`, with 64 labelled ones at least.
    backbone
        timm name of the network that is trained on the CPU, on tiles of 64 px.
    only
        One of the measurements; all by default. ``gpu`` trains a ResNet-50 on tiles of 256 px in bfloat16,
        where there is a GPU.
    json
        File for the figures.
    overwrite
        Replace a file that is there.

    Returns
    -------
    What was measured, as it is written to `json`.
    """
    if rounds < 1 or tiles < 64:
        raise InputError("`rounds` must be at least 1, and `tiles` at least 64")
    check_outputs({"json": json}, tables_around(data) if data else (), overwrite=overwrite)
    contests: dict[str, Callable[[Path], Contest]] = {
        "thresholds": lambda _: thresholds(),
        "loading": lambda scratch: loading(data or _drawn(scratch, tiles, size), size, scratch),
        "training": lambda scratch: _training(scratch, Setting(backbone, 64, 64, 30, "cpu", "32-true")),
        "gpu": lambda scratch: _training(scratch, _ON_GPU),
    }
    if not torch.cuda.is_available():
        if only == "gpu":
            raise InputError("`only` gpu: PyTorch finds no GPU with CUDA here")
        del contests["gpu"]
    found: list[dict[str, Any]] = []
    readings: list[dict[str, Any]] = []
    for name in [only] if only else contests:
        with tempfile.TemporaryDirectory() as scratch:
            contest = contests[name](Path(scratch))
            log.info("measuring %s: %s", name, ", ".join(contest.runs))
            found += figures(contest, rounds)
            readings += taken(contest)
    content = {"machine": _machine(), "rounds": rounds, "size": size, "figures": found, "readings": readings}
    if json is not None:
        write_json(json, content)
    return content


def _training(scratch: Path, setting: Setting) -> Contest:
    return training(_drawn(scratch, 640, setting.size), scratch, setting)


def _drawn(scratch: Path, tiles: int, size: int) -> Path:
    folder = scratch / "tiles"
    write_demo(folder, tiles=tiles, test_tiles=0, size=size)
    return folder


def _machine() -> dict[str, Any]:
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
    """Name of the processor, as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
