"""Published splits: by tables, by a column, by lists and by folders; the third is scored once, and never seen."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY
from made_tiles import write_tif
from PIL import Image
from refused import refused
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score, f1_score

import amazon_ml as am
from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.catalog.label_tables import split_tables
from amazon_ml.data.checks.check import check
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.folds.folds import fold_catalog, kind_difference, split_difference
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.settings import build

pytestmark = pytest.mark.usefixtures("short_finish")

TAGS = ("bare soil", "field", "river")
#: Splits of 60 tiles, by their numbers.
PARTS = {"train": range(30), "val": range(30, 45), "test": range(45, 60)}


def name_of(number: int) -> str:
    return f"tile{number:02}"


def targets(number: int) -> list[int]:
    """Give the tags of a tile; each has at least one."""
    return [int(number % 3 == 0), int(number % 2 == 0), int(number % 3 != 0)]


def write_tiles(folder: Path, numbers: range = range(60)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(230, size=(16, 16, 3), dtype=np.uint8)
        pixels += np.array([25 * value for value in targets(number)], dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name_of(number)}.png")


def wide(numbers: range, tagged: Callable[[int], list[int]] = targets) -> str:
    """Write a table as the splits of the AiTLAS arena have it: tabs, a name without ending, 0 or 1 for each tag."""
    rows = ["\t".join([name_of(number), *map(str, tagged(number))]) for number in numbers]
    return "\n".join(["\t".join(["IMAGE\\LABEL", *TAGS]), *rows, ""])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 tiles with a table for each split; not to be changed."""
    root = tmp_path_factory.mktemp("split")
    write_tiles(root / "Images")
    for split, numbers in PARTS.items():
        (root / f"set_{split}.csv").write_text(wide(numbers))
    return root


def train(run: Path, root: Path, *options: str) -> Path:
    assert main(["train", "--run", str(run), "--data.root", str(root), "--data.tag_columns=all", *TINY,
                 "--data.size=16", "--trainer.max_epochs=4", *options]) == 0  # fmt: skip
    return run


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs") / "run", root)


def test_another_order_of_the_columns_of_tags_is_refused_in_a_begun_run(run: Path, root: Path, tmp_path: Path) -> None:
    begun = Path(shutil.copytree(run, tmp_path / "run"))
    for split, numbers in PARTS.items():  # the same tags of the same tiles, by the hash of the table
        rows = [[name_of(number), *map(str, targets(number)[::-1])] for number in numbers]
        lines = ["\t".join(row) for row in [["IMAGE\\LABEL", *TAGS[::-1]], *rows]]
        (tmp_path / f"set_{split}.csv").write_text("\n".join([*lines, ""]))
    (tmp_path / "Images").symlink_to(root / "Images")
    former = (begun / "provenance.json").read_bytes()
    config = am.RunConfig.load(begun / "config.yaml", {"run": str(begun), "data.root": str(tmp_path)})
    with refused(file=begun, says=[TAGS[0], TAGS[-1]]):
        am.train(config)
    assert (begun / "provenance.json").read_bytes() == former


def read(root: Path, **options: Any) -> Catalog:
    return read_catalog(root, build(ReadingConfig, options))


def splits_of(catalog: Catalog) -> dict[str, list[str]]:
    valid = catalog.valid if catalog.valid is not None else np.zeros(len(catalog.labelled), dtype=bool)
    names = catalog.labelled["image_name"]
    return {
        "train": names[~valid].tolist(),
        "val": names[valid].tolist(),
        "test": catalog.tested["image_name"].tolist(),
    }


EXPECTED = {split: [name_of(number) for number in numbers] for split, numbers in PARTS.items()}


def test_tables_by_split_are_found_by_their_names(root: Path) -> None:
    catalog = read(root, tag_columns="all")
    assert splits_of(catalog) == EXPECTED
    assert catalog.tags.names == TAGS
    assert catalog.targets.tolist() == [targets(number) for number in range(45)]
    assert catalog.tested_targets.tolist() == [targets(number) for number in PARTS["test"]]
    assert catalog.unlabelled["image_name"].tolist() == EXPECTED["test"]


def test_every_way_to_give_splits_means_the_same(root: Path, tmp_path: Path) -> None:
    everything = tmp_path / "all.csv"
    everything.write_text(wide(range(60)))
    words = {"train": "Training", "val": "validation", "test": "TEST"}
    named = {number: words[split] for split, numbers in PARTS.items() for number in numbers}
    table = pd.DataFrame(
        {"patch_id": [name_of(number) for number in named], "split": list(named.values()),
         "labels": [[tag for tag, on in zip(TAGS, targets(number), strict=True) if on] for number in named]}
    )  # fmt: skip
    table.to_parquet(tmp_path / "metadata.parquet")  # as BigEarthNet 2 has it
    with_column = pd.DataFrame([targets(number) for number in named], columns=list(TAGS))
    with_column.insert(0, "image", [name_of(number) for number in named])
    with_column.insert(2, "subset", list(named.values()))
    with_column.to_csv(tmp_path / "column.csv", index=False)
    for split, numbers in PARTS.items():
        ending = ".png" if split == "val" else ""
        (tmp_path / f"{split}.txt").write_text("\n".join(name_of(number) + ending for number in numbers) + "\n")
    lists = {split: str(tmp_path / f"{split}.txt") for split in PARTS}
    tables = {"training": "set_train.csv", "validation": str(root / "set_val.csv"), "test": ["set_t*t.csv"]}
    by_option: dict[str, dict[str, Any]] = {
        "tables": {"labels_file": tables, "tag_columns": "all"},
        "parquet": {"labels_file": str(tmp_path / "metadata.parquet"), "split_column": "split"},
        "column": {"labels_file": str(tmp_path / "column.csv"), "tag_columns": "all", "split_column": "Subset"},
        "lists": {"labels_file": str(everything), "tag_columns": "all", "splits": lists},
    }
    for options in by_option.values():
        catalog = read(root, **options)
        assert splits_of(catalog) == EXPECTED
        assert catalog.tags.names == TAGS
        assert catalog.sha256 == read(root, tag_columns="all").sha256
        assert catalog.tested_sha256 == read(root, tag_columns="all").tested_sha256


def test_folders_are_splits(tmp_path: Path) -> None:
    write_tiles(tmp_path / "images_tr", range(45))  # as AID and DFC15 have them
    write_tiles(tmp_path / "images_test", range(45, 60))
    (tmp_path / "multilabel.csv").write_text(wide(range(60)))
    catalog = read(tmp_path, tag_columns="all", splits={"train": "images_tr", "test": "images_test"})
    assert catalog.valid is None
    assert splits_of(catalog) == {"train": EXPECTED["train"] + EXPECTED["val"], "val": [], "test": EXPECTED["test"]}


def test_tiles_in_no_list_are_not_used(root: Path, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(wide(range(60)))
    (tmp_path / "some.lst").write_text("image_name\ntile03.png\ntile05.png\n")
    catalog = read(root, labels_file=str(tmp_path / "all.csv"), tag_columns="all",
                   splits={"train": str(tmp_path / "some.lst")})  # fmt: skip
    assert catalog.labelled["image_name"].tolist() == ["tile03", "tile05"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ucm_train.csv", "ucm_val.csv", "ucm_test.csv"], {"train", "val", "test"}),
        (["train.csv", "validation.csv"], {"train", "val"}),
        (["train.csv", "test.csv"], set()),  # the second may have no tags
        (["a_train.csv", "b_val.csv"], set()),
        (["train.csv", "val.csv", "classes.csv"], set()),
    ],
)
def test_names_of_files_say_the_split_only_where_all_do(names: list[str], expected: set[str]) -> None:
    assert set(split_tables(names)) == expected


def test_a_network_is_tuned_on_the_second_split_and_scored_on_the_third(run: Path, root: Path) -> None:
    oof, test = pd.read_parquet(run / "oof.parquet"), pd.read_parquet(run / "test.parquet")
    assert oof["image_name"].tolist() == EXPECTED["val"] and test["image_name"].tolist() == EXPECTED["test"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["tiles"] == 15 and metrics["test"]["tiles"] == 15
    true = np.array([targets(number) for number in PARTS["test"]])
    p = test[list(TAGS)].to_numpy()
    others = metrics["test"]["other_scores"]
    assert others["average_precision_macro"]["value"] == pytest.approx(average_precision_score(true, p), abs=1e-12)
    assert others["f1_macro"]["value"] == pytest.approx(f1_score(true, p >= 0.5, average="macro"), abs=1e-12)
    predicted = am.Predictor.load(run).predict(root / "Images").set_index("image_name")["tags"]
    answers = np.array([[int(tag in predicted[name]) for tag in TAGS] for name in EXPECTED["test"]])
    hits = (answers * true).sum(axis=1)
    f2 = 5 * hits / (4 * true.sum(axis=1) + answers.sum(axis=1))
    assert metrics["test"]["fbeta"]["predicted"]["value"] == pytest.approx(f2.mean(), abs=1e-12)
    assert 'id="test"' in (run / "report.html").read_text()


def test_the_tags_of_the_third_split_reach_no_network_and_no_threshold(run: Path, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "other")
    table = wide(PARTS["test"], lambda number: [1 - value for value in targets(number)])
    (tmp_path / "other" / "set_test.csv").write_text(table)
    other = train(tmp_path / "run", tmp_path / "other")
    ours, theirs = (load_file(Run(one).fold(0).weights) for one in (run, other))
    assert all(bool((ours[key] == theirs[key]).all()) for key in ours)
    rules = [json.loads((one / "decision.json").read_text())["rule"] for one in (run, other)]
    assert rules[0] == rules[1]
    scores = [json.loads((one / "metrics.json").read_text()) for one in (run, other)]
    assert scores[0]["fbeta"] == scores[1]["fbeta"]
    assert scores[0]["test"]["fbeta"] != scores[1]["test"]["fbeta"]


def test_evaluate_scores_the_third_split_alone(run: Path, root: Path, tmp_path: Path) -> None:
    tables = f"{{train: {root}/set_train.csv, val: {root}/set_val.csv, test: {root}/set_test.csv}}"
    command = ["evaluate", str(run / "bundle"), "--data", str(root), "--labels_file", tables]
    for split, tiles in ((None, 15), ("test", 15), ("val", 15), ("train", 30)):
        file = tmp_path / f"{split}.json"
        assert main([*command, *([] if split is None else ["--split", split]), "--json", str(file)]) == 0
        metrics = json.loads(file.read_text())
        assert metrics["tiles"] == tiles and metrics["split"] == (split or "test")
    ours = json.loads((run / "metrics.json").read_text())["test"]
    theirs = json.loads((tmp_path / "test.json").read_text())
    assert theirs["fbeta"]["predicted"]["value"] == pytest.approx(ours["fbeta"]["predicted"]["value"], abs=1e-6)


def test_a_data_module_gives_the_third_split_to_test(root: Path) -> None:
    data = am.PlanetDataModule(root, tag_columns="all", size=16)
    data.setup()
    assert data.catalog.labelled["image_name"].iloc[data.valid_rows].tolist() == EXPECTED["val"]
    assert data.catalog.labelled["image_name"].iloc[data.train_rows].tolist() == EXPECTED["train"]
    batch = next(iter(data.test_dataloader()))
    assert batch["target"].tolist() == [targets(number) for number in PARTS["test"]]


def test_packed_tiles_and_folds_know_the_splits(root: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "set")
    assert main(["data", "pack", str(tmp_path / "set"), "--size=16", "--tag_columns=all"]) == 0
    packed = train(tmp_path / "run", tmp_path / "set")
    pd.testing.assert_frame_equal(pd.read_parquet(packed / "test.parquet"), pd.read_parquet(run / "test.parquet"))
    figures = tmp_path / "folds.json"
    assert main(["data", "folds", str(tmp_path / "set"), "--tag_columns=all", "--folds", str(tmp_path / "folds.csv"),
                 "--json", str(figures)]) == 0  # fmt: skip
    found = json.loads(figures.read_text())
    assert [(one["fold"], one["tiles"]) for one in found["folds"]] == [(0, 15)]


def test_limits_of_a_store_that_was_packed_without_the_validation_split_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    for number in range(12):  # the validation tiles are brighter
        highest = 9000 if number > 8 else 2000
        pixels = np.random.default_rng(number).integers(1000, highest, size=(16, 16, 4), dtype=np.uint16)
        write_tif(tmp_path / "tiles" / f"{name_of(number)}.tif", pixels)
    rows = [
        f"{name_of(number)},{['river', 'field'][number % 2]},{'val' if number > 8 else 'train'}" for number in range(12)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["image,tags,split", *rows, ""]))
    options = ["--bands=rgbn", "--rgb_source=tif"]
    assert main(["data", "pack", str(tmp_path), "--size=16", *options]) == 0
    store = next(tmp_path.glob("packed-*"))
    given: dict[str, Any] = {"size": 16, "bands": "rgbn", "rgb_source": "tif", "split_column": "split"}
    with refused(file=store, option="data.packed"):
        am.PlanetDataModule(tmp_path, **given).setup()
    limits = {band: [0.0, 9000.0] for band in "rgbn"}
    with refused(option="data.packed"):  # other limits than those that were packed
        am.PlanetDataModule(tmp_path, **given, tif_limits=limits).setup()
    assert main(["data", "pack", str(tmp_path), "--size=16", "--split_column=split", *options]) == 0
    data = am.PlanetDataModule(tmp_path, **given)
    data.setup()
    assert all(high < 3000 for _, high in data.read.limits.values())


def test_a_resumed_run_notices_other_tags_of_the_third_split(run: Path, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "other")
    shutil.copytree(run, tmp_path / "run")
    table = wide(PARTS["test"], lambda number: targets(number)[::-1])
    (tmp_path / "other" / "set_test.csv").write_text(table)
    assert main(["train", "--run", str(tmp_path / "run"), "--data.root", str(tmp_path / "other"),
                 "--data.tag_columns=all", *TINY, "--data.size=16", "--trainer.max_epochs=4"]) == 2  # fmt: skip


def refusal(root: Path, **options: Any) -> InputError:
    with pytest.raises(InputError) as refused:
        read(root, **options)
    return refused.value


def test_a_tile_in_two_splits_is_refused_with_file_and_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(wide(range(28, 45)))
    tables = {"train": "set_train.csv", "val": str(tmp_path / "val.csv")}
    error = refusal(root, labels_file=tables, tag_columns="all")
    assert (error.file, error.line) == (tmp_path / "val.csv", 2) and "tile28" in error.problem
    report = check(root, build(ReadingConfig, {"labels_file": tables, "tag_columns": "all"}))
    found = {finding.kind: finding.count for finding in report.findings}
    assert found["two_splits"] == 2
    (tmp_path / "column.csv").write_text("image,tags,split\ntile01,river,train\ntile01,river,test\ntile02,field,val\n")
    error = refusal(root, labels_file=str(tmp_path / "column.csv"), split_column="split")
    assert (error.file, error.line) == (tmp_path / "column.csv", 3)
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_text("tile01\ntile02\n")
    lists = {split: str(tmp_path / f"{split}.txt") for split in ("train", "test")}
    (tmp_path / "all.csv").write_text(wide(range(60)))
    error = refusal(root, labels_file=str(tmp_path / "all.csv"), tag_columns="all", splits=lists)
    assert error.file == tmp_path / "test.txt" and error.option == "data.splits"


def test_tiles_in_two_splits_of_one_of_several_tables_are_listed_once(root: Path, tmp_path: Path) -> None:
    """And a tile that only stands twice is still listed beside them."""
    head = "image,tags,split\n"
    rows = ("tile01,river,train", "tile01,river,test", "tile03,field,val", "tile03,field,val")
    (tmp_path / "a.csv").write_text(head + "\n".join([*rows, ""]))
    (tmp_path / "b.csv").write_text(f"{head}tile02,field,val\ntile05,river,train\n")
    for tables in ([str(tmp_path / "a.csv")], [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]):
        report = check(root, build(ReadingConfig, {"labels_file": tables, "split_column": "split"}))
        found = {finding.kind: finding.count for finding in report.findings}
        assert found["two_splits"] == 1 and found["repeated_rows"] == 1


def test_a_column_of_splits_is_no_second_column_of_tags(root: Path, tmp_path: Path) -> None:
    """Tags may be called as splits are: a railway has a train."""
    rows = ["tile01,train river,train", "tile02,test,train", "tile03,train,test", "tile04,val test,val"]
    (tmp_path / "t.csv").write_text("\n".join(["image,tags,split", *rows, ""]))
    catalog = read(root, labels_file=str(tmp_path / "t.csv"), split_column="split")
    assert catalog.tags.names == ("river", "test", "train", "val")
    assert catalog.tested["image_name"].tolist() == ["tile03"]
    refused = refusal(root, labels_file=str(tmp_path / "t.csv"))
    assert refused.option == "data.tags_column" and refused.line == 3


@pytest.mark.parametrize("value", ["", "2", "holdout"])
def test_another_word_than_a_split_is_refused_with_its_line(root: Path, tmp_path: Path, value: str) -> None:
    (tmp_path / "t.csv").write_text(f"image,tags,split\ntile01,river,train\ntile02,field,{value}\n")
    error = refusal(root, labels_file=str(tmp_path / "t.csv"), split_column="split")
    assert (error.file, error.line) == (tmp_path / "t.csv", 3)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"labels_file": {"train": "set_train.csv", "holdout": "set_val.csv"}}, "labels_file"),
        ({"labels_file": {"val": "set_val.csv", "validation": "set_test.csv"}}, "labels_file"),
        ({"labels_file": ["set_train.csv", "set_train.csv"]}, "data.labels_file"),
        ({"labels_file": "sets/*.csv"}, "data.labels_file"),
        ({"labels_file": []}, "data.labels_file"),
        ({"split_column": "split"}, "data.split_column"),
        ({"labels_file": "set_train.csv", "split_column": "subset"}, "data.split_column"),
        ({"labels_file": "set_train.csv", "splits": {"train": "gone.txt"}}, "data.splits"),
        ({"labels_file": "set_train.csv", "splits": {"train": "set_val.csv"}}, "data.splits"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(root: Path, options: dict[str, Any], option: str) -> None:
    assert refusal(root, tag_columns="all", **options).option == option


def test_columns_that_one_table_lacks_are_named_with_the_table(root: Path, tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text("image\triver\tfield\ntile31\t1\t0\n")
    tables = {"train": "set_train.csv", "val": str(tmp_path / "val.csv")}
    error = refusal(root, labels_file=tables, tag_columns="all")
    assert error.file == tmp_path / "val.csv" and "bare soil" in error.problem


def test_only_a_test_split_is_nothing_to_train_on(root: Path) -> None:
    with pytest.raises(InputError) as refused:
        am.PlanetDataModule(root, labels_file={"test": "set_test.csv"}, tag_columns="all", size=16).setup()
    assert refused.value.option == "data.labels_file"


def test_only_a_validation_split_is_nothing_to_train_on(root: Path) -> None:
    catalog = read_catalog(root, ReadingConfig(labels_file={"val": "set_val.csv"}, tag_columns="all"))
    with refused(option="data.labels_file"):
        fold_catalog(catalog, "tags", 3, 0)


def test_a_division_without_training_tiles_is_of_a_published_split(root: Path) -> None:
    catalog = read_catalog(root, ReadingConfig(labels_file={"val": "set_val.csv"}, tag_columns="all"))
    fold = pd.Series(0, index=catalog.labelled.index)
    assert split_difference(fold, catalog) is None and kind_difference(fold, catalog) is None
    assert kind_difference(fold, replace(catalog, valid=None)) is not None
    assert kind_difference(fold + [k % 2 for k in range(len(fold))], catalog) is not None


def test_several_tables_are_joined(root: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for start in range(0, 60, 20):  # as MLRSNet has a table for each category
        (tmp_path / "labels" / f"part{start}.csv").write_text(wide(range(start, start + 20)))
    catalog = read(root, labels_file=str(tmp_path / "labels" / "*.csv"), tag_columns="all")
    assert len(catalog.labelled) == 60 and catalog.valid is None and catalog.tested.empty
    assert catalog.targets.tolist() == [targets(int(name[4:])) for name in catalog.labelled["image_name"]]
    (tmp_path / "labels" / "part9.csv").write_text(wide(range(3, 4)))
    error = refusal(root, labels_file=str(tmp_path / "labels" / "*.csv"), tag_columns="all")
    assert error.file == tmp_path / "labels" / "part9.csv" and error.line == 2


def test_what_only_several_tables_show_is_found(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,tags\ntile01,river field\ntile02,field\n")
    (tmp_path / "b.csv").write_text("image,tags\ntile03,River\ntile04,field\n")
    both = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    error = refusal(root, labels_file=both)
    assert Path(str(error.file)).parent == tmp_path and "River" in error.problem
    (tmp_path / "b.csv").write_text("image,tags\ntile01,water\ntile04,field\n")
    error = refusal(root, labels_file=both)
    assert (error.file, error.line) == (tmp_path / "b.csv", 2)
    merged = read(root, labels_file=both, merge_rows=True)
    assert merged.tags.names == ("field", "river", "water")
    assert merged.targets[merged.labelled["image_name"].tolist().index("tile01")].tolist() == [1, 1, 1]
    (tmp_path / "exclude.csv").write_text("image_name\ntile01\n")
    (tmp_path / "b.csv").write_text("image,tags\ntile01,water\ntile04,water\n")
    left = read(root, labels_file=both, exclude=str(tmp_path / "exclude.csv"))
    assert left.labelled["image_name"].tolist() == ["tile02", "tile04"]
    (tmp_path / "exclude.csv").write_text("image_name\ntile09\n")
    assert refusal(root, labels_file=both, exclude=str(tmp_path / "exclude.csv")).option == "data.exclude"


def test_a_table_for_each_category_may_have_one_tag(root: Path, tmp_path: Path) -> None:
    (tmp_path / "river.csv").write_text("image,tags\ntile01,river\ntile02,river\n")
    (tmp_path / "field.csv").write_text("image,tags\ntile03,field\ntile04,field\n")
    catalog = read(root, labels_file=str(tmp_path / "*.csv"))
    assert catalog.tags.names == ("field", "river") and catalog.targets.sum(axis=0).tolist() == [2, 2]
    (tmp_path / "field.csv").write_text("image,tags\ntile03,river\ntile04,river\n")
    assert refusal(root, labels_file=str(tmp_path / "*.csv")).file == tmp_path / "field.csv"


def test_names_that_repeat_in_other_folders_mean_the_files_beside_their_table(tmp_path: Path) -> None:
    for place, number in (("beach", 1), ("farm", 2)):
        write_tiles(tmp_path / place, range(4))
        (tmp_path / place / "labels.csv").write_text(wide(range(4), lambda _, one=number: targets(one)))  # type: ignore[misc]
    catalog = read(tmp_path, labels_file="*/labels.csv", tag_columns="all")
    found = {
        Path(path).relative_to(tmp_path).with_suffix("").as_posix(): row.tolist()
        for path, row in zip(catalog.labelled["path"], catalog.targets, strict=True)
    }
    expected = {f"{place}/{name_of(number)}": targets(of) for place, of in (("beach", 1), ("farm", 2))
                for number in range(4)}  # fmt: skip
    assert found == expected
    assert catalog.labelled["image_name"].tolist() == list(expected)  # nothing above the folder of tiles


def test_a_json_in_the_folder_of_each_tile_is_read(tmp_path: Path) -> None:
    for number in range(6):
        name = name_of(number)
        write_tiles(tmp_path / "patches" / name, range(number, number + 1))
        labels = [tag for tag, on in zip(TAGS, targets(number), strict=True) if on]
        about = {"labels": labels, "projection": "EPSG:32629"}
        (tmp_path / "patches" / name / f"{name}_labels_metadata.json").write_text(json.dumps(about))
    catalog = read(tmp_path, labels_file="patches/*/*_labels_metadata.json")
    assert catalog.tags.names == TAGS
    assert catalog.targets.tolist() == [targets(number) for number in range(6)]
    by_split = {"train": "patches/tile0[0-3]/*.json", "test": "patches/tile0[45]/*.json"}
    split = read(tmp_path, labels_file=by_split)
    assert (len(split.labelled), split.tested["image_name"].tolist()) == (4, ["tile04", "tile05"])
    broken = tmp_path / "patches" / name_of(4) / f"{name_of(4)}_labels_metadata.json"
    broken.write_text('{"labels": ["river", 5]}')
    assert refusal(tmp_path, labels_file="patches/*/*_labels_metadata.json").file == broken
    broken.write_text('{"labels": ["riv')
    assert refusal(tmp_path, labels_file="patches/*/*_labels_metadata.json").file == broken
    broken.write_text('{"labels": []}')
    error = refusal(tmp_path, labels_file="patches/*/*_labels_metadata.json")
    assert name_of(4) in error.problem


def test_tiles_of_two_splits_that_show_the_same_are_found(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "set")
    shutil.copy(tmp_path / "set/Images/tile01.png", tmp_path / "set/Images/tile50.png")
    coarse = np.random.default_rng(0).integers(40, 200, size=(6, 6, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))
    Image.fromarray(smooth).save(tmp_path / "set/Images/tile02.png")
    Image.fromarray(smooth + 1).save(tmp_path / "set/Images/tile40.png")
    report = check(tmp_path / "set", build(ReadingConfig, {"tag_columns": "all"}))
    found = {finding.kind: finding.items for finding in report.findings}
    assert len(found["same_pixels_across_splits"]) == 1
    assert {"tile01", "tile50"} <= {name for name in EXPECTED["train"] + EXPECTED["test"]
                                    if name in found["same_pixels_across_splits"][0]}  # fmt: skip
    assert any("tile02" in item and "tile40" in item for item in found["near_duplicates_across_splits"])
    assert report.splits == {"train": 30, "val": 15, "test": 15}


def test_limits_of_values_come_from_the_first_split_alone(tmp_path: Path) -> None:
    for number in range(60):
        high = 1000 if number in PARTS["train"] else 9000
        pixels = np.random.default_rng(number).integers(100, high, size=(16, 16, 2)).astype(np.uint16)
        write_tif(tmp_path / "Images" / f"{name_of(number)}.tif", pixels, names=("B04", "B08"))
    for split, numbers in PARTS.items():
        (tmp_path / f"set_{split}.csv").write_text(wide(numbers))
    data = am.PlanetDataModule(tmp_path, tag_columns="all", size=16, bands=["B04", "B08"])
    data.setup()
    assert all(950 < data.read.limits[band][1] <= 1000 for band in ("B04", "B08"))


def test_blends_score_the_third_split_of_their_members(run: Path, root: Path, tmp_path: Path) -> None:
    other = train(tmp_path / "other", root, "--seed=1")
    assert main(["blend", str(run), str(other), "--run", str(tmp_path / "blend")]) == 0
    p = np.mean([pd.read_parquet(one / "test.parquet")[list(TAGS)] for one in (run, other)], axis=0)
    true = np.array([targets(number) for number in PARTS["test"]])
    scores = json.loads((tmp_path / "blend" / "metrics.json").read_text())["test"]["other_scores"]
    assert scores["average_precision_macro"]["value"] == pytest.approx(average_precision_score(true, p), abs=1e-6)


def without_makers(record: Path) -> str:
    """Give a record as earlier versions wrote it: without who made the folds."""
    text = record.read_text().replace('"by_run": true', '"by_run": false')
    assert text != record.read_text()
    return text


def test_folds_of_another_division_are_refused(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and tags of all tiles are the same: only the division between training and validation differs."""
    other = shutil.copytree(run, tmp_path / "run")
    (other / "fold-0" / "valid.parquet").unlink()
    tables = {"train": range(15, 45), "val": range(15), "test": PARTS["test"]}
    for split, numbers in tables.items():
        (tmp_path / f"{split}.csv").write_text(wide(numbers))
    named = {split: str(tmp_path / f"{split}.csv") for split in tables}
    before = (other / "config.yaml").read_bytes()
    record = other / "hashes.json"
    for known in (record.read_text(), without_makers(record)):
        record.write_text(known)  # earlier versions did not record who made the folds
        assert main(["train", "--run", str(other), "--data.root", str(root), "--data.tag_columns=all", *TINY,
                     "--data.size=16", "--trainer.max_epochs=4",
                     "--data.labels_file", json.dumps(named)]) == 2  # fmt: skip
        assert str(other / "folds.csv") in capsys.readouterr().err
    assert (other / "config.yaml").read_bytes() == before and not (other / "fold-0" / "valid.parquet").exists()


def test_a_begun_run_keeps_its_validation_split_or_its_cross_validation(
    run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and tags of all tiles are the same: those of the validation split are named as training tiles, and back."""
    every = tmp_path / "labels.csv"
    every.write_text(wide(range(45)))
    with_val = {split: str(root / f"set_{split}.csv") for split in PARTS}
    without = {"train": str(every), "test": with_val["test"]}

    def call(folder: Path, tables: dict[str, str], *options: str) -> int:
        return main(["train", "--run", str(folder), "--data.root", str(root), "--data.tag_columns=all", *TINY,
                     "--data.size=16", "--trainer.max_epochs=4", "--data.labels_file", json.dumps(tables),
                     *options])  # fmt: skip

    other = shutil.copytree(run, tmp_path / "run")
    assert call(other, with_val) == 0  # as they were found
    record = other / "hashes.json"
    for known in (record.read_text(), without_makers(record)):
        record.write_text(known)
        before = (other / "config.yaml").read_bytes()
        assert call(other, without) == 2
        said = capsys.readouterr().err
        assert str(other / "folds.csv") in said and "--run" in said
        assert (other / "config.yaml").read_bytes() == before
    crossed = tmp_path / "crossed"
    assert call(crossed, without, "--folds=[0]", "--data.n_folds=2") == 0
    assert call(crossed, with_val, "--folds=[0]", "--data.n_folds=2") == 2
    assert str(crossed / "folds.csv") in capsys.readouterr().err


def test_folds_that_are_a_cross_validation_pass_beside_published_splits(run: Path, root: Path, tmp_path: Path) -> None:
    folds = pd.read_csv(run / "folds.csv")
    folds["fold"] = np.arange(len(folds)) % 3
    folds.to_csv(tmp_path / "folds.csv", index=False)
    data = am.PlanetDataModule(root, tag_columns="all", size=16, folds_file=str(tmp_path / "folds.csv"))
    data.setup()
    assert data.valid_rows.tolist() == list(range(0, 45, 3))


def test_own_division_of_the_tiles_is_taken_and_resumed_beside_published_splits(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    own, held_out = tmp_path / "run", [name_of(number) for number in range(0, 45, 3)]
    own.mkdir()
    rows = [f"{name_of(number)},{-1 if number % 3 else 0}" for number in range(45)]
    (own / "folds.csv").write_text("\n".join(["image_name,fold", *rows, ""]))
    with caplog.at_level("INFO"):
        train(own, root, "--trainer.max_epochs=1")
    assert [str(own / "folds.csv") in one.getMessage() and "published" in one.getMessage()
            for one in caplog.records].count(True) == 1  # fmt: skip
    (own / "fold-0" / "valid.parquet").unlink()
    train(own, root, "--trainer.max_epochs=1")
    assert pd.read_parquet(own / "oof.parquet")["image_name"].tolist() == held_out
    tables = {"train": range(15, 45), "val": range(15), "test": PARTS["test"]}
    for split, numbers in tables.items():
        (tmp_path / f"{split}.csv").write_text(wide(numbers))
    named = {split: str(tmp_path / f"{split}.csv") for split in tables}
    before = (own / "config.yaml").read_bytes()
    assert main(["train", "--run", str(own), "--data.root", str(root), "--data.tag_columns=all", *TINY,
                 "--data.size=16", "--trainer.max_epochs=1", "--data.labels_file", json.dumps(named)]) == 2  # fmt: skip
    assert str(own / "folds.csv") in capsys.readouterr().err and (own / "config.yaml").read_bytes() == before
    data = am.PlanetDataModule(root, tag_columns="all", size=16, folds_file=str(own / "folds.csv"))
    data.setup()
    assert data.valid_rows.tolist() == list(range(0, 45, 3))
