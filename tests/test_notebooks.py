"""The notebooks, run from top to bottom; what they claim, they assert."""

import json
import logging
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import pytest

from amazon_ml.report.comparison import caution, lead
from amazon_ml.runs.compare import Comparison

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
#: What is written in a notebook, and what is done here: less of the same, of which the notebook asserts as much.
SMALLER = {
    "01-losses": {"torch.linspace(-6, 6, 2401)": "torch.linspace(-6, 6, 601)"},
    "02-decisions": {
        "steps: int = 50": "steps: int = 8",
        "np.linspace(0.02, 0.8, 79)": "np.linspace(0.02, 0.8, 14)",
        "2_000), 12": "2_000), 5",
        "[16_000:]": "[21_000:]",
        "range(0, 8 * n, n)": "range(0, 5 * n, n)",
        "slice(0, 4_000), slice(4_000, None)": "slice(0, 2_500), slice(2_500, None)",
    },
    "04-results": {"tiles=500": "tiles=300", '"trainer.max_epochs": 2': '"trainer.max_epochs": 1'},
}


def test_there_are_notebooks_and_the_list_names_each() -> None:
    listed = (Path(__file__).parents[1] / "notebooks" / "README.md").read_text()
    assert NOTEBOOKS and all(f"({path.name})" in listed for path in NOTEBOOKS)


def test_the_stored_comparison_has_the_sentences_of_compare() -> None:
    runs = [{"run": run, "held_out": 500, "soft_labels": False} for run in ("first", "eight-views", "short")]
    found = {"tiles": 500, "tiles_of": None, "generated": True, "rule": "shrunk", "level": 0.975, "runs": runs}
    path = next(path for path in NOTEBOOKS if path.stem == "04-results")
    stored = [
        "".join(output["text"])
        for cell in json.loads(path.read_text())["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    ]
    assert f"{lead(cast(Comparison, found))}\n{caution(cast(Comparison, found))}\n" in stored


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("without_pages")  # which no notebook shows
def test_notebook_runs(path: Path) -> None:
    mpl.use("Agg")
    smaller = SMALLER.get(path.stem, {})
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    names: dict[str, Any] = {}
    cells = json.loads(path.read_text())["cells"]
    sources = {n: "".join(cell["source"]) for n, cell in enumerate(cells) if cell["cell_type"] == "code"}
    assert all(any(written in source for source in sources.values()) for written in smaller)
    for number, source in sources.items():
        for written, done in smaller.items():
            source = source.replace(written, done)
        exec(compile(source, f"{path.name}, cell {number}", "exec"), names)
    lightning.setLevel(level)  # a notebook silences it, and other tests read what it says
