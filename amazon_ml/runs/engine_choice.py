"""Chooses the engine and the precision that predict fastest here, among those that agree with PyTorch in float32."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from amazon_ml.data.batches.tolerant import TolerantFiles
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.errors import InputError
from amazon_ml.models.engines import DEFAULT, ENGINES, REFERENCE, Forward, Method, check_precision
from amazon_ml.runs.bundle import Bundle, Networks
from amazon_ml.runs.inference import Engine, Predicted, Probabilities, predict_batches, predict_members
from amazon_ml.runtime.allocator import keep_freed_memory
from amazon_ml.runtime.files import read_json, write_json

log = logging.getLogger(__name__)

#: Tiles that all engines predict before one of them is chosen.
SAMPLE = 64
#: Largest difference of a probability from the reference, and smallest share of equal decisions on tags.
TOLERANCE, AGREEMENT = 2e-3, 0.999
#: A network that takes less than this is timed twice, and the shorter time counts; in seconds.
_SHORT = 3.0
_PRECISIONS = ("float32", "bf16")

#: Gives the sample as networks of one kind read it: uint8 of shape (tiles, height, width, bands).
Sample = Callable[[Networks], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Requested:
    """The engine and the precision that a caller asks for.

    Parameters
    ----------
    engine
        Name of an engine, or ``auto``.
    precision
        Name of a precision, or ``auto``. By default all precisions with the engine ``auto``, else that of `Method`.

    Raises
    ------
    InputError
        For other names, for the engine ``auto`` in bf16, and for an engine that does not compute in the precision.
    """

    engine: str = "torch"
    precision: str | None = None

    def __post_init__(self) -> None:
        for option, value, names in (("engine", self.engine, ENGINES), ("precision", self.precision, _PRECISIONS)):
            if value not in (None, "auto", *names):
                problem = f"`{option}` must be one of auto, {', '.join(names)}, not {value!r}"
                raise InputError(problem, option=option)
        if self.engine == "auto" and self.precision == "bf16":
            raise InputError("`engine` auto keeps to the probabilities of float32, and bf16 differs from them",
                             option="precision", remedy="omit `precision`, or name the engine")  # fmt: skip
        if self.fixed is not None:
            check_precision(self.fixed)

    @property
    def fixed(self) -> Method | None:
        """The method, where there is nothing to choose."""
        return None if "auto" in (self.engine, self.precision) else Method(self.engine, self.precision)

    def candidates(self) -> list[Method]:
        """List the methods to choose from, without the reference."""
        engines = ENGINES if self.engine == "auto" else {self.engine: ENGINES[self.engine]}
        chosen = _PRECISIONS if self.precision in (None, "auto") else (self.precision,)
        methods = [Method(name, precision) for name, engine in engines.items() for precision in engine.precisions
                   if precision in chosen]  # fmt: skip
        return [method for method in methods if method != REFERENCE]

    def allows(self, method: Method) -> bool:
        """Whether a method is one of those to choose from."""
        return method in (DEFAULT, REFERENCE, *self.candidates())


def sample_files(listing: Callable[[TileReader], pd.DataFrame]) -> Sample:
    """Take the sample from files, spread over all tiles that will be predicted.

    Parameters
    ----------
    listing
        Lists the tiles for a reader, as a table like that of a catalog.
    """

    def sample(networks: Networks) -> npt.NDArray[np.uint8]:
        tiles = listing(networks.read)
        chosen = tiles.iloc[spread(len(tiles))].reset_index(drop=True)
        return TolerantFiles(chosen, networks.read, networks.size).fetch(np.arange(len(chosen)))

    return sample


def spread(count: int) -> npt.NDArray[np.intp]:
    """Give the positions of at most `SAMPLE` of `count` tiles, spread over all."""
    return np.linspace(0, count - 1, min(SAMPLE, count)).round().astype(np.intp)


def choose_method(
    bundle: Bundle, requested: Requested, sample: Sample, device: torch.device | None = None,
    batch_size: int | None = None,
) -> Method:  # fmt: skip
    """Choose the fastest method whose results are those of PyTorch in float32; nothing is stored.

    Each candidate predicts a sample of the tiles. It may be chosen if no probability differs by more than `TOLERANCE`,
    and at least `AGREEMENT` of the decisions on tags are the same. A candidate that cannot be used here falls out.

    Parameters
    ----------
    bundle
        The networks, and the rule that decides on tags.
    requested
        What to choose from; a method that leaves no choice is returned as it is.
    sample
        Gives some of the tiles.
    device
        Device of the networks.
    batch_size
        Tiles at once; by default those of the networks.
    """
    if requested.fixed is not None:
        return requested.fixed
    keep_freed_memory()
    trials = _Trials(bundle, sample, device, batch_size)
    reference = trials.run(REFERENCE)
    if not len(reference.p):
        return REFERENCE
    is_open = requested.engine in ("auto", REFERENCE.engine)
    seconds, out = {REFERENCE: reference.seconds} if is_open else {}, []
    for method in requested.candidates():
        try:
            trial = trials.run(method)
        except Exception as error:  # each engine raises errors of its own, and another one works
            if not is_open and isinstance(error, InputError) and method.precision == REFERENCE.precision:
                raise
            out.append(f"{method} cannot be used: {type(error).__name__}: {error}")
            continue
        if (reason := _difference(bundle, reference.p, trial.p)) is None:
            seconds[method] = trial.seconds
        else:
            out.append(f"{method} differs from {REFERENCE}: {reason}")
    if not seconds:
        raise InputError("; ".join(out), option="engine", remedy="choose another engine")
    chosen, count = min(seconds, key=lambda method: seconds[method]), len(reference.p)
    speeds = ", ".join(f"{method} {count / each:.3g}" for method, each in seconds.items())
    log.info("engine %s; tiles a second on a sample of %d: %s", chosen, count, speeds)
    for line in out:
        log.info("not chosen: %s", line)
    return chosen


@dataclass(frozen=True)
class _Trial:
    """Probabilities of the sample, and the seconds that the networks took."""

    p: Probabilities
    seconds: float


class _Trials:
    """Predicts the sample with one method after the other; its files are read once."""

    def __init__(
        self, bundle: Bundle, sample: Sample, device: torch.device | None, batch_size: int | None
    ) -> None:  # fmt: skip
        self._bundle, self._sample, self._device, self._batch_size = bundle, sample, device, batch_size
        self._batches: dict[tuple[Path, ...], tuple[torch.Tensor, ...]] = {}

    def run(self, method: Method) -> _Trial:
        engine, times = Engine(self._device, method=method), []

        def predict(networks: Networks) -> Predicted:
            batches = self._tiles(networks)
            total = np.zeros((sum(map(len, batches)), len(networks.tags)))
            for forward in engine.prepare(networks) if len(total) else ():
                total += predict_batches(forward, batches)  # the first pass also compiles and fills caches
                seconds = _time(forward, batches)
                times.append(min(seconds, _time(forward, batches)) if seconds < _SHORT else seconds)
            p = (total / len(networks.weights)).astype(np.float32)
            return Predicted(pd.Series([str(row) for row in range(len(p))]), p, {})

        return _Trial(predict_members(self._bundle.networks, predict).p, sum(times))

    def _tiles(self, networks: Networks) -> tuple[torch.Tensor, ...]:
        if networks.weights not in self._batches:
            tiles, size = torch.from_numpy(self._sample(networks)), self._batch_size or networks.batch_size
            self._batches[networks.weights] = tuple(tiles[at : at + size] for at in range(0, len(tiles), size))
        return self._batches[networks.weights]


def _time(forward: Forward, batches: tuple[torch.Tensor, ...]) -> float:
    began = time.perf_counter()
    predict_batches(forward, batches)  # the probabilities reach the CPU, so a GPU has finished then
    return time.perf_counter() - began


def _difference(bundle: Bundle, expected: Probabilities, p: Probabilities) -> str | None:
    """Say how probabilities differ from the expected ones, where that is more than is allowed."""
    worst = float(np.abs(p - expected).max(initial=0.0))
    if not worst <= TOLERANCE:
        return f"a probability by {worst:.1g}, where {TOLERANCE:g} is allowed"
    own, decision = list(bundle.networks.tags), bundle.decision
    order = [own.index(tag) for tag in decision.tags]
    same = float((decision.rule.predict(p[:, order]) == decision.rule.predict(expected[:, order])).mean())
    if same >= AGREEMENT:
        return None
    return f"{1 - same:.2%} of the decisions on tags, where {1 - AGREEMENT:.1%} is allowed"


def settle(file: Path, requested: Requested, choose: Callable[[], Method], former: Method | None = None) -> Method:
    """Use the method of the parts that are there already, or choose one and record it for the parts to come.

    So all parts of a prediction have one method, also if several machines predict them. The caller holds a lock.

    Parameters
    ----------
    file
        JSON file beside the parts, which names the method.
    requested
        What the call asks for.
    choose
        Chooses the method.
    former
        Method of existing parts where there is no file.

    Raises
    ------
    InputError
        If parts are there that were predicted with another method than the call asks for.
    """
    used = recorded_method(file, requested, former) or choose()
    save_method(file, used)
    return used


def recorded_method(file: Path, requested: Requested, former: Method | None = None) -> Method | None:
    """Read the method of the parts that are there, and check that the call allows it; None where there are none.

    Parameters and errors are those of `settle`; nothing is written.
    """
    used = read_method(file) if file.exists() else former
    if used is None:
        return None
    if requested.fixed not in (None, used) or (requested.fixed is None and not requested.allows(used)):
        raise InputError(
            f"the folder holds parts that were predicted with `engine` {used}, and this call requests another one",
            file=file.parent, option="engine", remedy="request that engine and precision, or choose another `out`",
        )  # fmt: skip
    return used


def save_method(file: Path, method: Method) -> None:
    """Record the method beside the parts that it predicts."""
    write_json(file, {"engine": method.engine, "precision": method.precision})


def read_method(file: Path) -> Method:
    """Read the method that a file beside parts names; an `InputError` where it is missing or damaged."""
    content = read_json(file)
    if (
        not isinstance(content, dict)
        or content.get("engine") not in list(ENGINES)  # not in the mapping: a value of JSON may have no hash
        or content.get("precision") not in (None, *_PRECISIONS)
    ):
        raise InputError("the file does not name an engine and a precision", file=file, remedy="choose another `out`")
    return Method(content["engine"], content["precision"])
