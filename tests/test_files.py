import errno
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from refused import refused

from amazon_ml.data.readers.band_files import ARRAY_SUFFIX
from amazon_ml.data.readers.images import SUFFIXES
from amazon_ml.errors import WorkError
from amazon_ml.runtime import outputs
from amazon_ml.runtime.files import atomic_write, read_json, sha256_of, write_json, write_table, write_text
from amazon_ml.runtime.locks import is_locked, locked


def test_file_appears_whole_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent  # renaming is only atomic within one file system
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_error_in_between_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_write(path) as temporary:
        temporary.write_text("new, but only ha")
        raise KeyError("stop")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_error_before_anything_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_write(tmp_path / "a.txt"):
        raise KeyError("stop")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_a_work_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with (
        pytest.raises(WorkError, match=f"{re.escape(str(path))}: {os.strerror(errno.ENOSPC)}"),
        atomic_write(path) as temporary,
    ):
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_half_written_file_of_a_stopped_write_is_not_left(tmp_path: Path) -> None:
    # A limit on the size of files stops the write in the middle, as a full disk would.
    program = (
        "import resource, sys; from pathlib import Path; from amazon_ml.runtime.files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_text(Path(sys.argv[1]), 'x' * 5000)"
    )
    path = tmp_path / "a.txt"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    assert f"WorkError: cannot write {path}: File too large" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("below", ["x.json", "deep/x.json"])
def test_folder_that_cannot_be_is_a_work_error_with_its_path(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("I am no folder")
    with pytest.raises(WorkError, match=re.escape(str(tmp_path / "file" / below))):
        write_json(tmp_path / "file" / below, {})
    assert (tmp_path / "file").read_text() == "I am no folder"


def test_folder_in_place_of_the_file_is_a_work_error(tmp_path: Path) -> None:
    (tmp_path / "x.txt").mkdir()
    with pytest.raises(WorkError, match=r"x\.txt"):
        write_text(tmp_path / "x.txt", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.txt"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_lacks_is_refused_and_the_old_file_stays(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"score": 0.5})
    with pytest.raises((ValueError, TypeError), match="JSON"):
        write_json(path, {"score": value})
    assert read_json(path) == {"score": 0.5}
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_with_every_digit_and_letter(tmp_path: Path) -> None:
    content = {"cut": [0.1 + 0.2, 5e-324, 1.0000000000000002], "név": "forêt", "none": None}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == content


def test_missing_json_is_an_input_error(tmp_path: Path) -> None:
    with refused(file=tmp_path / "gone.json", line=None):
        read_json(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("content", "line", "values"),
    [(b"", 1, [1]), (b"{", 1, [2]), (b'{"a":\n 1', 2, [3]), (b"\xff\xfe\x00", None, ["0xff"])],
)
def test_broken_json_is_an_input_error_with_its_place(
    tmp_path: Path, content: bytes, line: int | None, values: list[object]
) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with refused(file=path, line=line, says=values):
        read_json(path)


def test_json_that_cannot_be_opened_is_an_input_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file" / "a.json"):
        with refused(file=path, line=None):
            read_json(path)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_table_comes_back_as_it_was(tmp_path: Path, ending: str) -> None:
    table = pd.DataFrame({"image_name": ["a", "b,c"], "fold": [0, 1]})
    path = tmp_path / f"t{ending}"
    write_table(path, table)
    back = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    pd.testing.assert_frame_equal(back, table)
    assert list(tmp_path.iterdir()) == [path]


def test_sha256_of_known_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # the example of FIPS 180-2
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_lock_is_for_one_process_and_falls_with_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.lock"
    program = (
        "import sys; from pathlib import Path; from amazon_ml.runtime.locks import locked\n"
        "with locked(Path(sys.argv[1]), 'busy'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with refused(says="busy"), locked(path, "busy"):
            pass
        other.kill()
    with locked(path, "busy"), refused(says="busy"), locked(path, "busy"):
        pass


def test_a_lock_where_nothing_can_be_written_is_a_work_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(WorkError, match=re.escape(str(tmp_path / "file"))),
        locked(tmp_path / "file" / "x.lock", "busy"),
    ):
        pass


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    path, order = tmp_path / "x.lock", []

    def wait() -> None:
        with locked(path, "busy", wait=True):
            order.append("second")

    thread = threading.Thread(target=wait)
    with locked(path, "busy"):
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_whether_a_lock_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert not is_locked(path) and not path.exists()
    with locked(path, "busy"):
        assert is_locked(path)
    assert path.exists() and not is_locked(path)


def test_endings_that_no_output_replaces_are_those_of_tiles() -> None:
    assert {*SUFFIXES, ARRAY_SUFFIX} == outputs._IMAGES
