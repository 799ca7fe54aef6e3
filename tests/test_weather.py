from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_tiles import tifs, values
from refused import refused

from amazon_ml.data.augment.augment import Augmentation, Step
from amazon_ml.data.augment.weather import Clouds, Haze, lay, smooth_noise
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import parse_bands

Pixels = npt.NDArray[np.uint8]
DARK: Pixels = np.random.default_rng(0).integers(100, size=(64, 64, 5), dtype=np.uint8)


def weather(name: str, image: Pixels, index: int = 0, **arguments: Any) -> Pixels:
    return Augmentation([{name: {"p": 1.0, **arguments}}], seed=0)(image, 0, index)


@given(
    hnp.arrays(np.uint8, (3, 4, 5)),
    hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)),
    st.lists(st.integers(0, 255), max_size=5),
)
def test_laying_a_colour_is_the_rounded_blend(
    image: Pixels, weight: npt.NDArray[np.float32], colour: list[int]
) -> None:
    result = lay(image, colour, weight)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    for band in range(5):
        if band < len(colour):
            w = weight.astype(float)
            assert abs(result[..., band] - (image[..., band] * (1 - w) + colour[band] * w)).max() <= 0.5001
        else:
            np.testing.assert_array_equal(result[..., band], image[..., band])


@settings(max_examples=40)
@given(st.integers(8, 70), st.integers(8, 70), st.integers(2, 6), st.integers(1, 4), st.integers(0, 1000))
def test_noise_runs_from_0_to_1(height: int, width: int, cells: int, octaves: int, seed: int) -> None:
    noise = smooth_noise(height, width, np.random.default_rng(seed), cells, octaves)
    assert noise.dtype == np.float32
    assert noise.shape == (height, width)
    assert noise.min() == pytest.approx(0, abs=1e-6)
    assert noise.max() == pytest.approx(1, abs=1e-6)


def test_noise_is_smooth() -> None:
    noise = smooth_noise(256, 256, np.random.default_rng(0), cells=3)
    assert max(abs(np.diff(noise, axis=axis)).max() for axis in (0, 1)) < 0.05


@pytest.mark.parametrize("name", ["Haze", "Clouds"])
@pytest.mark.parametrize("bands", [3, 4, 5])
@pytest.mark.parametrize("shape", [(32, 32), (256, 256), (33, 47)])
def test_tiles_keep_shape_and_type_and_the_original(name: str, bands: int, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(256, size=(*shape, bands), dtype=np.uint8)
    before = image.copy()
    result = weather(name, image)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    assert (result != image).any()
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(weather(name, image), result)
    assert (weather(name, image, index=1) != result).any()


@pytest.mark.parametrize("name", ["Haze", "Clouds"])
def test_p_of_0_changes_nothing(name: str) -> None:
    for index in range(20):
        np.testing.assert_array_equal(weather(name, DARK, index, p=0.0), DARK)


@pytest.mark.parametrize("index", range(5))
def test_haze_moves_every_pixel_towards_the_airlight_within_its_strength(index: int) -> None:
    airlight, strength, unevenness = (200, 205, 197), 0.5, 0.4
    result = weather("Haze", DARK, index, strength=[strength, strength], unevenness=unevenness).astype(float)
    share = (result[..., :3] - DARK[..., :3]) / (np.array(airlight) - DARK[..., :3])
    assert share.max() <= strength + 0.01  # rounding: half a level of at least 97
    assert share.min() >= strength * (1 - unevenness) - 0.01
    assert share.max() - share.min() > 0.15
    assert abs(share[..., 0] - share[..., 1]).max() < 0.02  # the bands share one veil
    np.testing.assert_array_equal(result[..., 3:], DARK[..., 3:])


def test_stronger_haze_is_brighter_and_has_less_contrast() -> None:
    rgb = DARK[..., :3]
    tiles = [weather("Haze", rgb, strength=[s, s], unevenness=0) for s in (0.0, 0.1, 0.3, 0.6, 1.0)]
    np.testing.assert_array_equal(tiles[0], rgb)
    assert (np.diff([tile.mean() for tile in tiles]) > 5).all()
    assert (np.diff([tile[..., 0].std() for tile in tiles]) < -2).all()
    np.testing.assert_array_equal(tiles[-1], np.broadcast_to([200, 205, 197], rgb.shape))


def test_haze_veils_as_many_bands_as_there_are_numbers() -> None:
    result = weather("Haze", DARK, strength=[1, 1], unevenness=0, airlight=[10, 20, 30, 40])
    np.testing.assert_array_equal(result[..., :4], np.broadcast_to([10, 20, 30, 40], (64, 64, 4)))
    np.testing.assert_array_equal(result[..., 4], DARK[..., 4])


@pytest.mark.parametrize("coverage", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("size", [32, 256])
def test_clouds_cover_as_much_as_is_asked(coverage: float, size: int) -> None:
    black = np.zeros((size, size, 3), dtype=np.uint8)
    for index in range(10):
        result = weather("Clouds", black, index, coverage=[coverage, coverage], colour=[200, 200, 200])
        assert (result[..., 0] >= 100).mean() == pytest.approx(coverage, abs=0.03)
        assert (result <= 200).all()


def test_softer_clouds_have_wider_edges() -> None:
    black = np.zeros((128, 128, 3), dtype=np.uint8)
    edges = [
        np.mean([((r := weather("Clouds", black, i, softness=s)[..., 0]) > 12) & (r < 228) for i in range(10)])
        for s in (0.01, 0.2, 0.5)
    ]
    assert 0 < edges[0] < edges[1] / 3
    assert edges[1] < edges[2]


def test_shadows_darken_ground_that_no_cloud_hides() -> None:
    grey, darkest = np.full((128, 128, 4), 120, dtype=np.uint8), []
    for index in range(10):
        bright, shaded = (weather("Clouds", grey, index, coverage=[0.3, 0.3], shadow=s) for s in (0.0, 0.5))
        assert (bright >= 120).all()
        assert (shaded <= bright).all()
        full = bright[..., 0] == 240  # clouds themselves are not in the shade
        assert full.any()
        np.testing.assert_allclose(shaded[full], bright[full], atol=1)
        darkest.append(shaded.min())
    assert min(darkest) == 60  # half the light is left


def test_clouds_hide_further_bands_as_bright_as_the_last_number() -> None:
    result = weather("Clouds", DARK, coverage=[1, 1], softness=0.001)
    hidden = result[..., 0] == 240
    assert hidden.mean() > 0.95
    np.testing.assert_array_equal(result[hidden], np.broadcast_to([240, 236, 236, 236, 236], (hidden.sum(), 5)))


@pytest.mark.parametrize(
    ("name", "arguments", "values"),
    [
        ("Haze", {"strength": [0.5, 0.1]}, ["strength", "0..1", "[0.5, 0.1]"]),
        ("Haze", {"strength": [0.5, 1.1]}, ["strength", "0..1", "[0.5, 1.1]"]),
        ("Haze", {"strength": [0.5]}, ["strength", "0..1", "[0.5]"]),
        ("Haze", {"strength": 0.5}, ["'float'"]),
        ("Haze", {"unevenness": 2}, ["unevenness", "0..1", "(0, 2)"]),
        ("Haze", {"p": 2}, ["p", "1"]),
        ("Haze", {"thickness": 2}, ["'thickness'"]),
        ("Clouds", {"coverage": [-0.1, 0.1]}, ["coverage", "0..1", "[-0.1, 0.1]"]),
        ("Clouds", {"softness": 0}, ["softness", "0"]),
        ("Clouds", {"shadow": 1.5}, ["shadow", "0..1", "(0, 1.5)"]),
    ],
)
def test_wrong_arguments_are_refused_with_the_transform(
    name: str, arguments: dict[str, Any], values: list[str]
) -> None:
    with refused(option="data.augment", says=[name, arguments, *values]):
        Augmentation([{name: arguments}], seed=0)


@pytest.mark.parametrize(("name", "argument"), [("Haze", "airlight"), ("Clouds", "colour")])
def test_more_colours_than_bands_are_refused_before_any_tile_is_read(name: str, argument: str) -> None:
    steps = [{name: {argument: [1, 2, 3, 4]}}]
    with refused(option="data.augment", says=[name, "uint8, 32 x 32 px, 3 bands", "[1, 2, 3, 4]"]):
        Augmentation(steps, seed=0, size=32)
    Augmentation(steps, seed=0, size=32, bands=4)


def test_transforms_tell_their_arguments() -> None:
    assert "strength=(0.1, 0.4)" in repr(Haze())
    assert "coverage=(0.05, 0.3)" in repr(Clouds())


HAZE, CLOUDS = {"Haze": {"p": 0.5}}, {"Clouds": {"p": 0.5}}
TWELVE = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


@pytest.mark.parametrize("step", [HAZE, CLOUDS], ids=["haze", "clouds"])
@pytest.mark.parametrize(
    "bands", ["nrg", "nrgb", "gbrn", "ndvi+rgb", ["nir", "red", "green"], ["B02", "B03", "B04", "B08"], TWELVE]
)
def test_weather_on_other_bands_than_red_green_and_blue_is_refused(step: Step, bands: str | list[str]) -> None:
    with refused(option="data.augment", says=[*step, ", ".join(parse_bands(bands)[:3])]):
        PlanetDataModule("tiles", bands=bands, augment=[step])


@pytest.mark.parametrize("step", [HAZE, CLOUDS], ids=["haze", "clouds"])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"bands": "rgbn"}, {"bands": ["red", "green", "blue", "nir"]},
        {"bands": ["B04", "B03", "B02", "B08"]}, {"bands": ["B4", "B3", "B2"]}, {"bands": ["B3", "B2", "B1", "B4"]},
        {"bands": ["B04", "B03", "B02"], "band_names": TWELVE},
        {"bands": ["SR_B4", "SR_B3", "SR_B2"], "band_names": [f"SR_B{n}" for n in range(1, 8)]},
        {"bands": ["red_band", "green_band", "blue_band"]}, {"bands": ["1", "2", "3"]},
    ],
)  # fmt: skip
def test_weather_on_red_green_and_blue_is_accepted(step: Step, options: dict[str, Any]) -> None:
    PlanetDataModule("tiles", **options, augment=[step])


def test_names_of_all_bands_show_which_are_red_green_and_blue() -> None:
    names = [f"SR_B{n}" for n in range(1, 8)]  # of Landsat 8; of Landsat 4, these three would be red, green and blue
    with refused(option="data.augment", says=["Haze", "SR_B3, SR_B2, SR_B1"]):
        PlanetDataModule("tiles", bands=["SR_B3", "SR_B2", "SR_B1"], band_names=names, augment=[HAZE])


@pytest.mark.parametrize(
    ("bands", "step"),
    [
        ("nrg", {"Haze": {"airlight": [60, 200, 205]}}),
        (TWELVE, {"Clouds": {"colour": [240]}}),
        ("rgb+ndvi", HAZE),  # which changes the first three bands alone
        ("rgb+ndvi", {"Clouds": {"colour": [240, 236, 236, 128], "shadow": 0}}),
    ],
)
def test_weather_with_numbers_of_the_user_is_accepted(bands: str | list[str], step: Step) -> None:
    PlanetDataModule("tiles", bands=bands, augment=[step])


@pytest.mark.parametrize(
    "arguments", [{}, {"shadow": 0}, {"colour": [240, 236, 236, 128]}, {"colour": [240], "shadow": 0}]
)
def test_clouds_that_would_change_an_index_are_refused(arguments: dict[str, Any]) -> None:
    with refused(option="data.augment", says=["Clouds", "ndvi"]):
        PlanetDataModule("tiles", bands="rgb+ndvi", augment=[{"Clouds": arguments}])


@pytest.mark.parametrize(
    ("bands", "step", "said"),
    [
        ("rgb+ndvi", "RandomBrightnessContrast", "ndvi"), ("rgbn", "RandomBrightnessContrast", None),
        ("nrg", "RandomFog", "n, r, g"), ("rgb", "RandomFog", None),
    ],
)  # fmt: skip
def test_steps_that_take_a_channel_for_what_it_is_not_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bands: str, step: str, said: str | None
) -> None:
    root = tifs(tmp_path / "tiles", values)
    data = PlanetDataModule(root, bands=bands, n_folds=2, size=16, augment=[{"D4": {}}, {step: {"p": 0.5}}])
    data.prepare_data()
    warned = [record.getMessage() for record in caplog.records if step in record.getMessage()]
    assert len(warned) == (said is not None) and all(said is not None and said in one for one in warned)
