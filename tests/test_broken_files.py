"""What lies in a folder where tiles are expected: other formats, links, special files, names that no table can hold."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from refused import command_refused, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.tiles import find_tiles, list_tiles
from amazon_ml.data.catalog.walk import walk

Pixels = npt.NDArray[np.uint8]


def pixels(seed: int, size: int = 16) -> Pixels:
    return np.random.default_rng(seed).integers(20, 230, size=(size, size, 3), dtype=np.uint8)


def write(path: Path, seed: int, **options: Any) -> Path:
    """Write a picture in the format of the ending; Pillow does, so that OpenCV is not asked about itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed)).save(path, **options)
    return path


def table(root: Path, names: list[str], tags: str = "forest river") -> Path:
    rows = [f"{name},{tags if n % 2 else 'field'}" for n, name in enumerate(names)]
    path = root / "labels.csv"
    path.write_text("\n".join(["image_name,tags", *rows, ""]))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve PNGs with tags."""
    root = tmp_path / "tiles"
    for n in range(12):
        write(root / f"t{n:03}.png", n)
    table(root, [f"t{n:03}" for n in range(12)])
    return root


def commands(root: Path, aside: Path, *, train: bool = True) -> list[list[object]]:
    """List the commands that read a folder of tagged tiles, each without a network; `train` takes longest to begin."""
    small = ["--data.size=16", "--trainer.accelerator=cpu", "--model.pretrained=false"]
    return [
        ["data", "check", root],
        ["data", "pack", root, "--size", "16", "--out", aside / "packed"],
        ["data", "folds", root, "--folds", aside / "folds.csv"],
        *([["train", "--data.root", root, "--run", aside / "run", *small]] if train else []),
    ]


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("ending", "options"), [("webp", {"lossless": True}), ("bmp", {}), ("WEBP", {"lossless": True})]
)
def test_webp_and_bmp_are_read(tmp_path: Path, ending: str, options: dict[str, Any]) -> None:
    path = write(tmp_path / f"a.{ending}", 3, **options)
    write(tmp_path / "b.png", 4)
    table(tmp_path, ["a", "b"])
    assert read_catalog(tmp_path).labelled["path"].tolist() == [str(path), str(tmp_path / "b.png")]
    assert main(["data", "pack", str(tmp_path), "--size", "16", "--out", str(tmp_path / "packed")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "packed" / "tiles.npy")[0], pixels(3))


@pytest.mark.parametrize("ending", ["webp", "bmp", "png", "jpg"])
def test_a_file_cut_short_is_refused_by_every_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    (folder / "t003.png").unlink()
    broken = write(folder / f"t003.{ending}", 3)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 2 // 3])
    for words in commands(folder, tmp_path, train=ending == "webp"):
        status = 1 if "check" in words else 2
        message = command_refused(capsys, *words, status=status)
        assert ("unreadable" if status == 1 else "t003") in message


def test_an_animated_webp_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [Image.fromarray(pixels(n)) for n in range(2)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    write(tmp_path / "b.png", 4)
    table(tmp_path, ["a", "b"])
    assert "a.webp" in command_refused(capsys, "data", "pack", tmp_path, "--size", 16)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html>\n<html>", "HTML"),
        (b"\n  <html lang=en>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"PK\x03\x04rest", "ZIP"),
        (bytes(4096), "zero bytes"),
        (b"", "empty"),
    ],
)
def test_what_a_file_holds_instead_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    (folder / "t003.png").write_bytes(content)
    assert said in command_refused(capsys, *commands(folder, tmp_path, train=said == "HTML")[-1])
    report = tmp_path / "check.json"
    assert main(["data", "check", str(folder), "--json", str(report)]) == 1
    (finding,) = (each for each in json.loads(report.read_text())["findings"] if each["kind"] == "unreadable")
    assert said in finding["items"][0]


def test_a_file_of_another_format_than_its_ending_is_read(folder: Path) -> None:
    write(folder / "other.bmp", 3).replace(folder / "t003.png")
    write(folder / "other.jpg", 4, quality=95).replace(folder / "t004.png")
    assert main(["data", "pack", str(folder), "--size", "16"]) == 0


@pytest.mark.parametrize("place", ["", "train-jpg"])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a.jp2", "b.JP2", "c.gif"], ["2 .jp2", "1 .gif", ".webp"]),
        (["a.npy"], ["1 .npy"]),
        (["train.zip"], ["train.zip", "unpack"]),
        (["train.tar.gz"], ["train.tar.gz", "unpack"]),
        ([], ["empty"]),
    ],
)
def test_a_folder_without_images_says_what_lies_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, files: list[str], said: list[str]
) -> None:
    root = tmp_path / "tiles"
    (root / place).mkdir(parents=True)
    for name in files:
        (root / place / name).write_bytes(b"?")
    kept = table(tmp_path if not place else root, ["a", "b"])
    for words in commands(root, tmp_path, train=files != ["a.npy"]):
        option = "--data.labels_file" if "train" in words else "--labels_file"
        message = command_refused(capsys, *words, *([] if place else [option, kept]))
        assert all(part in message for part in said)


def test_images_without_an_ending_are_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.jpg", 1).rename(tmp_path / "a")
    table(tmp_path, ["a"])
    message = command_refused(capsys, "data", "check", tmp_path)
    assert str(tmp_path / "a") in message and "JPEG" in message and ".jpg" in message


def test_an_archive_in_the_place_of_a_layout_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "planet.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    message = command_refused(capsys, "data", "check", tmp_path)
    assert "planet.7z" in message and "unpack" in message


# ---------------------------------------------------------------- files in the place of folders


@pytest.mark.parametrize("name", ["t003.png", "labels.csv"])
def test_a_file_in_the_place_of_the_folder_is_answered_with_its_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for words in commands(folder / name, tmp_path):
        assert f"{folder}" in command_refused(capsys, *words).replace(str(folder / name), "")


def test_a_link_to_nothing_in_the_place_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to("gone")
    message = command_refused(capsys, "data", "check", tmp_path / "link")
    assert "link" in message and "gone" in message


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", [b"x\xff.png", b"x\n12:00:00 all is well.png", b"x\x1b[31m.png", b"x\r.png", "x\u2028.png".encode()]
)
def test_names_that_no_table_can_hold_are_refused_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: bytes
) -> None:
    with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123 (a name of bytes)
        file.write((folder / "t003.png").read_bytes())
    for words in commands(folder, tmp_path, train=b"\xff" in name):
        status = 1 if "check" in words else 2
        message = command_refused(capsys, *words, status=status)
        assert ("file_names" if status == 1 else repr(name)[2:-1]) in message
        assert message.isprintable()
    assert not (tmp_path / "folds.csv").exists() and not (tmp_path / "packed").exists()


def test_all_that_cannot_be_held_are_counted(folder: Path) -> None:
    for n in range(3):
        (folder / f"\x07{n}.png").hardlink_to(folder / "t003.png")
    tiles, faults = find_tiles([folder])
    assert len(faults) == 3 and len(tiles) == 12
    with refused(says=["'\\x07'", "2 more"]):
        list_tiles([folder])


def test_only_names_that_are_shared_become_paths(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    below = folder / "images"
    below.mkdir()
    for path in folder.glob("*.png"):
        path.rename(below / path.name)
    write(folder / "stray" / "t003.png", 99)
    names = list_tiles([folder])["image_name"].tolist()
    assert sorted(names) == sorted([*(f"t{n:03}" for n in range(12) if n != 3), "images/t003", "stray/t003"])
    message = command_refused(capsys, "data", "pack", folder, "--size", 16)
    assert "labels.csv, line 5" in message
    assert all(str(folder / place / "t003.png") in message for place in ("images", "stray"))
    assert main(["data", "check", str(folder)]) == 1
    text = (folder / "labels.csv").read_text().replace("t003,", "images/t003,")
    (folder / "labels.csv").write_text(text)
    labelled = read_catalog(folder).labelled.set_index("image_name")["path"]
    assert len(labelled) == 12 and labelled["images/t003"] == str(below / "t003.png")


def test_a_stray_file_above_others_is_not_taken_for_the_one_that_is_meant(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "backup" / "t003.png", 99)
    message = command_refused(capsys, "data", "pack", folder, "--size", 16)
    assert "labels.csv, line 5" in message
    assert str(folder / "t003.png") in message and str(folder / "backup" / "t003.png") in message
    table(folder, ["t003", "backup/t003", "t000"])
    paths = read_catalog(folder).labelled["path"].tolist()
    assert paths == [str(folder / name) for name in ("t003.png", "backup/t003.png", "t000.png")]


def test_a_table_may_mix_names_and_paths(folder: Path) -> None:
    for place in ("a", "b"):
        write(folder / place / "same.png", 7)
        write(folder / place / f"only_{place}.png", 8)
    table(folder, ["a/same", "b/same", "a/only_a", "only_b", "t000"])
    paths = read_catalog(folder).labelled["path"].tolist()
    assert [str(Path(path).relative_to(folder)) for path in paths] == [
        "a/same.png", "b/same.png", "a/only_a.png", "b/only_b.png", "t000.png",
    ]  # fmt: skip


# ---------------------------------------------------------------- links and special files


@pytest.mark.parametrize(
    "links", [{"up": ".."}, {"here": "."}, {"x": "y", "y": "x"}, {"deep/up": "../.."}, {"again": "deep"}]
)
def test_links_to_folders_change_nothing(folder: Path, links: dict[str, str]) -> None:
    write(folder / "deep" / "d.png", 50)
    before = list_tiles([folder])
    for name, target in links.items():
        (folder / name).symlink_to(target)
    after = list_tiles([folder])
    assert after.equals(before)
    assert read_catalog(folder).labelled["path"].tolist() == [str(folder / f"t{n:03}.png") for n in range(12)]


def test_links_that_end_in_each_other_are_walked_once(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        write(tmp_path / name / f"{name}.png", 1)
        (tmp_path / name / "other").symlink_to(f"../{other}")
    assert list_tiles([tmp_path])["path"].tolist() == [str(tmp_path / name / f"{name}.png") for name in ("a", "b")]


def test_a_layout_of_links_is_found(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "links"
    (root / "a_dump").mkdir(parents=True)
    (root / "a_dump" / "tiles").symlink_to(folder)
    (root / "train-jpg").symlink_to(folder)
    (root / "train_v2.csv").write_text("image_name,tags\nt000,clear primary\n")
    assert read_catalog(root).labelled["path"].tolist() == [str(root / "train-jpg" / "t000.png")]


def test_the_walk_gives_one_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c/d", "c/a"):
        write(tmp_path / name / "x.png", 1)
    (tmp_path / "0").symlink_to("c/d")
    assert [str(listing.path.relative_to(tmp_path)) for listing in walk(tmp_path)] == [".", "a", "b", "c", "c/a", "c/d"]


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "FIFO": make_fifo,
    "socket": make_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("gone"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_no_tile(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (folder / "t003.png").unlink()
    SPECIAL[kind](folder / "t003.png")
    for words in commands(folder, tmp_path, train=kind == "FIFO"):
        status = 1 if "check" in words else 2
        message = command_refused(capsys, *words, status=status)
        assert ("unreadable" if status == 1 else str(folder / "t003.png")) in message
        assert status == 1 or kind in message


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "folder"])
@pytest.mark.parametrize("place", ["labels.csv", "left_out.csv", "folds.csv", "packed-rgb-16/store.json", "bands.json"])
def test_what_is_no_regular_file_is_read_for_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, place: str
) -> None:
    path = folder / place
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    SPECIAL[kind](path)
    words: dict[str, list[object]] = {
        "labels.csv": ["data", "check", folder, "--labels_file", path],
        "left_out.csv": ["data", "pack", folder, "--exclude", path],
        "folds.csv": ["data", "folds", folder, "--folds", path],
        "packed-rgb-16/store.json": ["data", "copy", path.parent, tmp_path / "copy"],
        "bands.json": ["data", "pack", folder, "--bands_file", path],
    }
    assert str(path.parent) in command_refused(capsys, *words[place])


def test_special_files_of_a_configuration_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "c.yaml")
    assert "c.yaml" in command_refused(capsys, "train", "--config", tmp_path / "c.yaml")
    assert "c.yaml" in command_refused(capsys, "train", f"--config={tmp_path / 'c.yaml'}")
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "config.yaml")
    assert "config.yaml" in command_refused(capsys, "tune", tmp_path / "run")


def test_all_broken_tiles_are_named_at_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in (2, 5):
        path = folder / f"t{n:03}.png"
        path.write_bytes(path.read_bytes()[:100])
    write(folder / "test" / "u.png", 40).write_bytes(b"")
    for words in commands(folder, tmp_path)[1::2]:
        message = command_refused(capsys, *words)
        assert all(name in message for name in ("3 of 13", "t002", "t005", "u.png", "--write_exclude"))


def test_tiles_on_the_list_of_the_check_are_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "t003.png").write_bytes(b"")
    left_out = tmp_path / "left_out.csv"
    assert main(["data", "check", str(folder), "--write_exclude", str(left_out)]) == 1
    assert main(["data", "pack", str(folder), "--size", "16", "--exclude", str(left_out)]) == 0


# ---------------------------------------------------------------- outputs


@pytest.mark.parametrize("option", ["--json", "--write_exclude"])
def test_an_output_that_cannot_be_written_ends_the_check_before_it_begins(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (tmp_path / "file").touch()
    capsys.readouterr()
    for out, status in ((tmp_path / "file" / "x.csv", 2), (tmp_path, 2), (tmp_path / ("x" * 300), 1)):
        assert main(["data", "check", str(folder), option, str(out)]) == status
        shown = capsys.readouterr()
        assert shown.out == "" and str(out) in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tiles"]


def test_names_of_which_none_can_be_used_are_reported(tmp_path: Path) -> None:
    root = tmp_path / "tiles"
    for n in range(3):
        write(root / f"a\x01{n}.png", n)
    table(root, ["a0", "a1", "a2"])
    assert main(["data", "check", str(root)]) == 1
