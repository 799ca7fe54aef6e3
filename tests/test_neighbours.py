"""Tiles that touch: planted in mosaics, denied where nothing shows, kept in files, and seen by folds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_tiles import tifs, values, write_tif
from PIL import Image
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.tiles import list_tiles
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.folds.borders import (
    LARGEST_RATIO,
    Lines,
    _best_other,
    _dissimilarity,
    match_borders,
    ratio_limit,
    read_borders,
)
from amazon_ml.data.folds.folds import read_folds
from amazon_ml.data.folds.neighbours import find_neighbours, saved_neighbours, scenes, touching

Picture = npt.NDArray[np.uint8]
TAGS = ("clear primary", "clear primary water", "haze primary", "clear agriculture primary")


def paint_scene(height: int, width: int, rng: np.random.Generator) -> Picture:
    """Ground of many scales: fractal brightness, slower colour, the grain of a sensor."""
    around = 256  # the noise repeats at its edges, so some of it is cut off
    shape = height + around, width + around
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))

    def fractal(steepness: float) -> npt.NDArray[np.float64]:
        spectrum = np.fft.rfft2(rng.standard_normal(shape)) * np.maximum(frequency, 1 / 512) ** -steepness
        noise = np.fft.irfft2(spectrum, shape)[:height, :width]
        return np.asarray((noise - noise.mean()) / noise.std())

    ground = np.array([70, 80, 65]) + rng.normal(0, 8, 3)
    brightness = fractal(rng.uniform(1, 1.8))[..., None] * rng.uniform(6, 16)
    colour = fractal(1.8)[..., None] * rng.normal(0, 4, 3)
    grain = rng.normal(0, 2, (height, width, 3))
    return np.clip(ground + brightness + colour + grain, 0, 255).astype(np.uint8)


def save_tile(path: Path, picture: Picture) -> None:
    """Write a JPEG of four components, as the competition's are."""
    cmyk = np.concatenate([255 - picture, np.zeros_like(picture[..., :1])], axis=-1)
    Image.fromarray(cmyk, "CMYK").save(path, "JPEG", quality=80, subsampling=0)


@dataclass(frozen=True)
class Mosaic:
    """A folder of tiles cut from scenes, and (name, "right" or "below", name) of those that touch."""

    folder: Path
    touching: set[tuple[str, str, str]]

    @property
    def tiles(self) -> pd.DataFrame:
        return list_tiles([self.folder / "train-jpg"])


def write_mosaic(folder: Path, size: int, *, scenes: int, side: int, strangers: int, seed: int = 0) -> Mosaic:
    rng = np.random.default_rng(seed)
    cut: list[tuple[tuple[int, int, int], Picture]] = []
    for number in range(scenes):
        scene = paint_scene(side * size, side * size, rng)
        for y, x in np.ndindex(side, side):
            cut.append(((number, y, x), scene[y * size : (y + 1) * size, x * size : (x + 1) * size]))
    cut += [((-1 - i, 0, 0), paint_scene(size, size, rng)) for i in range(strangers)]
    (folder / "train-jpg").mkdir(parents=True)
    names = {}
    rows = ["image_name,tags"]
    for i, at in enumerate(rng.permutation(len(cut))):
        place, picture = cut[at]
        names[place] = f"train_{i}"
        save_tile(folder / "train-jpg" / f"train_{i}.jpg", picture)
        rows.append(f"train_{i},{TAGS[int(rng.integers(len(TAGS)))]}")
    (folder / "train_v2.csv").write_text("\n".join(rows))
    joined = {
        (name, where, names[other])
        for (scene_number, y, x), name in names.items()
        for where, other in (("right", (scene_number, y, x + 1)), ("below", (scene_number, y + 1, x)))
        if other in names
    }
    return Mosaic(folder, joined)


def claimed(neighbours: pd.DataFrame) -> set[tuple[str, str, str]]:
    return {
        (name, where, other)
        for where in ("right", "below")
        for name, other in zip(neighbours["image_name"], neighbours[where], strict=True)
        if other
    }


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    """Three scenes of 5 x 5 tiles of 160 px, and 25 tiles of which no other is the neighbour."""
    return write_mosaic(tmp_path_factory.mktemp("mosaic"), 160, scenes=3, side=5, strangers=25)


@pytest.fixture(scope="module")
def small_mosaic(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    return write_mosaic(tmp_path_factory.mktemp("small"), 64, scenes=3, side=6, strangers=40)


# ---------------------------------------------------------------- finding


def test_planted_neighbours_are_found_and_no_others(mosaic: Mosaic) -> None:
    found = claimed(find_neighbours(mosaic.tiles))
    assert len(mosaic.touching) == 120
    right = len(found & mosaic.touching)
    assert right / len(mosaic.touching) >= 0.99
    assert right / len(found) >= 0.99


def test_short_borders_find_fewer_neighbours_but_hardly_a_wrong_one(small_mosaic: Mosaic) -> None:
    found = claimed(find_neighbours(small_mosaic.tiles))
    right = len(found & small_mosaic.touching)
    assert right / len(small_mosaic.touching) >= 0.8
    assert right / len(found) >= 0.98


def test_neighbours_are_given_tile_by_tile_with_how_well_they_fit(mosaic: Mosaic) -> None:
    table = find_neighbours(mosaic.tiles)
    assert list(table.columns) == ["image_name", "right", "right_ratio", "below", "below_ratio"]
    assert table["image_name"].tolist() == mosaic.tiles["image_name"].tolist()
    for where in ("right", "below"):
        has = table[where] != ""
        assert table.loc[has, where].is_unique
        assert table.loc[has, f"{where}_ratio"].between(0, LARGEST_RATIO).all()
        assert table.loc[~has, f"{where}_ratio"].isna().all()


def featureless(kind: str, rng: np.random.Generator) -> Iterator[Picture]:
    for i in range(60):
        if kind == "cloud":  # saturated, nearly
            yield np.clip(rng.normal(254, 1, (64, 64, 3)), 0, 255).astype(np.uint8)
        elif kind == "one colour":
            yield np.full((64, 64, 3), 90, dtype=np.uint8)
        elif kind == "a colour each":
            # In pairs of one colour: that the two are alike is no evidence that they touch.
            yield np.full((64, 64, 3), [60 + i // 2 * 4, 200 - i // 2 * 4, 80], dtype=np.uint8)
        elif kind == "forest":  # crowns without a mark, nothing of which is wider than a pixel
            yield np.clip(rng.normal((40, 60, 45), 8, (64, 64, 3)), 0, 255).astype(np.uint8)
        else:  # brighter downwards, each alike
            yield np.repeat(np.linspace(80, 120, 64), 64 * 3).reshape(64, 64, 3).astype(np.uint8)


@pytest.mark.parametrize("kind", ["cloud", "one colour", "a colour each", "forest", "slope"])
def test_borders_without_features_are_claimed_by_none(tmp_path: Path, kind: str) -> None:
    for i, picture in enumerate(featureless(kind, np.random.default_rng(0))):
        save_tile(tmp_path / f"{i}.jpg", picture)
    assert claimed(find_neighbours(list_tiles([tmp_path]))) == set()


def test_clouds_do_not_hinder_those_that_show_something(tmp_path: Path, small_mosaic: Mosaic) -> None:
    for i, picture in enumerate(featureless("cloud", np.random.default_rng(0))):
        save_tile(tmp_path / f"cloud_{i}.jpg", picture)
    tiles = pd.concat([small_mosaic.tiles, list_tiles([tmp_path])], ignore_index=True)
    found = claimed(find_neighbours(tiles))
    assert not any("cloud" in name + other for name, _, other in found)
    assert len(found & small_mosaic.touching) / len(small_mosaic.touching) >= 0.8


@pytest.mark.parametrize("tiles", [0, 1, 2])
def test_few_tiles_are_no_trouble(mosaic: Mosaic, tiles: int) -> None:
    assert len(find_neighbours(mosaic.tiles.head(tiles))) == tiles


def test_tile_never_touches_itself(tmp_path: Path) -> None:
    wave = 90 + 60 * np.sin(np.arange(64) * 2 * np.pi / 64)  # goes on beyond each border where it began
    rng = np.random.default_rng(0)
    for i in range(8):
        scene = np.clip(wave[:, None, None] + rng.normal(0, 10, (64, 1, 3)), 0, 255)
        save_tile(tmp_path / f"{i}.jpg", np.broadcast_to(scene, (64, 64, 3)).astype(np.uint8))
    assert not any(name == other for name, _, other in claimed(find_neighbours(list_tiles([tmp_path]))))


# ---------------------------------------------------------------- the steps


def random_lines(tiles: int, size: int, seed: int) -> Lines:
    return np.random.default_rng(seed).integers(256, size=(tiles, 2, size, 3), dtype=np.uint8)


def test_dissimilarity_is_that_of_the_paper_pixel_by_pixel() -> None:
    first, second = random_lines(4, 20, 0), random_lines(4, 20, 1)
    i, j = np.divmod(np.arange(16), 4)
    expected = []
    for a, b in zip(first[i].astype(float), second[j].astype(float), strict=True):
        total = 0.0
        for own, other in ((a, b), (b, a)):
            last = own[0] - own[1]
            inverse = np.linalg.inv(np.cov(last.T, bias=True) + 9 * np.eye(3))
            for pixel in other[0] - own[0] - last.mean(axis=0):
                total += pixel @ inverse @ pixel / 20
        expected.append(total)
    np.testing.assert_allclose(_dissimilarity(first, second, i, j), expected, rtol=1e-3)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=30))
def test_best_other_is_the_least_of_the_rest_of_the_group(entries: list[tuple[int, int]]) -> None:
    group = np.array([g for g, _ in entries], dtype=np.intp)
    value = np.array([v for _, v in entries], dtype=np.float32)
    expected = [
        min((v for at, (h, v) in enumerate(entries) if h == g and at != own), default=np.inf)
        for own, (g, _) in enumerate(entries)
    ]
    assert _best_other(group, value).tolist() == expected


def test_matches_are_mutual_and_mirrored_lines_are_seen_as_such() -> None:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.integers(-9, 10, (20, 1, 64, 3)), axis=2) + 120
    first = np.clip(np.repeat(smooth, 2, axis=1) + rng.integers(-2, 3, (20, 2, 64, 3)), 0, 255).astype(np.uint8)
    order = np.roll(np.arange(20), 1)
    forward = match_borders(first, first[order])
    assert not forward["mirrored"].any()
    assert (order[forward["second"]] == forward["first"]).all() and len(forward) == 20
    backward = match_borders(first, first[order, :, ::-1])
    assert backward["mirrored"].all()
    assert (order[backward["second"]] == backward["first"]).all() and len(backward) == 20


def test_limit_leaves_two_mirrored_pairs_to_a_hundred_others() -> None:
    def limit(mirrored: list[float], others: list[float]) -> float:
        flags = [True] * len(mirrored) + [False] * len(others)
        return ratio_limit(pd.DataFrame({"ratio": [*mirrored, *others], "mirrored": flags}))

    hundred = np.linspace(0.1, 0.5, 100).tolist()
    assert limit([], hundred) == LARGEST_RATIO
    assert limit([0.95], hundred) == LARGEST_RATIO
    assert limit([0.6, 0.7], hundred) == LARGEST_RATIO
    assert limit([0.6, 0.65, 0.7], hundred) == 0.65
    assert limit([0.05], hundred) == pytest.approx(0.5)
    assert limit([0.05, 0.05, 0.05], hundred) == 0
    assert limit([], []) == LARGEST_RATIO


@pytest.mark.parametrize("broken", ["cut short", "empty", "missing", "other size", "oblong"])
def test_unfit_tile_is_refused_by_name(tmp_path: Path, broken: str) -> None:
    for i in range(4):
        save_tile(tmp_path / f"{i}.jpg", paint_scene(32, 32, np.random.default_rng(i)))
    tiles = list_tiles([tmp_path])
    path = tmp_path / "2.jpg"
    if broken == "cut short":
        path.write_bytes(path.read_bytes()[:300])
    elif broken == "empty":
        path.write_bytes(b"")
    elif broken == "missing":
        path.unlink()
    else:
        save_tile(path, paint_scene(48, 48 if broken == "other size" else 32, np.random.default_rng(9)))
    with refused(file=path):
        find_neighbours(tiles)


def test_tifs_are_refused_with_what_to_do(tmp_path: Path) -> None:
    """Before any file is read; folds by tags can be examined, without what touching tiles would tell."""
    root = tifs(tmp_path, values)
    tiles = list_tiles([root / "tiles"])
    with refused(file="t0.tif", option="data.fold_by"):
        find_neighbours(tiles)
    out = [f"--folds={tmp_path / 'folds.csv'}", f"--json={tmp_path / 'f.json'}"]
    call = ["data", "folds", str(root), "--n_folds=2", *out]
    assert main([*call, "--by=scenes"]) == 2
    assert main(call) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["tiles"] == 12 and figures["leakage"] is None and figures["pairs"] is None
    assert [record["leakage"] for record in figures["folds"]] == [None, None]


def test_folds_of_tiles_with_a_file_for_each_band(tmp_path: Path) -> None:
    for i in range(6):
        for band in ("B02", "B03"):
            write_tif(tmp_path / f"set/t{i}/t{i}_{band}.tif", values(i, 1))
    rows = [f"t{i},{'forest' if i % 2 else 'river field'}" for i in range(6)]
    (tmp_path / "set/labels.csv").write_text("\n".join(["image,tags", *rows, ""]))
    call = ["data", "folds", str(tmp_path / "set"), "--n_folds=2", f"--folds={tmp_path / 'folds.csv'}"]
    assert main([*call, "--files={name}/{name}_{band}.tif", "--bands=[B02, B03]"]) == 0
    assert sorted(pd.read_csv(tmp_path / "folds.csv")["image_name"]) == [f"t{i}" for i in range(6)]


def test_tiny_tiles_are_refused(tmp_path: Path) -> None:
    save_tile(tmp_path / "a.jpg", paint_scene(8, 8, np.random.default_rng(0)))
    with refused(file=tmp_path / "a.jpg", says=["8 px", "16 px"]):
        read_borders([str(tmp_path / "a.jpg")])


# ---------------------------------------------------------------- the table


def tiles_named(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"image_name": names, "path": ""})


def test_kept_table_is_read_instead_of_finding_anew(tmp_path: Path, small_mosaic: Mosaic) -> None:
    tiles, path = small_mosaic.tiles, tmp_path / "new" / "neighbours.csv"
    first = saved_neighbours(path, tiles)
    assert claimed(first) == claimed(find_neighbours(tiles))
    again = saved_neighbours(path, tiles.assign(path="not looked at"))
    pd.testing.assert_frame_equal(again, first)


def test_names_like_numbers_or_gaps_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("image_name,right,right_ratio,below,below_ratio\n007,NA,0.1,7,0.2\nNA,,,,\n7,,,,\n")
    table = saved_neighbours(path, tiles_named("007", "NA", "7"))
    assert sorted(touching(table).tolist()) == [[0, 1], [0, 2]]


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("image_name,right,below\na,b,\n", ["b"]),
        ("image_name,right,below\nb,,\na,,\n", []),
        ("image_name,right,below\na,c,\nb,,\n", ["c"]),
        ("image_name,right\na,b\nb,\n", ["'below'"]),
        ("", []),
        ("\x00\x01", ["'image_name'"]),
    ],
)
def test_table_of_other_tiles_is_refused(tmp_path: Path, content: str, values: list[str]) -> None:
    path = tmp_path / "neighbours.csv"
    path.write_text(content)
    with refused(file=path, says=values):
        saved_neighbours(path, tiles_named("a", "b"))


@settings(max_examples=30)
@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), hnp.arrays(
    np.int64, st.tuples(st.integers(0, 40), st.just(2)), elements=st.integers(0, n - 1)))))  # fmt: skip
def test_scenes_are_the_connected_components(drawn: tuple[int, npt.NDArray[np.int64]]) -> None:
    tiles, pairs = drawn
    ours = scenes(tiles, pairs)
    reached = np.eye(tiles, dtype=bool)
    reached[pairs[:, 0], pairs[:, 1]] = reached[pairs[:, 1], pairs[:, 0]] = True
    for _ in range(5):  # twice as far each time: 32 steps, more than there are tiles
        reached = reached @ reached
    assert ours.tolist() == reached.argmax(axis=1).tolist()


# ---------------------------------------------------------------- folds and the command


def split_pairs(mosaic: Mosaic, folds: Path) -> int:
    fold = pd.read_csv(folds).set_index("image_name")["fold"]
    return sum(fold[name] != fold[other] for name, _, other in mosaic.touching)


def test_command_makes_folds_by_scene_that_do_not_leak(
    mosaic: Mosaic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["data", "folds", str(mosaic.folder), "--n_folds=3", "--folds"]
    for by in ("tags", "scenes"):
        figures_file, folds = tmp_path / f"{by}.json", tmp_path / f"{by}.csv"
        assert main([*call, str(folds), f"--by={by}", f"--json={figures_file}"]) == 0
        figures = json.loads(figures_file.read_text())
        shown = capsys.readouterr().out
        assert "120 pairs of tiles are known to touch; the largest scene has 25 tiles" in shown
        assert (figures["pairs"], figures["largest_scene"], figures["tiles"]) == (120, 25, 100)
        assert [record["fold"] for record in figures["folds"]] == [0, 1, 2]
        if by == "scenes":
            assert split_pairs(mosaic, folds) == 0
            assert figures["leakage"] == 0
        else:
            # Each tile of a scene has two to four neighbours, each held out with it once in three times.
            assert split_pairs(mosaic, folds) > 60
            assert 0.5 < figures["leakage"] < 0.75
            assert f"{figures['leakage']:.2%}" in shown
    assert sorted(path.name for path in mosaic.folder.iterdir()) == ["train-jpg", "train_v2.csv"]


def test_command_examines_folds_that_are_there(mosaic: Mosaic, tmp_path: Path) -> None:
    names = mosaic.tiles["image_name"]
    one = next(iter(mosaic.touching))
    folds = tmp_path / "folds.csv"
    pd.DataFrame({"image_name": names, "fold": (names == one[0]).astype(int)}).to_csv(folds, index=False)
    before = folds.read_bytes()
    assert main(["data", "folds", str(mosaic.folder), f"--folds={folds}", f"--json={tmp_path / 'f.json'}"]) == 0
    assert folds.read_bytes() == before
    figures = json.loads((tmp_path / "f.json").read_text())
    around = sum(one[0] in (name, other) for name, _, other in mosaic.touching)
    assert figures["leakage"] == pytest.approx((around + 1) / 100)
    assert figures["folds"][1]["leakage"] == 1
    assert abs(figures["folds"][1]["deviation"]) >= 1  # of one tile: some tags on it, others not


def test_command_refuses_folds_of_other_tiles(
    mosaic: Mosaic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folds.csv").write_text("image_name,fold\ntrain_0,0\n")
    assert main(["data", "folds", str(mosaic.folder), f"--folds={tmp_path / 'folds.csv'}"]) == 2
    assert holds(capsys.readouterr().err, tmp_path / "folds.csv", 99)


def test_command_makes_folds_of_the_tiles_that_will_be_trained_on(mosaic: Mosaic, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text(f"image_name\n{mosaic.tiles['image_name'][3]}\n")
    out, folds = ["--exclude", str(tmp_path / "out.csv")], tmp_path / "folds.csv"
    assert main(["data", "folds", str(mosaic.folder), f"--folds={folds}", *out]) == 0
    kept = read_catalog(mosaic.folder, ReadingConfig(exclude=str(tmp_path / "out.csv"))).labelled["image_name"]
    assert len(read_folds(folds, kept)) == len(mosaic.tiles) - 1


def test_command_refuses_a_seed_out_of_range(
    mosaic: Mosaic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "folds", str(mosaic.folder), f"--folds={tmp_path / 'folds.csv'}", "--seed=-1"]) == 2
    assert "--seed must be in 0..2**32 - 1" in capsys.readouterr().err


@settings(max_examples=5)
@given(st.integers(0, 2**31))
def test_data_module_holds_whole_scenes_out(
    mosaic: Mosaic, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    data = PlanetDataModule(
        str(mosaic.folder),
        folds_file=str(folder / "folds.csv"),
        bands_file=str(folder / "bands.json"),
        n_folds=3,
        fold_by="scenes",
        seed=seed,
    )
    data.prepare_data()
    data.setup()
    assert split_pairs(mosaic, folder / "folds.csv") == 0
    assert (folder / "neighbours.csv").exists()
    assert 20 <= len(data.valid_rows) <= 50
