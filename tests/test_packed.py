import json
import os
import pickle
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import cv2
import forked
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.data.augment.augment import symmetric
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import read_tile, resize
from amazon_ml.data.store import pack as packing
from amazon_ml.data.store.pack import default_store, pack
from amazon_ml.data.store.packed import check_unchanged, open_store
from amazon_ml.errors import WorkError


@pytest.fixture
def folder(demo_tiles: Path, tmp_path: Path) -> Path:
    """A copy of the generated tiles, with their times, that a test may change."""
    return Path(shutil.copytree(demo_tiles, tmp_path / "tiles"))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_BLOCK", 16)


def decoded(catalog: Catalog, size: int) -> np.ndarray:
    paths = [*catalog.labelled["path"], *catalog.unlabelled["path"]]
    return np.stack([resize(read_tile(Path(path)), size) for path in paths])


@pytest.mark.parametrize("size", [32, 24, 49])
def test_every_pixel_is_as_decoded(size: int, folder: Path, small_blocks: None) -> None:
    assert main(["data", "pack", str(folder), "--size", str(size)]) == 0
    catalog, store = read_catalog(folder), open_store(default_store(folder, "rgb", size))
    expected = decoded(catalog, size)
    assert store.names == [*catalog.labelled["image_name"], *catalog.unlabelled["image_name"]]
    assert (store.size, store.bands, store.labelled, len(store)) == (size, ("r", "g", "b"), 200, 230)
    np.testing.assert_array_equal(np.load(store.path / "tiles.npy", mmap_mode="r"), expected)
    np.testing.assert_array_equal(store.fetch(np.arange(230)), expected)
    check_unchanged(store, catalog)
    assert sorted(path.name for path in store.path.iterdir()) == ["store.json", "tiles.npy"]


@settings(max_examples=8)
@given(
    rows=st.lists(st.integers(0, 19), min_size=1, max_size=12),
    sizes=st.lists(st.integers(8, 40), min_size=20, max_size=20),
    size=st.integers(8, 33),
    ending=st.sampled_from(["png", "jpg"]),
    seed=st.integers(0, 99),
)
def test_tiles_of_any_sizes_come_back_as_decoded_and_turned(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], sizes: list[int], size: int, ending: str, seed: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("any"), np.random.default_rng(seed)
    for i, edge in enumerate(sizes):
        cv2.imwrite(str(folder / f"{i}.{ending}"), rng.integers(256, size=(edge, edge, 3), dtype=np.uint8))
    (folder / "tags.csv").write_text("name,tags\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20)))
    pack(read_catalog(folder), folder / "store", size, TileReader(), num_workers=2)
    which = rng.integers(8, size=len(rows), dtype=np.uint8)
    fetched = open_store(folder / "store").fetch(np.array(rows), which)
    for image, row, symmetry in zip(fetched, rows, which, strict=True):
        tile = resize(read_tile(folder / f"{row}.{ending}"), size)
        np.testing.assert_array_equal(image, symmetric(tile, symmetry))


def test_a_store_can_be_pickled_and_knows_its_rows(folder: Path) -> None:
    pack(read_catalog(folder), folder / "store", 16, TileReader())
    store = open_store(folder / "store")
    message = pickle.dumps(store)
    assert len(message) < 1000  # the path, not the tiles
    np.testing.assert_array_equal(pickle.loads(message).fetch(np.array([3, 3, 0])), store.images[[3, 3, 0]])
    assert store.rows(["train_7", "train_2"], labelled=True).tolist() == [7, 2]
    assert store.rows(["file_1"], labelled=False).tolist() == [201]  # the untagged stand behind, in natural order
    with refused(file=store.path, says=["1", "test_1"]):
        store.rows(["train_7", "test_1"], labelled=True)
    with pytest.raises(IndexError):
        store.fetch(np.array([230]))
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0


def test_one_name_may_be_labelled_and_stand_in_the_test_folder(folder: Path) -> None:
    shutil.copy(folder / "test-jpg/test_3.jpg", folder / "test-jpg/train_5.jpg")
    catalog = read_catalog(folder)
    pack(catalog, folder / "store", 16, TileReader())
    store = open_store(folder / "store")
    ours, other = (store.rows(["train_5"], labelled=labelled)[0] for labelled in (True, False))
    expected = [resize(read_tile(folder / path), 16) for path in ("train-jpg/train_5.jpg", "test-jpg/test_3.jpg")]
    np.testing.assert_array_equal(store.fetch(np.array([ours, other])), expected)
    check_unchanged(store, catalog)


def rewritten_at_equal_size(folder: Path) -> None:
    path = folder / "train-jpg/train_4.jpg"
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (
            lambda folder: shutil.copy(folder / "train-jpg/train_0.jpg", folder / "test-jpg/added.jpg"),
            "added",
        ),
        (lambda folder: (folder / "test-jpg/test_0.jpg").unlink(), "test_0"),
        (lambda folder: shutil.copy(folder / "train-jpg/train_0.jpg", folder / "train-jpg/train_1.jpg"), "train_1"),
        (rewritten_at_equal_size, "train_4"),
    ],
    ids=["added", "removed", "replaced", "rewritten at equal size"],
)
def test_a_changed_folder_is_refused_and_packing_again_helps(change, name: str, folder: Path) -> None:  # type: ignore[no-untyped-def]
    store = folder / "packed-rgb-16"
    pack(read_catalog(folder), store, 16, TileReader())
    change(folder)
    catalog = read_catalog(folder)
    with refused(file=store, says=["1", name]):
        check_unchanged(open_store(store), catalog)
    assert main(["data", "pack", str(folder), "--size", "16"]) == 0
    check_unchanged(open_store(store), catalog)
    np.testing.assert_array_equal(open_store(store).images, decoded(catalog, 16))
    assert not list(folder.glob("*.old")) and not list(folder.glob("*.partial"))


def test_a_copied_folder_is_accepted(folder: Path) -> None:
    pack(read_catalog(folder), folder / "store", 16, TileReader())
    for path in folder.rglob("*.jpg"):
        os.utime(path, ns=(1, 1))
    catalog = read_catalog(folder)
    check_unchanged(open_store(folder / "store"), catalog)
    inode = (folder / "store/tiles.npy").stat().st_ino
    pack(catalog, folder / "store", 16, TileReader())
    assert (folder / "store/tiles.npy").stat().st_ino == inode  # not made anew


def test_part_of_a_folder_is_accepted_where_it_is_called_so(folder: Path) -> None:
    catalog = read_catalog(folder)
    pack(catalog, folder / "store", 16, TileReader())
    store, part = open_store(folder / "store"), catalog.subset([5, 2], unlabelled=3)
    check_unchanged(store, part, partial=True)
    with refused(file=folder / "store", says=225):
        check_unchanged(store, part)


def test_another_way_of_reading_is_packed_anew(folder: Path) -> None:
    catalog = read_catalog(folder)
    pack(catalog, folder / "store", 32, TileReader())
    pack(catalog, folder / "store", 32, TileReader(("b", "r")))
    assert open_store(folder / "store").bands == ("b", "r")
    np.testing.assert_array_equal(open_store(folder / "store").images, decoded(catalog, 32)[..., [2, 0]])


PACK = (
    "import sys; from amazon_ml.data.store import pack; from amazon_ml.cli.main import main; pack._BLOCK = 8\n"
    "sys.exit(main(['data', 'pack', sys.argv[1], '--size', '256', '--num_workers', '1']))"
)


def started(folder: Path) -> forked.Forked:
    return forked.Forked(["-c", PACK, str(folder)])


def wait_for_blocks(journal: Path, blocks: int) -> None:
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_text().count("\n") < blocks:
        assert time.monotonic() < deadline, "nothing was packed"
        time.sleep(0.002)


def test_killed_and_called_again_it_goes_on_and_a_second_process_is_refused(folder: Path) -> None:
    store, partial = folder / "packed-rgb-256", folder / "packed-rgb-256.partial"
    process = started(folder)
    wait_for_blocks(partial / "journal.jsonl", 3)
    process.send_signal(signal.SIGSTOP)
    second = forked.run(["-c", PACK, str(folder)])
    assert second.returncode == 2 and "another process is packing" in second.stderr
    process.kill()
    process.wait()
    assert not store.exists()
    with (partial / "journal.jsonl").open("a") as journal:
        journal.write('["half a li')
    began = (partial / "tiles.npy").stat().st_ino
    process = started(folder)
    assert "resuming: " in process.communicate()[1]
    assert process.returncode == 0 and not partial.exists()
    assert (store / "tiles.npy").stat().st_ino == began
    np.testing.assert_array_equal(open_store(store).images, decoded(read_catalog(folder), 256))
    check_unchanged(open_store(store), read_catalog(folder))


def test_what_was_begun_is_dropped_when_a_tile_changed_meanwhile(folder: Path) -> None:
    process = started(folder)
    wait_for_blocks(folder / "packed-rgb-256.partial/journal.jsonl", 2)
    process.kill()
    process.wait()
    shutil.copy(folder / "train-jpg/train_9.jpg", folder / "train-jpg/train_0.jpg")
    assert "resuming" not in started(folder).communicate()[1]
    np.testing.assert_array_equal(
        open_store(folder / "packed-rgb-256").images[0], decoded(read_catalog(folder), 256)[9]
    )


def test_a_tile_that_cannot_be_read_is_named_and_the_work_before_it_kept(
    folder: Path, small_blocks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = folder / "train-jpg/train_150.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:2] + bytes(198) + whole[200:])  # both ends are there, so only decoding finds it
    assert main(["data", "pack", str(folder), "--size", "16", "--num_workers", "1"]) == 2
    told = capsys.readouterr().err
    assert str(broken) in told and "amazon-ml data check" in told
    partial = folder / "packed-rgb-16.partial"
    assert (partial / "journal.jsonl").read_text().count("\n") == 150 // 16
    assert not (folder / "packed-rgb-16").exists()
    broken.write_bytes(whole)
    assert main(["data", "pack", str(folder), "--size", "16"]) == 0
    np.testing.assert_array_equal(open_store(folder / "packed-rgb-16").images, decoded(read_catalog(folder), 16))


def test_a_disk_without_room_is_told_before_work(folder: Path) -> None:
    with pytest.raises(WorkError, match=r"/store\.partial .*\b\d+\.\d\d GB .*\b\d+\.\d\d GB "):
        pack(read_catalog(folder), folder / "store", 10**6, TileReader())


def test_a_disk_that_fills_up_is_told_and_the_next_call_goes_on(folder: Path) -> None:
    # A limit on the size of files stops a write in the middle, as a full disk would.
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))\n" + PACK
    done = forked.run(["-c", limited, str(folder)])
    partial = folder / "packed-rgb-256.partial"
    assert done.returncode == 1
    assert f"cannot write {partial}: File too large; the same command resumes" in done.stderr
    assert (partial / "journal.jsonl").read_text().count("\n") == 10_000_000 // (8 * 256 * 256 * 3)
    assert "resuming: " in started(folder).communicate()[1]
    np.testing.assert_array_equal(open_store(folder / "packed-rgb-256").images, decoded(read_catalog(folder), 256))


def test_a_folder_that_cannot_be_is_a_work_error(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(WorkError, match=re.escape(str(folder / "file"))):
        pack(read_catalog(folder), folder / "file" / "store", 16, TileReader())


def test_what_is_no_store_is_neither_opened_nor_overwritten(folder: Path) -> None:
    with refused(file=folder, says="store.json"):
        open_store(folder)
    with refused(file=folder / "train-jpg", option="out"):
        pack(read_catalog(folder), folder / "train-jpg", 16, TileReader())


@pytest.mark.parametrize(
    ("file", "content", "fields"),
    [
        ("store.json", "{", {"file": "store/store.json", "line": 1}),
        ("store.json", "{}", {"file": "store", "says": "'size'"}),
        ("store.json", '{"size": 16, "reader": 3, "tiles": {}}', {"file": "store", "says": "'int'"}),
        ("tiles.npy", "", {"file": "store"}),
        ("tiles.npy", None, {"file": "store"}),
    ],
)
def test_a_damaged_store_is_refused(file: str, content: str | None, fields: dict[str, Any], tmp_path: Path) -> None:
    write_demo(tmp_path / "tiles", tiles=5, test_tiles=0, size=16)
    store = tmp_path / "store"
    pack(read_catalog(tmp_path / "tiles"), store, 16, TileReader())
    if content is None:
        os.truncate(store / file, 1000)
    else:
        (store / file).write_text(content)
    with refused(**fields):
        open_store(store)


def test_a_damaged_store_is_packed_anew(folder: Path) -> None:
    store = folder / "store"
    pack(read_catalog(folder), store, 16, TileReader())
    description = json.loads((store / "store.json").read_text())
    del description["made_by"], description["tiles"]["hash"]
    (store / "store.json").write_text(json.dumps(description))
    with refused(file=store, says="'hash'"):
        open_store(store)
    pack(read_catalog(folder), store, 16, TileReader())
    check_unchanged(open_store(store), read_catalog(folder))


def test_what_was_begun_is_dropped_where_a_part_of_it_is_gone(folder: Path) -> None:
    process = started(folder)
    wait_for_blocks(folder / "packed-rgb-256.partial/journal.jsonl", 2)
    process.kill()
    process.wait()
    (folder / "packed-rgb-256.partial/tiles.npy").unlink()
    pack(read_catalog(folder), folder / "packed-rgb-256", 256, TileReader())
    np.testing.assert_array_equal(open_store(folder / "packed-rgb-256").images, decoded(read_catalog(folder), 256))


def test_tags_of_any_kind_can_be_packed(folder: Path) -> None:
    names = read_catalog(folder).labelled["image_name"]
    (folder / "train_v2.csv").write_text("a,b\n" + "".join(f"{name},own tag|other\n" for name in names))
    named = ["--name_column=a", "--tags_column=b", "--tag_separator=|"]
    own = "--tags=[own tag, other]"
    assert main(["data", "pack", str(folder), "--size=16", *named]) == 2  # not the competition's
    assert main(["data", "pack", str(folder), "--size=16", *named, own]) == 0


def test_an_array_of_another_store_is_refused(folder: Path) -> None:
    for size in (16, 24):
        pack(read_catalog(folder), folder / f"store-{size}", size, TileReader())
    shutil.copy(folder / "store-16/tiles.npy", folder / "store-24/tiles.npy")
    with refused(file=folder / "store-24" / "tiles.npy", says=["uint8", "(230, 16, 16, 3)", "(230, 24, 24, 3)"]):
        open_store(folder / "store-24")


_HASHES = json.dumps(["a"] * 16).encode()


@pytest.mark.parametrize(
    "line",
    [
        b'{"files": ["a"]}', b"3", b"\xff\xfe", b'{"files": ["a"], "pixels": "b"}', b'{"files": 16, "pixels": "b"}',
        b'{"files": %b, "pixels": 3}' % _HASHES, b"[" * 100_000,
    ],
)  # fmt: skip
def test_packing_goes_on_before_a_damaged_line_of_the_journal(
    line: bytes, folder: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, partial = unfinished(folder, monkeypatch)
    journal = partial / "journal.jsonl"
    lines = journal.read_bytes().splitlines()
    assert len(lines) == 230 // 16 + 1
    journal.write_bytes(b"\n".join([*lines[:3], line, *lines[4:], b""]))
    caplog.set_level("INFO")
    assert main(["data", "pack", str(folder), "--size", "16"]) == 0
    assert "resuming: 48 tiles" in caplog.text
    np.testing.assert_array_equal(open_store(store).images, decoded(read_catalog(folder), 16))
    check_unchanged(open_store(store), read_catalog(folder))


def test_packing_begins_again_where_the_array_is_damaged(
    folder: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, partial = unfinished(folder, monkeypatch)
    with (partial / "tiles.npy").open("r+b") as array:
        array.write(b"damaged")
    assert main(["data", "pack", str(folder), "--size", "16"]) == 0
    np.testing.assert_array_equal(open_store(store).images, decoded(read_catalog(folder), 16))


def unfinished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Pack tiles up to the point where the store gets its name; return the store and the unfinished one."""

    def stopped(*_: object) -> None:
        raise WorkError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_finish", stopped)
        assert main(["data", "pack", str(folder), "--size", "16"]) == 1
    return folder / "packed-rgb-16", folder / "packed-rgb-16.partial"
