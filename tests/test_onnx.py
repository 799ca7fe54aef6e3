"""The ONNX file against PyTorch: the same probabilities from uint8 tiles, whatever the batch."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from conftest import FEW, TINY, leave_out_pages
from one_block import ONE_BLOCK
from refused import refused
from torch import nn

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.tiles import list_tiles
from amazon_ml.data.readers.images import read_tile, resize
from amazon_ml.decisions.rules import rule_from_dict
from amazon_ml.errors import WorkError
from amazon_ml.labels import PLANET
from amazon_ml.models import onnx_export
from amazon_ml.models.engines import ENGINES, Placement
from amazon_ml.models.onnx_export import OPSET, Averaged, write_onnx
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.tta import MEANS, VIEWS


def run_onnx(file: Path, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    probabilities: npt.NDArray[np.float32] = session.run(None, {"tiles": tiles})[0]
    return probabilities


def random_tiles(count: int, edge: int, bands: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, edge, edge, bands), dtype=np.uint8)


def tagger(backbone: str, seed: int, bands: int = 3, **options: Any) -> TileTagger:
    torch.manual_seed(seed)
    return TileTagger(list(PLANET.names), backbone, pretrained=False, size=32, in_chans=bands, **options).eval()


@pytest.fixture(scope="module")
def run(demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two networks that average over flips; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    options = ["--folds=[0, 2]", "--model.tta=flips", *TINY, *FEW, "--trainer.max_epochs=1", *ONE_BLOCK]
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pages(patch)
        assert main(["train", "--run", str(run), "--data.root", str(demo_tiles), *options]) == 0
    return run


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "tagger.onnx"
    assert main(["export", str(run / "bundle"), "--onnx", str(file)]) == 0
    return file


def test_equals_predict_on_generated_tiles(exported: Path, run: Path, demo_tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    assert main(["predict", str(run), "--tiles", str(demo_tiles), "--out", str(out)]) == 0
    expected = pd.read_parquet(out).set_index("image_name")
    listed = list_tiles([demo_tiles])
    tiles = np.stack([resize(read_tile(Path(path)), 32) for path in listed["path"]])
    p = run_onnx(exported, tiles)
    assert p.dtype == np.float32 and len(p) == 230
    assert np.abs(p - expected.loc[listed["image_name"], list(PLANET.names)].to_numpy()).max() < 1e-4


def test_explains_itself(exported: Path, run: Path) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    facts: dict[str, Any] = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert facts["tags"] == list(PLANET.names) and facts["size"] == 32
    assert facts["tiles"] == json.loads((run / "bands.json").read_text())
    decision = json.loads((run / "decision.json").read_text())
    assert facts["decision"]["rule"] == decision["rule"] and facts["decision"]["beta"] == decision["beta"]
    tiles = random_tiles(50, 32, 3)
    predicted = rule_from_dict(facts["decision"]["parameters"]).predict(run_onnx(exported, tiles))
    assert predicted.shape == (50, 17)


@pytest.mark.parametrize(
    ("backbone", "bands", "options"),
    [
        ("test_vit", 4, {"backbone_args": {"depth": 1}}),  # `exported` has two networks
        ("test_efficientnet", 3, {"tta": "d4", "tta_mean": "logit", "loss": "grouped_softmax"}),
    ],
)
def test_equals_the_network_for_any_number_of_tiles(
    tmp_path: Path, backbone: str, bands: int, options: dict[str, Any]
) -> None:
    file = tmp_path / "t.onnx"
    assert write_onnx(file, Averaged([tagger(backbone, 0, bands, **options)]), (32, 32, bands), {}) < 1e-4
    with torch.no_grad():
        for count in (1, 2, 7):
            tiles = random_tiles(count, 32, bands)
            expected = tagger(backbone, 0, bands, **options).probabilities(torch.from_numpy(tiles))
            assert np.abs(run_onnx(file, tiles) - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize("tta", VIEWS)
@pytest.mark.parametrize("tta_mean", MEANS)
@pytest.mark.parametrize("loss", ["bce", "grouped_softmax"])
def test_what_is_exported_is_the_mean_of_networks(tta: str, tta_mean: str, loss: str) -> None:
    taggers = [tagger("test_resnet", seed, tta=tta, tta_mean=tta_mean, loss=loss) for seed in (0, 1, 2)]
    tiles = torch.from_numpy(random_tiles(5, 32, 3))
    with torch.no_grad():
        each = [one.probabilities(tiles) for one in taggers]
        torch.testing.assert_close(Averaged(taggers)(tiles), torch.stack(each).mean(dim=0), atol=1e-6, rtol=0)


class Plain(nn.Module):
    """Gives the mean of each band."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return tiles.float().mean(dim=(1, 2)) / 255


class Other(Plain):
    """Says something else when it is exported."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return super().forward(tiles) + (0.01 if torch.compiler.is_compiling() else 0.0)


def test_file_that_differs_is_not_written(tmp_path: Path) -> None:
    assert write_onnx(tmp_path / "p.onnx", Plain(), (32, 32, 3), {}) < 1e-4
    (tmp_path / "p.onnx").unlink()
    with pytest.raises(WorkError, match=rf"^{re.escape(str(tmp_path))}/t\.onnx .*\b1\.0e-02"):
        write_onnx(tmp_path / "t.onnx", Other(), (32, 32, 3), {})
    assert list(tmp_path.iterdir()) == []


class Weighted(Plain):
    """Has 48 kB of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((3, 4096), 0.5))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return (super().forward(tiles) @ self.weights)[:, :5]


def test_weights_that_do_not_fit_into_one_file_are_refused_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "MOST_WEIGHTS", 40_000)
    (tmp_path / "t.onnx").write_bytes(b"former")
    with refused(option="onnx", says=["`data.teacher`"]):
        write_onnx(tmp_path / "t.onnx", Weighted(), (32, 32, 3), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"t.onnx": b"former"}


def test_constants_that_the_exporter_adds_count_as_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "MOST_WEIGHTS", 40_000)
    monkeypatch.setattr(onnx_export, "check_size", lambda network: None)
    with refused(option="onnx"):
        write_onnx(tmp_path / "t.onnx", Weighted(), (32, 32, 3), {})
    assert list(tmp_path.iterdir()) == []


def test_large_weights_lie_in_the_file_itself_which_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As for weights of more than 1.5 GiB, which PyTorch puts into a second file.
    monkeypatch.setattr("torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD", 1000)
    for _ in range(2):
        write_onnx(tmp_path / "t.onnx", Weighted(), (32, 32, 3), {})
        assert [path.name for path in tmp_path.iterdir()] == ["t.onnx"]
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "t.onnx").rename(tmp_path / "elsewhere" / "u.onnx")
    tiles = random_tiles(2, 32, 3)
    with torch.no_grad():
        expected = Weighted()(torch.from_numpy(tiles)).numpy()
    assert np.abs(run_onnx(moved, tiles) - expected).max() < 1e-4


def test_engine_onnx_computes_with_weights_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD", 1000)
    monkeypatch.setattr(onnx_export, "MOST_WEIGHTS", 1000)
    tiles = torch.from_numpy(random_tiles(2, 32, 3))
    forward = ENGINES["onnx"].prepare(tagger("test_resnet", 0), Placement(torch.device("cpu")))
    expected = tagger("test_resnet", 0).probabilities(tiles).detach()
    assert float((forward(tiles) - expected).abs().max()) < 1e-4


class Asking(Plain):
    """Goes by the values of tiles, which no graph can."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return super().forward(tiles) if int(tiles.sum()) % 2 else tiles.float().amax(dim=(1, 2))


def test_network_that_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with refused(says=["ONNX", "data-dependent"]):
        write_onnx(tmp_path / "t.onnx", Asking(), (32, 32, 3), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_packages_it_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as Python marks what cannot be imported
    assert main(["export", str(run), "--onnx", str(tmp_path / "t.onnx")]) == 2
    told = capsys.readouterr().err
    assert f"ONNX needs the package {package}" in told and "pip install 'amazon-ml[onnx]'" in told


@pytest.mark.real
def test_equals_predict_on_real_tiles(real_tiles: Path, tmp_path: Path) -> None:
    run, out, file = tmp_path / "run", tmp_path / "p.parquet", tmp_path / "t.onnx"
    options = ["--run", str(run), "--data.root", str(real_tiles), *TINY, "--data.max_samples=64", "--model.tta=d4"]
    assert main(["train", *options]) == 0
    catalog = read_catalog(real_tiles)
    chosen = catalog.labelled.iloc[:64]
    folder = Path(chosen["path"].iloc[0]).parent
    assert main(["predict", str(run), "--tiles", str(folder), "--out", str(out)]) == 0
    assert main(["export", str(run), "--onnx", str(file)]) == 0
    expected = pd.read_parquet(out).set_index("image_name").loc[chosen["image_name"], list(PLANET.names)]
    tiles = np.stack([resize(read_tile(Path(path)), 32) for path in chosen["path"]])
    assert np.abs(run_onnx(file, tiles) - expected.to_numpy()).max() < 1e-4
