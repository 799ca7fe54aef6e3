"""Contests of loading batches on one core, from JPEGs and from a packed store, against a usual Dataset."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from amazon_ml.bench.measure import Contest, Ratio
from amazon_ml.data.augment.augment import D4, Augmentation
from amazon_ml.data.batches.dataset import EpochSampler, TileDataset, training_loader
from amazon_ml.data.batches.sources import TileFiles, TileSource
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.store.pack import pack
from amazon_ml.data.store.packed import open_store
from amazon_ml.labels import MultiHot
from amazon_ml.models.preprocess import normalise

_BATCH = 64
#: Mean and standard deviation of ImageNet, which are the defaults of albumentations.
_MEAN, _STD = (torch.tensor(values) * 255 for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class ClassicDataset(Dataset[tuple[Any, Any]]):
    """A usual Dataset: it augments each tile, normalises it to float, and puts channels first."""

    def __init__(self, paths: Sequence[str], targets: MultiHot) -> None:
        self.paths, self.targets = paths, targets.astype(np.float32)
        self.steps = albumentations.Compose(
            [albumentations.D4(p=1.0), albumentations.Normalize(), albumentations.ToTensorV2()]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = cv2.cvtColor(cv2.imread(self.paths[index]), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
        return self.steps(image=image)["image"], self.targets[index]


def loading(tiles: Path, size: int, scratch: Path) -> Contest:
    """Load one shuffled epoch of a folder's labelled tiles, in batches of 64; they are packed to `scratch`.

    Our contestants give normalised float32 in memory that is used again for each batch (and once in new memory), or
    uint8 without normalisation. The limits show how fast loading can be without augmentation: to decode with OpenCV to
    uint8 and collate, and to fetch rows of the packed array with numpy.
    """
    catalog = read_catalog(tiles)
    paths, reader = catalog.labelled["path"].tolist(), TileReader()
    pack(catalog.subset(range(len(paths)), unlabelled=0), scratch / "packed", size, reader)
    store = open_store(scratch / "packed")
    rows = np.random.default_rng(0).permutation(len(paths))
    batches = [rows[at : at + _BATCH] for at in range(0, len(rows) - _BATCH + 1, _BATCH)]
    classic = DataLoader(
        ClassicDataset(paths, catalog.targets), _BATCH, shuffle=True, drop_last=True, collate_fn=default_collate
    )
    buffer = torch.from_numpy(np.empty((_BATCH, size, size, 3), dtype=np.float32))
    # A limit runs before the contestants that are compared with it, so that memory is in the same state for both.
    runs: dict[str, Callable[[], object]] = {
        "classic": lambda: _run_through(classic),
        "decode and collate": lambda: _run_through(_decoded(paths, batch) for batch in batches),
        **_ours("JPEG", TileFiles(catalog.labelled, reader, size), catalog.targets, buffer),
        "fetch": lambda: _run_through(store.images[batch] for batch in batches),
        **_ours("packed", store, catalog.targets, buffer),
    }
    return Contest(
        runs,
        (
            Ratio("JPEG to float32 / classic pipeline", "JPEG, float32", "classic", 2.5),
            Ratio("  in new memory each time", "JPEG, float32 in new memory", "classic"),
            Ratio("JPEG to uint8 / bare decode, collate", "JPEG, uint8", "decode and collate", 0.85),
            Ratio("packed to float32 / classic pipeline", "packed, float32", "classic", 10),
            Ratio("  in new memory each time", "packed, float32 in new memory", "classic"),
            Ratio("packed to uint8 / bare batched fetch", "packed, uint8", "fetch", 0.5),
        ),
        tiles=len(batches) * _BATCH,
        one_core=True,
    )


def _ours(kind: str, source: TileSource, targets: MultiHot, buffer: torch.Tensor) -> dict[str, Callable[[], object]]:
    dataset = TileDataset(source, targets, Augmentation([D4], seed=0))
    loader = training_loader(dataset, _BATCH, 0, EpochSampler(len(dataset), seed=0))
    loader.pin_memory = False  # also with a GPU: one core, and the same memory as the others
    return {
        f"{kind}, uint8": lambda: _run_through(loader),
        f"{kind}, float32": lambda: _normalised(loader, buffer),
        f"{kind}, float32 in new memory": lambda: _normalised(loader, None),
    }


def _run_through(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass


def _normalised(loader: DataLoader[Any], out: torch.Tensor | None) -> None:
    for batch in loader:
        normalise(batch["image"], _MEAN, _STD, out)


def _decoded(paths: Sequence[str], batch: npt.NDArray[np.int64]) -> torch.Tensor:
    images = [cv2.imread(paths[row], cv2.IMREAD_COLOR_RGB) for row in batch]
    collated: torch.Tensor = default_collate(images)
    return collated
