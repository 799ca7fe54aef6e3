"""The page of a run: what it tells, for all kinds of runs, that nothing from outside gets in, and in a real browser."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
import yaml
from browser import Browser, find_browser
from conftest import as_written, write_config
from PIL import Image
from refused import holds, refused
from sklearn.metrics import fbeta_score as sklearn_fbeta_score

from amazon_ml.cli.main import main
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.reader_file import write_reader
from amazon_ml.decisions.per_tag import fbeta_by_threshold
from amazon_ml.decisions.rules import DEFAULT_RULE, make_rules
from amazon_ml.labels import TagSet
from amazon_ml.models.tagger import TileTagger
from amazon_ml.pipeline.finish import finish
from amazon_ml.report.page.gallery import pick_for_tag, worst_and_best
from amazon_ml.report.page.saliency import grad_cam
from amazon_ml.report.page.svg import Scale, ticks
from amazon_ml.report.page.together import counts_together
from amazon_ml.report.page.write import report, write_report
from amazon_ml.runs.folder import Run, probability_table, write_truth
from amazon_ml.runs.tiles import listed_tiles
from amazon_ml.runs.tune import tune_locked
from amazon_ml.runtime.files import write_json

THREE = ("forest", "river", "town")


class Parsed(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a name."""
        return [attributes for tag, attributes in self.elements if tag == name]

    def sections(self) -> list[str | None]:
        """Anchors, in their order."""
        return [section["id"] for section in self.all("section")]


def make_run(
    folder: Path, tags: Sequence[str] = THREE, tiles: int = 60, *, edge: int = 16, validate: bool = True,
    prefix: str = "tile", rule: str | None = None, all_rules: bool = False,
) -> Run:  # fmt: skip
    """Make a tuned run of random tiles, tags and probabilities, as if it had been trained.

    Unless all rules are asked for, only those that its page needs are compared.
    """
    rng, root, run = np.random.default_rng(0), folder / "data", Run(folder / "run")
    (root / "images").mkdir(parents=True)
    names = [f"{prefix}_{n}" for n in range(tiles)]
    true = (rng.random((tiles, len(tags))) < np.geomspace(0.6, 0.2, len(tags))).astype(np.uint8)
    true[~true.any(axis=1), 0] = 1
    for name in names:
        Image.fromarray(rng.integers(0, 256, (edge, edge, 3), dtype=np.uint8)).save(root / "images" / f"{name}.png")
    tag_set = TagSet(tuple(tags))
    pd.DataFrame({"name": names, "tags": tag_set.decode(true)}).to_csv(root / "labels.csv", index=False)
    p = np.clip(0.7 * true + rng.normal(0.15, 0.2, true.shape), 0.001, 0.999).astype(np.float32)
    run.path.mkdir()
    write_config(run.path, {"data.root": str(root), "data.validate": validate, "model.backbone": "none"})
    facts = {"root": str(root), "generated": False, "sha256": "0", "labelled": tiles, "unlabelled": 0}
    started = {"time": "now", "command": "amazon-ml train"}
    write_json(run.provenance, {"starts": [started], "data": {**facts, "tags": dict.fromkeys(tags, 1)}})
    write_reader(run.bands, TileReader())
    write_truth(run, pd.Series(names), tag_set, true)
    probability_table(names, tags, p).to_parquet(run.oof)
    as_written(run.path)
    needed = ("fixed", rule or DEFAULT_RULE)
    with pytest.MonkeyPatch.context() as patch:
        if not all_rules:
            patch.setattr(
                "amazon_ml.runs.tune.make_rules",
                lambda **options: {name: one for name, one in make_rules(**options).items() if name in needed},
            )
        tune_locked(run, rule)
    return run


def page_of(run: Run) -> Parsed:
    write_report(run, listed_tiles(run))
    return Parsed(run.report)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Make a run of three tags; not to be changed but for its page."""
    return make_run(tmp_path_factory.mktemp("made"), all_rules=True)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_score_by_threshold_is_that_of_scikit_learn(beta: float) -> None:
    rng = np.random.default_rng(1)
    true, p = (rng.random((80, 3)) < [0.5, 0.1, 0]).astype(np.uint8), rng.integers(0, 11, (80, 3)) / 10
    cuts = np.array([0.0, 0.05, 0.3, 0.7, 1.0, 1.1])
    expected = [sklearn_fbeta_score(true, p >= cut, beta=beta, average=None, zero_division=0) for cut in cuts]
    np.testing.assert_allclose(fbeta_by_threshold(true, p, cuts, beta), expected)


def test_scales_and_ticks() -> None:
    assert Scale(0, 10, 100, 0)(2.5) == 75
    assert Scale(0, 10, 0, 100)(11) == 100  # what lies beyond stays at the edge
    odds = Scale(0.1, 0.9, 0, 100, log_odds=True)
    assert odds(0.5) == pytest.approx(50)
    assert odds(0.25) == pytest.approx(25)  # odds 1/9, 1/3, 1, 3, 9
    assert [told for _, told in ticks(0.861, 0.905)] == ["0.87", "0.88", "0.89", "0.90"]
    assert [at for at, _ in ticks(1, 20, 6)] == [5, 10, 15, 20]


def test_tiles_are_picked_by_hand_computed_order() -> None:
    p = np.array([0.9, 0.8, 0.3, 0.6, 0.1, 0.21], dtype=np.float32)
    true, predicted = np.array([1, 1, 1, 0, 1, 0], np.uint8), np.array([1, 1, 1, 1, 0, 0], np.uint8)
    picked = pick_for_tag(p, true, predicted, threshold=0.2, count=2)
    assert {kind: tiles.tolist() for kind, tiles in picked.items()} == {
        "best": [0, 1],
        "worst": [4, 3],  # 0.9 and 0.6 away from the truth
        "most doubtful": [5, 2],
    }


def test_worst_and_best_tiles_are_told_apart_among_equals() -> None:
    true = np.array([[1, 0], [1, 0], [1, 1], [1, 0]], np.uint8)
    p = np.array([[0.1, 0.1], [0.01, 0.1], [0.9, 0.9], [0.99, 0.01]], np.float32)
    worst, best = worst_and_best(np.array([0.0, 0.0, 1.0, 1.0]), p, true, 2)
    assert worst.tolist() == [1, 0]
    assert best.tolist() == [2, 3]


def test_tags_that_go_together_are_counted() -> None:
    hot = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], np.uint8)
    assert counts_together(hot).tolist() == [[3, 2, 1], [2, 2, 1], [1, 1, 1]]


def test_page_tells_the_scores_and_needs_nothing_from_elsewhere(made: Run) -> None:
    page, metrics = page_of(made), json.loads(made.metrics.read_text())
    for score in (metrics["fbeta"][key] for key in ("cross_fitted", "fixed_0.2", "constant")):
        assert f"{score['value']:.4f}" in page.text and f"{score['interval'][0]:.4f}" in page.text
    for record in metrics["tags"]:
        assert all(f"{record[key]:.3f}" in page.text for key in ("threshold", "precision", "recall", "fbeta", "ece"))
    loaded = [value for _, found in page.elements for key, value in found.items() if key in ("src", "href", "srcset")]
    assert all(value and value.startswith(("#", "data:")) for value in loaded)
    anchors = {link["href"] for link in page.all("a")}
    assert anchors == {f"#{section}" for section in page.sections()}
    assert page.sections() == ["score", "tags", "thresholds", "calibration", "together", "tiles", "data", "provenance"]


def test_everything_that_is_seen_is_also_told(made: Run) -> None:
    page = page_of(made)
    assert len(page.all("img")) > 20
    assert all(image["alt"] for image in page.all("img"))
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in page.all("svg"))
    assert page.all("html")[0]["lang"] == "en"


def test_names_from_outside_stay_text(tmp_path: Path) -> None:
    tags = ("<script>alert(1)</script>", '"onload="alert(2)', "it's&amp;")
    run = make_run(tmp_path, tags, prefix="<b>'\"x")
    page = page_of(run)
    assert len(page.all("script")) == 1
    assert all(tag in page.text for tag in tags) and "<b>'\"x_" in page.text
    attributes = {key for _, found in page.elements for key in found}
    assert not [key for key in attributes if key.startswith(("on", '"', "'"))]
    source = run.report.read_text()
    assert "<script>alert" not in source and "<b>'" not in source


@pytest.mark.parametrize("rule", ["stacked", "expected"])
def test_rules_without_thresholds_have_a_page(tmp_path: Path, rule: str) -> None:
    assert f"rule, {rule}, has no thresholds" in page_of(make_run(tmp_path, rule=rule)).text


@pytest.mark.parametrize(
    ("rule", "shrunk", "chosen"), [("shrunk", True, True), ("per_class", False, True), ("fixed", False, False)]
)
def test_the_section_of_thresholds_says_how_the_rule_found_them(
    tmp_path: Path, rule: str, shrunk: bool, chosen: bool
) -> None:
    text = page_of(make_run(tmp_path, rule=rule)).text
    assert ("shrunk to a common one" in text, "Thresholds are chosen for the mean F2" in text) == (shrunk, chosen)


def test_the_score_of_a_choice_among_rules_is_called_that_and_compared_with_fixed(tmp_path: Path) -> None:
    run = make_run(tmp_path, rule="best")
    metrics, page = json.loads(run.metrics.read_text()), page_of(run)
    assert metrics["rule"] == "fixed" and list(metrics["rules"]) == ["fixed", "best"]
    assert "best (chose fixed), cross-fitted" in page.text and "rule best (chose fixed)." in page.text
    low, high = metrics["fbeta"]["cross_fitted_minus_fixed"]["interval"]
    assert f"between {low:+.4f} and {high:+.4f}" in page.text


def test_the_fixed_rule_is_not_compared_with_itself(tmp_path: Path) -> None:
    text = page_of(make_run(tmp_path, rule="fixed")).text
    assert "fixed, cross-fitted" in text and "(chose fixed)" not in text and "the difference (" not in text


@pytest.mark.parametrize("name", ["together", "tiles"])
def test_sections_say_that_their_predictions_are_of_the_rule_that_was_fitted_on_all_tiles(made: Run, name: str) -> None:
    write_report(made, listed_tiles(made))
    section = made.report.read_text().split(f'id="{name}"')[1].split("</section>")[0]
    assert "the run's rule, fitted on all tiles" in section


def test_a_single_tag_goes_with_no_other(tmp_path: Path) -> None:
    assert "together" not in page_of(make_run(tmp_path, ("forest",))).sections()


def test_scores_of_tiles_that_were_trained_on_are_called_that(tmp_path: Path) -> None:
    text = page_of(make_run(tmp_path, validate=False)).text
    assert "all scores are too high" in text and "fitted without the tiles" not in text


def test_without_its_tiles_the_page_shows_none_and_says_so(made: Run, tmp_path: Path) -> None:
    write_report(made, None)
    page = Parsed(made.report)
    assert not page.all("img") and "No tiles are shown" in page.text
    assert main(["report", str(made.path), "--tiles", str(tmp_path)]) == 0
    assert "No tiles are shown" in Parsed(made.report).text


def test_a_broken_tile_costs_the_gallery_and_not_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiles=12)
    for path in (tmp_path / "data" / "images").iterdir():
        path.write_bytes(b"")
    assert "the file is empty; download it again" in page_of(run).text


def test_many_tags_on_noisy_large_tiles_stay_below_five_megabytes(tmp_path: Path) -> None:
    run = make_run(tmp_path, [f"tag_{n}" for n in range(90)], tiles=150, edge=128, rule="fixed")
    page = page_of(run)
    assert run.report.stat().st_size < 5e6
    assert "80 tags that cost most" in page.text


def test_leakage_is_told_where_neighbours_are_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, tiles=20)
    facts = json.loads(run.provenance.read_text())
    write_json(run.provenance, {**facts, "folds": {"worst_relative_deviation": 0.25}})
    names = pd.read_csv(run.truth)["image_name"]
    pd.DataFrame({"image_name": names, "fold": np.arange(20) // 10}).to_csv(run.folds, index=False)
    as_written(run.path)
    assert "not known: amazon-ml data folds" in page_of(run).text
    right = [""] * 20
    right[0], right[9] = names[1], names[10]  # within fold 0, and across: 2 of 20 tiles
    beside = pd.DataFrame({"image_name": names, "right": right, "below": ""})
    beside.to_csv(run.path / "neighbours.csv", index=False)
    text = page_of(run).text
    assert "10.00%" in text and "25.0%" in text


def test_runs_that_are_not_scored_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert holds(capsys.readouterr().err, tmp_path, "config.yaml")
    run = make_run(tmp_path, tiles=12)
    metrics = json.loads(run.metrics.read_text())
    write_json(run.metrics, {**metrics, "tiles": 11})
    as_written(run.path)
    with refused(file=run.metrics, says=[run.oof, run.path]):
        report(run.path)
    run.metrics.unlink()
    with refused(file=run.path, says=f"amazon-ml tune {run.path}"):
        report(run.path)


def test_a_page_that_cannot_be_written_does_not_fail_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run(tmp_path, tiles=12)
    (run.report / "in the way").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        assert finish(run, None)["tiles"] == 12
    assert "no report.html was written" in caplog.text


def test_the_page_is_written_without_pytorch(made: Run) -> None:
    code = (
        "import sys; from pathlib import Path; from amazon_ml.report.page.write import report; "
        "report(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(made.path)], check=True)


def test_grad_cam_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    tagger = TileTagger(list(THREE), backbone="test_resnet", pretrained=False, size=64, channels_last=False).eval()
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    inputs = (torch.from_numpy(image).float() - tagger.mean) / tagger.std
    maps = tagger.backbone.forward_features(inputs.permute(2, 0, 1)[None])  # type: ignore[operator]
    maps.retain_grad()
    tagger.backbone.forward_head(maps)[0, 1].backward()  # type: ignore[operator]
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    raw: npt.NDArray[np.float32] = torch.relu((weights * maps).sum(dim=1))[0].detach().numpy()
    expected = cv2.resize((raw - raw.min()) / (raw.max() - raw.min()), (64, 64))
    found = grad_cam(tagger, image, 1)
    assert found is not None and found.shape == (64, 64)
    np.testing.assert_allclose(found, (expected - expected.min()) / (expected.max() - expected.min()), atol=1e-4)


def test_networks_without_maps_have_no_saliency() -> None:
    tagger = TileTagger(list(THREE), backbone="test_vit", pretrained=False, size=32)
    assert grad_cam(tagger, np.zeros((32, 32, 3), np.uint8), 0) is None


def test_training_ends_with_a_page_of_curves(trained: Path) -> None:
    page = Parsed(trained / "report.html")
    assert {"curves", "tiles"} <= set(page.sections())
    assert "Fold 0 ends at" in page.text and "Fold 2 ends at" in page.text
    assert "These tiles are generated" in page.text
    assert "saliency" not in page.sections()  # on tiles of 32 px, the last map of this network is a single place


def test_where_the_network_looks_is_shown_on_tiles_that_it_did_not_train_on(trained: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "larger")
    shutil.copytree(trained, run.path)
    options = yaml.safe_load(run.config.read_text())
    run.config.write_text(yaml.safe_dump({**options, "data": {**options["data"], "size": 64}}))
    as_written(run.path)
    assert main(["report", str(run.path)]) == 0
    page, held_out = Parsed(run.report), set(pd.read_parquet(run.fold(0).valid)["image_name"])
    maps = [str(image["alt"]) for image in page.all("img") if "map of the places that support" in str(image["alt"])]
    assert 1 <= len(maps) <= 6
    assert {told.removeprefix("Tile ").partition(":")[0] for told in maps} <= held_out
    assert main(["report", str(run.path), "--saliency", "false"]) == 0
    assert "saliency" not in Parsed(run.report).sections()


def test_a_blend_has_a_page_without_curves_and_saliency(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    assert main(["blend", str(trained), str(other), "--run", str(tmp_path / "both")]) == 0
    page = Parsed(tmp_path / "both" / "report.html")
    assert "A blend of" in page.text and page.all("img")
    assert not {"curves", "saliency"} & set(page.sections())
    assert "blend: mean" in page.text and "backbone" not in page.text  # it has no network, and none of its options


def test_in_a_browser_images_load_tables_sort_and_nothing_is_complained_of(trained: Path, tmp_path: Path) -> None:
    program = find_browser()
    if program is None:
        pytest.skip("needs Chromium or Chrome on the PATH")
    with Browser(program, tmp_path / "profile") as browser:
        browser.open(trained / "report.html", width=1100)
        assert browser.evaluate("document.images.length") > 20
        assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        light = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        cells = "[...document.querySelectorAll('#tags tbody tr')].map(row => row.cells[{}].dataset.sort)"
        click = "document.querySelectorAll('#tags thead button')[{}].click()"
        before = [float(value) for value in browser.evaluate(cells.format(1))]
        browser.evaluate(click.format(1))
        assert [float(value) for value in browser.evaluate(cells.format(1))] == sorted(before, reverse=True)
        browser.evaluate(click.format(1))
        assert [float(value) for value in browser.evaluate(cells.format(1))] == sorted(before)
        browser.evaluate(click.format(0))
        names = browser.evaluate(cells.format(0))
        assert names == sorted(names, reverse=True)
        browser.open(trained / "report.html", width=390, dark=True)
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != light
        assert browser.complaints == []
        # The policy of the page: a script that got in would not run.
        browser.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'stolen = 1'}))")
        assert browser.evaluate("typeof stolen") == "undefined" and browser.complaints
