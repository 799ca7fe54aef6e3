"""Tiles that are given to a predictor from Python: the rows of the answer, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import amazon_ml as am


@pytest.fixture(scope="module")
def predictor(trained: Path) -> am.Predictor:
    return am.Predictor.load(trained / "bundle", device="cpu")


@pytest.fixture(scope="module")
def files(demo_tiles: Path) -> list[str]:
    folder = next(folder for folder in demo_tiles.iterdir() if folder.name.startswith("test-jpg"))
    return list(map(str, sorted(folder.glob("*.jpg"))))


@pytest.mark.parametrize("index", [[7, 0, 1], ["c", "a", "b"], [1, 1, 0]], ids=["numbers", "texts", "repeated"])
def test_tags_of_a_table_or_a_series_have_its_index(
    predictor: am.Predictor, files: list[str], index: list[object]
) -> None:
    chosen = files[:3]
    expected = predictor.predict(chosen)
    assert expected.index.tolist() == [0, 1, 2]
    for tiles in (pd.DataFrame({"path": chosen}, index=index), pd.Series(chosen, index=index)):
        given = predictor.predict(tiles)
        assert given.index.equals(tiles.index)
        pd.testing.assert_frame_equal(given.reset_index(drop=True), expected)
    empty = pd.DataFrame({"path": pd.Series([], dtype=object)}, index=pd.Index([], name="id"))
    assert predictor.predict(empty).index.name == "id"


def test_tags_can_be_assigned_to_rows_that_were_shuffled(predictor: am.Predictor, files: list[str]) -> None:
    table = pd.DataFrame({"path": files}).sample(frac=1, random_state=3)
    table["tags"] = predictor.predict(table)["tags"]
    by_file = dict(zip(files, predictor.predict(files)["tags"], strict=True))
    assert table["tags"].nunique() > 1 and table["tags"].tolist() == [by_file[file] for file in table["path"]]


def test_rows_of_a_folder_are_in_natural_order(predictor: am.Predictor, files: list[str], tmp_path: Path) -> None:
    for number, file in zip((10, 2, 1), files, strict=False):
        (tmp_path / f"test_{number}.jpg").symlink_to(file)
    assert predictor.predict(tmp_path)["image_name"].tolist() == ["test_1", "test_2", "test_10"]
    in_order = [tmp_path / f"test_{number}.jpg" for number in (1, 2, 10)]
    np.testing.assert_array_equal(predictor.predict_proba(tmp_path), predictor.predict_proba(in_order))
