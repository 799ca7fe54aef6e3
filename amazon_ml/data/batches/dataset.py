"""The Dataset and the loaders of batches of tiles.

Batches are uint8, so that few bytes go to the device; the network normalises them. The contents of a batch depend only
on the seed, the epoch and its place in the epoch, whatever the number of loader processes, also after an interruption.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from amazon_ml.data.augment.augment import Augmentation
from amazon_ml.data.batches.sources import TileSource
from amazon_ml.errors import InputError

#: ``image`` uint8 (tiles, size, size, bands); ``index`` int64 (tiles,); ``target`` float32 (tiles, tags); ``weight``
#: float32 (tiles,), where tiles differ in their weight in the loss.
Batch = dict[str, torch.Tensor]
#: A tile in an epoch, as one number: epoch * tiles + position. In epoch 0 it is the position.
Key = int
#: Number of keys that become numbers of Python at once.
_KEYS = 65_536


class TileDataset(Dataset[Batch]):
    """Tiles by position, fetched a batch at a time.

    Parameters
    ----------
    source
        Source of the tiles, all of one size.
    targets
        Array of shape (tiles, tags) for labelled tiles: multi-hot, or soft labels in 0..1.
    augmentation
        Augmentation of training tiles.
    rows
        Rows of `targets` in the order of positions; all by default.
    weights
        Weight in the loss of the tile at each position, shape (tiles,); by default all are equal.
    """

    #: Whether this is the copy in a loader process of `TileLoader`.
    returns_errors = False

    def __init__(
        self,
        source: TileSource,
        targets: npt.NDArray[np.generic] | None = None,
        augmentation: Augmentation | None = None,
        rows: npt.NDArray[np.integer] | None = None,
        weights: npt.NDArray[np.floating] | None = None,
    ) -> None:
        self.source, self.augmentation, self._weights = source, augmentation, weights
        self._targets, self._rows = targets, rows  # as they are: a copy in float32 would take four times as much

    def __len__(self) -> int:
        return len(self.source)

    def __getitems__(self, keys: list[Key]) -> Batch | InputError:
        """Fetch a batch without a dictionary and a copy for each tile.

        A loader process returns the error of a wrong file, which `TileLoader` raises: PyTorch would make a new one of
        the traceback, without the fields.
        """
        if not self.returns_errors:
            return self.fetch(keys)
        try:
            return self.fetch(keys)
        except InputError as error:
            return error

    def fetch(self, keys: list[Key]) -> Batch:
        """Fetch the tiles of some keys.

        Raises
        ------
        InputError
            If a file cannot be read, or is not as the others.
        """
        epochs, rows = np.divmod(keys, len(self))
        targets = weights = None
        if self._targets is not None:
            targets = self._targets[rows if self._rows is None else self._rows[rows]].astype(np.float32)
            if self._weights is not None:
                weights = self._weights[rows].astype(np.float32)
        how = self.augmentation
        images = self.source.fetch(rows, how.symmetries(epochs, rows) if how else None)
        if how and not how.only_symmetry:
            for slot, (epoch, row) in enumerate(zip(epochs, rows, strict=True)):
                images[slot] = how(images[slot], epoch, row)
        if how and how.mix and targets is not None:
            # All keys of a batch belong to one epoch.
            how.mix(images, targets, int(epochs[0]), rows.tolist(), weights)
        batch = {"image": torch.from_numpy(images), "index": torch.from_numpy(rows)}
        if targets is None:
            return batch
        batch["target"] = torch.from_numpy(targets)
        if weights is not None:
            batch["weight"] = torch.from_numpy(weights)
        return batch


class EpochSampler(Sampler[Key]):
    """Shuffled order as a pure function of (seed, epoch); each key carries the epoch.

    Parameters
    ----------
    tiles
        Number of tiles.
    seed
        Seed of the shuffle.
    rank, world_size
        Number of this process, and of all processes; each gets every `world_size`-th tile, all the same number.
    """

    def __init__(self, tiles: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.tiles, self.seed, self.rank, self.world_size = tiles, seed, rank, world_size
        self.epoch = 0
        self.skip = 0  # tiles of this epoch that were used before an interruption

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Key]:
        mine, start = self.order(), self.skip
        self.skip = 0
        keys = self.epoch * self.tiles + mine[start:]
        # Part by part: ten million numbers of Python take 300 MB.
        return (key for at in range(0, len(keys), _KEYS) for key in keys[at : at + _KEYS].tolist())

    def order(self) -> npt.NDArray[np.int64]:
        """Give the positions of the tiles of this process in this epoch, in their order."""
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.tiles)
        return order[: len(self) * self.world_size][self.rank :: self.world_size]

    def __len__(self) -> int:
        return self.tiles // self.world_size


def one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Fetch each batch in a thread while the previous one is in use; helps where a GPU does the work."""
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(next, batches, None)
        while (batch := ahead.result()) is not None:
            ahead = reader.submit(next, batches, None)
            yield batch


class TileLoader(DataLoader[Batch]):
    """A loader that fetches one batch ahead in a thread, where a GPU is used without loader processes."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches = map(_checked, super().__iter__())
        return one_ahead(batches) if self.num_workers == 0 and self.pin_memory else batches


class ResumableLoader(TileLoader):
    """A loader that resumes at the batch that a checkpoint stored.

    Attributes
    ----------
    waited
        Seconds that training has waited for batches so far.
    """

    waited = 0.0
    _done = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # Lightning puts a sampler without `skip` in its place for `overfit_batches`: the first batches, in order.
        self._done = getattr(self.sampler, "skip", 0) // cast(int, self.batch_size)
        start = time.perf_counter()
        for batch in super().__iter__():
            self._done += 1
            self.waited += time.perf_counter() - start
            yield batch
            start = time.perf_counter()
        self._done = 0

    def state_dict(self) -> dict[str, int]:
        """Return the number of batches of this epoch that were used; Lightning stores it in a checkpoint."""
        return {"batches": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Begin the next epoch after the batches that were used, where the order is that of an `EpochSampler`."""
        if isinstance(self.sampler, EpochSampler):
            self.sampler.skip = state["batches"] * cast(int, self.batch_size)


def begin_next_epochs(trainer: Any) -> None:
    """Let a trainer that resumes a `ResumableLoader` from the end of an epoch begin the next one.

    With a number of steps, Lightning would go on with the finished epoch, whose batches are all used: it would count an
    epoch without a step.

    Parameters
    ----------
    trainer
        The trainer, before it reads its checkpoint.
    """
    trainer.fit_loop._iteration_based_training = _by_epochs


def _by_epochs() -> bool:
    """Say that training does not count steps; a lambda could not be pickled with the trainer."""
    return False


def tile_loader(
    dataset: TileDataset, batch_size: int, num_workers: int, rank: int = 0, world_size: int = 1, *, on_gpu: bool = False
) -> TileLoader:
    """Make the loader of a dataset that gives every tile once, in order.

    Of `world_size` processes, each gets every `world_size`-th batch. Batches are smaller than `batch_size` where there
    would be fewer batches than processes. Batches for a GPU (`on_gpu`) lie in pinned memory.
    """
    size = max(1, min(batch_size, len(dataset) // world_size))
    mine = [row for row in range(len(dataset)) if row // size % world_size == rank]
    return TileLoader(dataset, batch_size=size, sampler=mine, **_loading(num_workers, on_gpu))


def training_loader(
    dataset: TileDataset, batch_size: int, num_workers: int, sampler: EpochSampler, *, on_gpu: bool = False
) -> ResumableLoader:
    """Make the loader for training: in the order of a sampler, without the last, smaller batch, and able to resume.

    Batches for a GPU (`on_gpu`) lie in pinned memory.
    """
    return ResumableLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=len(sampler) >= batch_size,
        persistent_workers=num_workers > 0,
        **_loading(num_workers, on_gpu),
    )


def loader_workers(wanted: int | None, *, on_gpu: bool, packed: bool = False) -> int:
    """Return the number of loader processes.

    It is `wanted` where that is given; else 0 on the CPU or with a packed store; else one for each core, at most 8.
    """
    if wanted is not None and wanted < 0:
        raise InputError(f"`num_workers` must be at least 0, not {wanted}", option="num_workers")
    if wanted is not None:
        return wanted
    return min(8, _own_cores()) if on_gpu and not packed else 0


def _own_cores() -> int:
    """Count the cores that this process may use, divided by the processes of its job on this machine."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun or `amazon_ml.runtime.distributed.started`
    return max(1, len(os.sched_getaffinity(0)) // here)


def _loading(num_workers: int, on_gpu: bool) -> dict[str, Any]:
    return {
        "num_workers": num_workers,
        "collate_fn": _as_fetched,
        "worker_init_fn": _start_worker,
        "pin_memory": on_gpu,
    }


def _as_fetched(batch: Batch | InputError) -> Batch | InputError:
    return batch


def _checked(batch: Batch | InputError) -> Batch:
    if isinstance(batch, InputError):
        raise batch
    return batch


def _start_worker(worker: int) -> None:
    if process := get_worker_info():
        cast(TileDataset, process.dataset).returns_errors = True
    cv2.setNumThreads(0)  # the loader processes already use all cores
    # A scheduler signals every process of a job, but training needs its loaders until its next checkpoint.
    for sign in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(sign, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    """End at a SIGTERM from the parent process only; without that, the parent would wait forever."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
