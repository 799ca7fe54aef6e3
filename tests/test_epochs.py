"""How long training takes: as said, and a moderate time where nothing is said."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY

from amazon_ml.cli.main import main
from amazon_ml.runs.trainer import EPOCHS, TrainerConfig

SHORT = [option for option in TINY if "max_epochs" not in option]


def test_ten_epochs_unless_something_else_says_how_long() -> None:
    assert TrainerConfig().epochs == EPOCHS == 10
    assert TrainerConfig(max_epochs=3).epochs == 3 and TrainerConfig(max_epochs=-1).epochs == -1
    assert TrainerConfig(max_steps=50).epochs is None and TrainerConfig(max_time="00:01:00:00").epochs == EPOCHS
    assert TrainerConfig(min_epochs=30).epochs == 30


@pytest.mark.usefixtures("fit_only")
def test_a_run_without_a_number_of_epochs_ends(demo_tiles: Path, tmp_path: Path) -> None:
    few = ["--data.max_samples=32", "--trainer.check_val_every_n_epoch=5"]
    assert main(["train", "--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *SHORT, *few]) == 0
    assert pd.read_csv(tmp_path / "run" / "fold-0" / "metrics.csv")["epoch"].max() == EPOCHS - 1


@pytest.mark.usefixtures("fit_only")
def test_a_number_of_steps_may_take_any_number_of_epochs(demo_tiles: Path, tmp_path: Path) -> None:
    steps = ["--data.max_samples=32", "--trainer.max_steps=24", "--trainer.check_val_every_n_epoch=12"]
    assert main(["train", "--run", str(tmp_path / "run"), "--data.root", str(demo_tiles), *SHORT, *steps]) == 0
    table = pd.read_csv(tmp_path / "run" / "fold-0" / "metrics.csv")
    assert table["step"].max() == 23 and table["epoch"].max() > EPOCHS
