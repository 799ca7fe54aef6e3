"""Training that is killed and resumed, however its length is given: the same steps, weights and curves."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch
from conftest import FEW, TINY

from amazon_ml.cli.main import main
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.models.tagger import TileTagger
from amazon_ml.training import callbacks

#: 8 steps are an epoch: a step in each is the last one before a kill.
OPTIONS = [option for option in TINY if "max_epochs" not in option] + FEW
#: Tiles of a step, by epoch, step and rate of the head.
Step = tuple[int, int, float, tuple[int, ...]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """List the steps that are trained."""
    done: list[Step] = []
    step = TileTagger.training_step

    def noted(self: TileTagger, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        rate = self.trainer.optimizers[0].param_groups[-1]["lr"]
        done.append((self.current_epoch, self.global_step, rate, tuple(batch["index"].tolist())))
        return step(self, batch, index)

    monkeypatch.setattr(TileTagger, "training_step", noted)
    return done


def _killed_at(step: int, train: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Train until a step, in which a kill comes."""
    whole = TileTagger.training_step

    def pull_the_plug(self: TileTagger, *arguments: Any) -> torch.Tensor:
        if self.global_step == step:
            raise KeyError("plug pulled")
        return whole(self, *arguments)

    with patch.context() as patched, pytest.raises(KeyError, match="plug pulled"):
        patched.setattr(TileTagger, "training_step", pull_the_plug)
        train()


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "fold-0" / "model.safetensors")


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize("every", [60, 0], ids=["epoch", "step"])
@pytest.mark.parametrize(
    "length",
    [
        ["--trainer.max_epochs=3", "--trainer.max_steps=1000"],
        ["--trainer.max_epochs=4", "--trainer.max_steps=20", "--model.swa=0.5"],
        ["--trainer.max_steps=20", "--trainer.val_check_interval=0.5"],
        ["--trainer.max_steps=20", "--trainer.val_check_interval=3", "--trainer.check_val_every_n_epoch=null"],
    ],
    ids=["both", "swa", "steps", "validation by steps"],
)
def test_killed_with_a_number_of_steps_a_run_resumes_with_the_same_steps(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], every: int, length: list[str]
) -> None:
    def train(run: str) -> int:
        return main(["train", "--run", str(tmp_path / run), "--data.root", str(demo_tiles), *OPTIONS, *length])

    assert train("undisturbed") == 0
    expected = {step[1]: step for step in steps}
    assert len(expected) == len(steps) == (24 if "--trainer.max_epochs=3" in length else 20)
    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "SAVE_EVERY", timedelta(seconds=every))
        _killed_at(13, lambda: train("killed"), patch)
        steps.clear()
        assert train("killed") == 0
    first = steps[0][1]
    assert first == 8 if every else 8 < first <= 13
    assert steps == [expected[number] for number in range(first, len(expected))]
    weights, same = _weights(tmp_path / "undisturbed"), _weights(tmp_path / "killed")
    assert weights.keys() == same.keys() and all(torch.equal(weights[key], same[key]) for key in weights)
    curves = [pd.read_csv(tmp_path / run / "fold-0" / "metrics.csv") for run in ("undisturbed", "killed")]
    for column, compared in (("val_f2", ["epoch", "step", "val_f2"]), ("train_loss_epoch", ["epoch", "step"])):
        undisturbed, resumed = (curve.dropna(subset=column)[compared].reset_index(drop=True) for curve in curves)
        pd.testing.assert_frame_equal(resumed, undisturbed)


@pytest.mark.usefixtures("fit_only")
def test_curves_of_steps_that_are_all_trained_again_leave_no_file(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train() -> int:
        options = ["--trainer.max_epochs=1", "--trainer.log_every_n_steps=1"]
        return main(["train", "--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *OPTIONS, *options])

    fold = tmp_path / "run" / "fold-0"
    _killed_at(3, train, monkeypatch)
    assert len(pd.read_csv(fold / "metrics.csv")) == 3 and not (fold / "checkpoints").exists()
    assert train() == 0
    assert [path.name for path in fold.glob("metrics*")] == ["metrics.csv"]
    assert pd.read_csv(fold / "metrics.csv")["step"].min() == 0


def test_any_trainer_resumes_the_data_module_at_the_next_epoch(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step]
) -> None:
    def train(checkpoint: str | None = None) -> TileTagger:
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=3, max_steps=20, logger=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
            callbacks=[pl.callbacks.ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)],
        )  # fmt: skip
        data = PlanetDataModule(demo_tiles, size=32, batch_size=8, n_folds=3, max_samples=100)
        tagger = TileTagger(backbone="test_resnet", pretrained=False, lr=0.01)
        trainer.fit(tagger, data, ckpt_path=checkpoint, weights_only=True)
        return tagger

    undisturbed, expected = train(), list(steps)
    for checkpoint in tmp_path.iterdir():
        checkpoint.unlink()
    _killed_at(13, train, monkeypatch)
    steps.clear()
    resumed = train(str(tmp_path / "last.ckpt"))
    assert steps == expected[8:]
    for one, other in zip(resumed.state_dict().values(), undisturbed.state_dict().values(), strict=True):
        assert torch.equal(one, other)
