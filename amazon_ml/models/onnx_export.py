"""Networks as one ONNX file, with everything from uint8 tiles to probabilities inside."""

import importlib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from amazon_ml.errors import InputError, WorkError
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.tta import MEANS, VIEWS
from amazon_ml.runtime.files import atomic_write

#: What PyTorch's exporter writes without converting; onnxruntime reads it since 1.14.
OPSET = 18
#: How far probabilities may be from PyTorch's.
TOLERANCE = 1e-4
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
# What they say at this level is about single nodes of the graph.
for _chatty in ("onnxscript", "onnx_ir"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class Averaged(nn.Module):
    """Probabilities averaged over networks, and over views of a tile.

    Views lie beside each other in one batch, so that the graph holds each network once.

    Parameters
    ----------
    taggers
        Networks that differ in their weights only.
    """

    def __init__(self, taggers: Sequence[TileTagger]) -> None:
        super().__init__()
        self.taggers = nn.ModuleList(taggers)
        self.views, self.mean = (taggers[0].hparams[key] for key in ("tta", "tta_mean"))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Give float32 probabilities of shape (tiles, tags) for uint8 tiles of shape (tiles, height, width, bands)."""
        views = list(VIEWS[self.views](tiles))
        together = torch.cat(views)
        each = []
        for tagger in self.taggers:
            logits = tagger(together)
            of_views = logits.reshape(len(views), -1, logits.shape[1]).unbind()
            each.append(MEANS[self.mean](of_views, tagger.loss.probabilities))  # type: ignore[union-attr,arg-type]
        return torch.stack(each).mean(dim=0)


def need_onnx() -> None:
    """Refuse where the packages that write and run ONNX are not installed."""
    for package in _NEEDED:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise InputError(f"ONNX needs the package {package} ({error}): pip install 'amazon-ml[onnx]'") from None


def write_onnx(path: Path, network: Averaged, shape: tuple[int, int, int], facts: Mapping[str, Any]) -> float:
    """Write an ONNX file, and hold it against PyTorch.

    Parameters
    ----------
    path
        File to write.
    network
        What to write.
    shape
        Height, width and bands of a tile; how many tiles there are is free.
    facts
        What the file says of itself, each as JSON.

    Returns
    -------
    The largest difference between probabilities of onnxruntime and of PyTorch on random tiles.

    Raises
    ------
    InputError
        Without the packages, or for a backbone that PyTorch cannot export.
    WorkError
        Where probabilities differ by more than `TOLERANCE`; nothing is written then.
    """
    need_onnx()
    network = network.eval()
    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8))
    with atomic_write(path) as temporary:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # on PyTorch's own use of what it will give up
            try:
                program = torch.onnx.export(
                    network, (tiles[:2],), dynamo=True, opset_version=OPSET, verbose=False,
                    input_names=["tiles"], output_names=["probabilities"],
                    dynamic_shapes=({0: torch.export.Dim("tiles", min=1)},),
                )  # fmt: skip
            except torch.onnx.OnnxExporterError as error:
                reason = str(error.__cause__ or error).strip().splitlines()[0]
                raise InputError(f"PyTorch cannot export this backbone to ONNX: {reason}") from error
        assert program is not None
        program.model.metadata_props.update({name: json.dumps(fact) for name, fact in facts.items()})
        program.save(temporary)
        worst = _difference(temporary, network, tiles)
        if not worst <= TOLERANCE:
            raise WorkError(f"{path} is not written: its probabilities differ from PyTorch's by {worst:.1e}")
    return worst


def _difference(path: Path, network: Averaged, tiles: torch.Tensor) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(tiles).numpy()
    return float(np.abs(session.run(None, {"tiles": tiles.numpy()})[0] - expected).max())
