"""The whole job through the command line: tiles in, scores and a submission out; stopped, resumed, refused."""

import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch
from conftest import FEW, TINY, as_written, leave_out_pages
from forked import WAIT_AT_STEPS, Forked
from made_tiles import write_tif
from PIL import Image
from refused import holds
from sklearn.metrics import fbeta_score
from torch.utils.data import DataLoader

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.errors import WorkError
from amazon_ml.labels import PLANET
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.access import locked_fold
from amazon_ml.runs.folder import Run
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.training import callbacks
from amazon_ml.training.fit import predict

pytestmark = pytest.mark.usefixtures("without_pages")

CONFIGS = Path(__file__).parents[1] / "configs"


def _train(run: Path, tiles: Path, *options: str) -> int:
    return main(["train", "--run", str(run), "--data.root", str(tiles), *TINY, *options])


def _same_weights(first: Path, second: Path) -> bool:
    a, b = (safetensors.torch.load_file(run / "fold-0" / "model.safetensors") for run in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _wait_for(checkpoint: Path, process: Forked) -> None:
    end = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < end:
        assert process.poll() is None, "training ended before it could be stopped"
        time.sleep(0.02)


# ---------------------------------------------------------------- what a run holds


def test_run_holds_what_it_should(trained: Path) -> None:
    for name in ("config.yaml", "provenance.json", "folds.csv", "truth.csv", "oof.parquet", "test.parquet",
                 "decision.json", "metrics.json", "submission.csv", "tiles.png"):  # fmt: skip
        assert (trained / name).stat().st_size > 0, name
    for fold in ("fold-0", "fold-2"):
        for name in ("model.safetensors", "metrics.csv", "valid.parquet", "test.parquet"):
            assert (trained / fold / name).stat().st_size > 0, name
        assert list((trained / fold).glob("events.out.tfevents.*"))
    assert not (trained / "fold-1").exists()
    assert not list(trained.rglob("*.part"))


def test_out_of_fold_rows_are_those_of_the_folds_each_once(trained: Path) -> None:
    folds, oof = pd.read_csv(trained / "folds.csv"), pd.read_parquet(trained / "oof.parquet")
    assert oof["image_name"].is_unique
    assert set(oof["image_name"]) == set(folds.loc[folds["fold"].isin([0, 2]), "image_name"])
    assert list(oof.columns) == ["image_name", *PLANET.names]
    assert oof[list(PLANET.names)].to_numpy().dtype == np.float32


def test_scores_equal_scikit_learn_on_the_stored_files(trained: Path, demo_tiles: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    decision = json.loads((trained / "decision.json").read_text())
    oof = pd.read_parquet(trained / "oof.parquet").set_index("image_name")
    table = pd.read_csv(demo_tiles / "train_v2.csv").set_index("image_name")["tags"].loc[oof.index]
    true = np.array([[tag in tags.split() for tag in PLANET.names] for tags in table])
    p = oof.to_numpy(np.float64)
    for name, cuts in (("fixed_0.2", np.full(17, 0.2)), ("fitted", np.array(decision["parameters"]["thresholds"]))):
        on = p >= cuts
        on[np.arange(len(p)), p.argmax(axis=1)] |= ~on.any(axis=1)
        assert metrics["fbeta"][name]["value"] == pytest.approx(
            fbeta_score(true, on, beta=2, average="samples"), abs=1e-12
        )
    low, high = metrics["fbeta"]["cross_fitted"]["interval"]
    assert low < metrics["fbeta"]["cross_fitted"]["value"] < high
    assert decision["rule"] == metrics["rule"] == "shrunk" and decision["tags"] == list(PLANET.names)
    assert metrics["fbeta"]["constant"]["value"] < metrics["fbeta"]["fitted"]["value"]


def test_test_probabilities_are_the_mean_of_the_folds(trained: Path) -> None:
    tags = list(PLANET.names)
    folds = [pd.read_parquet(trained / fold / "test.parquet")[tags].to_numpy() for fold in ("fold-0", "fold-2")]
    mean = pd.read_parquet(trained / "test.parquet")[tags].to_numpy()
    np.testing.assert_allclose(mean, (folds[0] + folds[1]) / 2, atol=1e-7)


def test_submission_has_the_rows_of_the_sample_and_no_empty_answer(trained: Path, demo_tiles: Path) -> None:
    submission = pd.read_csv(trained / "submission.csv", keep_default_na=False)
    sample = pd.read_csv(demo_tiles / "sample_submission_v2.csv")
    assert list(submission.columns) == ["image_name", "tags"]
    assert submission["image_name"].tolist() == sample["image_name"].tolist()
    assert submission["tags"].str.len().gt(0).all()
    PLANET.encode(submission["tags"].tolist())


def test_provenance_names_data_versions_and_command(trained: Path, demo_tiles: Path) -> None:
    provenance = json.loads((trained / "provenance.json").read_text())
    assert provenance["data"]["sha256"] == read_catalog(demo_tiles).sha256
    assert provenance["data"]["labelled"] == 200 and provenance["data"]["unlabelled"] == 30
    assert provenance["made_with"]["packages"]["torch"] == torch.__version__
    assert len(provenance["starts"]) == 1 and provenance["folds"]["seed"] == 0


def test_curves_have_a_row_for_each_epoch(trained: Path) -> None:
    curves = pd.read_csv(trained / "fold-0" / "metrics.csv")
    assert curves["val_f2"].notna().sum() == curves["train_loss_epoch"].notna().sum() == 2
    assert curves["val_f2"].dropna().between(0, 1).all()


def test_wrong_arguments_of_a_loss_are_a_wrong_call(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path / "run", demo_tiles, "--model.loss=focal", "--model.loss_args={gamma: -1}") == 2
    assert holds(capsys.readouterr().err, "--model.loss_args", "gamma", "0..10", -1.0)


# ---------------------------------------------------------------- what is done with a run


def test_evaluate_on_the_training_folder(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    assert main(["evaluate", str(trained), "--data", str(demo_tiles), "--json", str(out)]) == 0
    scores = json.loads(out.read_text())
    assert scores["tiles"] == 200 and len(scores["tags"]) == 17
    low, high = scores["fbeta"]["predicted"]["interval"]
    assert low < scores["fbeta"]["predicted"]["value"] < high


def test_predict_gives_the_probabilities_of_training_time(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    stored = pd.read_parquet(trained / "test.parquet").set_index("image_name")
    for out in (tmp_path / "p.parquet", tmp_path / "p.csv"):
        assert main(["predict", str(trained), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out)]) == 0
        table = (pd.read_parquet(out) if out.suffix == ".parquet" else pd.read_csv(out)).set_index("image_name")
        assert list(table.columns) == ["tags", *PLANET.names]
        np.testing.assert_allclose(table[list(PLANET.names)], stored.loc[table.index], atol=1e-6)
    submission = pd.read_csv(trained / "submission.csv").set_index("image_name")["tags"]
    assert table["tags"].equals(submission.loc[table.index])


def test_tune_again_gives_the_same_decision(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    (run / "decision.json").unlink()
    assert main(["tune", str(run)]) == 0
    assert (run / "decision.json").read_text() == (trained / "decision.json").read_text()


def test_submit_make_elsewhere(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    assert main(["submit", "make", str(trained), "--out", str(out)]) == 0
    assert out.read_bytes() == (trained / "submission.csv").read_bytes()


# ---------------------------------------------------------------- stopped and started again


def test_finished_run_is_not_trained_again(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    before = (run / "fold-0" / "model.safetensors").stat().st_mtime_ns
    left = run / "fold-0" / "checkpoints" / "last.ckpt"  # by a kill after the last prediction
    left.parent.mkdir()
    left.touch()
    assert _train(run, demo_tiles, "--folds=[0, 2]", "--model.tta=flips") == 0
    assert (run / "fold-0" / "model.safetensors").stat().st_mtime_ns == before
    assert (run / "metrics.json").read_text() == (trained / "metrics.json").read_text()
    assert not left.parent.exists()


def test_other_options_for_a_begun_run_are_refused(
    trained: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(trained, demo_tiles, "--folds=[0, 2]", "--model.tta=flips", "--model.lr=0.5") == 2
    assert holds(capsys.readouterr().err, trained, "model.lr", 0.01, 0.5)


@pytest.mark.usefixtures("fit_only")
def test_wrong_option_that_stopped_a_run_at_once_can_be_mended(demo_tiles: Path, tmp_path: Path) -> None:
    assert _train(tmp_path / "run", demo_tiles, "--model.backbone=resnet999") == 2
    assert _train(tmp_path / "run", demo_tiles, "--trainer.max_epochs=1") == 0


def test_tiles_may_move_between_starts(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    shutil.copytree(demo_tiles, tmp_path / "deep" / "er" / "tiles")
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "submission.csv").unlink()
    assert _train(tmp_path / "run", tmp_path / "deep", "--folds=[0, 2]", "--model.tta=flips") == 0
    assert (tmp_path / "run" / "submission.csv").read_bytes() == (trained / "submission.csv").read_bytes()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["generated"] is True


def test_run_from_a_gpu_predicts_without_one(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "p.csv"
    shutil.copytree(trained, run)
    config = (run / "config.yaml").read_text()
    changed = config.replace("accelerator: cpu", "accelerator: gpu").replace("compile: false", "compile: true")
    assert changed.count("gpu") == 1 and changed.count("compile: true") == 1
    (run / "config.yaml").write_text(changed.replace("precision: null", "precision: bf16-mixed"))
    as_written(run)
    assert main(["predict", str(run), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out)]) == 0


@pytest.mark.parametrize(("accelerator", "expected"), [("auto", ("gpu", [3])), ("cpu", ("cpu", 1))])
def test_predictions_are_made_on_the_gpu_of_the_training(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, expected: tuple[str, Any]
) -> None:
    made: list[tuple[str, Any]] = []

    def make(**settings: Any) -> None:
        made.append((settings["accelerator"], settings["devices"]))
        raise InterruptedError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(pl, "Trainer", make)
    how = TrainerConfig(accelerator=accelerator, enable_progress_bar=False)
    with pytest.raises(InterruptedError):
        predict(TileTagger(["a"], "test_resnet", pretrained=False, size=32), DataLoader([]), how)  # type: ignore[arg-type]
    assert made == [expected]


@pytest.mark.usefixtures("fit_only")
def test_own_folds_are_kept(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    folds = pd.read_csv(trained / "folds.csv")
    folds["fold"] = (np.arange(len(folds)) // 50).clip(max=2)
    (tmp_path / "run").mkdir()
    folds.to_csv(tmp_path / "run" / "folds.csv", index=False)
    assert _train(tmp_path / "run", demo_tiles, "--folds=[1]", "--trainer.max_epochs=1") == 0
    assert pd.read_parquet(tmp_path / "run" / "oof.parquet")["image_name"].tolist() == [
        f"train_{n}" for n in range(50, 100)
    ]


def test_own_folds_survive_a_wrong_option_and_are_set_aside_aloud(
    trained: Path, demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(trained / "folds.csv", run)
    own = (run / "folds.csv").read_text().replace(",0\n", ",9\n").replace(",1\n", ",0\n").replace(",9\n", ",1\n")
    (run / "folds.csv").write_text(own)
    assert _train(run, demo_tiles, "--model.backbone=resnet999") == 2
    assert _train(run, demo_tiles, "--trainer.max_epochs=0") == 2
    assert (run / "folds.csv").read_text() == own
    assert _train(run, demo_tiles, "--trainer.max_epochs=0", "--seed=1") == 2
    assert (run / "folds.before.csv").read_text() == own != (run / "folds.csv").read_text()
    assert "is renamed to folds.before.csv: seed changed" in caplog.text


def test_folds_that_are_not_counted_from_0_are_named(
    trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    pd.read_csv(trained / "folds.csv").assign(fold=lambda t: t["fold"] + 1).to_csv(tmp_path / "run" / "folds.csv")
    assert _train(tmp_path / "run", demo_tiles) == 2
    told = _told(capsys)
    assert holds(told, tmp_path / "run" / "folds.csv", 0)


def test_second_process_on_a_run_is_refused(
    trained: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked_fold(Run(trained).fold(2)):
        assert _train(trained, demo_tiles, "--folds=[0, 2]", "--model.tta=flips") == 2
    assert holds(capsys.readouterr().err, trained / "fold-2", "--run")


@pytest.mark.usefixtures("fit_only")
def test_killed_in_training_and_started_again(demo_tiles: Path, tmp_path: Path) -> None:
    options = ["--data.root", str(demo_tiles), *TINY, *FEW, "--trainer.max_epochs=3"]
    command = ["train", "--run", str(tmp_path / "killed"), *options]
    process = Forked(command, environment={**os.environ, WAIT_AT_STEPS: "0.1"})
    checkpoint = tmp_path / "killed" / "fold-0" / "checkpoints" / "last.ckpt"
    _wait_for(checkpoint, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "fold-0" / "model.safetensors").exists()
    assert main(command) == 0
    assert main(["train", "--run", str(tmp_path / "undisturbed"), *options]) == 0
    assert _same_weights(tmp_path / "killed", tmp_path / "undisturbed")
    curves = [pd.read_csv(tmp_path / name / "fold-0" / "metrics.csv") for name in ("killed", "undisturbed")]
    assert [table["train_loss_epoch"].notna().sum() for table in curves] == [3, 3]


def test_interrupted_from_the_keyboard_it_stops(demo_tiles: Path, tmp_path: Path) -> None:
    options = ["--data.root", str(demo_tiles), *TINY, "--trainer.max_epochs=1000"]
    process = Forked(["train", "--run", str(tmp_path / "run"), *options])
    _wait_for(tmp_path / "run" / "fold-0" / "checkpoints" / "last.ckpt", process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT
    assert told.splitlines()[-1] == "amazon-ml: interrupted; the same command resumes"


@pytest.mark.usefixtures("fit_only")
def test_stopped_within_an_epoch_resumes_to_the_same_weights(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*FEW, "--model.backbone_args={drop_rate: 0.5}"]
    # 8 batches are an epoch: batch 11 lies in the middle of the second one.
    step, batches = TileTagger.training_step, iter(range(1000))

    def pull_the_plug(self: TileTagger, *arguments: Any) -> Any:
        if next(batches) == 11:
            raise KeyError("plug pulled")
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "SAVE_EVERY", timedelta(seconds=0))
        patch.setattr(TileTagger, "training_step", pull_the_plug)
        with pytest.raises(KeyError, match="plug pulled"):
            _train(tmp_path / "stopped", demo_tiles, *options)
    saved = torch.load(tmp_path / "stopped" / "fold-0" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 11
    read: list[str] = []
    load = torch.load

    def noted(file: Path, **how: Any) -> Any:
        read.append(Path(file).name)
        return load(file, **how)

    monkeypatch.setattr(torch, "load", noted)
    began = time.perf_counter()
    assert _train(tmp_path / "stopped", demo_tiles, *options, "--data.num_workers=2") == 0
    assert read == ["last.ckpt"]  # once
    curves = pd.read_csv(tmp_path / "stopped" / "fold-0" / "metrics.csv").dropna(subset="train_seconds")
    (resumed,) = curves[curves["epoch"] == 1].to_dict("records")
    before = saved["callbacks"]["EpochLogger"]["seconds"]  # of the three steps before it was stopped
    since = resumed["train_seconds"] - before
    assert before > 0 and 0 < since < time.perf_counter() - began and 0 <= resumed["data_wait"] <= 1
    assert resumed["images_per_second"] == pytest.approx(5 * 8 / since)
    assert _train(tmp_path / "undisturbed", demo_tiles, *options) == 0
    assert _same_weights(tmp_path / "stopped", tmp_path / "undisturbed")


def test_killed_before_the_test_tiles_were_predicted(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    for lost in (run / "fold-2" / "test.parquet", run / "test.parquet", run / "decision.json"):
        lost.unlink()
    assert _train(run, demo_tiles, "--folds=[0, 2]", "--model.tta=flips") == 0
    assert (run / "submission.csv").read_bytes() == (trained / "submission.csv").read_bytes()


@pytest.mark.usefixtures("fit_only")
def test_network_that_is_gone_is_missed_and_its_probabilities_made_anew(
    trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    (run / "fold-0" / "model.safetensors").unlink()
    for name in ("valid", "test"):
        shutil.copy(trained / "fold-2" / f"{name}.parquet", run / "fold-0")  # as if by another network
    out = tmp_path / "p.csv"
    assert main(["predict", str(run), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out)]) == 2
    assert str(run) in _told(capsys) and not out.exists()
    assert _train(run, demo_tiles, "--folds=[0, 2]", "--model.tta=flips") == 0
    for name in ("valid", "test"):
        former, now = (pd.read_parquet(where / "fold-0" / f"{name}.parquet") for where in (trained, run))
        pd.testing.assert_frame_equal(now, former)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "is damaged"),
        (lambda file: file.write_bytes(b""), "is damaged"),
    ],
)
def test_tuning_without_one_of_the_networks_writes_nothing(
    spoil: Callable[[Path], None], told: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    spoil(run / "fold-2" / "model.safetensors")
    assert main(["tune", str(run), "--rule", "global"]) == 2
    assert f"{run / 'fold-2' / 'model.safetensors'}: the file {told}" in _told(capsys)
    for name in ("decision.json", "metrics.json", "bundle/bundle.json"):
        assert (run / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.usefixtures("fit_only")
def test_tag_table_that_changed_under_a_run_is_refused(
    trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiles, run = tmp_path / "tiles", tmp_path / "run"
    shutil.copytree(demo_tiles, tiles)
    assert _train(run, tiles, "--trainer.max_epochs=1") == 0
    table = (tiles / "train_v2.csv").read_text().splitlines()
    table[1] = table[1].split(",")[0] + ",haze road"
    (tiles / "train_v2.csv").write_text("\n".join(table) + "\n")
    assert _train(run, tiles, "--trainer.max_epochs=1") == 2
    assert holds(capsys.readouterr().err, run, "--run")


@pytest.mark.usefixtures("fit_only")
def test_softened_labels_that_changed_are_refused(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "audit.csv"
    table.write_text("image_name,tag,probability\ntrain_0,clear,0.5\n")
    options = ["--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *TINY, f"--data.soft_labels={table}"]
    assert main(["train", *options, "--trainer.max_epochs=1"]) == 0
    table.write_text("image_name,tag,probability\ntrain_0,clear,0.1\n")
    assert main(["train", *options, "--trainer.max_epochs=1"]) == 2
    assert holds(capsys.readouterr().err, tmp_path / "run", "data.soft_labels")


def test_refused_start_leaves_the_configuration_of_a_run(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    shutil.copytree(demo_tiles, tmp_path / "tiles")
    table = (tmp_path / "tiles" / "train_v2.csv").read_text().splitlines()
    (tmp_path / "tiles" / "train_v2.csv").write_text("\n".join(table[:150]) + "\n")
    assert _train(tmp_path / "run", tmp_path / "tiles", "--folds=[0, 2]", "--model.tta=flips") == 2
    for name in ("config.yaml", "provenance.json", "folds.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / name).read_bytes(), name


@pytest.mark.usefixtures("fit_only")
def test_broken_checkpoint_is_named(demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints, options = tmp_path / "run" / "fold-0" / "checkpoints", ["--trainer.max_epochs=1", *FEW]
    assert _train(tmp_path / "run", demo_tiles, *options) == 0
    (tmp_path / "run" / "fold-0" / "model.safetensors").unlink()
    checkpoints.mkdir()
    (checkpoints / "last.ckpt").write_bytes(b"half a checkpoint")
    capsys.readouterr()
    assert _train(tmp_path / "run", demo_tiles, *options) == 2
    assert holds(capsys.readouterr().err, checkpoints / "last.ckpt")


# ---------------------------------------------------------------- other data, other settings


@pytest.mark.usefixtures("short_finish")
def test_folds_can_be_added_one_by_one(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    for folds in ("[2]", "[0]"):
        assert _train(tmp_path / "run", demo_tiles, f"--folds={folds}", "--model.tta=flips") == 0
    for name in ("oof.parquet", "test.parquet", "decision.json", "submission.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / name).read_bytes(), name


def test_training_that_diverges_is_said(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert _train(tmp_path / "run", demo_tiles, "--model.lr=1e30", "--trainer.max_epochs=3") == 1
    assert "training diverged" in _told(capsys)
    assert not (tmp_path / "run" / "fold-0" / "model.safetensors").exists()
    assert "epoch" not in caplog.text  # told after the first, not the last


@pytest.mark.usefixtures("fit_only")
def test_all_folds_cover_every_tile(demo_tiles: Path, tmp_path: Path) -> None:
    options = ["--folds=all", "--trainer.max_epochs=1", "--data.max_samples=48"]
    assert _train(tmp_path / "run", demo_tiles, *options) == 0
    tiles, truth = (pd.read_parquet(tmp_path / "run" / "oof.parquet"), pd.read_csv(tmp_path / "run" / "truth.csv"))
    assert len(tiles) == 48 and set(tiles["image_name"]) == set(truth["image_name"])


@pytest.mark.with_pages
def test_another_tagged_set_needs_data_options_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tags = [f"kind {letter}" for letter in "ABCDEFGHIJ"]
    rows = []
    for split, count in (("train", 90), ("later", 30)):
        folder = tmp_path / split / "pictures"
        folder.mkdir(parents=True)
        for n in range(count):
            chosen = rng.random(10) < 0.3
            width, height = rng.integers(20, 90, 2)
            picture = np.full((height, width, 3), 20, np.uint8)
            for tag in np.flatnonzero(chosen):
                picture[:, tag * width // 10 : (tag + 1) * width // 10, tag % 3] = 220
            Image.fromarray(picture).save(folder / f"p{n}.JPG", quality=95)
            rows.append((split, f"p{n}.JPG", ";".join(tag for tag, on in zip(tags, chosen, strict=True) if on)))
        table = pd.DataFrame([row[1:] for row in rows if row[0] == split], columns=["filename", "labels"])
        table.to_csv(tmp_path / split / "list.csv", index=False)
    run, out = tmp_path / "run", tmp_path / "p.csv"
    read = ["--data.tag_separator=;", "--data.allow_untagged=true"]
    rarely = ["--trainer.check_val_every_n_epoch=15"]  # nobody looks at what lies between
    assert _train(run, tmp_path / "train", *read, "--trainer.max_epochs=15", "--data.augment=[]", *rarely) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert [record["tag"] for record in metrics["tags"]] == tags
    assert metrics["fbeta"]["cross_fitted"]["value"] > metrics["fbeta"]["constant"]["value"] + 0.1
    assert not (run / "submission.csv").exists()
    assert main(["evaluate", str(run), "--data", str(tmp_path / "later"), "--json", str(tmp_path / "e.json")]) == 0
    assert json.loads((tmp_path / "e.json").read_text())["tiles"] == 30
    assert main(["predict", str(run), "--tiles", str(tmp_path / "later"), "--out", str(out)]) == 0
    table = pd.read_csv(out, keep_default_na=False)
    assert len(table) == 30 and table["image_name"][0] == "p0"
    # Some tiles here carry no tag, so none is forced on a tile.
    assert json.loads((run / "decision.json").read_text())["parameters"]["at_least_one"] is False


@pytest.mark.with_pages
def test_overfit_preset_learns_32_tiles_by_heart(demo_tiles: Path, tmp_path: Path) -> None:
    configs = [f"--config={CONFIGS / name}" for name in ("demo.yaml", "debug/overfit.yaml")]
    run = tmp_path / "run"
    # A third of the epochs that the preset takes is enough, and nobody looks at what lies between.
    shorter = ["--data.size=32", "--trainer.max_epochs=30", "--trainer.check_val_every_n_epoch=30"]
    shorter += ["--model.backbone=test_resnet", "--model.lr=0.02"]
    assert main(["train", *configs, "--run", str(run), "--data.root", str(demo_tiles), *shorter]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["tiles"] == 32 and metrics["held_out"] is False
    assert metrics["fbeta"]["fixed_0.2"]["value"] >= 0.99
    losses = pd.read_csv(run / "fold-0" / "metrics.csv")["train_loss_epoch"].dropna()
    assert losses.iloc[-5:].mean() < 0.02


@pytest.mark.usefixtures("fit_only")
def test_mixed_precision_with_clipping_and_accumulation(demo_tiles: Path, tmp_path: Path) -> None:
    options = ["--trainer.precision=bf16-mixed", "--trainer.gradient_clip_val=1.0", "--model.schedule=cosine"]
    accumulating = ["--trainer.accumulate_grad_batches=2", "--trainer.log_every_n_steps=1"]
    assert _train(tmp_path / "run", demo_tiles, *options, *accumulating) == 0
    # 8 batches an epoch, two a step, two epochs: steps 0 to 7.
    assert pd.read_csv(tmp_path / "run" / "fold-0" / "metrics.csv")["step"].max() == 7


@pytest.mark.usefixtures("fit_only")
def test_training_in_pure_bfloat16_has_figures_for_each_epoch(demo_tiles: Path, tmp_path: Path) -> None:
    assert _train(tmp_path / "run", demo_tiles, "--trainer.precision=bf16-true", "--trainer.max_epochs=1") == 0
    table = pd.read_csv(tmp_path / "run" / "fold-0" / "per_tag.csv")
    assert len(table) == 17 and table["fbeta"].between(0, 1).all()
    loss = pd.read_csv(tmp_path / "run" / "fold-0" / "metrics.csv")["val_loss"].dropna().item()
    assert loss != torch.tensor(loss).bfloat16().item()  # finer than weights are


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_reloaded_weights_predict_what_was_predicted_after_training(
    demo_tiles: Path, tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_pages(monkeypatch)
    run, out = tmp_path / "run", tmp_path / "p.parquet"
    assert _train(run, demo_tiles, f"--trainer.precision={precision}", "--trainer.max_epochs=1") == 0
    assert main(["predict", str(run / "bundle"), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out)]) == 0
    tables = [pd.read_parquet(path).set_index("image_name") for path in (run / "test.parquet", out)]
    first, again = (table[list(PLANET.names)].sort_index() for table in tables)
    both = first.index.intersection(again.index)  # others are renamed by a table above the folder
    assert len(both) == 20
    pd.testing.assert_frame_equal(again.loc[both], first.loc[both], atol=1e-6, rtol=0)


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--model.progressive_resizing={0: 16, 2: 32}"],
            "training ends on tiles of 16 px, but predictions use 32 px",
        ),
        (["--model.progressive_resizing={0: 16}"], "training ends on tiles of 16 px"),
        (["--model.unfreeze={0: 1, 1: 2, 5: all}"], "training ends before epoch 5"),
        (["--model.progressive_resizing={0: 16, 1: 32}", "--model.unfreeze={0: 1, 1: all}"], None),
    ],
)
def test_what_training_does_not_come_to_is_told(
    demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, options: list[str], told: str | None
) -> None:
    little = ["--data.max_samples=48", "--trainer.limit_train_batches=1"]
    assert _train(tmp_path / "run", demo_tiles, *options, *little) == 0
    warned = [record.message for record in caplog.records if record.message.startswith("`model.")]
    assert len(warned) == (told is not None) and (told is None or told in warned[0])


UNREACHED = [("progressive_resizing", (16, 32)), ("unfreeze", (2,))]


@pytest.mark.usefixtures("fit_only")
@pytest.mark.parametrize(
    ("length", "warned"),
    [
        (["--trainer.max_steps=12"], UNREACHED),
        (["--trainer.max_steps=24"], []),  # the third epoch is reached
        (["--trainer.max_epochs=4", "--trainer.max_steps=12"], UNREACHED),
        (["--trainer.max_epochs=3", "--trainer.max_steps=1000"], []),
    ],
)
def test_what_a_number_of_steps_does_not_come_to_is_warned_of(
    demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, length: list[str],
    warned: list[tuple[str, tuple[int, ...]]],
) -> None:  # fmt: skip
    tiny = [option for option in TINY if "max_epochs" not in option]  # 8 steps are an epoch
    changes = ["--model.progressive_resizing={0: 16, 2: 32}", "--model.unfreeze={0: 1, 2: all}"]
    run = ["train", "--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *tiny, *FEW]
    assert main([*run, *changes, *length]) == 0
    told = [(str(record.msg), record.args) for record in caplog.records if record.levelno == logging.WARNING]
    found = [(name, args) for msg, args in told for name in ("unfreeze", "progressive_resizing") if name in msg]
    assert sorted(found) == warned
    assert not [args for msg, args in told if "training ended at step" in msg]  # the schedule ended with the steps


@pytest.mark.usefixtures("fit_only")
def test_a_training_that_time_ends_is_warned_of(
    demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TileTagger.training_step

    def last_step(self: TileTagger, *arguments: Any) -> Any:
        if self.global_step == 9:
            monkeypatch.setattr(pl.callbacks.Timer, "time_elapsed", lambda *_: 1e9)
        return step(self, *arguments)

    monkeypatch.setattr(TileTagger, "training_step", last_step)
    options = ["--trainer.max_epochs=4", "--trainer.max_time=01:00:00:00", "--model.unfreeze={0: 1, 3: all}"]
    assert _train(tmp_path / "run", demo_tiles, *FEW, *options) == 0
    told = {record.msg: record.args for record in caplog.records if record.levelno == logging.WARNING}
    (ended,) = [args for msg, args in told.items() if str(msg).startswith("training ended at step")]
    assert isinstance(ended, tuple) and ended[:2] == (10, 32) and "trainer.max_time" in str(ended[2])
    assert [args for msg, args in told.items() if "`model.unfreeze`" in str(msg)] == [(3,)]


def test_weights_in_half_precision_are_not_averaged(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for average in ("ema", "swa"):
        options = [f"--model.{average}=0.5", "--trainer.precision=bf16-true"]
        assert _train(tmp_path / average, demo_tiles, *options) == 2
        assert holds(_told(capsys), "bf16-true", "32-true", "bf16-mixed")


@pytest.mark.usefixtures("fit_only")
def test_limit_preset_uses_so_many_tiles(demo_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    limited = [f"--config={CONFIGS / 'debug' / 'limit.yaml'}", "--data.max_samples=60"]
    assert main(["train", "--run", str(run), "--data.root", str(demo_tiles), *TINY, *limited]) == 0
    assert len(pd.read_csv(run / "truth.csv")) == 60


@pytest.mark.usefixtures("short_finish")
def test_part_of_the_test_tiles_finishes_without_a_submission(
    demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(demo_tiles, tmp_path / "tiles")
    (tmp_path / "tiles" / "test-jpg" / "test_3.jpg").unlink()
    assert _train(tmp_path / "run", tmp_path / "tiles", "--trainer.max_epochs=1", "--data.max_samples=48") == 0
    assert "no submission was written" in caplog.text and "such as test_3" in caplog.text
    assert not (tmp_path / "run" / "submission.csv").exists()


# ---------------------------------------------------------------- wrong input: one readable message each


@pytest.fixture
def few_tiles(demo_tiles: Path, tmp_path: Path) -> Path:
    """Copy the tiles, to be broken."""
    shutil.copytree(demo_tiles, tmp_path / "tiles")
    return tmp_path / "tiles"


def _told(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("amazon-ml: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_truncated_tile(few_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], num_workers: int) -> None:
    tile = few_tiles / "train-jpg" / "train_7.jpg"
    tile.write_bytes(tile.read_bytes()[:300])
    assert _train(tmp_path / "run", few_tiles, f"--data.num_workers={num_workers}") == 2
    told = _told(capsys)
    assert holds(told, tile, "300 bytes") and "Traceback" not in told


def test_table_without_tags_column(few_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = few_tiles / "train_v2.csv"
    table.write_text(table.read_text().replace("image_name,tags", "image_name,what"))
    assert _train(tmp_path / "run", few_tiles) == 2
    assert holds(_told(capsys), table, "'tags'", "'image_name'", "'what'")


def test_misspelt_tag(few_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (few_tiles / "train_v2.csv").read_text().splitlines()
    lines[5] = "train_4,clear agricultre"
    (few_tiles / "train_v2.csv").write_text("\n".join(lines))
    assert _train(tmp_path / "run", few_tiles) == 2
    assert holds(_told(capsys), few_tiles / "train_v2.csv", "line 6", "train_4", "'agricultre'", "'agriculture'")


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (["--data.root=/no/such/folder"], ["/no/such/folder", "--data.root"]),
        (["--model.backbone=resnet999"], ["--model.backbone", "'resnet999'"]),
        (["--folds=[7]"], ["--folds", [7], [0, 1, 2]]),
        (["--data.augment=[{Spin: {}}]"], ["--data.augment", "'Spin'"]),
        (["--data.n_folds=1"], ["--data.n_folds", 2, 1]),
        (["--trainer.max_epochs=0"], ["max_epochs"]),
        (["--beta=0"], ["--beta", 0]),
        (["--beta=.nan"], ["--beta", "nan"]),
        (["--beta=.inf"], ["--beta", "inf"]),
        (["--trainer.accelerator=tpu"], ["trainer"]),
        (["--trainer.accelerator=abacus"], ["trainer"]),
        (["--trainer.limit_val_batches=0.5"], ["--trainer.limit_val_batches", 0.5, 1]),
        (["--trainer.limit_train_batches=0.05"], ["--trainer.limit_train_batches", 0.05, 8]),
        (["--trainer.val_check_interval=9"], ["--trainer.val_check_interval", 9, 8]),
        (["--trainer.val_check_interval=5", "--trainer.limit_train_batches=0.5"], ["--trainer.val_check_interval", 4]),
        (["--trainer.val_check_interval=0"], ["--trainer.val_check_interval"]),
        (["--seed=-1"], ["--seed", 0, -1]),
        (["--data.max_samples=0"], ["--data.max_samples", 1, 0]),
        (["--data.max_samples=27", "--data.n_folds=3"], ["9 of 27", 10]),
        (["--data.tag_separator="], ["--data.tag_separator"]),
        (["--data.augment=[{Normalize: {}}]"], ["--data.augment", "uint8"]),
        (["--data.augment=[{CenterCrop: {height: 8, width: 8}}]"], ["--data.augment", "uint8, 32 x 32 px"]),
    ],
)
def test_wrong_values(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], values: list[object]
) -> None:
    assert _train(tmp_path / "run", demo_tiles, *options) == 2
    assert holds(_told(capsys), *values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.sise=64"], "data.sise"),
        (["--data.size=large"], "data.size"),
        (["--config=none.yaml"], "none.yaml"),
        (["--trainer.precision=17"], "precision"),
    ],
)
def test_wrong_keys_and_types(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        _train(tmp_path / "run", demo_tiles, *options)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_wrong_key_in_a_config_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.yaml").write_text("data: {root: x}\nmodel: {backbon: resnet18}\n")
    with pytest.raises(SystemExit) as ended:
        main(["train", "--config", str(tmp_path / "wrong.yaml")])
    assert ended.value.code == 2
    assert "backbon" in capsys.readouterr().err


def test_run_folder_that_cannot_be_written(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert _train(tmp_path / "file" / "run", demo_tiles) == 1
    assert holds(_told(capsys), tmp_path / "file" / "run")


@pytest.mark.parametrize(
    "verb", [["tune"], ["evaluate", "--data=."], ["predict", "--tiles=.", "--out=x.csv"], ["submit", "make"]]
)
def test_verbs_on_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]) -> None:
    options = [word for word in verb if word.startswith("--")]
    words = [word for word in verb if not word.startswith("--")]
    assert main([*words, str(tmp_path), *options]) == 2
    assert str(tmp_path) in _told(capsys)


def test_predict_on_folders_without_tiles(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(trained), "--tiles", str(tmp_path), "--out", str(tmp_path / "x.csv")]) == 2
    assert holds(_told(capsys), tmp_path)
    assert main(["predict", str(trained), "--tiles", str(tmp_path), "--out", str(tmp_path / "x.txt")]) == 2
    assert holds(_told(capsys), "--out", tmp_path / "x.txt", ".parquet", ".csv")


def test_submission_without_all_tiles_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("image_name,tags\ntest_0,primary\ntest_99,primary\n")
    out = tmp_path / "s.csv"
    assert main(["submit", "make", str(trained), "--sample", str(sample), "--out", str(out)]) == 2
    assert holds(_told(capsys), trained / "test.parquet", 1, 2, sample, "test_99") and not out.exists()


# ---------------------------------------------------------------- stopped before anything was trained


@pytest.fixture
def split_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 TIFs of 16 bits with a column of splits, twice: those in ``b`` are a tenth as bright. Nothing is trained."""

    def stop(*_: object) -> None:
        raise WorkError("stopped before the first checkpoint")

    monkeypatch.setattr("amazon_ml.pipeline.train.fit_fold", stop)
    for name, most in (("a", 4000), ("b", 400)):
        for number in range(24):
            drawn = np.random.default_rng(number).uniform(most / 10, most, size=(16, 16, 3)).astype(np.uint16)
            write_tif(tmp_path / name / "tiles" / f"t{number:02}.tif", drawn, names=("red", "green", "blue"))
        rows = [f"t{number:02},{'ab'[number % 2]},{'val' if number < 12 else 'train'}" for number in range(24)]
        (tmp_path / name / "labels.csv").write_text("\n".join(["image,tags,split", *rows, ""]))
    return tmp_path


def _started(run: Path, root: Path, *options: str) -> int:
    return _train(run, root, "--data.size=16", "--data.n_folds=2", "--data.tags_column=tags", *options)


def test_folds_of_other_splits_are_made_again_before_anything_is_trained(split_tiles: Path) -> None:
    run, root = split_tiles / "run", split_tiles / "a"
    assert _started(run, root) == 1
    first = (run / "folds.csv").read_bytes()
    assert _started(run, root, "--data.split_column=split") == 1
    assert pd.read_csv(run / "folds.csv")["fold"].tolist() == [0] * 12 + [-1] * 12
    assert (run / "folds.before.csv").read_bytes() == first
    rows = (root / "labels.csv").read_text().splitlines()
    (split_tiles / "some.csv").write_text("\n".join([*rows[:21], ""]))
    assert _started(run, root, f"--data.labels_file={split_tiles / 'some.csv'}") == 1
    assert len(pd.read_csv(run / "folds.csv")) == 20 and len(pd.read_csv(run / "truth.csv")) == 20


def test_limits_of_other_tiles_are_found_again_before_anything_is_trained(
    split_tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = split_tiles / "run"
    assert _started(run, split_tiles / "a") == 1
    first = (run / "bands.json").read_bytes()
    monkeypatch.chdir(split_tiles)
    assert _started(run, Path("a"), "--trainer.max_epochs=3") == 1  # the same folder
    assert (run / "bands.json").read_bytes() == first
    assert _started(run, split_tiles / "b", "--trainer.max_epochs=3") == 1
    limits = json.loads((run / "bands.json").read_text())["limits"]
    assert all(high <= 400 for _, high in limits.values())
    assert (run / "bands.before.json").read_bytes() == first


def test_own_bands_are_kept_where_an_option_changed_that_they_do_not_depend_on(split_tiles: Path) -> None:
    run, other = split_tiles / "run", split_tiles / "other"
    assert _started(other, split_tiles / "b") == 1
    run.mkdir()
    shutil.copy(other / "bands.json", run)
    own = (run / "bands.json").read_bytes()
    assert _started(run, split_tiles / "a") == 1
    assert _started(run, split_tiles / "a", "--model.lr=0.5", "--data.batch_size=4") == 1
    assert (run / "bands.json").read_bytes() == own


def test_test_split_of_former_options_is_removed_before_anything_is_trained(split_tiles: Path) -> None:
    run, root = split_tiles / "run", split_tiles / "a"
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace(",val", ",test"))
    assert _started(run, root, "--data.split_column=split", "--folds=all") == 1
    assert len(pd.read_csv(run / "tested.csv")) == 12
    assert _started(run, root) == 1
    assert not (run / "tested.csv").exists()


def test_own_folds_and_bands_are_kept_where_tiles_or_table_have_another_path(
    split_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root, other = split_tiles / "run", split_tiles / "a", split_tiles / "other"
    assert _started(other, split_tiles / "b", "--seed=7") == 1
    run.mkdir()
    for name in ("folds.csv", "bands.json"):
        shutil.copy(other / name, run)
    own = {name: (run / name).read_bytes() for name in ("folds.csv", "bands.json")}
    rows = (root / "labels.csv").read_text().splitlines()
    (split_tiles / "some.csv").write_text("\n".join([*rows[:21], ""]))
    assert _started(run, root, f"--data.labels_file={split_tiles / 'some.csv'}") == 2
    assert str(run / "folds.csv") in capsys.readouterr().err
    assert _started(run, root) == 1
    (split_tiles / "a").rename(split_tiles / "moved")
    assert _started(run, split_tiles / "moved") == 1
    assert {name: (run / name).read_bytes() for name in own} == own
    assert not list(run.glob("*.before*"))


def test_folds_are_made_again_where_the_start_that_made_them_failed(
    split_tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds that are on the disk before the start fails in the limits of bands are the run's own."""
    run, root = split_tiles / "run", split_tiles / "a"

    def fail(*_: object) -> None:
        raise WorkError("no limits of bands")

    with monkeypatch.context() as patch:
        patch.setattr("amazon_ml.data.datamodule.fit_tiles", fail)
        assert _started(run, root) == 1
    assert (run / "folds.csv").exists() and not (run / "bands.json").exists()
    shutil.copytree(run, split_tiles / "edited")
    own = (run / "folds.csv").read_text().replace(",0\n", ",9\n").replace(",1\n", ",0\n").replace(",9\n", ",1\n")
    (split_tiles / "edited" / "folds.csv").write_text(own)
    for folder in (run, split_tiles / "edited"):
        assert _started(folder, root, "--data.split_column=split") == 1
    assert pd.read_csv(run / "folds.csv")["fold"].tolist() == [0] * 12 + [-1] * 12
    assert (split_tiles / "edited" / "folds.csv").read_text() == own


def test_relative_paths_of_tiles_are_compared_as_the_folders_that_they_were(
    split_tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = split_tiles / "run"
    for name in ("a", "b"):
        (split_tiles / f"site-{name}").mkdir()
        (split_tiles / name).rename(split_tiles / f"site-{name}" / "tiles")
    monkeypatch.chdir(split_tiles / "site-a")
    assert _started(run, Path("tiles")) == 1
    first = (run / "bands.json").read_bytes()
    monkeypatch.chdir(split_tiles / "site-b")
    assert _started(run, Path("../site-a/tiles")) == 1  # the same folder
    assert (run / "bands.json").read_bytes() == first and not list(run.glob("*.before*"))
    monkeypatch.chdir(split_tiles / "site-a")
    assert _started(run, Path("tiles")) == 1
    monkeypatch.chdir(split_tiles / "site-b")
    assert _started(run, Path("tiles")) == 1
    assert all(high <= 400 for _, high in json.loads((run / "bands.json").read_text())["limits"].values())
    assert (run / "bands.before.json").read_bytes() == first
