"""Commands that a notebook kernel runs: it exports its plotting backend, which they must not depend on.

Each runs in a process that has not imported matplotlib, whose import reads the backend.
"""

import os
import shutil
import subprocess
from pathlib import Path

import forked

#: What a kernel exports, and what nothing knows.
BACKENDS = ("module://matplotlib_inline.backend_inline", "nonsense")


def _shell(backend: str, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.run(words, environment={**os.environ, "MPLBACKEND": backend}, early=True)


def test_training_starts_whatever_the_backend() -> None:
    done = _shell(BACKENDS[1], "train", "--help")
    assert done.returncode == 0 and "usage: amazon-ml train" in done.stdout, done.stderr


def test_work_is_done_whatever_the_backend(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    backend, out = BACKENDS[0], tmp_path / "tags.csv"
    predicted = _shell(backend, "predict", str(trained), "--tiles", str(demo_tiles / "test-jpg"), "--out", str(out))
    assert predicted.returncode == 0 and len(out.read_text().splitlines()) == 21, predicted.stderr
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "report.html").unlink()
    reported = _shell(BACKENDS[1], "report", str(run))
    assert reported.returncode == 0 and (run / "report.html").is_file(), reported.stderr


def test_notebook_that_calls_from_python_keeps_its_backend() -> None:
    code = (
        "import os, sys; from amazon_ml.cli.main import main; main(['submit', 'lint', 'nowhere.csv']);"
        "assert 'matplotlib' not in sys.modules;"
        "import amazon_ml.report.figures, matplotlib;"
        "assert os.environ['MPLBACKEND'] == 'svg' and matplotlib.get_backend() == 'svg'"
    )
    done = forked.run(["-c", code], environment={**os.environ, "MPLBACKEND": "svg"}, early=True)
    assert done.returncode == 0, done.stderr
