"""Tiles as batches: uint8 images, so that little crosses to the device; the network normalises."""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from amazon_ml.data.augment import D4, Augmentation
from amazon_ml.data.bands import TileReader, check_order, fit_limits, need_tif, parse_bands, read_reader, write_reader
from amazon_ml.data.catalog import Catalog, read_catalog
from amazon_ml.data.folds import read_folds, write_folds
from amazon_ml.data.images import Image, resize
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot
from amazon_ml.lightning import pl

#: ``image`` uint8 (tiles, size, size, bands); ``index`` int64 (tiles,); ``target`` float32 (tiles, tags).
Batch = dict[str, torch.Tensor]
#: Which tile in which epoch, as one number: epoch * tiles + position. In epoch 0 it is the position.
Key = int


class TileDataset(Dataset[Batch]):
    """Tiles by position, fetched a batch at a time.

    Parameters
    ----------
    tiles
        Table with ``path`` and ``tif`` of each tile, as a catalog holds it.
    read
        How a tile's bands are read.
    size
        Edge of the square that tiles are scaled to, pixels.
    targets
        Multi-hot array of shape (tiles, tags), for labelled tiles.
    augmentation
        Applied after scaling; none for held-out tiles.
    """

    def __init__(
        self,
        tiles: pd.DataFrame,
        read: TileReader,
        size: int,
        targets: MultiHot | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.paths, self.tifs = tiles["path"].tolist(), tiles["tif"].tolist()
        self.read, self.size, self.targets, self.augmentation = read, size, targets, augmentation

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, keys: list[Key]) -> Batch:
        """Fetch a batch, without the detour of a dictionary and a copy for each tile."""
        indices = [key % len(self) for key in keys]
        images = np.empty((len(keys), self.size, self.size, len(self.read.bands)), dtype=np.uint8)
        for slot, key in enumerate(keys):
            epoch, index = divmod(key, len(self))
            tile = resize(self.read(self.paths[index], self.tifs[index]), self.size)
            images[slot] = self._augmented(tile, epoch, index) if self.augmentation else tile
        batch = {"image": torch.from_numpy(images), "index": torch.tensor(indices)}
        if self.targets is not None:
            batch["target"] = torch.from_numpy(self.targets[indices].astype(np.float32))
        return batch

    def _augmented(self, tile: Image, epoch: int, index: int) -> Image:
        assert self.augmentation is not None
        augmented = self.augmentation(tile, epoch, index)
        if augmented.dtype != np.uint8 or augmented.shape != tile.shape:
            height, width = tile.shape[:2]
            raise InputError(
                f"data.augment: steps must keep uint8 and {height} x {width} px, since the network normalises; "
                f"these give {augmented.dtype} of shape {augmented.shape}"
            )
        return augmented


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
    bands
        Channels of a tile: letters of ``rgbn`` and the indices ``ndvi`` and ``ndwi``, joined by ``+``,
        such as ``rgb``, ``rgbn``, ``nrg`` or ``rgb+ndvi``.
    colours
        Files that red, green and blue are read from, ``jpg`` or ``tif``; by default the JPGs where
        there are any, since people made the tags from those. Near infrared is always read from TIFs.
    tif_order
        Letters of the bands in a TIF, as they lie there; by default ``bgrn`` for four, ``rgb`` for three.
    tif_limits
        For each band of a TIF, by its letter, the values that become 0 and 255. When not given:
        percentiles 1 and 99 of up to 500 labelled tiles, stored in `bands_file`.
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
    fold_by
        ``tags`` stratifies tile by tile; ``scenes`` keeps tiles that touch in one fold, and spreads the
        tags as evenly as that allows. Which tiles touch is kept in neighbours.csv beside `folds_file`.
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
    bands_file
        JSON that says how tiles are read. Written when it is not there, else read and checked.
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
        bands: str = "rgb",
        colours: Literal["jpg", "tif"] | None = None,
        tif_order: str | None = None,
        tif_limits: dict[str, list[float]] | None = None,
        size: int = 256,
        batch_size: int = 64,
        predict_batch_size: int = 256,
        workers: int | None = None,
        augment: list[dict[str, dict[str, Any]]] = [dict(D4)],  # noqa: B006 (shown as the default; never changed)
        n_folds: int = 5,
        fold_by: Literal["tags", "scenes"] = "tags",
        hold_out: bool = True,
        limit: int | None = None,
        fold: int = 0,
        folds_file: str = "folds.csv",
        bands_file: str = "bands.json",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size < 8 or batch_size < 1 or predict_batch_size < 1:
            raise InputError("data.size must be at least 8, and batch sizes at least 1")
        if (limit is not None and limit < 1) or (workers is not None and workers < 0):
            raise InputError("data.limit must be at least 1, and data.workers at least 0")
        self.save_hyperparameters(logger=False)
        check_order(tif_order, tif_limits)
        self.bands = parse_bands(bands)
        self.augmentation = Augmentation(augment, seed)

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
        """Write the folds and how tiles are read, once; Lightning calls this in one process only."""
        hp = self.hparams
        folds, bands = Path(hp["folds_file"]), Path(hp["bands_file"])
        if not folds.exists():
            write_folds(folds, self.catalog, hp["fold_by"], hp["n_folds"], hp["seed"])
        if not bands.exists():
            write_reader(bands, self._fit_reader())

    def setup(self, stage: str | None = None) -> None:
        """Read what was prepared; nothing is made here, so every process sees the same."""
        self.read = read_reader(Path(self.hparams["bands_file"]))
        if self.read.bands != self.bands:
            raise InputError(f"{self.hparams['bands_file']} is for bands {'+'.join(self.read.bands)}; delete it")
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
        return self._as_is(TileDataset(self.catalog.unlabelled, self.read, self.hparams["size"]))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches of the untagged tiles, like `test_dataloader`."""
        return self.test_dataloader()

    @property
    def workers(self) -> int:
        """Loader processes, decided."""
        return loader_workers(self.hparams["workers"])

    def _labelled(self, rows: np.ndarray, augmentation: Augmentation | None = None) -> TileDataset:
        tiles, targets = self.catalog.labelled.iloc[rows], self.catalog.targets[rows]
        return TileDataset(tiles, self.read, self.hparams["size"], targets, augmentation)

    def _fit_reader(self) -> TileReader:
        hp, catalog = self.hparams, self.catalog
        limits: dict[str, tuple[float, float]] = {}
        if hp["tif_limits"] is not None:
            limits = {letter: (low, high) for letter, (low, high) in hp["tif_limits"].items()}
        elif catalog.colours == "tif" or need_tif(self.bands):
            tifs = catalog.labelled["path" if catalog.colours == "tif" else "tif"].tolist()
            limits = fit_limits(tifs, hp["tif_order"], hp["seed"])
        return TileReader(self.bands, limits, hp["tif_order"], catalog.colours)

    def _as_is(self, dataset: TileDataset) -> DataLoader[Batch]:
        return tile_loader(dataset, self.hparams["predict_batch_size"], self.workers)


def catalog_options(data: Mapping[str, Any]) -> dict[str, Any]:
    """Pick from the data options those of `read_catalog`."""
    paths = {key: Path(data[key]) if data[key] else None for key in ("table", "images")}
    plain = ("tags", "name_column", "tags_column", "tag_separator", "allow_missing", "colours")
    return {**paths, **{key: data[key] for key in plain}, "bands": parse_bands(data["bands"])}


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
