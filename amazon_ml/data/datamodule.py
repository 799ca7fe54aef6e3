"""The LightningDataModule of the competition's tiles, or of any other tagged tiles."""

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from amazon_ml.data.augment.augment import Augmentation
from amazon_ml.data.augment.channels import check_steps, warn_of_steps
from amazon_ml.data.augment.mix import Mix
from amazon_ml.data.batches.dataset import (
    Batch,
    EpochSampler,
    ResumableLoader,
    TileDataset,
    begin_next_epochs,
    loader_workers,
    tile_loader,
    training_loader,
)
from amazon_ml.data.batches.sources import JoinedTiles, PackedTiles, TileFiles, TileSource
from amazon_ml.data.batches.statistics import channel_statistics, draw_tiles
from amazon_ml.data.batches.taught_sampler import TaughtSampler
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.untrained import warn_of_untrained
from amazon_ml.data.checks.alike import check_alike
from amazon_ml.data.config import DataConfig
from amazon_ml.data.folds.folds import fold_catalog, read_folds, write_folds
from amazon_ml.data.readers.bands import TileReader, name_bands, parse_bands
from amazon_ml.data.readers.broken import check_whole
from amazon_ml.data.readers.fitting import check_reading, finds_as, fit_tiles
from amazon_ml.data.readers.reader_file import read_reader, write_reader
from amazon_ml.data.readers.stretch import Stretch, stretch_of
from amazon_ml.data.soft_labels import soft_targets
from amazon_ml.data.store.pack import default_store
from amazon_ml.data.store.packed import PackedStore, check_pixels, check_unchanged, open_store
from amazon_ml.data.taught import Taught, list_untagged, mixed_targets, read_taught
from amazon_ml.errors import InputError, NotSetUpError
from amazon_ml.runtime import distributed
from amazon_ml.settings import AnyPath, build, to_plain

log = logging.getLogger(__name__)


class PlanetDataModule(pl.LightningDataModule):
    """Tiles with their multi-hot tags, split into a training part and a held-out fold.

    Training batches hold the labelled tiles outside of the fold, batches of validation the tiles in the fold, and
    batches of prediction the untagged tiles and those of a published test split. Batches of test hold that split, or
    else the tiles in the fold. A batch is a dictionary of ``image`` (uint8, or `dtype`, of shape (tiles, size,
    size, bands)), ``index`` (int64, the position of each tile in `train_rows`, after which untagged tiles of a teacher
    follow, in `valid_rows`, ``catalog.tested`` or ``catalog.unlabelled``) and, for labelled tiles, ``target`` (float32,
    of shape (tiles, tags)). No file is written, unless `folds_file` or `bands_file` are given.

    Parameters
    ----------
    root
        Folder of tiles; its layout is found (the competition's, its mirror's, or a CSV of names and tags above tiles).
    fold
        The fold that is held out.
    folds_file
        CSV of ``image_name`` and ``fold``. It is written if it does not exist, else read and checked. If None, each
        process makes the same folds in memory.
    bands_file
        JSON of the reader of tiles. It is written if it does not exist, else read and checked. If None, each process
        fits the same reader in memory.
    teacher_file
        Parquet of the probabilities that the teacher gives the training tiles of this fold, for the option `teacher`;
        `amazon_ml.train` writes it.
    seed
        Seed of folds, order and augmentation.
    on_gpu
        Whether batches go to a GPU. If None: whether there is one.
    options
        Any other option of `amazon_ml.data.config.DataConfig`, such as ``size=64`` or ``bands="rgbn"``.

    Attributes
    ----------
    catalog
        The tiles and their tags; ``catalog.tags.names`` is the order of the columns of targets.
    train_rows, valid_rows
        Positions of the training tiles, and of the held-out tiles, among the labelled tiles; after `setup`.
    read
        Reader of the bands of a tile; after `setup`.

    Raises
    ------
    InputError
        For options that cannot be, here or in `setup`, for tiles or tables that are missing or damaged, and for
        loaders before `setup`.

    Examples
    --------
    >>> data = PlanetDataModule("data/demo", size=64, batch_size=16)
    >>> data.setup("fit")
    >>> batch = next(iter(data.train_dataloader()))
    >>> batch["image"].shape, batch["target"].shape
    (torch.Size([16, 64, 64, 3]), torch.Size([16, 17]))
    """

    train_rows: np.ndarray
    valid_rows: np.ndarray

    def __init__(
        self, root: AnyPath, *, fold: int = 0, folds_file: AnyPath | None = None, bands_file: AnyPath | None = None,
        teacher_file: AnyPath | None = None, seed: int = 0, on_gpu: bool | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        config = build(DataConfig, {"root": root, **options})
        check_reading(config)
        given = {"folds_file": folds_file, "bands_file": bands_file, "teacher_file": teacher_file}
        files = {name: None if file is None else os.fspath(file) for name, file in given.items()}  # text in checkpoints
        own = {"fold": fold, **files, "seed": seed, "on_gpu": on_gpu}
        self.save_hyperparameters({**to_plain(config), **own}, logger=False)
        self.config = config
        self.on_gpu = torch.cuda.is_available() if on_gpu is None else on_gpu
        self.bands = parse_bands(config.bands)
        self.augmentation = Augmentation(config.augment, seed, config.size, len(self.bands), _mix(config, seed))
        check_steps(config, self.bands, self.augmentation)

    @cached_property
    def catalog(self) -> Catalog:
        """The tiles of the folder, at most `max_samples`; read once."""
        hp = self.hparams
        catalog = read_catalog(Path(self.config.root), self.config)
        if catalog.labelled.empty:
            raise InputError("all tiles are in the published test split, and none is to train on",
                             file=self.config.root, option="data.labels_file")  # fmt: skip
        limit = hp["max_samples"]
        if limit is None:
            return catalog
        drawn = np.random.default_rng(hp["seed"]).permutation(len(catalog.labelled))[:limit]
        return catalog.subset(np.sort(drawn), unlabelled=limit)

    @cached_property
    def store(self) -> PackedStore | None:
        """The packed store, found and compared with the folder; None if tiles are read from their files."""
        hp = self.hparams
        path = Path(hp["packed"] or default_store(Path(hp["root"]), self.bands, hp["size"], hp["dtype"]))
        if hp["packed"] is None and not path.exists():
            return None
        store = open_store(path)
        if (store.size, store.bands) != (hp["size"], self.bands):
            raise InputError(
                f"the packed store holds {name_bands(store.bands)} at {store.size} px, not {name_bands(self.bands)} at "
                f"{hp['size']} px", file=path, option="data.packed",
                remedy="set `data.size` and `data.bands`, or pack again",
            )  # fmt: skip
        if store.reader.rgb_source != self.catalog.rgb_source:
            raise InputError(
                f"the packed store holds red, green and blue of {store.reader.rgb_source} files, not of "
                f"{self.catalog.rgb_source} files", file=path, option="data.packed",
                remedy="set `data.rgb_source`, or pack again",
            )  # fmt: skip
        if not finds_as(store.reader, self.config):
            raise InputError(
                "the packed store holds bands of other files, names or types", file=path, option="data.packed",
                remedy="pack again with these `data.files`, `data.band_names`, `data.reflectance` and `data.dtype`",
            )  # fmt: skip
        check_unchanged(store, self.catalog, partial=bool(hp["max_samples"] or hp["exclude"]))
        check_pixels(store)
        log.info("reading tiles from %s", path)
        return store

    @cached_property
    def untagged(self) -> pd.DataFrame:
        """The untagged tiles that the teacher may tag, with the files of each; listed once."""
        folder = None if self.config.untagged is None else Path(self.config.untagged)
        return list_untagged(self.catalog, folder, self.read, self.config.max_samples)

    def prepare_data(self, *, predicts: bool = False) -> None:
        """Check the tiles, with `predicts` untagged ones, too, and write the files; called in one process only."""
        hp, shapes, catalog = self.hparams, None, self.catalog
        warn_of_steps(self.config, self.bands)
        if self.store is None:
            shapes = check_whole(catalog.labelled, catalog.unlabelled, catalog.files, tested=len(catalog.tested))
        folds, bands = hp["folds_file"], hp["bands_file"]
        if folds is not None and not Path(folds).exists():
            write_folds(Path(folds), self.catalog, hp["fold_by"], hp["n_folds"], hp["seed"])
        if bands is not None and not Path(bands).exists():
            write_reader(Path(bands), self._fit_reader())
        if shapes is not None:
            reader = self._own_reader if bands is None else read_reader(Path(bands))
            check_alike(shapes, reader, catalog, predicts=predicts)

    def setup(self, stage: str | None = None) -> None:
        """Split the tiles into training and held-out tiles; every process makes the same split."""
        self._check_sampler()
        if self.trainer is not None:
            begin_next_epochs(self.trainer)
        file = self.hparams["bands_file"]
        self.read = self._own_reader if file is None else read_reader(Path(file))
        if self.read.bands != self.bands or not finds_as(self.read, self.config):
            other = "" if self.read.bands != self.bands else " of other files or names"
            problem = f"the file is for the bands {name_bands(self.read.bands)}{other}, in {self.read.dtype}"
            raise InputError(problem, file=file, option="data.bands", remedy="delete it")
        if self.store and self.store.reader != self.read:
            problem = "the store was packed with another order or other limits of TIF bands than"
            if file is None:
                raise InputError(
                    f"{problem} those of `data.tif_order` and `data.tif_limits`", file=self.store.path,
                    option="data.packed", remedy="omit these options, or pack again with them",
                )  # fmt: skip
            raise InputError(f"{problem} those of {file}", file=self.store.path, option="data.packed",
                             remedy=f"pack again with `bands_file` {file}")  # fmt: skip
        everything = np.arange(len(self.catalog.labelled))
        self.train_rows = self.valid_rows = everything
        if self.hparams["validate"]:
            fold, file = self._folds()
            held_out = fold == self.hparams["fold"]
            if not held_out.any() or held_out.all():
                within = f" in {file}" if file else ""
                raise InputError(
                    f"fold {self.hparams['fold']} holds {held_out.sum()} of {len(fold)} tiles{within}", option="fold",
                    remedy="count folds from 0; each needs tiles in and outside of it",
                )  # fmt: skip
            self.train_rows, self.valid_rows = everything[~held_out], everything[held_out]
        if self.hparams["folds_file"] is None:  # a run says it once, of all its folds
            warn_of_untrained(self.catalog, self.config, np.isin(everything, self.train_rows))

    def train_dataloader(self) -> ResumableLoader:
        """Augmented batches, shuffled again each epoch; with a teacher, of tagged and untagged tiles."""
        hp, share = self.hparams, (distributed.rank(), distributed.count())
        if self.config.teacher is None:
            dataset, untagged = self._labelled(self.train_rows, self.soft_targets, self.augmentation), 0
        else:
            dataset, untagged = self._taught(self.train_rows)
        tagged = len(dataset) - untagged
        sampler = (
            TaughtSampler(tagged, untagged, hp["batch_size"], hp["untagged_share"], hp["seed"], *share)
            if untagged
            else EpochSampler(tagged, hp["seed"], *share)
        )
        return training_loader(dataset, hp["batch_size"], self.num_workers, sampler, on_gpu=self.on_gpu)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the held-out tiles, not augmented, in the order of `valid_rows`; each process has a share."""
        return self._as_is(self._labelled(self.valid_rows, self.catalog.targets))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the published test split, in the order of `catalog.tested`; without one, like `val_dataloader`."""
        tested = self.catalog.tested
        if tested.empty:
            return self.val_dataloader()
        return self._as_is(TileDataset(self._source(tested, labelled=False), self.catalog.tested_targets))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches of ``catalog.unlabelled`` without augmentation, in its order; each process has a share."""
        return self._as_is(TileDataset(self._source(self.catalog.unlabelled, labelled=False)))

    @property
    def frequencies(self) -> torch.Tensor:
        """Share of the training tiles with each tag, for losses and the bias of the head: float32 (tags,)."""
        return torch.from_numpy(self.catalog.targets[self.train_rows]).float().mean(dim=0)

    def statistics(self) -> tuple[list[float], list[float]]:
        """Compute mean and standard deviation of each band, in 0..1, over training tiles of this fold, 500 at most."""
        drawn = draw_tiles(self.train_rows, self.hparams["seed"])
        return channel_statistics(self._source(self.catalog.labelled, labelled=True, rows=drawn))

    @property
    def stretch(self) -> Stretch:
        """By the name of each band, the values of the files that became 0 and 255; after `setup`."""
        return stretch_of(self.read)

    @property
    def network_seed(self) -> int:
        """Seed of the weights and the dropout of the network of this fold."""
        return int(self.hparams["seed"] + self.hparams["fold"])

    @property
    def num_workers(self) -> int:
        """Number of loader processes."""
        return loader_workers(self.hparams["num_workers"], on_gpu=self.on_gpu, packed=self.store is not None)

    @cached_property
    def soft_targets(self) -> np.ndarray:
        """Targets of training: the labels, and soft labels where they are doubted."""
        table, catalog = self.hparams["soft_labels"], self.catalog
        if table is None:
            return catalog.targets
        return soft_targets(catalog.targets, catalog.labelled["image_name"], catalog.tags.names, Path(table))

    if not TYPE_CHECKING:  # else each misspelt attribute would be one of any type

        def __getattr__(self, name: str) -> Any:
            """Name the remedy for what `setup` makes."""
            if name in ("train_rows", "valid_rows", "read"):
                raise NotSetUpError(f"`{name}` is there after `setup`", option=name, remedy="call setup('fit') first")
            return object.__getattribute__(self, name)  # the error of a property, or of a name that there is not

    def _labelled(self, rows: np.ndarray, targets: np.ndarray, augmentation: Augmentation | None = None) -> TileDataset:
        source = self._source(self.catalog.labelled, labelled=True, rows=rows)
        return TileDataset(source, targets, augmentation, rows)

    @cached_property
    def taught(self) -> Taught:
        """The teacher's probabilities for the training tiles of this fold."""
        file = self.hparams["teacher_file"]
        if file is None:
            raise InputError("the data module needs a file of the teacher's probabilities", option="teacher",
                             remedy="train with amazon_ml.train, or give the `teacher_file` of such a run")  # fmt: skip
        return read_taught(Path(file), self.catalog.tags.names)

    def _taught(self, rows: np.ndarray) -> tuple[TileDataset, int]:
        """Make the dataset of tagged tiles, and after them of the untagged tiles that a teacher tags; count these."""
        config, tagged = self.config, self.catalog.labelled.iloc[rows]
        targets = mixed_targets(
            self.soft_targets[rows], tagged["image_name"], self.taught.tagged, config.teacher_weight
        )
        source = self._source(tagged, labelled=True)
        if not config.untagged_share:
            return TileDataset(source, targets, self.augmentation), 0
        taught = self.taught.confident(config.least_confidence)
        if taught.empty:
            raise InputError(f"the teacher is so confident of none of {len(self.taught.untagged):,} untagged tiles",
                             option="data.least_confidence", remedy="lower `data.least_confidence`")  # fmt: skip
        files = self.untagged.set_index("image_name", drop=False)
        missing = taught.index.difference(files.index)
        if len(missing):
            raise InputError(f"the untagged tile {missing[0]} is gone, with {len(missing) - 1:,} others",
                             file=config.untagged or config.root)  # fmt: skip
        tiles = files.loc[taught.index]
        untagged = TileFiles(tiles, self.read, config.size) if config.untagged else self._source(tiles, labelled=False)
        weights = np.repeat([1.0, config.untagged_weight], [len(targets), len(taught)])
        return TileDataset(
            JoinedTiles(source, untagged), np.concatenate([targets, taught.to_numpy(dtype=np.float32)]),
            self.augmentation, weights=None if config.untagged_weight == 1 else weights,
        ), len(taught)  # fmt: skip

    def _source(self, tiles: pd.DataFrame, *, labelled: bool, rows: np.ndarray | None = None) -> TileSource:
        if self.store:
            names = tiles["image_name"] if rows is None else tiles["image_name"].iloc[rows]
            return PackedTiles(self.store, self.store.rows(names, labelled=labelled))
        return TileFiles(tiles, self.read, self.hparams["size"], rows)

    def _check_sampler(self) -> None:
        """Check that a trainer of several processes does not replace the sampler of this module."""
        trainer = self.trainer
        if trainer is not None and trainer.world_size > 1:
            connector: Any = trainer._accelerator_connector
            if connector.use_distributed_sampler:
                raise InputError(
                    "the data module shares the tiles between processes itself", option="use_distributed_sampler",
                    remedy="make the Trainer with use_distributed_sampler=False",
                )  # fmt: skip

    def _folds(self) -> tuple[npt.NDArray[np.integer], str | None]:
        """Return the fold of each labelled tile, and the file of the folds, if there is one."""
        file = self.hparams["folds_file"]
        if file is None:
            return self._own_folds, None
        return read_folds(Path(file), self.catalog.labelled["image_name"]).to_numpy(), file

    @cached_property
    def _own_folds(self) -> npt.NDArray[np.integer]:
        hp = self.hparams
        table = fold_catalog(self.catalog, hp["fold_by"], hp["n_folds"], hp["seed"])
        folds: npt.NDArray[np.integer] = table["fold"].to_numpy()
        return folds

    @cached_property
    def _own_reader(self) -> TileReader:
        return self._fit_reader()

    def _fit_reader(self) -> TileReader:
        hp, catalog = self.hparams, self.catalog
        if self.store and hp["tif_limits"] is None and hp["tif_order"] in (None, self.store.reader.tif_order):
            self._check_limits(self.store)
            return self.store.reader
        return fit_tiles(catalog.scaling_tiles, self.config, catalog.rgb_source, catalog.source, hp["seed"])

    def _check_limits(self, store: PackedStore) -> None:
        """Check that the limits of a store do not come from tiles of a published validation split."""
        hp, held_out = self.hparams, self.catalog.held_out_sha256
        partial = hp["max_samples"] or hp["exclude"]  # then the split is not whole
        if held_out is None or not store.reader.limits or (store.held_out if partial else store.held_out == held_out):
            return
        raise InputError(
            "the limits of the packed store come from tiles of the published validation split, too", file=store.path,
            option="data.packed", remedy="pack again with the options of the splits, or set `data.tif_limits`",
        )  # fmt: skip

    def _as_is(self, dataset: TileDataset) -> DataLoader[Batch]:
        size, share = self.hparams["predict_batch_size"], (distributed.rank(), distributed.count())
        return tile_loader(dataset, size, self.num_workers, *share, on_gpu=self.on_gpu)


def _mix(config: DataConfig, seed: int) -> Mix | None:
    if config.mixup_alpha is None and config.cutmix_alpha is None:
        return None
    return Mix(config.mixup_alpha, config.cutmix_alpha, config.mix_prob, seed)
