"""Averaged weights, frozen layers, rates by layer: against sums by hand, and through five kills."""

import copy
import functools
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch
from conftest import FEW, TINY, leave_out_finish
from refused import refused
from torch.optim.swa_utils import AveragedModel, update_bn

from amazon_ml.cli.main import main
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.decisions.fbeta import fbeta_score
from amazon_ml.labels import PLANET
from amazon_ml.models.averaging import estimate_norms, update_average
from amazon_ml.models.layers import batch_norms, stages, train_last
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.training import callbacks, fit

TAGS = list(PLANET.names)
#: Two of three folds of 100 tiles in batches of 8 are 8 steps an epoch, 32 in all; 24 of runs that are killed.
STEPS, KILLED_STEPS = 32, 24
EVERYTHING = [
    *FEW,
    "--trainer.max_epochs=3",
    "--model.progressive_resizing={0: 16, 2: 32}",
    "--model.unfreeze={0: 1, 1: 3, 2: all}",
    "--model.layer_decay=0.7",
    "--model.backbone_args={drop_rate: 0.3}",
]
AVERAGES = {"ema": "--model.ema=0.9", "swa": "--model.swa=0.4"}

State = dict[str, torch.Tensor]


def _tagger(**options: Any) -> TileTagger:
    torch.manual_seed(0)
    return TileTagger(TAGS, **{"backbone": "test_resnet", "pretrained": False, "size": 32, **options})


def _state(tagger: pl.LightningModule) -> State:
    return {key: value.detach().clone() for key, value in tagger.state_dict().items()}


class Recorder(pl.Callback):
    """Keep the running weights and the learning rate after each step."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.rates: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Copy them."""
        self.states.append(_state(module))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.fixture(scope="module")
def data(demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> PlanetDataModule:
    folder = tmp_path_factory.mktemp("folds")
    return PlanetDataModule(
        str(demo_tiles), size=32, batch_size=8, n_folds=3, max_samples=100,
        folds_file=str(folder / "folds.csv"), bands_file=str(folder / "bands.json"),
    )  # fmt: skip


def _fit(data: PlanetDataModule, seconds: float = 1000, **options: Any) -> tuple[TileTagger, Recorder]:
    tagger, recorder = _tagger(**{"lr": 0.01, **options}), Recorder()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=4, max_time=timedelta(seconds=seconds), logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, callbacks=[recorder],
    )  # fmt: skip
    trainer.fit(tagger, datamodule=data)
    return tagger, recorder


#: Statistics of the input, to the last bit of which averaging changes nothing.
MEAN, STD = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]


Fitted = Callable[..., tuple[TileTagger, Recorder]]


@pytest.fixture(scope="module")
def fitted(data: PlanetDataModule) -> Fitted:
    """Fit with these options; once for all tests that use them, and change nothing of it."""
    return functools.cache(lambda **options: _fit(data, mean=MEAN, std=STD, **options))


# ---------------------------------------------------------------- averages


def test_ema_equals_the_recurrence_by_hand(fitted: Fitted) -> None:
    tagger, recorder = fitted(ema=0.8)
    for key, value in tagger.state_dict().items():
        expected = recorder.states[0][key].numpy().astype(np.float64)
        for n, state in enumerate(recorder.states[1:], start=1):
            keep = min(0.8, (1 + n) / (10 + n))
            expected = keep * expected + (1 - keep) * state[key].numpy()
        if value.is_floating_point():
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6, err_msg=key)
        else:
            assert value == len(recorder.states), key


def test_swa_equals_the_mean_of_the_last_weights(fitted: Fitted) -> None:
    tagger, recorder = fitted(swa=0.25)
    assert len(recorder.states) == STEPS
    for key, value in tagger.named_parameters():
        mean = np.mean([state[key].numpy() for state in recorder.states[24:]], axis=0)
        np.testing.assert_allclose(value.detach(), mean, rtol=1e-4, atol=1e-6, err_msg=key)


def test_averaging_reads_nothing_from_the_device() -> None:
    # Tensors of the device "meta" have no values: whoever reads one gets an error.
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).to("meta")
    with pytest.raises(RuntimeError, match="meta"):
        next(network.parameters())[0, 0].item()
    average = AveragedModel(network)
    for _ in range(3):
        update_average(average, network, lambda count: count / (count + 1))
    assert average.n_averaged == 3


def test_training_that_ends_before_averaging_begins_says_so(
    data: PlanetDataModule, caplog: pytest.LogCaptureFixture
) -> None:
    # Of 32 steps the last 4 are averaged, and time is up after the first.
    tagger, recorder = _fit(data, swa=0.125, seconds=1e-6)
    assert "before the first averaged step 28" in caplog.text
    assert 0 < len(recorder.states) < 28
    assert all(torch.equal(value, recorder.states[-1][key]) for key, value in tagger.state_dict().items())


def test_statistics_that_do_not_train_stay_as_they_are_to_the_last_bit(fitted: Fitted) -> None:
    for options in ({"ema": 0.8}, {"swa": 0.25}):
        tagger, _ = fitted(**options)
        assert torch.equal(tagger.mean, torch.tensor(MEAN) * 255)
        assert torch.equal(tagger.std, torch.tensor(STD) * 255)


def test_averaging_leaves_training_alone(fitted: Fitted) -> None:
    plain, averaged = fitted()[1].states, fitted(ema=0.8)[1].states
    assert all(torch.equal(plain[-1][key], averaged[-1][key]) for key in plain[-1])


def test_rate_stays_where_it_was_when_swa_begins(fitted: Fitted) -> None:
    plain, swa = (np.array(fitted(**options)[1].rates) for options in ({}, {"swa": 0.25}))
    assert np.array_equal(plain[:24], swa[:24])
    assert np.all(swa[24:] == swa[23]) and plain[-1] < plain[24] / 100


def test_norms_are_estimated_as_pytorch_does_it(data: PlanetDataModule) -> None:
    ours, theirs = _tagger(), _tagger()
    data.prepare_data()
    data.setup()
    batches = [batch["image"] for batch in data.train_dataloader()]
    before = _state(ours)
    estimate_norms(ours.eval(), [{"image": batch} for batch in batches])
    update_bn(batches, theirs)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, msg=key)
    assert any(not torch.equal(value, before[key]) for key, value in ours.state_dict().items())
    assert not ours.training and {norm.momentum for norm in batch_norms(ours)} == {0.1}


def test_norms_of_kept_weights_are_means_over_training_batches(data: PlanetDataModule, fitted: Fitted) -> None:
    tagger = copy.deepcopy(fitted(swa=0.25)[0])
    first = batch_norms(tagger)[0]
    seen: list[torch.Tensor] = []
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tagger.eval()
    with torch.inference_mode():
        for batch in data.train_dataloader():
            tagger(batch["image"])
    hook.remove()
    means = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen])
    variances = torch.stack([x.var(dim=(0, 2, 3)) for x in seen])
    torch.testing.assert_close(first.running_mean, means.mean(dim=0))
    torch.testing.assert_close(first.running_var, variances.mean(dim=0))


def test_dropout_does_not_disturb_the_estimate(data: PlanetDataModule) -> None:
    tagger = _tagger(backbone_args={"drop_rate": 0.5, "drop_path_rate": 0.5})
    batches = [{"image": torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)} for _ in range(3)]
    drawn = torch.get_rng_state()
    estimate_norms(tagger, batches)
    first = _state(tagger)
    estimate_norms(tagger, batches)
    assert all(torch.equal(first[key], value) for key, value in tagger.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and tagger.training


def test_norms_of_a_compiled_network_are_estimated_without_compiling() -> None:
    plain, compiled = _tagger(), _tagger()
    compiled.backbone.compile(backend=_refuse)
    batches = [{"image": torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)} for _ in range(3)]
    for tagger in (plain, compiled):
        estimate_norms(tagger, batches)
    expected = _state(plain)
    assert all(torch.equal(expected[key], value) for key, value in compiled.state_dict().items())
    with pytest.raises(RuntimeError, match="not to be compiled"):
        compiled(batches[0]["image"])


def _refuse(*_: Any) -> Any:
    raise RuntimeError("not to be compiled")


# ---------------------------------------------------------------- layers


def test_rate_of_each_layer_by_hand() -> None:
    tagger = _tagger(layer_decay=0.5, lr=0.8, weight_decay=0.3)
    trainer = pl.Trainer(accelerator="cpu", max_steps=10, logger=False, enable_checkpointing=False)
    tagger.trainer = trainer
    trainer.strategy.connect(tagger)
    groups = tagger.configure_optimizers()["optimizer"].param_groups
    rates = {id(p): (group["initial_lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    by_hand = {"fc": 0.8, "layer4": 0.4, "layer3": 0.2, "layer2": 0.1, "layer1": 0.05, "conv1": 0.025, "bn1": 0.025}
    assert len(rates) == len(list(tagger.parameters()))
    for name, parameter in tagger.backbone.named_parameters():
        expected = (pytest.approx(by_hand[name.split(".")[0]]), 0.3 if parameter.ndim > 1 else 0.0)
        assert rates[id(parameter)] == expected, name


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet", "test_convnext", "regnetx_002"])
def test_stages_hold_every_weight_once_and_end_with_the_head(backbone: str) -> None:
    network = _tagger(backbone=backbone).backbone
    found = [id(parameter) for stage in stages(network) for parameter in stage]
    assert sorted(found) == sorted(map(id, network.parameters()))
    head = list(network.get_classifier().parameters())  # type: ignore[operator]
    assert {id(parameter) for parameter in head} <= {id(parameter) for parameter in stages(network)[-1]}


def test_frozen_layers_keep_weights_and_statistics_until_they_train(data: PlanetDataModule) -> None:
    _, recorder = _fit(data, unfreeze={0: 1, 1: 2, 3: "all"}, weight_decay=0.5)
    start, parts = _state(_tagger()), ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")

    def moved(state: State, since: State) -> set[str]:
        changed = [key for key in state if not torch.equal(state[key], since[key])]
        assert all(key.startswith("backbone.") for key in changed)
        return {key.split(".")[1] for key in changed}

    ends = [recorder.states[step - 1] for step in (8, 16, 24, 32)]
    assert moved(ends[0], start) == {"fc"}
    assert moved(ends[1], ends[0]) == moved(ends[2], ends[1]) == {"fc", "layer4"}
    assert moved(ends[3], ends[2]) == set(parts)


def test_frozen_norms_are_not_estimated() -> None:
    tagger = _tagger()
    train_last(tagger.backbone, 2)
    before = _state(tagger)
    estimate_norms(tagger, [{"image": torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)}])
    changed = {key.split(".")[1] for key, value in tagger.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"layer4"}


@pytest.mark.parametrize(
    ("options", "option", "values"),
    [
        ({"ema": 0.9, "swa": 0.5}, "", ["ema", "swa"]),
        ({"ema": 1.0}, "ema", ["1", "1.0"]),
        ({"ema": -0.1}, "ema", ["0", "-0.1"]),
        ({"swa": 0.0}, "swa", ["0", "0.0"]),
        ({"swa": 1.1}, "swa", ["1", "1.1"]),
        ({"swa": 0.8, "warmup": 0.3}, "", ["swa", "0.8", "warmup", "0.3"]),
        ({"layer_decay": 0.0}, "layer_decay", ["0", "0.0"]),
        ({"layer_decay": 1.5}, "layer_decay", ["1", "1.5"]),
        ({"unfreeze": {1: 2}}, "model.unfreeze", ["0", "6", "test_resnet", "1..6"]),
        ({"unfreeze": {0: 7}}, "model.unfreeze", ["1..6"]),
        ({"unfreeze": {0: 0}}, "unfreeze", ["1", "0"]),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], option: str, values: list[str]) -> None:
    with refused(option=option, says=values):
        _tagger(**options)


# ---------------------------------------------------------------- stopped and started again


def _train(run: Path, tiles: Path, average: str) -> int:
    return main(["train", "--run", str(run), "--data.root", str(tiles), *TINY, *EVERYTHING, AVERAGES[average]])


def _die_at(step: int) -> None:
    """Have this process killed when it comes to a step, or behind the last; the step before it is saved."""

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    train_step = TileTagger.training_step

    def training_step(self: TileTagger, *arguments: Any) -> torch.Tensor:
        if self.global_step == step:
            die()
        patch.setattr(callbacks, "SAVE_EVERY", timedelta(days=self.global_step < step - 1))
        return train_step(self, *arguments)

    patch = pytest.MonkeyPatch()
    patch.setattr(TileTagger, "training_step", training_step)
    patch.setattr(fit, "save_weights", die)


def _train_and_die(run: Path, tiles: Path, average: str, step: int) -> None:
    _die_at(step)
    _train(run, tiles, average)


def _weights(run: Path) -> State:
    return safetensors.torch.load_file(Run(run).fold(0).weights)


def _assert_same(first: Path, second: Path) -> None:
    a, b = _weights(first), _weights(second)
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


@pytest.fixture(scope="module")
def undisturbed(demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run for each average."""
    runs = {average: tmp_path_factory.mktemp("undisturbed") / average for average in AVERAGES}
    with pytest.MonkeyPatch.context() as patch:
        leave_out_finish(patch)
        for average, run in runs.items():
            assert _train(run, demo_tiles, average) == 0
    return runs


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize("average", AVERAGES)
def test_killed_at_five_random_points_and_before_the_end_gives_the_same_weights(
    demo_tiles: Path, tmp_path: Path, undisturbed: dict[str, Path], average: str
) -> None:
    drawn = np.random.default_rng(list(average.encode())).choice(np.arange(1, KILLED_STEPS), 5, replace=False)
    for step in [*sorted(drawn.tolist()), KILLED_STEPS]:
        process = forked.called(_train_and_die, tmp_path / "run", demo_tiles, average, step)
        assert process.wait(120) == -signal.SIGKILL
        saved = torch.load(Run(tmp_path / "run").fold(0).last, weights_only=True)
        assert saved["global_step"] == step
    assert _train(tmp_path / "run", demo_tiles, average) == 0
    _assert_same(tmp_path / "run", undisturbed[average])


@pytest.mark.parametrize("average", AVERAGES)
def test_kept_weights_are_those_that_predict(undisturbed: dict[str, Path], average: str) -> None:
    run = Run(undisturbed[average])
    curves = pd.read_csv(run.fold(0).metrics)
    _, _, p, true = read_oof(run)
    assert curves["val_f2"].dropna().iloc[-1] == pytest.approx(fbeta_score(true, p >= 0.2), abs=1e-6)
