"""What training can do: for each file of `conf`, and with each loss, a run that is stopped, resumed and read."""

import shutil
import signal
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from conftest import leave_out_finish, leave_out_pages
from made_tiles import values, write_tif

from amazon_ml.cli.main import main
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.data.store.pack import pack_folder
from amazon_ml.labels import PLANET
from amazon_ml.models.losses import LOSSES
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.folder import Run

CONF = Path(__file__).parent / "conf"
FILES = sorted(path.name for path in CONF.glob("*.yaml"))
#: Each file, and each loss: one after the other they are trained together, and what is left of either alone.
CASES: dict[str, tuple[str, list[str]]] = {
    f"{file.removesuffix('.yaml')} {loss or ''}".strip(): (file, [f"--model.loss={loss}"] if loss else [])
    for file, loss in zip_longest(FILES, LOSSES, fillvalue="")
    if file
} | {f"loss {loss}": ("plain.yaml", [f"--model.loss={loss}"]) for loss in list(LOSSES)[len(FILES) :]}
TAGS = list(PLANET.names)

pytestmark = pytest.mark.usefixtures("former_handlers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what the files of `conf` name: `tiles`, a `store` of them, `tifs` of four bands, and `soft.csv`."""
    folder = tmp_path_factory.mktemp("behaviours")
    write_demo(folder / "tiles", tiles=48, test_tiles=8, size=16)
    pack_folder(folder / "tiles", size=16, out=folder / "store")
    shutil.copytree(folder / "tiles", folder / "tifs", ignore=shutil.ignore_patterns("*.jpg"))
    for number, jpg in enumerate(sorted((folder / "tiles").rglob("*.jpg"))):
        write_tif((folder / "tifs" / jpg.relative_to(folder / "tiles")).with_suffix(".tif"), values(number))
    (folder / "soft.csv").write_text("image_name,tag,probability\ntrain_0,clear,0.5\ntrain_1,haze,0.25\n")
    return folder


def _train(run: Path, case: str) -> int:
    file, options = CASES[case]
    return main(["train", "--config", str(CONF / file), "--run", str(run), *options])


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(Run(run).fold(0).weights)


@pytest.mark.parametrize("case", CASES)
def test_a_run_is_stopped_resumed_and_read(
    case: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    with monkeypatch.context() as patch:
        leave_out_finish(patch)
        assert _train(undisturbed, case) == 0
    curves = pd.read_csv(Run(undisturbed).fold(0).metrics)["train_loss_epoch"].dropna()
    assert np.isfinite(curves).all() and curves.iloc[-1] < curves.iloc[0]
    with monkeypatch.context() as patch:
        _stop_in_the_second_epoch(patch)
        assert _train(run, case) == 85
    leave_out_pages(monkeypatch)
    assert _train(run, case) == 0
    stopped, whole = _weights(run), _weights(undisturbed)
    assert stopped.keys() == whole.keys() and all(torch.equal(stopped[key], whole[key]) for key in whole)
    _check_predictions(run, tmp_path / "p.parquet")


def _stop_in_the_second_epoch(patch: pytest.MonkeyPatch) -> None:
    """Send a signal to this process in the second step of the second epoch."""
    step = TileTagger.training_step

    def step_or_signal(self: TileTagger, batch: Any, index: int) -> torch.Tensor:
        if (self.current_epoch, index) == (1, 1):
            signal.raise_signal(signal.SIGUSR1)
        return step(self, batch, index)

    patch.setattr(TileTagger, "training_step", step_or_signal)


def _check_predictions(run: Path, out: Path) -> None:
    """Compare what the run predicts of the untagged tiles with what it stored of them."""
    config = RunConfig.load([str(run / "config.yaml")])
    tiles = Path(config.data.root) / "test-jpg"
    assert main(["predict", str(run), "--tiles", str(tiles), "--out", str(out)]) == 0
    stored = pd.read_parquet(run / "test.parquet").set_index("image_name")
    predicted = pd.read_parquet(out).set_index("image_name")[TAGS]
    assert len(predicted)
    np.testing.assert_allclose(predicted, stored.loc[predicted.index, TAGS], atol=1e-5)
    total = pd.read_parquet(run / "oof.parquet")[list(PLANET.exactly_one)].sum(axis=1)
    assert np.allclose(total, 1, atol=1e-5) == (config.model.loss == "grouped_softmax")
