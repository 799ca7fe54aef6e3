"""Folds trained by processes side by side, and put together: each tile once, in its fold, or a message that tells."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import TINY, as_written
from forked import Forked
from refused import holds

from amazon_ml.cli.main import main
from amazon_ml.pipeline.gather import gather
from amazon_ml.runs.access import locked, locked_fold
from amazon_ml.runs.folder import Run

pytestmark = pytest.mark.usefixtures("without_pages")

RESULTS = ("oof.parquet", "test.parquet", "decision.json", "metrics.json", "submission.csv")


def command(run: Path, tiles: Path, *options: str) -> list[str]:
    return ["train", "--run", str(run), "--data.root", str(tiles), *TINY, *options]


def copy_of(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run"))


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------- side by side


def test_processes_side_by_side_train_a_fold_each(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    processes = [Forked(command(run, demo_tiles, "--model.tta=flips", "--folds", fold)) for fold in ("0", "2")]
    ends = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(ends)
    for name in ("folds.csv", "truth.csv", "bands.json", "fold-0/model.safetensors", "fold-2/valid.parquet", *RESULTS):
        assert (run / name).read_bytes() == (trained / name).read_bytes(), name
    starts = json.loads((run / "provenance.json").read_text())["starts"]
    assert sorted(start["command"].split("--folds ")[1] for start in starts) == ["0", "2"]


@pytest.mark.usefixtures("short_finish")
def test_second_process_on_a_fold_is_refused_whatever_else_it_asks_for(
    trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(trained, tmp_path)
    before = (run / "provenance.json").read_bytes()
    with locked_fold(Run(run).fold(2)):
        for folds in ("2", "all", "[0, 2]"):
            assert main(command(run, demo_tiles, "--model.tta=flips", "--folds", folds)) == 2
            assert holds(told(capsys), run / "fold-2")
        assert main(command(run, demo_tiles, "--model.tta=flips", "--folds", "0")) == 0
    assert not (run / "fold-1" / "model.safetensors").exists()
    assert len(json.loads((run / "provenance.json").read_bytes())["starts"]) == len(json.loads(before)["starts"]) + 1


def test_options_are_settled_as_soon_as_one_process_is_at_work(
    demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(command(run, demo_tiles, "--trainer.max_epochs=0")) == 2
    folds = (run / "folds.csv").read_bytes()
    with locked_fold(Run(run).fold(1)):
        assert main(command(run, demo_tiles, "--trainer.max_epochs=0", "--seed=1")) == 2
        assert holds(told(capsys), run, "seed", 0, 1)
    assert (run / "folds.csv").read_bytes() == folds
    assert main(command(run, demo_tiles, "--trainer.max_epochs=0", "--seed=1")) == 2
    assert (run / "folds.csv").read_bytes() != folds


def test_gathering_waits_for_its_turn(trained: Path, tmp_path: Path) -> None:
    run = copy_of(trained, tmp_path)
    (run / "oof.parquet").unlink()
    thread = threading.Thread(target=gather, args=[run], kwargs={"partial": True})
    with locked(Run(run)):
        thread.start()
        time.sleep(0.5)
        assert thread.is_alive() and not (run / "oof.parquet").exists()
    thread.join(60)
    assert (run / "oof.parquet").read_bytes() == (trained / "oof.parquet").read_bytes()


@pytest.mark.usefixtures("short_finish")
def test_folds_that_are_counted_from_1_can_be_trained(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    folds = pd.read_csv(trained / "folds.csv").assign(fold=lambda table: table["fold"] + 1)
    folds.to_csv(tmp_path / "run" / "folds.csv", index=False)
    assert main(command(tmp_path / "run", demo_tiles, "--trainer.max_epochs=1", "--folds=3")) == 0
    oof = pd.read_parquet(tmp_path / "run" / "oof.parquet")
    assert set(oof["image_name"]) == set(folds.loc[folds["fold"] == 3, "image_name"])


# ---------------------------------------------------------------- put together


def test_missing_folds_are_named_unless_part_is_enough(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(trained, tmp_path)
    for name in RESULTS:
        (run / name).unlink()
    assert main(["gather", str(run)]) == 2
    assert holds(told(capsys), run, "[1]") and not (run / "oof.parquet").exists()
    assert main(["gather", str(run), "--partial", "true"]) == 0
    for name in RESULTS:
        assert (run / name).read_bytes() == (trained / name).read_bytes(), name


def lose(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(index=5)


def repeat(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[[5]]])


def swap(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(image_name=["stranger", *table["image_name"][1:]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose, "lacks {5}, which {folds} holds out in fold 2 (1 such tiles)"),
        (repeat, "holds {5} more than once (1 such tiles)"),
        (swap, "holds stranger, which is none of the tiles that {folds} holds out in fold 2 (1 such tiles)"),
    ],
)
def test_tiles_that_are_not_those_of_the_fold_are_named_with_the_remedy(
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    run = copy_of(trained, tmp_path)
    valid = run / "fold-2" / "valid.parquet"
    table = pd.read_parquet(valid)
    change(table).to_parquet(valid, index=False)
    as_written(run)
    assert main(["gather", str(run), "--partial", "true"]) == 2
    shown = told(capsys)
    tile = table["image_name"][5]
    assert f"{valid}: the table {message.replace('{5}', tile).replace('{folds}', str(run / 'folds.csv'))}" in shown
    assert f"delete {run / 'fold-2'} and train fold 2 again" in shown
    assert (run / "oof.parquet").read_bytes() == (trained / "oof.parquet").read_bytes()


def test_a_fold_of_another_run_is_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy_of(trained, tmp_path)
    shutil.copytree(run / "fold-0", run / "fold-1")
    assert main(["gather", str(run)]) == 2
    assert "fold-1/valid.parquet: " in (message := told(capsys)) and " train_" in message


def test_untagged_tiles_that_changed_between_folds_are_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(trained, tmp_path)
    swap(pd.read_parquet(run / "fold-2" / "test.parquet")).to_parquet(run / "fold-2" / "test.parquet", index=False)
    as_written(run)
    assert main(["gather", str(run), "--partial", "true"]) == 2
    assert holds(told(capsys), "fold-2/test.parquet", 30)


@pytest.mark.with_pages
def test_gathering_needs_no_tiles_but_for_the_picture(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = copy_of(trained, tmp_path)
    options = yaml.safe_load((run / "config.yaml").read_text())
    options["data"]["root"] = str(tmp_path / "gone")
    (run / "config.yaml").write_text(yaml.safe_dump(options))
    (run / "oof.parquet").unlink()
    assert main(["gather", str(run), "--partial", "true"]) == 0
    assert "no tiles are drawn" in caplog.text and (run / "oof.parquet").exists()


def test_gathering_what_is_not_there(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gather", str(tmp_path / "typo")]) == 2
    assert holds(told(capsys), tmp_path / "typo") and not (tmp_path / "typo").exists()
    run = copy_of(trained, tmp_path)
    provenance = json.loads((run / "provenance.json").read_text())
    provenance["data"]["unlabelled"] = None
    (run / "provenance.json").write_text(json.dumps(provenance))
    as_written(run)
    assert main(["gather", str(run)]) == 2
    assert holds(told(capsys), run / "provenance.json", "data.unlabelled", None)
    shutil.copy(trained / "provenance.json", run)
    as_written(run)
    for fold in ("fold-0", "fold-2"):
        shutil.rmtree(run / fold)
    assert main(["gather", str(run), "--partial", "true"]) == 2
    assert holds(told(capsys), f"amazon-ml train --run {run}")
