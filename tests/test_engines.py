"""Engines and precisions of prediction: they agree with PyTorch in float32, and those that do not are not chosen."""

import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from conftest import FEW, TINY, write_sealed
from one_block import ONE_BLOCK
from refused import refused
from torch import nn

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.tiles import list_tiles
from amazon_ml.data.readers.images import read_tile, resize
from amazon_ml.decisions.threshold_rules import FixedThreshold
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET
from amazon_ml.models import engines
from amazon_ml.models.engines import ENGINES, Engine, Forward, Method, Placement, check_method, has_fast_bf16
from amazon_ml.models.folding import fold_batch_norm
from amazon_ml.models.tagger import TileTagger
from amazon_ml.predictor import Predictor
from amazon_ml.runs.bundle import Bundle, open_bundle
from amazon_ml.runs.engine_choice import Requested, choose_method, settle
from amazon_ml.runs.evaluate import evaluate
from amazon_ml.runs.inference import all_members, load_taggers
from amazon_ml.runtime.files import read_json

TAGS = list(PLANET.names)
with_bf16 = pytest.mark.skipif(not has_fast_bf16(), reason="this CPU does not compute in bfloat16")


@pytest.fixture(scope="module")
def images(demo_tiles: Path) -> Any:
    """Generated tiles, in the order of their names."""
    return np.stack([resize(read_tile(Path(path)), 32) for path in list_tiles([demo_tiles])["path"][:130]])


@pytest.fixture(scope="module")
def bundle(trained: Path) -> Bundle:
    return open_bundle(trained)


def by_plain_loop(bundle: Bundle, images: Any) -> Any:
    with torch.inference_mode():
        each = [
            t.probabilities(torch.from_numpy(images)).numpy() for t in load_taggers(all_members(bundle.networks)[0])
        ]
    return np.mean(each, axis=0)


@pytest.fixture(scope="module")
def expected(bundle: Bundle, images: Any) -> Any:
    """Probabilities by a plain loop over the networks."""
    return by_plain_loop(bundle, images)


def predicted(run: Path, tiles: Path, out: Path, *options: str) -> Any:
    assert main(["predict", str(run), "--tiles", str(tiles), "--out", str(out), *options]) == 0
    return pd.read_parquet(out).sort_values("image_name")[TAGS].to_numpy()


def test_default_is_pytorch_in_float32_bit_for_bit(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    tiles = demo_tiles / "test-jpg"
    plain = predicted(trained, tiles, tmp_path / "a.parquet")
    named = predicted(trained, tiles, tmp_path / "b.parquet", "--engine", "torch", "--precision", "float32")
    assert plain.tobytes() == named.tobytes()


@pytest.mark.parametrize(
    ("engine", "precision", "most"),
    [
        ("torch", "float32", 1e-6),
        ("folded", "float32", 1e-5),
        pytest.param("torch", "bf16", 0.1, marks=with_bf16),
        pytest.param("folded", "bf16", 0.1, marks=with_bf16),
    ],
)
def test_engines_agree_with_a_plain_loop(
    trained: Path, images: Any, expected: Any, engine: Any, precision: Any, most: float
) -> None:
    tagger = Predictor.load(trained, device="cpu", engine=engine, precision=precision, batch_size=100)
    p = tagger.predict_proba(images)
    assert tagger.engine == f"{engine} {precision}" and p.dtype == np.float32
    worst = np.abs(p - expected).max()
    assert worst <= most and (worst > 0 or engine == "torch")


def test_onnx_agrees_with_a_plain_loop(demo_tiles: Path, images: Any, tmp_path: Path, short_finish: None) -> None:
    """With smaller networks than the other engines, since each is exported."""
    run = tmp_path / "run"
    options = ["--folds=[0, 2]", "--model.tta=flips", *TINY, *FEW, "--trainer.max_epochs=1", *ONE_BLOCK]
    assert main(["train", "--run", str(run), "--data.root", str(demo_tiles), *options]) == 0
    tagger = Predictor.load(run, device="cpu", engine="onnx", precision="float32", batch_size=100)
    p = tagger.predict_proba(images)
    assert tagger.engine == "onnx float32" and p.dtype == np.float32
    assert 0 < np.abs(p - by_plain_loop(open_bundle(run), images)).max() <= 1e-4


def wrong(tagger: TileTagger, place: Placement) -> Forward:
    """Answer at once, and wrongly."""
    return lambda images: torch.full((len(images), len(TAGS)), 0.5)


def remembering(shift: float) -> Any:
    """Make an engine that answers as PyTorch does, plus a shift; at once when it sees the same tiles again."""

    def prepare(tagger: TileTagger, place: Placement) -> Forward:
        known: dict[bytes, torch.Tensor] = {}

        def forward(images: torch.Tensor) -> torch.Tensor:
            key = images.numpy().tobytes()
            if key not in known:
                with torch.inference_mode():
                    known[key] = tagger.probabilities(images) + shift
            return known[key]

        return forward

    return prepare


@pytest.fixture
def only_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave PyTorch as the only engine, for tests that add one; exporting networks takes seconds."""
    for name in ("folded", "onnx"):
        monkeypatch.delitem(ENGINES, name)


def test_auto_refuses_an_engine_that_is_off_and_says_why(
    trained: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(ENGINES, "wrong", Engine(wrong, ("float32",)))
    monkeypatch.delitem(ENGINES, "onnx")
    caplog.set_level(logging.INFO)
    plain = predicted(trained, demo_tiles, tmp_path / "a.parquet")
    chosen = predicted(trained, demo_tiles, tmp_path / "b.parquet", "--engine", "auto")
    assert np.abs(plain - chosen).max() <= 2e-3
    said = [record.getMessage() for record in caplog.records if "engine_choice" in record.name]
    assert said[0].startswith("engine ") and not said[0].startswith("engine wrong")
    assert any("wrong float32" in line and "not chosen" in line for line in said[1:])


@pytest.mark.usefixtures("only_torch")
def test_auto_chooses_the_fastest_of_those_that_agree(
    bundle: Bundle, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "wrong", Engine(wrong, ("float32",)))
    monkeypatch.setitem(ENGINES, "remembers", Engine(remembering(0), ("float32",)))
    chosen = choose_method(bundle, Requested("auto"), lambda _: images[:64], torch.device("cpu"))
    assert chosen == Method("remembers", "float32")


@pytest.mark.usefixtures("only_torch")
def test_auto_refuses_an_engine_that_decides_otherwise_on_tags(
    bundle: Bundle, images: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "shifted", Engine(remembering(1.5e-3), ("float32",)))
    sample, device = images[:64], torch.device("cpu")
    p = expected[:64]
    # The threshold that most probabilities cross when they are shifted, and one that none crosses.
    crossing = max(np.unique(p) + 1e-3, key=lambda cut: ((p < cut) & (p + 1.5e-3 >= cut)).sum())
    assert ((p < crossing) & (p + 1.5e-3 >= crossing)).mean() > 1e-3
    for threshold, name in ((float(crossing), "torch"), (0.999, "shifted")):
        rule = FixedThreshold(threshold).fit(p, np.ones_like(p, dtype=np.uint8))
        decided = replace(bundle, decision=replace(bundle.decision, rule=rule))
        chosen = choose_method(decided, Requested("auto", "float32"), lambda _: sample, device)
        assert chosen.engine == name


def test_without_onnxruntime_it_says_what_to_install_and_auto_goes_on(
    trained: Path, bundle: Bundle, images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_tiles: Path,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as Python marks what cannot be imported
    out = tmp_path / "p.parquet"
    assert main(["predict", str(trained), "--tiles", str(demo_tiles), "--out", str(out), "--engine", "onnx"]) == 2
    said = capsys.readouterr().err
    assert "onnxruntime" in said and "pip install 'amazon-ml[onnx]'" in said and not out.exists()
    caplog.set_level(logging.INFO)
    chosen = choose_method(bundle, Requested("auto", "float32"), lambda _: images[:8], torch.device("cpu"))
    assert chosen.engine in ("torch", "folded")
    assert any("onnx float32 cannot be used" in record.getMessage() for record in caplog.records)


def test_bf16_is_refused_where_the_cpu_lacks_it(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_fast_bf16", lambda: False)
    with pytest.raises(InputError) as caught:
        Predictor.load(trained, device="cpu", precision="bf16")
    assert caught.value.option == "precision" and caught.value.remedy
    check_method(Method("torch", "bf16"), torch.device("cuda"))  # a GPU has it


@pytest.mark.parametrize(
    ("requested", "option"),
    [(("onnx", "bf16"), "precision"), (("auto", "bf16"), "precision"), (("tensorrt", None), "engine"),
     (("torch", "fp8"), "precision")],
)  # fmt: skip
def test_what_cannot_be_is_refused(trained: Path, requested: Any, option: str) -> None:
    with pytest.raises(InputError) as caught:
        Predictor.load(trained, device="cpu", engine=requested[0], precision=requested[1])
    assert caught.value.option == option


def test_onnx_is_for_the_cpu() -> None:
    with pytest.raises(InputError) as caught:
        check_method(Method("onnx", "float32"), torch.device("cuda"))
    assert caught.value.option == "engine"


def test_auto_of_a_predictor_is_decided_once_with_the_first_tiles(
    trained: Path, images: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ENGINES, "onnx")
    tagger = Predictor.load(trained, device="cpu", engine="auto", precision="float32")
    assert tagger.engine is None and tagger.predict_proba(images[:0]).shape == (0, 17) and tagger.engine is None
    p = tagger.predict_proba(images)
    assert np.abs(p - expected).max() < 2e-3
    first = tagger.engine
    assert first in ("torch float32", "folded float32")
    monkeypatch.setitem(ENGINES, "remembers", Engine(remembering(0), ("float32",)))
    tagger.predict_proba(images)
    assert tagger.engine == first


def test_few_tiles_decide_nothing(trained: Path, images: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENGINES, "onnx")
    tagger = Predictor.load(trained, device="cpu", engine="auto")
    for count in (1, 63):
        np.testing.assert_allclose(tagger.predict_proba(images[:count]), expected[:count], atol=1e-6)
        assert tagger.engine is None
    tagger.predict_proba(images[:64])
    assert tagger.engine is not None
    with pytest.raises(InputError) as caught:
        tagger.predict_proba(np.array(3, dtype=np.uint8))
    assert caught.value.option == "tiles"


def test_a_named_engine_is_not_replaced_and_one_that_fails_does_not_end_the_choice(
    bundle: Bundle, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(tagger: TileTagger, place: Placement) -> Forward:
        raise RuntimeError("no memory")

    monkeypatch.setitem(ENGINES, "folded", Engine(failing))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    cpu = torch.device("cpu")
    assert choose_method(bundle, Requested("auto", "float32"), lambda _: images[:64], cpu).engine == "torch"
    told: dict[str, dict[str, Any]] = {
        "folded": {"option": "engine", "says": ["folded float32", "no memory"]}, "onnx": {"says": "onnxruntime"}
    }  # fmt: skip
    for engine, fields in told.items():
        with refused(**fields):
            choose_method(bundle, Requested(engine, "auto"), lambda _: images[:64], cpu)


def test_a_choice_may_be_replaced_by_that_of_parts(
    trained: Path, images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ENGINES, "onnx")
    file = tmp_path / "engine.json"
    file.write_text('{"engine": "folded", "precision": "float32"}')
    tagger = Predictor.load(trained, device="cpu", engine="auto", precision="float32")
    tagger.predict_proba(images[:64])
    with tagger.recorded(file, has_parts=True):
        assert tagger.engine == "folded float32"


def test_evaluate_names_the_engine_that_is_not_the_default(trained: Path, demo_tiles: Path) -> None:
    assert "engine" not in evaluate(trained, demo_tiles)
    folded = evaluate(trained, demo_tiles, engine="folded", precision="float32")
    assert folded["engine"] == "folded float32"


def shard(run: Path, tiles: Path, parts: Path, number: int, *options: str) -> int:
    call = ["predict", str(run), "--tiles", str(tiles), "--out", str(parts), "--shard", f"{number}/2"]
    return main([*call, *options])


@pytest.fixture(scope="module")
def small_batches(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bundle that predicts fewer tiles at once, so that the generated tiles are several batches."""
    bundle = Path(shutil.copytree(trained / "bundle", tmp_path_factory.mktemp("bundle") / "bundle"))
    content = read_json(bundle / "bundle.json")
    content["predict"]["batch_size"] = 100
    write_sealed(bundle, content)
    return bundle


def test_parts_of_one_prediction_have_one_engine(
    small_batches: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ENGINES, "onnx")
    parts, whole = tmp_path / "parts", tmp_path / "p.parquet"
    assert shard(small_batches, demo_tiles, parts, 0, "--engine", "folded") == 0
    assert shard(small_batches, demo_tiles, parts, 1) == 2  # PyTorch
    assert shard(small_batches, demo_tiles, parts, 1, "--engine", "auto", "--precision", "float32") == 2
    assert not (parts / "part-00001.parquet").exists()
    assert shard(small_batches, demo_tiles, parts, 1, "--engine", "folded") == 0
    assert main(["merge", str(parts), "--out", str(whole)]) == 0
    single = predicted(small_batches, demo_tiles, tmp_path / "s.parquet", "--engine", "folded")
    assert pd.read_parquet(whole).sort_values("image_name")[TAGS].to_numpy().tobytes() == single.tobytes()
    other, out = tmp_path / "other", tmp_path / "q.parquet"
    for number in (0, 1):
        assert shard(small_batches, demo_tiles, other, number) == 0
    for name in ("part-00001.parquet", "hashes/part-00001.json"):
        shutil.copy(parts / name, other / name)
    assert main(["merge", str(other), "--out", str(out)]) == 2 and not out.exists()


@pytest.mark.usefixtures("only_torch")
def test_shards_with_auto_use_what_the_first_one_chose(
    small_batches: Path, demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tmp_path / "parts"
    monkeypatch.setitem(ENGINES, "remembers", Engine(remembering(0), ("float32",)))
    assert shard(small_batches, demo_tiles, parts, 0, "--engine", "auto") == 0
    monkeypatch.setitem(ENGINES, "faster", Engine(remembering(0), ("float32",)))
    assert shard(small_batches, demo_tiles, parts, 1, "--engine", "auto") == 0
    named = [read_json(parts / "hashes" / f"part-0000{number}.json")["engine"] for number in (0, 1)]
    assert named == ["remembers float32"] * 2
    assert main(["merge", str(parts), "--out", str(tmp_path / "p.parquet")]) == 0


def test_a_recorded_engine_is_used_or_the_call_is_refused(trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    folded = Predictor.load(trained, device="cpu", engine="folded", precision="float32")
    with folded.recorded(file, has_parts=False):
        pass
    auto = Predictor.load(trained, device="cpu", engine="auto")
    with auto.recorded(file, has_parts=True):
        assert auto.engine == "folded float32"
    with pytest.raises(InputError) as caught, Predictor.load(trained, device="cpu").recorded(file, has_parts=True):
        pass
    assert caught.value.option == "engine" and caught.value.file == tmp_path
    for content in ('{"engine": "other"}', '{"engine": ["torch"]}', '{"engine": "torch", "precision": {}}'):
        file.write_text(content)
        with pytest.raises(InputError) as caught:
            settle(file, Requested(), Method)
        assert caught.value.file == file


def network(name: str, **options: Any) -> nn.Module:
    """Make a network whose norms do something, as after training."""
    torch.manual_seed(0)
    made: nn.Module = timm.create_model(name, pretrained=False, num_classes=17, **options).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            for tensor, low, high in ((module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 2.0),
                                      (module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):  # fmt: skip
                nn.init.uniform_(tensor, low, high)
    return made


@pytest.mark.parametrize(
    ("name", "norms"), [("tf_efficientnet_lite0", 49), ("regnetx_002", 44), ("resnet18", 20), ("densenet121", 59)]
)
def test_a_folded_network_equals_the_network(name: str, norms: int) -> None:
    """Half of the norms of a DenseNet stand before convolutions, and stay."""
    own = network(name)
    before = {key: value.clone() for key, value in own.state_dict().items()}
    tiles = torch.randn(3, 3, 64, 64)
    folded, count = fold_batch_norm(own, torch.randn(2, 3, 64, 64))
    assert count == norms
    with torch.no_grad():
        expected, found = own(tiles), folded(tiles)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1)
    assert all(torch.equal(value, before[key]) for key, value in own.state_dict().items())


class Twice(nn.Module):
    """Uses a convolution before a norm and elsewhere, or in two places."""

    def __init__(self, *, elsewhere: bool) -> None:
        super().__init__()
        self.first, self.norm, self.elsewhere = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), elsewhere
        nn.init.constant_(self.norm.weight, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        convolved = self.first(x)
        result: torch.Tensor = self.norm(convolved)
        more: torch.Tensor = convolved if self.elsewhere else self.norm(self.first(result))
        return result + more


@pytest.mark.parametrize("own", [Twice(elsewhere=True), Twice(elsewhere=False)])
def test_a_convolution_that_is_used_twice_is_not_folded(own: nn.Module) -> None:
    assert fold_batch_norm(own.eval(), torch.randn(2, 3, 8, 8)) == (own, 0)


@pytest.mark.parametrize(("name", "size"), [("test_vit", 160), ("nf_resnet26", 64)])
def test_a_network_without_batch_norm_is_left_as_it_is(name: str, size: int) -> None:
    own = network(name)
    assert fold_batch_norm(own, torch.randn(2, 3, size, size)) == (own, 0)
