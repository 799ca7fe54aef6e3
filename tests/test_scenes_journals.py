"""GeoPackages that another program has open, or did not close: what lies beside them counts, and is not overlaid."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from refused import refused
from scene_files import ground, write_scene

import amazon_ml as am
from amazon_ml.scenes.compare import compare_scenes
from amazon_ml.scenes.geopackage import write_geopackage
from amazon_ml.scenes.layer import Column, Layer
from amazon_ml.scenes.map_files import map_file
from amazon_ml.scenes.vectors import crs_of, read_features


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def layer(tag: str, count: int = 2) -> Layer:
    bounds = np.array([[at, 0, at + 1, 10.0] for at in range(count)])
    return Layer("labels", crs_of(32721), bounds, (Column("tags", [tag] * count),))


def tags_in(path: Path) -> list[str]:
    return [one.properties["tags"] for one in read_features(path, "labels").features]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.gpkg"
    write_geopackage(path, layer("road"))
    return path


@pytest.fixture
def editor(labels: Path) -> Iterator[sqlite3.Connection]:
    """Another program, such as QGIS, that saved a change and has the file open."""
    with closing(edit(labels, "UPDATE gpkg_contents SET description = 'seen'")) as base:
        yield base


def edit(path: Path, change: str) -> sqlite3.Connection:
    base = sqlite3.connect(path)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute(change)
    base.commit()
    assert beside(path, "-wal").stat().st_size
    return base


# ---------------------------------------------------------------- reading


def test_changes_that_another_program_saved_are_read_while_it_runs(labels: Path, editor: sqlite3.Connection) -> None:
    for name, arguments in (("ST_IsEmpty", 1), *((f"ST_{axis}", 1) for axis in ("MinX", "MaxX", "MinY", "MaxY"))):
        editor.create_function(name, arguments, lambda _: 0.0)
    editor.execute("UPDATE labels SET tags = 'house' WHERE fid = 1")
    editor.execute("DELETE FROM labels WHERE fid = 2")
    editor.commit()
    assert tags_in(labels) == ["house"]


def test_a_file_without_unsaved_changes_is_read_without_locks(labels: Path) -> None:
    with closing(sqlite3.connect(labels, isolation_level=None)) as base:
        base.execute("BEGIN EXCLUSIVE")
        assert tags_in(labels) == ["road", "road"]


def test_a_file_that_another_program_holds_alone_is_refused(labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amazon_ml.scenes.vectors.sqlite3.connect", partial(sqlite3.connect, timeout=0))
    with closing(sqlite3.connect(labels)) as base:
        for mode in ("locking_mode = EXCLUSIVE", "journal_mode = WAL"):
            base.execute(f"PRAGMA {mode}")
        base.execute("UPDATE gpkg_contents SET description = 'seen'")
        base.commit()
        with refused(file=labels, option="labels") as error:
            tags_in(labels)
        assert error.value.remedy


def test_a_half_written_change_of_a_program_that_died_is_refused(labels: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gpkg"
    with closing(sqlite3.connect(labels, isolation_level=None)) as base:
        base.execute("PRAGMA cache_size = 1")  # pages go to the file before the end of the change
        base.execute("BEGIN")
        base.execute("CREATE TABLE more (text)")
        base.executemany("INSERT INTO more VALUES (?)", [("x" * 3000,)] * 50)
        for ending in ("", "-journal"):
            beside(copy, ending).write_bytes(beside(labels, ending).read_bytes())
        base.execute("ROLLBACK")
    with refused(file=copy, option="labels") as error:
        tags_in(copy)
    assert error.value.remedy


# ---------------------------------------------------------------- writing


def test_a_map_is_not_put_under_the_changes_of_another_program(labels: Path, editor: sqlite3.Connection) -> None:
    held = labels.read_bytes()
    with refused(file=labels, option="out"), map_file(labels) as temporary:
        write_geopackage(temporary, layer("water", 5))
    assert labels.read_bytes() == held and len(list(labels.parent.iterdir())) == 3
    editor.close()
    with map_file(labels) as temporary:
        write_geopackage(temporary, layer("water", 5))
    assert tags_in(labels) == ["water"] * 5


def test_a_log_without_its_database_is_to_be_removed(labels: Path) -> None:
    log = beside(labels, "-wal")
    log.write_bytes(b"x" * 100)
    labels.unlink()
    with refused(file=labels, option="out", says=log), map_file(labels) as temporary:
        write_geopackage(temporary, layer("water", 5))
    log.unlink()
    with map_file(labels) as temporary:
        write_geopackage(temporary, layer("water", 5))
    assert tags_in(labels) == ["water"] * 5


def test_what_a_former_file_left_beside_is_removed(labels: Path) -> None:
    beside(labels, "-wal").touch()
    beside(labels, "-shm").write_bytes(bytes(32768))
    beside(labels, "-journal").write_bytes(bytes(512))  # as a finished one of the mode PERSIST
    with map_file(labels) as temporary:
        write_geopackage(temporary, layer("water", 5))
    assert list(labels.parent.iterdir()) == [labels]
    assert tags_in(labels) == ["water"] * 5


def test_results_with_an_open_map_are_left_as_they_are(tmp_path: Path, trained: Path) -> None:
    tagger = am.Predictor.load(trained / "bundle", device="cpu")
    scene, out = write_scene(tmp_path / "a.tif", ground(64, 64)), tmp_path / "out"
    for _ in range(2):
        tagger.predict_scene(scene, out, overwrite=True)
    compare_scenes(out, out, out=tmp_path / "changes")
    for name, again in (
        ("out/cells.gpkg", lambda: tagger.predict_scene(scene, out, overwrite=True)),
        ("changes/changes.gpkg", lambda: compare_scenes(out, out, out=tmp_path / "changes", overwrite=True)),
    ):
        folder = (tmp_path / name).parent
        with closing(edit(tmp_path / name, "UPDATE layer_styles SET description = 'mine'")):
            held = {path: path.read_bytes() for path in folder.iterdir()}
            with refused(file=name, option="out"):
                again()
            assert {path: path.read_bytes() for path in folder.iterdir()} == held
        again()
