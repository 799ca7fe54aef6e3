"""Hashes of a run's files: recorded at every moment, whenever a process is killed."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refused import refused

from amazon_ml.errors import InputError
from amazon_ml.runs.config import RunConfig
from amazon_ml.runs.config_file import FREE, hash_config
from amazon_ml.runs.hashes import (
    RECORD,
    ChangedError,
    adopt,
    bind,
    check_recorded,
    check_task,
    is_unchanged,
    read_task,
    recorded,
    write_json,
    write_text,
)


class Killed(BaseException):
    """The process is gone."""


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> list[int]:
    """End the process at the n-th file that gets its name: before that where n is even, else after it."""
    replace, calls = Path.replace, [0]

    def dying(self: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] == moment // 2 + 1 and moment % 2 == 0:
            raise Killed
        done = replace(self, target)
        if calls[0] == moment // 2 + 1:
            raise Killed
        return done

    monkeypatch.setattr(Path, "replace", dying)
    return calls


@pytest.mark.parametrize("moment", range(12))
def test_a_process_killed_at_any_moment_leaves_files_that_are_recorded(tmp_path: Path, moment: int) -> None:
    part, whole = tmp_path / "part.csv", tmp_path / "whole.json"
    write_text(part, "1")
    write_json(whole, 1, made_of=[part])
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, moment)
        with pytest.raises(Killed):
            write_text(part, "2")
            write_json(whole, 2, made_of=[part])
    for path in (part, whole):
        check_recorded(path, sources=False)
    write_text(part, "2")  # the same command again
    write_json(whole, 2, made_of=[part])
    check_recorded(part)
    check_recorded(whole)
    assert len(json.loads((tmp_path / RECORD).read_text())["files"]["part.csv"]) == 1


def test_twelve_moments_are_all_there_are(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        calls = kill_at(patch, 999)
        write_text(tmp_path / "part.csv", "1")
        write_json(tmp_path / "whole.json", 1)
    assert calls == [6]


@settings(max_examples=30)
@given(before=st.binary(max_size=50), after=st.binary(max_size=50))
def test_only_the_bytes_that_were_written_are_taken(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, after: bytes
) -> None:
    path = tmp_path_factory.mktemp("hashes") / "file"
    with recorded(path) as temporary:
        temporary.write_bytes(before)
    path.write_bytes(after)
    assert is_unchanged(path) == (before == after)


def test_a_file_older_than_what_it_was_made_of_is_refused(tmp_path: Path) -> None:
    part, whole, gone = tmp_path / "part", tmp_path / "whole", tmp_path / "gone"
    write_text(part, "1")
    write_text(whole, "1", made_of=[part, gone])
    check_recorded(whole)
    write_text(part, "2")
    with refused(kind=ChangedError, file=whole, says=part):
        check_recorded(whole)
    check_recorded(whole, sources=False)
    adopt(whole)  # as it is, but still of another part
    with refused(kind=ChangedError, file=whole, says=part):
        check_recorded(whole)


def test_an_error_while_writing_leaves_the_file_and_its_hash(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "1")
    with pytest.raises(ValueError, match="NaN"), recorded(tmp_path / "file") as temporary:
        temporary.write_text("2")
        raise ValueError("NaN")
    assert (tmp_path / "file").read_text() == "1"
    check_recorded(tmp_path / "file")


def test_a_damaged_record_is_an_error_of_its_line_that_names_it_once(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "1")
    (tmp_path / RECORD).write_text('{"format": 1,\n"files"')
    with refused(kind=ChangedError, file=tmp_path / RECORD, line=2) as raised:
        check_recorded(tmp_path / "file")
    assert RECORD not in raised.value.problem


def test_files_without_hashes_are_refused_and_missing_ones_are_left_to_their_readers(tmp_path: Path) -> None:
    check_recorded(tmp_path / "nothing")
    (tmp_path / "file").write_text("1")
    with refused(kind=ChangedError, file=tmp_path, says=[RECORD, tmp_path / "file"]):
        check_recorded(tmp_path / "file")
    write_text(tmp_path / "other", "1")
    with refused(kind=ChangedError, file=tmp_path / RECORD, says=tmp_path / "file"):
        check_recorded(tmp_path / "file")
    adopt(tmp_path / "file")
    check_recorded(tmp_path / "file")


words = st.text('ab/."\\ \0é☂😀')  # of all characters, a new process would first make a table
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
)


@settings(max_examples=25)
@given(content=json_values | st.fixed_dictionaries({"format": st.just(1), "task": json_values, "files": json_values}))
def test_whatever_lies_in_the_place_of_hashes_is_one_message(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    folder = tmp_path_factory.mktemp("hashes")
    (folder / "file").write_text("1")
    (folder / RECORD).write_text(json.dumps(content))
    with pytest.raises(InputError):
        check_recorded(folder / "file")
    write_text(folder / "file", "2")  # a writer is not blocked
    check_recorded(folder / "file")


def test_what_a_fold_is_trained_for_outlives_its_files(tmp_path: Path) -> None:
    bind(tmp_path, "a")
    write_text(tmp_path / "model.safetensors", "1")
    assert read_task(tmp_path) == "a"
    check_task(tmp_path, "a")
    with pytest.raises(ChangedError):
        check_task(tmp_path, "b")


def test_free_options_do_not_count_and_others_do() -> None:
    def hashed(**changes: object) -> str:
        return hash_config(RunConfig.load([], {"data.root": "a", **changes}))

    words = {"trainer.profiler": "simple", "loggers": {"wandb": {}}, "data.splits": {"train": "a"}}
    teacher = {"data.teacher": "a"}
    for name in (*FREE, "loggers"):
        is_path = name.startswith("data.") and name not in ("data.num_workers", "data.gsd")
        with_teacher = teacher if name in ("data.teacher", "data.untagged") else {}
        changed = {**with_teacher, name: words.get(name, "other" if is_path else 1)}
        assert hashed(**changed) == hashed(**with_teacher), name
    base = hashed()
    assert hashed(**teacher) != base and hashed(**teacher, **{"data.untagged_weight": 2}) != hashed(**teacher)
    for name, value in {"data.size": 8, "model.lr": 1, "data.tag_separator": ";", "trainer.precision": "64"}.items():
        assert hashed(**{name: value}) != base, name
