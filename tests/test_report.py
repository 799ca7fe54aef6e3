"""Tables and pictures: what they say, and that they are whole."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from amazon_ml.cli.show.scores import print_scores
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.readers.images import read_tile
from amazon_ml.report import figures
from amazon_ml.report.figures import draw_tiles, pick_varied
from amazon_ml.runs.scores import Metrics


def test_table_tells_every_tag_every_score_and_that_tiles_are_generated(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    print_scores(cast(Metrics, metrics))
    shown = capsys.readouterr().out
    for record in metrics["tags"]:
        row = next(line for line in shown.splitlines() if f" {record['tag']} " in line)
        for key in ("threshold", "precision", "recall", "fbeta"):
            assert f"{record[key]:.3f}" in row
    for score in metrics["fbeta"].values():
        assert f"{score['value']:.4f}" in shown and f"{score['interval'][0]:.4f}" in shown
    assert "GENERATED" in shown and "held out" in shown


def test_table_says_when_the_tiles_were_trained_on(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {**json.loads((trained / "metrics.json").read_text()), "held_out": False, "generated": False}
    print_scores(cast(Metrics, metrics))
    shown = " ".join(capsys.readouterr().out.split())
    assert "TRAINED ON" in shown and "GENERATED" not in shown


def test_table_names_the_choice_where_that_is_scored(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    name = metrics["rule"]
    print_scores(cast(Metrics, metrics))
    assert "(chose" not in capsys.readouterr().out
    metrics["rules"]["best"] = metrics["rules"][name]
    print_scores(cast(Metrics, metrics))
    shown = " ".join(capsys.readouterr().out.split())
    assert f"best (chose {name}), cross-fitted" in shown and f" {name}, on the rows it was fitted on" in shown


def test_picked_tiles_are_distinct_and_show_every_tag_there_is() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((3000, 17)) < np.geomspace(0.5, 0.003, 17)).astype(np.uint8)
    picked = pick_varied(targets, 18, seed=1)
    assert len(set(picked)) == 18
    assert targets[picked].any(axis=0).all()
    assert np.array_equal(picked, pick_varied(targets, 18, seed=1))


@pytest.mark.parametrize("tiles", [1, 5])
def test_picking_from_fewer_tiles_than_asked_takes_all(tiles: int) -> None:
    assert sorted(pick_varied(np.zeros((tiles, 3), np.uint8), 18, seed=0)) == list(range(tiles))


LONG = (
    "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Natural grassland and sparsely vegetated areas", "Beaches, dunes, sands",
)  # fmt: skip


@pytest.mark.parametrize("tags", [LONG, tuple(tag.upper() for tag in LONG)], ids=["small", "capital"])
def test_captions_of_long_tags_end_before_the_next_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: tuple[str, ...]
) -> None:
    drawn: list[Figure] = []

    class Kept(Figure):
        def savefig(self, *args: Any, **kwargs: Any) -> None:
            super().savefig(*args, **kwargs)
            drawn.append(self)

    monkeypatch.setattr(figures, "Figure", Kept)
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    draw_tiles(tmp_path / "tiles.png", images, tags, np.tri(3, dtype=np.uint8), np.tri(3, dtype=np.uint8).T, title="x")
    (picture,) = drawn
    inches = [
        text.get_window_extent().width / picture.dpi
        for text in picture.texts
        if text.get_horizontalalignment() == "left"
    ]
    assert len(inches) == 9 and max(inches) < 2  # from a tile to the next
    assert {"missed", "positive"} <= {word for text in picture.texts for word in text.get_text().split()}


def test_picture_shows_the_tiles_and_no_caption_is_threshold(demo_tiles: Path, tmp_path: Path) -> None:
    catalog = read_catalog(demo_tiles)
    images, true = [read_tile(Path(path)) for path in catalog.labelled["path"][:8]], catalog.targets[:8]
    draw_tiles(tmp_path / "few.png", images, catalog.tags.names, true, true, title="Generated tiles")
    draw_tiles(tmp_path / "all.png", images, catalog.tags.names, true, np.ones_like(true), title="Generated tiles")
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "all.png") as full:
        assert full.height > few.height  # 17 lines below each tile need more room than a few
        pixels = np.asarray(full.convert("L"))
        assert (pixels[-3:] > 250).all()  # nothing runs over the lower edge
        assert (np.asarray(few.convert("L")) < 128).mean() > 0.05
