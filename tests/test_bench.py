import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from amazon_ml.bench.loading import loading
from amazon_ml.bench.measure import Contest, Ratio, figures
from amazon_ml.cli import main


def test_the_ratio_is_that_of_the_times() -> None:
    runs = {"slow": lambda: time.sleep(0.03), "quick": lambda: time.sleep(0.01)}
    (figure,) = figures(Contest(runs, [Ratio("sleep", "quick", "slow", 2.5)], tiles=7), rounds=3)
    assert figure["times_as_fast"] == pytest.approx(3, rel=0.2)
    assert figure["baseline_seconds"] == pytest.approx(0.03, rel=0.2)
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
