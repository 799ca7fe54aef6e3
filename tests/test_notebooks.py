"""The notebooks, run from top to bottom; what they claim, they assert."""

import json
import logging
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks_and_the_list_names_each() -> None:
    listed = (Path(__file__).parents[1] / "notebooks" / "README.md").read_text()
    assert NOTEBOOKS and all(f"({path.name})" in listed for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    mpl.use("Agg")
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    names: dict[str, Any] = {}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
    lightning.setLevel(level)  # a notebook silences it, and other tests read what it says
