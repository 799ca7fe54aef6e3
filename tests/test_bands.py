"""Bands by name, from JPGs and TIFs made here; references are computed from the arrays that were stored."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from conftest import TINY
from hypothesis import given
from hypothesis import strategies as st
from made_tiles import fitted_limits
from PIL import Image
from refused import holds, refused

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.layout import read_mapping
from amazon_ml.data.catalog.tiles import choose_files, list_tiles
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import RGB, TileReader, check_order, name_bands, parse_bands, read_bands
from amazon_ml.data.readers.images import resize
from amazon_ml.data.readers.reader_file import read_reader, write_reader
from amazon_ml.data.readers.tif import read_tif

SIZE = 24
LIMITS = {"r": (100.0, 4000.0), "g": (0.0, 4000.0), "b": (0.0, 5000.0), "n": (500.0, 9000.0)}


def write_tif(path: Path, bands: npt.NDArray[Any], **options: Any) -> Path:
    height, width, count = bands.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=bands.dtype,
        transform=rasterio.Affine(3, 0, 0, 0, -3, 0), **options,
    ) as file:  # fmt: skip
        file.write(np.moveaxis(bands, -1, 0))
    return path


def bgrn(seed: int = 0, size: int = SIZE) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 12000, size=(size, size, 4)).astype(np.uint16)


def write_jpg(path: Path, seed: int = 0, size: int = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(256, size=(size, size, 3), dtype=np.uint8)).save(path)
    return path


def by_hand(values: npt.NDArray[np.uint16], low: float, high: float) -> npt.NDArray[np.float64]:
    return np.clip(np.rint(255 * (values.astype(np.float64) - low) / (high - low)), 0, 255)


@pytest.mark.parametrize(
    ("named", "bands"),
    [
        ("rgb", ("r", "g", "b")),
        ("rgbn", ("r", "g", "b", "n")),
        ("nrg", ("n", "r", "g")),
        ("rgb+ndvi", ("r", "g", "b", "ndvi")),
        ("ndwi+ndvi", ("ndwi", "ndvi")),
        ("n", ("n",)),
        ("rgb+ndvi+n", ("r", "g", "b", "ndvi", "n")),
    ],
)
def test_bands_are_named_by_letters_and_indices(named: str, bands: tuple[str, ...]) -> None:
    assert parse_bands(named) == bands


@pytest.mark.parametrize("named", ["", "rgx", "rgb+", "+rgb", "ndv", "rgb ndvi", "RGB"])
def test_unknown_bands_are_refused_with_the_known_ones(named: str) -> None:
    with refused(option="data.bands", says=[repr(named), "rgbn", "ndvi", "ndwi"]):
        parse_bands(named)


@pytest.mark.parametrize(("named", "repeated"), [("rr", "r"), ("rgb+ndvi+ndvi", "ndvi"), ("nn+ndvi", "n")])
def test_repeated_bands_are_refused(named: str, repeated: str) -> None:
    with refused(option="data.bands", says=[repr(named), repeated]):
        parse_bands(named)


@pytest.mark.parametrize("options", [{}, {"compress": "lzw"}, {"compress": "deflate", "tiled": True, "blockxsize": 16,
                                     "blockysize": 16}, {"interleave": "band"}])  # fmt: skip
def test_a_tif_is_read_as_it_was_written(tmp_path: Path, options: dict[str, Any]) -> None:
    stored = bgrn()
    read = read_tif(write_tif(tmp_path / "tile.tif", stored, **options))
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, stored)


@pytest.mark.parametrize("length", [0, 4, 100, 2000])
def test_a_broken_tif_is_named(tmp_path: Path, length: int) -> None:
    path = write_tif(tmp_path / "tile.tif", bgrn())
    path.write_bytes(path.read_bytes()[:length])
    with refused(file=path):
        read_tif(path)


def test_a_jpg_with_the_ending_of_a_tif_is_refused(tmp_path: Path) -> None:
    write_jpg(tmp_path / "a.jpg").rename(tmp_path / "a.tif")
    with refused(file=tmp_path / "a.tif"):
        read_tif(tmp_path / "a.tif")


def test_a_missing_tif_is_named(tmp_path: Path) -> None:
    with refused(file=tmp_path / "none.tif", says=os.strerror(errno.ENOENT)):
        read_tif(tmp_path / "none.tif")


def test_bands_of_a_tif_are_scaled_by_their_limits(tmp_path: Path) -> None:
    stored = bgrn()
    path = str(write_tif(tmp_path / "tile.tif", stored))
    tile = TileReader(("r", "n", "b"), LIMITS, rgb_source="tif")(path)
    assert tile.dtype == np.uint8
    assert tile.shape == (SIZE, SIZE, 3)
    for channel, band in enumerate("rnb"):
        expected = by_hand(stored[..., "bgrn".index(band)], *LIMITS[band])
        assert np.abs(tile[..., channel] - expected).max() <= 1  # float32 may round a half the other way
        assert (tile[..., channel] == expected).mean() > 0.99


def test_indices_come_from_unscaled_values(tmp_path: Path) -> None:
    stored = bgrn()
    stored[0, 0] = 0  # 0 / 0 counts as 0
    path = str(write_tif(tmp_path / "tile.tif", stored))
    tile = TileReader(("ndvi", "ndwi"), rgb_source="tif")(path).astype(float)
    _, g, r, n = (stored[..., i].astype(float) for i in range(4))
    with np.errstate(invalid="ignore"):
        for channel, index in enumerate(((n - r) / (n + r), (g - n) / (g + n))):
            assert np.abs(tile[..., channel] - np.nan_to_num(index + 1, nan=1.0) * 127.5).max() <= 0.501


def test_colours_of_the_jpg_with_near_infrared_of_the_tif(tmp_path: Path) -> None:
    jpg, stored = write_jpg(tmp_path / "tile.png"), bgrn()
    tif = write_tif(tmp_path / "tile.tif", stored)
    tile = TileReader(("r", "g", "b", "n"), {"n": LIMITS["n"]})(str(jpg), str(tif))
    np.testing.assert_array_equal(tile[..., :3], np.asarray(Image.open(jpg)))
    assert np.abs(tile[..., 3] - by_hand(stored[..., 3], *LIMITS["n"])).max() <= 1


def test_colours_alone_leave_the_tif_alone(tmp_path: Path) -> None:
    jpg = write_jpg(tmp_path / "tile.png")
    tile = TileReader(("b", "r"))(str(jpg), str(tmp_path / "never written.tif"))
    np.testing.assert_array_equal(tile, np.asarray(Image.open(jpg))[..., [2, 0]])


def test_eight_bit_values_are_taken_as_they_are(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)
    path = str(write_tif(tmp_path / "tile.tif", stored))
    np.testing.assert_array_equal(TileReader(RGB, rgb_source="tif")(path), stored)
    assert fitted_limits([path]) == {}


@pytest.mark.parametrize(
    ("bands", "order", "option", "values"),
    [
        (("r", "g", "b", "n"), None, "data.bands", ["r, g, b", "n"]),
        (("r", "g", "b"), "bg", "data.tif_order", ["3", "2", "bg"]),
        (("ndvi",), None, "data.bands", ["r, g, b", "ndvi"]),
    ],
)
def test_bands_that_a_tif_has_not(
    tmp_path: Path, bands: tuple[str, ...], order: str | None, option: str, values: list[str]
) -> None:
    path = str(write_tif(tmp_path / "tile.tif", bgrn()[..., :3].astype(np.uint8)))
    with refused(file=path, option=option, says=values):
        TileReader(bands, tif_order=order, rgb_source="tif")(path)


def test_a_tif_of_unknown_order_asks_for_it(tmp_path: Path) -> None:
    path = str(write_tif(tmp_path / "tile.tif", np.concatenate([bgrn(), bgrn(1)], axis=-1)))
    with refused(file=path, option="data.tif_order", says="8 bands"):
        read_bands(path)
    assert list(read_bands(path, "bgrnwxyz")) == list("bgrnwxyz")


def test_a_pair_of_two_sizes_is_refused(tmp_path: Path) -> None:
    jpg, tif = write_jpg(tmp_path / "tile.png"), write_tif(tmp_path / "tile.tif", bgrn(size=SIZE + 1))
    with refused(file=jpg, says=tif):
        TileReader(("r", "n"), LIMITS)(str(jpg), str(tif))


def test_a_tile_without_its_tif_is_named(tmp_path: Path) -> None:
    with refused(file=tmp_path / "tile.png", option="data.bands", says="n"):
        TileReader(("r", "n"), LIMITS)(str(write_jpg(tmp_path / "tile.png")))


def test_limits_are_percentiles_of_the_pixels(tmp_path: Path) -> None:
    tifs = [bgrn(seed, size=64) for seed in range(6)]
    paths = [str(write_tif(tmp_path / f"{i}.tif", tif)) for i, tif in enumerate(tifs)]
    limits = fitted_limits(paths)
    assert limits == fitted_limits(paths)
    for i, letter in enumerate("bgrn"):
        expected = np.percentile(np.stack(tifs)[..., i], [1, 99])
        np.testing.assert_allclose(limits[letter], expected, atol=150)  # drawn pixels of values in 0..12000


def test_limits_of_small_values_are_their_percentiles_too(tmp_path: Path) -> None:
    reflectance = np.random.default_rng(0).uniform(0.1, 0.4, size=(64, 64, 4)).astype(np.float32)
    limits = fitted_limits([str(write_tif(tmp_path / "reflectance.tif", reflectance))])
    np.testing.assert_allclose(list(limits.values()), [(0.103, 0.397)] * 4, atol=0.003)


def test_tifs_without_a_number_are_named(tmp_path: Path) -> None:
    nothing = write_tif(tmp_path / "nothing.tif", np.full((8, 8, 4), np.nan, dtype=np.float32))
    with refused(file=nothing):
        fitted_limits([str(nothing)])


@pytest.mark.parametrize("named", ["rgb", "rgbn", "nrg", "rgb+ndvi", "ndvi+ndwi", "ndvi+r+ndwi+g"])
def test_the_name_of_bands_is_what_they_are_parsed_from(named: str) -> None:
    assert name_bands(parse_bands(named)) == named


@pytest.mark.parametrize("limit", [[0, np.inf], [-np.inf, 1], [1, 1], [0], [np.nan, 1]])
def test_limits_that_make_no_sense_are_refused(limit: list[float]) -> None:
    with refused(option="data.tif_limits", says=["n", limit]):
        check_order(None, {"n": limit})


@given(
    low=st.floats(-1e4, 1e4),
    span=st.floats(1, 1e5),
    value=st.floats(-1e6, 1e6, width=32),
    order=st.sampled_from([1, -1]),
)
def test_scaled_values_stay_in_range_and_in_order(low: float, span: float, value: float, order: int) -> None:
    reader = TileReader(("n",), {"n": (low, low + span)})
    values = np.sort(np.array([value, low, low + span, (low + low + span) / 2], dtype=np.float32))[::order]
    scaled = reader._scaled("n", values, "tile").astype(int)
    assert (np.diff(scaled) * order >= 0).all()
    assert scaled.min() >= 0 and scaled.max() <= 255


def test_a_reader_survives_storing(tmp_path: Path) -> None:
    reader = TileReader(("n", "r", "ndvi"), LIMITS, "bgrn", "tif")
    write_reader(tmp_path / "bands.json", reader)
    assert read_reader(tmp_path / "bands.json") == reader


@pytest.mark.parametrize(
    "content", [{}, [], {"bands": ["r"], "limits": {"n": [1]}, "tif_order": None, "rgb_source": "jpg"}]
)
def test_a_broken_reader_is_named(tmp_path: Path, content: object) -> None:
    (tmp_path / "bands.json").write_text(json.dumps(content))
    with refused(file=tmp_path / "bands.json"):
        read_reader(tmp_path / "bands.json")


# ------------------------------------------------------------------ folders


def planet(root: Path, jpgs: int = 12, tifs: int = 12) -> Path:
    """Make the competition's layout with both kinds of files; JPG i and TIF i are of one seed."""
    for i in range(jpgs):
        write_jpg(root / "train-jpg" / f"train_{i}.jpg", seed=i)
    for i in range(tifs):
        write_tif(root / "train-tif-v2" / f"train_{i}.tif", bgrn(i))
    rows = [f"train_{i},{'clear primary' if i % 2 else 'cloudy'}" for i in range(max(jpgs, tifs))]
    (root / "train_v2.csv").write_text("\n".join(["image_name,tags", *rows]))
    return root


def with_test_tifs(root: Path) -> Path:
    """Add test tiles whose file_* TIFs are misnamed in a circle, as in the competition's archive."""
    for name in ("test_0", "file_0", "file_1", "file_2"):
        write_jpg(root / ("test-jpg" if name == "test_0" else "test-jpg-additional") / f"{name}.jpg")
        write_tif(root / "test-tif-v2" / f"{name}.tif", bgrn())
    (root / "test_v2_file_mapping.csv").write_text(
        "old,new\nfile_0.tif,file_1.tif\nfile_1.tif,file_2.tif\nfile_2.tif,file_0.tif\ntest_0.tif,test_9.tif\n"
    )
    return root


def test_jpgs_win_where_colours_are_enough(tmp_path: Path) -> None:
    catalog = read_catalog(planet(tmp_path, tifs=3))
    assert catalog.rgb_source == "jpg"
    assert catalog.labelled["path"].str.endswith(".jpg").all()
    assert (catalog.labelled["tif"] == "").all()


@pytest.mark.parametrize("inside", ["", "planet/planet"])
def test_tifs_alone_are_a_layout(tmp_path: Path, inside: str) -> None:
    planet(tmp_path / inside, jpgs=0)
    catalog = read_catalog(tmp_path)
    assert catalog.rgb_source == "tif"
    assert [Path(path).name for path in catalog.labelled["path"]] == [f"train_{i}.tif" for i in range(12)]
    assert len(catalog.tags) == 17


def test_tifs_are_paired_with_jpgs_by_name(tmp_path: Path) -> None:
    catalog = read_catalog(with_test_tifs(planet(tmp_path)), ReadingConfig(bands="rgbn"))
    for table in (catalog.labelled, catalog.unlabelled):
        assert table["path"].str.endswith(".jpg").all()
        assert table["tif"].str.endswith(".tif").all()
    assert [Path(tif).stem for tif in catalog.labelled["tif"]] == catalog.labelled["image_name"].tolist()


def test_the_mapping_is_applied_once_and_to_file_tifs_only(tmp_path: Path) -> None:
    catalog = read_catalog(with_test_tifs(planet(tmp_path)), ReadingConfig(bands="rgbn"))
    tiles = catalog.unlabelled
    shown = {
        name: (Path(path).stem, Path(tif).stem)
        for name, path, tif in zip(tiles["image_name"], tiles["path"], tiles["tif"], strict=True)
    }
    assert shown == {
        "file_0": ("file_0", "file_2"),
        "file_1": ("file_1", "file_0"),
        "file_2": ("file_2", "file_1"),
        "test_0": ("test_0", "test_0"),
    }


def test_misnamed_tifs_without_the_mapping_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = with_test_tifs(planet(tmp_path / "tiles"))
    list_tiles([root / "test-tif-v2"], renamed=read_mapping(root))
    list_tiles([root / "train-tif-v2"])
    assert not caplog.records
    assert len(list_tiles([root / "test-tif-v2"])) == 4
    assert "3 TIFs such as" in caplog.text and "no test_v2_file_mapping.csv to correct" in caplog.text


def test_a_file_tif_that_the_mapping_lacks_is_refused(tmp_path: Path) -> None:
    root = with_test_tifs(planet(tmp_path))
    write_tif(root / "test-tif-v2" / "file_7.tif", bgrn())
    with refused(file=root / "test-tif-v2" / "file_7.tif", says="test_v2_file_mapping.csv"):
        read_catalog(root)


@pytest.mark.parametrize(
    ("text", "line", "values"),
    [
        ("old,new\na.tif,b.tif\na.tif,c.tif\n", 3, ["a"]),
        ("old,new\na.tif,b.tif\nc.tif,b.tif\n", 3, ["b"]),
        ("from,to\na,b\n", 1, ["from, to", "old", "new"]),
    ],
)
def test_a_mapping_that_is_no_renaming_is_refused(tmp_path: Path, text: str, line: int, values: list[str]) -> None:
    (tmp_path / "test_v2_file_mapping.csv").write_text(text)
    with refused(file=tmp_path / "test_v2_file_mapping.csv", line=line, says=values):
        read_mapping(tmp_path)


def test_missing_tifs_are_counted_and_can_be_left_out(tmp_path: Path) -> None:
    root = planet(tmp_path, tifs=5)
    with refused(file=root / "train_v2.csv", option="data.allow_missing", says=["7 of 12", "JPG", "TIF", "train_5"]):
        read_catalog(root, ReadingConfig(bands="rgbn"))
    assert len(read_catalog(root, ReadingConfig(bands="rgbn", allow_missing=True)).labelled) == 5
    with refused(file=root / "train_v2.csv", option="data.allow_missing", says=["7 of 12", "TIF", "train_5"]):
        read_catalog(root, ReadingConfig(rgb_source="tif"))


def test_a_second_folder_of_tifs_is_refused(tmp_path: Path) -> None:
    planet(tmp_path)
    write_tif(tmp_path / "other" / "train-tif" / "train_0.tif", bgrn())
    folders = [tmp_path / "other" / "train-tif", tmp_path / "train-tif-v2"]
    with refused(file=tmp_path, option="", says=folders):
        read_catalog(tmp_path)


def test_any_folder_of_tifs_with_a_table(tmp_path: Path) -> None:
    for i in range(4):
        write_tif(tmp_path / "scenes" / f"s{i}.TIFF", bgrn(i)[..., :3].astype(np.uint8))
    (tmp_path / "labels.csv").write_text("file,labels\n" + "\n".join(f"s{i}.TIFF,a{' b' * (i > 1)}" for i in range(4)))
    catalog = read_catalog(tmp_path)
    assert (catalog.rgb_source, len(catalog.labelled)) == ("tif", 4)


def test_files_of_one_name_in_two_folders_go_by_their_paths(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_jpg(tmp_path / folder / "x.jpg")
        write_tif(tmp_path / folder / "x.tif", bgrn())
    listed = list_tiles([tmp_path])
    assert listed["image_name"].tolist() == ["a/x", "b/x"]
    assert [Path(tif).parent.name for tif in listed["tif"]] == ["a", "b"]
    chosen, lacking = choose_files(listed, ("n",), "tif")
    assert chosen["path"].str.endswith(".tif").all() and lacking.empty


def test_a_data_module_gives_all_bands(tmp_path: Path) -> None:
    root = planet(tmp_path / "tiles")
    data = PlanetDataModule(
        str(root), bands="rgbn+ndvi", size=16, batch_size=4, n_folds=2, augment=[],
        folds_file=str(tmp_path / "folds.csv"), bands_file=str(tmp_path / "bands.json"),
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    batch = next(iter(data.val_dataloader()))
    assert tuple(batch["image"].shape[1:]) == (16, 16, 5)
    first = data.catalog.labelled.iloc[data.valid_rows[0]]
    expected = resize(read_reader(tmp_path / "bands.json")(first["path"], first["tif"]), 16)
    np.testing.assert_array_equal(batch["image"][0].numpy(), expected)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"tif_order": "nrgb"}, ["`bands_file`", "{bands_file}"]),
        ({"tif_limits": {letter: [0, 5000] for letter in "bgrn"}}, ["`bands_file`", "{bands_file}"]),
        ({"rgb_source": "tif"}, ["jpg", "tif", "`data.rgb_source`"]),
    ],
)
def test_a_store_that_was_read_otherwise_is_refused(tmp_path: Path, options: dict[str, Any], values: list[str]) -> None:
    root, files = planet(tmp_path / "tiles"), (str(tmp_path / "folds.csv"), str(tmp_path / "bands.json"))
    assert main(["data", "pack", str(root), "--size=16", "--bands=rgbn"]) == 0
    data = PlanetDataModule(
        str(root), bands="rgbn", size=16, n_folds=2, folds_file=files[0], bands_file=files[1], **options
    )
    says = [value.format(bands_file=files[1]) for value in values]
    with refused(file=root / "packed-rgbn-16", option="data.packed", says=says):
        data.prepare_data()
        data.setup()


def test_a_store_packed_as_a_run_reads_is_found_by_its_bands(tmp_path: Path) -> None:
    root, bands = planet(tmp_path / "tiles"), tmp_path / "bands.json"
    write_reader(bands, TileReader(("r", "n", "ndvi"), LIMITS))
    assert main(["data", "pack", str(root), "--size=16", f"--bands_file={bands}"]) == 0
    data = PlanetDataModule(
        str(root), bands="rn+ndvi", size=16, n_folds=2, folds_file=str(tmp_path / "folds.csv"), bands_file=str(bands)
    )
    assert data.store and data.store.path == root / "packed-rn+ndvi-16"


@pytest.mark.usefixtures("short_finish")
def test_a_run_on_four_bands_predicts_as_it_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """End to end: fit on JPG colours with TIF near infrared, then tag a folder, through the command line."""
    root, run = with_test_tifs(planet(tmp_path / "tiles", jpgs=30, tifs=30)), tmp_path / "run"
    options = [*TINY, "--data.bands=rgbn", "--data.batch_size=8", "--trainer.max_epochs=1", "--folds=all"]
    assert main(["train", "--run", str(run), "--data.root", str(root), *options]) == 0
    assert set(read_reader(run / "bands.json").limits) == set("bgrn")
    assert main(["predict", str(run), "--tiles", str(root), "--out", str(tmp_path / "p.csv")]) == 0
    predicted = (tmp_path / "p.csv").read_text().splitlines()
    assert len(predicted) == 1 + 30 + 4
    assert main(["evaluate", str(run), "--data", str(root)]) == 0
    capsys.readouterr()
    assert main(["predict", str(run), "--tiles", str(root / "train-jpg"), "--out", str(tmp_path / "q.csv")]) == 2
    assert holds(capsys.readouterr().err, "JPG", "TIF", "30 of 30")
