"""Tables with one column of tags, read as tables with a column for each tag: the remedies can be followed."""

from pathlib import Path
from typing import Literal

import pytest
from refused import refused
from test_table_formats import COLUMNS, TAGS, meaning, read, root, wide

from amazon_ml.data.config import TableConfig
from amazon_ml.runs.labelled import _table_options

__all__ = ["root"]

TEXTS = "\n".join(["image,tags", *(f"{name},{';'.join(sorted(tags))}" for name, tags in TAGS.items()), ""])


@pytest.mark.parametrize("columns", ["all", list(COLUMNS)])
def test_a_table_with_one_column_of_tags_names_the_option_for_it(
    root: Path, columns: Literal["all"] | list[str]
) -> None:
    own = TableConfig(tag_columns=columns)
    options = _table_options(TableConfig(), own, COLUMNS)
    with refused(file="labels.csv", option="data.tag_columns", says=["tags", "`data.tags_column`"]):
        read(root, "labels.csv", TEXTS, tag_columns=options.tag_columns, tags=options.tags)
    options = _table_options(TableConfig(tags_column="tags", tag_separator=";"), own, COLUMNS)
    chosen = {"tags_column": options.tags_column, "tag_columns": options.tag_columns, "tags": options.tags}
    assert meaning(read(root, "labels.csv", TEXTS, **chosen, tag_separator=";")) == TAGS


def test_a_misspelt_column_names_the_nearest_one(root: Path) -> None:
    with refused(file="labels.csv", option="data.tag_columns", says="'forest'"):
        read(root, "labels.csv", wide(more="label"), tag_columns=["forrest", "river"])


def test_a_tag_of_a_run_without_a_column_can_be_added_to_the_table(root: Path) -> None:
    tags = [*COLUMNS, "snow"]
    with refused(file="labels.csv", line=1, option="data.tag_columns", says=["snow", "0"]):
        read(root, "labels.csv", wide(), tag_columns="all", tags=tags)
    head, *rows = wide().splitlines()
    added = "\n".join([f"{head},snow", *(f"{row},0" for row in rows), ""])
    assert meaning(read(root, "labels.csv", added, tag_columns="all", tags=tags)) == TAGS
