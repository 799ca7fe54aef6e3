"""Ways to compute the probabilities of a batch: PyTorch, PyTorch with folded batch norm, onnxruntime.

An engine makes a function of tiles from a network. A new one is a row of `ENGINES`.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from amazon_ml.errors import InputError
from amazon_ml.models.folding import fold_batch_norm
from amazon_ml.models.onnx_export import Logits, need_onnx, write_onnx
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.tta import MEANS, turned

#: Values of the options `engine` and `precision`.
EngineName = Literal["auto", "torch", "folded", "onnx"]
PrecisionName = Literal["auto", "float32", "bf16"]

#: Gives probabilities on the CPU, float32 (tiles, tags), of tiles (tiles, height, width, bands).
Forward = Callable[[torch.Tensor], torch.Tensor]

#: Tiles that batch norm is folded with.
_EXAMPLES = 2


@dataclass(frozen=True)
class Placement:
    """Where a network computes, and in which types.

    Parameters
    ----------
    device
        The device.
    weights
        Type of the weights.
    cast
        Type that operations are cast to, if any.
    tiles
        Type of the tiles, uint8 or uint16.
    """

    device: torch.device
    weights: torch.dtype = torch.float32
    cast: torch.dtype | None = None
    tiles: str = "uint8"


@dataclass(frozen=True)
class Engine:
    """An engine.

    Parameters
    ----------
    prepare
        Makes the function of tiles from a network in evaluation mode, which it may change.
    precisions
        The precisions that it computes in.
    on_gpu
        Whether it can use a GPU.
    need
        Raises an InputError where packages are missing.
    """

    prepare: Callable[[TileTagger, Placement], Forward]
    precisions: tuple[str, ...] = ("float32", "bf16")
    on_gpu: bool = True
    need: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Method:
    """An engine and a precision.

    Parameters
    ----------
    engine
        Name of the engine, a key of `ENGINES`.
    precision
        ``float32`` or ``bf16``; None is float32 on a CPU, and the precision of training on a GPU.
    """

    engine: str = "torch"
    precision: str | None = None

    def __str__(self) -> str:
        return self.engine if self.precision is None else f"{self.engine} {self.precision}"


#: What users get who ask for nothing else, and what others are compared with.
DEFAULT = Method()
REFERENCE = Method("torch", "float32")


def has_fast_bf16() -> bool:
    """Whether this CPU computes in bfloat16; others convert each number, which takes longer than float32."""
    cpu: Any = torch.cpu
    if hasattr(cpu, "get_capabilities"):  # not in all releases that we accept
        able = cpu.get_capabilities()
        return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return bool(getattr(cpu, "_is_avx512_bf16_supported", lambda: False)())


def check_precision(method: Method) -> None:
    """Check that an engine computes in a precision, on whichever machine.

    Raises
    ------
    InputError
        If not.
    """
    engine = ENGINES[method.engine]
    if method.precision is not None and method.precision not in engine.precisions:
        raise InputError(f"`engine` {method.engine} does not compute in {method.precision}", option="precision",
                         remedy=f"choose {' or '.join(engine.precisions)}, or another engine")  # fmt: skip


def check_method(method: Method, device: torch.device) -> None:
    """Check that an engine and a precision can be used on a device.

    Raises
    ------
    InputError
        If not, with the reason.
    """
    engine = ENGINES[method.engine]
    check_precision(method)
    if device.type != "cpu" and not engine.on_gpu:
        raise InputError(f"`engine` {method.engine} predicts on the CPU, not on {device}", option="engine",
                         remedy="choose another engine")  # fmt: skip
    if method.precision == "bf16" and device.type == "cpu" and not has_fast_bf16():
        raise InputError("this CPU does not compute in bfloat16, so `precision` bf16 would be slower than float32",
                         option="precision", remedy="choose float32 or auto")  # fmt: skip
    engine.need()


def _torch(tagger: TileTagger, place: Placement) -> Forward:
    tagger = tagger.to(device=place.device, dtype=place.weights)

    def forward(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(place.device.type, place.cast, enabled=place.cast is not None):
            return tagger.probabilities(images.to(place.device, non_blocking=True)).float().cpu()

    return forward


def _folded(tagger: TileTagger, place: Placement) -> Forward:
    edge, channels = tagger.hparams["size"], tagger.hparams["in_chans"]
    example = torch.randn(_EXAMPLES, channels, edge, edge, generator=torch.Generator().manual_seed(0))
    backbone, _ = fold_batch_norm(tagger.backbone, example)
    tagger.backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    tagger.hparams["channels_last"] = True
    forward = _torch(tagger, place)
    if place.cast is not None and place.device.type == "cpu":
        tagger.backbone.to(place.cast)  # autocast would convert the weights in each batch
    return forward


def _onnx(tagger: TileTagger, place: Placement) -> Forward:
    import onnxruntime

    edge, channels = tagger.hparams["size"], tagger.hparams["in_chans"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait in a loop would take the cores from the processes that read tiles.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        link = tagger.loss.probabilities
        write_onnx(
            file, Logits(tagger), (edge, edge, channels), {}, place.tiles, output="logits", link=link, beside=True
        )
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    views, mean = tagger.hparams["tta"], MEANS[tagger.hparams["tta_mean"]]

    def logits(view: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {"tiles": view.contiguous().numpy()})[0])

    def forward(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            # View by view, as PyTorch does it: all in one batch would need the memory of all.
            return mean([logits(view) for view in turned(views, images)], link).float()

    return forward


#: The engines, by their names.
ENGINES: dict[str, Engine] = {
    "torch": Engine(_torch),
    "folded": Engine(_folded),
    "onnx": Engine(_onnx, ("float32",), on_gpu=False, need=need_onnx),
}
