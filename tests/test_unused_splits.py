"""Published splits that no option names are not silent: a column of any title, or folders called like splits."""

import re
from pathlib import Path
from typing import Any

import pytest
from test_several_tables import write_tile

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.checks.check import check
from amazon_ml.data.checks.findings import Finding
from amazon_ml.data.config import ReadingConfig
from amazon_ml.settings import build

TAGS = ("river", "field", "river field")
WORDS = ("train", "train", "val", "test")


def column(root: Path, title: str, words: tuple[str, ...] = WORDS, tags: tuple[str, ...] = TAGS) -> None:
    for number in range(12):
        write_tile(root / "tiles" / f"{number}.png")
    rows = [f"{n},{tags[n % len(tags)]},{words[n % len(words)]}" for n in range(12)]
    (root / "labels.csv").write_text("\n".join([f"image,tags,{title}", *rows, ""]))


def folders(root: Path, *above: str, named: bool = False) -> None:
    """Write three tiles into each folder, and one table of all of them, by their paths where they are to be named."""
    rows = []
    for number in range(3 * len(above)):
        path = f"{above[number % len(above)]}/{number}"
        write_tile(root / f"{path}.png")
        rows.append(f"{path if named else number},{TAGS[number % 3]}")
    (root / "labels.csv").write_text("\n".join(["image,tags", *rows, ""]))


def unused(root: Path, caplog: pytest.LogCaptureFixture, **options: Any) -> tuple[Catalog, str, list[Finding]]:
    """Give the catalog, what the log says of splits, and what `check` finds of them."""
    caplog.clear()
    config = build(ReadingConfig, options)
    catalog = read_catalog(root, config)
    said = "\n".join(text for text in caplog.messages if "published splits" in text)
    found = [one for one in check(root, config, num_workers=1).findings if one.kind == "unused_splits"]
    assert bool(said) == bool(found) and all(one.severity == "remark" for one in found)
    return catalog, said, found


@pytest.mark.parametrize("title", ["partition", "Phase", "dataset", "data_split", "usage", "split"])
@pytest.mark.parametrize("words", [WORDS, ("TRAIN", "Testing", "")])
def test_a_column_of_splits_has_any_title(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, title: str, words: tuple[str, ...]
) -> None:
    column(tmp_path, title, words)
    catalog, said, found = unused(tmp_path, caplog)
    assert len(catalog.labelled) == 12 and catalog.valid is None
    assert f"'{title}'" in said and title in found[0].items[0]
    if "" not in words:
        assert unused(tmp_path, caplog, split_column=title)[1] == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("", "", "val", "test"), "blank"),
        (("train", "", "test"), "blank"),
        (("val", "test"), "train"),
        (WORDS, None),
        (("train", "test"), None),
    ],
)
def test_a_column_that_the_option_refuses_is_to_be_completed_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: tuple[str, ...], says: str | None
) -> None:
    column(tmp_path, "part", words)
    _, said, found = unused(tmp_path, caplog)
    first = re.search(r"to use them, (.*), and set `data.split_column`", said)
    if says is None:
        assert first is None and found[0].items == ("column 'part'",)
    else:
        assert first is not None and says in first[1] and first[1] in found[0].items[0]


@pytest.mark.parametrize("title", ["split", " Subset", "SET"])
def test_of_several_columns_that_with_a_title_of_splits_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, title: str
) -> None:
    column(
        tmp_path,
        f"part,{title},usage",
        tuple(f"{one},{two},{one}" for one, two in zip(WORDS[1:], WORDS[1:][::-1], strict=True)),
    )
    _, said, found = unused(tmp_path, caplog)
    assert f"'{title.strip()}'" in said and f"'{title.strip()}'" in found[0].items[0]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("season", ("train", "test", "dry")),
        ("phase", ("train",)),
        ("phase", ("",)),
        ("is_valid", ("0", "1")),
        ("source", ("trainset", "testset2")),
    ],
)
def test_other_columns_are_no_splits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, title: str, words: tuple[str, ...]
) -> None:
    column(tmp_path, title, words)
    assert unused(tmp_path, caplog)[1:] == ("", [])


def test_tags_and_names_that_are_words_for_splits_are_no_splits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A station has trains, and a laboratory tests."""
    column(tmp_path, "note", ("", "x"), tags=("train", "test"))
    assert unused(tmp_path, caplog)[1:] == ("", [])
    for name in ("train", "test"):
        write_tile(tmp_path / "two" / f"{name}.png")
    (tmp_path / "labels.csv").write_text("image,tags\ntrain,river\ntest,field\n")
    assert unused(tmp_path, caplog)[1:] == ("", [])


def test_marks_under_the_names_of_splits_are_no_splits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(4):
        write_tile(tmp_path / f"{number}.png")
    (tmp_path / "labels.csv").write_text("image,train,test\n0,0,1\n1,1,0\n2,1,1\n3,1,0\n")
    assert unused(tmp_path, caplog, tag_columns="all")[1:] == ("", [])


@pytest.mark.parametrize(
    ("above", "value"),
    [
        (("train", "val", "test"), "{train: train, val: val, test: test}"),
        (("images/Training", "images/test"), "{train: images/Training, test: images/test}"),
        (("train/a", "train/b", "valid/a"), "{train: train, val: valid}"),
        (("a/train", "b/train", "a/test", "b/test"), "{train: [a/train, b/train], test: [a/test, b/test]}"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_folders_of_splits_are_named_with_the_option_that_uses_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, above: tuple[str, ...], value: str, named: bool
) -> None:
    import yaml

    folders(tmp_path, *above, named=named)
    catalog, said, found = unused(tmp_path, caplog)
    assert len(catalog.labelled) == 3 * len(above) and catalog.valid is None
    assert value in said and value in found[0].items[0]
    used, said, _ = unused(tmp_path, caplog, splits=yaml.safe_load(re.search(r"'(\{.*\})'", said)[1]))  # type: ignore[index]
    assert said == "" and len(used.labelled) + len(used.tested) == len(catalog.labelled)
    assert all("test" in path for path in used.tested["path"]) and not any("/test/" in p for p in used.labelled["path"])


@pytest.mark.parametrize(
    ("above", "says"),
    [
        (("tiles", "tiles/b", "val", "test"), "6 of 12"),
        (("tiles", "train", "test"), "3 of 9"),
        ((".", "train", "val"), "3 of 9"),
        (("val", "test"), "train/"),
        (("train", "train/test"), "each other"),
    ],
)
def test_folders_are_named_without_an_option_that_would_lose_tiles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, above: tuple[str, ...], says: str
) -> None:
    folders(tmp_path, *above)
    catalog, said, found = unused(tmp_path, caplog)
    assert len(catalog.labelled) == 3 * len(above) and "data.splits" not in said
    assert says in said and says in found[0].items[0] and "{" not in found[0].items[0]
    assert ("data.exclude" in said) == any(one.endswith("test") for one in above)


def test_a_folder_that_the_current_folder_has_too_is_named_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders(tmp_path / "set", "train", "test")
    (tmp_path / "train").mkdir()
    monkeypatch.chdir(tmp_path)
    said = unused(Path("set"), caplog)[1]
    assert f"train: {tmp_path / 'set' / 'train'}, test: test" in said


@pytest.mark.parametrize("above", [("train",), ("train", "other"), ("trains", "tests"), ("train", "training")])
def test_folders_of_one_split_or_of_none_are_no_splits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, above: tuple[str, ...]
) -> None:
    folders(tmp_path, *above)
    assert unused(tmp_path, caplog)[1:] == ("", [])


def test_folders_above_the_tiles_and_test_folders_without_tags_are_no_splits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "train" / "test" / "set"
    folders(root, "a", "train")
    write_tile(root / "test" / "x.png")
    catalog, said, found = unused(root, caplog)
    assert (said, found, len(catalog.unlabelled)) == ("", [], 1)


def test_a_column_of_splits_is_named_before_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders(tmp_path, "train", "test")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    rows = [f"{line},{('train', 'test')[at % 2]}" for at, line in enumerate(lines[1:])]
    (tmp_path / "labels.csv").write_text("\n".join([f"{lines[0]},part", *rows, ""]))
    _, said, found = unused(tmp_path, caplog)
    assert "'part'" in said and "data.splits" not in said and "part" in found[0].items[0]
    assert unused(tmp_path, caplog, split_column="part")[1:] == ("", [])
