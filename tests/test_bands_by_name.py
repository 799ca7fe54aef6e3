"""Bands by the names of a sensor out of one file: TIFs, arrays and images, with rasterio and numpy as the reference."""

import json
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from made_tiles import SIZE, Pixels, folder, read_all, tifs, values, write_png, write_tif
from rasterio.enums import ColorInterp
from refused import holds

from amazon_ml.cli.main import main
from amazon_ml.data.config import ReadingConfig
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.arrays import read_npy
from amazon_ml.data.readers.bands import name_bands, parse_bands
from amazon_ml.data.readers.fitting import check_reading
from amazon_ml.data.readers.indices import INDICES, compute_index
from amazon_ml.data.readers.reader_file import read_reader, write_reader
from amazon_ml.data.readers.sensors import common_names, find_name, find_spelling
from amazon_ml.errors import InputError
from amazon_ml.settings import build

S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def twelve(i: int) -> Pixels:
    return values(i, 12)


def scaled(band: Pixels, low: float, high: float) -> npt.NDArray[np.float64]:
    return np.clip(np.rint(255 * (band.astype(np.float64) - low) / (high - low)), 0, 255)


def nearly(tile: npt.NDArray[np.uint8], expected: npt.NDArray[np.float64]) -> bool:
    """Whether values are equal but for halves that float32 rounds the other way."""
    return bool((np.abs(tile - expected) <= 1).all() and (tile == expected).mean() > 0.99)


# ------------------------------------------------------------------ TIFs of many bands


def test_bands_are_found_by_the_descriptions_of_a_tif(tmp_path: Path) -> None:
    root = tifs(tmp_path, twelve, names=S2)
    bands = ["B08", "B12", "B02", "ndvi"]
    reader, tiles = read_all(root, bands=bands)
    assert reader.bands == tuple(bands)
    assert tiles.shape[1:] == (SIZE, SIZE, 4)
    for i in range(len(tiles)):
        with rasterio.open(root / "tiles" / f"t{i}.tif") as file:
            stored = {name: file.read(at + 1) for at, name in enumerate(S2)}
        for channel, band in enumerate(bands[:3]):
            assert nearly(tiles[i, ..., channel], scaled(stored[band], *reader.limits[band]))
        n, r = stored["B08"].astype(float), stored["B04"].astype(float)
        assert np.abs(tiles[i, ..., 3] - ((n - r) / (n + r) + 1) * 127.5).max() <= 0.501


def test_limits_are_percentiles_of_each_band(tmp_path: Path) -> None:
    root = tifs(tmp_path, lambda i: twelve(i) + np.arange(12, dtype=np.uint16) * 500, names=S2)
    reader, _ = read_all(root, bands=list(S2))
    stacked = np.stack([rasterio.open(root / "tiles" / f"t{i}.tif").read() for i in range(12)])
    for at, band in enumerate(S2):
        assert np.abs(np.subtract(reader.limits[band], np.percentile(stacked[:, at], (1, 99)))).max() < 40


def test_limits_come_from_the_training_tiles_of_a_published_split(tmp_path: Path) -> None:
    root = tifs(tmp_path, lambda i: twelve(i) + np.uint16(20000 * (i >= 8)), names=S2)  # the later tiles are brighter
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = [f"t{i},{'forest' if i % 2 else 'river field'},{split}" for i, split in enumerate(splits)]
    (root / "labels.csv").write_text("\n".join(["image,tags,split", *rows]) + "\n")
    data = PlanetDataModule(root, size=SIZE, bands=["B02"], split_column="split")
    data.setup()
    assert data.read.limits["B02"][1] < 4096 < 20000


def test_names_are_given_where_the_files_have_none(tmp_path: Path) -> None:
    root = tifs(tmp_path, twelve)
    with pytest.raises(InputError) as caught:
        read_all(root, bands=["B08"])
    assert caught.value.option == "data.band_names"
    assert caught.value.remedy
    _, tiles = read_all(root, bands=["B08"], band_names=list(S2), tif_limits={"B08": (0, 4095)})
    with rasterio.open(root / "tiles" / "t3.tif") as file:
        assert nearly(tiles[3, ..., 0], scaled(file.read(8), 0, 4095))


def test_each_file_is_read_by_its_own_names(tmp_path: Path) -> None:
    root = tifs(tmp_path, twelve, names=S2)
    order = [11, 3, 7, 0, 1, 2, 4, 5, 6, 8, 9, 10]
    write_tif(root / "tiles" / "t5.tif", twelve(5)[..., order], names=tuple(S2[i] for i in order))
    _, tiles = read_all(root, bands=["B04", "B08"], tif_limits={"B04": (0, 4095), "B08": (0, 4095)})
    assert nearly(tiles[5, ..., 0], scaled(twelve(5)[..., 3], 0, 4095))
    assert nearly(tiles[5, ..., 1], scaled(twelve(5)[..., 7], 0, 4095))


@pytest.mark.parametrize(
    ("bands", "names"),
    [(["B99"], S2), (["B08", "nir"], S2), (["B02", "B02"], S2), (["ndvi"], ("a", "b", "c")), (["B02"], ("B02", "B02"))],
    ids=["unknown", "one band twice", "repeated", "index without its bands", "ambiguous"],
)
def test_bands_that_cannot_be_are_refused_with_those_of_the_file(
    tmp_path: Path, bands: list[str], names: tuple[str, ...]
) -> None:
    root = tifs(tmp_path, lambda i: values(i, len(names)), names=names)
    with pytest.raises(InputError) as caught:
        read_all(root, bands=bands)
    assert caught.value.option == "data.bands"
    if bands in (["B99"], ["ndvi"]):
        assert str(caught.value.file).endswith(".tif")
        assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize("names", [S2[:11], (*S2, "B10"), ("B02", *S2[1:])], ids=["fewer", "more", "repeated"])
def test_given_names_must_fit_the_file(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = tifs(tmp_path, twelve)
    with pytest.raises(InputError) as caught:
        read_all(root, bands=["B02"], band_names=list(names))
    assert caught.value.option == "data.band_names"
    assert len(names) == len(S2) or holds(caught.value.remedy, len(S2))


def test_where_the_number_of_given_names_is_wrong_the_remedy_lists_those_of_the_file(tmp_path: Path) -> None:
    root = tifs(tmp_path, twelve, names=S2)
    with pytest.raises(InputError) as caught:
        read_all(root, bands=["B02"], band_names=list(S2[:3]))
    assert holds(caught.value.remedy, len(S2), *S2)


def test_given_names_count_over_descriptions_but_other_descriptions_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tifs(tmp_path, twelve, names=S2)
    read, _ = read_all(root, bands=["B12"], band_names=list(S2[::-1]), tif_limits={"B12": (0, 4095)})
    assert any("B01" in record.getMessage() and record.levelname == "WARNING" for record in caplog.records)
    assert nearly(read(str(root / "tiles" / "t0.tif"))[..., 0], scaled(twelve(0)[..., 0], 0, 4095))
    other = write_tif(tmp_path / "other.tif", twelve(0), names=(*S2[1:], S2[0]))
    with pytest.raises(InputError) as caught:
        read(str(other))
    assert caught.value.file == str(other)


@pytest.mark.parametrize(
    "change",
    [{"dtype": "float32"}, {"dtype": "uint8", "high": 255}, {"count": 11}, {"low": 30000, "high": 60000}],
    ids=["float", "8 bits", "a band missing", "another range"],
)
def test_a_tile_of_another_kind_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    read, _ = read_all(tifs(tmp_path, twelve, names=S2), bands=["B12", "B02"])
    kind = {"count": 12, "low": 0, **change}
    other = write_tif(tmp_path / "other.tif", values(0, **kind), names=S2[: kind["count"]])
    with pytest.raises(InputError) as caught:
        read(str(other))
    assert caught.value.file == str(other)
    assert caught.value.remedy


def test_masked_values_of_one_band_are_masked_there_and_in_its_indices(tmp_path: Path) -> None:
    def make(i: int) -> Pixels:
        pixels = values(i, 12, "float32")
        pixels[:5, :, 7] = np.nan
        return pixels

    _, tiles = read_all(tifs(tmp_path, make, names=S2), bands=["B08", "B04", "ndvi"])
    assert (tiles[:, :5, :, 0] == 0).all()
    assert (tiles[:, :5, :, 2] == 128).all()
    assert (tiles[:, :5, :, 1] != 0).mean() > 0.9


def test_a_band_of_transparency_masks_the_named_bands(tmp_path: Path) -> None:
    def make(i: int) -> Pixels:
        pixels = values(i, 5)
        pixels[..., 4] = 65535
        pixels[:6, :, 4] = 0
        return pixels

    colours = [*[ColorInterp.undefined] * 4, ColorInterp.alpha]
    root = tifs(tmp_path, make, colours=colours)
    _, tiles = read_all(root, bands=["B04", "B02"], band_names=["B02", "B03", "B04", "B08"])
    assert (tiles[:, :6] == 0).all()
    assert (tiles[:, 6:] != 0).mean() > 0.9


def test_one_band_and_forty(tmp_path: Path) -> None:
    names = tuple(f"L{i}" for i in range(40))
    root = tifs(tmp_path, lambda i: values(i, 40), names=names)
    assert read_all(root, bands=["L39"])[1].shape[-1] == 1
    assert read_all(tifs(tmp_path / "more", lambda i: values(i, 40), names=names), bands=list(names))[1].shape[-1] == 40


def test_letters_give_the_same_as_names(tmp_path: Path) -> None:
    names = ("blue", "green", "red", "nir")
    letters, by_letter = read_all(tifs(tmp_path / "letters", values, names=names), bands="bgrn+ndvi")
    named, by_name = read_all(tifs(tmp_path / "names", values, names=names), bands=[*names, "ndvi"])
    assert [named.limits[name] for name in names] == [letters.limits[one] for one in "bgrn"]
    np.testing.assert_array_equal(by_letter, by_name)


# ------------------------------------------------------------------ arrays and images


@pytest.mark.parametrize("first", [False, True], ids=["bands last", "bands first"])
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int16", "float64"])
def test_arrays_are_tiles_by_the_template(tmp_path: Path, first: bool, dtype: str) -> None:
    def write(path: Path, i: int) -> None:
        pixels = values(i, 5, dtype, 0, 250)
        np.save(path, np.moveaxis(pixels, -1, 0) if first else pixels)

    root = folder(tmp_path, write, ".npy")
    reader, tiles = read_all(root, bands=["c", "a"], band_names=list("abcde"), files="{name}.npy")
    for channel, band in enumerate("ca"):
        expected = values(4, 5, dtype, 0, 250)[..., "abcde".index(band)]
        own = expected.astype(np.float64) if dtype == "uint8" else scaled(expected, *reader.limits[band])
        assert nearly(tiles[4, ..., channel], own)


@pytest.mark.parametrize(
    "content",
    [
        np.array([{"a": 1}], dtype=object),
        values(0, 5).astype(np.complex64),
        values(0, 5)[..., 0],
        values(0, 4),
        values(0, 5)[:0],
        values(0, 5)[:5, :, :5],
        b"",
        b"no array",
    ],
    ids=["objects", "complex", "2-D", "four bands", "empty", "both ends fit", "no byte", "text"],
)
def test_other_arrays_are_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "t0.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError) as caught:
        read_npy(path, 5)
    assert caught.value.file == path
    assert caught.value.remedy or not content


def test_an_array_that_is_cut_short_is_named_before_the_work(tmp_path: Path) -> None:
    root = folder(tmp_path, lambda path, i: np.save(path, values(i, 3)), ".npy")
    path = root / "tiles" / "t7.npy"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError) as caught:
        read_all(root, bands=["a"], band_names=list("abc"), files="{name}.npy")
    assert "t7.npy" in str(caught.value)
    status = main(["data", "check", str(root), "--files={name}.npy", "--bands=[a]", "--band_names=[a, b, c]",
                   "--json", str(tmp_path / "check.json")])  # fmt: skip
    findings = json.loads((tmp_path / "check.json").read_text())["findings"]
    assert status == 1
    assert any(finding["kind"] == "unreadable" for finding in findings)


def test_arrays_without_the_option_are_answered_with_it(tmp_path: Path) -> None:
    root = folder(tmp_path, lambda path, i: np.save(path, values(i, 3)), ".npy")
    with pytest.raises(InputError) as caught:
        read_all(root)
    assert "data.files" in caught.value.remedy


def test_sixteen_bit_pngs_are_scaled_by_stored_limits(tmp_path: Path) -> None:
    root = folder(tmp_path, lambda path, i: write_png(path, values(i, 3)), ".png")
    reader, tiles = read_all(root, bands=["red", "blue"], files="{name}.png")
    write_reader(tmp_path / "bands.json", reader)
    again = read_reader(tmp_path / "bands.json")
    assert again == reader
    expected = scaled(values(2, 3)[..., 2], *again.limits["red"])  # OpenCV writes blue first
    assert nearly(tiles[2, ..., 0], expected)


# ------------------------------------------------------------------ names and indices


@pytest.mark.parametrize(
    ("names", "nir", "swir1"),
    [
        (S2, "B08", "B11"),
        (tuple(f"B0{i}" for i in (2, 3, 4, 8)), "B08", None),
        (("B2", "B3", "B4", "B8A", "B11", "B12"), "B8A", "B11"),
        (tuple(f"SR_B{i}" for i in range(1, 8)), "SR_B5", "SR_B6"),
        (tuple(f"SR_B{i}" for i in (1, 2, 3, 4, 5, 7)), "SR_B4", "SR_B5"),
        (tuple(f"SR_B{i}" for i in (2, 3, 4, 5)), None, None),
        (tuple(f"B{i}" for i in range(1, 12)), None, None),
        (tuple(f"B{i:02}" for i in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)), None, None),
        (("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"), "nir", None),
        (("Red", "Green", "Blue", "NIR", "SWIR 1"), "NIR", "SWIR 1"),
        (("B2, central wavelength 490 nm", "B8, central wavelength 842 nm", "B12, central wavelength 2190 nm"),
         "B8, central wavelength 842 nm", None),
    ],
)  # fmt: skip
def test_common_names_by_sensor(names: tuple[str, ...], nir: str | None, swir1: str | None) -> None:
    common = common_names(names)
    assert (common.get("nir"), common.get("swir1")) == (nir, swir1)
    assert find_name("nir", names) == nir


def test_spellings_of_one_band() -> None:
    for wanted in ("B02", "b2", "B2", "SR_B2"):
        assert find_spelling(wanted, ["B01", "B02_10m", "B2"] if wanted == "B2" else ["B01", "B2"]) == "B2"
    assert find_spelling("B8", ["B08", "B8A"]) == "B08"
    assert find_spelling("B02", ["B02_10m", "B02_20m"]) is None
    assert find_spelling("B1", ["B11", "B12"]) is None


def by_hand(index: str, b: dict[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Compute indices as their authors write them, from reflectance."""
    n, r, g, blue, s1, s2, e = (b[name] for name in ("nir", "red", "green", "blue", "swir1", "swir2", "rededge1"))
    return {
        "ndvi": (n - r) / (n + r),
        "gndvi": (n - g) / (n + g),
        "ndre": (n - e) / (n + e),
        "ndwi": (g - n) / (g + n),
        "mndwi": (g - s1) / (g + s1),
        "ndmi": (n - s1) / (n + s1),
        "nbr": (n - s2) / (n + s2),
        "ndbi": (s1 - n) / (s1 + n),
        "ndsi": (g - s1) / (g + s1),
        "bsi": ((s1 + r) - (n + blue)) / ((s1 + r) + (n + blue)),
        "evi": 2.5 * (n - r) / (n + 6 * r - 7.5 * blue + 1),
        "evi2": 2.5 * (n - r) / (n + 2.4 * r + 1),
        "savi": (n - r) * (1 + 0.5) / (n + r + 0.5),
    }[index]


@pytest.mark.parametrize("index", INDICES)
@hypothesis.settings(max_examples=15)
@given(seed=st.integers(0, 2**32), dtype=st.sampled_from(["uint16", "int16", "float32"]))
@hypothesis.example(seed=52921, dtype="uint16")  # a denominator of 0 for EVI
def test_indices_equal_their_formulas(index: str, seed: int, dtype: str) -> None:
    common = ("nir", "red", "green", "blue", "swir1", "swir2", "rededge1")
    bands = dict(zip(common, np.moveaxis(values(seed, len(common), dtype, 1, 10000), -1, 0), strict=True))
    tile = compute_index(index, [bands[name] for name in INDICES[index].bands], reflectance=10000)
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = by_hand(index, {name: band.astype(np.float64) / 10000 for name, band in bands.items()})
    expected = (np.clip(exact, -1, 1) + 1) * 127.5
    pole = ~(np.abs(exact) < 1e4)  # of EVI: a denominator that is 0 but for rounding
    assert np.abs(tile - expected)[~pole].max() <= 0.52 and np.isin(tile[pole], (0, 128, 255)).all()


def test_zero_by_zero_is_the_index_zero() -> None:
    zeros = np.zeros((8, 8), dtype=np.uint16)
    assert (compute_index("ndvi", [zeros, zeros]) == 128).all()


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"bands": ["B02", "evi"]}, "data.reflectance"),
        ({"bands": []}, "data.bands"),
        ({"bands": ["B02", ""]}, "data.bands"),
        ({"bands": "rgb", "files": "{name}.npy"}, "data.files"),
        ({"bands": "rgb", "band_names": ["r"]}, "data.band_names"),
        ({"bands": ["B02"], "band_names": ["B02", "B02"]}, "data.band_names"),
        ({"bands": ["B02"], "tif_order": "bgrn"}, "data.tif_order"),
        ({"bands": ["B02"], "rgb_source": "jpg"}, "data.rgb_source"),
        ({"bands": ["ndvi"], "files": "{name}_{band}.tif"}, "data.bands"),
        *(({"bands": ["B02"], "files": files}, "data.files")
          for files in ("x.tif", "/{name}.tif", "../{name}.tif", "{name}", "{name}.txt", "{name}/{t}.tif", "{n.tif")),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused_without_a_file(options: dict[str, Any], option: str) -> None:
    with pytest.raises(InputError) as caught:
        check_reading(build(ReadingConfig, options))
    assert caught.value.option == option
    assert caught.value.remedy


def test_a_list_of_bands_has_a_name() -> None:
    assert parse_bands(["B02", "B8A"]) == ("B02", "B8A")
    assert name_bands(("B02", "B8A", "ndvi")) == "B02+B8A+ndvi"


def test_a_reader_is_stored_with_all_it_needs(tmp_path: Path) -> None:
    reader, _ = read_all(tifs(tmp_path, twelve, names=S2), bands=["B02", "evi"], reflectance=10000)
    write_reader(tmp_path / "bands.json", reader)
    assert read_reader(tmp_path / "bands.json") == reader
    stored = json.loads((tmp_path / "bands.json").read_text())
    for part in ({"inputs": {"B03": ["B02"]}}, {"inputs": {"evi": ["B08"], "B02": ["B02"]}}, {"layers": 3}):
        (tmp_path / "bands.json").write_text(json.dumps({**stored, "source": {**stored["source"], **part}}))
        with pytest.raises(InputError) as caught:
            read_reader(tmp_path / "bands.json")
        assert caught.value.file == tmp_path / "bands.json"


def test_a_store_of_other_bands_is_refused(tmp_path: Path) -> None:
    root = tifs(tmp_path, twelve, names=S2)
    store = str(tmp_path / "store")
    assert main(["data", "pack", str(root), "--bands=[B02, B03]", "--size=24", "--out", store]) == 0
    others: list[dict[str, Any]] = [
        {"bands": ["B03", "B02"]}, {"bands": ["B02", "B03"], "band_names": list(S2[::-1])},
    ]  # fmt: skip
    for options in others:
        data = PlanetDataModule(root, size=24, packed=store, **options)
        with pytest.raises(InputError) as caught:
            data.prepare_data()
        assert caught.value.option == "data.packed"
        assert caught.value.remedy


def test_an_undeclared_border_of_no_data_is_masked(tmp_path: Path) -> None:
    def make(i: int) -> Pixels:
        pixels = twelve(i)
        pixels[:, :14] = 0
        return pixels

    read, tiles = read_all(tifs(tmp_path, make, names=S2), bands=["B02", "B08", "ndvi"])
    assert read.expected.nodata == (0.0,)
    assert (tiles[:, :, :14, 2] == 128).all() and (tiles[:, :, :14, :2] == 0).all()
    assert min(limits[0] for limits in read.limits.values()) >= 300
