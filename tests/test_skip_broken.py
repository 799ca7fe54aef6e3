"""Prediction of folders with tiles that cannot be read: all are named before the work, or left out on request."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import write_sealed
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.errors import WorkError
from amazon_ml.runs.saving import save_table
from amazon_ml.runtime.locks import locked

TILES = 20


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bundle of one network that predicts few tiles at once, so that few tiles are several shards."""
    bundle = Path(shutil.copytree(trained / "bundle", tmp_path_factory.mktemp("bundle") / "bundle"))
    content = json.loads((bundle / "bundle.json").read_text())
    content["predict"]["batch_size"] = 8
    write_sealed(bundle, content)
    return bundle


@pytest.fixture
def tiles(demo_tiles: Path, tmp_path: Path) -> Path:
    """Copy some tiles, to be broken."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    for n in range(TILES):
        shutil.copy(demo_tiles / "test-jpg" / f"test_{n}.jpg", folder)
    return folder


def cut(tiles: Path, *numbers: int) -> None:
    """Cut tiles short, which their headers tell."""
    for n in numbers:
        path = tiles / f"test_{n}.jpg"
        path.write_bytes(path.read_bytes()[:300])


def spoil(tiles: Path, *numbers: int) -> None:
    """Damage tiles between their ends, which only decoding finds."""
    for n in numbers:
        path = tiles / f"test_{n}.jpg"
        data = path.read_bytes()
        path.write_bytes(data[:2] + bytes(198) + data[200:])


def predict(bundle: Path, tiles: Path, out: Path, *options: str) -> int:
    return main(["predict", str(bundle), "--tiles", str(tiles), "--out", str(out), *options])


def message(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("amazon-ml: "))
    return line


def rows(out: Path) -> list[str]:
    return pd.read_csv(out)["image_name"].tolist()


def without(*numbers: int) -> list[str]:
    return [f"test_{n}" for n in range(TILES) if n not in numbers]


def test_all_broken_tiles_are_named_and_nothing_is_predicted(
    bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(tiles, 3, 7)
    (tiles / "test_9.jpg").write_bytes(b"")
    (tiles / "gone.jpg").symlink_to("nowhere")
    (tiles / "page.png").write_text("<html>")
    os.mkfifo(tiles / "pipe.jpg")
    out, broken = tmp_path / "tags.csv", tmp_path / "broken.csv"
    assert predict(bundle, tiles, out) == 2
    said = message(capsys)
    assert "6 of 23" in said and "--skip_broken" in said and "--broken" in said
    assert predict(bundle, tiles, out, "--broken", str(broken)) == 2
    assert str(broken) in message(capsys)
    assert set(rows(broken)) == {"test_3", "test_7", "test_9", "gone", "page", "pipe"}
    assert not out.exists()


def test_broken_tiles_are_left_out_on_request_and_counted(
    bundle: Path, tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut(tiles, 3, 7)
    spoil(tiles, 11)
    assert predict(bundle, tiles, tmp_path / "tags.csv", "--skip_broken", "--broken", str(tmp_path / "b.csv")) == 0
    assert rows(tmp_path / "tags.csv") == without(3, 7, 11)
    assert set(rows(tmp_path / "b.csv")) == {"test_3", "test_7", "test_11"}
    assert f"3 of {TILES}" in caplog.text


@pytest.mark.parametrize("num_workers", ["0", "1"])
def test_what_was_predicted_is_not_lost_to_a_tile_that_cannot_be_decoded(
    bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], num_workers: str
) -> None:
    whole = tmp_path / "whole.csv"
    assert predict(bundle, tiles, whole) == 0
    spoil(tiles, 5, 12)
    out = tmp_path / "tags.csv"
    assert predict(bundle, tiles, out, "--num_workers", num_workers) == 2
    said = message(capsys)
    kept = tmp_path / "tags.incomplete.csv"
    assert "test_5.jpg" in said and "test_12.jpg" in said and str(kept) in said
    assert not out.exists()
    assert predict(bundle, tiles, out, "--skip_broken", "--num_workers", num_workers) == 0
    expected = pd.read_csv(whole).set_index("image_name").loc[without(5, 12)]
    for table in (kept, out):
        pd.testing.assert_frame_equal(pd.read_csv(table).set_index("image_name"), expected)


def test_the_rows_of_the_others_replace_no_file(
    bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(tiles, 5)
    of_the_user = tmp_path / "tags.incomplete.csv"
    of_the_user.write_text("mine\n")
    assert predict(bundle, tiles, tmp_path / "tags.csv", "--overwrite") == 2
    assert of_the_user.read_text() == "mine\n"
    kept = tmp_path / "tags.incomplete-2.csv"
    assert str(kept) in message(capsys) and rows(kept) == without(5)


def test_a_tile_that_vanishes_meanwhile_is_left_out(
    bundle: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(tables: object, files: object) -> dict[str, str]:
        (tiles / "test_4.jpg").unlink()
        return {}

    monkeypatch.setattr("amazon_ml.runs.predict.find_broken", vanish)
    assert predict(bundle, tiles, tmp_path / "tags.csv", "--skip_broken") == 0
    assert rows(tmp_path / "tags.csv") == without(4)


def test_where_no_tile_can_be_read_that_is_said_at_once(
    bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for damage in (spoil, cut):
        damage(tiles, *range(TILES))
        assert predict(bundle, tiles, tmp_path / "tags.csv", "--skip_broken") == 2
        assert "test_" in message(capsys)
    assert not list(tmp_path.glob("tags*"))


def test_shards_leave_broken_tiles_out_and_merge_says_so(
    bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    parts = tmp_path / "parts"
    cut(tiles, 2)
    assert predict(bundle, tiles, parts, "--shard", "0/2") == 2
    assert "test_2.jpg" in message(capsys)
    listing = tmp_path / "broken.csv"
    assert predict(bundle, tiles, parts, "--shard", "0/2", "--skip_broken", "--broken", str(listing)) == 0
    assert rows(listing) == ["test_2"] and rows(parts / "tiles.csv") == without()
    cut(tiles, *range(16, 19))
    spoil(tiles, 19)
    (tiles / "test_15.jpg").unlink()
    assert predict(bundle, tiles, parts, "--shard", "1/2") == 2
    assert predict(bundle, tiles, parts, "--shard", "1/2", "--skip_broken") == 0
    assert main(["merge", str(parts), "--out", str(tmp_path / "tags.csv")]) == 0
    assert rows(tmp_path / "tags.csv") == without(2, *range(15, 20))
    assert "could not be read" in caplog.text and "lacks 6 of 20" in caplog.text


def test_a_shard_without_a_tile_that_can_be_read_is_empty(bundle: Path, tiles: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    assert predict(bundle, tiles, parts, "--shard", "0/3") == 0
    planned = pd.read_csv(parts / "tiles.csv")["image_name"]
    last = planned[~planned.isin(pd.read_parquet(parts / "part-00000.parquet")["image_name"])].iloc[-4:]
    cut(tiles, *(int(name.removeprefix("test_")) for name in last))
    for shard in ("1/3", "2/3"):
        assert predict(bundle, tiles, parts, "--shard", shard, "--skip_broken") == 0
    assert main(["merge", str(parts), "--out", str(tmp_path / "tags.csv")]) == 0
    assert rows(tmp_path / "tags.csv") == [name for name in planned if name not in set(last)]


def test_jobs_leave_broken_tiles_out(bundle: Path, tiles: Path, tmp_path: Path) -> None:
    cut(tiles, 2)
    out = tmp_path / "tags.csv"
    words = ["slurm", "predict", str(bundle), "--tiles", str(tiles), "--out", str(out), "--shards", "2"]
    assert main(words) == 2
    assert main([*words, "--skip_broken", "--defuse"]) == 0
    scripts = "\n".join(path.read_text() for path in out.with_name("tags.csv.parts").rglob("*.sbatch"))
    assert "--skip_broken" in scripts and "--defuse" in scripts


def test_evaluate_names_all_broken_tiles(
    trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(demo_tiles, tmp_path / "demo"))
    for n, damage in ((5, cut), (8, cut), (9, spoil)):
        (root / "train-jpg" / f"train_{n}.jpg").rename(root / "train-jpg" / f"test_{n}.jpg")
        damage(root / "train-jpg", n)
        (root / "train-jpg" / f"test_{n}.jpg").rename(root / "train-jpg" / f"train_{n}.jpg")
    words = ["evaluate", str(trained), "--data", str(root)]
    assert main(words) == 2
    said = message(capsys)
    assert "train_5.jpg" in said and "train_8.jpg" in said and "--write_exclude" in said
    left_out = tmp_path / "left_out.csv"
    left_out.write_text("image_name\ntrain_5\ntrain_8\n")
    assert main([*words, "--exclude", str(left_out)]) == 2
    assert "train_9.jpg" in message(capsys)
    left_out.write_text("image_name\ntrain_5\ntrain_8\ntrain_9\n")
    assert main([*words, "--exclude", str(left_out)]) == 0


@pytest.mark.parametrize("out", ["folder.csv", "file/x.csv", "pipe.csv"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.csv")
    cut(tiles, 1)  # the output is looked at before the tiles are
    assert predict(bundle, tiles, tmp_path / out) in (1, 2)
    assert str(tmp_path / out) in message(capsys)


def test_a_table_that_cannot_be_written_in_the_end_is_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "file").touch()
    with pytest.raises(WorkError) as raised:
        save_table(tmp_path / "file" / "tags.csv", pd.DataFrame({"image_name": ["a"], "tags": ["x"]}))
    (saved,) = (tmp_path / "tmp").rglob("tags.csv")
    assert str(saved) in str(raised.value) and rows(saved) == ["a"]


def test_spreadsheets_take_no_name_for_a_formula(
    bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiles / "test_0.jpg").rename(tiles / "=cmd|' !A1.jpg")
    assert predict(bundle, tiles, tmp_path / "plain.csv") == 0
    assert "=cmd|' !A1" in rows(tmp_path / "plain.csv")
    assert predict(bundle, tiles, tmp_path / "safe.csv", "--defuse") == 0
    assert "'=cmd|' !A1" in rows(tmp_path / "safe.csv")
    assert predict(bundle, tiles, tmp_path / "safe.parquet", "--defuse") == 2
    assert "--defuse" in message(capsys)


def test_a_folder_of_other_formats_says_so(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    (folder / "a.jp2").write_bytes(b"?")
    assert predict(bundle, folder, tmp_path / "tags.csv") == 2
    assert "1 .jp2" in message(capsys)
    assert predict(bundle, folder / "a.jp2", tmp_path / "tags.csv") == 2
    assert holds(message(capsys), folder)


def test_weights_that_are_no_regular_file(
    trained: Path, bundle: Path, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for name in ("fold-0/model.safetensors", "decision.json", "bands.json", "config.yaml"):
        (run / name).rename(tmp_path / "aside")
        os.mkfifo(run / name)
        assert predict(run, tiles, tmp_path / "tags.csv") == 2
        assert name in message(capsys)
        (tmp_path / "aside").replace(run / name)


def test_files_are_locked_without_waiting_for_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / ".lock")
    with refused(file=tmp_path / ".lock"), locked(tmp_path / ".lock", "busy"):
        pass
