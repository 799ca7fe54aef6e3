"""Something that is no lock file lies where a lock is to be: it is refused, and what it leads to stays as it is."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.runs.access import locked_fold
from amazon_ml.runs.folder import Run
from amazon_ml.runs.shards import Parts
from amazon_ml.runtime.locks import is_locked, locked

TREASURE = "what somebody worked on"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


#: What is planted under the name of a lock; `treasure` is a file of the user's.
PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, treasure: path.symlink_to(treasure),
    "relative link": lambda path, treasure: path.symlink_to(os.path.relpath(treasure, path.parent)),
    "link to nothing": lambda path, treasure: path.symlink_to(treasure.with_name("nothing")),
    "link to itself": lambda path, _: path.symlink_to(path.name),
    "link to a folder": lambda path, treasure: path.symlink_to(treasure.parent),
    "pipe": lambda path, _: os.mkfifo(path),
    "link to a device": lambda path, _: path.symlink_to("/dev/full"),
    "folder": lambda path, _: path.mkdir(),
    "socket": lambda path, _: _socket(path),
}


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    path = tmp_path / "home" / "thesis.txt"
    path.write_text(TREASURE)
    return path


@pytest.fixture(autouse=True)
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_no_file_is_refused_at_once(kind: str, treasure: Path) -> None:
    path = Path("a.lock")
    PLANTED[kind](path, treasure)
    with refused(file=path), locked(path, "busy", wait=True):
        pass
    with refused(file=path):
        is_locked(path)
    assert treasure.read_text() == TREASURE and list(treasure.parent.iterdir()) == [treasure]


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_that_is_there_keeps_its_content(linked: bool, treasure: Path) -> None:
    path = Path("a.lock")
    path.hardlink_to(treasure) if linked else path.write_text(TREASURE)
    with locked(path, "busy"):
        assert is_locked(path)
    assert path.read_text() == TREASURE


def test_a_forked_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    (ended, end), (begun, begin) = os.pipe(), os.pipe()
    with locked(tmp_path / "a.lock", "busy"):
        child = os.fork()
        if not child:  # lives on after the lock of its parent has fallen
            os.close(end)
            os.write(begin, b"!")
            os.read(ended, 1)
            os._exit(0)
    assert os.read(begun, 1) == b"!" and not is_locked(tmp_path / "a.lock")
    os.close(end)
    assert os.waitpid(child, 0)[1] == 0
    for pipe in (ended, begin, begun):
        os.close(pipe)


def _train(root: Path) -> list[str]:
    return ["train", "--run", "run", "--data.root", str(root), "--trainer.accelerator=cpu"]


def _copy(root: Path) -> list[str]:
    assert main(["data", "pack", str(root), "--size=8", "--out", "store"]) == 0
    return ["data", "copy", "store", "copy"]


#: A lock, and a command that takes it.
TAKEN: dict[str, Callable[[Path], list[str]]] = {
    "run/.lock": _train,
    "run/fold-0/.lock": _train,
    ".store.lock": lambda root: ["data", "pack", str(root), "--size=8", "--out", "store"],
    ".copy.lock": _copy,
    "planet/.download/lock": lambda _: ["data", "download", "planet"],
}


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("lock", TAKEN)
def test_no_command_writes_through_a_lock(
    lock: str, kind: str, treasure: Path, demo_tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, command = Path(lock), TAKEN[lock](demo_tiles)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.name.startswith("fold-"):
        pd.DataFrame({"image_name": ["a"], "fold": [0]}).to_csv(path.parent.parent / "folds.csv", index=False)
    PLANTED[kind](path, treasure)
    assert main(command) == 2
    assert path.name in capsys.readouterr().err
    assert treasure.read_text() == TREASURE


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(
    ("lock", "take"),
    [
        ("parts/.lock", lambda: Parts(Path("parts")).lock()),
        ("parts/.part-00003.lock", lambda: Parts(Path("parts")).part_lock(3)),
        ("run/fold-2/.lock", lambda: locked_fold(Run(Path("run")).fold(2))),
    ],
)
def test_locks_of_parts_and_folds_are_refused_alike(
    lock: str, take: Callable[[], object], kind: str, treasure: Path
) -> None:
    path = Path(lock)
    path.parent.mkdir(parents=True)
    PLANTED[kind](path, treasure)
    with refused(file=path), take():  # type: ignore[attr-defined]
        pass
    assert treasure.read_text() == TREASURE
