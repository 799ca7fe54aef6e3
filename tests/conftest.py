"""Generated tiles and a trained run, made once and shared; nothing here reaches the network."""

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import forked
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; threads that share cores wait for each other
if "-n" in sys.argv and "--cov" not in sys.argv:
    forked.start_for_workers()  # it imports the same as this process, at the same time

from hypothesis import settings
from kaggle_server import KaggleServer

from amazon_ml.cli.main import main
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.reader_file import write_reader
from amazon_ml.decisions.crossfit import Rule
from amazon_ml.decisions.rules import DEFAULT_RULE, make_rules
from amazon_ml.labels import PLANET, TagSet
from amazon_ml.runs.bundle import content_hash
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import config_text
from amazon_ml.runs.folder import Run, probability_table, write_truth
from amazon_ml.runs.hashes import adopt
from amazon_ml.runtime import preemption
from amazon_ml.runtime.files import write_table

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has its background jobs ignore Ctrl-C, and what they start does so, too: here some of it is interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each trainer of Lightning asks for packages that extend it, and a file of every installed package is read. Workers
# have imported Lightning before this.
for _module in {"importlib.metadata", "lightning_fabric.utilities.registry"} & sys.modules.keys():
    pytest.MonkeyPatch().setattr(sys.modules[_module], "entry_points", cache(importlib.metadata.entry_points))

# Each export to ONNX reads the signatures of all operators again, a quarter of the time of a small one.
with contextlib.suppress(ImportError, AttributeError):
    _onnx: Any = importlib.import_module("torch.onnx._internal._lazy_import").onnxscript_apis
    _onnx.get_torchlib_ops = cache(lambda: importlib.import_module(_onnx._name).get_torchlib_ops())

# No test cuts the power, and a run waits for the disk twenty times.
pytest.MonkeyPatch().setattr(os, "fsync", lambda _: None)

settings.register_profile("tests", deadline=None)  # how long an example takes depends on what runs beside it
settings.load_profile("tests")

#: Files of tests that take longest, in this order; `make test ARGS=--durations=20` shows the slowest tests.
LONGEST = (
    "test_slurm", "test_train", "test_ddp", "test_stop", "test_onnx", "test_engines", "test_behaviours",
    "test_notebooks", "test_averaging", "test_tables", "test_blend", "test_teacher", "test_levels", "test_tune",
    "test_agreement", "test_download", "test_compare", "test_python", "test_logging", "test_changed_runs",
    "test_overwriting", "test_datasets", "test_pixels", "test_report_page", "test_bands_files", "test_scenes_shards",
    "test_splits", "test_launch", "test_gather", "test_packed", "test_datamodule",
)  # fmt: skip

#: The smallest of timm's networks, and little of everything else.
TINY = [
    "--data.size=32",
    "--data.batch_size=16",
    "--data.n_folds=3",
    "--model.backbone=test_resnet",
    "--model.pretrained=false",
    "--model.lr=0.01",
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=2",
]


def _keep_results_in_place() -> None:
    """Spare Lightning the search for what to move at each logged figure, a tenth of the time of a small run.

    In workers, which have imported Lightning before this.
    """
    if module := sys.modules.get("pytorch_lightning.trainer.connectors.logger_connector.result"):
        result: Any = module._ResultMetric
        move = result.to

        def move_from_cpu(self: Any, device: Any = None, **named: Any) -> Any:
            there = getattr(self.__dict__.get("value"), "device", None)
            return self if device is not None and there == device else move(self, device, **named)

        result.to = move_from_cpu


_keep_results_in_place()


#: With `TINY`: half as many tiles, in as many steps: an epoch of two of three folds has 8.
FEW = ["--data.max_samples=100", "--data.batch_size=8"]


def pytest_configure(config: pytest.Config) -> None:
    """Start the process that forks others once for all workers, if it is not; in a worker, name the interpreter."""
    if config.getoption("numprocesses", None):
        forked.start_for_workers()
    if hasattr(config, "workerinput"):
        sys.executable = forked.PYTHON


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Fork the workers, too, from the process that has imported what they need: that takes each seven seconds.

    Not where coverage is measured, which each worker begins before it imports.
    """
    if not config.getoption("cov_source", None):
        for spec in specs:
            spec.python = str(forked.python())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files where workers share the tests, so that none is left alone with one in the end."""
    if hasattr(config, "workerinput"):
        ranks = {name: rank for rank, name in enumerate(LONGEST)}
        items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of garbage collection, a fifth of the time of a small run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def demo_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 labelled and 30 untagged generated tiles of 32 px; not to be changed."""
    folder = tmp_path_factory.mktemp("tiles") / "demo"
    write_demo(folder, tiles=200, test_tiles=30, size=32)
    return folder


@pytest.fixture(scope="session")
def trained(demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run of two of three folds; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    options = ["--run", str(run), "--data.root", str(demo_tiles), "--folds=[0, 2]", "--model.tta=flips", *TINY]
    assert main(["train", *options]) == 0
    return run


@pytest.fixture
def former_handlers() -> Iterator[None]:
    """Put back what this process does at a signal, which training changes."""
    former = {sign: signal.getsignal(sign) for sign in preemption.SIGNALS}
    yield
    for sign, handler in former.items():
        signal.signal(sign, handler)


@pytest.fixture
def fit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what follows the folds: rules, picture, submission and page. For tests of weights and curves.

    That part takes more than half of the time of a small run. Processes that a test starts do it all the same.
    """
    leave_out_finish(monkeypatch)


def leave_out_finish(patch: pytest.MonkeyPatch) -> None:
    """Do as `fit_only` does, in a process that a test forked."""
    patch.setattr("amazon_ml.pipeline.train.finish", lambda run, tiles: {})
    patch.setattr("amazon_ml.cli.show.scores.print_scores", lambda metrics: None)


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Leave out the picture and the page of a run, here and in commands that are forked. For runs on plain tiles."""
    if request.node.get_closest_marker("with_pages") is None:
        leave_out_drawings(monkeypatch)
        monkeypatch.setenv(forked.WITHOUT_PAGES, "1")


def leave_out_drawings(patch: pytest.MonkeyPatch) -> None:
    """Leave out the picture and the page of a run."""
    for name in ("_draw", "_report"):
        patch.setattr(f"amazon_ml.pipeline.finish.{name}", lambda *_: None)


def wait_at_steps(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let each step of training take longer."""
    from amazon_ml.models.tagger import TileTagger

    step = TileTagger.training_step

    def late_step(self: TileTagger, *arguments: Any) -> Any:
        time.sleep(seconds)
        return step(self, *arguments)

    patch.setattr(TileTagger, "training_step", late_step)


def leave_out_pages(patch: pytest.MonkeyPatch) -> None:
    """Leave out the picture, the page, tables on the screen and most rules, for tests of files that are read again."""
    leave_out_drawings(patch)
    patch.setattr("amazon_ml.cli.show.scores.print_scores", lambda metrics: None)

    def compared(**options: Any) -> dict[str, Rule]:
        return {name: rule for name, rule in make_rules(**options).items() if name in ("fixed", DEFAULT_RULE)}

    patch.setattr("amazon_ml.runs.tune.make_rules", compared)


@pytest.fixture
def short_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do as `leave_out_pages` does, in all commands of a test but those that are forked."""
    leave_out_pages(monkeypatch)


def run_of(
    folder: Path, p: npt.NDArray[np.float64], true: npt.NDArray[np.uint8], tags: tuple[str, ...] = PLANET.names,
    *, held_out: bool = True,
) -> Path:  # fmt: skip
    """Write a run as far as blending and comparing look at it: tiles of these names, the first of them held out."""
    folder.mkdir(parents=True)
    names = [f"tile_{n}" for n in range(len(true))]
    write_config(folder, {"data.validate": held_out, "seed": 3})
    facts = {"root": "/tiles", "generated": False, "sha256": "abc", "tags": dict.fromkeys(tags, 0)}
    (folder / "provenance.json").write_text(json.dumps({"starts": [], "data": facts}))
    write_reader(folder / "bands.json", TileReader(("r", "g", "b")))
    write_truth(Run(folder), pd.Series(names), TagSet(tags), true)
    write_table(folder / "oof.parquet", probability_table(names[: len(p)], tags, p.astype(np.float32)))
    return as_written(folder)


def write_config(run: Path, options: dict[str, object]) -> None:
    """Write a whole configuration, with these options by their dotted names."""
    (run / "config.yaml").write_text(config_text(RunConfig.load([], {"data.root": "/tiles", **options})))


def as_written(run: Path) -> Path:
    """Record the files of a run as if the run had written them so."""
    for path in Run(run).trusted():
        adopt(path)
    return run


def write_sealed(bundle: Path, content: dict[str, Any]) -> None:
    """Write what a bundle says as if it had always said so."""
    (bundle / "bundle.json").write_text(json.dumps({**content, "sha256": content_hash(content)}))


@pytest.fixture(scope="session")
def real_tiles() -> Path:
    """Give the folder of real tiles named by the caller; tests that use it are marked `real`."""
    named = os.environ.get("AMAZON_ML_REAL_TILES")
    if not named:
        pytest.skip("set AMAZON_ML_REAL_TILES to a folder of the competition's tiles")
    return Path(named)


@pytest.fixture
def kaggle_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """Start a server that the official client takes for Kaggle, and sign in to it by name and key."""
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    server = KaggleServer()
    for name, value in server.environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)  # the client reads its surroundings when it is imported
    server.start()
    yield server
    server.stop()
