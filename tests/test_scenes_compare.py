"""Two dates: probabilities of change on states that are known, and the maps of what changed."""

import itertools
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scene_files import LEFT, STEP, TOP, ground, write_scene

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.errors import InputError
from amazon_ml.scenes.change import change_of
from amazon_ml.scenes.compare import compare_results, compare_scenes
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.stored import read_frame, read_result

#: Share of the training tiles with the tag.
FREQUENCY = 0.2
Floats = npt.NDArray[np.float64]


def observed(states: npt.NDArray[np.bool_], share: float, rng: np.random.Generator, sharpness: float = 1.5) -> Floats:
    """Draw calibrated probabilities: the posterior of a state of this share after a noisy look at it."""
    seen = rng.normal(np.where(states, sharpness, -sharpness), 1.5)
    odds = np.exp(2 * sharpness * seen / 1.5**2) * share / (1 - share)
    return odds / (1 + odds)


def two_dates(changes: float, seed: int = 0, cells: int = 6000) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Draw a tag at two dates: of the cells without it, this share gets it."""
    rng = np.random.default_rng(seed)
    first = rng.random(cells) < FREQUENCY
    appeared = ~first & (rng.random(cells) < changes)
    after = first | appeared
    # One network gives both: its probabilities hold the share of the tag among its training tiles.
    return observed(first, FREQUENCY, rng), observed(after, FREQUENCY, rng), appeared


def test_ground_that_did_not_change_is_not_called_changed_for_its_noise() -> None:
    before, after, _ = two_dates(0.0)
    none = np.zeros_like(before)
    change = change_of(before, after, none, none, FREQUENCY)
    naive = (1 - before) * after
    assert naive.mean() > 0.04  # what the noise alone looks like
    assert change.appeared.mean() < 0.006 and (change.appeared > 0.5).sum() <= 3


@pytest.mark.parametrize("changes", [0.03, 0.15])
def test_probabilities_of_change_are_calibrated(changes: float) -> None:
    before, after, appeared = two_dates(changes, cells=20_000)
    none = np.zeros_like(before)
    change = change_of(before, after, none, none, FREQUENCY)
    assert change.appeared.mean() == pytest.approx(appeared.mean(), rel=0.25)
    for low, high in itertools.pairwise((0.0, 0.1, 0.4, 0.7, 1.0)):
        here = (change.appeared >= low) & (change.appeared < high)
        if here.sum() > 150:
            assert appeared[here].mean() == pytest.approx(change.appeared[here].mean(), abs=0.1)
    assert change.went.mean() < 0.01


def test_the_area_of_change_has_an_honest_interval() -> None:
    inside = 0
    for seed in range(20):
        before, after, appeared = two_dates(0.05, seed=seed, cells=800)
        none, areas = np.zeros(800), np.full(800, 3.0)
        area = change_of(before, after, none, none, FREQUENCY, areas).appeared_area
        low, high = (area.quantile(share, areas.sum()) for share in (0.025, 0.975))
        assert low < area.mean < high
        inside += low <= 3 * appeared.sum() <= high
    assert inside >= 16


def test_a_tag_that_the_network_cannot_see_leaves_the_area_open() -> None:
    p, none = np.full(300, FREQUENCY), np.zeros(300)  # what the training says of any tile
    area = change_of(p, p, none, none, FREQUENCY, np.ones(300)).appeared_area
    assert area.quantile(0.975, 300) > 20


def test_the_states_are_a_fixed_point_of_bayes_rule() -> None:
    before, after, _ = two_dates(0.1, cells=500)
    none = np.zeros_like(before)
    states = change_of(before, after, none, none, FREQUENCY).states
    mean = FREQUENCY
    counts = np.array([[1.0, 0.05], [0.05, 1.0]])
    for p, q in zip(before.clip(1e-4, 1 - 1e-4), after.clip(1e-4, 1 - 1e-4), strict=True):
        cell = np.array([
            [states[s, t] * (p / mean if s else (1 - p) / (1 - mean)) * (q / mean if t else (1 - q) / (1 - mean))
             for t in (0, 1)] for s in (0, 1)
        ])  # fmt: skip
        counts += cell / cell.sum()
    assert np.abs(counts / counts.sum() - states).max() < 1e-5


def test_nothing_goes_behind_a_cloud() -> None:
    before = np.array([0.98] * 50 + [0.05] * 150)
    after = before.copy()
    after[:10] = 0.001  # the tag cannot be seen
    clear, cloudy = np.zeros(200), np.where(np.arange(200) < 10, 0.998, 0.0)
    assert change_of(before, after, clear, clear).went[:10].min() > 0.5
    assert change_of(before, after, clear, cloudy).went[:10].max() < 0.1


# ---------------------------------------------------------------- maps


@pytest.fixture(scope="module")
def tagger(trained: Path) -> am.Predictor:
    return am.Predictor.load(trained / "bundle", device="cpu")


@pytest.fixture(scope="module")
def dates(tagger: am.Predictor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, SceneResult]:
    """Tag a scene, and a later one that is shifted by half a pixel and reaches further, on the grid of the first."""
    folder = tmp_path_factory.mktemp("dates")
    first = write_scene(folder / "a.tif", ground(96, 128))
    later = write_scene(folder / "b.tif", ground(110, 150, seed=5), column=-3, row=-2)
    before = tagger.predict_scene(first, folder / "before")
    tagger.predict_scene(later, folder / "after", like=str(folder / "before"))
    return folder / "before", folder / "after", before


def test_a_result_is_read_as_it_was_written(dates: tuple[Path, Path, SceneResult]) -> None:
    before, _, result = dates
    read = read_result(before, "before")
    assert read.grid == result.grid and read.tags == result.tags
    assert np.array_equal(read.p, result.p) and np.array_equal(read.predicted, result.predicted)
    assert np.array_equal(read.valid, result.valid) and np.array_equal(read.inside, result.inside)


def test_the_later_scene_has_the_cells_of_the_first(
    dates: tuple[Path, Path, SceneResult], tagger: am.Predictor
) -> None:
    _, after, result = dates
    read = read_result(after, "after")
    assert read.grid == result.grid
    pixels = ground(110, 150, seed=5)[:, 2:98, 3:131]
    tiles = [pixels[:, top : top + 32, left : left + 32] for top in (0, 32, 64) for left in (0, 32, 64, 96)]
    expected = tagger.predict_proba(np.ascontiguousarray(np.moveaxis(np.stack(tiles), 1, -1)))
    assert np.abs(read.p.reshape(expected.shape) - expected).max() <= 1e-6


def test_the_command_writes_the_changes(
    dates: tuple[Path, Path, SceneResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, _ = dates
    out = tmp_path / "changes"
    words = ["scene", "compare", str(before), str(after), "--out", str(out), "--geojson"]
    assert main(words) == 0
    assert "agriculture" in capsys.readouterr().out
    frequencies = read_frame(before, "before").frequencies
    comparison = compare_results(read_result(before, "before"), read_result(after, "after"), frequencies=frequencies)
    assert "clear" not in comparison.tags and "cloudy" not in comparison.tags and "road" in comparison.tags
    with sqlite3.connect(out / "changes.gpkg") as base:
        cells = pd.read_sql('SELECT * FROM changes ORDER BY "row", "column"', base)
        assert base.execute("SELECT min_x, max_y FROM gpkg_contents WHERE table_name = 'changes'").fetchone() == (
            LEFT,
            TOP,
        )
    for kind, values in (("new", comparison.appeared), ("gone", comparison.went)):
        p = cells[[f"{kind}_{tag}" for tag in comparison.tags]].to_numpy().reshape(values.shape)
        assert np.array_equal(p, values)
    summary = pd.read_csv(out / "changes.csv").set_index("tag")
    hectares = (32 * STEP) ** 2 / 10_000
    at = comparison.tags.index("road")
    assert summary.loc["road", "appeared"] == pytest.approx(comparison.appeared[..., at].sum() * hectares, rel=1e-3)
    assert len(json.loads((out / "changes.geojson").read_text())["features"]) == 12
    assert main(words) == 2 and main([*words, "--overwrite"]) == 0


def test_a_change_of_one_cell_is_found_and_a_cell_without_data_is_not_one(
    dates: tuple[Path, Path, SceneResult],
) -> None:
    before = dates[2]
    tag = before.tags.index("road")
    p = np.full_like(before.p, 0.02)
    later = p.copy()
    later[1, 2, tag] = 0.97
    later[0, 0] = np.nan
    comparison = compare_results(replace(before, p=p), replace(before, p=later), least=0.5)
    layer = {column.name: column.plain() for column in comparison.layer().columns}
    assert layer["appeared"].index("road") == 1 * 4 + 2
    assert layer["appeared"].count("road") == 1 and not any(layer["went"])
    assert layer["appeared"][0] is None and np.isnan(comparison.appeared[0, 0]).all()


def test_a_scene_that_is_tagged_like_another_has_its_stride(
    dates: tuple[Path, Path, SceneResult], tagger: am.Predictor, tmp_path: Path
) -> None:
    scene = dates[0].parent / "a.tif"
    tagger.predict_scene(scene, tmp_path / "half", stride=16)
    result = tagger.predict_scene(scene, like=str(tmp_path / "half"))
    assert result.windows.stride == 16
    with pytest.raises(InputError) as error:
        tagger.predict_scene(scene, like=str(tmp_path / "half"), gsd=10.0)
    assert error.value.option == "gsd"


def test_results_that_do_not_fit_together_are_refused(
    dates: tuple[Path, Path, SceneResult], tagger: am.Predictor, tmp_path: Path
) -> None:
    before, after, _ = dates
    tagger.predict_scene(before.parent / "b.tif", tmp_path / "own grid")
    tagger.predict_scene(before.parent / "a.tif", tmp_path / "stride", stride=16)
    far = write_scene(tmp_path / "far.tif", ground(40, 40), column=900)
    (tmp_path / "empty").mkdir()
    for other, option in (("own grid", "after"), ("stride", "after"), ("empty", "after"), ("missing", "after")):
        with pytest.raises(InputError) as error:
            compare_scenes(before, tmp_path / other, out=tmp_path / "out")
        assert error.value.option == option
    with pytest.raises(InputError) as error:
        tagger.predict_scene(far, like=str(before))
    assert error.value.option == "like"
    with pytest.raises(InputError) as error:
        compare_scenes(before, after, out=tmp_path / "out", least=0)
    assert error.value.option == "least"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["scene.json", "cells.parquet"])
def test_damaged_results_are_refused_with_their_file(
    dates: tuple[Path, Path, SceneResult], tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in dates[0].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / name).write_bytes((copy / name).read_bytes()[:-30])
    with pytest.raises(InputError) as error:
        read_result(copy, "before")
    assert str(error.value.file) == str(copy / name)
