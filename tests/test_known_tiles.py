"""The tiles that a bundle was trained on are known by the hashes of their names."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_sealed
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.predictor import Predictor
from amazon_ml.runs.known_tiles import count_known, hash_names, read_known, write_known

pytestmark = pytest.mark.usefixtures("without_pages")


@pytest.fixture
def bundle(trained: Path, tmp_path: Path) -> Path:
    """Copy the bundle of a run, to be broken."""
    return Path(shutil.copytree(trained / "bundle", tmp_path / "bundle"))


def test_hashes_are_sorted_and_keep_no_order(tmp_path: Path) -> None:
    file = tmp_path / "names.safetensors"
    write_known(file, hash_names(["b", "ä", "a", "b"]))
    assert read_known(file).tolist() == sorted(hash_names(["a", "b", "ä"]).tolist())
    assert int(hash_names(["a"])[0]) == int.from_bytes(bytes.fromhex("ca978112ca1bbdca"), "little")
    file.write_bytes(b"no tensors")
    with refused(file=file):
        read_known(file)


@pytest.mark.parametrize("kind", ["split", "exclude", "fewer", "other"])
def test_evaluating_on_a_part_of_what_it_was_trained_on_is_said(
    trained: Path, bundle: Path, demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    table = pd.read_csv(demo_tiles / "train_v2.csv").head(6)
    tiles, options, known, count = tmp_path / "part", [], 6, 6
    (tiles / "train-jpg").mkdir(parents=True)
    for name in table["image_name"]:
        shutil.copy(demo_tiles / "train-jpg" / f"{name}.jpg", tiles / "train-jpg")
    if kind == "split":
        table["split"] = ["val", "train", "test"] * 2
        options, known, count = ["--split_column", "split", "--split", "val"], 2, 2
    if kind == "exclude":
        (tmp_path / "out.txt").write_text(f"image_name\n{table['image_name'][0]}\n")
        options, known, count = ["--exclude", str(tmp_path / "out.txt")], 5, 5
    if kind == "other":  # a tile of another name is not among them
        former, table.loc[0, "image_name"] = table["image_name"][0], "another"
        (tiles / "train-jpg" / f"{former}.jpg").rename(tiles / "train-jpg" / "another.jpg")
        known = 5
    table.to_csv(tiles / "train_v2.csv", index=False)
    for source in (bundle, trained):
        caplog.clear()
        assert main(["evaluate", str(source), "--data", str(tiles), *options]) == 0
        warned = [record.args for record in caplog.records if record.name == "amazon_ml.runs.labelled"]
        assert warned == [(known, count, source)]


@pytest.mark.parametrize(
    ("trained_on", "names", "known"),
    [
        (["images/t0", "images/t1"], ["t0", "t1", "t2"], 2),
        (["t0", "t1"], ["images/t0", "images/t1", "images/t2"], 2),
        (["images/t0"], ["/set/images/t0", "/set/images/t1"], 1),
        (["/set/images/t0"], ["t0", "images/t1"], 1),
        (["a/0", "b/1"], ["a/0", "a/1", "b/0", "b/1"], 2),
        (["0", "1"], ["a/0", "b/0", "a/1"], 1),  # 0 may be either
        (["0", "1"], ["0", "b/0"], 1),
        (["set/t0"], ["t0"], 0),
    ],
)
def test_a_tile_is_known_by_its_file_however_the_table_names_it(
    trained_on: list[str], names: list[str], known: int
) -> None:
    """The files lie in /set/images, in folders that a name says, or in /other."""
    inner = [name.removeprefix("/set/").removeprefix("images/") for name in names]
    place = "/other" if trained_on == ["set/t0"] else "/set/images"
    tiles = pd.DataFrame({"image_name": names, "path": [f"{place}/{name}.png" for name in inner]})
    assert count_known(tiles, lambda some: np.isin(some, trained_on)) == known
    stored = hash_names(trained_on)
    assert count_known(tiles, lambda some: np.isin(hash_names(some), stored)) == known


def test_evaluating_by_paths_on_what_was_named_by_files_is_said(
    trained: Path, bundle: Path, demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.read_csv(demo_tiles / "train_v2.csv").head(6)
    (tmp_path / "set" / "images").mkdir(parents=True)
    for name in table["image_name"]:
        shutil.copy(demo_tiles / "train-jpg" / f"{name}.jpg", tmp_path / "set" / "images")
    table["image_name"] = "images/" + table["image_name"] + ".jpg"
    table.to_csv(tmp_path / "set" / "labels.csv", index=False)
    for source in (bundle, trained):
        caplog.clear()
        assert main(["evaluate", str(source), "--data", str(tmp_path / "set")]) == 0
        warned = [record.args for record in caplog.records if record.name == "amazon_ml.runs.labelled"]
        assert warned == [(6, 6, source)]


def test_a_bundle_without_the_names_of_its_tiles_is_refused(bundle: Path) -> None:
    content = json.loads((bundle / "bundle.json").read_text())
    del content["known"]
    write_sealed(bundle, content)
    with refused(file=bundle / "bundle.json"):
        Predictor.load(bundle)


@pytest.mark.parametrize("change", ["missing", "changed"])
def test_names_of_tiles_that_are_missing_or_changed_are_refused(bundle: Path, change: str) -> None:
    file = bundle / "known_tiles.safetensors"
    if change == "missing":
        file.unlink()
    else:
        write_known(file, hash_names(["another"]))
    with refused(file=bundle / "bundle.json" if change == "missing" else file):
        Predictor.load(bundle)
