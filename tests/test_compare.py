"""`amazon-ml compare`: paired figures against scikit-learn and by hand, noise called noise, and what is refused."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from conftest import FEW, TINY, as_written, run_of, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from refused import holds, refused
from sklearn.metrics import average_precision_score, f1_score, log_loss
from sklearn.metrics import fbeta_score as sklearn_fbeta_score

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.config import ReadingConfig, TableConfig
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.decisions.constraints import LabelConstraints
from amazon_ml.decisions.crossfit import cross_predict
from amazon_ml.decisions.fbeta import fbeta_per_tile
from amazon_ml.decisions.logistic import logit, sigmoid
from amazon_ml.decisions.paired import log_loss_per_tile, normal_interval, paired, paired_per_tag, shared_level
from amazon_ml.decisions.rules import make_rules
from amazon_ml.decisions.synthetic import draw_rows
from amazon_ml.labels import PLANET
from amazon_ml.models.engines import Forward
from amazon_ml.report.comparison import compare
from amazon_ml.runs import labelled, speed
from amazon_ml.runs.blend import make_blend
from amazon_ml.runs.bundle import Networks, run_networks
from amazon_ml.runs.folder import Run
from amazon_ml.runs.inference import Engine, predict_batches

pytestmark = pytest.mark.usefixtures("without_pages")

P, TRUE = draw_rows(400, seed=5)


def blurred(spread: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Probabilities of a network that sees less, the more the larger the spread."""
    return sigmoid(logit(P) + np.random.default_rng(seed).normal(0, spread, P.shape))


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """A run, one much worse, one as good but for chance, and one that held out the first half."""
    return {
        "sharp": run_of(tmp_path / "sharp", P, TRUE),
        "blurred": run_of(tmp_path / "blurred", blurred(3.0), TRUE),
        "alike": run_of(tmp_path / "alike", blurred(0.02), TRUE),
        "half": run_of(tmp_path / "half", P[:200], TRUE),
    }


def compared(tmp_path: Path, *words: str | Path) -> dict[str, Any]:
    out = tmp_path / "found.json"
    assert main(["compare", *map(str, words), "--json", str(out), "--overwrite"]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------- the arithmetic


def test_a_paired_difference_by_hand() -> None:
    found = paired([0.9, 0.8, 0.4, 0.7], [0.8, 0.8, 0.5, 0.3], interval=normal_interval)
    # Differences .1, 0, -.1, .4: mean .1, squares about it 0 + .01 + .04 + .09 = .14, error sqrt(.14 / 3 / 4)
    assert found["value"] == pytest.approx(0.1)
    assert found["standard_error"] == pytest.approx(math.sqrt(0.14 / 12))
    np.testing.assert_allclose(found["interval"], 0.1 + np.array([-1, 1]) * 1.959964 * math.sqrt(0.14 / 12), rtol=1e-6)
    assert found["verdict"] == "noise"


def test_what_differs_by_chance_is_mostly_called_noise_and_what_does_not_is_not() -> None:
    rng = np.random.default_rng(1)
    chance = [paired(*rng.choice([0.5, 0.8, 1.0], size=(2, 300)))["verdict"] for _ in range(40)]
    assert chance.count("noise") >= 34  # 38 are expected
    base = rng.choice([0.5, 0.8], size=300)
    assert paired(base + 0.1 * (rng.random(300) < 0.3), base)["verdict"] == "higher"
    assert paired(base - 0.1 * (rng.random(300) < 0.3), base)["verdict"] == "lower"
    assert paired(base, base)["verdict"] == "noise"


def test_several_comparisons_widen_each_interval() -> None:
    assert [shared_level(n) for n in (1, 2, 5)] == pytest.approx([0.95, 0.975, 0.99])
    difference = fbeta_per_tile(TRUE, P > 0.2) - fbeta_per_tile(TRUE, blurred(1) > 0.2)
    widths = [np.diff(paired(difference, 0 * difference, level=shared_level(n))["interval"])[0] for n in (1, 2, 5)]
    assert widths == sorted(widths) and widths[0] < widths[2]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.5, 3))
def test_differences_of_each_tag_equal_scikit_learn(seed: int, tiles: int, beta: float) -> None:
    true, a, b = np.random.default_rng(seed).integers(0, 2, size=(3, tiles, 4))
    found = paired_per_tag(true, a, b, beta, resamples=50)
    one, other = (sklearn_fbeta_score(true, x, beta=beta, average=None, zero_division=0) for x in (a, b))
    np.testing.assert_allclose(found["value"], one - other, atol=1e-12)
    assert (found["low"] <= found["high"]).all()


def test_intervals_of_a_tag_are_those_of_resampled_tiles() -> None:
    tag = PLANET.names.index("road")
    true, a, b = TRUE[:, tag] == 1, P[:, tag] > 0.2, blurred(2)[:, tag] > 0.2
    found = paired_per_tag(true[:, None], a[:, None], b[:, None])
    rows = np.random.default_rng(0).integers(0, len(P), (2000, len(P)))
    hits, given = ([array[rows].sum(axis=1) for array in pair] for pair in ((true & a, true & b), (a, b)))
    one, other = (5 * h / (4 * true[rows].sum(axis=1) + g) for h, g in zip(hits, given, strict=True))
    low, high = np.quantile(one - other, [0.025, 0.975])
    np.testing.assert_allclose([found["low"][0], found["high"][0]], [low, high], atol=0.006)


def test_log_loss_equals_scikit_learn_and_stays_finite_at_0_and_1() -> None:
    expected = np.mean([log_loss(TRUE[:, i], P[:, i], labels=[0, 1]) for i in range(17)])
    assert log_loss_per_tile(TRUE, P).mean() == pytest.approx(expected, rel=1e-5)
    assert log_loss_per_tile([[1, 0]], [[0.0, 1.0]])[0] == pytest.approx(-math.log(np.finfo(np.float32).eps))


# ---------------------------------------------------------------- through the command line


def test_scores_and_differences_of_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    found = compared(tmp_path, runs["sharp"], runs["blurred"], "--rule", "global")
    assert (found["tiles"], found["rule"], found["level"], found["generated"]) == (400, "global", 0.95, False)
    per_tile, losses = [], []
    for p, record in zip((P, blurred(3.0)), found["runs"], strict=True):
        stored = p.astype(np.float32)
        predicted = cross_predict(make_rules()["global"], stored, TRUE, seed=3)
        per_tile.append(fbeta_per_tile(TRUE, predicted))
        losses.append(log_loss_per_tile(TRUE, stored))
        expected = sklearn_fbeta_score(TRUE, predicted, beta=2, average="samples", zero_division=0)
        assert record["cross_fitted"]["value"] == pytest.approx(expected)
        assert record["log_loss"]["value"] == pytest.approx(losses[-1].mean())
        tags = sklearn_fbeta_score(TRUE, predicted, beta=2, average=None, zero_division=0)
        place = found["runs"].index(record)
        np.testing.assert_allclose([tag["fbeta"][place] for tag in found["tags"]], tags)
    first, second = found["runs"]
    assert first["minus_first"] is None
    for key, (a, b) in {"cross_fitted": per_tile, "log_loss": losses}.items():
        difference = second["minus_first"][key]
        assert difference["value"] == pytest.approx((b - a).mean())
        assert difference["standard_error"] == pytest.approx((b - a).std(ddof=1) / 20)
    assert second["minus_first"]["cross_fitted"]["verdict"] == "lower"
    assert second["minus_first"]["log_loss"]["verdict"] == "higher"


def test_average_precision_and_f1_of_runs_equal_scikit_learn(tmp_path: Path) -> None:
    true = TRUE.copy()
    true[:, 2] = 0
    pairs = [(P, "sharp"), (blurred(3.0), "blurred")]
    runs = [run_of(tmp_path / name, p, true) for p, name in pairs]
    found = compared(tmp_path, *runs, "--rule", "fixed")
    without = [name for name, count in zip(PLANET.names, true.sum(axis=0), strict=True) if not count]
    assert found["tags_without_positive"] == without and PLANET.names[2] in without
    few = [name for name, count in zip(PLANET.names, true.sum(axis=0), strict=True) if count in (1, 2, 3, 4)]
    assert found["tags_with_few_positives"] == few
    carried, scores = true.any(axis=0), []
    for (p, _), record in zip(pairs, found["runs"], strict=True):
        stored = p.astype(np.float32).astype(np.float64)
        predicted = cross_predict(make_rules()["fixed"], stored, true, seed=3)
        scores.append(record["other_scores"])
        assert scores[-1] == pytest.approx(
            {
                "average_precision_macro": average_precision_score(true[:, carried], stored[:, carried]),
                "average_precision_micro": average_precision_score(true, stored, average="micro"),
                "f1_macro": f1_score(true[:, carried], stored[:, carried] > 0.5, average="macro", zero_division=0),
                "f1_micro": f1_score(true, stored > 0.5, average="micro"),
                "f1_macro_predicted": f1_score(
                    true[:, carried], predicted[:, carried], average="macro", zero_division=0
                ),
                "f1_micro_predicted": f1_score(true, predicted, average="micro"),
            },
            abs=1e-12,
        )
    for name, difference in found["runs"][1]["minus_first"]["other_scores"].items():
        assert difference["value"] == pytest.approx(scores[1][name] - scores[0][name], abs=1e-12)
        assert difference["verdict"] == "lower"


def test_a_difference_by_chance_is_called_noise(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(tmp_path, runs["sharp"], runs["alike"], runs["blurred"])
    verdicts = [run["minus_first"]["cross_fitted"]["verdict"] for run in found["runs"][1:]]
    assert verdicts == ["noise", "lower"] and found["level"] == pytest.approx(0.975)
    shown = capsys.readouterr().out
    assert "noise" in shown and "worse" in shown
    assert "The score of the best of 3 runs is too high" in shown and "97.5 % interval" in shown


def test_only_tiles_that_all_held_out_are_compared(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(tmp_path, runs["blurred"], runs["half"])
    assert "200 tiles that every run held out; one held out 400" in capsys.readouterr().out
    assert [run["held_out"] for run in found["runs"]] == [400, 200] and found["tiles"] == 200
    assert found["tags"][0]["support"] == TRUE[:200, 0].sum()


def test_order_of_tiles_and_tags_does_not_matter(runs: dict[str, Path], tmp_path: Path) -> None:
    table = pd.read_parquet(runs["alike"] / "oof.parquet").sample(frac=1, random_state=0)
    table[["image_name", *reversed(PLANET.names)]].to_parquet(runs["alike"] / "oof.parquet", index=False)
    before = compared(tmp_path, runs["sharp"], run_of(tmp_path / "again", blurred(0.02), TRUE))
    facts = json.loads((runs["alike"] / "provenance.json").read_text())
    facts["data"]["tags"] = dict(reversed(facts["data"]["tags"].items()))
    (runs["alike"] / "provenance.json").write_text(json.dumps(facts))
    as_written(runs["alike"])
    after = compared(tmp_path, runs["sharp"], runs["alike"])
    assert after["runs"][1]["minus_first"] == before["runs"][1]["minus_first"] and after["tags"] == before["tags"]


def test_options_that_differ_are_told_and_no_others(runs: dict[str, Path], tmp_path: Path) -> None:
    idle = {"data.num_workers": 2, "trainer.enable_progress_bar": False, "loggers": {"wandb": {"project": "amazon"}}}
    write_config(runs["alike"], {"seed": 3, "model.lr": 0.01, "model.backbone_args": {"a": 1}, **idle})
    as_written(runs["alike"])
    found = compared(tmp_path, runs["sharp"], runs["alike"])
    assert {one["option"]: one["values"] for one in found["options"]} == {
        "model.lr": [0.001, 0.01],
        "model.backbone_args": [{}, {"a": 1}],
    }


def test_a_blend_has_its_own_options_and_those_of_its_tiles(runs: dict[str, Path], tmp_path: Path) -> None:
    write_config(runs["alike"], {"seed": 3, "model.backbone": "resnet18", "model.lr": 0.01, "data.n_folds": 3})
    as_written(runs["alike"])
    blends = [tmp_path / how for how in ("mean", "rank")]
    for blend in blends:
        assert main(["blend", str(runs["sharp"]), str(runs["alike"]), "--run", str(blend), "--how", blend.name]) == 0
    found = compared(tmp_path, *blends)
    assert found["options"] == [{"option": "blend", "values": ["mean", "rank"]}]
    found = compared(tmp_path, runs["sharp"], runs["alike"], blends[0])
    members = [os.path.relpath(runs[name]) for name in ("sharp", "alike")]
    backbone = Run(runs["sharp"]).read_config().model.backbone
    assert {one["option"]: one["values"] for one in found["options"]} == {
        "data.n_folds": [5, 3, None],
        "model.backbone": [backbone, "resnet18", None],
        "model.lr": [0.001, 0.01, None],
        "blend": [None, None, "mean"],
        "blend.members": [None, None, members],
    }


def test_a_trained_run_and_its_blend_tell_how_they_were_made(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("config.yaml", "provenance.json", "truth.csv", "bands.json", "oof.parquet", "hashes.json"):
        other.mkdir(exist_ok=True)
        (other / name).write_bytes((trained / name).read_bytes())
    blend = tmp_path / "blend"
    assert main(["blend", str(trained), str(other), "--run", str(blend)]) == 0
    found = compared(tmp_path, trained, blend)
    first, second = found["runs"]
    curves = pd.concat([pd.read_csv(path) for path in trained.glob("fold-*/metrics.csv")])
    assert first["epochs"] == 2 and second["epochs"] is second["train_seconds"] is None
    assert first["train_seconds"] == pytest.approx(curves["train_seconds"].sum()) and first["train_seconds"] > 0
    assert first["images_per_second"] == pytest.approx(curves["images_per_second"].median())
    assert second["minus_first"]["fixed"] == {"value": 0, "standard_error": 0, "interval": [0, 0], "verdict": "noise"}
    assert {"option": "blend", "values": [None, "mean"]} in found["options"] and found["generated"] is True


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        links = [value for key, value in attrs if key in ("href", "src") and value]
        self.links += [value for value in links if not value.startswith(("#", "data:"))]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("line", "circle")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and (self.open[-1] == "td" or self.open[-3:] == ["tbody", "tr", "th"]):
            self.cells.append(data)


def test_the_page_stands_alone_and_tells_what_the_terminal_tells(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = runs["blurred"].rename(tmp_path / "<b> & [red]x")
    assert main(["compare", str(runs["sharp"]), str(odd), "--page", str(tmp_path / "deep" / "page.html")]) == 0
    shown = capsys.readouterr().out
    page = _Page()
    page.feed((tmp_path / "deep" / "page.html").read_text())
    assert page.open == [] and page.links == []
    assert "<b> & [red]x" in page.cells and "<b> & [red]x" in shown
    assert "worse" in page.cells
    squeezed = " ".join(shown.split())
    assert all(" ".join(cell.split()) in squeezed for cell in page.cells)


def test_runs_that_cannot_be_compared_are_refused(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = TRUE.copy()
    changed[7, 5] ^= 1
    few = run_of(tmp_path / "few", P[:9], TRUE)
    others: list[tuple[Path, list[object]]] = [
        (run_of(tmp_path / "tags", P, TRUE, ("clean", *PLANET.names[1:])), [tmp_path / "tags", runs["sharp"]]),
        (run_of(tmp_path / "labels", P, changed), [tmp_path / "labels", 1, "tile_7"]),
        (few, [9, 10]),
        (tmp_path / "nothing", [tmp_path / "nothing", "config.yaml"]),
    ]
    for other, values in others:
        assert main(["compare", str(runs["sharp"]), str(other)]) == 2, other
        assert holds(told(capsys), *values)
    for alike in ([runs["sharp"]], [runs["sharp"], runs["sharp"] / ".." / "sharp"]):
        with refused(option="runs"):
            compare(alike)
    untested = run_of(tmp_path / "all", P, TRUE, held_out=False)
    with refused(file=untested, option="data"):
        compare([runs["sharp"], untested])
    without_data: dict[str, dict[str, Any]] = {
        "split": {"split": "val"}, "tta": {"tta": "none"}, "table": {"table": TableConfig(labels_file="a.csv")},
    }  # fmt: skip
    for option, arguments in without_data.items():
        with refused(option=option):
            compare([runs["sharp"], runs["half"]], **arguments)
    assert main(["compare", str(runs["sharp"]), str(few), "--rule", "magic"]) == 2
    assert holds(told(capsys), "--rule magic", "fixed, global")


def test_comparing_changes_no_run(runs: dict[str, Path], tmp_path: Path) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for run in runs.values() for path in run.rglob("*") if path.is_file()}

    before = state()
    compared(tmp_path, runs["sharp"], runs["half"])
    assert state() == before


# ---------------------------------------------------------------- a labelled folder


@pytest.fixture(scope="module")
def later_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty labelled tiles on which nothing was trained."""
    folder = tmp_path_factory.mktemp("later") / "tiles"
    write_demo(folder, tiles=60, test_tiles=1, size=32, seed=7)
    return folder


@pytest.fixture(scope="module")
def on_every_tile(demo_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run that holds nothing out, so that only other tiles can score it."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    options = ["--data.validate=false", "--model.tta=d4", *TINY, *FEW]
    assert main(["train", "--run", str(run), "--data.root", str(demo_tiles), *options]) == 0
    return run


def test_runs_are_compared_on_a_labelled_folder_with_the_views_that_are_asked_for(
    trained: Path, on_every_tile: Path, later_tiles: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(later_tiles / "train_v2.csv")
    gone = tmp_path / "gone.csv"
    table[["image_name"]].head(7).to_csv(gone, index=False)
    kept = table.iloc[7:]
    true = PLANET.encode(kept["tags"].tolist())
    paths = [later_tiles / "train-jpg" / f"{name}.jpg" for name in kept["image_name"]]
    for views in (None, "none", "flips"):
        words: list[str | Path] = ["--data", later_tiles, "--exclude", gone, *(["--tta", views] if views else [])]
        found = compared(tmp_path, trained, on_every_tile, *words)
        assert (found["tiles"], found["tiles_of"], found["tta"]) == (53, str(later_tiles), views)
        assert found["generated"] is True and [run["held_out"] for run in found["runs"]] == [53, 53]
        p = [_averaged(run, paths, views) for run in (trained, on_every_tile)]
        own = [am.Predictor.load(run, tta=views).predict_proba(paths) for run in (trained, on_every_tile)]
        np.testing.assert_allclose(own, p, atol=1e-5)
        rule = make_rules(beta=2.0, constraints=LabelConstraints.of(PLANET))[found["rule"]]
        seed = Run(trained).read_config().seed
        fbeta = [fbeta_per_tile(true, cross_predict(rule, one, true, seed=seed), 2.0) for one in p]
        assert [run["cross_fitted"]["value"] for run in found["runs"]] == pytest.approx([one.mean() for one in fbeta])
        assert found["runs"][1]["log_loss"]["value"] == pytest.approx(log_loss_per_tile(true, p[1]).mean(), rel=1e-5)
        difference = found["runs"][1]["minus_first"]["cross_fitted"]["value"]
        assert difference == pytest.approx(fbeta[1].mean() - fbeta[0].mean())
    few = tmp_path / "few.csv"
    table.head(6).to_csv(few, index=False)
    with refused(file=later_tiles, option="data", says=[6, 10]):  # before anything is predicted
        compare([trained, on_every_tile], TableConfig(labels_file=str(few)), data=later_tiles)
    with refused(option="tta"):
        am.Predictor.load(trained, tta="d8")  # type: ignore[arg-type]


def test_runs_that_read_a_folder_alike_read_it_once(
    trained: Path, on_every_tile: Path, later_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def noted(root: Path, config: ReadingConfig) -> Catalog:
        read.append(root)
        return read_catalog(root, config)

    monkeypatch.setattr(labelled, "read_catalog", noted)
    compared(tmp_path, trained, on_every_tile, "--data", later_tiles, "--tta", "none")
    assert read == [later_tiles]


def _averaged(run: Path, paths: list[Path], views: str | None) -> npt.NDArray[np.float32]:
    """Mean probabilities of all networks of a run over the views, which are turned here."""
    tiles = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    flipped = [tiles, tiles[:, :, ::-1], tiles[:, ::-1], tiles[:, ::-1, ::-1]]
    turned = [np.rot90(one, turn, axes=(1, 2)) for one in flipped[:2] for turn in range(4)]
    seen = {"none": [tiles], "flips": flipped, "d4": turned}[views or Run(run).read_config().model.tta]
    networks = run_networks(Run(run))
    networks = replace(networks, model=replace(networks.model, tta="none"))
    batches = [torch.from_numpy(np.ascontiguousarray(one)) for one in seen]
    each = [predict_batches(forward, [one]) for forward in Engine().prepare(networks) for one in batches]
    mean: npt.NDArray[np.float32] = np.stack(each).mean(axis=0)
    return mean


def test_speed_is_that_of_the_views_that_are_asked_for(
    trained: Path, on_every_tile: Path, later_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []

    def seconds(one: Any, at_least: float) -> float:
        timed.append(one.forward)
        return 1.0

    prepared: list[Networks] = []
    prepare = Engine.prepare

    def noted(own: Engine, networks: Networks) -> Iterator[Forward]:
        prepared.append(networks)
        return prepare(own, networks)

    monkeypatch.setattr(speed._Ready, "seconds", seconds)
    monkeypatch.setattr(Engine, "prepare", noted)
    words: list[str | Path] = ["--data", later_tiles, "--tta", "none", "--speed", "true"]
    assert compared(tmp_path, trained, on_every_tile, *words)["runs"][0]["predicted_per_second"] == 0.5  # two networks
    assert {networks.model.tta for networks in prepared} == {"none"} and timed


# ---------------------------------------------------------------- size and speed


def test_size_and_speed_of_a_run_and_of_a_blend_are_those_of_their_networks(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_SECONDS", 0.02)
    other, blended = tmp_path / "other", Run(tmp_path / "blended")
    shutil.copytree(trained, other)
    blended.path.mkdir()
    make_blend(blended, [Run(trained), Run(other)], "mean")
    found = compared(tmp_path, trained, blended.path, "--speed", "true")
    one, two = found["runs"]
    files = [trained / f"fold-{number}" / "model.safetensors" for number in (0, 2)]
    assert one["megabytes"] == pytest.approx(sum(file.stat().st_size for file in files) / 1e6)
    assert (one["networks"], two["networks"], two["megabytes"]) == (2, 4, pytest.approx(2 * one["megabytes"]))
    assert 0 < two["predicted_per_second"] < one["predicted_per_second"]
    shutil.rmtree(other)
    gone = compared(tmp_path, trained, blended.path)["runs"][1]
    assert gone["networks"] is gone["megabytes"] is gone["predicted_per_second"] is None
