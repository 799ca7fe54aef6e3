"""Predict probabilities of tiles with the networks of a run, a bundle or a blend, without a trainer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from amazon_ml.data.batches.dataset import TileDataset, loader_workers, tile_loader
from amazon_ml.data.batches.sources import TileSource
from amazon_ml.data.readers.stretch import stretch_of
from amazon_ml.errors import InputError, WorkError
from amazon_ml.models.engines import DEFAULT, ENGINES, Forward, Method, Placement, check_method
from amazon_ml.models.tagger import DIVERGED, TileTagger, make_tagger
from amazon_ml.models.weights import load_weights
from amazon_ml.runs.blend import check_same_tiles, stack_tables
from amazon_ml.runs.bundle import Blended, Networks, is_bundle, without_options
from amazon_ml.runtime.allocator import keep_freed_memory
from amazon_ml.runtime.files import sha256_of
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
#: Precisions of a `Method` to Lightning's names.
_REQUESTED: Mapping[str, str] = {"float32": "32-true", "bf16": "bf16-mixed"}
#: Names of the types that operations are computed in.
_NAMES = {torch.float32: "float32", torch.bfloat16: "bf16", torch.float16: "float16", torch.float64: "float64"}


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
    failed: dict[str, InputError]


def load_taggers(networks: Networks) -> Iterator[TileTagger]:
    """Load each network, one after the other, in evaluation mode.

    Raises
    ------
    InputError
        If a file is missing, or does not fit the network.
    WorkError
        If a file changed since the first network was loaded; hours of prediction may lie between two of them.
    """
    before = {file: (_size_and_time(file), _hash(file)) for file in networks.weights[1:]}
    for file in networks.weights:
        try:
            bands, dtype = stretch_of(networks.read), networks.read.dtype
            tagger = make_tagger(networks.model, networks.tags, networks.size, bands, dtype)
        except InputError as error:
            if is_bundle(networks.source):
                raise without_options(error, networks.source) from None
            raise InputError(error.problem, file=networks.source, option=error.option, remedy=error.remedy) from None
        load_weights(file, tagger)
        stamp, content = before.get(file, (None, None))
        # A copy or a backup may change the time alone.
        if file in before and _size_and_time(file) != stamp and _hash(file) != content:
            raise WorkError(f"{file} changed while the networks before it predicted; predict again")
        yield tagger.eval()


def _size_and_time(file: Path) -> tuple[int, int] | None:
    """Give the size and the time of a file; None where it is missing."""
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns


def _hash(file: Path) -> str | None:
    """Hash the bytes of a file; None where it cannot be read."""
    try:
        return sha256_of(file)
    except (OSError, InputError):
        return None


def choose_device(networks: Networks, device: str | torch.device | None = None) -> torch.device:
    """Choose the device: the requested one, else the GPU where there is one and the run does not exclude it."""
    if device is None:
        gpu = torch.cuda.is_available() and _may_use_gpu(networks)
        return torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {str(device)!r} is not available here: {reason}", option="device") from None
    return chosen


def _may_use_gpu(networks: Networks) -> bool:
    return networks.trainer.accelerator != "cpu"


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
    ready
        Gives the prepared networks; by default they are loaded and prepared one after the other.
    method
        The engine and the precision.
    """

    device: torch.device | None = None
    num_workers: int | None = None
    progress: bool = True
    ready: Callable[[Networks], Iterable[Forward]] | None = None
    method: Method = DEFAULT

    def placement(self, networks: Networks) -> Placement:
        """Choose device and types for networks, and check that the engine can use them."""
        device = self.device
        if device is None and not ENGINES[self.method.engine].on_gpu:
            device = torch.device("cpu")
        device = choose_device(networks, device)
        check_method(self.method, device)
        return Placement(device, *_precision(networks, device, self.method.precision), networks.read.dtype)

    def name(self, networks: Networks) -> str:
        """Name the engine and the precision in which it computes these networks."""
        return _name(self.method, networks, lambda: self.placement(networks).device)

    def names(self, members: Sequence[Networks]) -> str:
        """Name the engines and precisions of all members of a blend, such as ``torch float32 + torch bf16``."""
        return " + ".join(dict.fromkeys(self.name(member) for member in members))

    def prepare(self, networks: Networks) -> Iterator[Forward]:
        """Load and prepare each network, one after the other."""
        place = self.placement(networks)
        for tagger in load_taggers(networks):
            yield ENGINES[self.method.engine].prepare(tagger, place)

    def score(self, networks: Networks, source: TileSource) -> Probabilities:
        """Probabilities of the tiles of a source, averaged over networks of one kind: float32 (tiles, tags)."""
        keep_freed_memory()
        gpu = self.placement(networks).device.type == "cuda"
        num_workers = loader_workers(self.num_workers, on_gpu=gpu)
        loader = tile_loader(TileDataset(source), networks.batch_size, num_workers, on_gpu=gpu)
        total = np.zeros((len(source), len(networks.tags)), dtype=np.float64)
        for forward in (self.ready or self.prepare)(networks) if len(source) else ():
            batches = tracked(loader, len(loader), "predicting, batches") if self.progress else loader
            total += predict_batches(forward, (batch["image"] for batch in batches))
        return (total / len(networks.weights)).astype(np.float32)


def name_method(method: Method, members: Sequence[Networks], *, on_gpu: bool) -> str:
    """Name the engines and precisions in which machines with or without a GPU compute; this one may be another.

    Parameters
    ----------
    method
        The engine and the precision.
    members
        The networks: all members of a blend.
    on_gpu
        Whether the machines have a GPU.
    """

    def name(networks: Networks) -> str:
        gpu = on_gpu and ENGINES[method.engine].on_gpu and _may_use_gpu(networks)
        return _name(method, networks, lambda: torch.device("cuda" if gpu else "cpu"))

    return " + ".join(dict.fromkeys(map(name, members)))


def _name(method: Method, networks: Networks, device: Callable[[], torch.device]) -> str:
    if method.precision is not None:
        return str(method)
    weights, cast = _precision(networks, device())
    return f"{method} {_NAMES[cast or weights]}"


def predict_batches(forward: Forward, batches: Iterable[torch.Tensor]) -> Probabilities:
    """Probabilities of batches of tiles: float32 (tiles, tags).

    Parameters
    ----------
    forward
        The prepared network.
    batches
        uint8 tiles of shape (tiles, height, width, bands).
    """
    p: Probabilities = torch.cat([forward(images) for images in batches]).numpy()
    if not np.isfinite(p).all():
        raise WorkError(DIVERGED)
    return p


def _precision(
    networks: Networks, device: torch.device, requested: str | None = None
) -> tuple[torch.dtype, torch.dtype | None]:
    """Give the types of the weights and the operations; by default, networks predict in float32 on the CPU."""
    name = str(networks.trainer.precision)
    name = _ALIASES.get(name, name) if device.type == "cuda" else "32-true"
    name = name if requested is None else _REQUESTED[requested]
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
    tables, failed = [], dict[str, InputError]()
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
