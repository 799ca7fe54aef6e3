"""Curves: figures of each tag and each epoch, in files, TensorBoard and logging services, through interruptions."""

import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
from conftest import FEW, TINY, leave_out_finish
from refused import refused
from sklearn.metrics import average_precision_score, f1_score, fbeta_score, precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.folder import FoldFolder
from amazon_ml.training import callbacks
from amazon_ml.training.loggers import SERVICES, Arguments, Service, check_loggers, open_loggers

pytestmark = pytest.mark.usefixtures("fit_only")


def _train(run: Path, tiles: Path, *options: str) -> int:
    return main(["train", "--run", str(run), "--data.root", str(tiles), *TINY, *FEW, *options])


@pytest.fixture(scope="module")
def run(demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run of one fold, whose stored probabilities are those of its last validation."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        leave_out_finish(patch)
        assert _train(folder, demo_tiles) == 0
    return folder


# ---------------------------------------------------------------- files and TensorBoard


def test_figures_of_each_tag_equal_scikit_learn_on_the_stored_probabilities(run: Path, demo_tiles: Path) -> None:
    table = pd.read_csv(run / "fold-0" / "per_tag.csv")
    assert table["epoch"].tolist() == [0] * 17 + [1] * 17
    last = table[table["epoch"] == 1].reset_index(drop=True)
    assert last["tag"].tolist() == list(PLANET.names)
    p = pd.read_parquet(run / "fold-0" / "valid.parquet").set_index("image_name")
    labelled = read_catalog(demo_tiles)
    rows = labelled.labelled.reset_index(drop=True).reset_index().set_index("image_name").loc[p.index, "index"]
    true, on = labelled.targets[rows.to_numpy()], p.to_numpy() >= 0.2
    assert last["support"].tolist() == true.sum(axis=0).tolist()
    assert last["predicted"].tolist() == on.sum(axis=0).tolist()
    for name, expected in (
        ("precision", precision_score(true, on, average=None, zero_division=0)),
        ("recall", recall_score(true, on, average=None, zero_division=0)),
        ("fbeta", fbeta_score(true, on, beta=2, average=None, zero_division=0)),
    ):
        np.testing.assert_allclose(last[name].where(last["support"] > 0, 0), expected, atol=1e-9)
    for tag in range(17):
        if true[:, tag].any():
            expected = average_precision_score(true[:, tag], p.to_numpy()[:, tag])
            assert last["average_precision"][tag] == pytest.approx(expected, abs=1e-6)
        else:
            assert np.isnan(last["average_precision"][tag])
    carried, half = true.any(axis=0), p.to_numpy() > 0.5
    curves = pd.read_csv(run / "fold-0" / "metrics.csv").dropna(subset="val_f2").iloc[-1]
    for name, expected in (
        ("average_precision_macro", average_precision_score(true[:, carried], p.to_numpy()[:, carried])),
        ("average_precision_micro", average_precision_score(true, p.to_numpy(), average="micro")),
        ("f1_macro", f1_score(true[:, carried], half[:, carried], average="macro", zero_division=0)),
        ("f1_micro", f1_score(true, half, average="micro")),
    ):
        assert curves[f"val_{name}"] == pytest.approx(expected, abs=1e-6), name


def test_tags_that_no_held_out_tile_has_are_named_once(
    demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.read_csv(demo_tiles / "train_v2.csv")
    table["tags"] = table["tags"].str.replace("water", "").str.split().str.join(" ")
    labels = tmp_path / "labels.csv"
    table.to_csv(labels, index=False)
    with caplog.at_level(logging.INFO, "amazon_ml"):
        own = ["--data.labels_file", str(labels), "--data.tags", json.dumps(list(PLANET.names))]
        assert _train(tmp_path / "run", demo_tiles, *own) == 0
    lines = [record.getMessage() for record in caplog.records if "macro averages" in record.getMessage()]
    assert len(lines) == 1 and "water" in lines[0]
    assert pd.read_csv(tmp_path / "run" / "fold-0" / "metrics.csv")["val_average_precision_macro"].count() == 2


def test_each_epoch_tells_speed_waiting_and_memory(run: Path) -> None:
    epochs = pd.read_csv(run / "fold-0" / "metrics.csv").dropna(subset="train_loss_epoch")
    assert len(epochs) == 2
    assert (epochs["images_per_second"] > 0).all()
    assert epochs["data_wait"].between(0, 1, inclusive="neither").all()
    assert epochs["peak_memory_gib"].between(0.1, 64).all() and epochs["peak_memory_gib"].is_monotonic_increasing


def test_curves_of_tags_go_to_tensorboard_and_not_into_the_columns_of_metrics(run: Path) -> None:
    table = pd.read_csv(run / "fold-0" / "per_tag.csv")
    events = EventAccumulator(str(run / "fold-0"))
    events.Reload()
    for figure, column in (("f2", "fbeta"), *((name, name) for name in ("precision", "recall", "average_precision"))):
        for tag in PLANET.names:
            shown = [scalar.value for scalar in events.Scalars(f"per_tag/{figure}/{tag}")]
            np.testing.assert_allclose(shown, table.loc[table["tag"] == tag, column], atol=1e-6)
    steps = [scalar.step for scalar in events.Scalars("per_tag/f2/clear")]
    assert steps == [scalar.step for scalar in events.Scalars("val_f2")]
    assert len(events.Scalars("data_wait")) == len(events.Scalars("peak_memory_gib")) == 2
    assert not any("per_tag" in column for column in pd.read_csv(run / "fold-0" / "metrics.csv").columns)


def test_the_line_of_an_epoch_tells_them(demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert _train(tmp_path / "run", demo_tiles, "--trainer.max_epochs=1") == 0
    (line,) = [message for message in caplog.messages if message.startswith("epoch 1/1: ")]
    assert all(words in line for words in ("val F2 at 0.2 0.", " images/s, ", "% wait for data, ", " GiB"))


def test_an_epoch_has_only_figures_of_its_own(
    demo_tiles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, save = [], callbacks.AtomicCheckpointIO.save_checkpoint

    def noted(self: callbacks.AtomicCheckpointIO, checkpoint: dict[str, Any], *more: Any, **options: Any) -> None:
        stored.append(checkpoint["callbacks"]["EpochLogger"])
        save(self, checkpoint, *more, **options)

    monkeypatch.setattr(callbacks.AtomicCheckpointIO, "save_checkpoint", noted)
    # Validation in the second epoch only; the third one ends in its middle, after 4 of 8 steps.
    options = ["--trainer.max_epochs=3", "--trainer.max_steps=20", "--trainer.check_val_every_n_epoch=2"]
    with caplog.at_level(logging.INFO):
        assert _train(tmp_path / "run", demo_tiles, *options) == 0
    lines = [message for message in caplog.messages if message.startswith("epoch ")]
    assert [("val F2" in line, "val loss" in line, "images/s" in line) for line in lines] == [
        (False, False, True), (True, True, True), (False, False, True),
    ]  # fmt: skip
    table = pd.read_csv(tmp_path / "run" / "fold-0" / "metrics.csv")
    ended = table.dropna(subset="train_loss_epoch")
    assert ended["epoch"].tolist() == [0, 1, 2] and ended["step"].tolist() == [7, 15, 19]
    assert table.dropna(subset="val_f2")["epoch"].tolist() == [1]
    tiles = ended["images_per_second"] * ended["train_seconds"]
    np.testing.assert_allclose(tiles, [64, 64, 32], rtol=1e-4)
    assert ended["data_wait"].between(0, 1).all()
    rows = pd.DataFrame([state["row"] for state in stored])
    assert [state["seconds"] for state in stored] == [0, 0, 0]
    for column in ("epoch", "step", "train_loss_epoch", "images_per_second", "train_seconds"):
        np.testing.assert_allclose(rows[column], ended[column], rtol=1e-5)
    events = EventAccumulator(str(tmp_path / "run" / "fold-0"))
    events.Reload()
    np.testing.assert_allclose([e.value for e in events.Scalars("train_seconds")], ended["train_seconds"], rtol=1e-5)
    assert [event.step for event in events.Scalars("val_f2")] == [15]


def test_the_figures_of_an_epoch_are_stored_and_restored() -> None:
    state = {"row": {"epoch": 3, "step": 31, "train_loss_epoch": 0.5}, "seconds": 2.5}
    line = callbacks.EpochLogger()
    line.load_state_dict(state)
    assert line.row == state["row"] and line.state_dict() == state


@pytest.mark.parametrize("broken", ["training_step", "validation_step", "on_validation_epoch_end"])
def test_stopped_anywhere_no_epoch_is_lost_or_doubled(
    run: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    # 8 batches of training and one of validation, 2 epochs: each breaks within the second one.
    whole, calls = getattr(TileTagger, broken), iter(range(1000))
    last = {"training_step": 11, "validation_step": 1, "on_validation_epoch_end": 1}[broken]

    def pull_the_plug(self: TileTagger, *arguments: Any) -> Any:
        if next(calls) == last:
            raise KeyError("plug pulled")
        return whole(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "SAVE_EVERY", timedelta(seconds=0))
        patch.setattr(TileTagger, broken, pull_the_plug)
        with pytest.raises(KeyError, match="plug pulled"):
            _train(tmp_path / "run", demo_tiles)
    assert _train(tmp_path / "run", demo_tiles) == 0
    former, resumed = (pd.read_csv(folder / "fold-0" / "per_tag.csv") for folder in (run, tmp_path / "run"))
    pd.testing.assert_frame_equal(resumed, former)


@pytest.mark.parametrize(("save", "left"), [(7, True), (15, True), (7, False)])
def test_killed_between_the_checkpoint_of_an_epoch_and_its_row_the_row_is_kept(
    run: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: int, left: bool
) -> None:
    # 8 batches an epoch, and a checkpoint behind each: those behind the last ones are written at the end of the epoch.
    whole, calls = callbacks.AtomicCheckpointIO.save_checkpoint, iter(range(1000))

    def save_and_pull_the_plug(*arguments: Any, **options: Any) -> None:
        whole(*arguments, **options)
        if next(calls) == save:
            raise KeyError("plug pulled")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "SAVE_EVERY", timedelta(seconds=0))
        patch.setattr(callbacks.AtomicCheckpointIO, "save_checkpoint", save_and_pull_the_plug)
        with pytest.raises(KeyError, match="plug pulled"):
            _train(tmp_path / "run", demo_tiles)
    if not left:
        (tmp_path / "run" / "fold-0" / "metrics.csv").write_text("")  # killed while Lightning wrote it anew
    assert _train(tmp_path / "run", demo_tiles) == 0
    former, resumed = (pd.read_csv(folder / "fold-0" / "metrics.csv") for folder in (run, tmp_path / "run"))
    for column in ("train_loss_epoch", "val_loss") if left else ("train_loss_epoch",):
        rows = [table.dropna(subset=[column]).sort_values("epoch") for table in (former, resumed)]
        assert rows[0]["epoch"].tolist() == rows[1]["epoch"].tolist() == [0, 1]
        assert rows[0]["step"].tolist() == rows[1]["step"].tolist()
        np.testing.assert_allclose(rows[1][column], rows[0][column], rtol=1e-6)


# ---------------------------------------------------------------- logging services


@pytest.mark.parametrize(
    ("requested", "option", "remedy"),
    [
        ({"wandby": {}}, "loggers.wandby", "there are wandb, mlflow"),
        ({"wandb": {"api_key": "hush"}}, "loggers.wandb.api_key", "set WANDB_API_KEY in the environment"),
        ({"wandb": {"settings": {"apiKey": "hush"}}}, "loggers.wandb.settings.apiKey", "set WANDB_API_KEY"),
        (
            {"mlflow": {"tracking_uri": "https://me:hush@host"}},
            "loggers.mlflow.tracking_uri",
            "MLFLOW_TRACKING_PASSWORD",
        ),
        ({"wandb": {"settings": [{}, {"api_key": "hush"}]}}, "loggers.wandb.settings.1.api_key", "set WANDB_API_KEY"),
        ({"wandb": {"tags": ["a", "https://hush@host"]}}, "loggers.wandb.tags.1", "set WANDB_API_KEY"),
        (
            {"mlflow": {"tracking_uri": "postgresql://db/x?user=me&password=hush"}},
            "loggers.mlflow.tracking_uri",
            "MLFLOW_TRACKING_URI",
        ),
        ({"wandb": {"id": "x"}}, "loggers.wandb", "omit it"),
        ({"mlflow": {"run_id": "x"}}, "loggers.mlflow", "omit it"),
    ],
)
def test_wrong_services_and_secrets_are_refused(requested: dict[str, Arguments], option: str, remedy: str) -> None:
    with pytest.raises(InputError) as refused:
        check_loggers(requested)
    assert refused.value.option == option and remedy in refused.value.remedy
    assert "hush" not in str(refused.value)


def test_a_secret_is_refused_before_anything_is_written(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path / "run", demo_tiles, "--loggers.wandb.api_key=hush") == 2
    assert "hush" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", SERVICES)
def test_missing_package_is_named_with_the_command(name: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with refused(option=f"loggers.{name}", says=f"pip install {name}"):
        check_loggers({name: {}})


@contextmanager
def _csv(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
    yield pl.loggers.CSVLogger(folder.path / "elsewhere", "", known or "first", **arguments)


def test_a_service_is_given_back_the_name_it_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVICES, "csv", Service(_csv, frozenset(), ""))
    fold = FoldFolder(tmp_path)
    with open_loggers(fold, {"csv": {}}) as loggers:
        assert [logger.version for logger in loggers] == ["first"]
    fold.loggers.write_text(fold.loggers.read_text().replace("first", "second"))
    with open_loggers(fold, {"csv": {}}) as loggers:
        assert [logger.version for logger in loggers] == ["second"]
    with refused(option="loggers.csv", says=["'colour'", fold.loggers]):
        open_loggers(fold, {"csv": {"colour": "red"}}).__enter__()


def _stopped_and_resumed(folder: Path, tiles: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    """Train with other services after an interruption than before, which a run allows."""

    def pull_the_plug(self: TileTagger) -> None:
        raise KeyError("plug pulled")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "SAVE_EVERY", timedelta(seconds=0))
        patch.setattr(TileTagger, "on_train_end", pull_the_plug)
        with pytest.raises(KeyError, match="plug pulled"):
            _train(folder, tiles, *options)
    assert _train(folder, tiles, *options, "--trainer.log_every_n_steps=1") == 0


def test_weights_and_biases_goes_on_in_the_same_run(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    _stopped_and_resumed(tmp_path / "run", demo_tiles, monkeypatch, "--loggers.wandb.project=tiles")
    fold = tmp_path / "run" / "fold-0"
    name = json.loads((fold / "loggers.json").read_text())["wandb"]
    records = list((fold / "wandb").glob(f"offline-run-*/run-{name}.wandb"))
    assert len(records) == len(list((fold / "wandb").glob("offline-run-*"))) == 2
    told = b"".join(path.read_bytes() for path in records)
    assert b"tiles" in told and b"run/fold-0" in told and b"per_tag/f2/clear" in told
    for value in pd.read_csv(fold / "metrics.csv")["val_f2"].dropna():
        assert repr(value).encode() in told


def test_mlflow_goes_on_in_the_same_run(demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    _stopped_and_resumed(tmp_path / "run", demo_tiles, monkeypatch, f"--loggers.mlflow.tracking_uri={store}")
    fold = tmp_path / "run" / "fold-0"
    client = mlflow.MlflowClient(store)
    (experiment,) = [e for e in client.search_experiments() if e.name == "lightning_logs"]
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.run_id == json.loads((fold / "loggers.json").read_text())["mlflow"]
    assert logged.info.run_name == "run/fold-0" and logged.info.status == "FINISHED"
    assert logged.data.params["backbone"] == "test_resnet"
    curve = {m.step: m.value for m in client.get_metric_history(logged.info.run_id, "val_f2")}
    stored = pd.read_csv(fold / "metrics.csv").dropna(subset="val_f2")
    assert curve == pytest.approx(dict(zip(stored["step"], stored["val_f2"], strict=True)))
    assert "per_tag/f2/clear" in logged.data.metrics


def test_damaged_names_of_runs_are_named(tmp_path: Path) -> None:
    fold = FoldFolder(tmp_path / "fold-0")
    fold.path.mkdir()
    fold.loggers.write_text("[]")
    with pytest.raises(InputError) as refused, open_loggers(fold, {"csv": {}}):
        pass
    assert refused.value.file == fold.loggers and refused.value.remedy is not None
