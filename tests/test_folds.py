from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from refused import refused

from amazon_ml.data.folds.folds import (
    leaking,
    make_folds,
    make_folds_by_scene,
    read_folds,
    tag_deviations,
    worst_deviation,
)
from amazon_ml.runtime.files import write_table


def skewed(tiles: int, seed: int = 0) -> tuple["pd.Series[str]", npt.NDArray[np.uint8]]:
    """Twelve tags from one tile in two to one in sixty, some of which come together."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((tiles, 12)) < np.geomspace(0.5, 1 / 60, 12)).astype(np.uint8)
    targets[:, 5] |= targets[:, 9]
    return names_of(tiles), targets


def names_of(tiles: int) -> "pd.Series[str]":
    return pd.Series([f"train_{i}" for i in range(tiles)])


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_every_tile_has_one_fold_and_folds_are_of_near_equal_size(folds: int) -> None:
    names, targets = skewed(600)
    table = make_folds(names, targets, folds, seed=0)
    assert list(table.columns) == ["image_name", "fold"]
    assert table["image_name"].tolist() == names.tolist()
    assert sorted(table["fold"].unique()) == list(range(folds))
    assert np.abs(table["fold"].value_counts() - 600 / folds).max() <= 6


def test_tags_are_spread_far_more_evenly_than_by_chance() -> None:
    names, targets = skewed(1200)
    by_chance = [
        worst_deviation(targets, pd.Series(np.random.default_rng(seed).permutation(1200) % 5)) for seed in range(10)
    ]
    stratified = worst_deviation(targets, make_folds(names, targets, 5, seed=0)["fold"])
    # The rarest tag stands on some 20 tiles, so that one tile astray in a fold is about a quarter.
    assert stratified <= 0.3
    assert stratified < min(by_chance) / 1.5


def test_tag_on_five_tiles_gets_one_tile_in_each_of_five_folds() -> None:
    for seed in range(5):
        names, targets = skewed(300, seed)
        targets[:, 11] = 0
        rare = np.random.default_rng(seed).choice(300, 5, replace=False)
        targets[rare, 11] = 1
        fold = make_folds(names, targets, 5, seed)["fold"]
        assert sorted(fold[rare]) == [0, 1, 2, 3, 4]


def test_folds_are_those_of_the_seed() -> None:
    names, targets = skewed(200)
    pd.testing.assert_frame_equal(make_folds(names, targets, 5, seed=1), make_folds(names, targets, 5, seed=1))
    assert (make_folds(names, targets, 5, seed=1)["fold"] != make_folds(names, targets, 5, seed=2)["fold"]).any()


def test_global_random_state_has_no_part_in_folds() -> None:
    names, targets = skewed(100)
    np.random.seed(1)  # noqa: NPY002 (the state that others share)
    first = make_folds(names, targets, 4, seed=0)
    np.random.seed(2)  # noqa: NPY002
    pd.testing.assert_frame_equal(make_folds(names, targets, 4, seed=0), first)


def test_tiles_without_tags_are_spread_too() -> None:
    names, targets = skewed(200)
    targets[:100] = 0
    fold = make_folds(names, targets, 5, seed=0)["fold"]
    assert fold[:100].value_counts().between(12, 28).all()
    assert sorted(make_folds(names, np.zeros_like(targets), 5, seed=0)["fold"].unique()) == [0, 1, 2, 3, 4]


def test_single_tag_is_spread_too() -> None:
    targets = np.zeros((60, 1), dtype=np.uint8)
    targets[:20] = 1
    fold = make_folds(names_of(60), targets, 5, seed=0)["fold"]
    assert fold[:20].value_counts().tolist() == [4] * 5
    assert fold.value_counts().tolist() == [12] * 5


@pytest.mark.parametrize("folds", [-1, 0, 1, 8])
def test_impossible_numbers_of_folds_are_refused(folds: int) -> None:
    with refused(option="data.n_folds", says=[f"{folds} folds", "7 tiles"]):
        make_folds(names_of(7), np.ones((7, 2), dtype=np.uint8), folds, seed=0)


def test_worst_deviation_by_hand() -> None:
    targets = np.array([[1, 1, 0]] * 2 + [[1, 0, 0]] * 2, dtype=np.uint8)
    # The second tag: half of all tiles; with one in each fold, half again; with both in one, all or none.
    assert worst_deviation(targets, pd.Series([0, 1, 0, 1])) == 0
    assert worst_deviation(targets, pd.Series([0, 0, 1, 1])) == 1
    assert worst_deviation(targets, pd.Series([0, 1, 1, 1])) == pytest.approx(1)
    assert worst_deviation(np.zeros((4, 3), dtype=np.uint8), pd.Series([0, 0, 1, 1])) == 0


def test_tag_deviations_by_hand() -> None:
    targets = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=np.uint8)
    table = tag_deviations(targets, ["all", "one", "none"], pd.Series([4, 4, 7, 7]))
    assert table.columns.tolist() == ["all", "one"]
    assert table.index.tolist() == [4, 7]
    assert table.to_numpy().tolist() == [[0, 1], [0, -1]]


# ---------------------------------------------------------------- scenes


def in_scenes(tiles: int, seed: int = 0) -> tuple["pd.Series[str]", npt.NDArray[np.uint8], npt.NDArray[np.intp]]:
    """Tags that go with the scene, and scenes of one to some forty tiles."""
    rng = np.random.default_rng(seed)
    scene = np.repeat(np.arange(tiles), rng.geometric(0.15, tiles))[:tiles]
    chance = np.geomspace(0.5, 1 / 60, 12) * rng.gamma(0.5, 2, (tiles, 12))[scene]
    order = rng.permutation(tiles)
    return names_of(tiles), (rng.random((tiles, 12)) < chance).astype(np.uint8)[order], scene[order]


@given(
    st.integers(2, 40).flatmap(
        lambda tiles: st.tuples(
            hnp.arrays(np.intp, tiles, elements=st.integers(-3, 12)),
            hnp.arrays(np.uint8, (tiles, 3), elements=st.integers(0, 1)),
        )
    ),
    st.integers(2, 5),
    st.integers(0, 99),
)
def test_no_scene_is_ever_split(
    drawn: tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]], folds: int, seed: int
) -> None:
    scene, targets = drawn
    names, present = names_of(len(scene)), len(np.unique(scene))
    if present < folds:
        with refused(option="data.n_folds", says=[f"{folds} folds", f"{present} scenes"]):
            make_folds_by_scene(names, targets, scene, folds, seed)
        return
    table = make_folds_by_scene(names, targets, scene, folds, seed)
    assert table["image_name"].tolist() == names.tolist()
    assert sorted(table["fold"].unique()) == list(range(folds))
    assert all(len(set(folds_of)) == 1 for _, folds_of in table["fold"].groupby(scene))
    pd.testing.assert_frame_equal(make_folds_by_scene(names, targets, scene, folds, seed), table)


def test_scenes_are_spread_far_more_evenly_than_by_chance() -> None:
    names, targets, scene = in_scenes(3000)
    fold = make_folds_by_scene(names, targets, scene, 5, seed=0)["fold"]
    by_chance = [np.random.default_rng(seed).permutation(scene.max() + 1)[scene] % 5 for seed in range(10)]
    assert worst_deviation(targets, fold) < min(worst_deviation(targets, pd.Series(f)) for f in by_chance) / 3
    assert np.abs(fold.value_counts() - 600).max() < 30


def test_scenes_of_one_tile_are_spread_as_evenly_as_tiles() -> None:
    names, targets = skewed(1200)
    by_scene = make_folds_by_scene(names, targets, np.arange(1200), 5, seed=0)["fold"]
    assert (
        worst_deviation(targets, by_scene) <= worst_deviation(targets, make_folds(names, targets, 5, 0)["fold"]) * 1.5
    )
    assert np.abs(by_scene.value_counts() - 240).max() <= 6


def test_another_seed_makes_other_folds_of_scenes() -> None:
    names, targets, scene = in_scenes(500)
    first, second = (make_folds_by_scene(names, targets, scene, 5, seed)["fold"] for seed in (1, 2))
    assert (first != second).any()


def test_huge_scene_stays_whole_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    names, targets = skewed(100)
    scene = np.where(np.arange(100) < 60, 0, np.arange(100))
    fold = make_folds_by_scene(names, targets, scene, 4, seed=0)["fold"]
    assert len(set(fold[:60])) == 1
    assert len(set(fold)) == 4
    assert "one scene holds 60 of the 100 tiles, more than the share of a fold" in caplog.text


@given(st.data())
def test_leaking_tiles_are_those_that_touch_another_fold(data: st.DataObject) -> None:
    tiles = data.draw(st.integers(1, 20))
    position = st.integers(0, tiles - 1)
    fold = pd.Series(data.draw(hnp.arrays(np.int64, tiles, elements=st.integers(0, 3))))
    pairs = data.draw(hnp.arrays(np.intp, st.tuples(st.integers(0, 30), st.just(2)), elements=position))
    expected = [any(tile in (a, b) and fold[a] != fold[b] for a, b in pairs.tolist()) for tile in range(tiles)]
    assert leaking(fold, pairs).tolist() == expected


# ---------------------------------------------------------------- files


def test_folds_come_back_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    names, targets = skewed(50)
    table = make_folds(names, targets, 5, seed=0)
    write_table(tmp_path / "folds.csv", table)
    back = read_folds(tmp_path / "folds.csv", names)
    assert back.tolist() == table["fold"].tolist()
    other = names.iloc[np.random.default_rng(0).permutation(50)]
    again = read_folds(tmp_path / "folds.csv", other)
    assert again.index.equals(other.index)
    assert dict(zip(other, again, strict=True)) == dict(zip(names, table["fold"], strict=True))


def test_names_like_numbers_or_gaps_stay_text(tmp_path: Path) -> None:
    names = pd.Series(["007", "7", "NA", "1e3"])
    write_table(tmp_path / "f.csv", pd.DataFrame({"image_name": names, "fold": [0, 1, 2, 3]}))
    assert read_folds(tmp_path / "f.csv", names).tolist() == [0, 1, 2, 3]


GOOD = "image_name,fold\na,0\nb,1\nc,0\n"


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (GOOD.replace("b,1\n", ""), ["1", "b"]),
        (GOOD + "d,1\n", ["1", "d"]),
        (GOOD + "b,1\n", ["b"]),
        (GOOD.replace("b,1", "b,-2"), ["b", "-2", "-1"]),
        (GOOD.replace("b,1", "b,one"), ["image_name", "fold", "'one'"]),
        (GOOD.replace("b,1", "b,1.5"), ["image_name", "fold", "'1.5'"]),
        (GOOD.replace("b,1", "b,"), ["image_name", "fold", "''"]),
        (GOOD.replace("b,1", "b,99999999999999999999"), ["image_name", "fold"]),
        (GOOD.replace("fold", "part"), ["image_name", "'fold'"]),
        ("", ["image_name", "fold"]),
        ("\x00\x01\x02", ["image_name", "fold"]),
    ],
)
def test_broken_folds_are_refused_with_the_path(tmp_path: Path, content: str, values: list[str]) -> None:
    path = tmp_path / "folds.csv"
    path.write_text(content)
    with refused(file=path, says=values):
        read_folds(path, pd.Series(["a", "b", "c"]))


def test_missing_folds_are_refused(tmp_path: Path) -> None:
    with refused(file=tmp_path / "folds.csv"):
        read_folds(tmp_path / "folds.csv", names_of(3))
    with refused(file=tmp_path):
        read_folds(tmp_path, names_of(3))
