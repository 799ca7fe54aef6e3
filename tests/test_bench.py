import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from amazon_ml.bench.bands import bands
from amazon_ml.bench.engines import engines
from amazon_ml.bench.loading import loading
from amazon_ml.bench.measure import Contest, Gauge, Ratio, figures, readings
from amazon_ml.bench.scenes import scenes
from amazon_ml.bench.training import Setting, training
from amazon_ml.cli.main import main
from amazon_ml.errors import InputError


def test_the_ratio_is_that_of_the_times() -> None:
    runs = {"slow": lambda: time.sleep(0.15), "quick": lambda: time.sleep(0.05)}
    (figure,) = figures(Contest(runs, [Ratio("sleep", "quick", "slow", 2.5)], tiles=7), rounds=3)
    assert figure["times_as_fast"] == pytest.approx(3, rel=0.2)
    assert figure["baseline_seconds"] == pytest.approx(0.15, rel=0.2)
    assert (figure["what"], figure["tiles"], figure["must_reach"]) == ("sleep", 7, 2.5)


def test_one_core_is_for_the_contest_only() -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        figures(Contest({"a": lambda: seen.append(torch.get_num_threads())}, [], tiles=1, one_core=True), rounds=1)
        assert seen == [1, 1] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_all_contestants_of_loading_run_and_every_goal_is_compared(demo_tiles: Path, tmp_path: Path) -> None:
    contest = loading(demo_tiles, 32, tmp_path)
    assert contest.tiles == 192
    assert sorted(ratio.goal for ratio in contest.ratios if ratio.goal) == [0.5, 0.85, 2.5, 10]
    assert {name for ratio in contest.ratios for name in (ratio.ours, ratio.baseline)} == set(contest.runs)
    assert all(np.isfinite(figure["times_as_fast"]) for figure in figures(contest, rounds=1))


def test_all_contestants_of_twelve_bands_run(tmp_path: Path) -> None:
    contest = bands(64, tmp_path)
    assert contest.tiles == 64
    assert [ratio.goal for ratio in contest.ratios] == [2, 0.5]
    assert all(np.isfinite(figure["times_as_fast"]) for figure in figures(contest, rounds=1))


def test_all_contestants_of_scenes_run_on_the_same_windows(tmp_path: Path) -> None:
    contest = scenes(20, "test_resnet", tmp_path)
    assert [(ratio.goal, ratio.tiles) for ratio in contest.ratios] == [(0.9, 20), (0.9, 3 * 19)]
    assert {name for ratio in contest.ratios for name in (ratio.ours, ratio.baseline)} < set(contest.runs)
    found = figures(contest, rounds=1)
    assert [figure["tiles"] for figure in found] == [20, 57]
    assert all(np.isfinite(figure["times_as_fast"]) for figure in found)
    assert [reading["value"] > 0 for reading in readings(contest)] == [True, True]


def test_all_contestants_of_training_run_and_tell_what_they_waited(demo_tiles: Path, tmp_path: Path) -> None:
    setting = Setting("test_resnet", 32, 16, 5, "cpu", "32-true", speed=3000, wait=0.05)
    contest = training(demo_tiles, tmp_path, setting)
    assert contest.tiles == 80
    found = figures(contest, rounds=1)
    assert [figure["must_reach"] for figure in found] == [0.95, None, None]
    assert all(np.isfinite(figure["times_as_fast"]) for figure in found)
    speed, packed, files, memory = readings(contest)
    assert speed["value"] > 0 and speed["at_least"] == 3000 and packed["at_most"] == 0.05
    assert 0 < packed["value"] < 1 and 0 < files["value"] < 1 and memory["value"] > 0.1


def test_every_engine_of_this_machine_predicts_all_files(demo_tiles: Path, tmp_path: Path, trained: Path) -> None:
    contest = engines(demo_tiles / "test-jpg", 32, "none", tmp_path)
    assert contest.tiles == len(list((demo_tiles / "test-jpg").iterdir())) and contest.one_core
    assert {ratio.baseline for ratio in contest.ratios} == {"plain loop"}
    goals = {ratio.ours: ratio.goal for ratio in contest.ratios}
    assert goals["folded"] == 1.4 and goals["torch"] is None and {"torch", "folded", "onnx", "auto"} <= set(goals)
    given = torch.tensor(np.asarray(contest.runs["folded"]()))
    plain = torch.as_tensor(contest.runs["plain loop"]())
    assert given.shape == (contest.tiles, 17) and (given - plain).abs().max() < 0.02  # other decoders of CMYK
    with pytest.raises(InputError) as caught:
        engines(demo_tiles, 32, "none", tmp_path, trained)
    assert caught.value.option == "run"  # it has two networks


def test_gauges_are_read_after_the_rounds() -> None:
    calls: list[int] = []
    gauge = Gauge("calls", lambda: float(len(calls)), at_most=3)
    contest = Contest({"a": lambda: calls.append(1)}, [], tiles=1, gauges=[gauge])
    figures(contest, rounds=2)
    assert readings(contest) == [{"what": "calls", "value": 3.0, "at_least": None, "at_most": 3}]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_measuring_a_gpu_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "gpu"]) == 2
    assert "no GPU with CUDA" in capsys.readouterr().err


def test_the_verb_prints_a_table_and_writes_figures_with_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    options = ["--only", "loading", "--rounds", "1", "--size", "32", "--tiles", "64", "--json", str(file)]
    assert main(["bench", *options]) == 0
    written = json.loads(file.read_text())
    assert written["size"] == 32 and written["machine"]["cores"] >= 1 and written["machine"]["torch"]
    shown = capsys.readouterr().out
    assert all(figure["what"].strip() in shown for figure in written["figures"]) and "10" in shown


def test_numbers_that_make_no_sense_are_refused() -> None:
    assert main(["bench", "--rounds", "0"]) == main(["bench", "--tiles", "63"]) == 2
