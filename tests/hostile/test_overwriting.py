"""What a command is asked to write over: files and folders of the user's stay, and inputs in any case."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import TINY, run_of
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.nearby import tables_around
from amazon_ml.runs.access import BEFORE_TRAINING, check_run_folder
from amazon_ml.runs.folder import Run
from amazon_ml.runs.shards import Parts, save_part
from amazon_ml.runtime.outputs import check_outputs

RNG = np.random.default_rng(0)
TRUE = (RNG.random((60, 17)) < 0.3).astype(np.uint8)
P = np.clip(0.8 * TRUE + 0.1 + RNG.normal(0, 0.05, TRUE.shape), 0, 1)
MINE = "what somebody worked on"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hash_all(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def _linked(path: Path, target: str = "in.csv") -> Path:
    path.symlink_to(target)
    return path


def _hard(path: Path) -> Path:
    path.hardlink_to("in.csv")
    return path


def _behind(folder: Path) -> Path:
    folder.symlink_to(Path.cwd())
    return folder / "in.csv"


def _made(path: Path, text: str = MINE) -> Path:
    path.write_text(text)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _piped(path: Path) -> Path:
    os.mkfifo(path)
    return path


#: Outputs that are refused, also with `overwrite`; ``in.csv`` and ``kept/`` are inputs.
NEVER: dict[str, Callable[[], Path]] = {
    "the input": lambda: Path("in.csv"),
    "its whole name": lambda: Path("in.csv").absolute(),
    "another spelling": lambda: Path("kept/../in.csv"),
    "a link": lambda: _linked(Path("link.csv")),
    "a hard link": lambda: _hard(Path("hard.csv")),
    "behind a linked folder": lambda: _behind(Path("there")),
    "a place in a folder that is read": lambda: Path("kept/new.csv"),
    "deep in a folder that is read": lambda: Path("kept/a/b.csv"),
    "the folder itself": lambda: Path("kept"),
    "a folder": lambda: _folder(Path("folder")),
    "this folder": lambda: Path(),
    "its parent": lambda: Path(".."),
    "a pipe": lambda: _piped(Path("pipe")),
    "a device": lambda: Path("/dev/null"),
    "below a file": lambda: Path("in.csv/out.csv"),
    "far below a file": lambda: Path("in.csv/a/b/out.csv"),
    "a tile": lambda: _made(Path("train_1.jpg")),
    "a tile in capitals": lambda: _made(Path("train_1.TIF")),
    "an input that is not there yet": lambda: Path("later.csv"),
}
#: Outputs that are refused unless they are to be replaced.
ASKED: dict[str, Callable[[], Path]] = {
    "a file": lambda: _made(Path("out.csv")),
    "an empty file": lambda: _made(Path("out.csv"), ""),
    "a link to another file": lambda: _linked(Path("out.csv"), str(_made(Path("other.csv")))),
    "a link to nothing": lambda: _linked(Path("out.csv"), "gone.csv"),
    "a link to itself": lambda: _linked(Path("out.csv"), "out.csv"),
}
#: Outputs that are right.
ALWAYS = ("out.csv", "new/deep/out.csv", "kept2.csv", "../out-of-here.csv", "kept.csv")


def check(output: Path, *, overwrite: bool) -> None:
    Path("in.csv").exists() or Path("in.csv").write_text(MINE)
    Path("kept").mkdir(exist_ok=True)
    inputs = [Path("in.csv"), Path("kept"), None, Path("later.csv")]
    check_outputs({"json": None, "out": output}, inputs, overwrite=overwrite)


@pytest.fixture(autouse=True)
def inputs(here: Path) -> None:
    (here / "in.csv").write_text(MINE)
    (here / "kept").mkdir()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", NEVER)
def test_an_output_that_would_cost_an_input_is_refused(kind: str, overwrite: bool) -> None:
    output = NEVER[kind]()
    with refused(option="out", says=output):
        check(output, overwrite=overwrite)


@pytest.mark.parametrize("kind", ASKED)
def test_a_file_that_is_there_is_replaced_when_that_is_asked_for(kind: str) -> None:
    output = ASKED[kind]()
    with refused(option="out", says=[output, "`overwrite`"]):
        check(output, overwrite=False)
    check(output, overwrite=True)


@pytest.mark.parametrize("output", ALWAYS)
def test_a_new_file_is_right(output: str) -> None:
    check(Path(output), overwrite=False)


@pytest.mark.parametrize("other", ["a.csv", "./a.csv", "kept/../a.csv"])
def test_two_options_do_not_name_one_file(other: str) -> None:
    with refused(option="page", says=[Path(other), "`json`"]):
        check_outputs({"json": Path("a.csv"), "page": Path(other)}, overwrite=True)


# ---------------------------------------------------------------- folders of runs

#: What somebody may have in a folder that is no run.
HOLDS: dict[str, Callable[[Path], object]] = {
    "a report": lambda run: _made(run / "report.html"),
    "a submission": lambda run: _made(run / "submission.csv"),
    "a truth": lambda run: _made(run / "truth.csv"),
    "a metrics table": lambda run: _made(run / "metrics.json"),
    "a fold": lambda run: _folder(run / "fold-0"),
    "a bundle": lambda run: _made(_folder(run / "bundle") / "a.safetensors"),
    "notes and folds": lambda run: [_made(run / "notes.txt"), _made(run / "folds.csv")],
    "job scripts": lambda run: _made(_folder(run / "slurm") / "train.sbatch"),
    "a configuration of another program": lambda run: _made(run / "config.yaml", "port: 80\n"),
    "a configuration of one's own": lambda run: _made(run / "config.yaml", "data: {root: tiles}\nmodel: {lr: 0.1}\n"),
    "a blend of something else": lambda run: _made(run / "blend.json", '{"tea": ["mint", "lime"]}'),
}
WRITES = {
    "train": ["train", "--run", "run", "--data.root", "nowhere", *TINY],
    "find lr": ["find", "lr", "--run", "run", "--data.root", "nowhere", *TINY],
    "slurm train": ["slurm", "train", "--run", "run", "--data.root", ".", *TINY],
    "blend": ["blend", "one", "two", "--run", "run"],
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of two runs; not to be changed."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("one", "two"):
        run_of(folder / name, P, TRUE)
    return folder


@pytest.mark.parametrize("kind", HOLDS)
@pytest.mark.parametrize("verb", WRITES)
def test_no_run_is_made_in_a_folder_of_the_users(
    verb: str, kind: str, here: Path, two_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(two_runs, here, dirs_exist_ok=True)
    (here / "run").mkdir()
    HOLDS[kind](here / "run")
    before = hash_all(here)
    assert main(WRITES[verb]) == 2
    said = capsys.readouterr().err
    assert "run" in said and "choose" in said
    assert hash_all(here) == before and not (here / "run" / ".lock").exists()


def test_a_file_in_the_place_of_a_run_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run").write_text(MINE)
    assert main(WRITES["train"]) == 2
    assert "--run run is no folder" in capsys.readouterr().err


def test_what_belongs_before_a_run_may_be_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run").mkdir()
    for name in (*BEFORE_TRAINING, ".gitkeep", ".lock", ".nfs0001"):
        (here / "run" / name).write_text(MINE)
    assert main(WRITES["train"]) == 2
    assert "nowhere" in capsys.readouterr().err  # it came to look for the tiles
    assert all((here / "run" / name).read_text() == MINE for name in (*BEFORE_TRAINING, ".gitkeep", ".nfs0001"))


def test_a_blend_may_be_made_again_and_where_one_was_cut_short(here: Path, two_runs: Path) -> None:
    shutil.copytree(two_runs, here, dirs_exist_ok=True)
    assert main(WRITES["blend"]) == 0
    check_run_folder(Run(here / "run"))
    for path in (here / "run").iterdir():
        if path.name != "blend.json":  # which is written first
            path.unlink()
    assert main(WRITES["blend"]) == 0
    assert yaml.safe_load((here / "run" / "config.yaml").read_text())["beta"] == 2.0


# ---------------------------------------------------------------- files that options name


def _compare(option: str) -> list[str]:
    return ["compare", "one", "two", option]


@pytest.fixture
def files(here: Path, two_runs: Path, demo_tiles: Path) -> Path:
    """Make runs and a folder of tiles to write over."""
    shutil.copytree(two_runs, here, dirs_exist_ok=True)
    (here / "tiles" / "train-jpg").mkdir(parents=True)
    table = pd.read_csv(demo_tiles / "train_v2.csv").head(20)
    table.to_csv(here / "tiles" / "train_v2.csv", index=False)
    for name in table["image_name"]:
        shutil.copy(demo_tiles / "train-jpg" / f"{name}.jpg", here / "tiles" / "train-jpg")
    (here / "a.csv").write_text("image_name,tags\ntest_0,clear primary\n")
    shutil.copy(here / "a.csv", here / "b.csv")
    (here / "link.csv").symlink_to("tiles/train_v2.csv")
    (here / "mine.json").write_text(MINE)
    return here


_CHECK = ["data", "check", "tiles"]
_FOLDS = ["data", "folds", "tiles", "--n_folds=2", "--folds=folds.csv"]
#: Commands that must leave everything as it is, also with --overwrite.
ONTO_INPUTS = [
    [*_compare("--json"), "one/oof.parquet"],
    [*_compare("--page"), "two/report.html"],
    [*_compare("--page"), "one/bundle/page.html"],
    [*_compare("--json"), "two/../two/config.yaml"],
    [*_compare("--json"), "new.json", "--page", "./new.json"],
    [*_CHECK, "--json", "tiles/train_v2.csv"],
    [*_CHECK, "--write_exclude", "link.csv"],
    [*_CHECK, "--write_exclude", "tiles/train-jpg/train_0.jpg"],
    [*_CHECK, "--json", "new.json", "--write_exclude", "new.json"],
    [*_FOLDS, "--json", "folds.csv"],
    [*_FOLDS, "--json", "neighbours.csv"],
    [*_FOLDS, "--json", "tiles/train_v2.csv"],
    ["submit", "diff", "a.csv", "b.csv", "--json", "b.csv"],
    ["submit", "lint", "a.csv", "--json", "a.csv"],
    ["submit", "lint", "a.csv", "--sample", "b.csv", "--json", "./b.csv"],
    ["submit", "lint", "a.csv", "--run", "one", "--json", "one/truth.csv"],
    ["submit", "make", "one", "--out", "one/test.parquet"],
    ["submit", "make", "one", "--sample", "b.csv", "--out", "b.csv"],
]


@pytest.mark.parametrize("command", ONTO_INPUTS, ids=" ".join)
def test_no_command_writes_onto_what_it_reads(
    command: list[str], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hash_all(files)
    for more in ([], ["--overwrite"]):
        assert main([*command, *more]) == 2
        assert Path(command[-1]).name in capsys.readouterr().err
    assert hash_all(files) == before


#: Commands that write mine.json when they may.
ONTO_MINE = [
    [*_compare("--json"), "mine.json"],
    [*_compare("--page"), "mine.json"],
    [*_CHECK, "--json", "mine.json"],
    ["submit", "diff", "a.csv", "b.csv", "--json", "mine.json"],
    ["submit", "lint", "a.csv", "--json", "mine.json"],
    ["bench", "--json", "mine.json"],
]


@pytest.mark.parametrize("command", ONTO_MINE, ids=" ".join)
def test_a_file_of_the_users_is_kept(command: list[str], files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "mine.json" in said and "--overwrite" in said
    assert (files / "mine.json").read_text() == MINE
    if command[0] != "bench":
        assert main([*command, "--overwrite"]) in (0, 1)  # 1 where faults are found
        assert (files / "mine.json").read_text() != MINE


# ---------------------------------------------------------------- with trained networks


@pytest.fixture
def run(trained: Path, demo_tiles: Path, here: Path) -> Path:
    """Copy a trained run and its tables, and make a blend and parts of a prediction beside them."""
    shutil.copytree(trained, here / "run")
    (here / "demo").mkdir()
    for name in ("train_v2.csv", "sample_submission_v2.csv"):
        shutil.copy(demo_tiles / name, here / "demo")
    for folder in ("train-jpg", "test-jpg"):
        (here / "demo" / folder).symlink_to(demo_tiles / folder)
    (here / "parts").mkdir()
    (here / "parts" / "plan.json").write_text('{"tiles": 1, "batch": 1, "shards": 1, "made_of": ""}')
    (here / "parts" / "tiles.csv").write_text("image_name,path,tif\na,a.jpg,\n")
    save_part(Parts(here / "parts"), 0, pd.DataFrame({"image_name": ["a"], "tags": ["clear"]}), "torch")
    return here / "run"


_PREDICT = ["predict", "run", "--tiles", "demo", "--out"]
_EVALUATE = ["evaluate", "run", "--data", "demo", "--json"]
_EXPORT = ["export", "run", "--onnx"]
_SHARDS = ["slurm", "predict", "run", "--tiles", "demo", "--shards=1", "--out"]
ONTO_NETWORKS = [
    [*_PREDICT, "run/oof.parquet"],
    [*_PREDICT, "run/fold-0/valid.parquet"],
    [*_PREDICT, "run/fold-0/new.csv"],
    [*_PREDICT, "run/bundle/tags.csv"],
    [*_PREDICT, "run/neighbours.csv"],
    [*_PREDICT, "demo/train_v2.csv"],
    [*_PREDICT, "demo/sample_submission_v2.csv"],
    ["predict", "run/bundle", "--tiles", "demo", "--out", "demo/train_v2.csv"],
    [*_EVALUATE, "run/metrics.json"],
    [*_EVALUATE, "run/bundle/bundle.json"],
    [*_EVALUATE, "demo/train_v2.csv"],
    [*_EVALUATE[:-1], "--exclude", "names.csv", "--json", "names.csv"],
    ["evaluate", "run/bundle", "--data", "demo", "--json", "run/bundle/bundle.json"],
    [*_EXPORT, "run/fold-0/model.safetensors"],
    [*_EXPORT, "run/bundle/fold-0.safetensors"],
    ["export", "run/bundle", "--onnx", "run/bundle/fold-0.safetensors"],
    [*_SHARDS, "run/oof.parquet"],
    [*_SHARDS, "demo/train_v2.csv"],
    ["merge", "parts", "--out", "parts/part-00000.parquet"],
    ["merge", "parts", "--out", "parts/tiles.csv"],
    ["merge", "parts", "--out", "link.parquet"],
]


def test_no_command_writes_onto_networks_and_what_they_read(
    run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "names.csv").write_text("image_name\n")
    (here / "link.parquet").symlink_to("parts/part-00000.parquet")
    before = hash_all(here)
    for command in ONTO_NETWORKS:
        for more in ([], ["--overwrite"]):
            assert main([*command, *more]) == 2, command
            assert command[-1] in capsys.readouterr().err
    assert hash_all(here) == before


def test_predictions_scores_and_networks_of_the_users_are_kept(
    run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine.csv", "mine.json"):
        (here / name).write_text(MINE)
    for command in (_PREDICT, _EVALUATE, _EXPORT, _SHARDS, ["merge", "parts", "--out"]):
        name = "mine.json" if command in (_EVALUATE, _EXPORT) else "mine.csv"
        assert main([*command, name]) == 2, command
        assert "--overwrite" in capsys.readouterr().err and (here / name).read_text() == MINE
    assert main(["merge", "parts", "--out", "mine.csv", "--overwrite"]) == 0
    assert (here / "mine.csv").read_text() == "image_name,tags\na,clear\n"


def test_networks_of_a_blend_are_protected_with_it(run: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, here / "other")
    assert main(["blend", "run", "other", "--run", "both"]) == 0
    before = hash_all(here)
    for name in ("other/oof.parquet", "run/test.parquet", "both/oof.parquet"):
        assert main(["predict", "both", "--tiles", "demo", "--out", name, "--overwrite"]) == 2
        assert name in capsys.readouterr().err
    assert hash_all(here) == before


# ---------------------------------------------------------------- tag tables around the tiles

#: Places of a tag table, by the folder of tiles below ``set`` that a command is given.
TABLES = [("set/labels.csv", "set/tiles"), ("set/tiles/labels.csv", "set/tiles"), ("set/labels.csv", "set/tiles/deep")]


@pytest.mark.parametrize(("table", "tiles"), TABLES)
@pytest.mark.parametrize("header", ["image_name,tags\na,clear", "Filename;Labels\na.png;clear", "id,label\n1,b"])
def test_tag_tables_around_the_tiles_are_found(header: str, table: str, tiles: str, here: Path) -> None:
    (here / "set/tiles/deep").mkdir(parents=True)
    (here / table).write_text(header)
    assert (here / table).resolve() in {path.resolve() for path in tables_around(Path(tiles))}


@pytest.mark.parametrize("text", ["image_name,tags,clear\na,clear,0.9\n", "image_name,reason\na,cut off\n", "", "\0\0"])
def test_tables_that_commands_wrote_may_be_replaced(text: str, here: Path) -> None:
    (here / "set/tiles").mkdir(parents=True)
    (here / "set/out.csv").write_text(text)
    assert tables_around(Path("set/tiles")) == []


def test_no_verb_replaces_the_tag_table_beside_its_tiles(
    run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "set").mkdir()
    shutil.copytree(here / "demo" / "test-jpg", here / "set" / "tiles")
    (here / "set" / "labels.csv").write_text("image_name,tags\ntest_0,clear primary\n")
    of_run = str(yaml.safe_load((run / "config.yaml").read_text())["data"]["root"]) + "/train_v2.csv"
    before = hash_all(here), Path(of_run).read_bytes()
    predict = ["predict", "run", "--tiles", "set/tiles"]
    for command in (
        [*predict, "--out", "set/labels.csv"],
        [*predict, "--out", "new.csv", "--broken", "set/labels.csv"],
        [*predict, "--shard=0/1", "--out", "new", "--broken", "set/labels.csv"],
        [*predict, "--out", of_run],
        ["export", "run", "--onnx", of_run],
        ["submit", "make", "run", "--out", of_run],
    ):
        assert main([*command, "--overwrite"]) == 2, command
        assert Path(command[-1]).name in capsys.readouterr().err
    assert (hash_all(here), Path(of_run).read_bytes()) == before


def test_an_edited_audit_is_replaced_only_when_that_is_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = ["audit", "run", "--top=5", "--show=0"]
    assert main(audit) == 0 and main(audit) == 0  # its own is written anew
    file = run / "audit.csv"
    file.write_text(edited := file.read_text().replace("image_name", "image_name,checked"))
    assert main(audit) == 2
    assert "audit.csv" in (said := capsys.readouterr().err) and "--overwrite" in said
    assert file.read_text() == edited
    assert main([*audit, "--overwrite"]) == 0 and file.read_text() != edited
