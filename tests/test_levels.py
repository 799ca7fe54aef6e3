"""Levels of 16 bits: from files to networks, through packed stores, symmetries, bundles and ONNX; 8 bits stay."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
import pytest
import torch
from conftest import TINY, leave_out_pages
from made_tiles import tifs, values, write_tif
from one_block import ONE_BLOCK
from safetensors.torch import load_file

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.data.augment.augment import symmetric
from amazon_ml.data.batches.sources import TileFiles
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.config import LevelType, ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.indices import compute_index
from amazon_ml.data.readers.named import NamedBands
from amazon_ml.data.readers.reader_file import read_reader, write_reader
from amazon_ml.data.readers.scaling import narrowed, scale_levels, widened
from amazon_ml.data.store.pack import pack_folder
from amazon_ml.data.store.packed import open_store
from amazon_ml.errors import InputError
from amazon_ml.models.preprocess import normalise
from amazon_ml.runs.folder import Run

TYPES: tuple[LevelType, LevelType] = ("uint8", "uint16")
LIMITS = dict.fromkeys("rgbn", (300.0, 4000.0))
OPTIONS = ["--data.bands=rgbn", "--data.rgb_source=tif", "--data.dtype=uint16", "--data.size=24", *ONE_BLOCK]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 tiles of 12 bits in four bands; forests differ by less than a step of 8 bits. Not to be changed."""

    def tile(i: int) -> npt.NDArray[Any]:
        return values(i, low=2000, high=2012) + np.uint16(7 * (i % 2)) + np.uint16(1500) * (values(i) > 3900)

    return tifs(tmp_path_factory.mktemp("levels"), tile, tiles=48)


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "levels"
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pages(patch)
        assert main(["train", "--run", str(run), "--data.root", str(root), *TINY, *OPTIONS, "--folds=[0, 1]"]) == 0
    return run


def reader_of(dtype: LevelType) -> TileReader:
    return TileReader(tuple("rgbn"), LIMITS, "bgrn", "tif", dtype=dtype)


def reading(**options: Any) -> ReadingConfig:
    return ReadingConfig(bands="rgbn", rgb_source="tif", dtype="uint16", **options)


def test_levels_are_the_values_between_the_limits() -> None:
    every = np.arange(4096, dtype=np.uint16)
    exact = np.clip((every.astype(np.float64) - 300) / 3700, 0, 1)
    fine = scale_levels(every, 300, 4000, "uint16")
    assert fine.dtype == np.uint16 and np.abs(fine / 65535 - exact).max() < 1e-5
    assert np.array_equal(fine, scale_levels(every.astype(np.float32), 300, 4000, "uint16"))
    assert len(np.unique(fine)) == 3701 and len(np.unique(scale_levels(every, 300, 4000))) == 256
    assert np.abs(narrowed(fine).astype(int) - scale_levels(every, 300, 4000)).max() == 0


def test_pictures_indices_and_masked_pixels_have_the_same_levels_in_both_types() -> None:
    a, b = values(1, 1)[..., 0], values(2, 1)[..., 0]
    coarse, fine = (compute_index("ndvi", [a, b], dtype=dtype) for dtype in TYPES)
    assert np.abs(coarse - fine / 257).max() <= 0.5
    assert (compute_index("ndvi", [0 * a, 0 * a], dtype="uint16") == 32768).all()


def test_a_reader_of_16_bits(root: Path, tmp_path: Path) -> None:
    path = read_catalog(root, reading()).labelled["path"].iloc[0]
    coarse, fine = (reader_of(dtype)(path) for dtype in TYPES)
    assert fine.dtype == np.uint16 and np.array_equal(narrowed(fine), coarse)
    for dtype in TYPES:
        reader = reader_of(dtype)
        write_reader(tmp_path / "bands.json", reader)
        assert read_reader(tmp_path / "bands.json") == reader
        assert ("dtype" in json.loads((tmp_path / "bands.json").read_text())) == (dtype == "uint16")


@pytest.mark.parametrize("bands", [1, 3, 4, 5])
def test_symmetries_of_16_bits_are_numpys_views(bands: int) -> None:
    tile = np.random.default_rng(0).integers(65536, size=(6, 6, bands), dtype=np.uint16)
    for which in range(8):
        view = tile.swapaxes(0, 1) if which & 4 else tile
        view = view[:: -1 if which & 2 else 1, :: -1 if which & 1 else 1]
        assert np.array_equal(symmetric(tile, which), view)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bands", [4, 12])
def test_symmetries_of_tiles_from_files_are_numpys_views(bands: int, dtype: LevelType, tmp_path: Path) -> None:
    names = tuple(f"b{at}" for at in range(bands))
    tile = values(1, bands, dtype, 0, 255 if dtype == "uint8" else 65535)
    path = str(write_tif(tmp_path / "a.tif", tile))
    source = NamedBands({name: (name,) for name in names}, names)
    reader = TileReader(names, dict.fromkeys(names, (0.0, 65535.0)), rgb_source="tif", source=source, dtype=dtype)
    files = TileFiles(pd.DataFrame({"path": [path], "tif": [""]}), reader, len(tile))
    which = np.arange(8, dtype=np.uint8)
    fetched = files.fetch(np.zeros(8, dtype=np.intp), which)
    assert fetched.dtype == dtype
    for found, number in zip(fetched, which.tolist(), strict=True):
        view = tile.swapaxes(0, 1) if number & 4 else tile
        assert np.array_equal(found, view[:: -1 if number & 2 else 1, :: -1 if number & 1 else 1])


def test_networks_see_the_fraction_of_a_level() -> None:
    fine = np.random.default_rng(0).integers(65536, size=(2, 5, 5, 3), dtype=np.uint16)
    mean, std = torch.tensor([10.0, 20.0, 30.0]), torch.tensor([1.0, 2.0, 3.0])
    expected = (fine / 257 - mean.numpy()) / std.numpy()
    seen = normalise(torch.from_numpy(fine), mean, std).permute(0, 2, 3, 1)
    assert np.allclose(seen, expected, rtol=1e-5, atol=1e-5)
    coarse = (fine // 257).astype(np.uint8)
    first, second = (normalise(torch.from_numpy(levels), mean, std) for levels in (coarse, widened(coarse, "uint16")))
    assert torch.allclose(first, second)


def test_a_packed_store_gives_the_same_batches(root: Path, tmp_path: Path) -> None:
    bands = tmp_path / "bands.json"
    data = {}
    for packed in (False, True):
        if packed:
            pack_folder(root, reading(), size=24, out=tmp_path / "store", bands_file=bands, num_workers=1)
        data[packed] = PlanetDataModule(
            root, bands="rgbn", rgb_source="tif", dtype="uint16", size=24, n_folds=3, batch_size=8,
            bands_file=str(bands), packed=str(tmp_path / "store") if packed else None,
        )  # fmt: skip
        data[packed].prepare_data()
        data[packed].setup()
    first, second = (next(iter(module.train_dataloader()))["image"] for module in data.values())
    assert first.dtype == torch.uint16 and torch.equal(first.view(torch.int16), second.view(torch.int16))
    store = open_store(tmp_path / "store")
    assert store.images.dtype == np.uint16 and store.images.nbytes == 48 * 24 * 24 * 4 * 2
    with pytest.raises(InputError) as refused:
        PlanetDataModule(root, bands="rgbn", rgb_source="tif", size=24, packed=str(tmp_path / "store")).setup()
    assert refused.value.option == "data.packed"


def test_a_run_of_16_bits_from_files_to_the_bundle(root: Path, run: Path, tmp_path: Path) -> None:
    oof = pd.read_parquet(Run(run).oof).set_index("image_name")
    reader, catalog = read_reader(Run(run).bands), read_catalog(root, reading())
    assert reader.dtype == "uint16"
    tiles = np.stack([reader(path) for path in catalog.labelled["path"]])
    predictor = am.Predictor.load(run / "bundle", progress=False)
    by_files = predictor.predict_proba(catalog.labelled["path"].tolist())
    np.testing.assert_array_equal(predictor.predict_proba(tiles), by_files)
    np.testing.assert_array_equal(predictor.predict_proba(tiles.astype(">u2")), by_files)  # as other machines save them
    assert by_files.shape == (48, len(oof.columns) - ("fold" in oof.columns))
    for engine in ("folded", "onnx"):
        quick = am.Predictor.load(run / "bundle", engine=engine).predict_proba(tiles)
        np.testing.assert_allclose(quick, by_files, atol=1e-4)
    for other in (narrowed(tiles), tiles.astype(np.float32)):  # of another kind than in training
        with pytest.raises(InputError) as refused:
            predictor.predict_proba(other)
        assert refused.value.option == "tiles"
    out = tmp_path / "p.parquet"
    assert main(["predict", str(run), "--tiles", str(root / "tiles"), "--out", str(out)]) == 0
    names = catalog.labelled["image_name"]
    predicted = pd.read_parquet(out).set_index("image_name").loc[names, list(catalog.tags.names)]
    np.testing.assert_allclose(predicted.to_numpy(), by_files, atol=1e-6)
    assert main(["evaluate", str(run / "bundle"), "--data", str(root)]) == 0
    assert main(["export", str(run / "bundle"), "--onnx", str(tmp_path / "t.onnx")]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "t.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint16)"
    assert np.abs(session.run(None, {"tiles": tiles})[0] - by_files).max() < 1e-4


def test_windows_of_a_scene_are_tiles_of_16_bits(run: Path, tmp_path: Path) -> None:
    scene = np.tile(values(1, low=2000, high=2012), (2, 2, 1))
    scene[:, 24:] += 7
    predictor = am.Predictor.load(run / "bundle", progress=False)
    file = write_tif(tmp_path / "scene.tif", scene, crs="EPSG:32721")
    found = predictor.predict_scene(file, stride=24, bands="bgrn").p
    corners = [scene[y : y + 24, x : x + 24] for y in (0, 24) for x in (0, 24)]
    paths = [str(write_tif(tmp_path / f"{at}.tif", tile)) for at, tile in enumerate(corners)]
    np.testing.assert_allclose(found.reshape(4, -1), predictor.predict_proba(paths), atol=1e-6)


def test_strips_of_16_bits_are_stored_and_joined(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amazon_ml.scenes.tagging._STRIP", 0)
    scene = np.tile(values(1, low=1000, high=3500), (2, 2, 1))
    file, out, whole = write_tif(tmp_path / "scene.tif", scene, crs="EPSG:32721"), tmp_path / "out", tmp_path / "whole"
    call = ["scene", "predict", str(run / "bundle"), "--scene", str(file), "--stride=24", "--bands=bgrn", "--out"]
    assert main([*call, str(whole)]) == 0
    for shard in ("0/2", "1/2"):
        assert main([*call, str(out), "--shard", shard]) == 0
    red = scale_levels(scene[..., 2], *read_reader(Run(run).bands).limits["r"])
    for at, part in enumerate(sorted((out / "parts").glob("strip-*.npz"))):
        picture = np.load(part)["picture"]
        assert picture.dtype == np.uint8
        assert np.abs(picture[..., 0].astype(int) - red[24 * at : 24 * at + 24]).max() <= 1
    assert main(["scene", "merge", str(out)]) == 0
    for name in ("picture.webp", "probabilities.tif", "summary.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    with monkeypatch.context() as patch:  # a call that was stopped after its last strip
        patch.setattr("amazon_ml.scenes.finish.write_outputs", Mock(side_effect=KeyboardInterrupt))
        assert main([*call, str(tmp_path / "again")]) != 0
    monkeypatch.setattr("amazon_ml.scenes.tagging._predict_strip", None)
    assert main([*call, str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "picture.webp").read_bytes() == (whole / "picture.webp").read_bytes()


def test_the_same_command_ends_at_the_same_weights(root: Path, run: Path, tmp_path: Path, fit_only: None) -> None:
    """From a packed store, in steps: first one epoch of training stops, then it goes on."""
    pack_folder(root, size=24, out=tmp_path / "store", bands_file=Run(run).bands, num_workers=1)
    again = tmp_path / "again"
    again.mkdir()
    (again / "bands.json").write_bytes(Run(run).bands.read_bytes())
    call = ["train", "--run", str(again), "--data.root", str(root), *TINY, *OPTIONS, "--folds=[0]"]
    assert main([*call, f"--data.packed={tmp_path / 'store'}"]) == 0
    first, second = (load_file(each / "fold-0" / "model.safetensors") for each in (run, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_tiles_of_8_bits_refuse_values_of_16(trained: Path) -> None:
    with pytest.raises(InputError) as refused:
        am.Predictor.load(trained).predict_proba(np.zeros((1, 32, 32, 3), dtype=np.uint16))
    assert refused.value.option == "tiles"


def test_only_symmetries_change_tiles_of_16_bits(root: Path) -> None:
    with pytest.raises(InputError) as refused:
        PlanetDataModule(root, dtype="uint16", augment=[{"D4": {}}, {"Haze": {"p": 0.5}}])
    assert refused.value.option == "data.augment"
