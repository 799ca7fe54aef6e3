"""Tags of tiles: those of all points in a tile and of all polygons that cover enough of it, against loops over all."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from refused import holds, refused

from amazon_ml.scenes.config import CutConfig
from amazon_ml.scenes.grid import Grid, place_windows
from amazon_ml.scenes.labelling import Labelled, label_tiles
from amazon_ml.scenes.squares import hold_a_point
from amazon_ml.scenes.vectors import Feature, Features, read_features

Points = npt.NDArray[np.float64]
GRID = Grid("", 0.0, 300.0, 1.0, 1.0, 400, 300)


def point(tags: str, *at: tuple[float, float]) -> Feature:
    """Make a feature of points by row and column."""
    return Feature(np.array([[column, GRID.top - row] for row, column in at]), (), {"tags": tags})


def box(tags: str, top: int, left: int, height: int, width: int) -> Feature:
    corners = [(top, left), (top, left + width), (top + height, left + width), (top + height, left), (top, left)]
    ring = np.array([[column, GRID.top - row] for row, column in corners], dtype=np.float64)
    return Feature(np.zeros((0, 2)), ((ring,),), {"tags": tags})


def label(*features: Feature, size: int = 64, stride: int = 64) -> Labelled:
    found = Features(Path("labels.geojson"), "", features)
    return label_tiles(found, GRID, place_windows(GRID, size, stride), CutConfig(size=size))


def tags_of(labelled: Labelled) -> dict[tuple[int, int], str]:
    return {place: " ".join(tags) for place, tags in zip(labelled.places, labelled.tags, strict=True)}


def test_tiles_of_neighbouring_points_have_the_tags_of_both() -> None:
    found = label(point("road", (100, 100)), point("house", (100, 110)), point("mine", (100, 140)))
    assert tags_of(found) == {(68, 68): "house road", (68, 78): "house mine road", (68, 108): "house mine"}


def test_a_point_gives_its_tags_to_the_windows_of_polygons_and_gets_those_of_polygons() -> None:
    found = label(box("forest", 0, 0, 128, 128), box("river", 60, 60, 8, 8), point("road", (100, 100)))
    assert tags_of(found) == {
        (0, 0): "forest", (0, 64): "forest", (64, 0): "forest", (64, 64): "forest road", (68, 68): "forest road",
    }  # fmt: skip
    small = label(box("river", 90, 90, 8, 8), point("road", (100, 100)))  # wholly in both tiles
    assert tags_of(small) == {(64, 64): "river road", (68, 68): "river road"}


@pytest.mark.parametrize(("size", "stride"), [(16, 16), (32, 20)])
def test_tags_are_those_of_a_loop_over_all_tiles_and_features(size: int, stride: int) -> None:
    rng = np.random.default_rng(size)
    places = np.round(rng.random((150, 2)) * (299, 399), 1)
    points = [point(f"p{at % 7} q{at % 2}", (row, column)) for at, (row, column) in enumerate(places.tolist())]
    sizes = rng.integers([0, 0, 2, 2], [260, 360, 40, 40], size=(40, 4)).tolist()
    boxes = [box(f"b{at % 5}", *one) for at, one in enumerate(sizes)]
    windows = place_windows(GRID, size, stride)
    found = tags_of(label(*points, *boxes, size=size, stride=stride))
    expected = {}
    around = {
        tuple(np.clip(np.rint(place - size / 2), 0, (300 - size, 400 - size)).astype(int).tolist()) for place in places
    }
    grid = {(row, column) for row in windows.down.starts.tolist() for column in windows.across.starts.tolist()}
    for row, column in around | grid:
        tags, is_labelled = set(), (row, column) in around
        for at, (top, left, height, width) in enumerate(sizes):
            down = min(row + size, top + height) - max(row, top)
            across = min(column + size, left + width) - max(column, left)
            inside = max(0, down) * max(0, across)
            if inside and (inside >= 0.25 * size**2 or inside >= 0.5 * height * width):
                tags.add(f"b{at % 5}")
                is_labelled = True
        for at, (y, x) in enumerate(places.tolist()):
            if row <= y < row + size and column <= x < column + size:
                tags |= {f"p{at % 7}", f"q{at % 2}"}
        if is_labelled:
            expected[row, column] = " ".join(sorted(tags))
    assert found == expected and len(found) > 150


@pytest.mark.parametrize(("most", "size"), [(9, 4), (60, 8), (1000, 7)])
def test_squares_that_hold_a_point_against_each_with_each(most: int, size: int) -> None:
    rng = np.random.default_rng(most)
    for count in (0, 1, 40):
        corners, points = rng.integers(0, most, (80, 2)), rng.integers(0, most, (count, 2))
        apart = points[None] - corners[:, None]
        expected = ((apart >= 0) & (apart < size)).all(axis=-1).any(axis=-1)
        assert np.array_equal(hold_a_point(corners, points, size), expected)


def test_a_hundred_thousand_points_close_together_are_labelled_in_seconds() -> None:
    rng = np.random.default_rng(0)
    points = [point(f"t{at % 20}", place) for at, place in enumerate((rng.random((100_000, 2)) * (299, 399)).tolist())]
    began = time.process_time()
    found = label(*points, box("forest", 0, 0, 300, 400))
    assert time.process_time() - began < 30  # each tile with each point would take many minutes
    assert len(found.places) > 40_000 and found.tags[0] == (*sorted(["forest", *(f"t{at}" for at in range(20))]),)


# ---------------------------------------------------------------- lists of tags


def write(path: Path, tags: object) -> Features:
    feature = {"type": "Feature", "properties": {"tags": tags}, "geometry": {"type": "Point", "coordinates": [9, 9]}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return read_features(path, "labels")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["road", "water"], ("road", "water")), (["bare ground"], ("bare ground",)), (["wälder", "a"], ("a", "wälder")),
        ('["road", "water"]', ("road", "water")),  # as GDAL writes a list into a GeoPackage
        ("road [new]", ("[new]", "road")),
    ],
)  # fmt: skip
def test_a_list_of_texts_holds_tags(tmp_path: Path, tags: object, expected: tuple[str, ...]) -> None:
    features = write(tmp_path / "a.geojson", tags)
    assert label_tiles(features, GRID, place_windows(GRID, 64, 64), CutConfig(size=64)).tags == (expected,)


@pytest.mark.parametrize("tags", [["road", 3], [["road"]], {"road": 1}, [None], [], [1, 2], {}])
def test_other_lists_and_objects_are_refused(tmp_path: Path, tags: object) -> None:
    features = write(tmp_path / "a.geojson", tags)
    with refused(file=tmp_path / "a.geojson", option="tags_column"):
        label_tiles(features, GRID, place_windows(GRID, 64, 64), CutConfig(size=64))


# ---------------------------------------------------------------- separators, and features without geometry


def write_points(path: Path, tags: Sequence[object], without: Sequence[int] = ()) -> Features:
    """Write a point for each feature, without geometry where its number says so."""
    listed = [
        {"type": "Feature", "properties": {"tags": one},
         "geometry": None if number in without else {"type": "Point", "coordinates": [9 * number, 9]}}
        for number, one in enumerate(tags, start=1)
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": listed}))
    return read_features(path, "labels")


@pytest.mark.parametrize(
    ("tags", "separator", "says"),
    [
        (["forest, water", "road"], None, ["','", "`tag_separator`"]),
        (["road", "forest;water"], None, ["';'", "`tag_separator`"]),
        (["road", "forest / water"], None, ["'/'", "`tag_separator`"]),
        (["road", "forest|water"], ",", ["'|'", "`tag_separator`"]),
        (["forest", "water", "forest water"], ",", ["','", "`tag_separator`"]),
        ([["road"], ["forest", "forest|water"]], None, ["'|'"]),
        (["forest and water"], None, []),
    ],
)
def test_tags_that_look_like_several_are_refused(
    tmp_path: Path, tags: list[object], separator: str | None, says: list[str]
) -> None:
    features = write_points(tmp_path / "a.geojson", tags)
    how = CutConfig(size=64, tag_separator=separator)
    with refused(file=tmp_path / "a.geojson", option="tag_separator", says=says) as caught:
        label_tiles(features, GRID, place_windows(GRID, 64, 64), how)
    assert "data." not in caught.value.remedy
    assert isinstance(tags[-1], str) or ("a list" not in caught.value.remedy and "[" not in caught.value.remedy)


@pytest.mark.parametrize(
    ("tags", "separator"),
    [
        (["forest, water", "road"], ","),
        (["Developed, Open Space; road", "road"], ";"),
        ([["Developed, Open Space"], "road"], None),
        ([1, 2, "3 1"], None),
        (["road", '["Grass/Herbaceous", "road"]'], None),
    ],
)
def test_tags_with_the_right_separator_and_lists_are_read(
    tmp_path: Path, tags: list[object], separator: str | None
) -> None:
    features = write_points(tmp_path / "a.geojson", tags)
    assert label_tiles(features, GRID, place_windows(GRID, 64, 64), CutConfig(size=64, tag_separator=separator)).tags


@pytest.mark.parametrize("tag", ["crops, pasture", "crops;pasture", "crops • soil"])
@pytest.mark.parametrize("separator", [None, ","])
def test_a_text_of_a_list_is_one_tag_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tag: str, separator: str | None
) -> None:
    features = write_points(tmp_path / "a.geojson", [["crops"], [tag], ["pasture"]])
    how = CutConfig(size=8, tag_separator=separator)
    found = label_tiles(features, GRID, place_windows(GRID, 8, 8), how)
    assert sorted(found.tags) == sorted([("crops",), (tag,), ("pasture",)])
    assert len(caplog.messages) == 1 and "feature 2" in caplog.text and tag in caplog.text


def test_features_without_geometry_are_counted_and_keep_the_numbers_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = write_points(tmp_path / "a.geojson", ["a", "b", "", "d"], without=(1, 2))
    assert [one.number for one in features.features] == [3, 4]
    (said,) = (record.getMessage() for record in caplog.records)
    assert holds(said, 2, "feature 1", "feature 2") and not holds(said, "feature 3")
    with refused(file=tmp_path / "a.geojson", option="tags_column", says="feature 3"):
        label_tiles(features, GRID, place_windows(GRID, 64, 64), CutConfig(size=64))
    caplog.clear()
    write_points(tmp_path / "a.geojson", ["a", "b"])
    assert not caplog.records
