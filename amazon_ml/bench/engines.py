"""Contests of prediction on one core: the engines, and a plain PyTorch loop, over the same files."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from amazon_ml.bench.measure import Contest, Ratio
from amazon_ml.data.catalog.layout import tiles_below
from amazon_ml.data.config import TABLE
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.decisions.threshold_rules import FixedThreshold
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.engines import EngineName, PrecisionName, has_fast_bf16
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.tta import VIEWS
from amazon_ml.models.weights import save_weights
from amazon_ml.predictor import Predictor
from amazon_ml.runs.bundle import Bundle, Networks, open_bundle
from amazon_ml.runs.decision import Decision
from amazon_ml.runs.inference import all_members, load_taggers
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.settings import build, to_plain

#: The network that is timed by default, and the tiles that it gets at once.
BACKBONE, BATCH = "tf_efficientnet_lite0", 64
_LOOP = "plain loop"


class PlainDataset(Dataset[torch.Tensor]):
    """A usual Dataset for prediction: it decodes and scales each tile, and normalises it to float."""

    def __init__(self, paths: Sequence[str], size: int, mean: torch.Tensor, std: torch.Tensor) -> None:
        self.paths, self.size = paths, size
        self.mean, self.std = (each.view(-1, 1, 1) for each in (mean, std))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = cv2.cvtColor(cv2.imread(self.paths[index]), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
        if image.shape[0] != self.size:
            image = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        return (torch.from_numpy(image.transpose(2, 0, 1).copy()).float() - self.mean) / self.std


def engines(tiles: Path, size: int, views: Literal["none", "d4"], scratch: Path, run: Path | None = None) -> Contest:
    """Predict all files of a folder with each engine that this machine has, and with a plain loop in float32.

    The first call, which is not timed, loads and exports networks; ``auto`` chooses its engine then.

    Parameters
    ----------
    tiles
        Folder of RGB images.
    size
        Edge of the tiles that the network gets, pixels.
    views
        Views of a tile, a key of `VIEWS`.
    scratch
        Folder for weights.
    run
        Run or bundle of one network of RGB tiles, at its own size; its batches and views are those given here. By
        default `BACKBONE` with random weights.
    """
    bundle = _bundle(size, views, scratch) if run is None else _of_run(run, views)
    networks = all_members(bundle.networks)[0]
    paths = tiles_below(tiles, networks.read)["path"].tolist()
    tagger = next(iter(load_taggers(networks)))
    tagger.backbone.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as PyTorch makes it
    dataset = PlainDataset(paths, networks.size, tagger.mean, tagger.std)
    runs: dict[str, Callable[[], object]] = {_LOOP: lambda: _loop(dataset, tagger)}
    chosen: list[tuple[str, EngineName, PrecisionName | None]] = [
        ("torch", "torch", "float32"), ("folded", "folded", "float32"),
    ]  # fmt: skip
    if has_fast_bf16():
        chosen += [("bf16", "folded", "bf16")]
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")):
        chosen += [("onnx", "onnx", "float32")]
    for name, engine, precision in [*chosen, ("auto", "auto", None)]:
        runs[name] = _predicting(bundle, engine, precision, paths)
    goals = {"folded": 1.4, "bf16": 1.9}
    what = f"{networks.model.backbone}, {networks.size} px, {'eight views' if views == 'd4' else 'one view'}"
    return Contest(
        runs,
        [Ratio(f"{what}: {name} / {_LOOP}", name, _LOOP, goals.get(name)) for name in runs if name != _LOOP],
        tiles=len(paths),
        one_core=True,
    )


def _bundle(size: int, views: Literal["none", "d4"], scratch: Path) -> Bundle:
    """Make a bundle of a network with random weights."""
    model = build(ModelConfig, {"backbone": BACKBONE, "pretrained": False, "tta": views})
    torch.manual_seed(0)
    tagger = TileTagger(list(PLANET.names), size=size, **to_plain(model))
    save_weights(scratch / "network.safetensors", tagger)
    networks = Networks(
        scratch, (scratch / "network.safetensors",), PLANET.names, model, size, TileReader(), BATCH, TrainerConfig()
    )
    some = np.eye(len(PLANET.names), dtype=np.float32)
    rule = FixedThreshold().fit(some, some.astype(np.uint8))
    return Bundle(networks, Decision("fixed", rule, PLANET.names, 2.0), TABLE)


def _of_run(run: Path, views: Literal["none", "d4"]) -> Bundle:
    bundle = open_bundle(run)
    own = bundle.networks
    if not isinstance(own, Networks) or len(own.weights) > 1 or "".join(own.read.bands) != "rgb":
        raise InputError("`run` must have one network, of RGB tiles", file=run, option="run")
    networks = replace(own, batch_size=BATCH, model=replace(own.model, tta=views))
    return replace(bundle, networks=networks)


def _predicting(
    bundle: Bundle, engine: EngineName, precision: PrecisionName | None, paths: Sequence[str]
) -> Callable[[], object]:
    @cache
    def predictor() -> Predictor:
        """Load the networks at the first call, which knows the number of threads."""
        return Predictor(bundle, device="cpu", engine=engine, precision=precision)

    return lambda: predictor().predict_proba(paths)


def _loop(dataset: PlainDataset, tagger: TileTagger) -> torch.Tensor:
    """Predict as a usual script does: batches of float32, channels first, and each view as it comes."""
    parts = []
    backbone = tagger.backbone
    with torch.inference_mode():
        for batch in DataLoader(dataset, batch_size=BATCH):
            turned = VIEWS[tagger.hparams["tta"]](batch.permute(0, 2, 3, 1))
            each = [torch.sigmoid(backbone(view.permute(0, 3, 1, 2).contiguous())) for view in turned]
            parts.append(torch.stack(each).mean(dim=0))
    return torch.cat(parts)
