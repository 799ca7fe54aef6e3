"""Prediction in shards: to the bit what it is without, by any number of processes, whatever happens to them."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_sealed
from forked import Forked
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.file_table import hash_files
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.errors import InputError, WorkError
from amazon_ml.runs import planned_files
from amazon_ml.runs.predict import plan_shards, predict_tiles
from amazon_ml.runs.shards import Parts, merge, parse_shard, rows_of, save_part
from amazon_ml.runtime.locks import locked

BATCH = 8


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bundle that predicts few tiles at once, so that few tiles are many batches."""
    bundle = Path(shutil.copytree(trained / "bundle", tmp_path_factory.mktemp("bundle") / "bundle"))
    content = json.loads((bundle / "bundle.json").read_text())
    content["predict"]["batch_size"] = BATCH
    write_sealed(bundle, content)
    return bundle


@pytest.fixture(scope="module")
def whole(bundle: Path, demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Predict without shards."""
    out = tmp_path_factory.mktemp("whole") / "tags.parquet"
    assert main(["predict", str(bundle), "--tiles", str(tiles_of(demo_tiles)), "--out", str(out)]) == 0
    return out.read_bytes()


def tiles_of(demo: Path) -> Path:
    return demo / "test-jpg"


def command(bundle: Path, demo: Path, parts: Path, shard: str) -> list[str]:
    return ["predict", str(bundle), "--tiles", str(tiles_of(demo)), "--out", str(parts), "--shard", shard]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@given(st.integers(1, 500), st.integers(1, 40), st.data())
def test_shards_hold_each_tile_once_and_end_between_batches(tiles: int, batch: int, data: st.DataObject) -> None:
    batches = -(-tiles // batch)
    count = data.draw(st.integers(1, batches))
    cut = [range(tiles)[rows_of(number, count, tiles, batch)] for number in range(count)]
    assert [row for rows in cut for row in rows] == list(range(tiles))
    assert all(rows.start % batch == 0 for rows in cut)
    sizes = [-(-len(rows) // batch) for rows in cut]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1


@pytest.mark.parametrize("text", ["16/16", "3", "3/", "-1/2", "0/0", "a/b", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with refused(option="shard", says=[text, "0/16", "15/16"]):
        parse_shard(text)


def test_merged_parts_are_the_table_without_shards(
    bundle: Path, demo_tiles: Path, whole: bytes, tmp_path: Path
) -> None:
    parts = Parts(tmp_path / "parts")
    assert main(command(bundle, demo_tiles, parts.path, "2/3")) == 0
    processes = [Forked(command(bundle, demo_tiles, parts.path, shard)) for shard in ("0/3", "1/3")]
    assert [process.wait(300) for process in processes] == [0, 0]
    before = [parts.part(number).stat().st_mtime_ns for number in range(3)]
    assert main(command(bundle, demo_tiles, parts.path, "1/3")) == 0
    assert [parts.part(number).stat().st_mtime_ns for number in range(3)] == before
    assert main(["merge", str(parts.path), "--out", str(tmp_path / "tags.parquet")]) == 0
    assert (tmp_path / "tags.parquet").read_bytes() == whole


def test_shards_follow_the_first_list(bundle: Path, demo_tiles: Path, whole: bytes, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    shutil.copytree(tiles_of(demo_tiles), tiles_of(demo))
    assert main(command(bundle, demo, tmp_path / "parts", "0/2")) == 0
    first = min(tiles_of(demo).iterdir())
    shutil.copy(first, first.with_name("a_newcomer.jpg"))
    assert main(command(bundle, demo, tmp_path / "parts", "1/2")) == 0
    assert main(["merge", str(tmp_path / "parts"), "--out", str(tmp_path / "tags.parquet")]) == 0
    assert (tmp_path / "tags.parquet").read_bytes() == whole


def test_killed_process_leaves_no_part_and_its_shard_can_be_predicted_again(bundle: Path, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    write_demo(demo, tiles=20, test_tiles=400, size=32)
    call = command(bundle, demo, tmp_path / "parts", "0/1")
    process = Forked(call)
    parts = Parts(tmp_path / "parts")
    end = time.monotonic() + 120
    while not parts.plan.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    assert not parts.part(0).exists()
    assert main(call) == 0
    assert len(pd.read_parquet(parts.part(0))) == len(list(tiles_of(demo).iterdir()))


def test_parts_that_are_missing_or_damaged_are_named_with_the_remedy(
    bundle: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts, out = Parts(tmp_path / "parts"), tmp_path / "tags.csv"
    merge = ["merge", str(parts.path), "--out", str(out)]
    assert main(merge) == 2
    assert holds(told(capsys), parts.plan)
    assert main(command(bundle, demo_tiles, parts.path, "0/2")) == 0
    assert main(merge) == 2
    assert holds(told(capsys), "1 of 2", "part-00001.parquet", "--shard 1/2")
    shutil.copy(parts.part(0), parts.part(1))
    assert main(merge) == 1
    assert holds(told(capsys), parts.part(1))
    parts.part(1).write_bytes(parts.part(0).read_bytes()[:100])
    assert main(merge) == 1
    assert holds(told(capsys), parts.part(1))
    assert main(command(bundle, demo_tiles, parts.path, "1/2")) == 0  # it has no hash, so it is predicted
    table = pd.read_parquet(parts.part(0))
    table.assign(clear=0.5).to_parquet(parts.part(0), index=False)
    assert main(merge) == 1
    assert holds(told(capsys), parts.part(0))
    assert main([*merge[:-1], str(tmp_path / "tags.txt")]) == 2
    assert not out.exists()


def test_parts_of_different_predictions_are_not_mixed(
    bundle: Path, trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tmp_path / "parts"
    assert main(command(bundle, demo_tiles, parts, "0/2")) == 0
    assert main(command(bundle, demo_tiles, parts, "1/3")) == 2
    assert holds(told(capsys), "2 shards", 3)
    other = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    content = json.loads((other / "bundle.json").read_text())
    content["weights"].popitem()  # of two networks
    write_sealed(other, content)
    assert main(command(other, demo_tiles, parts, "1/2")) == 2
    assert holds(told(capsys), parts)


def test_more_shards_than_batches_are_refused(
    bundle: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(bundle, demo_tiles, tmp_path / "parts", "0/99")) == 2
    assert holds(told(capsys), 20, 8, "1 to 3", 99)
    assert not Parts(tmp_path / "parts").plan.exists()


def brighter(demo: Path) -> None:
    """Give the tiles of a folder other pixels."""
    for path in tiles_of(demo).iterdir():
        with Image.open(path) as image:
            changed = ImageOps.invert(image.convert("RGB"))
        changed.save(path, quality=40)


def test_parts_are_not_taken_for_those_of_another_folder(bundle: Path, demo_tiles: Path, tmp_path: Path) -> None:
    other, parts = tmp_path / "other", tmp_path / "parts"
    shutil.copytree(tiles_of(demo_tiles), tiles_of(other))
    brighter(other)
    assert main(command(bundle, demo_tiles, parts, "0/2")) == 0
    before = Parts(parts).part(0).stat().st_mtime_ns
    for shard in ("0/2", "1/2"):
        with pytest.raises(InputError) as raised:
            predict_tiles(bundle, tiles_of(other), parts, shard=shard)
        assert (raised.value.file, raised.value.option) == (tiles_of(other), "tiles") and raised.value.remedy
    with refused(file=tiles_of(other), option="tiles", says=[parts, tiles_of(demo_tiles)]):
        plan_shards(bundle, tiles_of(other), Parts(parts), 2)  # as `slurm predict` does
    assert Parts(parts).part(0).stat().st_mtime_ns == before and not Parts(parts).part(1).exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    with refused(file=empty, option="tiles", says=[parts, tiles_of(demo_tiles)]):
        predict_tiles(bundle, empty, parts, shard="0/2")


def test_parts_of_other_views_are_not_joined(bundle: Path, demo_tiles: Path, tmp_path: Path) -> None:
    parts, tiles = tmp_path / "parts", tiles_of(demo_tiles)
    predict_tiles(bundle, tiles, parts, shard="0/2", tta="none")
    with refused(file=parts, option="out"):
        predict_tiles(bundle, tiles, parts, shard="1/2")
    predict_tiles(bundle, tiles, parts, shard="1/2", tta="none")
    merge(parts, out=tmp_path / "joined.parquet")
    predict_tiles(bundle, tiles, tmp_path / "one.parquet", tta="none")
    predict_tiles(bundle, tiles, tmp_path / "own.parquet")
    joined, one, own = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("joined", "one", "own"))
    pd.testing.assert_frame_equal(joined, one)
    assert np.abs(one.iloc[:, 2:].to_numpy() - own.iloc[:, 2:].to_numpy()).max() > 1e-4


def test_parts_of_the_same_tiles_elsewhere_are_taken(
    bundle: Path, demo_tiles: Path, whole: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy may have other times; files of the same size are compared by their bytes where both folders are there."""
    copy, parts = tmp_path / "copy", tmp_path / "parts"
    shutil.copytree(tiles_of(demo_tiles), tiles_of(copy), copy_function=shutil.copyfile)
    assert main(command(bundle, demo_tiles, parts, "0/2")) == 0
    assert main(command(bundle, copy, parts, "0/2")) == 0
    assert main(command(bundle, copy, parts, "1/2")) == 0
    assert "another size or time" not in caplog.text
    assert main(["merge", str(parts), "--out", str(tmp_path / "tags.parquet")]) == 0
    assert (tmp_path / "tags.parquet").read_bytes() == whole
    first = min(tiles_of(copy).iterdir())
    content = bytearray(first.read_bytes())
    content[-20] ^= 1
    first.write_bytes(content)  # of the same size
    with pytest.raises(InputError) as refused:
        predict_tiles(bundle, tiles_of(copy), parts, shard="0/2")
    assert refused.value.option == "tiles" and first.stem in refused.value.problem


def test_plans_without_sizes_of_files_are_still_used(
    bundle: Path, demo_tiles: Path, whole: bytes, tmp_path: Path
) -> None:
    parts = Parts(tmp_path / "parts")
    assert main(command(bundle, demo_tiles, parts.path, "0/2")) == 0
    listed = pd.read_csv(parts.tiles, dtype=str, keep_default_na=False)
    listed[["image_name", "path", "tif"]].to_csv(parts.tiles, index=False)
    assert main(command(bundle, demo_tiles, parts.path, "1/2")) == 0
    assert main(["merge", str(parts.path), "--out", str(tmp_path / "tags.parquet")]) == 0
    assert (tmp_path / "tags.parquet").read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plan.json", {"shards": "1"}),
        ("plan.json", {"shards": True}),
        ("plan.json", {"shards": 99}),
        ("plan.json", {"batch": 0}),
        ("plan.json", {"tiles": None}),
        ("plan.json", {"tiles": 19}),
        ("plan.json", {"made_of": 1}),
        ("plan.json", {"root": ["a"]}),
        ("plan.json", "[1]"),
        ("plan.json", '{"tiles": '),
        ("tiles.csv", "name,path,tif\na,b,\n"),
        ("tiles.csv", "image_name,path,tif\na,b,\n"),
        ("tiles.csv", ""),
        ("part-00000.skipped.csv", "name\na\n"),
        ("part-00000.skipped.csv", ""),
    ],
)
def test_damaged_files_of_a_plan_are_named_with_the_remedy(
    tmp_path: Path, name: str, content: dict[str, object] | str
) -> None:
    parts = Parts(tmp_path / "parts")
    parts.path.mkdir()
    names = [f"t{number}" for number in range(20)]
    files = [f"{one}.jpg" for one in names]
    pd.DataFrame({"image_name": names, "path": files, "tif": ""}).to_csv(parts.tiles, index=False)
    plan = {"tiles": 20, "batch": 8, "shards": 1, "made_of": "abc", "root": str(tmp_path)}
    parts.plan.write_text(json.dumps(plan))
    save_part(parts, 0, pd.DataFrame({"image_name": names, "tags": "clear", "clear": 0.5}), "torch")
    merge(parts.path, out=tmp_path / "whole.csv")
    assert pd.read_csv(tmp_path / "whole.csv")["image_name"].tolist() == names
    (parts.path / name).write_text(content if isinstance(content, str) else json.dumps({**plan, **content}))
    with pytest.raises(InputError) as refused:
        merge(parts.path, out=tmp_path / "tags.csv")
    expected = "tiles.csv" if content == {"tiles": 19} else name  # another number fits neither
    assert refused.value.file == parts.path / expected and refused.value.remedy
    assert not (tmp_path / "tags.csv").exists()


def test_damaged_record_of_a_part_is_named_with_the_remedy(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts")
    parts.path.mkdir()
    pd.DataFrame({"image_name": ["a"], "path": ["a.jpg"], "tif": ""}).to_csv(parts.tiles, index=False)
    parts.plan.write_text(json.dumps({"tiles": 1, "batch": 8, "shards": 1, "made_of": "abc"}))
    save_part(parts, 0, pd.DataFrame({"image_name": ["a"], "tags": "clear", "clear": 0.5}), "torch")
    for content in ("{", "[]", "{}"):
        parts.record(0).write_text(content)
        with pytest.raises(WorkError, match=rf"{re.escape(str(parts.record(0)))} .*{re.escape(str(parts.part(0)))}"):
            merge(parts.path, out=tmp_path / "tags.csv")


def test_files_that_changed_in_the_folder_itself_are_refused_for_a_part_that_is_there(
    bundle: Path, demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    demo, parts = tmp_path / "demo", tmp_path / "parts"
    shutil.copytree(tiles_of(demo_tiles), tiles_of(demo))
    assert main(command(bundle, demo, parts, "0/2")) == 0
    planned = pd.read_csv(parts / "tiles.csv")["image_name"]
    rewrite(demo, planned.iloc[[0, -1]], 30)
    with pytest.raises(InputError) as refused:
        predict_tiles(bundle, tiles_of(demo), parts, shard="0/2")
    assert refused.value.option == "tiles"
    assert main(command(bundle, demo, parts, "1/2")) == 0
    assert "another size or time" in caplog.text


def rewrite(demo: Path, names: "pd.Series[str]", quality: int) -> None:
    """Give some tiles of a folder another size."""
    for name in names:
        path = tiles_of(demo) / f"{name}.jpg"
        with Image.open(path) as image:
            changed = image.convert("RGB")
        changed.save(path, quality=quality)


def test_a_part_of_a_tile_that_was_copied_again_is_taken(bundle: Path, demo_tiles: Path, tmp_path: Path) -> None:
    demo, parts = tmp_path / "demo", Parts(tmp_path / "parts")
    shutil.copytree(tiles_of(demo_tiles), tiles_of(demo))
    assert main(command(bundle, demo, parts.path, "0/2")) == 0
    last = pd.read_csv(parts.tiles)["image_name"].iloc[-1:]
    rewrite(demo, last, 30)
    assert main(command(bundle, demo, parts.path, "1/2")) == 0
    done = parts.part(1).stat().st_mtime_ns
    assert main(command(bundle, demo, parts.path, "1/2")) == 0
    plan_shards(bundle, tiles_of(demo), parts, 2)
    assert parts.part(1).stat().st_mtime_ns == done
    rewrite(demo, last, 60)
    with pytest.raises(InputError) as refused:
        predict_tiles(bundle, tiles_of(demo), parts.path, shard="1/2")
    assert refused.value.option == "tiles" and last.iloc[0] in refused.value.problem


def test_files_are_compared_without_the_lock_and_not_all_of_them(
    bundle: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, parts = tmp_path / "copy", Parts(tmp_path / "parts")
    shutil.copytree(tiles_of(demo_tiles), tiles_of(copy), copy_function=shutil.copyfile)
    plan_shards(bundle, tiles_of(demo_tiles), parts, 2)
    compared = []

    def hash_unlocked(*paths: str) -> str:
        with locked(parts.path / ".lock", "the plan is locked", shared=True):
            compared.append(paths)
        return hash_files(*paths)

    monkeypatch.setattr(planned_files, "hash_files", hash_unlocked)
    monkeypatch.setattr(planned_files, "_MOST_COMPARED", 2, raising=False)
    plan_shards(bundle, tiles_of(copy), parts, 2, number=1)
    assert 2 <= len(compared) <= 4  # in both folders


def test_other_tiles_in_a_folder_of_the_same_path_are_refused(bundle: Path, demo_tiles: Path, tmp_path: Path) -> None:
    demo, parts = tmp_path / "demo", Parts(tmp_path / "parts")
    shutil.copytree(tiles_of(demo_tiles), tiles_of(demo))
    plan_shards(bundle, tiles_of(demo), parts, 2)
    brighter(demo)
    with pytest.raises(InputError) as refused:
        predict_tiles(bundle, tiles_of(demo), parts.path, shard="1/2")
    assert (refused.value.file, refused.value.option) == (tiles_of(demo), "tiles") and refused.value.remedy
    assert not parts.part(1).exists()


def test_a_damaged_list_of_tiles_left_out_costs_one_part(
    bundle: Path, demo_tiles: Path, whole: bytes, tmp_path: Path
) -> None:
    parts, out = Parts(tmp_path / "parts"), tmp_path / "tags.parquet"
    for shard in ("0/2", "1/2"):
        assert main(command(bundle, demo_tiles, parts.path, shard)) == 0
    parts.skipped(1).write_text("name\na\n")
    with pytest.raises(InputError) as refused:
        merge(parts.path, out=out)
    remedy = str(refused.value.remedy)
    assert refused.value.file == parts.skipped(1)
    assert parts.part(1).name in remedy and "1/2" in remedy and str(parts.path) not in remedy
    parts.part(1).unlink()
    parts.skipped(1).unlink()
    assert main(command(bundle, demo_tiles, parts.path, "1/2")) == 0
    merge(parts.path, out=out)
    assert out.read_bytes() == whole
