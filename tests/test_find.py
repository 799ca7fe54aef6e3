"""Finders: the sweep of rates against hand-made curves, batches that double until memory is full."""

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY
from PIL import Image
from refused import holds
from requested import config_of

from amazon_ml.cli.main import main
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.models.tagger import TileTagger
from amazon_ml.pipeline.find import enough, measure_batches, out_of_memory, suggest_rate, sweep
from amazon_ml.runs.config import RunConfig

pytestmark = pytest.mark.usefixtures("without_pages")


def _options(tiles: Path, *more: str) -> RunConfig:
    return config_of(["--data.root", str(tiles), *TINY, *more])


def _curve(losses: list[float]) -> pd.DataFrame:
    rates = np.geomspace(1e-5, 1e-1, len(losses))
    return pd.DataFrame({"learning_rate": rates, "smoothed_loss": losses})


# ---------------------------------------------------------------- learning rate


def test_suggestion_is_a_tenth_of_the_rate_of_the_least_loss() -> None:
    assert suggest_rate(_curve([1.0, 0.9, 0.5, 0.4, 2.0])) == pytest.approx(1e-3)


@pytest.mark.parametrize("losses", [[1.0, 0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4, 0.5]])
def test_least_loss_at_an_end_is_said(losses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    suggest_rate(_curve(losses))
    assert "widen `lowest` and `highest`" in caplog.text


def test_sweep_trains_each_step_at_its_rate(demo_tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates, seen = np.geomspace(1e-5, 1e-2, 12), []
    step = TileTagger.training_step

    def training_step(self: TileTagger, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        groups = self.trainer.optimizers[0].param_groups
        seen.append(sorted({group["lr"] for group in groups}))
        return step(self, batch, batch_index)

    monkeypatch.setattr(TileTagger, "training_step", training_step)
    found = sweep(_options(demo_tiles, "--model.layer_decay=0.5", "--model.ema=0.9"), rates)
    assert found["step"].tolist() == list(range(12))
    np.testing.assert_allclose(found["learning_rate"], rates)
    np.testing.assert_allclose(seen, [[rate * 0.5**depth for depth in range(5, -1, -1)] for rate in rates])
    weights = 0.9 ** np.arange(12)
    by_hand = [np.average(found["loss"][: n + 1][::-1], weights=weights[: n + 1]) for n in range(12)]
    np.testing.assert_allclose(found["smoothed_loss"], by_hand)


def test_every_step_of_a_sweep_is_one_of_the_first_epoch(demo_tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, trained, weights = set(), set(), []
    step = TileTagger.training_step

    def training_step(self: TileTagger, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        sizes.add(self.size_now())
        trained.add(sum(parameter.requires_grad for parameter in self.parameters()))
        weights.append(self.loss.get_buffer("weights").clone())
        return step(self, batch, batch_index)

    monkeypatch.setattr(TileTagger, "training_step", training_step)
    growing = (
        "--model.progressive_resizing={0: 16, 1: 32}",
        "--model.unfreeze={0: 1, 1: all}",
        "--model.loss=pos_weight",
    )
    found = sweep(_options(demo_tiles, *growing), np.geomspace(1e-6, 1e-4, 20))  # two epochs are 16 steps
    assert len(found) == 20
    assert sizes == {16} and trained == {2}  # of the head, a matrix and a bias
    assert all((of_a_step > 1).any() for of_a_step in weights)  # learnt from frequencies, as in a run


def test_a_sweep_normalises_as_a_run_does(demo_tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    step = TileTagger.training_step

    def training_step(self: TileTagger, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        seen.append((self.mean.tolist(), self.std.tolist()))
        return step(self, batch, batch_index)

    monkeypatch.setattr(TileTagger, "training_step", training_step)
    config = _options(demo_tiles, "--model.normalization=training")
    sweep(config, np.geomspace(1e-6, 1e-4, 2))
    own = config.data
    data = PlanetDataModule(demo_tiles, size=own.size, n_folds=own.n_folds, seed=config.seed)
    data.setup("fit")
    mean, std = (255 * np.array(values) for values in data.statistics())
    assert len(seen) == 2
    for of_a_step in seen:
        np.testing.assert_allclose(of_a_step[0], mean, rtol=1e-6)
        np.testing.assert_allclose(of_a_step[1], std, rtol=1e-6)


@pytest.mark.usefixtures("fit_only")
def test_find_lr_ends_where_it_diverges_and_writes_a_table_and_a_picture(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["find", "lr", "--run", str(run), "--data.root", str(demo_tiles), *TINY, "--lowest=1e-5", "--highest=1e4"]
    assert main(words) == 0
    table = pd.read_csv(run / "lr.csv")
    assert list(table.columns) == ["step", "learning_rate", "loss", "smoothed_loss"]
    assert 10 < len(table) < 100 and np.isfinite(table).all(axis=None)
    assert Image.open(run / "lr.png").size == (770, 440)
    assert {path.name for path in run.iterdir()} == {"lr.csv", "lr.png"}
    suggested = float(capsys.readouterr().out.strip().removeprefix("--model.lr="))
    least = table["learning_rate"][table["smoothed_loss"].argmin()]
    assert suggested == pytest.approx(least / 10, rel=0.05)
    assert main(["train", *words[2:-2], "--trainer.max_epochs=1"]) == 0  # the folder is as good as new


def test_loss_that_is_never_finite_is_said(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *TINY, "--model.std=[1e-42, 1e-42, 1e-42]"]
    assert main(["find", "lr", *words]) == 1
    assert holds(capsys.readouterr().err, "--lowest", "1e-06")


# ---------------------------------------------------------------- batch size


def test_enough_is_the_smallest_batch_that_is_about_as_fast_as_any() -> None:
    assert enough({8: 50, 16: 96, 32: 100, 64: 99}) == 16
    assert enough({8: 10, 16: 20, 32: 40}) == 32


def test_find_batch_doubles_up_to_the_limit(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["find", "batch", "--run", str(run), "--data.root", str(demo_tiles), *TINY, "--limit=40", "--steps=2"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "--data.batch_size=" in told and "32 fit in memory" in told
    sizes = [words[0] for words in (line.strip("│ ").split("│") for line in told.splitlines()) if len(words) == 2]
    assert [int(size) for size in sizes] == [8, 16, 32]
    assert not run.exists()


def test_find_batch_measures_a_network_that_learns_from_the_tiles(demo_tiles: Path) -> None:
    config = _options(demo_tiles, "--model.normalization=training", "--model.loss=pos_weight")
    speeds, full = measure_batches(config, limit=16, steps=1)
    assert list(speeds) == [8, 16] and not full


@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.limit_train_batches=0"],
        ["--trainer.limit_train_batches=0.01"],
        ["--trainer.val_check_interval=1000"],
        ["--trainer.val_check_interval=3", "--trainer.check_val_every_n_epoch=null"],
    ],
)
def test_finders_train_whatever_a_run_limits(demo_tiles: Path, options: list[str]) -> None:
    config = _options(demo_tiles, *options)
    speeds, _ = measure_batches(config, limit=8, steps=1)
    assert list(speeds) == [8] and len(sweep(config, np.geomspace(1e-6, 1e-5, 2))) == 2


def test_errors_of_full_memory_are_told_from_others() -> None:
    with pytest.raises(RuntimeError) as full:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(full.value) and out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert out_of_memory(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be …"))
    with pytest.raises(RuntimeError) as other:
        torch.zeros(2) @ torch.zeros(3)
    assert not out_of_memory(other.value)


def test_full_memory_ends_the_search(demo_tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = TileTagger.training_step

    def hungry(self: TileTagger, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        if len(batch["image"]) > 16:
            torch.empty(2**60, dtype=torch.uint8)
        return step(self, batch, batch_index)

    monkeypatch.setattr(TileTagger, "training_step", hungry)
    speeds, full = measure_batches(_options(demo_tiles), limit=512, steps=1)
    assert list(speeds) == [8, 16] and full


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["lr", "--lowest=1", "--highest=0.1"], ["--lowest 1", "--highest 0.1"]),
        (["lr", "--lowest=0"], ["--lowest 0"]),
        (["lr", "--steps=9"], ["--steps", 10, 9]),
        (["lr", "--trainer.accelerator=abacus"], ["trainer"]),
        (["batch", "--limit=7"], ["--limit", 8]),
        (["batch", "--steps=0"], ["--steps", 1]),
    ],
)
def test_wrong_values(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], values: list[object]
) -> None:
    options = ["--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *TINY, *words[1:]]
    assert main(["find", words[0], *options]) == 2
    assert holds(capsys.readouterr().err, *values)


def test_ctrl_c_ends_a_sweep(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TileTagger.training_step

    def interrupted(self: TileTagger, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        if self.global_step == 3:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, batch_index)

    monkeypatch.setattr(TileTagger, "training_step", interrupted)
    former = signal.getsignal(signal.SIGINT)
    words = ["--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *TINY]
    assert main(["find", "lr", *words]) == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is former
    assert capsys.readouterr().err.splitlines()[-1] == "amazon-ml: interrupted"
    assert not (tmp_path / "run").exists()
