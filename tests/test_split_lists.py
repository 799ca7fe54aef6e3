"""Lists of names as published splits: the column that holds the names is read, with or without a header."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refused import refused

from amazon_ml.data.catalog.catalog import Catalog, read_catalog
from amazon_ml.data.config import ReadingConfig


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight tiles whose names are numbers, as a column that counts rows has them; not to be changed."""
    root = tmp_path_factory.mktemp("numbers")
    for number in range(8):
        pixels = np.random.default_rng(number).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    (root / "labels.csv").write_text("image,tags\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(8)))
    return root


def read(root: Path, folder: Path, train: Sequence[str]) -> Catalog:
    (folder / "train.csv").write_text("\n".join([*train, ""]))
    (folder / "val.txt").write_text("6\n7\n")
    splits: dict[str, str | list[str]] = {"train": str(folder / "train.csv"), "val": str(folder / "val.txt")}
    return read_catalog(root, ReadingConfig(labels_file="labels.csv", splits=splits))


@pytest.mark.parametrize(
    "lines",
    [
        ["3", "4"],
        ["image", "3", "4"],
        ["id", "3", "4"],
        ["id,image_name", "0,3", "1,4"],
        [",image", "0,3", "1,4"],
        ["index,filename,label", "0,3.png,1", "1,4.png,0"],
        ["index\tlabel\tfilename", "0\t1\t3.png", "1\t0\t4.png"],
        ["image_id,image_name", "a0,3", "a1,4"],
        ["image_id,scene", "3,0", "4,1"],
        ["id,label", "3,0", "4,1"],
        ["3,S1_a", "4,S1_b"],  # BigEarthNet names the radar patch beside the optical one
        ["S1_a,3", "S1_b,4"],
        ["", "3,", "4,"],
    ],
)
def test_a_list_is_read_from_the_column_of_names(root: Path, tmp_path: Path, lines: list[str]) -> None:
    catalog = read(root, tmp_path, lines)
    assert catalog.valid is not None
    assert catalog.labelled["image_name"][~catalog.valid].tolist() == ["3", "4"]


@pytest.mark.parametrize(
    ("lines", "line"),
    [(["0,3", "1,4"], 1), (["id,scene_file", "0,3", "1,4"], 2), (["id,label,scene_file", "0,1,3", "1,0,4"], 2)],
)
def test_a_list_of_several_columns_of_names_is_refused(root: Path, tmp_path: Path, lines: list[str], line: int) -> None:
    with refused(file=tmp_path / "train.csv", line=line, option="data.splits", says=["'0'", "'3'"]):
        read(root, tmp_path, lines)
