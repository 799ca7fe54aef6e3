"""Exports networks to one ONNX file that converts uint8 tiles to probabilities."""

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
from amazon_ml.models.tta import MEANS, VIEWS, Link
from amazon_ml.runtime.files import atomic_write

#: Operator set that PyTorch's exporter writes without conversion; onnxruntime reads it since 1.14.
OPSET = 18
#: Largest difference of probabilities from those of PyTorch.
TOLERANCE = 1e-4
#: Most bytes of weights in one file: it is a message of Protocol Buffers, which has less than 2 GiB with the graph.
MOST_WEIGHTS = 2**31 - 2**26
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
# Their messages at this level are about single nodes of the graph.
for _chatty in ("onnxscript", "onnx_ir"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class Averaged(nn.Module):
    """Probabilities averaged over networks, and over views of a tile.

    All views are in one batch, so that the graph holds each network once.

    Parameters
    ----------
    taggers
        Networks that differ only in their weights.
    """

    def __init__(self, taggers: Sequence[TileTagger]) -> None:
        super().__init__()
        self.taggers = nn.ModuleList(taggers)
        self.views, self.mean = (taggers[0].hparams[key] for key in ("tta", "tta_mean"))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Compute float32 probabilities (tiles, tags) of uint8 tiles (tiles, height, width, bands)."""
        views = list(VIEWS[self.views](tiles))
        together = torch.cat(views)
        each = []
        for tagger in self.taggers:
            logits = tagger(together)
            of_views = logits.reshape(len(views), -1, logits.shape[1]).unbind()
            each.append(MEANS[self.mean](of_views, tagger.loss.probabilities))  # type: ignore[union-attr,arg-type]
        return torch.stack(each).mean(dim=0)


class Logits(nn.Module):
    """The logits of one network, without views.

    Parameters
    ----------
    tagger
        The network.
    """

    def __init__(self, tagger: TileTagger) -> None:
        super().__init__()
        self.tagger = tagger

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Compute float32 logits (tiles, tags) of uint8 tiles (tiles, height, width, bands)."""
        logits: torch.Tensor = self.tagger(tiles)
        return logits


def need_onnx() -> None:
    """Check that the packages that write and run ONNX are installed."""
    for package in _NEEDED:
        try:
            importlib.import_module(package)
        except ImportError as error:
            problem = f"ONNX needs the package {package} ({error})"
            raise InputError(problem, remedy="pip install 'amazon-ml[onnx]'") from None


def check_size(network: nn.Module) -> None:
    """Check that the weights of a network fit into one ONNX file; larger ones would need a second file beside it.

    Raises
    ------
    InputError
        If not.
    """
    _check_bytes(sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers())))


def _check_bytes(size: int) -> None:
    if size > MOST_WEIGHTS:
        problem = f"the weights have {size / 1e9:.2f} GB, and one ONNX file holds at most {MOST_WEIGHTS / 1e9:.2f} GB"
        remedy = "predict with the run or its bundle, or teach one network with `data.teacher` and export that"
        raise InputError(problem, option="onnx", remedy=remedy)


def write_onnx(
    path: Path, network: nn.Module, shape: tuple[int, int, int], metadata: Mapping[str, Any], dtype: str = "uint8", *,
    output: str = "probabilities", link: Link | None = None, beside: bool = False,
) -> float:  # fmt: skip
    """Write an ONNX file, and compare it with PyTorch.

    Parameters
    ----------
    path
        File to write.
    network
        Converts uint8 tiles to one number for each tag, such as `Averaged`.
    shape
        Height, width and bands of a tile; the number of tiles is free.
    metadata
        Metadata of the file, each value as JSON.
    dtype
        Type of the tiles, uint8 or uint16.
    output
        Name of the output of the graph.
    link
        Converts outputs to probabilities; by default they are probabilities.
    beside
        Let the weights of a large network lie in another file of the folder, for a folder that is removed after use.

    Returns
    -------
    The largest difference between probabilities of onnxruntime and of PyTorch on random tiles.

    Raises
    ------
    InputError
        If the packages are missing, PyTorch cannot export the backbone, or its weights are too large for one file.
    WorkError
        If probabilities differ by more than `TOLERANCE`; no file is written then.
    """
    need_onnx()
    if not beside:
        check_size(network)
    network = network.eval()
    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, *shape), dtype, True))
    with atomic_write(path) as temporary:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # on deprecated features that PyTorch itself uses
            try:
                program = torch.onnx.export(
                    network, (tiles[:2],), dynamo=True, opset_version=OPSET, verbose=False,
                    input_names=["tiles"], output_names=[output],
                    dynamic_shapes=({0: torch.export.Dim("tiles", min=1)},),
                )  # fmt: skip
            except torch.onnx.OnnxExporterError as error:
                reason = str(error.__cause__ or error).strip().splitlines()[0]
                raise InputError(f"PyTorch cannot export this backbone to ONNX: {reason}") from error
        assert program is not None
        program.model.metadata_props.update({name: json.dumps(value) for name, value in metadata.items()})
        if beside:
            program.save(temporary)
        else:  # `save` would put weights of more than 1.5 GiB into a file that is named after the temporary one
            _save_alone(temporary, program)
        worst = _difference(temporary, network, tiles, link)
        if not worst <= TOLERANCE:
            raise WorkError(f"{path} was not written: its probabilities differ from those of PyTorch by {worst:.1e}")
    return worst


def _save_alone(path: Path, program: torch.onnx.ONNXProgram) -> None:
    import onnx

    values = (value.const_value for value in program.model.graph.initializers.values())
    _check_bytes(sum(value.nbytes for value in values if value is not None))  # PyTorch may add constants
    onnx.save_model(program.model_proto, str(path), "protobuf")


def _difference(path: Path, network: nn.Module, tiles: torch.Tensor, link: Link | None) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(tiles)
        written = torch.from_numpy(session.run(None, {"tiles": tiles.numpy()})[0])
        if link is not None:
            expected, written = link(expected), link(written)
    return float((written - expected).abs().max())
