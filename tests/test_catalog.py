import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from refused import refused

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.label_tables import LabelTable
from amazon_ml.data.catalog.layout import find_sample
from amazon_ml.data.catalog.name_lists import read_names
from amazon_ml.data.catalog.tables import read_tables
from amazon_ml.data.catalog.tiles import first_of, list_tiles, natural_order
from amazon_ml.data.config import ReadingConfig
from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET

PLANET_ROWS = {
    "train_0": "haze primary",
    "train_1": "agriculture clear primary water",
    "train_2": "cloudy",
    "train_10": "clear primary",
}


def tile(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (10, 120, 30)).save(path)
    return path


def tiles(folder: Path, *names: str) -> None:
    for name in names:
        tile(folder / name)


def csv(path: Path, rows: Mapping[str, str], header: str = "image_name,tags") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(f"{name},{tags}" for name, tags in rows.items())]) + "\n")
    return path


def train(folder: Path, rows: Mapping[str, str] = PLANET_ROWS) -> None:
    tiles(folder / "train-jpg", *(f"{name}.jpg" for name in rows))


def original(root: Path) -> Path:
    train(root)
    csv(root / "train_v2.csv", PLANET_ROWS)
    return root


def assert_planet(catalog: Catalog, folder: Path) -> None:
    """The four labelled tiles of `PLANET_ROWS`, in the order of the table, with their files under `folder`."""
    assert catalog.tags is PLANET
    assert catalog.labelled["image_name"].tolist() == list(PLANET_ROWS)
    assert catalog.labelled["path"].tolist() == [str(folder / f"{name}.jpg") for name in PLANET_ROWS]
    np.testing.assert_array_equal(catalog.targets, PLANET.encode(list(PLANET_ROWS.values())))


def test_original_layout(tmp_path: Path) -> None:
    original(tmp_path)
    tiles(tmp_path / "test-jpg", "test_10.jpg", "test_9.jpg")
    tiles(tmp_path / "test-jpg-additional", "file_2.jpg")
    csv(tmp_path / "sample_submission_v2.csv", {"test_9": "primary"})
    catalog = read_catalog(tmp_path)
    assert_planet(catalog, tmp_path / "train-jpg")
    assert catalog.unlabelled["image_name"].tolist() == ["file_2", "test_9", "test_10"]
    assert catalog.unlabelled["path"].tolist() == [
        str(tmp_path / where)
        for where in ("test-jpg-additional/file_2.jpg", "test-jpg/test_9.jpg", "test-jpg/test_10.jpg")
    ]


def test_layout_of_the_mirror(tmp_path: Path) -> None:
    inner = tmp_path / "planet" / "planet"
    train(inner)
    csv(inner / "train_classes.csv", PLANET_ROWS)
    csv(inner / "sample_submission.csv", {"test_0": "primary"})
    tiles(inner / "test-jpg", "test_0.jpg")
    tiles(tmp_path / "test-jpg-additional" / "test-jpg-additional", "file_0.jpg")
    catalog = read_catalog(tmp_path)
    assert_planet(catalog, inner / "train-jpg")
    assert catalog.unlabelled["image_name"].tolist() == ["file_0", "test_0"]


def test_merged_test_sets(tmp_path: Path) -> None:
    original(tmp_path)
    tiles(tmp_path / "test", "test_0.jpg", "file_0.jpg")
    catalog = read_catalog(tmp_path)
    assert_planet(catalog, tmp_path / "train-jpg")
    assert catalog.unlabelled["image_name"].tolist() == ["file_0", "test_0"]


def test_root_may_be_a_parent_of_the_layout(tmp_path: Path) -> None:
    original(tmp_path / "downloads" / "amazon")
    assert_planet(read_catalog(tmp_path), tmp_path / "downloads" / "amazon" / "train-jpg")


def test_folder_without_test_tiles_has_none(tmp_path: Path) -> None:
    catalog = read_catalog(original(tmp_path))
    assert len(catalog.unlabelled) == 0
    assert list(catalog.unlabelled.columns) == ["image_name", "path", "tif"]


def test_table_nearest_above_the_images_is_taken(tmp_path: Path) -> None:
    original(tmp_path / "set")
    csv(tmp_path / "train_v2.csv", {"train_0": "clear"})
    assert_planet(read_catalog(tmp_path), tmp_path / "set" / "train-jpg")


def test_files_that_macos_puts_into_archives_are_passed_over(tmp_path: Path) -> None:
    original(tmp_path)
    for name in ("train-jpg/._train_0.jpg", "._train_v2.csv"):
        path = tmp_path / "__MACOSX" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "train-jpg" / "._train_0.jpg").write_bytes(b"\x00\x05\x16\x07")
    assert_planet(read_catalog(tmp_path), tmp_path / "train-jpg")


@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_generic_folder_has_its_own_tags_sorted(tmp_path: Path, ending: str) -> None:
    tiles(tmp_path / "pictures", "b.jpg", "a.jpg", "c.png")
    csv(tmp_path / "tags.csv", {f"b{ending}": "river forest", f"a{ending}": "", "c": "forest"})
    with refused(file=tmp_path / "tags.csv", line=3, option="data.allow_untagged", says=["a"]):
        read_catalog(tmp_path)
    catalog = read_catalog(tmp_path, ReadingConfig(allow_untagged=True))
    assert catalog.tags.names == ("forest", "river")
    assert catalog.tags.exactly_one == ()
    assert catalog.labelled["image_name"].tolist() == ["b", "a", "c"]
    assert catalog.targets.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert catalog.labelled["path"].tolist() == [str(tmp_path / "pictures" / n) for n in ("b.jpg", "a.jpg", "c.png")]
    assert len(catalog.unlabelled) == 0


def test_generic_folder_with_nested_folders(tmp_path: Path) -> None:
    tiles(tmp_path, "one/a.jpg", "one/deeper/b.PNG", "two/c.jpeg")
    csv(tmp_path / "tags.csv", {"a": "x", "b": "y", "c": "x y"})
    catalog = read_catalog(tmp_path)
    assert catalog.labelled["path"].tolist() == [
        str(tmp_path / name) for name in ("one/a.jpg", "one/deeper/b.PNG", "two/c.jpeg")
    ]


@pytest.mark.parametrize("names", [("one/a.jpg", "two/b.jpg"), ("one/a.jpg", "two/a.jpg"), ("one/a", "two/a")])
def test_table_may_name_files_by_their_path(tmp_path: Path, names: tuple[str, str]) -> None:
    files = [name if name.endswith(".jpg") else f"{name}.jpg" for name in names]
    tiles(tmp_path, *files)
    csv(tmp_path / "tags.csv", {names[1]: "y", names[0]: "x"})
    catalog = read_catalog(tmp_path)
    assert catalog.labelled["path"].tolist() == [str(tmp_path / files[1]), str(tmp_path / files[0])]
    assert catalog.targets.tolist() == [[0, 1], [1, 0]]


def test_test_tiles_of_a_generic_folder_are_unlabelled(tmp_path: Path) -> None:
    tiles(tmp_path, "images/a.jpg", "test/b.jpg")
    csv(tmp_path / "tags.csv", {"a": "river field"})
    catalog = read_catalog(tmp_path)
    assert catalog.labelled["image_name"].tolist() == ["a"]
    assert catalog.unlabelled["image_name"].tolist() == ["b"]


def test_named_table_columns_separator_and_images(tmp_path: Path) -> None:
    tiles(tmp_path, "left/a.jpg", "right/a.jpg")
    csv(tmp_path / "other.csv", {"a": "n"})
    table = csv(tmp_path / "mine.csv", {"7,a": "bare ground| blow down", "8,A": ""}, "id,Tile,What")
    tile(tmp_path / "right" / "A.jpg")
    catalog = read_catalog(
        tmp_path,
        ReadingConfig(
            labels_file=str(table),
            image_dir=str(tmp_path / "right"),
            name_column="tile",
            tags_column="WHAT",
            tag_separator="|",
            allow_untagged=True,
        ),
    )
    assert catalog.tags.names == ("bare ground", "blow down")
    assert catalog.targets.tolist() == [[1, 1], [0, 0]]
    assert catalog.labelled["path"].tolist() == [str(tmp_path / "right" / "a.jpg"), str(tmp_path / "right" / "A.jpg")]


def test_given_tags_set_the_order_of_columns(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg", "b.jpg")
    csv(tmp_path / "tags.csv", {"a": "x", "b": "y"})
    catalog = read_catalog(tmp_path, ReadingConfig(tags=["z", "y", "x"]))
    assert catalog.tags.names == ("z", "y", "x")
    assert catalog.targets.tolist() == [[0, 0, 1], [0, 1, 0]]
    with refused(file=tmp_path / "tags.csv", line=2, says=["a", "'x'", "y"]):
        read_catalog(tmp_path, ReadingConfig(tags=["y"]))


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    train(tmp_path)
    lines = ["image_name,tags", *(f"{name},{tags}" for name, tags in PLANET_ROWS.items())]
    (tmp_path / "train_v2.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert_planet(read_catalog(tmp_path), tmp_path / "train-jpg")


def test_quoted_tags_may_hold_commas(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg")
    (tmp_path / "t.csv").write_text('file,labels\na.jpg,"x, y"\n')
    assert read_catalog(tmp_path, ReadingConfig(tag_separator=",")).tags.names == ("x", "y")


def test_missing_root_is_refused(tmp_path: Path) -> None:
    with refused(file=tmp_path / "gone", option=""):
        read_catalog(tmp_path / "gone")


def test_empty_root_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    with refused(file=tmp_path, option="", says="train-jpg"):
        read_catalog(tmp_path)


def test_train_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with refused(file=tmp_path, option="data.labels_file", says=["train-jpg", "train_v2.csv", "train_classes.csv"]):
        read_catalog(tmp_path)


def test_two_tables_beside_the_images_are_refused(tmp_path: Path) -> None:
    original(tmp_path)
    csv(tmp_path / "train_classes.csv", PLANET_ROWS)
    with refused(
        file=tmp_path,
        option="data.labels_file",
        says=[tmp_path / "train_classes.csv", tmp_path / "train_v2.csv"],
    ):
        read_catalog(tmp_path)


def test_two_tables_of_a_generic_folder_are_refused(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg")
    csv(tmp_path / "one.csv", {"a": "x"})
    csv(tmp_path / "two.csv", {"a": "y"})
    with refused(file=tmp_path, option="data.labels_file", says=["2", tmp_path / "one.csv", tmp_path / "two.csv"]):
        read_catalog(tmp_path)
    csv(tmp_path / "two.csv", {"a": "y z"})
    assert read_catalog(tmp_path, ReadingConfig(labels_file=str(tmp_path / "two.csv"))).tags.names == ("y", "z")


def test_two_train_folders_are_refused(tmp_path: Path) -> None:
    original(tmp_path / "one")
    original(tmp_path / "two")
    with refused(file=tmp_path, option="", says=[tmp_path / "one" / "train-jpg", tmp_path / "two" / "train-jpg"]):
        read_catalog(tmp_path)


@pytest.mark.parametrize(
    ("content", "line", "option", "values"),
    [
        (b"image_name,weather\na,clear\n", None, "data.tags_column", ["'tags'", "'image_name'", "'weather'"]),
        (b"square,tags\na,clear\n", None, "data.name_column", ["'image_name'", "'square'", "'tags'"]),
        (b"image_name tags\na clear\n", None, "data.tags_column", ["'image_name tags'"]),
        (b"image_name,tags\n", 1, "", []),
        (b"image_name,tags\n\n\n", 1, "", []),
        (b"", None, "", []),
        (bytes(range(256)), 1, "", ["NUL"]),
        (b"image_name,tags\na,clear\nb,clear,primary\n", 3, "", ["3", "2"]),
        (b"image_name,tags\na,clear,water\nb,clear,primary\n", 2, "", ["3", "2"]),
        (b'image_name,tags\na,"clear\nb,haze\n', 2, "", []),
        (b"image_name,tags\na,clear\n  ,haze\n", 3, "", ["'image_name'"]),
        (b"image_name,tags\na,clear\n.jpg,haze\n", 3, "", ["'image_name'"]),
        (b"image_name,tags\na,clear\nb,haze\na.jpg,haze\nb,haze\n", 2, "data.merge_rows", ["2 names", "a", 4]),
        (b"image_name,tags\na,clear\n\nb,haze\nb,haze\n", 4, "data.merge_rows", ["b", 5]),
    ],
)
def test_broken_table_is_refused_with_its_path(
    tmp_path: Path, content: bytes, line: int | None, option: str, values: list[str]
) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    tiles(tmp_path, "a.jpg", "b.jpg")
    with refused(file=table, line=line, option=option, says=values):
        read_catalog(tmp_path)


def test_a_table_with_an_ending_in_capitals_is_found(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "TABLE.CSV").write_text("image_name,tags\na,clear\nb,haze\n")
    assert read_catalog(tmp_path).labelled["image_name"].tolist() == ["a", "b"]


def test_missing_named_table_is_refused(tmp_path: Path) -> None:
    with refused(file=tmp_path / "gone.csv"):
        read_tables([LabelTable(tmp_path / "gone.csv")])


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image_name,tags\na,x\n\nb,y\n\n")
    rows = read_tables([LabelTable(table)]).rows
    assert rows["image_name"].tolist() == ["a", "b"]
    assert rows["line"].tolist() == [2, 4]


def test_misspelt_tag_is_refused_with_line_and_nearest(tmp_path: Path) -> None:
    original(tmp_path)
    csv(tmp_path / "train_v2.csv", {**PLANET_ROWS, "train_2": "claudy"})
    with refused(file=tmp_path / "train_v2.csv", line=4, says=["train_2", "'claudy'", "'cloudy'"]):
        read_catalog(tmp_path)


def test_rare_tag_like_a_frequent_one_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"t{i}" for i in range(60)]
    tiles(tmp_path, *(f"{name}.jpg" for name in names))
    csv(tmp_path / "tags.csv", {**dict.fromkeys(names, "agriculture"), "t3": "agricluture"})
    with caplog.at_level(logging.WARNING):
        catalog = read_catalog(tmp_path)
    assert catalog.tags.names == ("agricluture", "agriculture")
    assert [r.getMessage() for r in caplog.records if "looks like" in r.getMessage()] == [
        f"{tmp_path / 'tags.csv'}: 'agricluture' on 1 tiles looks like 'agriculture' on 59; "
        "if it is a slip, correct the table"
    ]


def test_like_tags_that_are_both_frequent_are_not_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiles(tmp_path, "a.jpg", "b.jpg")
    csv(tmp_path / "tags.csv", {"a": "cultivation1", "b": "cultivation2"})
    with caplog.at_level(logging.WARNING):
        read_catalog(tmp_path)
    assert caplog.records == []


def test_table_without_any_tag_is_refused(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg")
    csv(tmp_path / "tags.csv", {"a": ""})
    with refused(file=tmp_path / "tags.csv", line=None, option="", says="tag"):
        read_catalog(tmp_path)


@pytest.mark.parametrize("tags", [["x|", "y"], ["y", "y"], ["y", "x\x1b"]])
def test_a_wrong_list_is_not_to_be_mended_in_the_table(tmp_path: Path, tags: list[str]) -> None:
    tiles(tmp_path, "a.jpg")
    csv(tmp_path / "tags.csv", {"a": "y"})
    with refused(file=None, option="data.tags") as raised:
        read_catalog(tmp_path, ReadingConfig(tags=tags))
    assert "`data.tags`" in raised.value.remedy and "table" not in raised.value.remedy


def test_a_name_that_no_table_can_hold_is_the_file_of_its_error(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg", "b.jpg")
    csv(tmp_path / "tags.csv", {"a": "forest", "b": "water"})
    broken = os.fsencode(tmp_path) + b"/c\xff.jpg"
    shutil.copy(os.fsencode(tmp_path / "a.jpg"), broken)
    with refused(file=repr(broken)):
        read_catalog(tmp_path)


def test_the_first_of_some_errors_keeps_its_fields() -> None:
    faults = [InputError("wrong", file="a.csv", line=3, option="data.files"), InputError("wrong")]
    with refused(file="a.csv", line=3, option="data.files", says=1):
        raise first_of(faults)


def test_missing_files_are_counted_and_can_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    original(tmp_path)
    for name in ("train_0", "train_2"):
        (tmp_path / "train-jpg" / f"{name}.jpg").unlink()
    with refused(file=tmp_path / "train_v2.csv", option="data.allow_missing", says=["2 of 4", "train_0, train_2"]):
        read_catalog(tmp_path)
    with caplog.at_level(logging.WARNING):
        catalog = read_catalog(tmp_path, ReadingConfig(allow_missing=True))
    assert catalog.labelled["image_name"].tolist() == ["train_1", "train_10"]
    np.testing.assert_array_equal(catalog.targets, PLANET.encode([PLANET_ROWS["train_1"], PLANET_ROWS["train_10"]]))
    assert "2 of 4 tiles" in caplog.text
    assert "not used" in caplog.text


def test_table_of_other_tiles_is_refused_even_when_missing_ones_are_allowed(tmp_path: Path) -> None:
    original(tmp_path)
    csv(tmp_path / "train_v2.csv", {"x_0": "clear", "x_1": "haze"})
    with refused(file=tmp_path / "train_v2.csv", option="data.image_dir", says=["2", "'x_0'"]):
        read_catalog(tmp_path, ReadingConfig(allow_missing=True))


def test_surplus_files_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    original(tmp_path)
    tiles(tmp_path / "train-jpg", "extra_1.jpg", "extra_2.jpg")
    with caplog.at_level(logging.WARNING):
        assert_planet(read_catalog(tmp_path), tmp_path / "train-jpg")
    (record,) = caplog.records
    assert record.getMessage().startswith("2 images in ")
    assert "extra_1, extra_2" in record.getMessage()


def test_broken_label_logic_is_warned_about_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = {"train_0": "clear haze", "train_1": "cloudy", "train_2": "water"}
    train(tmp_path, rows)
    csv(tmp_path / "train_v2.csv", rows)
    with caplog.at_level(logging.WARNING):
        catalog = read_catalog(tmp_path)
    np.testing.assert_array_equal(catalog.targets, PLANET.encode(list(rows.values())))
    assert "none of clear, partly_cloudy, haze, cloudy: 1, such as train_2 (line 4)" in caplog.text
    assert "more than one of clear, partly_cloudy, haze, cloudy: 1, such as train_0 (line 2)" in caplog.text


def test_hash_says_whether_the_task_is_the_same(tmp_path: Path) -> None:
    def hashed(folder: str, changed: Mapping[str, str] | None = None) -> str:
        root = original(tmp_path / folder)
        csv(root / "train_v2.csv", {**PLANET_ROWS, **(changed or {})})
        return read_catalog(root).sha256

    base = hashed("one")
    assert len(base) == 64
    assert hashed("two/elsewhere") == base
    assert hashed("three", {"train_1": "primary water clear agriculture"}) == base  # another order of tags
    assert hashed("four", {"train_1": "agriculture clear primary"}) != base
    renamed = original(tmp_path / "five")
    tile(renamed / "train-jpg" / "train_7.jpg")
    rows = {("train_7" if name == "train_2" else name): tags for name, tags in PLANET_ROWS.items()}
    csv(renamed / "train_v2.csv", rows)
    assert read_catalog(renamed).sha256 != base


def test_hash_looks_at_the_names_of_tags(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg")
    csv(tmp_path / "t.csv", {"a": "x"})
    assert (
        read_catalog(tmp_path, ReadingConfig(tags=["x", "y"])).sha256
        != read_catalog(tmp_path, ReadingConfig(tags=["x", "z"])).sha256
    )


def test_subset_keeps_rows_together(tmp_path: Path) -> None:
    original(tmp_path)
    tiles(tmp_path / "test", "test_0.jpg", "test_1.jpg", "test_2.jpg")
    catalog = read_catalog(tmp_path)
    part = catalog.subset([3, 1], unlabelled=2)
    assert part.labelled["image_name"].tolist() == ["train_10", "train_1"]
    assert part.labelled.index.tolist() == [0, 1]
    np.testing.assert_array_equal(part.targets, catalog.targets[[3, 1]])
    assert part.unlabelled["image_name"].tolist() == ["test_0", "test_1"]
    assert part.tags is catalog.tags


def test_natural_order_sorts_numbers_by_value() -> None:
    names = ["test_10", "test_9", "file_100", "file_20", "test_010", "b", "b2", "a"]
    assert sorted(names, key=natural_order) == ["a", "b", "b2", "file_20", "file_100", "test_9", "test_010", "test_10"]


@given(st.lists(st.integers(0, 10**9), unique=True))
def test_natural_order_of_one_stem_is_numeric(numbers: list[int]) -> None:
    names = sorted((f"train_{n}" for n in numbers), key=natural_order)
    assert names == [f"train_{n}" for n in sorted(numbers)]


def test_tiles_are_named_by_their_file(tmp_path: Path) -> None:
    tiles(tmp_path, "x/a.10.jpg", "b.PNG", "x/y/a.9.jpeg")
    (tmp_path / "notes.txt").write_text("no tile")
    assert list_tiles([tmp_path])["image_name"].tolist() == ["a.9", "a.10", "b"]
    assert list_tiles([tmp_path], below=False)["image_name"].tolist() == ["b"]
    assert list_tiles([tmp_path], exclude=[tmp_path / "x" / "y"])["image_name"].tolist() == ["a.10", "b"]


def test_only_tiles_of_one_file_name_are_named_by_their_path(tmp_path: Path) -> None:
    tiles(tmp_path, "x/a.jpg", "y/a.jpg", "y/b.jpg")
    assert list_tiles([tmp_path])["image_name"].tolist() == ["b", "x/a", "y/a"]


def test_two_files_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    tiles(tmp_path, "a.jpg", "a.png")
    with refused(file=tmp_path / "a.png", says=[tmp_path / "a.jpg", "a"]):
        list_tiles([tmp_path])


def test_same_tile_in_both_test_folders_is_refused(tmp_path: Path) -> None:
    original(tmp_path)
    tiles(tmp_path, "test/test_0.jpg", "test-jpg/test_0.jpg")
    with refused(file=tmp_path / "test-jpg" / "test_0.jpg", says=[tmp_path / "test" / "test_0.jpg", "test_0"]):
        read_catalog(tmp_path)


def test_sample_of_the_second_version_is_preferred(tmp_path: Path) -> None:
    assert find_sample(tmp_path) is None
    first = csv(tmp_path / "sample_submission.csv", {"a": "x"})
    assert find_sample(tmp_path) == first
    second = csv(tmp_path / "deep" / "er" / "sample_submission_v2.csv", {"a": "x"})
    assert find_sample(tmp_path) == second


def test_names_are_read_in_the_order_of_the_table(tmp_path: Path) -> None:
    table = csv(tmp_path / "s.csv", {"test_10.jpg": "x", "test_9": "", "file_1": "y"})
    assert read_names(table) == ["test_10", "test_9", "file_1"]


@pytest.mark.parametrize("content", ["image_name\nb\na\n", "image_name,score\nb,1\na,2\n"])
def test_names_need_no_column_of_tags(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.csv").write_text(content)
    assert read_names(tmp_path / "s.csv") == ["b", "a"]


def test_names_of_a_broken_table_are_refused(tmp_path: Path) -> None:
    with refused(file=tmp_path / "gone.csv", line=None):
        read_names(tmp_path / "gone.csv")
    (tmp_path / "s.csv").write_text("image_name\na\na\n")
    with refused(file=tmp_path / "s.csv", line=2, says=["a", 3]):
        read_names(tmp_path / "s.csv")


def test_rows_on_a_list_are_passed_over_whatever_is_wrong_with_them(tmp_path: Path) -> None:
    original(tmp_path)
    first, *rest = PLANET_ROWS
    with (tmp_path / "train_v2.csv").open("a") as table:
        table.write(f"train_90,no_such_tag\ntrain_91,clear\n{first},haze\n")  # no file for either, one name twice
    with refused(file=tmp_path / "train_v2.csv", line=2, says=first):
        read_catalog(tmp_path)
    names = csv(tmp_path.parent / "names.csv", {"train_90": "a", "train_91.jpg": "b", first: "c"}, "image_name,reason")
    catalog = read_catalog(tmp_path, ReadingConfig(exclude=str(names)))
    assert catalog.labelled["image_name"].tolist() == rest
    np.testing.assert_array_equal(catalog.targets, PLANET.encode([PLANET_ROWS[name] for name in rest]))


def test_an_empty_list_leaves_nothing_out(tmp_path: Path) -> None:
    original(tmp_path)
    names = csv(tmp_path.parent / "names.csv", {}, "image_name,reason")
    assert_planet(read_catalog(tmp_path, ReadingConfig(exclude=str(names))), tmp_path / "train-jpg")


def test_a_list_that_fits_in_part_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    original(tmp_path)
    names = csv(tmp_path.parent / "names.csv", {next(iter(PLANET_ROWS)): "", "train_4711": ""}, "image_name,reason")
    assert len(read_catalog(tmp_path, ReadingConfig(exclude=str(names))).labelled) == len(PLANET_ROWS) - 1
    assert "names 1 tiles that" in caplog.text and "train_4711" in caplog.text


@pytest.mark.parametrize(("left_out", "counts"), [(["train_4711"], ["train_4711"]), ([*PLANET_ROWS], ["4 tiles"])])
def test_a_list_of_none_or_of_all_is_refused(tmp_path: Path, left_out: list[str], counts: list[str]) -> None:
    original(tmp_path)
    names = csv(tmp_path.parent / "names.csv", dict.fromkeys(left_out, ""), "image_name,reason")
    with refused(file=names, option="data.exclude", says=[tmp_path / "train_v2.csv", *counts]):
        read_catalog(tmp_path, ReadingConfig(exclude=str(names)))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    original(tmp_path)
    with refused(file=tmp_path / "nowhere.csv"):
        read_catalog(tmp_path, ReadingConfig(exclude=str(tmp_path / "nowhere.csv")))
