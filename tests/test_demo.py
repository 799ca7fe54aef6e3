import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from refused import refused

from amazon_ml.data.demo import demo
from amazon_ml.data.demo.demo import draw_tile, sample_tags, write_demo
from amazon_ml.data.demo.painting import LAYERS
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET, MultiHot

# Shares of the competition's 40,479 training tiles, typed in again here on purpose.
SHARES = {
    "primary": 0.927,
    "clear": 0.702,
    "agriculture": 0.304,
    "road": 0.199,
    "water": 0.183,
    "partly_cloudy": 0.179,
    "cultivation": 0.112,
    "habitation": 0.090,
    "haze": 0.067,
    "cloudy": 0.052,
    "bare_ground": 0.0213,
    "selective_logging": 0.0084,
    "artisinal_mine": 0.0084,
    "blooming": 0.0082,
    "slash_burn": 0.0052,
    "blow_down": 0.0025,
    "conventional_mine": 0.0025,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("demo") / "tiles"
    write_demo(made, tiles=30, test_tiles=36, size=32, seed=5)
    return made


@pytest.fixture(scope="module")
def sampled() -> MultiHot:
    return sample_tags(40_000, np.random.default_rng(11))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["image_name", "tags"]
        return [(row["image_name"], row["tags"]) for row in reader]


def column(encoded: MultiHot, tag: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return encoded[:, PLANET.names.index(tag)].astype(bool)


# ---------------------------------------------------------------- tags


def test_every_tag_is_as_frequent_as_in_the_competition(sampled: MultiHot) -> None:
    for tag, share in SHARES.items():
        error = np.sqrt(share * (1 - share) / len(sampled))
        assert abs(column(sampled, tag).mean() - share) < 4 * error, tag
    assert abs(sampled.sum(axis=1).mean() - 2.87) < 0.1


def test_the_label_logic_is_never_broken(sampled: MultiHot) -> None:
    assert sampled.dtype == np.uint8
    assert sampled.shape == (40_000, len(PLANET))
    assert set(np.unique(sampled)) == {0, 1}
    assert PLANET.logic_faults(sampled) == {}


@pytest.mark.parametrize(
    ("tag", "given", "expected"),
    [
        ("agriculture", {"road": True, "cloudy": False}, 0.75),
        ("agriculture", {"road": False, "cloudy": False}, 0.21),
        ("habitation", {"road": True, "agriculture": True}, 0.37),
        ("habitation", {"road": False, "agriculture": True}, 0.085),
        ("cultivation", {"road": False, "agriculture": True}, 0.352),
        ("cultivation", {"road": True, "agriculture": True}, 0.19),
        ("water", {"road": True, "agriculture": False}, 0.481),
        ("water", {"road": True, "agriculture": True}, 0.193),
        ("primary", {"cloudy": False}, 0.977),
        ("water", {"artisinal_mine": True}, 0.87),
        ("clear", {"selective_logging": True}, 0.90),
        ("road", {"selective_logging": True}, 0.43),
        ("cultivation", {"slash_burn": True}, 0.59),
        ("clear", {"blooming": True}, 0.95),
        ("road", {"conventional_mine": True}, 0.59),
        ("habitation", {"conventional_mine": True}, 0.32),
        ("water", {"bare_ground": True}, 0.24),
    ],
)
def test_tags_depend_on_each_other_as_measured(
    sampled: MultiHot, tag: str, given: dict[str, bool], expected: float
) -> None:
    chosen = np.all([column(sampled, other) == on for other, on in given.items()], axis=0)
    error = np.sqrt(expected * (1 - expected) / chosen.sum())
    assert abs(column(sampled, tag)[chosen].mean() - expected) < 4 * error + 0.005


def test_the_first_rows_of_tags_do_not_depend_on_the_number() -> None:
    few, many = (sample_tags(n, np.random.default_rng(3)) for n in (20, 500))
    np.testing.assert_array_equal(few, many[:20])


# ---------------------------------------------------------------- pictures


def test_there_is_one_painter_for_every_tag() -> None:
    assert set(LAYERS) == set(PLANET.names)


@pytest.mark.parametrize("tag", PLANET.names)
def test_a_tag_changes_the_picture(tag: str) -> None:
    weather = set() if tag in ("clear", "haze", "partly_cloudy", "cloudy") else {"clear"}
    base = weather | ({"primary"} - {tag})
    changes = [
        np.abs(
            draw_tile({*base, tag}, 64, np.random.default_rng(i)).astype(int)
            - draw_tile(base, 64, np.random.default_rng(i))
        )
        for i in range(8)
    ]
    assert np.mean(changes) > 0.8  # of 255, over the whole tile: sparse features are small
    assert np.mean([change.max() for change in changes]) > 12


def test_a_tag_leaves_the_rest_of_the_picture_in_place() -> None:
    plain = draw_tile({"primary", "clear"}, 64, np.random.default_rng(8)).astype(int)
    with_road = draw_tile({"primary", "clear", "road"}, 64, np.random.default_rng(8))
    assert (np.abs(with_road - plain).max(axis=2) == 0).mean() > 0.5


@pytest.mark.parametrize("size", [16, 50, 64, 128, 256])
def test_every_tag_can_be_drawn_at_every_size(size: int) -> None:
    for tags in (set(PLANET.names) - {"cloudy"}, {"cloudy"}, set[str]()):
        tile = draw_tile(tags, size, np.random.default_rng(1))
        assert tile.shape == (size, size, 3)
        assert tile.dtype == np.uint8


def test_a_tile_looks_alike_at_another_size() -> None:
    for i in range(6):
        small, large = (draw_tile({"primary", "clear", "water"}, size, np.random.default_rng(i)) for size in (64, 256))
        shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(small.mean((0, 1)) - shrunk.mean((0, 1))).max() < 12


def test_colours_are_as_dark_as_the_real_ones() -> None:
    tags = PLANET.decode(sample_tags(500, np.random.default_rng(2)))
    tiles = np.stack([draw_tile(row.split(), 32, np.random.default_rng(i)) for i, row in enumerate(tags)]) / 255
    np.testing.assert_allclose(tiles.mean((0, 1, 2)), [0.311, 0.341, 0.299], atol=0.05)
    np.testing.assert_allclose(tiles.std((0, 1, 2)), [0.165, 0.142, 0.136], atol=0.05)


def test_weather_is_ordered_by_brightness_and_contrast() -> None:
    def look(weather: str) -> tuple[float, float]:
        tiles = [draw_tile({"primary", weather}, 64, np.random.default_rng(i)) for i in range(20)]
        return float(np.mean(tiles)), float(np.mean([tile.std((0, 1)) for tile in tiles]))

    clear, haze, cloudy = look("clear"), look("haze"), look("cloudy")
    assert clear[0] < haze[0] < cloudy[0]
    assert haze[1] < clear[1]


def test_an_unknown_tag_is_refused() -> None:
    with refused(option="tags", says="volcano"):
        draw_tile({"primary", "volcano"}, 64, np.random.default_rng(0))


# ---------------------------------------------------------------- files


def test_layout_and_tables(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == {
        "train-jpg",
        "test-jpg",
        "test-jpg-additional",
        "train_v2.csv",
        "sample_submission_v2.csv",
        "GENERATED.txt",
    }
    train = rows(folder / "train_v2.csv")
    assert [name for name, _ in train] == [f"train_{i}" for i in range(30)]
    assert {p.stem for p in (folder / "train-jpg").glob("*.jpg")} == {name for name, _ in train}
    assert PLANET.logic_faults(PLANET.encode([tags for _, tags in train])) == {}
    assert {p.stem for p in (folder / "test-jpg").iterdir()} == {f"test_{i}" for i in range(24)}
    assert {p.stem for p in (folder / "test-jpg-additional").iterdir()} == {f"file_{i}" for i in range(12)}


def test_the_submission_lists_test_by_number_and_file_by_spelling(folder: Path) -> None:
    listed = rows(folder / "sample_submission_v2.csv")
    tail = ["file_0", "file_1", "file_10", "file_11", *(f"file_{i}" for i in range(2, 10))]
    assert [name for name, _ in listed] == [*(f"test_{i}" for i in range(24)), *tail]
    assert {tags for _, tags in listed} == {"primary clear agriculture road water"}


def test_the_folder_says_that_it_is_generated(folder: Path) -> None:
    text = (folder / "GENERATED.txt").read_text()
    for words in ("not satellite images", "says nothing", "Seed: 5", "pixels: 32", "version: 1"):
        assert words in text


def test_files_are_cmyk_jpegs_without_app_markers(folder: Path) -> None:
    for path in (folder / "train-jpg").iterdir():
        data = path.read_bytes()
        markers: list[int] = []
        at = 2
        while not markers or markers[-1] != 0xDA:
            assert data[at] == 0xFF
            markers.append(data[at + 1])
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] == 0xC0:  # baseline frame: precision, height, width, components
                assert data[at + 9] == 4
                assert [data[at + 11 + 3 * i] for i in range(4)] == [0x11] * 4  # sampling factors
            at += 2 + length
        assert 0xC0 in markers
        assert not [m for m in markers if 0xE0 <= m <= 0xEF]
        assert data.endswith(b"\xff\xd9")
        with Image.open(path) as image:
            assert image.mode == "CMYK"
            assert image.size == (32, 32)
            assert np.asarray(image)[..., 3].max() == 0


def test_both_decoders_see_what_was_drawn(folder: Path) -> None:
    for i, (name, tags) in enumerate(rows(folder / "train_v2.csv")):
        path = folder / "train-jpg" / f"{name}.jpg"
        drawn = draw_tile(tags.split(), 32, np.random.default_rng([5, 0, i])).astype(int)
        with Image.open(path) as image:
            by_pillow = np.asarray(image.convert("RGB")).astype(int)
        read = cv2.imread(str(path))
        assert read is not None
        assert np.abs(by_pillow - drawn).mean() < 6
        assert np.abs(by_pillow.mean((0, 1)) - drawn.mean((0, 1))).max() < 1.5
        assert np.abs(by_pillow - read[..., ::-1]).max() <= 1


def test_same_arguments_same_bytes_and_another_seed_other_tiles(folder: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "again", tiles=30, test_tiles=36, size=32, seed=5)
    assert contents(tmp_path / "again") == contents(folder)
    write_demo(tmp_path / "other", tiles=30, test_tiles=36, size=32, seed=6)
    other, here = contents(tmp_path / "other"), contents(folder)
    assert not [name for name in here if name.endswith(".jpg") and here[name] == other[name]]


def test_a_tile_does_not_depend_on_how_many_there_are(folder: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "few", tiles=7, test_tiles=6, size=32, seed=5)
    few, here = contents(tmp_path / "few"), contents(folder)
    pictures = [name for name in few if name.endswith(".jpg")]
    assert len(pictures) == 13
    assert [name for name in pictures if few[name] != here[name]] == []
    assert rows(tmp_path / "few" / "train_v2.csv") == rows(folder / "train_v2.csv")[:7]


def test_training_and_test_tiles_are_different(folder: Path) -> None:
    pictures = [data for name, data in contents(folder).items() if name.endswith(".jpg")]
    assert len(pictures) == len(set(pictures)) == 66


def test_no_test_tiles_is_allowed(tmp_path: Path) -> None:
    write_demo(tmp_path / "made", tiles=1, test_tiles=0, size=16)
    assert rows(tmp_path / "made" / "sample_submission_v2.csv") == []


def test_a_second_call_does_nothing_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = tmp_path / "made"
    write_demo(made, tiles=3, test_tiles=2, size=16)
    before = {p: p.stat().st_mtime_ns for p in made.rglob("*")}
    with caplog.at_level("INFO", logger="amazon_ml.data.demo.demo"):
        write_demo(made, tiles=3, test_tiles=2, size=16)
    assert "nothing to do" in caplog.text
    assert {p: p.stat().st_mtime_ns for p in made.rglob("*")} == before


def test_other_arguments_or_a_missing_tile_are_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    write_demo(made, tiles=3, test_tiles=2, size=16)
    with refused(file=made, option="folder"):
        write_demo(made, tiles=3, test_tiles=2, size=16, seed=1)
    (made / "train-jpg" / "train_1.jpg").unlink()
    with refused(file=made, option="folder"):
        write_demo(made, tiles=3, test_tiles=2, size=16)
    assert not (made / "train-jpg" / "train_1.jpg").exists()


def test_a_folder_of_the_user_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with refused(file=tmp_path / "mine", option="folder"):
        write_demo(tmp_path / "mine", tiles=1, test_tiles=0, size=16)
    assert contents(tmp_path) == {"mine/notes.txt": b"keep"}
    with refused(file=tmp_path / "mine" / "notes.txt", option="folder"):
        write_demo(tmp_path / "mine" / "notes.txt", tiles=1, test_tiles=0, size=16)


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "empty", tmp_path / "a" / "b"):
        write_demo(target, tiles=2, test_tiles=1, size=16)
        assert len(rows(target / "train_v2.csv")) == 2


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 0

    def fail_at_third(*_: object) -> None:
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            raise KeyboardInterrupt
        return draw_tile({"clear"}, 16, np.random.default_rng(0))  # type: ignore[return-value]

    monkeypatch.setattr(demo, "draw_tile", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        write_demo(tmp_path / "made", tiles=5, test_tiles=0, size=16)
    assert drawn == 3
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_not_taken_for_tiles(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from amazon_ml.data.demo import demo
demo.draw_tile = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
demo.write_demo(Path(sys.argv[1]), tiles=5, test_tiles=0, size=16)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "made"], env=environment, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "made").exists()
    assert len(list(tmp_path.iterdir())) == 1
    write_demo(tmp_path / "made", tiles=5, test_tiles=0, size=16)
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("size", {"size": 15}),
        ("tiles", {"tiles": 0}),
        ("test_tiles", {"test_tiles": -1}),
        ("seed", {"seed": -1}),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, name: str, arguments: dict[str, int]) -> None:
    with pytest.raises(InputError) as caught:
        write_demo(tmp_path / "made", **arguments)
    assert caught.value.option == name and str(arguments[name]) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
