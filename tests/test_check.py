"""The check of a folder: faults are planted one by one, and all at once, in a folder that has none."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import rasterio
from PIL import Image
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.checks.check import Report, check
from amazon_ml.data.checks.findings import KINDS
from amazon_ml.data.checks.registration import compare
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.labels import PLANET

Pixels = npt.NDArray[np.uint8]
TAGGED, UNTAGGED, WITH_TIF, SIZE = 60, 12, 6, 64


def scenery(seed: int, size: int = SIZE) -> Pixels:
    """Hills of several widths in three colours, which JPEG keeps well; another picture for each seed."""
    rng = np.random.default_rng(seed)
    waves = [cv2.GaussianBlur(rng.normal(size=(size, size, 3)), (0, 0), width) * width for width in (2, 5, 9)]
    return (rng.integers(70, 150, size=3) + 60 * sum(waves)).clip(5, 250).astype(np.uint8)


def write_jpg(path: Path, pixels: Pixels, quality: int = 92) -> None:
    Image.fromarray(pixels).save(path, quality=quality, subsampling=0)


def write_tif(path: Path, bands: npt.NDArray[Any]) -> None:
    height, width, count = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=bands.dtype,
        transform=rasterio.Affine(3, 0, 0, 0, -3, 0),
    ) as file:  # fmt: skip
        file.write(np.moveaxis(bands, -1, 0))


def bgrn(rgb: Pixels) -> npt.NDArray[np.uint16]:
    """Four bands of which a picture is another, brighter rendering."""
    wide = 2000 + 20 * rgb[..., ::-1].astype(np.float64) ** 1.2
    return np.dstack([wide, wide.mean(axis=2)]).astype(np.uint16)


def tags_of(i: int) -> str:
    return (
        f"clear primary {PLANET.names[4 + i % 13]}"
        if i % 15
        else ("cloudy", "haze", "partly_cloudy", "haze water")[i // 15]
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean") / "tiles"
    for folder in ("train-jpg", "test-jpg", "train-tif-v2"):
        (root / folder).mkdir(parents=True)
    for i in range(TAGGED):
        write_jpg(root / "train-jpg" / f"train_{i}.jpg", scenery(i))
    for i in range(WITH_TIF):
        write_tif(root / "train-tif-v2" / f"train_{i}.tif", bgrn(scenery(i)))
    for i in range(UNTAGGED):
        write_jpg(root / "test-jpg" / f"test_{i}.jpg", scenery(1000 + i))
    rows = [f"train_{i},{tags_of(i)}" for i in range(TAGGED)]
    (root / "train_v2.csv").write_text("\n".join(["image_name,tags", *rows, ""]))
    return root


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "tiles"))


def jpg(root: Path, number: int) -> Path:
    return root / "train-jpg" / f"train_{number}.jpg"


def tif(root: Path, number: int) -> Path:
    return root / "train-tif-v2" / f"train_{number}.tif"


def other_jpg(root: Path, number: int) -> Path:
    return root / "test-jpg" / f"test_{number}.jpg"


def edit_row(root: Path, number: int, row: str) -> None:
    table = root / "train_v2.csv"
    lines = table.read_text().split("\n")
    lines[number + 1] = row
    table.write_text("\n".join(lines))


def add_row(root: Path, row: str) -> None:
    with (root / "train_v2.csv").open("a") as table:
        table.write(f"{row}\n")


def resave(source: Path, target: Path, change: Callable[[Pixels], Pixels], quality: int = 85) -> None:
    write_jpg(target, change(np.asarray(Image.open(source))), quality)


def as_is(pixels: Pixels) -> Pixels:
    return pixels


def brighter(pixels: Pixels) -> Pixels:
    return np.minimum(pixels, 252) + np.uint8(3)


def truncate(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def save(path: Path, image: Image.Image) -> None:
    image.save(path, quality=92)


def moved_tif(root: Path, number: int) -> None:
    wide = scenery(500, SIZE + 9)
    write_jpg(jpg(root, number), wide[:SIZE, :SIZE])
    write_tif(tif(root, number), bgrn(wide[4 : SIZE + 4, 9:]))


def half_black(root: Path, number: int) -> None:
    pixels = scenery(501)
    pixels[:, : SIZE // 2] = 0
    write_jpg(jpg(root, number), pixels, 100)


#: What is planted: name, how, the kind that must be found, what its only case begins with, and the
#: tagged tiles to leave out. Each uses tiles of its own, so that all can be planted in one folder.
PLANTED: dict[str, tuple[Callable[[Path], object], str, str, tuple[str, ...]]] = {
    "commas between tags": (lambda r: edit_row(r, 10, "train_10,clear,primary"), "broken_rows", "line 12", ()),
    "no name": (lambda r: add_row(r, ",clear primary"), "broken_rows", "line ", ()),
    "a row twice": (
        lambda r: add_row(r, f"train_11,{tags_of(11)}"),
        "repeated_rows", "train_11 on lines 13, ", ("train_11",)),
    "a row twice, other tags": (
        lambda r: add_row(r, "train_12,cloudy"), "contradictory_rows", "train_12 on lines 14, ", ("train_12",)),
    "misspelt tag": (
        lambda r: edit_row(r, 13, "train_13,clear primray"),
        "unknown_tags", "train_13: primray", ("train_13",)),
    "no tags": (lambda r: edit_row(r, 14, "train_14,"), "untagged_rows", "train_14", ("train_14",)),
    "two kinds of weather": (
        lambda r: edit_row(r, 16, "train_16,clear haze primary"),
        "label_logic", "train_16: more than one of", ("train_16",)),
    "file gone": (lambda r: jpg(r, 17).unlink(), "missing_files", "train_17", ("train_17",)),
    "file too many": (lambda r: write_jpg(jpg(r, 900), scenery(900)), "surplus_files", "train_900", ()),
    "two files of a name": (
        lambda r: save(jpg(r, 18).with_suffix(".png"), Image.fromarray(scenery(901))),
        "file_names", "ROOT/train-jpg/train_18.png: ", ()),
    "a test tile with a training name": (
        lambda r: write_jpg(r / "test-jpg" / "train_19.jpg", scenery(902)), "shared_names", "train_19", ()),
    "empty file": (lambda r: jpg(r, 20).write_bytes(b""), "unreadable", "train_20: ", ("train_20",)),
    "file cut short": (lambda r: truncate(jpg(r, 21), 0.6), "unreadable", "train_21: ", ("train_21",)),
    "text, not an image": (lambda r: jpg(r, 22).write_text("404"), "unreadable", "train_22: ", ("train_22",)),
    "test file cut short": (lambda r: truncate(other_jpg(r, 1), 0.5), "unreadable", "test_1: ", ()),
    "other size": (lambda r: write_jpg(jpg(r, 23), scenery(903, 48)), "odd_sizes", "train_23: 48 x 48", ("train_23",)),
    "grey": (
        lambda r: save(jpg(r, 24), Image.fromarray(scenery(904)[..., 0])),
        "odd_formats", "train_24: 1 band of uint8", ("train_24",)),
    "with transparency": (
        lambda r: save_as_png(r, 25, Image.fromarray(scenery(905)).convert("RGBA")),
        "odd_formats", "train_25: 4 bands of uint8", ("train_25",)),
    "16 bits": (
        lambda r: save_as_png(r, 26, Image.fromarray(scenery(906)[..., 0].astype(np.uint16) * 200)),
        "odd_formats", "train_26: 1 band of uint16", ("train_26",)),
    "constant": (
        lambda r: write_jpg(jpg(r, 27), np.full((SIZE, SIZE, 3), 93, np.uint8)),
        "constant", "train_27", ("train_27",)),
    "half black": (lambda r: half_black(r, 28), "blank_parts", "train_28", ()),
    "same file twice": (
        lambda r: shutil.copy(jpg(r, 31), edited(r, 44, tags_of(31))),
        "same_pixels", "train_31 = train_44", ("train_44",)),
    "same file, other tags": (
        lambda r: shutil.copy(jpg(r, 32), jpg(r, 33)),
        "same_pixels_other_tags", "train_32 = train_33", ("train_32", "train_33")),
    "training tile among the test tiles": (
        lambda r: shutil.copy(jpg(r, 34), other_jpg(r, 2)), "same_pixels_in_test", "train_34 = test_2", ()),
    "saved again": (lambda r: resave(jpg(r, 35), jpg(r, 36), as_is), "near_duplicates", "train_35 ~ train_36", ()),
    "a little brighter": (
        lambda r: resave(jpg(r, 37), jpg(r, 38), brighter),
        "near_duplicates", "train_37 ~ train_38", ()),
    "saved again for the test": (
        lambda r: resave(jpg(r, 39), other_jpg(r, 3), as_is), "near_duplicates_in_test", "train_39 ~ test_3", ()),
    "TIF cut short": (lambda r: truncate(tif(r, 0), 0.5), "tif_unreadable", "train_0: ", ("train_0",)),
    "TIF of another size": (
        lambda r: write_tif(tif(r, 1), bgrn(scenery(1, 32))),
        "tif_size", "train_1: JPG 64 x 64", ("train_1",)),
    "TIF of another place": (lambda r: write_tif(tif(r, 2), bgrn(scenery(907))), "tif_place", "train_2: ", ()),
    "TIF moved": (
        lambda r: moved_tif(r, 3),
        "tif_shift", "train_3: the TIF is moved by -9 px to the right, -4 px down", ()),
}  # fmt: skip


def save_as_png(root: Path, number: int, image: Image.Image) -> None:
    jpg(root, number).unlink()
    image.save(jpg(root, number).with_suffix(".png"))


def edited(root: Path, number: int, tags: str) -> Path:
    edit_row(root, number, f"train_{number},{tags}")
    return jpg(root, number)


def found(report: Report) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.items for finding in report.findings}


def test_nothing_is_found_where_nothing_is_wrong(clean: Path) -> None:
    report = check(clean)
    assert report.findings == ()
    assert report.exclude == {}
    assert report.rows == TAGGED
    assert report.tiles == {str(clean / name): n for name, n in
                            (("train-jpg", TAGGED), ("train-tif-v2", WITH_TIF), ("test-jpg", UNTAGGED))}  # fmt: skip
    counted = read_catalog(clean).targets.sum(axis=0)
    assert report.tags == dict(zip(PLANET.names, counted.tolist(), strict=True))


@pytest.mark.parametrize("name", [".", "{root}", "below/.."])
def test_tiles_are_counted_below_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "below").mkdir()
    for number in range(4):
        Image.fromarray(scenery(number)).save(tmp_path / "below" / f"{number}.png")
    (tmp_path / "labels.csv").write_text("image,tags\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(4)))
    monkeypatch.chdir(tmp_path)
    assert list(check(Path(name.format(root=tmp_path)), ReadingConfig()).tiles.values()) == [4]


@pytest.mark.parametrize("fault", PLANTED)
def test_each_planted_fault_is_found_and_no_other(root: Path, fault: str) -> None:
    plant, kind, item, exclude = PLANTED[fault]
    plant(root)
    report = check(root)
    (finding,) = report.findings
    assert finding.kind == kind
    assert finding.count == len(finding.items) == 1
    assert finding.items[0].startswith(item.replace("ROOT", str(root)))
    assert report.exclude == dict.fromkeys(exclude, kind)


@pytest.fixture
def faulty(root: Path) -> Path:
    """A folder with every fault at once."""
    for plant, *_ in PLANTED.values():
        plant(root)
    return root


def test_every_fault_at_once_is_found_and_no_other(faulty: Path) -> None:
    expected: dict[str, list[str]] = {}
    for _, kind, item, _ in PLANTED.values():
        expected.setdefault(kind, []).append(item.replace("ROOT", str(faulty)))
    items = found(check(faulty))
    assert set(items) == set(expected)
    for kind, beginnings in expected.items():
        assert len(items[kind]) == len(beginnings)
        assert all(any(item.startswith(start) for item in items[kind]) for start in beginnings)


def test_the_command_shows_writes_and_fails(faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, names = tmp_path / "out" / "check.json", tmp_path / "names.csv"
    assert main(["data", "check", str(faulty), "--json", str(out), "--write_exclude", str(names)]) == 1
    shown = capsys.readouterr()
    assert "unreadable, odd_sizes" in shown.err
    assert "train_31 = train_44" in shown.out and "remark" in shown.out
    report = json.loads(out.read_text())
    assert set(report) == {"table", "rows", "splits", "tags", "tiles", "findings", "exclude"}
    assert report["rows"] == TAGGED
    assert report["tiles"][str(faulty / "test-jpg")] == UNTAGGED + 1
    severities = [finding["severity"] for finding in report["findings"]]
    assert severities == sorted(severities)
    for finding in report["findings"]:
        assert set(finding) == {"kind", "severity", "what", "remedy", "count", "items"}
        assert finding["count"] == len(finding["items"])
    expected = {name: kind for _, kind, _, exclude in PLANTED.values() for name in exclude}
    assert report["exclude"] == expected
    with names.open() as table:
        assert {row["image_name"]: row["reason"] for row in csv.DictReader(table)} == expected


@pytest.mark.parametrize(("fault", "status"), [("constant", 1), ("half black", 0), ("saved again", 0)])
def test_faults_fail_and_remarks_do_not(root: Path, fault: str, status: int) -> None:
    PLANTED[fault][0](root)
    assert main(["data", "check", str(root)]) == status


def test_examples_are_as_many_as_asked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (5, 6, 7):
        jpg(root, number).unlink()
    assert main(["data", "check", str(root), "--examples", "2"]) == 1
    shown = capsys.readouterr().out
    assert "train_5" in shown and "train_6" in shown and "…" in shown and "train_7" not in shown


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_an_empty_or_missing_folder_is_a_wrong_call(
    tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(tmp_path / folder)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--examples=0", "--num_workers=-1"])
def test_numbers_that_make_no_sense_are_a_wrong_call(clean: Path, option: str) -> None:
    assert main(["data", "check", str(clean), option]) == 2


def test_a_table_whose_files_all_lack(root: Path) -> None:
    shutil.rmtree(root / "train-jpg")
    shutil.rmtree(root / "train-tif-v2")
    (missing,) = check(root).faults
    assert missing.kind == "missing_files" and missing.count == TAGGED


def test_what_cannot_be_written_is_told(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["data", "check", str(clean), "--json", str(tmp_path / "file" / "check.json")]) == 2
    assert holds(capsys.readouterr().err, tmp_path / "file")


def test_without_what_the_list_names_training_data_are_whole(faulty: Path, tmp_path: Path) -> None:
    edit_row(faulty, 10, f"train_10,{tags_of(10)}")  # what no name can leave out is mended by hand
    table = faulty / "train_v2.csv"
    table.write_text(table.read_text().replace("\n,clear primary", ""))
    jpg(faulty, 18).with_suffix(".png").unlink()
    other_jpg(faulty, 1).unlink()  # cut short, and without tags
    with refused(file=table, line=13, says=62):
        read_catalog(faulty)
    names = tmp_path / "leave out.csv"
    assert main(["data", "check", str(faulty), "--write_exclude", str(names)]) == 1
    left_out = pd.read_csv(names)["image_name"].tolist()
    data = PlanetDataModule(
        str(faulty), exclude=str(names), size=SIZE, batch_size=8, num_workers=0, n_folds=2, bands="rgbn",
        folds_file=str(tmp_path / "folds.csv"), bands_file=str(tmp_path / "bands.json"), allow_missing=True,
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    assert not set(data.catalog.labelled["image_name"]) & set(left_out)
    assert data.catalog.labelled["image_name"].tolist() == [f"train_{i}" for i in (2, 3, 4, 5)]
    assert sum(len(batch["index"]) for batch in data.val_dataloader()) == len(data.valid_rows)
    rgb = PlanetDataModule(
        str(faulty), exclude=str(names), size=SIZE, num_workers=0, validate=False, n_folds=2,
        folds_file=str(tmp_path / "rgb.csv"), bands_file=str(tmp_path / "rgb.json"),
    )  # fmt: skip
    rgb.prepare_data()
    rgb.setup()
    names_left = {f"train_{i}" for i in range(TAGGED)} - set(left_out)
    assert set(rgb.catalog.labelled["image_name"]) == names_left
    assert sum(len(batch["index"]) for batch in rgb.val_dataloader()) == len(names_left)


def test_a_list_of_names_is_passed_over_when_evaluating(trained: Path, demo_tiles: Path, tmp_path: Path) -> None:
    names, scores = tmp_path / "names.csv", tmp_path / "scores.json"
    names.write_text("image_name,reason\ntrain_3,constant\ntrain_8,unreadable\n")
    options = ["--data", str(demo_tiles), "--exclude", str(names), "--json", str(scores)]
    assert main(["evaluate", str(trained), *options]) == 0
    assert json.loads(scores.read_text())["tiles"] == 198


def test_copies_of_a_tile_are_compared_with_others_once(root: Path) -> None:
    for number in (36, 37):
        shutil.copy(jpg(root, 35), edited(root, number, tags_of(35)))
    resave(jpg(root, 35), jpg(root, 38), as_is)
    items = found(check(root))
    assert items["same_pixels"] == ("train_35 = train_36 = train_37",)
    (pair,) = items["near_duplicates"]
    assert pair.startswith("train_35 ~ train_38 (correlation ")


def test_a_white_tile_may_be_a_cloud(root: Path) -> None:
    for number in (4, 5):  # both with a TIF, which shows more
        write_jpg(jpg(root, number), np.full((SIZE, SIZE, 3), 255, np.uint8))
    report = check(root)
    assert report.faults == []
    assert found(report) == {"blank_parts": ("train_4", "train_5")}


def test_tags_that_no_tile_has(root: Path) -> None:
    table = root / "train_v2.csv"
    table.write_text(table.read_text().replace(" slash_burn", ""))
    (finding,) = check(root).findings
    assert (finding.kind, finding.severity, finding.items) == ("unseen_tags", "remark", ("slash_burn",))


def test_sizes_without_a_majority_are_only_counted(root: Path) -> None:
    for number in range(10, 30):
        write_jpg(jpg(root, number), scenery(number, 48))
    (finding,) = check(root).findings
    assert (finding.kind, finding.severity) == ("mixed_sizes", "remark")
    assert finding.items == (f"64 x 64: {TAGGED + UNTAGGED - 20} tiles", "48 x 48: 20 tiles")


def test_sizes_that_are_nearly_the_same_are_no_faults(root: Path, tmp_path: Path) -> None:
    """As in UC Merced, where 44 of 2,100 tiles have not 256 px."""
    for number, edge in ((10, 62), (11, 66), (12, 58)):
        write_jpg(jpg(root, number), scenery(number, edge))
    findings = {finding.kind: finding for finding in check(root).findings}
    assert findings["mixed_sizes"].severity == "remark"
    usual = f"64 x 64: {TAGGED + UNTAGGED - 3} tiles"
    assert set(findings["mixed_sizes"].items) == {usual, "62 x 62: 1 tiles", "66 x 66: 1 tiles"}
    assert findings["odd_sizes"].items == ("train_12: 58 x 58",)


@pytest.mark.parametrize(("odd", "kind"), [(1, "tif_odd_formats"), (4, "tif_mixed_formats")])
def test_tifs_of_several_formats(root: Path, odd: int, kind: str) -> None:
    for number in range(WITH_TIF, 12):
        write_tif(tif(root, number), bgrn(scenery(number)))
    for number in range(odd):
        write_tif(tif(root, number), bgrn(scenery(number))[..., :3])
    (finding,) = check(root).findings
    assert finding.kind == kind


def test_a_tile_without_tags_that_is_only_a_tif(root: Path) -> None:
    (root / "test-tif-v2").mkdir()
    write_tif(root / "test-tif-v2" / "test_99.tif", bgrn(scenery(99)))
    (finding,) = check(root).findings
    assert (finding.kind, finding.items) == ("colourless", ("test_99",))


def test_misnamed_tifs_are_compared_with_the_tile_that_they_show(root: Path) -> None:
    (root / "test-tif-v2").mkdir()
    write_jpg(root / "test-jpg" / "file_7.jpg", scenery(77))
    write_tif(root / "test-tif-v2" / "file_3.tif", bgrn(scenery(77)))
    (root / "test_v2_file_mapping.csv").write_text("old,new\nfile_3.tif,file_7.tif\n")
    assert check(root).findings == ()
    (root / "test_v2_file_mapping.csv").write_text("old,new\nfile_4.tif,file_7.tif\n")
    (item,) = found(check(root))["file_names"]
    assert item.startswith(f"{root / 'test-tif-v2' / 'file_3.tif'}: ") and "test_v2_file_mapping.csv" in item
    (root / "test_v2_file_mapping.csv").write_text("from,to\nfile_3.tif,file_7.tif\n")
    (item,) = found(check(root))["file_names"]
    assert item.startswith(f"{root / 'test_v2_file_mapping.csv'}, line 1: ")


def test_a_folder_of_tifs_alone(clean: Path, tmp_path: Path) -> None:
    shutil.copytree(clean / "train-tif-v2", tmp_path / "images")
    (tmp_path / "tags.csv").write_text(
        "file;tags\n".replace(";", ",") + "".join(f"train_{i},{'a ' * (i % 5 > 1)}b\n" for i in range(WITH_TIF))
    )
    assert check(tmp_path).findings == ()
    shutil.copy(tmp_path / "images" / "train_0.tif", tmp_path / "images" / "train_5.tif")
    assert found(check(tmp_path)) == {"same_pixels": ("train_0 = train_5",)}


def test_any_tagged_folder_with_its_own_separator(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"part {i % 2}").mkdir(exist_ok=True)
        write_jpg(tmp_path / f"part {i % 2}" / f"{i}.jpg", scenery(i))
    rows = [f"part {i % 2}/{i}.jpg;dense forest{'|river' * (i > 0)}" for i in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["Image,Labels", *(row.replace(";", ",") for row in rows)]))
    report = check(tmp_path, ReadingConfig(tag_separator="|"))
    assert report.findings == ()
    assert report.tags == {"dense forest": 4, "river": 3}
    assert found(check(tmp_path, ReadingConfig(tag_separator="|", tags=["river"]))) == {
        "unknown_tags": tuple(f"part {i % 2}/{i}: dense forest" for i in range(4))
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [(b'train_9,"clear primary', "unexpected end of data"), (b"train_9,clear prim\xe4ry", "it is not UTF-8")],
)
def test_rows_that_break_the_whole_table(root: Path, line: bytes, told: str) -> None:
    table = root / "train_v2.csv"
    lines = table.read_bytes().split(b"\n")
    lines[10] = line
    table.write_bytes(b"\n".join(lines))
    with refused(file=table, line=11):
        read_catalog(root)
    report = check(root)
    assert found(report)["broken_rows"] == (f"line 11: {told}",)
    assert set(found(report)) <= {"broken_rows", "surplus_files", "unknown_tags"}  # the row's own file and tag


def test_threads_change_nothing(faulty: Path) -> None:
    assert check(faulty, num_workers=1) == check(faulty, num_workers=5)


def test_every_kind_has_its_words() -> None:
    assert all(kind.what and kind.remedy and not kind.what.endswith(".") for kind in KINDS.values())


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (3, -2), (-14, 5)])
def test_the_shift_between_two_renderings_is_measured(tmp_path: Path, right: int, down: int) -> None:
    size, margin = 128, 16
    wide = scenery(3, size + 2 * margin)
    write_jpg(tmp_path / "a.jpg", wide[margin : margin + size, margin : margin + size])
    top, left = margin - down, margin - right
    write_tif(tmp_path / "a.tif", bgrn(wide[top : top + size, left : left + size]))
    kind, words, _ = compare(str(tmp_path / "a.jpg"), str(tmp_path / "a.tif"))
    if max(abs(right), abs(down)) <= 1:
        assert kind == ""
    else:
        assert (kind, words) == ("tif_shift", f"the TIF is moved by {right:+} px to the right, {down:+} px down")
