"""Batches of tiles: uint8, so that little crosses to the device; the network normalises.

What a batch holds is a function of the seed, the epoch and its place in the epoch alone, whatever
fetches it: any number of processes, before or after an interruption.
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
from torch.utils.data import DataLoader, Dataset, Sampler

from amazon_ml.data.augment.augment import Augmentation
from amazon_ml.data.batches.sources import TileSource
from amazon_ml.errors import InputError

#: ``image`` uint8 (tiles, size, size, bands); ``index`` int64 (tiles,); ``target`` float32 (tiles, tags).
Batch = dict[str, torch.Tensor]
#: Which tile in which epoch, as one number: epoch * tiles + position. In epoch 0 it is the position.
Key = int


class TileDataset(Dataset[Batch]):
    """Tiles by position, fetched a batch at a time.

    Parameters
    ----------
    source
        Where tiles come from, all of one size.
    targets
        Array of shape (tiles, tags), for labelled tiles: multi-hot, or softened to values in 0..1.
    augmentation
        For tiles that are trained on.
    """

    def __init__(
        self,
        source: TileSource,
        targets: npt.NDArray[np.generic] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.source, self.augmentation = source, augmentation
        self.targets = None if targets is None else targets.astype(np.float32)

    def __len__(self) -> int:
        return len(self.source)

    def __getitems__(self, keys: list[Key]) -> Batch:
        """Fetch a batch, without the detour of a dictionary and a copy for each tile."""
        epochs, rows = np.divmod(keys, len(self))
        targets = None if self.targets is None else self.targets[rows]
        how = self.augmentation
        images = self.source.fetch(rows, how.symmetries(epochs, rows) if how else None)
        if how and not how.only_symmetry:
            for slot, (epoch, row) in enumerate(zip(epochs, rows, strict=True)):
                images[slot] = how(images[slot], epoch, row)
        if how and how.mix and targets is not None:
            how.mix(images, targets, int(epochs[0]), rows.tolist())  # a batch is of one epoch
        batch = {"image": torch.from_numpy(images), "index": torch.from_numpy(rows)}
        return batch if targets is None else {**batch, "target": torch.from_numpy(targets)}


class EpochSampler(Sampler[Key]):
    """Shuffled order as a pure function of (seed, epoch), with the epoch handed on in each key.

    Parameters
    ----------
    tiles
        How many there are.
    seed
        Seed of the shuffle.
    rank, ranks
        Which of how many processes; each gets every `ranks`-th tile, all the same number.
    """

    def __init__(self, tiles: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.tiles, self.seed, self.rank, self.ranks = tiles, seed, rank, ranks
        self.epoch = 0
        self.skip = 0  # tiles that were trained on before a run was interrupted

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Key]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.tiles)
        mine = order[: len(self) * self.ranks][self.rank :: self.ranks]
        start, self.skip = self.skip, 0
        return iter((self.epoch * self.tiles + mine[start:]).tolist())

    def __len__(self) -> int:
        return self.tiles // self.ranks


def one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Fetch each batch in a thread while the one before it is used: for where a GPU does the work."""
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(next, batches, None)
        while (batch := ahead.result()) is not None:
            ahead = reader.submit(next, batches, None)
            yield batch


class TileLoader(DataLoader[Batch]):
    """A loader that, without loader processes beside a GPU, fetches one batch ahead in a thread."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches = super().__iter__()
        return one_ahead(batches) if self.num_workers == 0 and self.pin_memory else batches


class ResumableLoader(TileLoader):
    """A loader that a checkpoint can put back to the batch it had reached.

    Attributes
    ----------
    waited
        Seconds that whoever takes the batches has waited for them, so far.
    """

    waited = 0.0
    _done = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        sampler = cast(EpochSampler, self.sampler)
        self._done = sampler.skip // cast(int, self.batch_size)
        asked = time.perf_counter()
        for batch in super().__iter__():
            self._done += 1
            self.waited += time.perf_counter() - asked
            yield batch
            asked = time.perf_counter()
        self._done = 0

    def state_dict(self) -> dict[str, int]:
        """How many batches of this epoch were handed out; Lightning stores it in a checkpoint."""
        return {"batches": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Begin the next epoch behind the batches that were handed out."""
        cast(EpochSampler, self.sampler).skip = state["batches"] * cast(int, self.batch_size)


def tile_loader(
    dataset: TileDataset, batch_size: int, num_workers: int, rank: int = 0, ranks: int = 1, *, on_gpu: bool = False
) -> TileLoader:
    """Batches of a dataset, every tile once, in its order.

    Of several processes, each gets every `ranks`-th batch. Batches are smaller than asked for where
    there would be fewer of them than processes. They are pinned in memory where they go `on_gpu`.
    """
    size = max(1, min(batch_size, len(dataset) // ranks))
    mine = [row for row in range(len(dataset)) if row // size % ranks == rank]
    return TileLoader(dataset, batch_size=size, sampler=mine, **_loading(num_workers, on_gpu))


def training_loader(
    dataset: TileDataset, batch_size: int, num_workers: int, sampler: EpochSampler, *, on_gpu: bool = False
) -> ResumableLoader:
    """Batches in the order of a sampler, without the last, smaller one, and able to resume.

    They are pinned in memory where they go `on_gpu`.
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
    """Loader processes: as wanted, else none on the CPU or for a packed store, else one a core; 8 at most."""
    if wanted is not None and wanted < 0:
        raise InputError(f"`num_workers` must be at least 0, not {wanted}")
    if wanted is not None:
        return wanted
    return min(8, _own_cores()) if on_gpu and not packed else 0


def _own_cores() -> int:
    """Count the cores that this process may use, divided by the processes of its job that may use them, too."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # by torchrun, or by `amazon_ml.runtime.distributed.started`
    return max(1, len(os.sched_getaffinity(0)) // here)


def _loading(num_workers: int, on_gpu: bool) -> dict[str, Any]:
    return {
        "num_workers": num_workers,
        "collate_fn": _as_fetched,
        "worker_init_fn": _start_worker,
        "pin_memory": on_gpu,
    }


def _as_fetched(batch: Batch) -> Batch:
    return batch


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # workers are the threads; more would take turns
    # Schedulers signal every process of a job, and training needs its loaders up to its next checkpoint.
    for sign in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(sign, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    """End at a SIGTERM of the process that is loaded for, which would wait forever otherwise, and at no other."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
