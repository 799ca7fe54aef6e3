"""Normalisation by the training tiles of a fold, and limits that depend on no tile: held-out pixels change nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY, leave_out_pages
from made_tiles import folder, tifs, values, write_tif
from one_block import ONE_BLOCK
from refused import refused
from safetensors.torch import load_file

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.data.batches.statistics import channel_statistics, draw_tiles
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.folds.folds import read_folds
from amazon_ml.data.readers.reader_file import read_reader
from amazon_ml.data.readers.shown import shown_channels
from amazon_ml.data.store.pack import pack_folder
from amazon_ml.models.config import ModelConfig
from amazon_ml.runs.folder import Run

TILES = 36
FULL: dict[str, Any] = {
    "bands": "rgbn",
    "rgb_source": "tif",
    "dtype": "uint16",
    "tif_limits": "full",
    "size": 24,
    "n_folds": 3,
}
OPTIONS = ["--data.bands=rgbn", "--data.rgb_source=tif", "--data.size=24", *ONE_BLOCK]
HONEST = ["--data.dtype=uint16", "--data.tif_limits=full", "--model.normalization=training"]


def tile(i: int) -> npt.NDArray[Any]:
    return values(i, low=900 + 30 * i, high=3000 + 300 * (i % 2))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles of 12 bits, each brighter than the one before. Not to be changed."""
    return tifs(tmp_path_factory.mktemp("normalization"), tile, tiles=TILES)


def train(run: Path, root: Path, *options: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pages(patch)
        assert main(["train", "--run", str(run), "--data.root", str(root), *TINY, *OPTIONS, *options]) == 0
    return run


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs") / "honest", root, *HONEST, "--folds=[0, 1]")


def weights(run: Path, fold: int = 0) -> dict[str, torch.Tensor]:
    return load_file(run / f"fold-{fold}" / "model.safetensors")


@pytest.mark.parametrize("packed", [False, True])
def test_statistics_are_those_of_the_training_tiles(root: Path, packed: bool, tmp_path: Path) -> None:
    data = PlanetDataModule(root, fold=1, packed=str(tmp_path / "store") if packed else None, **FULL)
    if packed:
        reading = ReadingConfig(bands="rgbn", rgb_source="tif", dtype="uint16", tif_limits="full")
        pack_folder(root, reading, size=24, out=tmp_path / "store", num_workers=1)
    data.setup("fit")
    names = data.catalog.labelled["image_name"].iloc[data.train_rows]
    pixels = np.stack([tile(int(str(name)[1:])) for name in names])[..., [2, 1, 0, 3]].reshape(-1, 4)
    mean, std = data.statistics()
    np.testing.assert_allclose(mean, pixels.mean(axis=0) / 65535, rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=0) / 65535, rtol=1e-9)
    assert 0 < len(names) < TILES


def test_a_channel_with_one_value_becomes_0() -> None:
    class Constant:
        def __len__(self) -> int:
            return 20

        def fetch(self, rows: Any, symmetries: Any = None) -> Any:
            return np.full((len(rows), 8, 8, 1), 51, dtype=np.uint8)

    assert channel_statistics(Constant()) == ([51 / 255], [1.0])


def test_tiles_are_drawn_from_the_given_rows() -> None:
    rows = np.arange(5, 2000, 3)
    drawn = draw_tiles(rows, seed=1)
    assert len(set(drawn.tolist())) == 500 and set(drawn.tolist()) <= set(rows.tolist())
    assert np.array_equal(drawn, draw_tiles(rows, seed=1)) and (np.diff(drawn) > 0).all()
    assert np.array_equal(draw_tiles(rows[:7], seed=1), rows[:7])


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
@pytest.mark.parametrize("bands", [{"bands": "rgbn", "rgb_source": "tif"}, {"bands": ["b", "g", "r", "n"]}])
def test_levels_of_the_full_range_are_the_values(tmp_path: Path, dtype: str, bands: dict[str, Any]) -> None:
    lowest = np.iinfo(dtype).min
    made = tifs(tmp_path, lambda i: values(i, 4, dtype, lowest, lowest + 9000), names=tuple("bgrn"))
    data = PlanetDataModule(made, **{**FULL, **bands})
    data.setup("fit")
    assert set(data.read.limits.values()) == {(float(lowest), lowest + 65535.0)}
    order = [2, 1, 0, 3] if data.read.source is None else [0, 1, 2, 3]
    batch = next(iter(data.val_dataloader()))
    for image, at in zip(batch["image"].numpy(), batch["index"].tolist(), strict=True):
        name = str(data.catalog.labelled["image_name"].iloc[data.valid_rows[at]])
        expected = values(int(name[1:]), 4, dtype, lowest, lowest + 9000)[..., order].astype(np.int64) - lowest
        assert np.array_equal(image, expected)


def test_held_out_pixels_change_no_network(root: Path, run: Path, tmp_path: Path, fit_only: None) -> None:
    fold = read_folds(Run(run).folds, read_labelled(root))
    held_out = {str(name) for name, own in zip(read_labelled(root), fold, strict=True) if own == 0}
    assert 0 < len(held_out) < TILES

    def brighter(path: Path, i: int) -> None:
        write_tif(path, tile(i) + np.uint16(700 * (path.stem in held_out)))

    other = folder(tmp_path, brighter, ".tif", tiles=TILES)
    same, changed = weights(run), weights(train(tmp_path / "other", other, *HONEST, "--folds=[0]"))
    assert all(torch.equal(same[key], changed[key]) for key in same)
    assert not torch.equal(weights(run, 1)["mean"], same["mean"])  # in which these tiles are training tiles
    # Limits by percentiles of all labelled tiles do move.
    first, second = (train(tmp_path / name, each, "--folds=[0]") for name, each in (("a", root), ("b", other)))
    assert read_reader(Run(first).bands).limits != read_reader(Run(second).bands).limits


@pytest.mark.parametrize("average", ["--model.ema=0.5", "--model.swa=0.5"])
def test_averaged_weights_have_the_statistics(
    root: Path, run: Path, average: str, tmp_path: Path, fit_only: None
) -> None:
    averaged = weights(train(tmp_path / "averaged", root, *HONEST, average, "--folds=[0]"))
    for name in ("mean", "std"):
        assert torch.equal(averaged[name], weights(run)[name])


def read_labelled(root: Path) -> Any:
    data = PlanetDataModule(root, **FULL)
    return data.catalog.labelled["image_name"]


def test_each_network_of_a_bundle_has_its_statistics(root: Path, run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run / "bundle"), "--onnx", str(tmp_path / "t.onnx")]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "t.onnx", providers=["CPUExecutionProvider"])
    tiles = np.stack([tile(i)[..., [2, 1, 0, 3]] for i in range(4)])
    paths = [str(root / "tiles" / f"t{i}.tif") for i in range(4)]
    predictor = am.Predictor.load(run / "bundle", progress=False)
    found = predictor.predict_proba(paths)
    np.testing.assert_array_equal(predictor.predict_proba(tiles), found)
    np.testing.assert_allclose(session.run(None, {"tiles": tiles})[0], found, atol=1e-4)
    assert main(["evaluate", str(run), "--data", str(root)]) == 0


def test_a_trained_network_keeps_its_statistics(root: Path, run: Path) -> None:
    data = PlanetDataModule(root, fold=1, **FULL)
    data.setup("fit")
    tagger = am.TileTagger(data.catalog.tags.names, "resnet10t", size=24, in_chans=4, pretrained=False,
                           normalization="training")  # fmt: skip
    tagger.learn_statistics([0.1] * 4, [0.2] * 4)
    tagger.load_state_dict(tagger.state_dict())
    assert not tagger._lacks_statistics
    np.testing.assert_allclose(tagger.mean, [25.5] * 4)
    fresh = am.TileTagger(data.catalog.tags.names, "resnet10t", size=24, in_chans=4, pretrained=False,
                          normalization="training")  # fmt: skip
    assert fresh._lacks_statistics
    with refused(option="std"):
        fresh.learn_statistics([0.1] * 4, [0.2, 0.2, 0.0, 0.2])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--data.tif_limits=full", "--model.normalization=training"], "data.dtype"),
        (["--data.tif_limits=full", "--data.dtype=uint16"], "model.std"),
        (["--model.normalization=training", "--model.mean=[0.1, 0.1, 0.1, 0.1]"], "normalization"),
        (["--model.normalization=training", "--model.weights_from=x", "--model.weights=y"], "normalization"),
    ],
)
def test_options_that_contradict_are_refused(
    root: Path, tmp_path: Path, options: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["train", "--run", str(tmp_path / "run"), "--data.root", str(root), *TINY, *OPTIONS, *options]
    assert main(call) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("what", ["lr", "batch"])
def test_finders_refuse_the_same(root: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["find", what, "--run", str(tmp_path / "run"), "--data.root", str(root), *TINY, *OPTIONS]
    assert main([*call, "--data.tif_limits=full", "--data.dtype=uint16"]) == 2
    assert "model.std" in capsys.readouterr().err


def test_floating_point_values_have_no_full_range(tmp_path: Path) -> None:
    made = tifs(tmp_path, lambda i: values(i, 4, "float32", 0, 1))
    data = PlanetDataModule(made, **FULL)
    with refused(option="data.tif_limits", says="float32"):
        data.setup("fit")


def test_a_network_that_knows_frequencies_still_learns_the_statistics(root: Path) -> None:
    data = PlanetDataModule(root, **FULL)
    data.setup("fit")
    tagger = am.TileTagger(data.catalog.tags.names, "resnet10t", size=24, in_chans=4, pretrained=False,
                           normalization="training")  # fmt: skip
    tagger.learn_frequencies(data.frequencies)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=1, max_epochs=1,
                         enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0)  # fmt: skip
    trainer.fit(tagger, data)
    np.testing.assert_allclose(tagger.mean, 255 * np.array(data.statistics()[0]), rtol=1e-6)


def test_a_loader_of_ones_own_gives_no_statistics() -> None:
    tagger = am.TileTagger(["a", "b"], "resnet10t", pretrained=False, size=32, normalization="training")
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, max_steps=1, enable_progress_bar=False,
                         enable_model_summary=False)  # fmt: skip
    batch = {"image": torch.zeros(2, 32, 32, 3, dtype=torch.uint8), "target": torch.zeros(2, 2),
             "index": torch.arange(2)}  # fmt: skip
    with refused(option="normalization"):
        trainer.fit(tagger, [batch])
    tagger.learn_frequencies(torch.tensor([0.5, 0.1]))
    with refused(option="normalization"):
        trainer.fit(tagger, [batch])


def test_the_default_is_that_of_the_weights() -> None:
    assert ModelConfig().normalization == "weights"


def test_pictures_show_the_range_of_the_training_tiles(run: Path) -> None:
    reader = read_reader(Run(run).bands)
    made = tile(3)[..., [2, 1, 0, 3]]
    shown = shown_channels(reader, made)
    assert shown.dtype == np.uint8
    for at, letter in enumerate("rgbn"):
        least, most, _ = reader.expected.ranges[letter]
        expected = np.clip((made[..., at].astype(float) - least) / (most - least), 0, 1) * 255
        assert np.abs(shown[..., at] - expected).max() <= 0.51


def test_scenes_are_read_as_they_are(run: Path, tmp_path: Path) -> None:
    scene = write_tif(tmp_path / "scene.tif", np.tile(tile(5), (2, 2, 1)), crs="EPSG:32721")
    predictor = am.Predictor.load(run / "bundle", progress=False)
    found = predictor.predict_scene(scene, stride=24, bands="bgrn").p
    expected = predictor.predict_proba(tile(5)[None][..., [2, 1, 0, 3]])
    np.testing.assert_allclose(found.reshape(4, -1), np.repeat(expected, 4, axis=0), atol=1e-6)
    with refused(option="limits"):
        predictor.predict_scene(scene, stride=24, bands="bgrn", limits="scene")
