"""What a run tells of itself, after somebody has edited it: a message that names the file and the key."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import as_written
from refused import command_refused, holds, refused

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.runs.config_file import config_text
from amazon_ml.runs.folder import Run

pytestmark = pytest.mark.usefixtures("short_finish")


@pytest.fixture(scope="module")
def copied(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that may be spoilt."""
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("run") / "run"))


def edited(run: Path, file: str, section: str, content: Any) -> None:
    """Put something else in the place of a section."""
    text = (run / file).read_text()
    whole = yaml.safe_load(text)  # JSON is YAML, too
    whole[section] = content
    (run / file).write_text(json.dumps(whole))
    if file != "config.yaml":  # of one that is not whole there is no hash
        as_written(run)


@pytest.mark.parametrize(
    ("file", "section", "commands"),
    [
        ("config.yaml", "data", ("gather", "tune", "export", "report", "audit", "evaluate")),
        ("config.yaml", "model", ("tune", "export", "evaluate")),
        ("config.yaml", "trainer", ("tune", "export", "evaluate")),
        ("provenance.json", "data", ("gather", "tune", "export", "report", "audit", "evaluate", "submit make")),
    ],
)
def test_a_section_that_was_emptied_is_told_by_every_command(
    copied: Path, trained: Path, demo_tiles: Path, file: str, section: str, commands: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    edited(copied, file, section, {})
    for command in commands:
        more = ["--data", str(demo_tiles)] if command == "evaluate" else []
        assert main([*command.split(), str(copied), *more]) == 2, command
        assert f"{copied / file}: " in (said := capsys.readouterr().err) and f" {section}." in said, command
    shutil.copy(trained / file, copied)
    as_written(copied)
    assert main(["gather", str(copied), "--partial", "true"]) == 0


@pytest.mark.parametrize("content", ["[]", "1", '{"data": []}', '{"starts": []}'])
def test_a_provenance_of_something_else_is_refused(copied: Path, trained: Path, content: str) -> None:
    (copied / "provenance.json").write_text(content)
    as_written(copied)
    with refused(file=copied / "provenance.json"):
        Run(copied).read_provenance()
    shutil.copy(trained / "provenance.json", copied)
    as_written(copied)


def test_what_is_there_is_told_as_it_was_written(trained: Path) -> None:
    assert config_text(Run(trained).read_config()) == (trained / "config.yaml").read_text()
    assert Run(trained).read_provenance() == json.loads((trained / "provenance.json").read_text())


#: Files of a run in the order in which training makes them, as far as the first network that is finished.
MADE = ("config.yaml", "folds.csv", "bands.json", "provenance.json", "tiles.parquet", "truth.csv", "fold-2")


@pytest.mark.parametrize("last", ["config.yaml", "provenance.json", "truth.csv", "fold-2"])
def test_an_unfinished_run_is_called_so_and_not_by_a_file_that_a_user_does_not_know(
    last: str, trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As training leaves it that was killed at some point."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("hashes.json", *MADE[: MADE.index(last) + 1]):
        (shutil.copytree if (trained / name).is_dir() else shutil.copy)(trained / name, run / name)
    for call in (lambda: am.Predictor.load(run), lambda: am.tune(run), lambda: am.evaluate(run, demo_tiles)):
        with refused(says="resumes") as raised:
            call()
        assert raised.value.file is not None and Path(raised.value.file).parent == run
    for words in (
        ["predict", run, "--tiles", demo_tiles, "--out", tmp_path / "out.csv"],
        ["export", run],
        ["submit", "make", run],
    ):
        assert holds(command_refused(capsys, *words), "resumes")


def test_a_run_that_lost_its_decision_is_tuned_again(copied: Path) -> None:
    (copied / "decision.json").unlink()
    with refused(file=copied / "decision.json", says="tune"):
        am.Predictor.load(copied)
    am.tune(copied)
    assert am.Predictor.load(copied).tags
