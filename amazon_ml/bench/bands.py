"""Contests of loading tiles of twelve bands on one core, from TIFs and from a packed store, against usual code."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from torch.utils.data import default_collate

from amazon_ml.bench.measure import Contest, Ratio
from amazon_ml.data.augment.augment import D4, Augmentation
from amazon_ml.data.batches.dataset import EpochSampler, TileDataset, training_loader
from amazon_ml.data.batches.sources import PackedTiles, TileFiles, TileSource
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.readers.fitting import fit_tiles
from amazon_ml.data.store.pack import pack
from amazon_ml.data.store.packed import open_store
from amazon_ml.labels import MultiHot
from amazon_ml.settings import build

#: The bands of Sentinel-2 that surface reflectance has, and the edge of a patch of BigEarthNet in pixels.
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
EDGE = 120
_BATCH = 64


def bands(tiles: int, scratch: Path) -> Contest:
    """Load one shuffled epoch of made tiles of twelve bands of 16 bits, in batches of 64, turned at random.

    The baseline reads each TIF with rasterio, scales its values with numpy, and collates; it does not turn tiles. The
    limit of the packed store is to fetch its rows with numpy.
    """
    _write_tifs(scratch / "tiles", tiles)
    reading = build(ReadingConfig, {"bands": list(BANDS)})
    catalog = read_catalog(scratch / "tiles", reading)
    reader = fit_tiles(catalog.labelled, reading, catalog.rgb_source, catalog.source)
    pack(catalog, scratch / "packed", EDGE, reader)
    store = open_store(scratch / "packed")
    paths = catalog.labelled["path"].tolist()
    limits = np.array([reader.limits[band] for band in BANDS], dtype=np.float32)
    rows = np.random.default_rng(0).permutation(len(paths))
    batches = [rows[at : at + _BATCH] for at in range(0, len(rows) - _BATCH + 1, _BATCH)]
    packed = PackedTiles(store, store.rows(catalog.labelled["image_name"], labelled=True))
    return Contest(
        {
            "rasterio, numpy, collate": lambda: _run(_classic(paths, limits, batch) for batch in batches),
            "12 bands from TIFs, uint8": _ours(TileFiles(catalog.labelled, reader, EDGE), catalog.targets),
            "12 bands, fetch": lambda: _run(store.images[batch] for batch in batches),
            "12 bands packed, uint8": _ours(packed, catalog.targets),
        },
        (
            Ratio("TIFs of 12 bands to uint8 / rasterio, numpy, collate", "12 bands from TIFs, uint8",
                  "rasterio, numpy, collate", 2),
            Ratio("packed 12 bands to uint8 / bare batched fetch", "12 bands packed, uint8", "12 bands, fetch", 0.5),
        ),
        tiles=len(batches) * _BATCH,
        one_core=True,
    )  # fmt: skip


def _write_tifs(folder: Path, tiles: int) -> None:
    """Write smooth noise of twelve bands with their names, uncompressed as rasterio writes by default."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(tiles):
        coarse = rng.integers(200, 4000, size=(len(BANDS), EDGE // 4, EDGE // 4)).astype(np.uint16)
        values = coarse.repeat(4, axis=1).repeat(4, axis=2) + rng.integers(50, size=(len(BANDS), EDGE, EDGE))
        with rasterio.open(
            folder / f"t{number}.tif", "w", driver="GTiff", height=EDGE, width=EDGE, count=len(BANDS), dtype="uint16",
            transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
        ) as file:  # fmt: skip
            file.write(values.astype(np.uint16))
            file.descriptions = BANDS
    rows = [f"t{number},{'forest' if number % 2 else 'river'}" for number in range(tiles)]
    (folder / "labels.csv").write_text("\n".join(["image_name,tags", *rows, ""]))


def _classic(paths: Sequence[str], limits: npt.NDArray[np.float32], batch: npt.NDArray[np.int64]) -> torch.Tensor:
    tiles = []
    for row in batch:
        with rasterio.open(paths[row]) as file:
            values = file.read().astype(np.float32)
        low, high = limits[:, 0, None, None], limits[:, 1, None, None]
        tiles.append(np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.uint8).transpose(1, 2, 0))
    collated: torch.Tensor = default_collate([torch.from_numpy(tile) for tile in tiles])
    return collated


def _ours(source: TileSource, targets: MultiHot) -> Callable[[], None]:
    dataset = TileDataset(source, targets, Augmentation([D4], seed=0))
    loader = training_loader(dataset, _BATCH, 0, EpochSampler(len(dataset), seed=0))
    loader.pin_memory = False
    return lambda: _run(iter(loader))


def _run(batches: Iterator[object]) -> None:
    for _ in batches:
        pass
