"""What the numbers of bands mean: of which sensor they are, and what is done where the names do not show it."""

from pathlib import Path

import pytest
from made_tiles import checked, read_all, tifs, values, write_tif
from rasterio.enums import ColorInterp
from refused import refused

from amazon_ml.data.readers.band_names import letters_of
from amazon_ml.data.readers.named import contradiction
from amazon_ml.data.readers.sensors import common_names, shown_sensor
from amazon_ml.scenes.sources import describe_file


def plain(*numbers: int) -> tuple[str, ...]:
    return tuple(f"B{number}" for number in numbers)


def padded(*numbers: int) -> tuple[str, ...]:
    return tuple(f"B{number:02}" for number in numbers)


#: Names of the bands of other sensors, or of none.
FOREIGN: dict[str, tuple[str, ...]] = {
    "Landsat 8 of Earth Engine": plain(*range(1, 12)),
    "Landsat 4 to 7": plain(1, 2, 3, 4, 5, 7),
    "Landsat 4 to 7 or 8, surface reflectance": ("SR_B2", "SR_B3", "SR_B4", "SR_B5"),
    "false colours of Landsat 4 to 7": plain(4, 3, 2),
    "red, green, blue and panchromatic of Landsat 8": plain(4, 3, 2, 8),
    "four bands that are counted": plain(1, 2, 3, 4),
    "twelve bands that are counted": plain(*range(1, 13)),
    "twelve bands that are counted with zeros": padded(*range(1, 13)),
    "thirteen bands that are counted": plain(*range(1, 14)),
    "ASTER": ("B01", "B02", "B3N", *padded(*range(4, 15))),
    "the first bands of ASTER": ("B01", "B02", "B3N", *padded(*range(4, 13))),
    "Himawari": padded(*range(1, 17)),
    "Landsat by file names": ("LC08_B4", "LC08_B3", "LC08_B2"),
}
#: Names of Sentinel-2, and the letters of their bands.
SENTINEL_2: dict[str, tuple[tuple[str, ...], str]] = {
    "EuroSAT": ((*padded(*range(1, 10)), "B10", "B11", "B12", "B8A"), "?bgr???n?????"),
    "BigEarthNet": ((*padded(*range(1, 9)), "B8A", "B09", "B11", "B12"), "?bgr???n????"),
    "without zeros": ((*plain(*range(1, 9)), "B8A", *plain(9, 10, 11, 12)), "?bgr???n?????"),
    "10 m": (padded(4, 3, 2, 8), "rgbn"),
    "colours": (padded(2, 3, 4), "bgr"),
}


@pytest.mark.parametrize("names", FOREIGN.values(), ids=FOREIGN)
def test_numbers_that_do_not_show_their_sensor_have_no_meaning(names: tuple[str, ...]) -> None:
    letters, unclear = letters_of(names)
    assert set(letters) == {"?"} and unclear == names
    assert common_names(names) == {} and shown_sensor(names) is None


@pytest.mark.parametrize(("names", "letters"), SENTINEL_2.values(), ids=SENTINEL_2)
def test_the_names_of_sentinel_2_show_it(names: tuple[str, ...], letters: str) -> None:
    assert letters_of(names)[0] == letters
    assert shown_sensor(names) == "sentinel2"


def test_the_products_of_landsat_have_letters_where_they_show_the_satellite() -> None:
    assert letters_of(tuple(f"SR_B{i}" for i in range(1, 8)))[0] == "?bgrn??"
    assert letters_of(tuple(f"SR_B{i}" for i in (1, 2, 3, 4, 5, 7)))[0] == "bgrn??"


@pytest.mark.parametrize("bands", ["rgb", "rgb+ndvi"])
def test_bands_of_another_sensor_need_their_order(tmp_path: Path, bands: str) -> None:
    names = FOREIGN["Landsat 8 of Earth Engine"]
    root = tifs(tmp_path, lambda i: values(i, len(names)), names=names)
    with refused(file=root / "tiles" / "t0.tif", option="data.tif_order", says=names):
        read_all(root, bands=bands, rgb_source="tif")
    assert checked(root)[0] == 1
    reader, _ = read_all(root, bands=bands, rgb_source="tif", tif_order="?bgrn??????")
    assert reader.tif_order == "?bgrn??????"


def test_a_scene_of_another_sensor_has_no_letters_by_its_colours(tmp_path: Path) -> None:
    """Rasterio calls three bands of 8 bits red, green and blue, whatever they hold."""
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    scene = write_tif(tmp_path / "a.tif", values(0, 3, "uint8", 0, 255), colours=colours, names=plain(4, 3, 2))
    assert describe_file(str(scene)).letters == "???"


@pytest.mark.parametrize(
    ("given", "described", "found"),
    [
        (("red", "green", "blue", "nir"), padded(2, 3, 4, 8), ("B02", "red")),
        (("blue", "green", "red", "nir"), padded(2, 3, 4, 8), None),
        (("b", "g", "r", "n"), ("red", "green", "blue", "nir"), ("red", "b")),
        (padded(2, 3, 4, 8), ("Red", "Green", "Blue", "NIR"), ("Red", "B02")),
        (("red", "green", "blue", "nir"), plain(2, 3, 4, 8), None),
        (("red", "green", "nir"), ("B04", "B03", "B8A"), None),
        (("vv", "vh"), ("", "x"), None),
        (("B02", "B03"), ("B03", "B02"), ("B03", "B02")),
    ],
)
def test_names_of_another_light_contradict_the_descriptions(
    given: tuple[str, ...], described: tuple[str, ...], found: tuple[str, str] | None
) -> None:
    assert contradiction(given, described) == found


def test_a_contradiction_in_other_words_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tifs(tmp_path, lambda i: values(i, 4), names=padded(2, 3, 4, 8))
    reader, _ = read_all(root, bands=["red", "nir"], band_names=["red", "green", "blue", "nir"])
    assert any("B02" in each.getMessage() and each.levelname == "WARNING" for each in caplog.records)
    other = write_tif(tmp_path / "other.tif", values(0, 4), names=padded(3, 2, 4, 8))
    with refused(file=other, says=["B03", "red"]):
        reader(str(other))
