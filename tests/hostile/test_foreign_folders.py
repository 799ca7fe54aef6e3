"""Folders of the user's, under names that commands use for their own work: nothing in them is lost."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refused import holds, refused
from requested import config_of

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.catalog.tiles import image_files
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.data.store.marks import check_store, remove_store
from amazon_ml.kaggle.archives import move_into
from amazon_ml.runs.folder import Run
from amazon_ml.runs.shards import Parts, check_parts
from amazon_ml.runs.stored_config import save_config

PACK = ["data", "pack", "tiles", "--size=8"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def few_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "tiles"
    write_demo(folder, tiles=12, test_tiles=0, size=16)
    return folder


@pytest.fixture
def tiles(few_tiles: Path, here: Path) -> Path:
    return Path(shutil.copytree(few_tiles, here / "tiles"))


def snapshot(folder: Path) -> dict[str, str]:
    """Tell what lies below a folder, and behind links in it."""
    kinds = {True: "link", False: "folder"}
    return {
        str(path.relative_to(folder)): path.read_bytes().hex() if path.is_file() else kinds[path.is_symlink()]
        for path in sorted(folder.rglob("*"))
    }


def _written(*names: str, content: str = "mine") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)

    return make


_PLAN = json.dumps({"size": 8, "reader": {}, "made_by": {}, "tiles": {}})


def _planned_and_noted(folder: Path) -> None:
    _written("plan.json", content=_PLAN)(folder)
    _written("notes.txt")(folder)


def _planned_and_linked(folder: Path) -> None:
    _written("plan.json", content=_PLAN)(folder)
    (folder / "tiles.npy").symlink_to(Path("home/thesis.txt").absolute())


#: What may lie where a store, or a part of one, is to be, and is none.
FOREIGN: dict[str, Callable[[Path], object]] = {
    "notes": _written("notes.txt"),
    "folders": _written("a/b/photo.jpg"),
    "hidden": _written(".git/config"),
    "a file": lambda folder: folder.write_text("mine"),
    "a link to a folder": lambda folder: folder.symlink_to("home"),
    "an array alone": _written("tiles.npy"),
    "a plan of something else": _written("plan.json", content='{"steps": ["walk the dog"]}'),
    "a plan that is no JSON": _written("plan.json", "journal.jsonl", "tiles.npy"),
    "a journal": _written("journal.jsonl"),
    "a plan and notes": _planned_and_noted,
    "a shop": _written("store.json", content='{"shop": "bread"}'),
    "linked files": _planned_and_linked,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_store_is_neither_used_nor_removed(kind: str, here: Path) -> None:
    _written("home/thesis.txt")(here)
    FOREIGN[kind](here / "store")
    before = snapshot(here)
    for refuse in (check_store, remove_store):
        with refused(file=here / "store"):
            refuse(here / "store")
    assert snapshot(here) == before


@pytest.mark.parametrize("place", ["packed-rgb-8", "packed-rgb-8.partial", ".packed-rgb-8.old"])
def test_packing_removes_no_folder_of_the_users(place: str, tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _written("store.json", "notes.txt")(tiles / place)
    before = snapshot(tiles)
    assert main(PACK) == 2
    assert place in capsys.readouterr().err
    (tiles / ".packed-rgb-8.lock").unlink(missing_ok=True)
    assert snapshot(tiles) == before


def test_what_is_not_in_the_way_of_packing_stays(tiles: Path) -> None:
    places = [tiles / name for name in ("packed-rgb-8.old", "packed-rgb-8.bak", "packed-rgb-16.partial")]
    for place in places:
        _written("notes.txt")(place)
    for _ in range(2):  # anew, and over a store that is there
        assert main(PACK) == 0
        (tiles / "packed-rgb-8" / "tiles.npy").write_bytes(b"")
    assert all(snapshot(place) == {"notes.txt": b"mine".hex()} for place in places)


@pytest.mark.parametrize("left", [(), ("plan.json",), ("plan.json", "tiles.npy"),
                                  (".plan.json.0123456789abcdef.part", "plan.json")])  # fmt: skip
def test_what_a_killed_packing_leaves_is_gone_on_with(left: tuple[str, ...], tiles: Path) -> None:
    partial = tiles / "packed-rgb-8.partial"
    partial.mkdir()
    for name in left:
        (partial / name).write_text(_PLAN if name == "plan.json" else "")
    assert main(PACK) == 0
    assert (tiles / "packed-rgb-8" / "store.json").is_file() and not partial.exists()


def test_what_packing_leaves_when_it_is_killed_at_its_end_is_removed(tiles: Path) -> None:
    assert main(PACK) == 0
    store, former = tiles / "packed-rgb-8", tiles / ".packed-rgb-8.old"
    shutil.copytree(store, former)
    (store / "plan.json").write_text(_PLAN)
    assert main(PACK) == 0
    assert not former.exists() and sorted(path.name for path in store.iterdir()) == ["store.json", "tiles.npy"]
    _written("notes.txt")(former)
    assert main(PACK) == 0
    assert snapshot(former) == {"notes.txt": b"mine".hex()}


def test_an_array_that_has_a_second_name_is_not_written_into(tiles: Path, here: Path) -> None:
    assert main(PACK) == 0
    partial = (tiles / "packed-rgb-8").rename(tiles / "packed-rgb-8.partial")
    description = json.loads((partial / "store.json").read_text())
    del description["tiles"]["hash"]
    (partial / "plan.json").write_text(json.dumps(description))
    (partial / "journal.jsonl").write_text("")
    (here / "backup.npy").hardlink_to(partial / "tiles.npy")
    before = (here / "backup.npy").read_bytes()
    assert main(PACK) == 0
    assert (here / "backup.npy").read_bytes() == before


@pytest.mark.parametrize("kind", ["an array alone", "a link to a folder", "a file"])
def test_a_copied_store_replaces_no_folder_of_the_users(
    kind: str, tiles: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _written("home/thesis.txt")(here)
    assert main(PACK) == 0
    FOREIGN[kind](here / "scratch")
    (here / ".scratch.lock").touch()
    before = snapshot(here)
    assert main(["data", "copy", str(tiles / "packed-rgb-8"), "scratch"]) == 2
    assert ("home" if kind == "a link to a folder" else "scratch") in capsys.readouterr().err
    (here / ".home.lock").unlink(missing_ok=True)  # beside the folder that the link leads to
    assert snapshot(here) == before


@pytest.mark.parametrize("left", [(), ("plan.json",), ("plan.json", "tiles.npy")])
def test_a_copy_that_was_killed_is_made_anew_also_behind_a_link(left: tuple[str, ...], tiles: Path, here: Path) -> None:
    assert main(PACK) == 0
    (here / "disk" / "copy").mkdir(parents=True)
    (here / "scratch").symlink_to(here / "disk" / "copy")
    for name in left:
        (here / "scratch" / name).write_text(_PLAN if name == "plan.json" else "half")
    assert main(["data", "copy", str(tiles / "packed-rgb-8"), "scratch"]) == 0
    assert snapshot(here / "disk" / "copy") == snapshot(tiles / "packed-rgb-8")


@pytest.mark.parametrize("name", ["part-00000.parquet", "tiles.csv", "notes.txt", "slurm/predict.sbatch", "plan.json"])
def test_a_folder_of_the_users_takes_no_parts(name: str, here: Path) -> None:
    _written(name)(here / "parts")
    parts = here / "parts"
    told: dict[str, Any] = (
        {"file": parts / name, "line": 1}
        if name == "plan.json"
        else {"option": "out", "says": [parts, name.partition("/")[0]]}
    )
    with refused(**told):
        check_parts(Parts(here / "parts"))
    assert (here / "parts" / name).read_text() == "mine"


def test_a_folder_of_parts_may_be_new_empty_or_begun(here: Path) -> None:
    parts = Parts(here / "parts")
    check_parts(parts)
    (here / "parts").mkdir()
    check_parts(parts)
    _written("tiles.csv", content="image_name,path,tif\n")(here / "parts")
    _written(".lock", ".gitkeep")(here / "parts")
    check_parts(parts)


@pytest.mark.parametrize("place", ["slurm", "part-00001.parquet", "tiles.csv"])
def test_links_among_parts_are_refused(place: str, here: Path) -> None:
    _written("home/thesis.txt")(here)
    (here / "parts").mkdir()
    (here / "parts" / place).symlink_to(here / "home" if place == "slurm" else here / "home" / "thesis.txt")
    with refused(file=here / "parts" / place):
        check_parts(Parts(here / "parts"))


@pytest.mark.parametrize("kind", ["train-jpg/mine.jpg", "notes.txt", "train_v2.csv", ".hidden"])
def test_generated_tiles_go_into_no_folder_of_the_users(kind: str, here: Path) -> None:
    _written(kind)(here / "tiles")
    assert main(["data", "demo", "tiles", "--tiles=3", "--test_tiles=0", "--size=16"]) == 2
    assert snapshot(here / "tiles")[kind] == b"mine".hex()


def test_what_looks_like_forgotten_generated_tiles_stays(here: Path) -> None:
    _written(".tiles.amazon-ml-demo-mine/notes.txt", ".tiles.amazon-ml-demo-file")(here)
    os.mkfifo(here / ".tiles.amazon-ml-demo-pipe")
    (here / ".tiles.amazon-ml-demo-link").symlink_to(here / ".tiles.amazon-ml-demo-mine")
    before = snapshot(here)
    assert main(["data", "demo", "tiles", "--tiles=3", "--test_tiles=0", "--size=16"]) == 0
    assert {name: value for name, value in snapshot(here).items() if name in before} == before


@pytest.mark.parametrize("linked", [".download", ".download/data-set-a-b", ".download/data-set-a-b/ready",
                                    ".download/data-set-a-b/fetched"])  # fmt: skip
def test_a_download_removes_nothing_behind_links(linked: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _written("home/thesis.txt")(here)
    (here / "planet" / linked).parent.mkdir(parents=True)
    (here / "planet" / linked).symlink_to(here / "home")
    assert main(["data", "download", "planet", "--dataset=a/b"]) == 2
    assert holds(capsys.readouterr().err, Path("planet") / linked)
    assert snapshot(here / "home") == {"thesis.txt": b"mine".hex()}


def test_a_download_uses_no_folder_of_the_users(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workshop = here / "planet" / ".download" / "data-set-a-b"
    _written("thesis.txt", "ready/a.jpg")(workshop)
    before = snapshot(workshop)
    assert main(["data", "download", "planet", "--dataset=a/b"]) == 2
    assert str(Path("planet/.download/data-set-a-b")) in capsys.readouterr().err
    assert snapshot(workshop) == before


def test_unpacked_files_replace_no_link(here: Path) -> None:
    _written("new/train.csv", "old/other.csv")(here)
    (here / "old" / "train.csv").symlink_to("moved-away.csv")
    with refused(file=here / "old" / "train.csv"):
        move_into(here / "new", here / "old")
    assert (here / "old" / "train.csv").is_symlink()


def test_folds_and_bands_of_the_users_are_set_aside_beside_earlier_ones(here: Path) -> None:
    words = ["--run", "run", "--data.root", "nowhere", "--trainer.accelerator=cpu"]
    _written("folds.before.csv", "folds.before-2.csv", "bands.before.json", content="the first")(here / "run")
    save_config(Run(here / "run"), config_of(words))
    for number in range(3):
        _written("folds.csv", "bands.json", content=f"mine {number}")(here / "run")
        save_config(Run(here / "run"), config_of([*words, "--seed", str(number + 1)]))
    texts = {path.name: path.read_text() for path in Run(here / "run").path.glob("*.before*")}
    assert texts == {
        "folds.before.csv": "the first",
        "folds.before-2.csv": "the first",
        **{f"folds.before-{number + 3}.csv": f"mine {number}" for number in range(3)},
        "bands.before.json": "the first",
        **{f"bands.before-{number + 2}.json": f"mine {number}" for number in range(3)},
    }


OURS = [("config.yaml", "hashes.json"), ("plan.json", "tiles.csv"), ("lr.csv", "lr.png")]


@pytest.mark.parametrize("names", OURS)
def test_what_commands_wrote_beside_tiles_is_no_part_of_them(names: tuple[str, str], here: Path) -> None:
    _written("labels.csv", "tiles/a.jpg")(here / "set")
    _written(*names, "truth.csv", "tiles.png", "fold-0/metrics.csv")(here / "set" / "r")
    assert find_layout(here / "set").table_paths == (here / "set" / "labels.csv",)
    assert list(image_files(here / "set", below=True)) == [here / "set" / "tiles" / "a.jpg"]


@pytest.mark.parametrize("wrong", [["--data.root", "nowhere"],
                                   ["--data.root", "tiles", "--data.labels_file", "none.csv"],
                                   ["--data.root", "tiles", "--model.weights", "pipe"],
                                   ["--data.root", "tiles", "--model.weights", "tiles"],
                                   ["--data.root", "tiles", "--model.weights", "/dev/zero"],
                                   ["--data.root", "tiles", "--model.weights", "none.pth"]])  # fmt: skip
def test_a_wrong_option_leaves_no_run_folder(
    wrong: list[str], tiles: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(here / "pipe")
    assert main(["train", "--run", "run", "--trainer.accelerator=cpu", *wrong]) == 2
    assert wrong[-1] in capsys.readouterr().err
    assert not (here / "run").exists()
