"""Predict probabilities of tiles with the networks of a run, a bundle or a blend, without a trainer."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from amazon_ml.data.batches.dataset import TileDataset, loader_workers, tile_loader
from amazon_ml.data.batches.sources import TileSource
from amazon_ml.data.readers.stretch import stretch_of
from amazon_ml.errors import InputError, WorkError
from amazon_ml.models.tagger import DIVERGED, TileTagger, make_tagger
from amazon_ml.models.weights import load_weights
from amazon_ml.runs.blend import check_same_tiles, stack_tables
from amazon_ml.runs.bundle import Blended, Networks
from amazon_ml.runtime.allocator import keep_freed_memory
from amazon_ml.runtime.progress import tracked

Probabilities = npt.NDArray[np.float32]

#: Lightning's names of precisions to the type of the weights, and the type that operations are cast to, if any.
_PRECISIONS: dict[str, tuple[torch.dtype, torch.dtype | None]] = {
    "32-true": (torch.float32, None),
    "16-mixed": (torch.float32, torch.float16),
    "bf16-mixed": (torch.float32, torch.bfloat16),
    "16-true": (torch.float16, None),
    "bf16-true": (torch.bfloat16, None),
    "64-true": (torch.float64, None),
}
#: Other names that Lightning accepts for them.
_ALIASES = {"None": "32-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}


@dataclass(frozen=True)
class Predicted:
    """Probabilities of some tiles.

    Parameters
    ----------
    names
        Names of the tiles.
    p
        Probabilities of shape (tiles, tags).
    failed
        The fault of each tile that could not be decoded, by its name; its row of `p` is meaningless.
    """

    names: "pd.Series[str]"
    p: Probabilities
    failed: dict[str, str]


def load_taggers(networks: Networks) -> Iterator[TileTagger]:
    """Load each network, one after the other, in evaluation mode."""
    for file in networks.weights:
        try:
            tagger = make_tagger(
                networks.model, networks.tags, networks.size, stretch_of(networks.read), networks.read.dtype
            )
        except InputError as error:
            raise InputError(error.problem, file=networks.source, option=error.option, remedy=error.remedy) from None
        load_weights(file, tagger)
        yield tagger.eval()


def choose_device(networks: Networks, device: str | torch.device | None = None) -> torch.device:
    """Choose the device: the requested one, else the GPU where there is one and the run does not exclude it."""
    if device is None:
        gpu = torch.cuda.is_available() and networks.trainer.accelerator != "cpu"
        return torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {str(device)!r} is not available here: {reason}", option="device") from None
    return chosen


@dataclass(frozen=True)
class Engine:
    """How networks predict.

    Parameters
    ----------
    device
        Device of the networks; `choose_device` chooses it by default.
    num_workers
        Loader processes; `loader_workers` chooses their number by default.
    progress
        Whether to show progress.
    taggers
        Gives the loaded networks; by default they are loaded one after the other.
    """

    device: torch.device | None = None
    num_workers: int | None = None
    progress: bool = True
    taggers: Callable[[Networks], Iterable[TileTagger]] = load_taggers

    def score(self, networks: Networks, source: TileSource) -> Probabilities:
        """Probabilities of the tiles of a source, averaged over networks of one kind: float32 (tiles, tags)."""
        keep_freed_memory()
        device = choose_device(networks, self.device)
        gpu = device.type == "cuda"
        num_workers = loader_workers(self.num_workers, on_gpu=gpu)
        loader = tile_loader(TileDataset(source), networks.batch_size, num_workers, on_gpu=gpu)
        total = np.zeros((len(source), len(networks.tags)), dtype=np.float64)
        for tagger in self.taggers(networks) if len(source) else ():
            ready, cast = placed(tagger, networks, device)
            batches = tracked(loader, len(loader), "predicting, batches") if self.progress else loader
            total += predict_batches(ready, batches, device, cast)
        return (total / len(networks.weights)).astype(np.float32)


def predict_batches(
    tagger: TileTagger, batches: Iterable[Any], device: torch.device, cast: torch.dtype | None = None
) -> Probabilities:
    """Probabilities of batches, without gradients: float32 (tiles, tags).

    Parameters
    ----------
    tagger
        The network, on the device, in evaluation mode.
    batches
        Dictionaries with ``image``, uint8 of shape (tiles, height, width, bands).
    device
        Device of the network.
    cast
        Type that operations are cast to.
    """
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, cast, enabled=cast is not None):
        for batch in batches:
            images = batch["image"].to(device, non_blocking=True)
            parts.append(tagger.probabilities(images).float().cpu())
    p: Probabilities = torch.cat(parts).numpy()
    if not np.isfinite(p).all():
        raise WorkError(DIVERGED)
    return p


def placed(tagger: TileTagger, networks: Networks, device: torch.device) -> tuple[TileTagger, torch.dtype | None]:
    """Move a network to a device, in the precision that it predicts in; return it and the type of its operations."""
    weights, cast = _precision(networks, device)
    return tagger.to(device=device, dtype=weights), cast


def _precision(networks: Networks, device: torch.device) -> tuple[torch.dtype, torch.dtype | None]:
    """Give the types of the weights and the operations; on the CPU, networks predict in float32."""
    name = str(networks.trainer.precision)
    name = _ALIASES.get(name, name) if device.type == "cuda" else "32-true"
    if name not in _PRECISIONS:
        raise InputError(
            f"cannot predict in trainer.precision {name}", file=networks.source, remedy="predict on the CPU"
        )
    return _PRECISIONS[name]


def predict_members(networks: Networks | Blended, predict: Callable[[Networks], Predicted]) -> Predicted:
    """Predict tiles with the networks of a run, or with all members of a blend, whose probabilities are then blended.

    Parameters
    ----------
    networks
        The networks, or the blend.
    predict
        Predicts with networks of one kind.
    """
    if isinstance(networks, Networks):
        return predict(networks)
    tables, failed = [], dict[str, str]()
    for member in networks.members:
        predicted = predict_members(member, predict)
        failed |= predicted.failed
        tables.append(pd.DataFrame(predicted.p, index=pd.Index(predicted.names), columns=list(member.tags)))
        problem = f"the run reads other tiles than {networks.members[0].source}"
        check_same_tiles(tables[0].index, tables[-1].index, problem, member.source)
    first = tables[0].index
    blended = networks.blender.apply(stack_tables(tables, first, networks.tags))
    return Predicted(first.to_series(), blended.astype(np.float32), failed)


def all_members(networks: Networks | Blended) -> list[Networks]:
    """List the networks of each kind, also those of blends within blends."""
    if isinstance(networks, Networks):
        return [networks]
    return [each for member in networks.members for each in all_members(member)]
