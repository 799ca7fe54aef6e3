"""Tables as published sets have them: one column for each tag, Parquet and JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from refused import refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.checks.check import check
from amazon_ml.data.config import ReadingConfig
from amazon_ml.errors import InputError
from amazon_ml.settings import build

NAMES = ("00012", "NA", "1e5", "t003")
TAGS: Mapping[str, set[str]] = {"00012": {"river"}, "NA": {"forest", "bare soil"}, "1e5": {"forest"}, "t003": {"river"}}
COLUMNS = ("forest", "river", "bare soil")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tiles").mkdir()
    for place, name in enumerate(NAMES):
        noise = np.random.default_rng(place).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "tiles" / f"{name}.png")
    return tmp_path


def wide(
    *, between: str = ",", on: str = "1", off: str = "0", head: str = "image", ending: str = "", more: str = ""
) -> str:
    lines = [between.join([head, *COLUMNS, *([more] if more else [])])]
    for name in NAMES:
        cells = [on if tag in TAGS[name] else off for tag in COLUMNS]
        lines.append(between.join([name + ending, *cells, *(["train"] if more else [])]))
    return "\n".join([*lines, ""])


def read(root: Path, name: str, content: str | bytes, **options: Any) -> Catalog:
    file = root / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_catalog(root, build(ReadingConfig, {"labels_file": str(file), **options}))


def meaning(catalog: Catalog) -> dict[str, set[str]]:
    return {
        Path(path).stem: {catalog.tags.names[i] for i in np.flatnonzero(row)}
        for path, row in zip(catalog.labelled["path"], catalog.targets, strict=True)
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", wide()),
        ("labels.csv", wide(ending=".png")),
        ("labels.csv", wide(between=";", on="1.0", off="0.0")),
        ("labels.csv", wide(on="True", off="False")),
        ("labels.csv", wide(on="yes", off="no")),
        ("multilabels.txt", wide(between="\t", head="IMAGE\\LABEL")),  # UC Merced as its authors gave it
        ("planet_train.csv", wide(between="\t")),  # the splits of AiTLAS
        ("labels.csv", wide().replace("\n", "\r\n")),
        ("labels.csv", b"\xef\xbb\xbf" + wide().encode()),
        ("labels.csv", wide(between="\t").encode("utf-16")),
        (
            "labels.csv",
            "".join(f",{line}" if not i else f"{i},{line}" for i, line in enumerate(wide().splitlines(True))),
        ),
    ],
)
def test_one_column_for_each_tag_is_read_as_it_is_meant(root: Path, name: str, content: str | bytes) -> None:
    catalog = read(root, name, content, tag_columns="all")
    assert catalog.tags.names == COLUMNS  # in the order of the columns
    assert meaning(catalog) == TAGS
    assert check(root, build(ReadingConfig, {"labels_file": str(root / name), "tag_columns": "all"})).faults == []


def test_columns_can_be_listed_in_another_order_and_case(root: Path) -> None:
    catalog = read(root, "labels.csv", wide(more="split"), tag_columns=["River", "bare soil", "forest"])
    assert catalog.tags.names == ("river", "bare soil", "forest")
    assert meaning(catalog) == TAGS


def test_columns_that_are_listed_may_differ_in_case_alone(root: Path) -> None:
    content = wide().replace("river", "Forest")
    assert read(root, "labels.csv", content, tag_columns=["Forest", "forest"]).tags.names == ("Forest", "forest")


def test_columns_without_a_name_that_are_empty_or_count_rows_are_passed_over(root: Path) -> None:
    lines = wide().splitlines()
    content = "\n".join([f",{lines[0]},", *(f"{at},{line}," for at, line in enumerate(lines[1:])), ""])
    assert meaning(read(root, "labels.csv", content, tag_columns="all")) == TAGS
    two = wide().splitlines(keepends=True)[:3]  # the numbers of two rows are 0 and 1
    content = "".join([f",{two[0]}", f"0,{two[1]}", f"1,{two[2]}"])
    assert read(root, "labels.csv", content, tag_columns="all").tags.names == COLUMNS


@pytest.mark.parametrize("titles", [("0", "1", "2"), ("y", "n", "x"), ("1", "river", "0")])
def test_the_titles_of_columns_are_tags_whatever_they_are(root: Path, titles: Sequence[str]) -> None:
    named = dict(zip(COLUMNS, titles, strict=True))
    content = wide().replace(",".join(COLUMNS), ",".join(titles))
    catalog = read(root, "labels.csv", content, tag_columns="all")
    assert meaning(catalog) == {name: {named[tag] for tag in tags} for name, tags in TAGS.items()}
    first = "".join(f"{name},1,0,0\n" for name in NAMES)  # all present tags look like marks
    catalog = read(root, "labels.csv", f"image,{','.join(titles)}\n{first}", tag_columns="all")
    assert meaning(catalog) == {name: {titles[0]} for name in NAMES}


@pytest.mark.parametrize("title", ["", "Unnamed: 0"])
@pytest.mark.parametrize("columns", [False, True])
def test_names_in_a_first_column_without_a_title_are_read(root: Path, title: str, columns: bool) -> None:
    content = wide(head=title) if columns else "".join(
        [f"{title};tags\n", *(f"{name};{json.dumps(sorted(tags))}\n" for name, tags in TAGS.items())]
    ).replace('"', "'")  # fmt: skip
    assert meaning(read(root, "labels.csv", content, **({"tag_columns": "all"} if columns else {}))) == TAGS


def test_a_first_column_without_a_title_that_holds_no_names_is_to_be_named(root: Path) -> None:
    with refused(file="labels.csv", option="data.name_column", says=["image_name"]) as caught:
        read(root, "labels.csv", ",tags\n0,river\n1,field\n")
    assert "write image_name" in caught.value.remedy


def test_a_tag_that_no_tile_has_stays_in_the_list(root: Path) -> None:
    content = wide().replace("\n", ",0\n").replace("bare soil,0", "bare soil,cloud", 1)
    assert read(root, "labels.csv", content, tag_columns="all").tags.names == (*COLUMNS, "cloud")


@pytest.mark.parametrize(
    ("content", "columns", "line", "named"),
    [
        (wide().replace("NA,1,0,1", "NA,1,2,1"), "all", 3, ["'river'", "'2'"]),
        (wide().replace("NA,1,0,1", "NA,1,,1"), "all", 3, ["'river'", "''"]),
        (wide().replace("NA,1,0,1", "NA,1,0"), "all", 3, ["3 columns"]),
        (wide(more="split"), "all", 2, ["'split'", "'train'"]),
        (wide(), ["forest", "rivers"], 1, ["'rivers'", "'river'"]),
        (wide(), ["forest", "forest"], 1, ["'forest'", "twice"]),
        (wide(), ["forest", "image"], None, ["'image'"]),
        (wide().replace("river", "forest"), "all", 1, ["'forest'", "twice"]),
        (wide().replace("river", "Forest"), "all", 1, ["'forest'", "'Forest'"]),
        (wide().replace("river", "bare-soil"), "all", 1, ["'bare-soil'", "'bare soil'"]),
        (wide().replace("river", ""), "all", 1, ["column 3"]),
        (wide(on="yes", off="no").replace("forest", ""), "all", 1, ["column 2"]),
    ],
)
def test_what_is_no_table_of_columns_is_refused_with_its_line(
    root: Path, content: str, columns: str | list[str], line: int | None, named: Sequence[str]
) -> None:
    with pytest.raises(InputError) as caught:
        read(root, "labels.csv", content, tag_columns=columns)
    assert caught.value.file == root / "labels.csv" and caught.value.line == line
    assert all(part in str(caught.value) for part in named), caught.value


def test_a_tag_without_a_column_is_refused_instead_of_being_absent_from_all_tiles(root: Path) -> None:
    with refused(file=root / "labels.csv", line=1, option="data.tag_columns", says="snow"):
        read(root, "labels.csv", wide(), tag_columns="all", tags=[*COLUMNS, "snow"])


def test_without_the_option_the_remedy_names_it(root: Path) -> None:
    with refused(
        file=root / "labels.csv", option="data.tag_columns", says=["`data.tag_columns` all", "`data.tags_column`"]
    ):
        read(root, "labels.csv", wide())


def test_both_kinds_of_columns_are_refused(root: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(root, "labels.csv", wide(), tag_columns="all", tags_column="forest")
    assert caught.value.option == "data.tag_columns"


def frame() -> pd.DataFrame:
    return pd.DataFrame({"patch_id": NAMES, "labels": [sorted(TAGS[name]) for name in NAMES], "split": "train"})


FORMATS: Mapping[str, Callable[[Path], object]] = {
    "lists.parquet": lambda file: frame().to_parquet(file),
    "texts.parquet": lambda file: frame().assign(labels=[";".join(sorted(TAGS[n])) for n in NAMES]).to_parquet(file),
    "object.json": lambda file: file.write_text(json.dumps({n: sorted(TAGS[n]) for n in NAMES}, indent=1)),
    "shares.json": lambda file: (
        file.write_text(
            json.dumps({n: [[tag, 0.6] for tag in sorted(TAGS[n])] + [["cloud", 0.05], ["sea", 0.0]] for n in NAMES})
        )
        and None
    ),
    "objects.json": lambda file: (
        file.write_text(json.dumps([{"image": n, "labels": sorted(TAGS[n])} for n in NAMES])) and None
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_parquet_and_json_are_read_as_they_are_meant(root: Path, name: str) -> None:
    FORMATS[name](root / name)
    options: dict[str, Any] = {"labels_file": str(root / name), "min_share": 0.1 if name == "shares.json" else 0}
    if name.startswith("texts"):
        options["tag_separator"] = ";"
    catalog = read_catalog(root, build(ReadingConfig, options))
    assert catalog.tags.names == tuple(sorted(COLUMNS))
    assert meaning(catalog) == TAGS


@pytest.mark.parametrize("name", [*sorted(FORMATS.keys() - {"shares.json"}), "labels.csv"])
def test_a_least_share_is_refused_where_tags_have_no_shares(root: Path, name: str) -> None:
    (root / "labels.csv").write_text("image,tags\n" + "".join(f"{n},{';'.join(sorted(TAGS[n]))}\n" for n in NAMES))
    if name in FORMATS:
        FORMATS[name](root / name)
    separator = {"tag_separator": ";"} if name.startswith(("texts", "labels")) else {}
    options: dict[str, Any] = {"labels_file": str(root / name), "min_share": 0.1, **separator}
    with refused(file=root / name, option="data.min_share"):
        read_catalog(root, build(ReadingConfig, options))


def test_one_table_of_several_may_have_no_shares(root: Path) -> None:
    (root / "a.json").write_text(json.dumps({NAMES[0]: [["river", 0.6], ["cloud", 0.05]], NAMES[2]: [["forest", 1]]}))
    (root / "b.json").write_text(json.dumps({n: sorted(TAGS[n]) for n in (NAMES[1], NAMES[3])}))
    tables = [str(root / "a.json"), str(root / "b.json")]
    catalog = read_catalog(root, build(ReadingConfig, {"labels_file": tables, "min_share": 0.1}))
    assert meaning(catalog) == TAGS


def test_one_column_for_each_tag_in_parquet(root: Path) -> None:
    table = pd.DataFrame({"image": NAMES, **{tag: [tag in TAGS[name] for name in NAMES] for tag in COLUMNS}})
    table.to_parquet(root / "wide.parquet")
    config = build(ReadingConfig, {"labels_file": str(root / "wide.parquet"), "tag_columns": "all"})
    assert meaning(read_catalog(root, config)) == TAGS


@pytest.mark.parametrize(
    ("content", "line", "named"),
    [
        ('{"00012": ["river"],\n "NA": [["forest", 1.5]]}', 2, "1.5"),
        ('{"00012": ["river"],\n "NA": [3]}', 2, "3"),
        ('{"00012": ["river"],\n "00012": ["forest"]}', None, "00012"),
        ('{"00012": ["river",\n', 2, "column 1"),
        ('["river"]', None, "neither"),
        ("{}", None, "no rows"),
        ('[{"image": "00012", "labels": ["a"]}, {"image": "NA"}]', 2, "object 2"),
        ('[{"image": "00012", "labels": ["a"]},\n {"image": "NA", "labels": ["b"], "x": 1}]', 2, "'x'"),
        ('[{"image": "00012", "labels": ["a"]},\n {"image": "NA", "labels": ["b"], "image": "1e5"}]', 2, "twice"),
        ('\n[\n {"image": "00012",\n "labels": ["a"]},\n\n {"image": "NA",\n "labels": [3]}]', 6, "3"),
        ('[\n{"image": "00012",\n"labels": "a"},\n{"image": "NA",\n"labels": ""}]', 4, "no tag"),
    ],
)
def test_broken_json_is_refused(root: Path, content: str, line: int | None, named: str) -> None:
    with pytest.raises(InputError) as caught:
        read(root, "labels.json", content)
    assert str(root / "labels.json") in str(caught.value) and named in str(caught.value)
    assert line is None or caught.value.line == line


def test_objects_may_have_their_keys_in_any_order_and_stand_on_one_line(root: Path) -> None:
    one = [{"image": name, "labels": sorted(TAGS[name]), "part": "train"} for name in NAMES]
    one[1] = dict(reversed(one[1].items()), part="val")
    catalog = read(root, "labels.json", json.dumps(one), split_column="part")
    assert meaning(catalog) == TAGS
    assert catalog.valid is not None and catalog.labelled["image_name"][catalog.valid].tolist() == [NAMES[1]]


@pytest.mark.parametrize(("index", "options"), [("image_name", {}), ("scene name", {"name_column": "Scene name"}),
                                                ("tile", {"tag_columns": "all"}), (None, {})])  # fmt: skip
def test_names_in_the_index_of_a_parquet_file_are_read(root: Path, index: str | None, options: dict[str, Any]) -> None:
    if "tag_columns" in options:
        frame = pd.DataFrame({tag: [tag in TAGS[name] for name in NAMES] for tag in COLUMNS})
    else:
        frame = pd.DataFrame({"labels": [sorted(TAGS[name]) for name in NAMES]})
    frame.set_index(pd.Index(NAMES, name=index)).to_parquet(root / "indexed.parquet")
    config = build(ReadingConfig, {"labels_file": str(root / "indexed.parquet"), **options})
    assert meaning(read_catalog(root, config)) == TAGS


def test_an_index_beside_a_column_of_names_is_none(root: Path) -> None:
    frame = pd.DataFrame({"image": NAMES, **{tag: [tag in TAGS[name] for name in NAMES] for tag in COLUMNS}})
    frame.index.name = "id"
    frame.set_index(frame.index + 5).to_parquet(root / "indexed.parquet")
    config = build(ReadingConfig, {"labels_file": str(root / "indexed.parquet"), "tag_columns": "all"})
    assert meaning(read_catalog(root, config)) == TAGS


def test_a_fault_in_parquet_has_the_number_of_its_row(root: Path) -> None:
    frame = pd.DataFrame({"image": NAMES, "labels": ["river", "field", "", ""]})
    frame.to_parquet(root / "labels.parquet")
    config = build(ReadingConfig, {"labels_file": str(root / "labels.parquet")})
    with refused(file="labels.parquet", line=3) as caught:
        read_catalog(root, config)
    assert "labels.parquet, row 3:" in str(caught.value) and "(row 4)" in str(caught.value)
    listed = [item for found in check(root, config).faults for item in found.items]
    assert any("(row 3)" in item for item in listed) and not any("line" in item for item in listed)


@pytest.mark.parametrize("unit", ["object", "entry"])
def test_a_fault_in_compact_json_has_the_number_of_its_object(root: Path, unit: str) -> None:
    tags = ["river", "field", "", ""]
    objects = [{"image": name, "labels": tag} for name, tag in zip(NAMES, tags, strict=True)]
    content = objects if unit == "object" else dict(zip(NAMES, tags, strict=True))
    with refused(file="labels.json", line=3) as caught:
        read(root, "labels.json", json.dumps(content))
    assert f"labels.json, {unit} 3:" in str(caught.value) and f"({unit} 4)" in str(caught.value)
    config = build(ReadingConfig, {"labels_file": str(root / "labels.json")})
    listed = [item for finding in check(root, config).faults for item in finding.items]
    assert any(f"({unit} 3)" in item for item in listed) and not any("line" in item for item in listed)
    with refused(file="labels.json", line=7 if unit == "entry" else 19) as caught:  # the same file, written anew
        read(root, "labels.json", json.dumps(content, indent=1).replace("\n", "\n\n"), allow_untagged=False)
    assert "labels.json, line" in str(caught.value)


def test_names_in_the_file_of_json_are_found_with_escapes(root: Path) -> None:
    with refused(file="labels.json", line=3, says=["été"]):
        read(root, "labels.json", json.dumps({"t003": "river", "été": ""}, indent=1))


def test_repeated_objects_of_compact_json_have_their_numbers(root: Path) -> None:
    objects = [{"image": name, "labels": "river" if name == "NA" else "field"} for name in (*NAMES, "NA", "NA")]
    with refused(file="labels.json", line=2) as caught:
        read(root, "labels.json", json.dumps(objects))
    assert "on objects 5, 6" in str(caught.value)


def test_a_file_that_is_no_parquet_is_refused(root: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(root, "labels.parquet", b"PAR1 and nothing more")
    assert caught.value.file == root / "labels.parquet"


values = st.sampled_from(["0", "1", "0.0", "1.0", "true", "False", "YES", "no", "2", "", "x", "-1", "nan", "01"])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cells=st.lists(st.tuples(values, values, values), min_size=4, max_size=4))
def test_random_cells_are_read_as_meant_or_refused(root: Path, cells: list[tuple[str, str, str]]) -> None:
    lines = [",".join(["image", *COLUMNS]), *(",".join([n, *row]) for n, row in zip(NAMES, cells, strict=True))]
    known = {"0", "1", "0.0", "1.0", "true", "false", "yes", "no"}
    try:
        catalog = read(root, "labels.csv", "\n".join(lines), tag_columns="all", allow_untagged=True)
    except InputError:
        return
    assert all(cell.lower() in known for row in cells for cell in row)
    on = {"1", "1.0", "true", "yes"}
    expected = {
        name: {tag for tag, cell in zip(COLUMNS, row, strict=True) if cell.lower() in on}
        for name, row in zip(NAMES, cells, strict=True)
    }
    assert meaning(catalog) == expected


def test_through_the_command_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "labels.tsv").write_text(wide(between="\t", more="split"))
    own = ["--labels_file", str(root / "labels.tsv"), "--tag_columns", "forest,river,bare soil"]
    assert main(["data", "check", str(root), *own, "--n_folds", "2"]) == 0
    assert main(["data", "pack", str(root), *own, "--size", "16"]) == 0
    assert main(["data", "check", str(root), *own[:2], "--tag_columns", "all"]) == 2
    assert "--tag_columns" in capsys.readouterr().err


@pytest.mark.usefixtures("short_finish")
def test_a_run_on_columns_of_tags_is_evaluated_on_tables_of_either_kind(demo_tiles: Path, tmp_path: Path) -> None:
    table = pd.read_csv(demo_tiles / "train_v2.csv", dtype=str)
    tags = sorted({tag for cell in table["tags"] for tag in cell.split()})
    columns = {tag: [int(tag in cell.split()) for cell in table["tags"]] for tag in tags}
    file = tmp_path / "wide.tsv"
    pd.DataFrame({"image": table["image_name"], **columns}).to_csv(file, sep="\t", index=False)
    run, images = tmp_path / "run", str(demo_tiles / "train-jpg")
    own = [f"--data.labels_file={file}", f"--data.image_dir={images}", "--data.tag_columns=all"]
    assert main(["train", f"--run={run}", f"--data.root={demo_tiles}", *own, *TINY, "--trainer.max_epochs=1"]) == 0
    scores = []
    for labels, more in ((file, []), (demo_tiles / "train_v2.csv", ["--tags_column", "tags"])):
        out = tmp_path / f"{labels.stem}.json"
        words = ["evaluate", str(run / "bundle"), "--data", str(demo_tiles), "--json", str(out)]
        assert main([*words, "--labels_file", str(labels), "--image_dir", images, *more]) == 0
        scores.append({**json.loads(out.read_text()), "tiles_of": ""})
    assert scores[0] == scores[1]
    assert scores[0]["tiles"] == len(table)


@pytest.mark.usefixtures("short_finish")
def test_a_run_on_shares_is_evaluated_on_a_table_without_shares(demo_tiles: Path, tmp_path: Path) -> None:
    cells = pd.read_csv(demo_tiles / "train_v2.csv", dtype=str).set_index("image_name")["tags"]
    file, run = tmp_path / "shares.json", tmp_path / "run"
    file.write_text(json.dumps({name: [[tag, 0.5] for tag in cell.split()] for name, cell in cells.items()}))
    own = [f"--data.labels_file={file}", f"--data.image_dir={demo_tiles / 'train-jpg'}", "--data.min_share=0.2"]
    assert main(["train", f"--run={run}", f"--data.root={demo_tiles}", *own, *TINY, "--trainer.max_epochs=1"]) == 0
    scores = []
    for labels in (file, demo_tiles / "train_v2.csv"):
        out = tmp_path / f"{labels.stem}-scores.json"
        words = ["evaluate", str(run / "bundle"), "--data", str(demo_tiles), "--json", str(out)]
        words += ["--labels_file", str(labels), "--image_dir", str(demo_tiles / "train-jpg")]
        assert main(words) == 0
        scores.append({**json.loads(out.read_text()), "tiles_of": ""})
    assert scores[0] == scores[1] and scores[0]["tiles"] == len(cells)
    assert main([*words, "--overwrite", "--min_share", "0.3"]) == 2  # given for this table, where it has no effect
