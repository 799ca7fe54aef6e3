import math
import os
import pickle
import shutil
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from PIL import Image
from refused import refused
from requested import config_of
from torch.utils.data import DataLoader

from amazon_ml.data.batches.dataset import (
    Batch,
    EpochSampler,
    ResumableLoader,
    TileDataset,
    loader_workers,
    one_ahead,
    tile_loader,
    training_loader,
)
from amazon_ml.data.batches.sources import TileFiles
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import read_tile, resize
from amazon_ml.data.store.pack import pack_folder
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.training.tiles import fold_data, prepare_tiles

TILES, UNTAGGED, SIZE = 23, 5, 16
TAGS = ("forest", "river", "road")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tagged tiles of noise, two formats, not of the size that is trained with; and untagged ones."""
    root = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "test").mkdir()
    rows = ["image_name,tags"]
    for i in range(TILES + UNTAGGED):
        noise = rng.integers(256, size=(20, 24 if i % 3 else 20, 3), dtype=np.uint8)
        folder, name = ("images", f"train_{i}") if i < TILES else ("test", f"test_{i - TILES}")
        Image.fromarray(noise).save(root / folder / f"{name}{'.png' if i % 2 else '.jpg'}")
        if i < TILES:
            rows.append(f"{name},{' '.join(tag for tag in TAGS if rng.random() < 0.5)}")
    (root / "tags.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def folds_file(tmp_path: Path) -> Path:
    return tmp_path / "folds.csv"


def module(root: Path, folds_file: Path, **options: Any) -> PlanetDataModule:
    settings: dict[str, Any] = {"size": SIZE, "batch_size": 4, "predict_batch_size": 3, "num_workers": 0, "n_folds": 4}
    data = PlanetDataModule(
        str(root),
        folds_file=str(folds_file),
        bands_file=str(folds_file.with_name("bands.json")),
        **{**settings, **options},
    )
    data.prepare_data()
    data.setup()
    return data


def files(paths: list[str]) -> TileFiles:
    return TileFiles(pd.DataFrame({"path": paths, "tif": ""}), TileReader(), SIZE)


def as_they_are(paths: list[str]) -> npt.NDArray[np.uint8]:
    return np.stack([resize(read_tile(Path(path)), SIZE) for path in paths])


def in_one(batches: list[Batch], key: str) -> npt.NDArray[Any]:
    return np.asarray(torch.cat([batch[key] for batch in batches]).numpy())


def epoch_of(loader: ResumableLoader, epoch: int) -> list[Batch]:
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in zip(left, right, strict=True)
    )


def test_training_batches_have_the_promised_shapes_and_types(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file)
    batches = list(data.train_dataloader())
    assert len(batches) == len(data.train_dataloader()) == len(data.train_rows) // 4
    for batch in batches:
        assert batch.keys() == {"image", "index", "target"}
        assert (batch["image"].dtype, tuple(batch["image"].shape)) == (torch.uint8, (4, SIZE, SIZE, 3))
        assert (batch["target"].dtype, tuple(batch["target"].shape)) == (torch.float32, (4, len(TAGS)))
        assert (batch["index"].dtype, tuple(batch["index"].shape)) == (torch.int64, (4,))


def test_every_tile_is_either_trained_on_or_held_out(root: Path, folds_file: Path) -> None:
    held_out: list[int] = []
    for fold in range(4):
        data = module(root, folds_file, fold=fold)
        assert sorted([*data.train_rows, *data.valid_rows]) == list(range(TILES))
        held_out += data.valid_rows.tolist()
    assert sorted(held_out) == list(range(TILES))


def test_targets_belong_to_their_tiles(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file, fold=2)
    for loader, rows in ((data.train_dataloader(), data.train_rows), (data.val_dataloader(), data.valid_rows)):
        batches = list(loader)
        expected = data.catalog.targets[rows[in_one(batches, "index")]]
        np.testing.assert_array_equal(in_one(batches, "target"), expected)


def test_held_out_tiles_come_as_they_are_and_in_order(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file)
    batches = list(data.val_dataloader())
    assert [len(batch["image"]) for batch in batches][:-1] == [3] * (len(batches) - 1)
    assert in_one(batches, "index").tolist() == list(range(len(data.valid_rows)))
    expected = as_they_are(data.catalog.labelled["path"].iloc[data.valid_rows].tolist())
    np.testing.assert_array_equal(in_one(batches, "image"), expected)


def test_untagged_tiles_come_as_they_are_without_targets(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file)
    for loader in (data.predict_dataloader(),):
        batches = list(loader)
        assert all(batch.keys() == {"image", "index"} for batch in batches)
        expected = as_they_are([str(path) for path in sorted((root / "test").iterdir())])
        np.testing.assert_array_equal(in_one(batches, "image"), expected)


def test_training_tiles_are_symmetries_of_their_files(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file)
    batches = list(data.train_dataloader())
    plain = as_they_are(data.catalog.labelled["path"].iloc[data.train_rows].tolist())
    moved = 0
    for picture, index in zip(in_one(batches, "image"), in_one(batches, "index"), strict=True):
        sides = (plain[index], plain[index][:, ::-1])
        assert any(np.array_equal(picture, np.rot90(side, turns)) for side in sides for turns in range(4))
        moved += not np.array_equal(picture, plain[index])
    assert moved >= 5  # all but an eighth of 16 are expected to


def test_training_batches_do_not_depend_on_the_number_of_workers(root: Path, folds_file: Path) -> None:
    steps = [{"D4": {"p": 1.0}}, {"RandomBrightnessContrast": {"p": 0.5}}]

    def two_epochs(num_workers: int) -> list[list[Batch]]:
        loader = module(root, folds_file, num_workers=num_workers, augment=steps, seed=5).train_dataloader()
        epochs = [epoch_of(loader, epoch) for epoch in (0, 1)]
        del loader  # ends its workers now; Lightning keeps the frame that makes a data module, and so its variables
        return epochs

    alone = two_epochs(0)
    for num_workers in (1, 2):
        for expected, found in zip(alone, two_epochs(num_workers), strict=True):
            assert same(found, expected)


def test_epochs_differ_in_order_and_in_augmentation(root: Path, folds_file: Path) -> None:
    loader = module(root, folds_file).train_dataloader()
    first, second = epoch_of(loader, 0), epoch_of(loader, 1)
    assert in_one(first, "index").tolist() != in_one(second, "index").tolist()
    pictures = [
        dict(zip(in_one(batches, "index").tolist(), in_one(batches, "image"), strict=True))
        for batches in (first, second)
    ]
    both = pictures[0].keys() & pictures[1].keys()
    assert sum(not np.array_equal(pictures[0][i], pictures[1][i]) for i in both) > len(both) / 2
    assert same(epoch_of(loader, 0), first)


def test_no_tile_is_trained_on_twice_in_an_epoch(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file, batch_size=5)
    for epoch in range(5):
        seen = in_one(epoch_of(data.train_dataloader(), epoch), "index").tolist()
        assert len(seen) == len(set(seen)) == len(data.train_rows) // 5 * 5


def test_batch_larger_than_the_tiles_is_one_whole_epoch(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file, batch_size=64)
    (batch,) = data.train_dataloader()
    assert sorted(batch["index"].tolist()) == list(range(len(data.train_rows)))


@pytest.mark.parametrize("tiles", [1, 10, 11])
def test_order_is_a_permutation_that_follows_seed_and_epoch(tiles: int) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(tiles, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert sorted(order(0, 0)) == list(range(tiles))
    assert sorted(order(0, 3)) == list(range(3 * tiles, 4 * tiles))  # the epoch is in the key
    assert order(7, 3) == order(7, 3)
    if tiles > 1:
        assert [key % tiles for key in order(0, 1)] != [key % tiles for key in order(0, 0)]
        assert order(1, 0) != order(0, 0)


@pytest.mark.parametrize(("tiles", "ranks"), [(12, 2), (13, 2), (14, 4)])
def test_ranks_share_out_the_order_of_one(tiles: int, ranks: int) -> None:
    def order(rank: int, world_size: int) -> list[int]:
        sampler = EpochSampler(tiles, seed=3, rank=rank, world_size=world_size)
        sampler.set_epoch(2)
        assert len(sampler) == len(list(sampler))
        return list(sampler)

    shares = [order(rank, ranks) for rank in range(ranks)]
    assert {len(share) for share in shares} == {tiles // ranks}
    assert [key for step in zip(*shares, strict=True) for key in step] == order(0, 1)[: tiles // ranks * ranks]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_resumed_epoch_is_the_rest_of_an_undisturbed_one(
    root: Path, folds_file: Path, num_workers: int, done: int
) -> None:
    undisturbed = epoch_of(module(root, folds_file).train_dataloader(), 3)
    stopped = module(root, folds_file, num_workers=num_workers).train_dataloader()
    assert isinstance(stopped.sampler, EpochSampler)
    stopped.sampler.set_epoch(3)
    batches = iter(stopped)
    assert same([next(batches) for _ in range(done)], undisturbed[:done])
    state = stopped.state_dict()
    del batches, stopped  # ends the workers now

    resumed = module(root, folds_file, num_workers=num_workers).train_dataloader()
    resumed.load_state_dict(state)
    rest, behind = epoch_of(resumed, 3), epoch_of(resumed, 4)
    del resumed
    assert same(rest, undisturbed[done:])
    # The epoch behind it is whole again.
    assert same(behind, epoch_of(module(root, folds_file).train_dataloader(), 4))


def test_epoch_that_is_resumed_twice_counts_from_its_start(root: Path, folds_file: Path) -> None:
    undisturbed = epoch_of(module(root, folds_file).train_dataloader(), 0)
    once = module(root, folds_file).train_dataloader()
    once.load_state_dict({"batches": 1})
    batches = iter(once)
    assert same([next(batches)], undisturbed[1:2])
    assert once.state_dict() == {"batches": 2}
    again = module(root, folds_file).train_dataloader()
    again.load_state_dict(once.state_dict())
    assert same(list(again), undisturbed[2:])


def test_finished_epoch_leaves_nothing_to_resume(root: Path, folds_file: Path) -> None:
    loader = module(root, folds_file).train_dataloader()
    list(loader)
    assert loader.state_dict() == {"batches": 0}


def test_folds_are_written_once_and_then_only_read(root: Path, folds_file: Path) -> None:
    first = module(root, folds_file, seed=1)
    written = folds_file.read_bytes()
    second = module(root, folds_file, seed=2, n_folds=3)
    assert folds_file.read_bytes() == written
    np.testing.assert_array_equal(first.valid_rows, second.valid_rows)
    lines = written.decode().splitlines()
    reordered = [lines[0], *reversed(lines[1:])]
    folds_file.write_text("\n".join(reordered))
    np.testing.assert_array_equal(module(root, folds_file).valid_rows, first.valid_rows)


def test_folds_of_other_tiles_are_refused(root: Path, folds_file: Path) -> None:
    folds_file.write_text("image_name,fold\nsomebody,0\n")
    with refused(file=folds_file, says=[str(TILES + 1), "somebody"]):
        module(root, folds_file)


def test_fold_that_is_not_there_is_refused(root: Path, folds_file: Path) -> None:
    with refused(option="fold", says=["9", "0", TILES, folds_file]):
        module(root, folds_file, fold=9)


def test_without_holding_out_every_tile_is_in_both_parts(root: Path, folds_file: Path) -> None:
    data = module(root, folds_file, validate=False)
    assert data.train_rows.tolist() == data.valid_rows.tolist() == list(range(TILES))


def test_limit_draws_that_many_tiles_with_the_seed(root: Path, folds_file: Path) -> None:
    def drawn(seed: int, limit: int = 8) -> list[str]:
        data = PlanetDataModule(str(root), folds_file=str(folds_file), seed=seed, max_samples=limit)
        assert len(data.catalog.targets) == len(data.catalog.labelled)
        assert len(data.catalog.unlabelled) == min(limit, UNTAGGED)
        return [str(name) for name in data.catalog.labelled["image_name"]]

    assert len(drawn(0)) == len(set(drawn(0))) == 8
    assert drawn(0) == drawn(0) != drawn(1)
    assert drawn(0) != [f"train_{i}" for i in range(8)]
    assert drawn(0, limit=TILES) == [f"train_{i}" for i in range(TILES)]
    assert len(drawn(0, limit=3)) == 3


def test_limited_tiles_keep_their_targets(root: Path, folds_file: Path) -> None:
    whole = module(root, folds_file).catalog
    part = PlanetDataModule(str(root), max_samples=8).catalog
    where = [whole.labelled["image_name"].tolist().index(name) for name in part.labelled["image_name"]]
    np.testing.assert_array_equal(part.targets, whole.targets[where])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_broken_tile_is_named_even_from_within_a_worker(tmp_path: Path, root: Path, num_workers: int) -> None:
    good = sorted(str(path) for path in (root / "images").glob("*.jpg"))[:4]
    broken = tmp_path / "train_99.jpg"
    broken.write_bytes(Path(good[0]).read_bytes()[:-50])
    dataset = TileDataset(files([*good, str(broken)]))
    with refused(file=broken, says=broken.stat().st_size) as raised:
        list(tile_loader(dataset, 2, num_workers))
    traceback.clear_frames(raised.tb)  # ends the worker now


def test_broken_training_tile_is_named_from_within_a_worker(tmp_path: Path) -> None:
    broken = tmp_path / "train_99.jpg"
    broken.write_text("no image")
    dataset = TileDataset(files([str(broken)]), np.ones((1, 2), dtype=np.uint8))
    with refused(file=broken) as raised:
        list(training_loader(dataset, 1, 1, EpochSampler(1, seed=0)))
    traceback.clear_frames(raised.tb)  # ends the worker now


def test_loader_of_a_dataset_gives_every_tile_once_in_order(root: Path) -> None:
    paths = sorted(str(path) for path in (root / "images").iterdir())
    loader: DataLoader[Batch] = tile_loader(TileDataset(files(paths)), 5, 2)
    batches = list(loader)
    assert len(batches) == math.ceil(TILES / 5)
    np.testing.assert_array_equal(in_one(batches, "image"), as_they_are(paths))


def test_augmentation_is_checked_before_any_tile_is_read() -> None:
    with refused(option="data.augment", says="'Spin'"):
        PlanetDataModule("no such folder", augment=[{"Spin": {}}])


def test_a_number_of_workers_below_0_is_refused() -> None:
    with refused(option="num_workers", says=[0, -1]):
        loader_workers(-1, on_gpu=False)


def test_number_of_workers_is_as_wanted() -> None:
    for on_gpu in (False, True):
        assert loader_workers(0, on_gpu=on_gpu) == 0
        assert loader_workers(3, on_gpu=on_gpu) == 3
    assert loader_workers(None, on_gpu=False) == 0
    assert 1 <= loader_workers(None, on_gpu=True) <= 8


@pytest.mark.parametrize(("cores", "processes", "num_workers"), [(2, 1, 2), (64, 1, 8), (64, 16, 4), (4, 8, 1)])
def test_processes_of_a_job_share_the_cores_that_they_may_use(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, num_workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert loader_workers(None, on_gpu=True) == num_workers
    assert loader_workers(None, on_gpu=True, packed=True) == 0


@pytest.mark.parametrize(("accelerator", "on_gpu"), [("cpu", False), ("auto", True), ("gpu", True)])
def test_a_run_that_keeps_to_the_cpu_loads_as_if_there_were_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path, accelerator: str, on_gpu: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    trainer = f"--trainer.accelerator={accelerator}"
    config = config_of(["--data.root", str(root), "--data.size=16", trainer, "--run", str(tmp_path / "run")])
    run = Run(config.folder)
    run.path.mkdir()
    data = fold_data(run, config, 0, prepare_tiles(run, config).catalog)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.pin_memory == on_gpu
        assert (loader.num_workers > 0) == on_gpu


def test_doubted_labels_are_softened_for_training_only(root: Path, folds_file: Path, tmp_path: Path) -> None:
    plain = module(root, folds_file)
    names = plain.catalog.labelled["image_name"]
    trained, held_out = (names.iloc[rows[0]] for rows in (plain.train_rows, plain.valid_rows))
    table = tmp_path / "audit.csv"
    table.write_text(f"image_name,tag,probability\n{trained},river,0.25\n{held_out},river,0.25\n")
    data = module(root, folds_file, soft_labels=str(table), batch_size=1)
    epoch, river = epoch_of(data.train_dataloader(), 0), TAGS.index("river")
    seen = dict(zip(in_one(epoch, "index").tolist(), in_one(epoch, "target"), strict=True))
    expected = plain.catalog.targets[plain.train_rows].astype(np.float32)
    expected[0, river] = (expected[0, river] + 0.25) / 2
    np.testing.assert_array_equal([seen[i] for i in range(len(expected))], expected)
    valid = in_one(list(data.val_dataloader()), "target")
    np.testing.assert_array_equal(valid, plain.catalog.targets[plain.valid_rows])


def test_mixed_batches_are_the_same_on_any_number_of_workers(root: Path, folds_file: Path) -> None:
    options = {
        "mixup_alpha": 1.0,
        "cutmix_alpha": 1.0,
        "augment": [{"D4": {"p": 1.0}}, {"RandomBrightnessContrast": {}}],
    }
    epochs = []
    for num_workers in (0, 1, 3):
        loader = module(root, folds_file, num_workers=num_workers, **options).train_dataloader()
        epochs.append([batch for epoch in (0, 1, 2) for batch in epoch_of(loader, epoch)])
        del loader
    assert same(epochs[0], epochs[1]) and same(epochs[0], epochs[2])
    shares = np.unique(in_one(epochs[0], "target"))
    assert len(shares) > 2 and shares.min() >= 0 and shares.max() <= 1
    assert len({batch["image"].numpy().tobytes() for batch in epochs[0]}) == len(epochs[0])


def test_held_out_tiles_are_never_mixed(root: Path, folds_file: Path) -> None:
    plain = list(module(root, folds_file).val_dataloader())
    assert same(plain, list(module(root, folds_file, mixup_alpha=1.0).val_dataloader()))


@pytest.fixture
def packed(root: Path, tmp_path: Path) -> Path:
    pack_folder(root, size=SIZE, out=tmp_path / "store")
    return tmp_path / "store"


def test_a_packed_store_gives_the_batches_that_the_files_give(root: Path, folds_file: Path, packed: Path) -> None:
    files, store = module(root, folds_file), module(root, folds_file, packed=str(packed))
    assert store.num_workers == 0
    for epoch in (0, 1):
        assert same(epoch_of(files.train_dataloader(), epoch), epoch_of(store.train_dataloader(), epoch))
    assert same(list(files.val_dataloader()), list(store.val_dataloader()))
    assert same(list(files.predict_dataloader()), list(store.predict_dataloader()))


@pytest.mark.parametrize("name", ["read", "train_rows", "valid_rows", "stretch"])
def test_what_setup_makes_is_no_attribute_before(root: Path, name: str) -> None:
    data = PlanetDataModule(root, size=SIZE)
    assert not hasattr(data, name) and getattr(data, name, None) is None
    with pytest.raises(AttributeError, match="setup"):
        getattr(data, name)
    with pytest.raises(InputError, match="setup") as raised:
        getattr(data, name)
    again = pickle.loads(pickle.dumps(raised.value))
    assert isinstance(again, InputError) and str(again) == str(raised.value) and again.option == raised.value.option
    data.setup()
    assert hasattr(data, name)


def test_the_store_in_the_folder_is_used_without_being_named(root: Path, folds_file: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    pack_folder(tmp_path / "copy", size=SIZE)
    data = module(tmp_path / "copy", folds_file)
    assert data.store and data.store.path == tmp_path / "copy" / f"packed-rgb-{SIZE}"
    assert module(tmp_path / "copy", folds_file, size=SIZE + 1).store is None


def test_the_store_of_a_folder_that_has_changed_is_refused(root: Path, folds_file: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    pack_folder(tmp_path / "copy", size=SIZE)
    Image.new("RGB", (20, 20), "red").save(tmp_path / "copy" / "images" / "train_3.png")
    with refused(file=tmp_path / "copy" / f"packed-rgb-{SIZE}", says=["1", "train_3"]):
        module(tmp_path / "copy", folds_file)


def test_a_part_of_the_folder_is_found_in_its_store(root: Path, folds_file: Path, packed: Path) -> None:
    data = module(root, folds_file, packed=str(packed), max_samples=8)
    part = in_one(list(data.val_dataloader()), "image")
    np.testing.assert_array_equal(part, as_they_are(data.catalog.labelled["path"].iloc[data.valid_rows].tolist()))


@pytest.mark.parametrize(
    ("options", "wanted"), [({"size": SIZE * 2}, f"rgb at {SIZE * 2}"), ({"bands": "bgr"}, f"bgr at {SIZE}")]
)
def test_a_store_of_another_kind_is_refused(
    root: Path, folds_file: Path, packed: Path, options: dict[str, Any], wanted: str
) -> None:
    with refused(file=packed, option="data.packed", says=[f"rgb at {SIZE}", wanted]):
        module(root, folds_file, packed=str(packed), **options)


def test_one_batch_is_fetched_ahead_and_none_is_lost() -> None:
    fetched: list[int] = []

    def fetch() -> Iterator[Batch]:
        for number in range(5):
            fetched.append(number)
            yield {"index": torch.tensor([number])}

    used = []
    for batch in one_ahead(fetch()):
        used.append(int(batch["index"]))
        deadline = time.monotonic() + 10
        while len(fetched) < min(5, len(used) + 1) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(fetched) == min(5, len(used) + 1)  # one ahead, and never two
    assert used == [0, 1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:'pin_memory'")
@pytest.mark.parametrize("pinned", [True, False])
def test_it_is_fetched_ahead_for_where_memory_is_pinned(pinned: bool) -> None:
    threads: list[bool] = []

    class Source:
        def __len__(self) -> int:
            return 4

        def fetch(self, rows: npt.NDArray[np.integer], *_: Any) -> npt.NDArray[np.uint8]:
            threads.append(threading.current_thread() is threading.main_thread())
            return np.zeros((len(rows), 2, 2, 3), dtype=np.uint8)

    loader = tile_loader(TileDataset(Source()), 2, num_workers=0)
    loader.pin_memory = pinned
    assert len(list(loader)) == 2 and threads == [not pinned] * 2


def test_an_error_in_the_thread_that_reads_ahead_is_raised() -> None:
    def fetch() -> Iterator[Batch]:
        yield {}
        raise InputError("the file is cut short", file="tile.jpg")

    batches = one_ahead(fetch())
    next(batches)
    with refused(file="tile.jpg"):
        next(batches)


_EPOCHS = """
import resource, sys
from amazon_ml.data.datamodule import PlanetDataModule
root, scratch, packed = sys.argv[1:]
data = PlanetDataModule(root, size=32, batch_size=16, num_workers=0, packed=packed or None, mixup_alpha=0.2,
                        augment=[{"D4": {}}, {"RandomBrightnessContrast": {}}],
                        folds_file=scratch + "/folds.csv", bands_file=scratch + "/bands.json")
data.prepare_data(); data.setup()
loader = data.train_dataloader()
for epoch in range(24):
    loader.sampler.set_epoch(epoch)
    for batch in loader: pass
    if epoch in (3, 23): print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("with_store", [False, True])
def test_peak_memory_stays_flat_over_epochs(demo_tiles: Path, tmp_path: Path, with_store: bool) -> None:
    if with_store:
        pack_folder(demo_tiles, size=32, out=tmp_path / "store")
    store = str(tmp_path / "store") if with_store else ""
    done = forked.run(["-c", _EPOCHS, str(demo_tiles), str(tmp_path), store])
    early, late = map(int, done.stdout.split())  # KiB
    # 20 epochs of 160 tiles of 3 KB: a loader that kept its batches would have grown by 9.8 MB.
    assert late - early < 4096
