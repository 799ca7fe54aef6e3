"""Tiles as batches: uint8 images, so that little crosses to the device; the network normalises."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from amazon_ml.data.augment import D4, Augmentation, symmetric
from amazon_ml.data.catalog import Catalog, read_catalog
from amazon_ml.data.folds import make_folds, read_folds
from amazon_ml.data.images import read_tile, resize
from amazon_ml.errors import InputError
from amazon_ml.files import write_table
from amazon_ml.labels import MultiHot
from amazon_ml.lightning import pl

#: ``image`` uint8 (tiles, size, size, 3); ``index`` int64 (tiles,); ``target`` float32 (tiles, tags).
Batch = dict[str, torch.Tensor]
#: Which tile in which epoch, as one number: epoch * tiles + position. In epoch 0 it is the position.
Key = int


class TileDataset(Dataset[Batch]):
    """Tiles by position, fetched a batch at a time.

    Parameters
    ----------
    paths
        Image files.
    size
        Edge of the square that tiles are scaled to, pixels.
    targets
        Multi-hot array of shape (tiles, tags), for labelled tiles.
    augmentation
        Applied after scaling; none for held-out tiles.
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: int,
        targets: MultiHot | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.paths, self.size, self.targets, self.augmentation = list(paths), size, targets, augmentation

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, keys: list[Key]) -> Batch:
        """Fetch a batch, without the detour of a dictionary and a copy for each tile."""
        epochs, indices = np.divmod(keys, len(self))
        images = np.empty((len(keys), self.size, self.size, 3), dtype=np.uint8)
        which = self.augmentation.symmetries(epochs, indices) if self.augmentation else None
        for slot, (epoch, index) in enumerate(zip(epochs, indices, strict=True)):
            tile = resize(read_tile(Path(self.paths[index])), self.size)
            if which is not None:
                tile = symmetric(tile, which[slot])
            images[slot] = self.augmentation(tile, epoch, index) if self.augmentation else tile
        batch = {"image": torch.from_numpy(images), "index": torch.from_numpy(indices)}
        if self.targets is not None:
            batch["target"] = torch.from_numpy(self.targets[indices].astype(np.float32))
        return batch


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


class ResumableLoader(DataLoader[Batch]):
    """A loader that a checkpoint can put back to the batch it had reached."""

    _done = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        sampler = cast(EpochSampler, self.sampler)
        self._done = sampler.skip // cast(int, self.batch_size)
        for batch in super().__iter__():
            self._done += 1
            yield batch
        self._done = 0

    def state_dict(self) -> dict[str, int]:
        """How many batches of this epoch were handed out; Lightning stores it in a checkpoint."""
        return {"batches": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Begin the next epoch behind the batches that were handed out."""
        cast(EpochSampler, self.sampler).skip = state["batches"] * cast(int, self.batch_size)


def tile_loader(dataset: TileDataset, batch_size: int, workers: int) -> DataLoader[Batch]:
    """Batches of a dataset, every tile once, in its order."""
    return DataLoader(dataset, batch_size=batch_size, **_loading(workers))


def training_loader(dataset: TileDataset, batch_size: int, workers: int, sampler: EpochSampler) -> ResumableLoader:
    """Batches in the order of a sampler, without the last, smaller one, and able to resume."""
    return ResumableLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=len(sampler) >= batch_size,
        persistent_workers=workers > 0,
        **_loading(workers),
    )


class PlanetDataModule(pl.LightningDataModule):
    """Tiles with their multi-hot tags, split into a training part and a held-out fold.

    Parameters
    ----------
    root
        Folder of tiles; its layout is found (the competition's, its mirror's, or one CSV of names
        and tags above a tree of images).
    table
        CSV of names and tags; found when not given.
    images
        Folder of labelled images; found when not given.
    tags
        The tag list, in the order of columns. When not given: the competition's 17 where the table
        has one of its names, else the distinct tags of the table, sorted.
    name_column
        Column of the table with file names; common names are understood.
    tags_column
        Column of the table with tags; common names are understood.
    tag_separator
        What stands between tags in a row; any white space when not given.
    allow_missing
        Leave out rows whose file is missing, instead of refusing the folder.
    size
        Edge of the square that tiles are scaled to, pixels.
    batch_size
        Tiles in a training batch, on each device.
    predict_batch_size
        Tiles in a batch of held-out or untagged tiles, on each device.
    workers
        Loader processes. When not given: none on the CPU, where they would take cores from the
        network; else one a core, 8 at the most.
    augment
        albumentations steps for training tiles, each a name with its arguments.
    n_folds
        Number of folds.
    hold_out
        False trains on every tile and validates on the same ones: for a last network after
        cross-validation, or to see that a network can overfit. Its scores are not honest ones.
    limit
        Use only so many labelled tiles, drawn with the seed, and so many of the first untagged ones;
        for a quick look.
    fold
        The fold that is held out.
    folds_file
        CSV of ``image_name`` and ``fold``. Written when it is not there, else read and checked.
    seed
        Seed of folds, order and augmentation.
    """

    train_rows: np.ndarray
    valid_rows: np.ndarray

    def __init__(
        self,
        root: str,
        table: str | None = None,
        images: str | None = None,
        tags: list[str] | None = None,
        name_column: str | None = None,
        tags_column: str | None = None,
        tag_separator: str | None = None,
        allow_missing: bool = False,
        size: int = 256,
        batch_size: int = 64,
        predict_batch_size: int = 256,
        workers: int | None = None,
        augment: list[dict[str, dict[str, Any]]] = [dict(D4)],  # noqa: B006 (shown as the default; never changed)
        n_folds: int = 5,
        hold_out: bool = True,
        limit: int | None = None,
        fold: int = 0,
        folds_file: str = "folds.csv",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size < 8 or batch_size < 1 or predict_batch_size < 1:
            raise InputError("data.size must be at least 8, and batch sizes at least 1")
        if (limit is not None and limit < 1) or (workers is not None and workers < 0):
            raise InputError("data.limit must be at least 1, and data.workers at least 0")
        self.save_hyperparameters(logger=False)
        self.augmentation = Augmentation(augment, seed, size)

    @cached_property
    def catalog(self) -> Catalog:
        """The tiles of the folder, or so many as the limit allows; read once."""
        hp = self.hparams
        catalog = read_catalog(Path(hp["root"]), **catalog_options(hp))
        limit = hp["limit"]
        if limit is None:
            return catalog
        drawn = np.random.default_rng(hp["seed"]).permutation(len(catalog.labelled))[:limit]
        return catalog.subset(np.sort(drawn), unlabelled=limit)

    def prepare_data(self) -> None:
        """Write the folds, once; Lightning calls this in one process only."""
        path, hp = Path(self.hparams["folds_file"]), self.hparams
        if not path.exists():
            names = self.catalog.labelled["image_name"]
            write_table(path, make_folds(names, self.catalog.targets, hp["n_folds"], hp["seed"]))

    def setup(self, stage: str | None = None) -> None:
        """Read the folds; nothing is made here, so every process sees the same."""
        everything = np.arange(len(self.catalog.labelled))
        self.train_rows = self.valid_rows = everything
        if self.hparams["hold_out"]:
            fold = read_folds(Path(self.hparams["folds_file"]), self.catalog.labelled["image_name"])
            held_out = (fold == self.hparams["fold"]).to_numpy()
            if not held_out.any() or held_out.all():
                raise InputError(f"fold {self.hparams['fold']} holds {held_out.sum()} of {len(fold)} tiles")
            self.train_rows, self.valid_rows = everything[~held_out], everything[held_out]

    def train_dataloader(self) -> ResumableLoader:
        """Augmented batches, shuffled anew each epoch."""
        trainer = self.trainer
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        dataset = self._labelled(self.train_rows, self.augmentation)
        sampler = EpochSampler(len(dataset), self.hparams["seed"], rank, ranks)
        return training_loader(dataset, self.hparams["batch_size"], self.workers, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the held-out tiles, as they are, in the order of `valid_rows`."""
        return self._as_is(self._labelled(self.valid_rows))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the untagged tiles, as they are, in the order of the catalog."""
        return self._as_is(TileDataset(self.catalog.unlabelled["path"].tolist(), self.hparams["size"]))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches of the untagged tiles, like `test_dataloader`."""
        return self.test_dataloader()

    @property
    def workers(self) -> int:
        """Loader processes, decided."""
        return loader_workers(self.hparams["workers"])

    def _labelled(self, rows: np.ndarray, augmentation: Augmentation | None = None) -> TileDataset:
        paths = self.catalog.labelled["path"].iloc[rows].tolist()
        return TileDataset(paths, self.hparams["size"], self.catalog.targets[rows], augmentation)

    def _as_is(self, dataset: TileDataset) -> DataLoader[Batch]:
        return tile_loader(dataset, self.hparams["predict_batch_size"], self.workers)


def catalog_options(data: Mapping[str, Any]) -> dict[str, Any]:
    """Pick from the data options those of `read_catalog`."""
    paths = {key: Path(data[key]) if data[key] else None for key in ("table", "images")}
    plain = ("tags", "name_column", "tags_column", "tag_separator", "allow_missing")
    return {**paths, **{key: data[key] for key in plain}}


def loader_workers(wanted: int | None) -> int:
    """Loader processes: as wanted, else none on the CPU, else one a core, 8 at the most."""
    if wanted is not None:
        return wanted
    return min(8, os.cpu_count() or 1) if torch.cuda.is_available() else 0


def _loading(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "collate_fn": _as_fetched,
        "worker_init_fn": _start_worker,
        "pin_memory": torch.cuda.is_available(),
    }


def _as_fetched(batch: Batch) -> Batch:
    return batch


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # workers are the threads; more would take turns
