"""Logging services that fail, hang or start together, with loggers that stand in for those of the packages."""

import logging
import os
import re
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
import pytest
import pytorch_lightning as pl
from conftest import FEW, TINY
from hypothesis import given
from hypothesis import strategies as st
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.runs.folder import FoldFolder
from amazon_ml.runtime.addresses import without_secrets
from amazon_ml.runtime.locks import is_locked
from amazon_ml.training import loggers
from amazon_ml.training.loggers import SERVICES, Arguments, Service, open_loggers
from amazon_ml.training.tolerant import TolerantLogger, curve_name

Call = tuple[str, Any]


class Failing(pl.loggers.Logger):
    """A logger that notes what it gets, and fails where a function of the method and the notes so far says so."""

    name, version = "failing", "first"

    def __init__(self, fails: Callable[[str, list[Call]], bool]) -> None:
        super().__init__()
        self.fails = fails
        self.got: list[Call] = []
        self.tried: list[str] = []

    def _take(self, method: str, value: Any) -> None:
        self.tried.append(method)
        if self.fails(method, self.got):
            raise ConnectionError("no answer from https://me:hush@host:5000/api?token=hush")
        self.got.append((method, value))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._take("metrics", (step, dict(metrics)))

    def log_hyperparams(self, params: Any, *args: Any, **options: Any) -> None:
        self._take("params", params)

    def finalize(self, status: str) -> None:
        self._take("finalize", status)


def _serve(monkeypatch: pytest.MonkeyPatch, logger: pl.loggers.Logger, close: Callable[[FoldFolder], None]) -> None:
    @contextmanager
    def opened(folder: FoldFolder, known: str | None, arguments: Arguments) -> Iterator[pl.loggers.Logger]:
        try:
            yield logger
        finally:
            close(folder)

    monkeypatch.setitem(SERVICES, "csv", Service(opened, frozenset(), ""))  # a module of that name is always there


def _train(run: Path, tiles: Path, *options: str) -> int:
    words = ["train", "--run", str(run), "--data.root", str(tiles), *TINY, *FEW, "--loggers.csv", "{}", *options]
    return main(words)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give the warnings of services."""
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [text for text in told if "loggers." in text]


# ---------------------------------------------------------------- during training


@pytest.mark.usefixtures("fit_only")
def test_a_service_that_is_down_in_one_epoch_costs_only_its_figures(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The options are sent before the first epoch and when it begins; both fail, and so the epoch (8 steps) is left out.
    logger = Failing(lambda method, got: len(logger.tried) <= 2)
    _serve(monkeypatch, logger, lambda folder: None)
    with caplog.at_level(logging.INFO, "amazon_ml"):
        assert _train(tmp_path / "run", demo_tiles, "--trainer.max_epochs=3") == 0
    assert [method for method, _ in logger.got if method != "metrics"] == ["params", "finalize"]
    steps = {value[0] for method, value in logger.got if method == "metrics"}
    assert steps == {15, 23} and logger.got[-1] == ("finalize", "success")
    (warning,) = _warnings(caplog)
    assert "loggers.csv" in warning and "hush" not in warning and "host:5000" in warning
    curves = pd.read_csv(tmp_path / "run" / "fold-0" / "metrics.csv")
    assert curves.dropna(subset="val_f2")["step"].tolist() == [7, 15, 23]


@pytest.mark.usefixtures("fit_only")
def test_a_service_that_stays_down_is_reported_once_and_asked_once_an_epoch(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = Failing(lambda method, got: True)

    def close(folder: FoldFolder) -> None:
        raise TimeoutError("no answer")

    _serve(monkeypatch, logger, close)
    assert _train(tmp_path / "run", demo_tiles, "--trainer.max_epochs=3", "--trainer.log_every_n_steps=1") == 0
    assert len(_warnings(caplog)) == 2  # the second when it is closed
    assert logger.tried.count("metrics") <= 3 and logger.tried.count("finalize") == 1
    assert (tmp_path / "run" / "fold-0" / "model.safetensors").exists()


@pytest.mark.usefixtures("fit_only")
def test_weights_are_saved_before_a_service_is_closed(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(folder: FoldFolder) -> None:
        assert folder.weights.exists()
        raise KeyboardInterrupt  # a person who does not wait

    saved = []

    def look(method: str, got: object) -> bool:
        if method == "finalize":
            saved.append((tmp_path / "run" / "fold-0" / "model.safetensors").exists())
        return False

    logger = Failing(look)
    _serve(monkeypatch, logger, close)
    assert _train(tmp_path / "run", demo_tiles) == 130
    assert saved == [True]
    before = (tmp_path / "run" / "fold-0" / "model.safetensors").read_bytes()
    _serve(monkeypatch, logger, lambda folder: None)
    assert _train(tmp_path / "run", demo_tiles) == 0
    assert (tmp_path / "run" / "fold-0" / "model.safetensors").read_bytes() == before
    assert (tmp_path / "run" / "fold-0" / "valid.parquet").exists()


def test_a_service_that_answered_for_a_former_fold_is_left_out(
    mlflow: type["Opened"], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = {"mlflow": {"tracking_uri": "https://host"}}
    first, second = (FoldFolder(tmp_path / f"fold-{number}") for number in range(2))
    down = [_ServiceError("no answer from https://me:hush@host")]
    mlflow.failures[:] = down
    with refused(option="loggers.mlflow"), open_loggers(first, request):
        pass
    with open_loggers(first, request) as services:
        assert len(services) == 1
    mlflow.failures[:] = down
    with open_loggers(second, request) as services:
        assert services == []
    (warning,) = _warnings(caplog)
    assert "loggers.mlflow" in warning and "hush" not in warning and not second.loggers.exists()
    mlflow.failures[:] = down
    with refused(option="loggers.mlflow", says="loggers.json"), open_loggers(first, request):
        pass  # it has a run there, which may be gone


def test_a_service_that_made_training_wait_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10_000, 10))  # each look at the clock takes ten seconds
    monkeypatch.setattr("amazon_ml.training.tolerant.time.monotonic", lambda: next(now))
    inner = Failing(lambda method, got: True)
    logger = TolerantLogger("csv", inner)
    asked = []
    for _ in range(12):
        logger.try_again()
        logger.log_metrics({"a": 1.0}, 0)
        asked.append(len(inner.tried))
    assert asked == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]  # it fails after ten seconds, and rests for forty


# ---------------------------------------------------------------- Weights & Biases


def _wandb(monkeypatch: pytest.MonkeyPatch, run: object, *fields: str) -> list[Arguments]:
    asked: list[Arguments] = []

    def make(**arguments: Any) -> SimpleNamespace:
        asked.append(arguments)
        return SimpleNamespace(experiment=run, name="x", version=arguments["id"], save_dir=None)

    package = ModuleType("wandb")
    package.Settings = SimpleNamespace(model_fields=dict.fromkeys(fields))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", package)
    monkeypatch.setattr(pl.loggers, "WandbLogger", make)
    return asked


@pytest.mark.parametrize(
    ("given", "variable", "settings"),
    [
        ({}, None, {"finish_timeout": loggers.FINISH_WITHIN, "finish_timeout_raises": True}),
        ({"finish_timeout": 5}, None, {"finish_timeout": 5, "finish_timeout_raises": True}),
        ({"silent": True}, "7", {"silent": True, "finish_timeout_raises": True}),
    ],
)
def test_the_end_of_a_run_waits_for_wandb_no_longer_than_set(
    given: dict[str, Any], variable: str | None, settings: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if variable:
        monkeypatch.setenv("WANDB_FINISH_TIMEOUT", variable)
    ended = []

    class Run:
        dir = str(tmp_path / "wandb" / "run-1" / "files")

        def finish(self, exit_code: int) -> None:
            ended.append(exit_code)
            raise TimeoutError("timed out")

    asked = _wandb(monkeypatch, Run(), "finish_timeout", "finish_timeout_raises")
    arguments = {"settings": given} if given else {}
    with open_loggers(FoldFolder(tmp_path), {"wandb": arguments}):
        pass
    assert asked[0]["settings"] == settings and arguments == ({"settings": given} if given else {})
    (warning,) = _warnings(caplog)
    assert f"wandb sync {tmp_path / 'wandb' / 'run-1'}" in warning
    with pytest.raises(KeyError), open_loggers(FoldFolder(tmp_path), {"wandb": {}}):
        raise KeyError("the error of training, not that of the service")
    assert ended == [0, 1]


def test_an_older_wandb_gets_no_settings_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _wandb(monkeypatch, SimpleNamespace(finish=lambda exit_code: None, dir=""))
    with open_loggers(FoldFolder(tmp_path), {"wandb": {}}):
        pass
    assert "settings" not in asked[0]


# ---------------------------------------------------------------- MLflow


class Opened(pl.loggers.CSVLogger):
    """Stands in for the logger of MLflow: opens after some failures, a file while no other fold opens its own."""

    failures: ClassVar[list[Exception]] = []
    asked: ClassVar[list[Arguments]] = []
    lock = Path()
    patience: ClassVar[dict[str, str | None]] = {}

    def __init__(self, **arguments: Any) -> None:
        super().__init__("elsewhere", version="id")
        assert is_locked(self.lock) is arguments["tracking_uri"].startswith("sqlite:")
        self.patience.update({name: os.environ.get(name) for name in loggers._PATIENCE})
        self.asked.append(arguments)
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Opened]:
    for name in loggers._PATIENCE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(loggers, "_MLFlow", Opened)
    monkeypatch.setattr(Opened, "failures", [])
    monkeypatch.setattr(Opened, "patience", {})
    monkeypatch.setattr(Opened, "asked", [])
    monkeypatch.setattr(Opened, "lock", tmp_path / loggers.LOCK)
    monkeypatch.setattr("amazon_ml.training.loggers.time.sleep", lambda seconds: None)
    return Opened


class _ServiceError(Exception):
    def __init__(self, text: str, error_code: str = "") -> None:
        super().__init__(text)
        self.error_code = error_code


@pytest.mark.parametrize(
    ("address", "error", "opens"),
    [
        ("sqlite:///m.db", _ServiceError("table alembic_version already exists"), True),
        ("https://host", _ServiceError("experiment exists", "RESOURCE_ALREADY_EXISTS"), True),
        ("https://host", _ServiceError("no answer"), False),
        ("sqlite:///m.db", TypeError("unexpected argument"), False),
    ],
)
def test_folds_and_runs_that_begin_together_share_a_new_database(
    mlflow: type[Opened], address: str, error: Exception, opens: bool, tmp_path: Path
) -> None:
    fold, request = FoldFolder(tmp_path / "fold-0"), {"mlflow": {"tracking_uri": address}}
    mlflow.failures[:] = [error, error]
    if opens:
        with open_loggers(fold, request) as services:
            assert [service.version for service in services] == ["id"]
            assert not is_locked(tmp_path / loggers.LOCK)  # other folds open theirs meanwhile
    else:
        with refused(option="loggers.mlflow"), open_loggers(fold, request):
            pass
        assert mlflow.failures == [error]


def test_the_patience_with_a_server_has_a_limit_that_variables_set(
    mlflow: type[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hush@host:5000")
    with caplog.at_level(logging.INFO, "amazon_ml"), open_loggers(FoldFolder(tmp_path / "fold-0"), {"mlflow": {}}):
        pass
    assert (
        mlflow.asked[0]["tracking_uri"] == "https://me:hush@host:5000"
    )  # Lightning's own default is that at its import
    assert mlflow.patience == {**loggers._PATIENCE, "MLFLOW_HTTP_REQUEST_TIMEOUT": "7"}
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ and os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert holds(caplog.text, "host:5000", "mlflow") and "hush" not in caplog.text


def test_the_error_of_a_service_hides_the_password(
    mlflow: type[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hush@host:5000")
    mlflow.failures[:] = [_ServiceError("API request to https://me:hush@host:5000/api/2.0 failed")]
    with refused(option="loggers.mlflow", says="https://***@host:5000/api/2.0") as error:
        open_loggers(FoldFolder(tmp_path / "fold-0"), {"mlflow": {}}).__enter__()
    assert "hush" not in str(error.value)
    assert error.value.__cause__ is None and error.value.__suppress_context__  # a traceback would print it


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to https://me:hush@host:5000/api failed", "to https://***@host:5000/api failed"),
        ("(https://hush@host)", "(https://***@host)"),
        ("postgresql://me:hu@sh@db/x and mysql+pymysql://me:hush@db/y", "postgresql://***@db/x and mysql+pymysql://***@db/y"),
        ("postgresql://me:hu/sh@db/x", "postgresql://***@db/x"),
        ("at http://host:5000/a@b, port 5000", "at http://host:5000/a@b, port 5000"),
        ("postgresql://db/x?user=me&password=hush&x=1", "postgresql://db/x?user=me&password=***&x=1"),
        ("table a@b exists; see https://sqlalche.me/e/21", "table a@b exists; see https://sqlalche.me/e/21"),
    ],
)  # fmt: skip
def test_addresses_in_texts_lose_their_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@given(st.text(string.ascii_letters + string.digits + string.punctuation.replace("@", ""), max_size=40))
def test_no_address_keeps_a_password(rest: str) -> None:
    assert "hush" not in without_secrets(f"https://me:hush{rest.replace('hush', '')}@host")


# ---------------------------------------------------------------- names of curves

_LEGAL = re.compile(r"[a-zA-Z0-9_/. -]{1,250}")


def test_tags_that_differ_in_other_characters_have_curves_of_their_own() -> None:
    tags = ["лес", "река", "é", "e", "a:b", "ab", "..", ".", "/", "a/", "a//b", "a/b", "森" * 300, "森" * 301, "a-xe9-"]
    names = [f"per_tag/f2/{tag}" for tag in tags]
    coded = [curve_name(name) for name in names]
    assert len(set(coded)) == len(tags)
    for name in coded:
        assert _LEGAL.fullmatch(name) and not name.endswith("/") and os.path.normpath(name) == name
    assert [curve_name(name) for name in ("val_f2", "per_tag/f2/a b", "per_tag/f2/well-kept")] == [
        "val_f2", "per_tag/f2/a b", "per_tag/f2/well-kept",
    ]  # fmt: skip


@given(st.lists(st.text("-xe9é/.", min_size=1, max_size=8), min_size=2, unique=True))
def test_different_names_stay_different(names: list[str]) -> None:
    coded = [curve_name(name) for name in names]
    assert len(set(coded)) == len(names) and all(_LEGAL.fullmatch(name) for name in coded)


def test_mlflow_gets_each_curve_under_its_name_and_not_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[int | None, dict[str, float]]] = []
    monkeypatch.setattr(
        pl.loggers.MLFlowLogger, "log_metrics", lambda self, metrics, step: got.append((step, metrics)), raising=True
    )
    tags = ["".join(pair) for pair in product("абвгдежз", repeat=4)][:1500]
    logger = object.__new__(loggers._MLFlow)
    logger.log_metrics({f"per_tag/f2/{tag}": float(place) for place, tag in enumerate(tags)}, 3)
    assert [(step, len(metrics)) for step, metrics in got] == [(3, 1000), (3, 500)]
    sent = {name: value for _, metrics in got for name, value in metrics.items()}
    assert sent == {curve_name(f"per_tag/f2/{tag}"): float(place) for place, tag in enumerate(tags)}
    assert len(sent) == 1500
