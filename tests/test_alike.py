"""Tiles that differ from those that a reader is fitted to are found by their headers, before a network is trained."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY
from made_tiles import Pixels, values, write_png, write_tif
from refused import command_refused, holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.checks.alike import find_unlike
from amazon_ml.data.checks.check import check
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.broken import check_whole
from amazon_ml.data.readers.damage import FileShape, look_at
from amazon_ml.data.readers.fitting import fit_tiles
from amazon_ml.errors import InputError

TEMPLATE = "{name}/{name}_{band}.tif"
SPLITS = {"train": range(12), "validation": range(12, 22), "test": range(22, 26)}
#: Options of a set whose bands lie in files of their own.
BANDS: dict[str, Any] = {"bands": ["B02", "B05"], "files": TEMPLATE, "split_column": "split"}


def band(tile: int, name: str, dtype: str = "uint16") -> Pixels:
    return values(100 * tile + int(name[1:]), 1, dtype)[: 24 if name == "B02" else 12, : 24 if name == "B02" else 12]


def place(root: Path, tile: int, name: str) -> Path:
    return root / f"t{tile}" / f"t{tile}_{name}.tif"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Tiles with a file for each band and published splits."""
    folder = tmp_path / "set"
    rows = ["patch_id,labels,split"]
    for split, numbers in SPLITS.items():
        for tile in numbers:
            for name in BANDS["bands"]:
                write_tif(place(folder, tile, name), band(tile, name))
            rows.append(f"t{tile},{'forest' if tile % 2 else 'river lake'},{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def train(root: Path, run: Path) -> list[object]:
    return ["train", "--run", run, "--data.root", root, *TINY, "--data.bands=[B02,B05]", f"--data.files={TEMPLATE}",
            "--data.split_column=split", "--trainer.max_epochs=1"]  # fmt: skip


CHANGES: dict[str, Callable[[Path], object]] = {
    "size": lambda path: write_tif(path, values(0, 1)),
    "type": lambda path: write_tif(path, values(0, 1, "float32")[:12, :12]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:200]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("tile", [3, 15, 23], ids=["train", "validation", "test"])
def test_a_band_of_another_size_or_type_ends_the_run_before_it_begins(
    root: Path, tmp_path: Path, tile: int, change: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    change(place(root, tile, "B05"))
    said = command_refused(capsys, *train(root, tmp_path / "run"))
    assert str(place(root, tile, "B05")) in said and "exclude" in said
    assert ("test split" in said) == (tile == 23) and "no tags" not in said
    assert not list((tmp_path / "run").glob("fold-*/weights*"))
    report = check(root, ReadingConfig(**BANDS))
    assert set(report.exclude) == {f"t{tile}"}
    excluded = tmp_path / "exclude.csv"
    assert main(["data", "check", str(root), "--bands=[B02,B05]", f"--files={TEMPLATE}", "--split_column=split",
                 "--write_exclude", str(excluded)]) == 1  # fmt: skip
    assert pd.read_csv(excluded)["image_name"].tolist() == [f"t{tile}"]
    data = PlanetDataModule(root, size=24, exclude=str(excluded), num_workers=0, **BANDS)
    data.prepare_data()
    data.setup()


def test_all_that_differ_are_counted(root: Path) -> None:
    for tile in (14, 22, 25):
        CHANGES["size"](place(root, tile, "B05"))
    data = PlanetDataModule(root, size=24, num_workers=0, **BANDS)
    with refused(says=[3, 26, place(root, 14, "B05"), place(root, 25, "B05"), "2 of these tiles"]):
        data.prepare_data()


def test_a_test_tile_whose_pixels_are_refused_loses_no_network(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its headers are whole: only its values show that it is of another kind."""
    files, run = [place(root, 23, name) for name in BANDS["bands"]], tmp_path / "run"
    whole = [file.read_bytes() for file in files]
    for file, name in zip(files, BANDS["bands"], strict=True):
        write_tif(file, band(23, name) + 50_000)
    said = command_refused(capsys, *train(root, run))
    weights = next((run / "fold-0").glob("*.safetensors"))
    assert str(files[0]) in said and str(weights) in said
    before = weights.read_bytes()
    for file, content in zip(files, whole, strict=True):
        file.write_bytes(content)
    assert main(list(map(str, train(root, run)))) == 0
    assert weights.read_bytes() == before and len(pd.read_parquet(run / "fold-0" / "test.parquet")) == 4


@pytest.mark.parametrize(
    ("options", "odd"),
    [
        ({"bands": "rgbn"}, lambda path: write_tif(path, values(0, 4, "float32"))),
        ({"bands": "rgbn"}, lambda path: write_tif(path, values(0, 6))),
        ({"bands": ["red", "nir"], "band_names": ["red", "green", "blue", "nir"]},
         lambda path: write_tif(path, values(0, 3))),
        ({"bands": ["red", "nir"], "band_names": ["red", "green", "blue", "nir"]},
         lambda path: write_tif(path, values(0, 4, "int16"))),
    ],
    ids=["type by letters", "bands by letters", "bands by name", "type by name"],
)  # fmt: skip
def test_one_file_of_another_kind_is_found_where_it_is_never_trained_on(
    tmp_path: Path, options: dict[str, Any], odd: Callable[[Path], object]
) -> None:
    rows = ["image_name,tags,split"]
    for tile in range(16):
        write_tif(tmp_path / "img" / f"t{tile}.tif", values(tile))
        rows.append(f"t{tile},{'forest' if tile % 2 else 'river lake'},{'test' if tile > 12 else 'train'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    options = {**options, "size": 24, "split_column": "split", "num_workers": 0, "n_folds": 2}
    PlanetDataModule(tmp_path, **options).prepare_data()
    odd(tmp_path / "img" / "t15.tif")
    with refused(file=tmp_path / "img" / "t15.tif", says="test split"):
        PlanetDataModule(tmp_path, **options).prepare_data()


@pytest.fixture
def with_untagged(tmp_path: Path) -> Path:
    """Tagged TIFs, and four untagged ones in a folder of their own."""
    rows = ["image_name,tags"]
    for tile in range(24):
        write_tif(tmp_path / "set" / ("img" if tile < 20 else "test-tif-v2") / f"t{tile}.tif", values(tile))
        rows += [f"t{tile},{'forest' if tile % 2 else 'river lake'}"] if tile < 20 else []
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "set"


@pytest.mark.parametrize("count", [1, 2])
def test_untagged_tiles_of_another_type_end_only_a_run_that_predicts_them(
    with_untagged: Path, tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    odd = [with_untagged / "test-tif-v2" / f"t{tile}.tif" for tile in (21, 23)[:count]]
    for path in odd:
        write_tif(path, values(0, 4, "float32"))
    data = PlanetDataModule(with_untagged, size=24, num_workers=0, bands="rgbn", n_folds=2)
    data.prepare_data()
    warned = [record.getMessage() for record in caplog.records if record.name.endswith("alike")]
    assert len(warned) == 1 and all(str(path) in warned[0] for path in odd)
    data.setup()
    assert len(data.train_dataloader()) > 0
    with refused(file=None if count > 1 else odd[0], says=odd if count > 1 else "float32") as raised:
        data.prepare_data(predicts=True)
    assert "exclude" not in str(raised.value) and "cannot be read" not in str(raised.value)
    assert count == 1 or holds(raised.value.problem, 2, 4)
    said = command_refused(capsys, "train", "--run", tmp_path / "run", "--data.root", with_untagged, *TINY,
                           "--data.bands=rgbn", "--data.n_folds=2")  # fmt: skip
    assert str(odd[0]) in said and "exclude" not in said


def test_damaged_untagged_tiles_are_not_to_be_excluded(with_untagged: Path) -> None:
    path = with_untagged / "test-tif-v2" / "t21.tif"
    CHANGES["cut short"](path)
    with refused(says=path) as raised:
        PlanetDataModule(with_untagged, size=24, num_workers=0, bands="rgbn", n_folds=2).prepare_data()
    assert "or exclude" not in str(raised.value) and "write_exclude" not in str(raised.value)


def test_tiles_of_several_sizes_are_read_as_before(root: Path) -> None:
    """Edges are whole pixels, so that a coarse band may be up to one of its pixels longer or shorter."""
    for tile, (fine, coarse) in {2: (16, 8), 3: (17, 9), 4: (23, 11), 23: (32, 16), 24: (13, 7)}.items():
        write_tif(place(root, tile, "B02"), np.resize(values(tile, 1), (fine, fine, 1)))
        write_tif(place(root, tile, "B05"), np.resize(values(tile, 1), (coarse, coarse, 1)))
    data = PlanetDataModule(root, size=24, num_workers=0, **BANDS)
    data.prepare_data()
    data.setup()
    for path in data.catalog.labelled["path"]:
        data.read(path)


@pytest.mark.parametrize("seed", range(3))
def test_headers_decide_as_reading_does(root: Path, seed: int) -> None:
    """Whatever the sizes and types of two files are, the headers refuse what the reader refuses, and nothing else."""
    read = _reader(root)
    rng = np.random.default_rng(seed)
    refusals = 0
    for _ in range(40):
        for name in BANDS["bands"]:
            edge = rng.choice([8, 11, 12, 13, 22, 23, 24, 25], 2) // (1 if name == "B02" or rng.random() < 0.3 else 2)
            dtype = rng.choice(["uint16", "uint16", "uint16", "int16", "uint8"])
            pixels = np.resize(values(int(rng.integers(99)), 1, "float64", 0, 255).astype(dtype), (*edge, 1))
            write_tif(place(root, 1, name), pixels)
        shapes = check_whole(read_catalog(root, ReadingConfig(**BANDS)).labelled.iloc[1:2],
                             files=read.source.files.paths if read.source and read.source.files else None)  # fmt: skip
        found = list(find_unlike(shapes, read).values())
        try:
            read(str(place(root, 1, "B02")))
        except InputError as error:
            if error.problem.startswith("band"):
                refusals += 1
                assert [(one.problem, one.file) for one in found] == [(error.problem, error.file)]
                continue
        assert not found
    assert 5 < refusals < 40


def _reader(root: Path) -> TileReader:
    data = PlanetDataModule(root, size=24, num_workers=0, **BANDS)
    data.setup()
    return data.read


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_the_header_says_what_is_read(tmp_path: Path, dtype: str) -> None:
    path = write_tif(tmp_path / "a.tif", values(0, 3, dtype, 0, 200)[:20])
    assert look_at(str(path)) == ("", FileShape(dtype, 24, 20, 3))
    big = write_tif(tmp_path / "b.tif", values(0, 3, dtype, 0, 200), BIGTIFF="YES", ENDIANNESS="BIG")
    assert look_at(str(big)) == ("", FileShape(dtype, 24, 24, 3))
    np.save(tmp_path / "a.npy", values(0, 3, dtype, 0, 200).astype(np.dtype(dtype).newbyteorder(">")))
    assert look_at(str(tmp_path / "a.npy")) == ("", FileShape(dtype))
    if dtype in ("uint8", "uint16"):
        png = write_png(tmp_path / "a.png", values(0, 3, dtype, 0, 200))
        assert look_at(str(png)) == ("", FileShape(dtype))


def test_a_small_validation_split_is_refused_before_the_run_is_written(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, run = root / "labels.csv", tmp_path / "run"
    whole = table.read_text()
    table.write_text(whole.replace("validation", "train").replace("train", "validation", 9))
    said = command_refused(capsys, *train(root, run))
    assert "9 tiles" in said and "n_folds" not in said
    assert not run.exists()
    table.write_text(whole)
    said = command_refused(capsys, *train(root, run), "--data.max_samples=12")  # draws tiles of both splits
    assert holds(said, 12, "--data.max_samples", 10) and "add tiles" not in said
    assert not run.exists()
    table.write_text(whole)
    assert main(list(map(str, train(root, run)))) == 0


def test_a_refused_run_leaves_nothing_that_a_corrected_table_does_not_fit(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, run = root / "labels.csv", tmp_path / "run"
    whole = table.read_text().replace("validation", "train")
    table.write_text("".join(whole.splitlines(keepends=True)[:8]))
    words = [*train(root, run), "--data.n_folds=2"]
    command_refused(capsys, *words)
    assert not (run / "folds.csv").exists() and not (run / "bands.json").exists()
    table.write_text(whole)
    assert main(list(map(str, [*words, "--folds=[0]"]))) == 0


def test_the_command_shows_the_tiles_of_each_split(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", str(root), "--bands=[B02,B05]", f"--files={TEMPLATE}", "--split_column=split"])
    shown = capsys.readouterr().out
    for split, count in (("train", 12), ("val", 10), ("test", 4)):
        assert re.search(rf"\b{split}\s*.\s*{count}\b", shown)


@pytest.mark.parametrize("title", ["split", "Subset", "SET"])
def test_a_column_of_splits_that_no_option_names_is_not_silent(
    root: Path, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = root / "labels.csv"
    table.write_text(table.read_text().replace("labels,split", f"labels,{title}"))
    options = {name: value for name, value in BANDS.items() if name != "split_column"}

    def warned(**more: Any) -> bool:
        caplog.clear()
        config = ReadingConfig(**options, **more)
        assert len(read_catalog(root, config).labelled) in (22, 26)
        report = check(root, config)
        found = [finding for finding in report.findings if finding.kind == "unused_splits"]
        assert all(finding.severity == "remark" and title in finding.items[0] for finding in found)
        warned_of = any("data.split_column" in record.getMessage() for record in caplog.records)
        assert warned_of == bool(found)
        return warned_of

    assert warned()
    assert not warned(split_column=title)
    table.write_text(table.read_text().replace(",test", ",other"))  # another kind of set
    assert not warned()
    table.write_text(re.sub(",(train|validation|other)\n", ",train\n", table.read_text()))
    assert not warned()


@pytest.mark.parametrize(
    ("second", "unused"), [("test", True), ("train", False), ("other", False), (None, False)],
)  # fmt: skip
def test_the_splits_of_several_tables_are_counted_together(
    root: Path, second: str | None, unused: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A table for each split has one word in all of its rows."""
    rows = pd.read_csv(root / "labels.csv")[["patch_id", "labels"]]
    (root / "labels.csv").unlink()
    tables = [root / "l_a.csv", root / "l_b.csv"]
    rows[:18].assign(split="train").to_csv(tables[0], index=False)
    (rows[18:].assign(split=second) if second else rows[18:]).to_csv(tables[1], index=False)
    options = {name: value for name, value in BANDS.items() if name != "split_column"}
    config = ReadingConfig(**options, labels_file=list(map(str, tables)))
    assert len(read_catalog(root, config).labelled) == 26
    warned = [record.getMessage() for record in caplog.records if "data.split_column" in record.getMessage()]
    assert len(warned) == unused and not any("trained" in text for text in warned)
    assert any(finding.kind == "unused_splits" for finding in check(root, config).findings) == unused


def test_a_column_of_splits_beside_columns_of_tags_is_not_silent(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = pd.read_csv(root / "labels.csv")
    marks = {tag: rows["labels"].str.contains(tag, regex=False).astype(int) for tag in ("forest", "river")}
    rows.drop(columns="labels").assign(**marks).to_csv(root / "labels.csv", index=False)
    options = {name: value for name, value in BANDS.items() if name not in ("split_column", "tags_column")}
    read_catalog(root, ReadingConfig(**options, tag_columns=["forest", "river"]))
    assert any("data.split_column" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("name", ["B02", "B05"])
@pytest.mark.parametrize("tile", [0, 5, 23])
def test_a_missing_file_of_a_band_is_named_with_its_path(root: Path, tile: int, name: str) -> None:
    """Whether the band is the first one, and whether the tile is."""
    file = place(root, tile, name)
    file.unlink()
    data = PlanetDataModule(root, size=24, num_workers=0, **BANDS)
    with pytest.raises(InputError) as caught:
        data.prepare_data()
    assert str(file) in str(caught.value) and "exclude" in caught.value.remedy
    if name == "B02" or tile == 0:  # the bands of the tile are known by then
        assert str(caught.value.file) == str(file)
        assert name in caught.value.problem and ("B05" if name == "B02" else "B02") in caught.value.problem


@pytest.mark.parametrize("bands", ["rgb", ["red", "green"]], ids=["letters", "names"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_full_range_of_files_of_8_bits_has_no_effect_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, bands: Any
) -> None:
    files = [write_tif(tmp_path / f"t{tile}.tif", values(tile, 3, dtype, 0, 250), names=("red", "green", "blue"))
             for tile in range(4)]  # fmt: skip
    tiles = pd.DataFrame({"path": list(map(str, files)), "tif": [""] * 4})
    fit_tiles(tiles, ReadingConfig(bands=bands, tif_limits="full", dtype="uint16"), "tif")
    assert ("data.tif_limits" in caplog.text) == (dtype == "uint8")
