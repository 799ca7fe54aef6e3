"""Files of a run that are damaged, foreign or nested too deep: one message with the file, or training that goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.runs.bundle import _networks
from amazon_ml.runs.curves import read_figures
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import atomic_write, read_json

pytestmark = pytest.mark.usefixtures("short_finish")


def _train(run: Path, tiles: Path, *options: str) -> int:
    return main(["train", "--run", str(run), "--data.root", str(tiles), "--folds=[0, 2]", "--model.tta=flips", *TINY,
                 *options])  # fmt: skip


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_json_that_is_nested_too_deep_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text(text)
    with refused(file=tmp_path / "deep.json"):
        read_json(tmp_path / "deep.json")


#: Figures as no training writes them.
DAMAGED = {
    "empty": b"",
    "zeroed": b"\0" * 500,
    "no UTF-8": b"\xff\xfe",
    "of another program": b"a,b\n1,2\n",
    "words": b"epoch,step\nx,y\n",
    "rows of several lengths": b"epoch,step\n1,2,3\n1,2,3,4\n",
    "no rows": b"epoch,step\n",
    "endless epochs": b"epoch,step\ninf,3\n1e300,3\n",
    "negative epochs": b"epoch,step\n-4,3\n",
    "scores in words": b"epoch,step,val_f2\n0,3,good\n",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_figures_are_set_aside(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    assert read_figures(path, ("epoch", "step")) is None
    assert not path.exists() and (tmp_path / "metrics.csv.damaged").read_bytes() == content


def test_whole_figures_are_read(tmp_path: Path) -> None:
    assert read_figures(tmp_path / "none.csv", ("epoch",)) is None
    (tmp_path / "a.csv").write_text("epoch,step\n0,4\n")
    table = read_figures(tmp_path / "a.csv", ("epoch", "step"))
    assert table is not None and table["step"].tolist() == [4]


@pytest.mark.parametrize("kind", ["empty", "zeroed", "of another program", "scores in words"])
def test_runs_with_damaged_curves_are_shown_without_them(
    kind: str, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for name in ("metrics.csv", "per_tag.csv"):
        (run / "fold-0" / name).write_bytes(DAMAGED[kind])
    assert "Fold 0 ends" in (run / "report.html").read_text()
    assert main(["report", str(run), "--saliency", "false"]) == 0
    page = (run / "report.html").read_text()
    assert "Fold 0 ends" not in page and "Fold 2 ends" in page
    assert f"{run / 'fold-0' / 'metrics.csv'}: the file is damaged" in caplog.text
    assert (run / "fold-0" / "metrics.csv").read_bytes() == DAMAGED[kind]  # only training sets it aside
    assert main(["compare", str(run), str(trained)]) == 0


def test_training_goes_on_beside_damaged_curves(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    fold = run / "fold-0"
    (fold / "model.safetensors").unlink()  # so that it is trained again
    (fold / "metrics.csv").write_bytes(b"\0" * 300)
    (fold / "per_tag.csv").write_bytes(b"")
    assert _train(run, demo_tiles) == 0
    assert pd.read_csv(fold / "metrics.csv")["val_f2"].count() == 2
    assert (fold / "metrics.csv.damaged").exists() and (fold / "per_tag.csv.damaged").exists()


@pytest.mark.parametrize(
    "content",
    [{"weights": torch.zeros(2)}, {"global_step": 3, "callbacks": {}, "state_dict": {"layer.weight": torch.zeros(2)}},
     {"global_step": 3, "callbacks": [], "state_dict": {}}, [1, 2]],
)  # fmt: skip
def test_checkpoint_of_another_program_is_named(
    content: object, trained: Path, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "fold-0" / "model.safetensors").unlink()
    (run / "fold-0" / "checkpoints").mkdir()
    torch.save(content, run / "fold-0" / "checkpoints" / "last.ckpt")
    assert _train(run, demo_tiles) == 2
    said = capsys.readouterr().err
    assert "last.ckpt" in said and "Traceback" not in said


@pytest.mark.parametrize("argument", ["act_layer: nope", "norm_layer: nope", "nope: 1", "block_args: 3"])
def test_arguments_that_a_backbone_refuses_are_named(
    argument: str, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path / "run", demo_tiles, "--model.backbone_args={" + argument + "}") == 2
    assert argument.partition(":")[0] in capsys.readouterr().err


def test_blend_of_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blend.json").write_text("{}")
    with refused(file=tmp_path / "blend.json"):
        _networks(Run(tmp_path), (tmp_path.resolve(),))


@pytest.mark.parametrize("fault", ["Fortran", "objects", "cut", "twice"])
def test_odd_packed_store_is_named(
    fault: str, demo_tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["data", "pack", str(demo_tiles), "--size=32", "--out", str(store)]) == 0
    array = np.load(store / "tiles.npy")
    if fault == "Fortran":
        np.save(store / "tiles.npy", np.asfortranarray(array))
    elif fault == "objects":
        np.save(store / "tiles.npy", array[:2].astype(object), allow_pickle=True)
    elif fault == "cut":
        (store / "tiles.npy").write_bytes((store / "tiles.npy").read_bytes()[:5000])
    else:
        description = json.loads((store / "store.json").read_text())
        rows = description["tiles"]
        for column in rows.values() if isinstance(rows, dict) else ():
            column[1] = column[0]
        if isinstance(rows, list):
            rows[1] = rows[0]
        (store / "store.json").write_text(json.dumps(description))
    assert _train(tmp_path / "run", demo_tiles, "--data.packed", str(store)) == 2
    said = capsys.readouterr().err
    assert str(store) in said and "data pack" in said


def test_parts_of_a_killed_export_are_cleared(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_at_once(path: Path, *_: Any) -> float:
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"a network")
        return 0.0

    monkeypatch.setattr("amazon_ml.runs.export.write_onnx", write_at_once)
    out, mine = tmp_path / "net[1].onnx", f".net[1].onnx.{'0' * 16}.part"
    for name in (mine, ".net[1].onnx.abc.part", f".net1.onnx.{'0' * 16}.part"):
        (tmp_path / name).write_bytes(b"half")
    assert main(["export", str(trained), "--onnx", str(out)]) == 0
    assert out.is_file() and not (tmp_path / mine).exists()
    assert (tmp_path / ".net[1].onnx.abc.part").exists() and (tmp_path / f".net1.onnx.{'0' * 16}.part").exists()
