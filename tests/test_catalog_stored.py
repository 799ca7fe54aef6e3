"""The catalog in an Arrow file, and texts in arrays: processes share them, and read what was written."""

import os
import pickle
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_tiles import values, write_tif

from amazon_ml.data.batches.dataset import EpochSampler, TileDataset, tile_loader
from amazon_ml.data.batches.sources import TileFiles
from amazon_ml.data.batches.texts import Texts
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.stored import map_catalog, write_catalog
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.errors import InputError

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine tiles with a file for each of two bands, three of each split; not to be changed."""
    root = tmp_path_factory.mktemp("bands")
    rows = []
    for i in range(9):
        for band in ("B02", "B03"):
            write_tif(root / f"scene/t{i}é/t{i}é_{band}.tif", values(i, 1))
        rows.append(f"t{i}é,{'forest' if i % 2 else 'river field'},{SPLITS[i % 3]}")
    (root / "labels.csv").write_text("\n".join(["image,tags,split", *rows, ""]))
    return root


def of_bands(root: Path) -> Catalog:
    how = ReadingConfig(split_column="split", files="{name}/{name}_{band}.tif", bands=["B02", "B03"])
    return read_catalog(root, how)


def check_equal(first: Catalog, second: Catalog) -> None:
    for field in fields(Catalog):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other, check_dtype=len(one) > 0)
        elif isinstance(one, np.ndarray):
            assert one.dtype == other.dtype and len(one) == len(other)
            assert not len(one) or np.array_equal(one, other)
        else:
            assert one == other, field.name


def test_a_mapped_catalog_is_the_one_that_was_written(bands: Path, demo_tiles: Path, tmp_path: Path) -> None:
    for number, catalog in enumerate((of_bands(bands), read_catalog(demo_tiles))):
        file = tmp_path / f"{number}.arrow"
        write_catalog(file, catalog)
        mapped = map_catalog(file)
        check_equal(catalog, mapped)
        assert mapped.sha256 == catalog.sha256
        # Writing it again leaves processes that have mapped it what they see.
        write_catalog(file, catalog.subset([0], unlabelled=1))
        check_equal(catalog, mapped)
        check_equal(catalog.subset([0], unlabelled=1), map_catalog(file))


def test_a_catalog_without_untagged_tiles_or_files_of_bands(tmp_path: Path, bands: Path) -> None:
    catalog = of_bands(bands).everything()
    assert catalog.unlabelled.empty and catalog.valid is None
    write_catalog(tmp_path / "c.arrow", catalog)
    check_equal(catalog, map_catalog(tmp_path / "c.arrow"))


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0", b"other"])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.arrow").write_bytes(content)
    with pytest.raises(InputError) as refused:
        map_catalog(tmp_path / "c.arrow")
    assert refused.value.file == tmp_path / "c.arrow"


TEXTS = ["", "a", "tiles/süß_1.tif", "", "Ω", "x" * 300, ""]


@pytest.mark.parametrize("dtype", [object, str])
def test_texts_are_read_by_position(dtype: Any) -> None:
    given = pd.Series(TEXTS * 3, dtype=dtype)
    for part, expected in (
        (given, TEXTS * 3),
        (given.iloc[5:12], (TEXTS * 3)[5:12]),
        (given.iloc[[6, 2]], ["", TEXTS[2]]),
    ):
        texts = Texts(part)
        again = pickle.loads(pickle.dumps(texts))
        for one in (texts, again, pickle.loads(pickle.dumps(again))):
            assert len(one) == len(expected) and [one[at] for at in range(len(one))] == expected
    assert len(Texts(given.iloc[:0])) == 0


def _touched(texts: Any, rows: int) -> int:
    """Read all texts in a forked process, and return the bytes that it had to copy for that."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        total = 0
        for at in range(rows):
            total += len(texts[at])
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        dirty = next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
        os.write(writing, f"{dirty}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        dirty = int(answer.read())
    os.waitpid(child, 0)
    return dirty * 1024


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells which pages a process copied")
def test_a_forked_process_copies_no_texts() -> None:
    rows = 300_000
    paths = [f"/data/scene/patch_{number:06}/patch_{number:06}_B02.tif" for number in range(rows)]
    texts = Texts(pd.Series(paths))
    objects = _touched(paths, rows) - _touched(texts, rows)
    assert objects > rows * 40  # a list has an object of about 100 bytes for each, of which it changes the count


def test_a_spawned_process_reads_the_same(tmp_path: Path) -> None:
    texts = Texts(pd.Series(TEXTS))
    with get_context("forkserver").Pool(1) as pool:  # started anew, as `spawn` is, but faster
        assert pool.map(texts.__getitem__, range(len(TEXTS))) == TEXTS


def test_rows_of_all_tiles_are_the_tiles_of_these_rows(tmp_path: Path) -> None:
    paths = [str(write_tif(tmp_path / f"{i}.tif", values(i, 3, "uint8", 0, 255))) for i in range(6)]
    tiles, read, rows = pd.DataFrame({"path": paths, "tif": ""}), TileReader(rgb_source="tif"), np.array([4, 1, 5])
    targets = np.arange(12, dtype=np.uint8).reshape(6, 2)
    part = TileDataset(TileFiles(tiles.iloc[rows], read, 16), targets[rows])
    whole = TileDataset(TileFiles(tiles, read, 16, rows), targets, rows=rows)
    for first, second in zip(tile_loader(part, 2, 0), tile_loader(whole, 2, 0), strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert second["target"].dtype == torch.float32


def test_keys_of_a_long_epoch_are_those_of_the_permutation() -> None:
    sampler = EpochSampler(200_000, seed=3, rank=1, world_size=2)
    sampler.set_epoch(2)
    sampler.skip = 7
    order = np.random.default_rng((3, 2)).permutation(200_000)[1::2][7:]
    assert np.array_equal(list(sampler), order + 400_000)
    assert sampler.skip == 0 and isinstance(next(iter(sampler)), int)


def test_a_data_module_trains_on_a_mapped_catalog(demo_tiles: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": 32, "n_folds": 3, "batch_size": 8}
    write_catalog(tmp_path / "c.arrow", read_catalog(demo_tiles))
    batches = []
    for mapped in (False, True):
        data = PlanetDataModule(demo_tiles, **options)
        if mapped:
            data.catalog = map_catalog(tmp_path / "c.arrow")
        data.setup()
        batches.append([next(iter(loader)) for loader in (data.train_dataloader(), data.val_dataloader(),
                                                          data.predict_dataloader())])  # fmt: skip
        assert torch.isfinite(data.frequencies).all()
    for first, second in zip(*batches, strict=True):
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert replace(data.catalog, split=None).sha256 == read_catalog(demo_tiles).sha256
