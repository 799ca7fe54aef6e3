"""What a GPU must not change, and what it must not wait for; skipped where there is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY

from amazon_ml.bench.measure import figures, readings
from amazon_ml.bench.training import Setting, training
from amazon_ml.cli.main import main
from amazon_ml.data.augment.augment import D4, Augmentation
from amazon_ml.data.batches.dataset import Batch, EpochSampler, TileDataset, training_loader
from amazon_ml.data.batches.sources import TileFiles
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.models.preprocess import normalise
from amazon_ml.models.seeding import PerStepSeed
from amazon_ml.models.tagger import TileTagger
from amazon_ml.training.callbacks import EpochLogger

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU with CUDA"),
]


def _tagger(**options: Any) -> TileTagger:
    torch.manual_seed(0)
    return TileTagger(["a", "b", "c"], "test_resnet", pretrained=False, size=32, schedule="constant", **options)


def _batches(count: int) -> list[Batch]:
    rng = np.random.default_rng(0)
    return [
        {
            "image": torch.from_numpy(rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)).pin_memory(),
            "target": torch.from_numpy(rng.random((16, 3)) < 0.3).float().pin_memory(),
        }
        for _ in range(count)
    ]


def _fit(module: TileTagger, batches: list[Batch], *callbacks: pl.Callback, clip: float | None = None) -> None:
    trainer = pl.Trainer(
        accelerator="cuda",
        devices=1,
        precision="bf16-mixed",
        gradient_clip_val=clip,
        max_epochs=1,
        callbacks=[PerStepSeed(0), EpochLogger(), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


class _NoWaiting(pl.Callback):
    """Makes PyTorch raise where the host waits for the device, from the 4th batch to the 12th."""

    watched = 0

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Batch, index: int) -> None:
        if 3 <= index < 12:
            torch.cuda.set_sync_debug_mode("error")
            self.watched += 1
        else:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("options", "clip"), [({}, None), ({}, 1.0), ({"ema": 0.9}, None)])
def test_no_step_waits_for_the_device(options: dict[str, Any], clip: float | None) -> None:
    watch = _NoWaiting()
    try:
        _fit(_tagger(**options), _batches(14), watch, clip=clip)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watch.watched == 9


def test_normalising_gives_the_same_on_both_devices() -> None:
    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    mean, std = torch.tensor([123.7, 116.3, 103.5]), torch.tensor([58.4, 57.1, 57.4])
    on_gpu = normalise(tiles.cuda(), mean.cuda(), std.cuda())
    torch.testing.assert_close(on_gpu.cpu(), normalise(tiles, mean, std), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tta", ["none", "d4"])
def test_probabilities_in_float32_are_those_of_the_cpu(tta: str) -> None:
    module, tiles = _tagger(tta=tta).eval(), _batches(1)[0]["image"]
    with torch.inference_mode():
        expected = module.probabilities(tiles)
        torch.testing.assert_close(module.cuda().probabilities(tiles.cuda()).cpu(), expected, atol=1e-3, rtol=0)


def test_compiled_network_trains_and_answers_like_the_plain_one() -> None:
    plain, compiled = _tagger().cuda().eval(), _tagger(compile=True).cuda().eval()
    tiles = _batches(1)[0]["image"].cuda()
    with torch.inference_mode():
        torch.testing.assert_close(compiled.probabilities(tiles), plain.probabilities(tiles), atol=1e-3, rtol=0)
    before = [parameter.detach().cpu().clone() for parameter in compiled.parameters()]
    _fit(compiled.train(), _batches(3))
    assert any(not torch.equal(old, new.cpu()) for old, new in zip(before, compiled.parameters(), strict=True))


def test_pinned_batches_fetched_ahead_are_those_of_the_dataset(demo_tiles: Path) -> None:
    catalog = read_catalog(demo_tiles)
    source = TileFiles(catalog.labelled, TileReader(), 32)
    dataset = TileDataset(source, catalog.targets, Augmentation([D4], seed=0))
    sampler = EpochSampler(len(dataset), seed=0)
    keys = list(sampler)
    batches = list(training_loader(dataset, 16, 0, sampler))
    assert len(batches) == len(keys) // 16
    for at, batch in enumerate(batches):
        assert all(value.is_pinned() for value in batch.values())
        expected = dataset.fetch(keys[16 * at : 16 * at + 16])
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_run_in_bfloat16_scores_about_as_on_the_cpu(demo_tiles: Path, tmp_path: Path) -> None:
    on_gpu = ["--trainer.accelerator=gpu", "--trainer.devices=1", "--trainer.precision=bf16-mixed"]
    losses = []
    for name, options in (("cpu", []), ("gpu", on_gpu)):
        run = tmp_path / name
        assert main(["train", "--run", str(run), "--data.root", str(demo_tiles), *TINY, *options]) == 0
        curves = pd.read_csv(run / "fold-0" / "metrics.csv")
        losses.append(curves["val_loss"].dropna().to_numpy())
        assert curves["peak_memory_gib"].dropna().between(1e-4, 80).all()
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.2)


def test_contest_of_training_runs_on_the_gpu(demo_tiles: Path, tmp_path: Path) -> None:
    contest = training(demo_tiles, tmp_path, Setting("test_resnet", 32, 16, 6, "cuda", "bf16-mixed"))
    assert all(figure["times_as_fast"] > 0 for figure in figures(contest, rounds=1))
    assert all(np.isfinite(reading["value"]) for reading in readings(contest))
