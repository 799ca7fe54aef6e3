"""Links in a run, and guessed or forgotten temporary files: nothing is written, emptied or removed behind them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import run_of
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.runs.access import OWN, check_writable
from amazon_ml.runs.folder import FoldFolder, Run
from amazon_ml.runtime.files import atomic_write, write_json, write_text

RNG = np.random.default_rng(0)
TRUE = (RNG.random((60, 17)) < 0.3).astype(np.uint8)
P = np.clip(0.8 * TRUE + 0.1 + RNG.normal(0, 0.05, TRUE.shape), 0, 1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make a run that can be tuned, with a configuration as `train` writes it."""
    return run_of(tmp_path / "run", P, TRUE)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a folder of the user's, with files whose names are those of a run's files."""
    folder = tmp_path / "home"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("thesis.txt", "fold-7.safetensors", "bundle.json", "last.ckpt", "checkpoints/last.ckpt"):
        (folder / name).write_text(name)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


#: Names below a run, and what in the user's folder they are made to lead to.
LINKED = {
    "decision.json": "thesis.txt",
    "metrics.json": "thesis.txt",
    "report.html": "thesis.txt",
    "submission.csv": "thesis.txt",
    "audit.csv": "thesis.txt",
    "lr.csv": "thesis.txt",
    "tiles.png": "missing",
    "bundle": ".",
    "bundle/bundle.json": "bundle.json",
    "bundle/fold-0.safetensors": "fold-7.safetensors",
    "slurm": ".",
    "slurm/train.sbatch": "thesis.txt",
    "fold-0": ".",
    "fold-0/hparams.yaml": "thesis.txt",
    "fold-0/metrics.csv": "thesis.txt",
    "fold-0/metrics.before.csv": "thesis.txt",
    "fold-0/events.out.tfevents.1.host.1.0": "thesis.txt",
    "fold-0/checkpoints": "checkpoints",
    "fold-0/checkpoints/last.ckpt": "last.ckpt",
    "fold-12/model.safetensors": "fold-7.safetensors",
}


@pytest.mark.parametrize("name", LINKED)
def test_a_link_in_a_run_is_refused_for_writing(
    name: str, run: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, target = contents(home), LINKED[name]
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).symlink_to(home / target)
    assert main(["tune", str(run)]) == 2
    assert holds(capsys.readouterr().err, run / name)
    assert contents(home) == before


def _verbs(run: Path) -> dict[str, list[str]]:
    train = ["--run", str(run), "--data.root", "nowhere", "--trainer.accelerator=cpu"]
    return {
        "train": ["train", *train],
        "slurm train": ["slurm", "train", *train[:3], str(run)],
        "find lr": ["find", "lr", *train],
        "gather": ["gather", str(run)],
        "export": ["export", str(run)],
        "report": ["report", str(run)],
        "audit": ["audit", str(run), "--show=0"],
        "submit make": ["submit", "make", str(run)],
    }


@pytest.mark.parametrize("verb", _verbs(Path()))
def test_every_verb_that_writes_into_a_run_refuses_links(
    verb: str, run: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(home)
    (run / "bundle").symlink_to(home)
    assert main(_verbs(run)[verb]) == 2
    assert holds(capsys.readouterr().err, run / "bundle")
    assert contents(home) == before


def test_a_blend_is_not_written_through_links(
    run: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, other = contents(home), run_of(tmp_path / "other", P, TRUE)
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "oof.parquet").symlink_to(home / "thesis.txt")
    assert main(["blend", str(run), str(other), "--run", str(tmp_path / "both")]) == 2
    assert holds(capsys.readouterr().err, tmp_path / "both" / "oof.parquet")
    assert contents(home) == before


@pytest.mark.parametrize("name", sorted(OWN))
def test_every_name_of_a_run_is_looked_at(name: str, run: Path) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with refused(file=run / name):
        check_writable(Run(run))


def test_a_run_may_lie_under_a_link_and_hold_links_of_the_users(run: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(run)
    (run / "notes").symlink_to(home)
    check_writable(Run(tmp_path / "linked"))
    assert main(["tune", str(tmp_path / "scratch" / "run")]) == 0
    assert (run / "decision.json").is_file()


def test_a_guessed_temporary_name_is_not_written_through(run: Path, home: Path) -> None:
    for name in ("decision.json", "metrics.json"):
        (run / f".{name}.{os.getpid()}.part").symlink_to(home / "thesis.txt")
    before = contents(home)
    for name in ("decision.json", "metrics.json"):
        write_json(run / name, {})
    assert contents(home) == before
    assert (run / f".decision.json.{os.getpid()}.part").is_symlink()


def test_temporary_names_do_not_repeat_and_have_the_mode_of_any_file(tmp_path: Path) -> None:
    former = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a") as one, atomic_write(tmp_path / "a") as other:
            assert one != other and one.is_file()
    finally:
        os.umask(former)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


_WRITE_AND_WAIT = (
    "import sys, time; from pathlib import Path; from amazon_ml.runtime.files import atomic_write\n"
    "with atomic_write(Path(sys.argv[1])) as part:\n"
    "    part.write_text('half')\n"
    "    print(part.name, flush=True); time.sleep(60)"
)


def test_the_file_of_a_killed_process_is_cleared_and_that_of_a_live_one_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "tagger.onnx"
    command = [sys.executable, "-c", _WRITE_AND_WAIT, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        part = tmp_path / process.stdout.readline().strip()
        write_text(target, "whole")
        assert part.read_text() == "half"
        process.send_signal(signal.SIGKILL)
    assert part.exists()
    write_text(target, "again")
    assert contents(tmp_path) == {"tagger.onnx": "again"}


#: Files that look like a forgotten temporary file of a.json, and are none.
ALIKE = (".a.json.backup.part", ".a.json.1234.part", ".a.json.part", "a.json.0123456789abcdef.part",
         ".b.json.0123456789abcdef.part", ".a.json.0123456789ABCDEF.part", ".a.json.0123456789abcdef.part.old",
         ".axjson.0123456789abcdef.part")  # fmt: skip


def test_no_file_of_somebody_else_is_cleared(tmp_path: Path, home: Path) -> None:
    for name in ALIKE:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".a.json.0123456789abcdef.part").symlink_to(home / "thesis.txt")
    (tmp_path / ".a.json.0123456789abcde0.part").mkdir()
    os.mkfifo(tmp_path / ".a.json.0123456789abcde1.part")
    before = sorted(path.name for path in tmp_path.iterdir())
    write_json(tmp_path / "a.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "a.json"])
    assert (home / "thesis.txt").read_text() == "thesis.txt"


def test_no_device_or_pipe_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    with refused(file=tmp_path / "pipe"):
        write_text(tmp_path / "pipe", "text")
    assert time.monotonic() - began < 5 and (tmp_path / "pipe").is_fifo()


def test_a_file_of_lightnings_that_has_a_second_name_is_not_written_into(tmp_path: Path) -> None:
    from amazon_ml.training.fit import _Reached, _set_former_metrics_aside

    fold = FoldFolder(tmp_path / "fold-0")
    fold.path.mkdir()
    (tmp_path / "backup.yaml").write_text("mine")  # as cp -al leaves it
    (fold.path / "hparams.yaml").hardlink_to(tmp_path / "backup.yaml")
    _set_former_metrics_aside(fold, _Reached(0, {}))
    assert contents(tmp_path) == {"backup.yaml": "mine"}


def test_the_end_of_training_removes_its_own_checkpoint_only(tmp_path: Path) -> None:
    from amazon_ml.training.fit import _remove_checkpoint

    fold = FoldFolder(tmp_path / "fold-0")
    fold.checkpoints.mkdir(parents=True)
    own: list[Callable[[], object]] = [fold.last.touch, (fold.checkpoints / ".last.ckpt.0123456789abcdef.part").touch]
    for make in own:
        make()
    (fold.checkpoints / "best-of-mine.ckpt").write_text("mine")
    _remove_checkpoint(fold)
    assert contents(fold.path) == {"checkpoints/best-of-mine.ckpt": "mine"}
    (fold.checkpoints / "best-of-mine.ckpt").unlink()
    _remove_checkpoint(fold)
    assert not fold.checkpoints.exists()
