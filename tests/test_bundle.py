"""The bundle: it stands alone, gives what its run gave, follows the decision, and refuses what does not fit."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pandas as pd
import pytest
import timm
from conftest import TINY, write_sealed
from refused import command_refused, holds, refused

from amazon_ml.cli.main import main
from amazon_ml.labels import PLANET
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.weights import save_weights
from amazon_ml.predictor import Predictor
from amazon_ml.runs.bundle import content_hash
from amazon_ml.settings import settings_of

pytestmark = pytest.mark.usefixtures("without_pages")

TAGS = list(PLANET.names)


def said(bundle: Path) -> Any:
    return json.loads((bundle / "bundle.json").read_text())


def predicted(source: Path, tiles: Path, out: Path) -> pd.DataFrame:
    assert main(["predict", str(source), "--tiles", str(tiles), "--out", str(out), "--overwrite"]) == 0
    return pd.read_parquet(out).set_index("image_name")


@pytest.fixture
def bundle(trained: Path, tmp_path: Path) -> Path:
    """Copy the bundle of a run, to be broken."""
    return Path(shutil.copytree(trained / "bundle", tmp_path / "bundle"))


@pytest.fixture(scope="module")
def one_fold(demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of one network of three; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "one"
    assert main(["train", "--run", str(run), "--data.root", str(demo_tiles), "--model.tta=d4", *TINY]) == 0
    return run


# ---------------------------------------------------------------- what it holds


def test_other_users_can_read_all_files_that_they_may_read(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    usual = (tmp_path / "new").stat().st_mode
    assert {path.name for path in (trained / "bundle").iterdir() if path.stat().st_mode != usual} == set()


def test_names_tags_hashes_versions_and_scores(trained: Path) -> None:
    content = said(trained / "bundle")
    assert content["tags"] == TAGS
    assert content["weights"] == {
        f"fold-{n}.safetensors": hashlib.sha256((trained / f"fold-{n}" / "model.safetensors").read_bytes()).hexdigest()
        for n in (0, 2)
    }
    assert content["decision"] == json.loads((trained / "decision.json").read_text())
    metrics, provenance = (json.loads((trained / f"{name}.json").read_text()) for name in ("metrics", "provenance"))
    assert content["metrics"]["fbeta"] == metrics["fbeta"]
    assert content["data"]["sha256"] == provenance["data"]["sha256"]
    assert content["trained_with"] == provenance["made_with"]
    assert content["tiles"]["bands"] == ["r", "g", "b"] and content["tiles"]["size"] == 32
    assert content["network"]["backbone"] == "test_resnet" and content["network"]["tta"] == "flips"


def test_every_option_of_the_network_is_kept_or_matters_in_training_only(trained: Path) -> None:
    """A new option of the network has to be put into the bundle, or below."""
    in_training = {
        "pretrained", "progressive_resizing", "loss_args", "lr", "weight_decay", "layer_decay", "unfreeze", "schedule",
        "warmup", "ema", "swa", "compile",
    }  # fmt: skip
    in_weights = {"weights", "weights_from", "weights_sensor", "mean", "std", "normalization"}
    kept = set(said(trained / "bundle")["network"])
    assert kept | in_training | in_weights == {setting.name for setting in settings_of(ModelConfig)}


def test_tells_no_paths_of_the_machine(trained: Path, demo_tiles: Path) -> None:
    told = (trained / "bundle" / "bundle.json").read_text()
    assert str(demo_tiles) not in told and str(trained) not in told


def test_holds_plain_data_only(trained: Path) -> None:
    names = {file.name for file in (trained / "bundle").iterdir()}
    assert names == {"bundle.json", "fold-0.safetensors", "fold-2.safetensors", "known_tiles.safetensors"}
    for name in names - {"bundle.json"}:
        raw = (trained / "bundle" / name).read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        assert 8 + length + max(entry["data_offsets"][1] for entry in header.values()) == len(raw)


# ---------------------------------------------------------------- it gives what its run gave


def test_alone_in_another_process_it_scores_as_after_training(one_fold: Path, demo_tiles: Path, tmp_path: Path) -> None:
    held_out = pd.read_parquet(one_fold / "oof.parquet").set_index("image_name")
    tiles = tmp_path / "elsewhere" / "tiles"
    (tiles / "train-jpg").mkdir(parents=True)
    for name in held_out.index:
        shutil.copy(demo_tiles / "train-jpg" / f"{name}.jpg", tiles / "train-jpg")
    table = pd.read_csv(demo_tiles / "train_v2.csv").set_index("image_name")
    table.loc[held_out.index].to_csv(tiles / "train_v2.csv")
    run = Path(shutil.copytree(one_fold, tmp_path / "run"))
    bundle = Path(shutil.copytree(run / "bundle", tmp_path / "elsewhere" / "handed on"))
    shutil.rmtree(run)
    scores = tmp_path / "scores.json"
    words = ["evaluate", str(bundle), "--data", str(tiles), "--json", str(scores)]
    assert forked.run(words).returncode == 0
    at_training = json.loads((one_fold / "metrics.json").read_text())["fbeta"]
    now = json.loads(scores.read_text())["fbeta"]
    assert now["predicted"] == at_training["fitted"]
    assert now["fixed_0.2"] == at_training["fixed_0.2"]
    p = predicted(bundle, tiles, tmp_path / "p.parquet").loc[held_out.index, TAGS]
    np.testing.assert_allclose(p, held_out[TAGS], rtol=0, atol=1e-6)


def test_predicts_as_the_run_that_it_is_of(trained: Path, bundle: Path, demo_tiles: Path, tmp_path: Path) -> None:
    tiles = demo_tiles / "test-jpg"
    of_run, of_bundle = (predicted(source, tiles, tmp_path / "p.parquet") for source in (trained, bundle))
    assert of_bundle.equals(of_run)


def test_one_tile_alone_as_among_others(bundle: Path, demo_tiles: Path, tmp_path: Path) -> None:
    among = predicted(bundle, demo_tiles / "test-jpg", tmp_path / "all.parquet")
    for name in among.index[[0, 13, -1]]:
        (tmp_path / name).mkdir()
        shutil.copy(demo_tiles / "test-jpg" / f"{name}.jpg", tmp_path / name)
        alone = predicted(bundle, tmp_path / name, tmp_path / "one.parquet")
        np.testing.assert_allclose(alone[TAGS], among.loc[[name], TAGS], rtol=0, atol=1e-6)
        assert alone["tags"].tolist() == [among.loc[name, "tags"]]


def test_evaluating_on_what_it_was_trained_on_is_said(
    bundle: Path, demo_tiles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["evaluate", str(bundle), "--data", str(demo_tiles)]) == 0
    assert "200 of these 200 tiles have names of tiles" in caplog.text


# ---------------------------------------------------------------- it does not fall behind


def test_follows_the_decision(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    assert main(["tune", str(run), "--rule", "global"]) == 0
    assert said(run / "bundle")["decision"] == json.loads((run / "decision.json").read_text())
    assert said(run / "bundle")["decision"]["rule"] == "global"


def test_tuning_that_fails_leaves_none_rather_than_an_old_one(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "metrics.json").unlink()
    (run / "metrics.json").mkdir()  # cannot be written
    assert main(["tune", str(run), "--rule", "global"]) == 1
    assert not (run / "bundle" / "bundle.json").exists()


def test_export_writes_it_anew_of_the_networks_there_are(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    shutil.rmtree(run / "fold-0")
    assert main(["export", str(run)]) == 0
    files = {file.name for file in (run / "bundle").iterdir()}
    assert files == {"bundle.json", "fold-2.safetensors", "known_tiles.safetensors"}
    assert list(said(run / "bundle")["weights"]) == ["fold-2.safetensors"]
    shutil.rmtree(run / "bundle")
    assert main(["export", str(run)]) == 0
    assert list(said(run / "bundle")["weights"]) == ["fold-2.safetensors"]


# ---------------------------------------------------------------- what does not fit is refused


def told(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("amazon-ml: ")]
    assert len(lines) == 1
    return lines[0]


def bundle_refused(bundle: Path, tiles: Path, capsys: pytest.CaptureFixture[str]) -> str:
    out = bundle.parent / "p.csv"
    message = command_refused(capsys, "predict", bundle, "--tiles", tiles, "--out", out)
    assert not out.exists()
    return message


def _swap(content: Any) -> None:
    content["tags"][:2] = content["tags"][1::-1]


def _rename(content: Any) -> None:
    content["tags"][0] = "sunny"


def _shorten(content: Any) -> None:
    content["decision"]["parameters"]["thresholds"].pop()


def _outside(content: Any) -> None:
    content["weights"] = {"../fold-0.safetensors": content["weights"]["fold-0.safetensors"]}


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (_swap, [1, *TAGS[:2]]),
        (_rename, ["sunny, clear"]),
        (_shorten, ["decision"]),
        (_outside, ["'../fold-0.safetensors'"]),
        (lambda content: content.update(format=2), [2, 1]),
        (lambda content: content.update(weights={}), ["weights"]),
        (lambda content: content["network"].update(backbone="resnet999"), ["'resnet999'"]),
        (lambda content: content["network"].update(backbone="test_vit"), ["fold-0.safetensors"]),
        (lambda content: content["network"].update(tta="some"), ["tta", "'some'"]),
        (lambda content: content["network"].update(loss="guess"), ["'guess'"]),
        (lambda content: content["tiles"].update(resizing="nearest"), ["nearest", "area"]),
        (lambda content: content["tiles"].update(bands=["r", "g"]), ["fold-0.safetensors", "mean"]),
        (lambda content: content["tiles"].update(bands=["r", "g", "x"]), ["'rgx'"]),
        (lambda content: content["tiles"].update(rgb_source="png"), ["png"]),
        (lambda content: content["tiles"].update(tif_order="bgrr"), ["'bgrr'"]),
        (lambda content: content["tiles"].update(size=4), ["size", 8, 4]),
        (lambda content: content["tiles"].update(size=31.5), ["size", 31.5]),
        (lambda content: content["predict"].update(batch_size=0), ["batch_size", 1, 0]),
        (lambda content: content["network"].update(backbone=None), ["backbone", None]),
        (lambda content: content["network"].update(backbone_args=[]), ["backbone_args", []]),
        (lambda content: content["network"].update(tta=["d4"]), ["tta", ["d4"]]),
        (lambda content: content["table"].update(tag_separator=5), ["tag_separator", 5]),
    ],
)
def test_what_does_not_fit(
    bundle: Path,
    demo_tiles: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Any], None],
    values: list[object],
) -> None:
    content = said(bundle)
    change(content)
    write_sealed(bundle, content)
    answer = bundle_refused(bundle, demo_tiles / "test-jpg", capsys)
    assert holds(answer, *values) and str(bundle) in answer


@pytest.mark.parametrize(
    ("section", "change", "values"),
    [
        ("predict", {"batch_size": 0}, [0]),
        ("network", {"tta": "so`me`"}, ["'so`me`'"]),
        ("network", {"tta": "predict_batch_size"}, ["'predict_batch_size'"]),
        ("network", {"backbone": "resnet999"}, ["'resnet999'"]),
        ("network", {"loss": "guess"}, ["'guess'"]),
        ("tiles", {"size": 4}, [4]),
    ],
)
def test_what_is_wrong_in_a_bundle_names_no_option(
    bundle: Path, section: str, change: dict[str, object], values: list[object]
) -> None:
    content = said(bundle)
    content[section].update(change)
    write_sealed(bundle, content)
    with refused(file=bundle / "bundle.json", option="", says=[*change, *values]) as raised:
        Predictor.load(bundle, device="cpu")
    marks = f"{raised.value.problem}{raised.value.remedy}".count("`")
    assert marks == sum(str(value).count("`") for value in values)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["network"].update(tta="none"),
        lambda content: content["tiles"].update(size=64),
        lambda content: content["tiles"].update(bands=["b", "g", "r"]),
        lambda content: content["decision"].update(beta=1.0),
        lambda content: content.pop("sha256"),
        lambda content: content.update(sha256=None),
        lambda content: content["metrics"].update(tiles=1),
    ],
)
def test_what_was_edited_and_might_fit(
    bundle: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Any], None]
) -> None:
    content = said(bundle)
    change(content)
    (bundle / "bundle.json").write_text(json.dumps(content))
    assert holds(bundle_refused(bundle, demo_tiles / "test-jpg", capsys), bundle / "bundle.json")


def test_the_layout_of_the_json_is_free(bundle: Path, demo_tiles: Path, tmp_path: Path) -> None:
    before = predicted(bundle, demo_tiles / "test-jpg", tmp_path / "before.parquet")
    content = said(bundle)
    (bundle / "bundle.json").write_text(json.dumps(dict(reversed(content.items()))))
    pd.testing.assert_frame_equal(predicted(bundle, demo_tiles / "test-jpg", tmp_path / "after.parquet"), before)


def test_a_seal_is_of_what_is_read_again() -> None:
    content = {"b": {10: 0.1, 9: 1e-7}, "a": ("ä", None, True)}
    assert (
        content_hash(content)
        == content_hash(json.loads(json.dumps(content)))
        != content_hash({**content, "a": ("ä", None, False)})
    )


@pytest.mark.parametrize("key", ["tags", "table", "tiles", "network", "predict", "data", "decision", "weights"])
def test_a_key_that_is_missing_is_named(
    bundle: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    content = said(bundle)
    del content[key]
    write_sealed(bundle, content)
    answer = bundle_refused(bundle, demo_tiles / "test-jpg", capsys)
    assert holds(answer, bundle / "bundle.json", f"'{key}'")


@pytest.mark.parametrize("text", ["[]", '"bundle"', "{}", "null"])
def test_what_is_json_and_no_bundle(
    bundle: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (bundle / "bundle.json").write_text(text)
    assert holds(bundle_refused(bundle, demo_tiles, capsys), bundle / "bundle.json", None, 1)


def test_weights_of_which_one_bit_changed(bundle: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytearray((bundle / "fold-2.safetensors").read_bytes())
    raw[-1] ^= 1
    (bundle / "fold-2.safetensors").write_bytes(raw)
    answer = bundle_refused(bundle, demo_tiles, capsys)
    assert holds(answer, bundle / "fold-2.safetensors", "SHA-256")


def test_weights_that_are_missing_or_for_other_tags(
    bundle: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, content = bundle / "fold-0.safetensors", said(bundle)
    save_weights(file, timm.create_model("test_resnet", num_classes=4))
    content["weights"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    write_sealed(bundle, content)
    assert holds(bundle_refused(bundle, demo_tiles, capsys), file)
    file.unlink()
    assert holds(bundle_refused(bundle, demo_tiles, capsys), "'fold-0.safetensors'")


def test_neither_run_nor_bundle(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert holds(bundle_refused(tmp_path / "empty", tmp_path, capsys), tmp_path / "empty")
    assert main(["export", str(tmp_path / "empty")]) == 2
    assert holds(told(capsys), tmp_path / "empty")
    assert main(["export", str(bundle)]) == 2
    assert holds(told(capsys), "--onnx")
