"""The notebooks, run from top to bottom; what they claim, they assert."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import matplotlib as mpl
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks_and_the_list_names_each() -> None:
    listed = (Path(__file__).parents[1] / "notebooks" / "README.md").read_text()
    assert NOTEBOOKS and all(f"({path.name})" in listed for path in NOTEBOOKS)


def _run(command: list[str], *, check: bool, capture_output: bool) -> subprocess.CompletedProcess[str]:
    """Do as `subprocess.run` for commands of ours, which are all that notebooks start."""
    assert check and capture_output and command[:3] == [sys.executable, "-m", "amazon_ml.cli"]
    done = forked.run(command[3:])
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mpl.use("Agg")
    monkeypatch.setattr(subprocess, "run", _run)
    names: dict[str, Any] = {}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
