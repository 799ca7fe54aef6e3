"""`evaluate` takes options of the table from the run, unless a caller gives them, also at their defaults."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import write_sealed
from refused import command_refused, holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.config import TABLE, TableConfig
from amazon_ml.runs.evaluate import evaluate
from amazon_ml.settings import build, given_names, to_plain


@pytest.fixture
def with_table(trained: Path, tmp_path: Path) -> Any:
    """Make copies of a bundle whose run read its table with other options."""

    def copy(**options: object) -> Path:
        bundle = Path(shutil.copytree(trained / "bundle", tmp_path / "bundle"))
        content = json.loads((bundle / "bundle.json").read_text())
        content["table"] |= options
        write_sealed(bundle, content)
        return bundle

    return copy


@pytest.fixture
def tiles(demo_tiles: Path, tmp_path: Path) -> Path:
    """Twelve tiles with a table of blanks between tags."""
    root = tmp_path / "set"
    table = pd.read_csv(demo_tiles / "train_v2.csv").head(12)
    (root / "tiles").mkdir(parents=True)
    for name in table["image_name"]:
        shutil.copy(demo_tiles / "train-jpg" / f"{name}.jpg", root / "tiles")
    table.to_csv(root / "labels.csv", index=False)
    return root


def test_settings_know_which_options_were_given() -> None:
    assert given_names(TABLE) == given_names(TableConfig()) == frozenset()
    for made in (
        TableConfig(tag_separator=None, min_share=0),
        build(TableConfig, {"tag_separator": None, "min_share": 0}),
    ):
        assert given_names(made) == {"tag_separator", "min_share"} and made == TABLE
        assert to_plain(made) == to_plain(TABLE)
        assert TableConfig(**vars(made)) == made
    # `replace` gives all options, and so says nothing about those that its caller gave.
    assert given_names(replace(TABLE, labels_file="a.csv")) == {"labels_file"}


def test_the_remedy_for_an_inherited_separator_names_it_and_helps(
    with_table: Any, tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = with_table(tag_separator=",")
    with refused(file=tiles / "labels.csv", option="data.tag_separator", says=["','", "' '"]) as caught:
        evaluate(bundle, tiles)
    assert "omit" not in caught.value.remedy and "data.tags" not in caught.value.remedy
    said = command_refused(capsys, "evaluate", bundle, "--data", tiles)
    assert "--tag_separator ' '" in said
    for given in (" ", "null"):
        assert main(["evaluate", str(bundle), "--data", str(tiles), "--tag_separator", given]) == 0
    assert evaluate(bundle, tiles, TableConfig(tag_separator=None))["tiles"] == 12


def test_the_remedy_for_another_separator_names_no_option_that_is_refused(with_table: Any, tiles: Path) -> None:
    bundle = with_table(tag_separator=",")
    table = pd.read_csv(tiles / "labels.csv")
    table["tags"] = table["tags"].str.replace(" ", ";")
    table.to_csv(tiles / "labels.csv", index=False)
    with refused(file=tiles / "labels.csv", option="data.tag_separator", says=["';'", "','"]) as caught:
        evaluate(bundle, tiles)
    assert "data.tags" not in caught.value.remedy
    with refused(file=tiles / "labels.csv", says="';'") as caught:
        evaluate(bundle, tiles, TableConfig(tag_separator="|"))
    assert not holds(caught.value.remedy, "','") and "data.tags" not in caught.value.remedy
    assert evaluate(bundle, tiles, TableConfig(tag_separator=";"))["tiles"] == 12


def test_a_share_of_0_counts_as_given(with_table: Any, tiles: Path) -> None:
    bundle = with_table(min_share=0.6)
    cells = pd.read_csv(tiles / "labels.csv").set_index("image_name")["tags"]
    shares = {
        name: [[tag, 0.7 if at == 0 else 0.1] for at, tag in enumerate(cell.split())] for name, cell in cells.items()
    }
    (tiles / "labels.csv").unlink()
    (tiles / "labels.json").write_text(json.dumps(shares))
    scores = [evaluate(bundle, tiles, table) for table in (TABLE, TableConfig(min_share=0))]
    supports = [sum(tag["support"] for tag in one["tags"]) for one in scores]
    assert supports == [12, sum(cells.str.split().map(len))]
    out = tiles.parent / "scores.json"
    assert main(["evaluate", str(bundle), "--data", str(tiles), "--min_share", "0", "--json", str(out)]) == 0
    assert sum(tag["support"] for tag in json.loads(out.read_text())["tags"]) == supports[1]
