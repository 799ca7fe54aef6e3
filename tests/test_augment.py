import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from refused import refused

from amazon_ml.data.augment.augment import D4, Augmentation, symmetric
from amazon_ml.data.augment.mix import Mix
from amazon_ml.data.batches.dataset import Batch, EpochSampler, TileDataset, training_loader
from amazon_ml.data.batches.sources import TileFiles
from amazon_ml.data.readers.bands import TileReader

Pixels = npt.NDArray[np.uint8]
NOISE: Pixels = np.random.default_rng(0).integers(256, size=(12, 12, 3), dtype=np.uint8)
#: Random in every way: which, how much, and pixel by pixel.
RICH: list[dict[str, dict[str, Any]]] = [
    dict(D4),
    {"RandomBrightnessContrast": {"p": 0.5}},
    {"HueSaturationValue": {"p": 0.5}},
    {"GaussNoise": {"p": 1.0}},
]


def files(paths: list[str], size: int) -> TileFiles:
    return TileFiles(pd.DataFrame({"path": paths, "tif": ""}), TileReader(), size)


def positions(image: Pixels) -> list[Pixels]:
    """Give the image in all eight positions of a square."""
    return [np.rot90(side, turns) for side in (image, image[:, ::-1]) for turns in range(4)]


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 1000), st.integers(0, 50_000), st.integers(0, 3))
def test_equal_arguments_give_equal_pixels_whatever_came_before(seed: int, epoch: int, index: int, before: int) -> None:
    fresh, used = Augmentation(RICH, seed), Augmentation(RICH, seed)
    for other in range(before):
        used(NOISE, epoch, index + 1 + other)
    expected = fresh(NOISE, epoch, index)
    np.testing.assert_array_equal(used(NOISE, epoch, index), expected)
    np.testing.assert_array_equal(used(NOISE, epoch, index), expected)


def test_global_random_states_have_no_part() -> None:
    import random

    augmentation = Augmentation(RICH, seed=1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 (the state that others share)
    first = augmentation(NOISE, 0, 0)
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(augmentation(NOISE, 0, 0), first)


def test_seed_epoch_and_index_each_matter() -> None:
    def pictures(arguments: list[tuple[int, int, int]]) -> int:
        return len({Augmentation(RICH, seed)(NOISE, epoch, index).tobytes() for seed, epoch, index in arguments})

    assert pictures([(0, 0, i) for i in range(20)]) == 20
    assert pictures([(0, i, 0) for i in range(20)]) == 20
    assert pictures([(i, 0, 0) for i in range(20)]) == 20
    assert pictures([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]) == 6


def test_image_that_is_handed_in_stays_as_it_was() -> None:
    before = NOISE.copy()
    Augmentation(RICH, seed=0)(NOISE, 0, 0)
    np.testing.assert_array_equal(NOISE, before)


@pytest.mark.parametrize("bands", [1, 3, 4, 5])
def test_the_eight_numbers_give_the_eight_positions_each_once(bands: int) -> None:
    image = np.random.default_rng(0).integers(256, size=(12, 12, bands), dtype=np.uint8)
    given = [symmetric(image, which) for which in range(8)]
    assert {picture.tobytes() for picture in given} == {picture.tobytes() for picture in positions(image)}
    assert len({picture.tobytes() for picture in given}) == 8
    for which, picture in enumerate(given):
        expected = image.transpose(1, 0, 2) if which & 4 else image
        expected = np.flip(expected, tuple(axis for axis, bit in ((0, 2), (1, 1)) if which & bit))
        np.testing.assert_array_equal(picture, expected)
        assert picture.shape == image.shape
        assert picture.flags.c_contiguous
    # One after the other is again one of them.
    both = {symmetric(picture, which).tobytes() for picture in given for which in range(8)}
    assert both == {picture.tobytes() for picture in given}


def test_symmetry_is_given_of_tiles_that_cannot_be_written_to() -> None:
    image = NOISE.copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(symmetric(image, 5), np.rot90(image, -1))


def test_tile_that_is_not_square_is_turned_upright() -> None:
    assert symmetric(NOISE[:5], 6).shape == (12, 5, 3)


def symmetries(seed: int, epoch: npt.ArrayLike, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    drawn = Augmentation([dict(D4)], seed).symmetries(epoch, indices)
    assert drawn is not None
    return drawn


def test_symmetries_are_evenly_distributed_and_independent_of_neighbours() -> None:
    tiles = np.arange(8000)
    drawn = symmetries(3, 0, tiles)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (8000,)

    def surprise(counts: npt.NDArray[Any]) -> float:
        return float(((counts - counts.mean()) ** 2 / counts.mean()).sum())

    # Chi-squared with 7 degrees of freedom stays below 24.3 in 999 of 1,000 cases, with 63 below 104.
    assert surprise(np.bincount(drawn, minlength=8)) < 24.3
    others = {
        "next tile": np.roll(drawn, 1),
        "next epoch": symmetries(3, 1, tiles),
        "next seed": symmetries(4, 0, tiles),
    }
    for name, other in others.items():
        assert surprise(np.bincount(8 * drawn.astype(int) + other, minlength=64)) < 104, name
    assert surprise(np.bincount(symmetries(3, np.arange(8000), 5), minlength=8)) < 24.3  # one tile over epochs


def test_symmetries_of_a_batch_are_those_of_its_tiles() -> None:
    indices = [7, 3, 40_000, 0]
    assert symmetries(9, 2, indices).tolist() == [int(symmetries(9, 2, [index])[0]) for index in indices]
    assert symmetries(9, [2, 2, 2, 2], indices).tolist() == symmetries(9, 2, indices).tolist()


@pytest.mark.parametrize("steps", [[], [{"HorizontalFlip": {}}, dict(D4)], [{"D4": {"p": 0.5}}]])
def test_symmetries_are_for_a_leading_d4_that_always_applies(steps: list[dict[str, dict[str, Any]]]) -> None:
    augmentation = Augmentation(steps, seed=0)
    assert augmentation.symmetries(0, [1, 2]) is None
    assert augmentation.only_symmetry == (not steps)


@pytest.mark.parametrize("arguments", [{}, {"p": 1}, {"p": 1.0}])
def test_leading_d4_is_left_to_the_caller(arguments: dict[str, Any]) -> None:
    augmentation = Augmentation([{"D4": arguments}], seed=0)
    assert augmentation.only_symmetry
    assert augmentation.symmetries(0, [1]) is not None
    np.testing.assert_array_equal(augmentation(NOISE, 0, 1), NOISE)
    assert not Augmentation([{"D4": arguments}, {"GaussNoise": {}}], seed=0).only_symmetry


def test_d4_after_other_steps_gives_all_eight_positions() -> None:
    augmentation = Augmentation([{"InvertImg": {"p": 1.0}}, dict(D4)], seed=0)
    seen = {augmentation(NOISE, 0, index).tobytes() for index in range(100)}
    assert seen == {picture.tobytes() for picture in positions(255 - NOISE)}


def test_steps_draw_independently_of_each_other() -> None:
    augmentation = Augmentation([{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}], seed=0)
    pictures = [augmentation(NOISE, 0, index) for index in range(400)]
    for expected in (NOISE, NOISE[::-1], NOISE[:, ::-1], NOISE[::-1, ::-1]):
        assert sum(np.array_equal(picture, expected) for picture in pictures) == pytest.approx(100, abs=40)


def test_steps_are_applied_in_their_order() -> None:
    steps: list[dict[str, dict[str, Any]]] = [
        {"HorizontalFlip": {"p": 1.0}},
        {"Crop": {"x_max": 6, "y_max": 12, "p": 1.0}},
        {"Transpose": {"p": 1.0}},
        {"PadIfNeeded": {"min_height": 12, "min_width": 12, "position": "top_left", "p": 1.0}},
    ]
    result = Augmentation(steps, seed=0)(NOISE, 0, 0)
    np.testing.assert_array_equal(result[:6], NOISE[:, ::-1][:, :6].transpose(1, 0, 2))


USUAL: dict[str, dict[str, Any]] = {
    "HorizontalFlip": {},
    "VerticalFlip": {},
    "Affine": {"scale": [0.8, 1.2], "rotate": [-45, 45]},
    "ShiftScaleRotate": {},
    "RandomBrightnessContrast": {},
    "RandomResizedCrop": {"scale": [0.5, 0.9]},
    "RandomSizedCrop": {"min_max_height": [10, 15]},
    "CoarseDropout": {},
    "GaussNoise": {},
    "Haze": {},
    "Clouds": {},
}


@pytest.mark.filterwarnings("ignore:ShiftScaleRotate is a special case")
@pytest.mark.parametrize("name", USUAL)
@pytest.mark.parametrize("bands", [3, 4, 5])
def test_the_usual_steps_take_tiles_of_3_to_5_bands(name: str, bands: int) -> None:
    tile = np.random.default_rng(0).integers(256, size=(16, 16, bands), dtype=np.uint8)
    augmentation = Augmentation([{name: {**USUAL[name], "p": 1.0}}], seed=0, size=16, bands=bands)
    results = [augmentation(tile, 0, index) for index in range(5)]
    assert all(result.dtype == np.uint8 and result.shape == tile.shape for result in results)
    assert any((result != tile).any() for result in results)


@pytest.mark.parametrize("name", ["HueSaturationValue", "RandomFog", "CLAHE"])
def test_step_for_rgb_alone_is_refused_for_more_bands(name: str) -> None:
    steps = [dict(D4), {name: {"p": 0.1}}]
    Augmentation(steps, seed=0, size=16)
    with refused(option="data.augment", says=[name, "uint8, 16 x 16 px, 4 bands"]):
        Augmentation(steps, seed=0, size=16, bands=4)


@pytest.mark.parametrize(
    ("step", "given"),
    [
        ({"Normalize": {}}, "float32, 16 x 16 px, 3 bands"),
        ({"CenterCrop": {"height": 8, "width": 8, "p": 0.01}}, "uint8, 8 x 8 px, 3 bands"),
        ({"RandomResizedCrop": {"size": [16, 8]}}, "uint8, 16 x 8 px, 3 bands"),
        ({"ToGray": {"num_output_channels": 1}}, "uint8, 16 x 16 px, 1 bands"),
    ],
)
def test_steps_must_keep_tiles_of_their_kind(step: dict[str, dict[str, Any]], given: str) -> None:
    with refused(option="data.augment", says=["uint8, 16 x 16 px, 3 bands", given]):
        Augmentation([step], seed=0, size=16)


def test_size_of_the_tiles_is_that_of_crops_unless_they_say_another() -> None:
    steps: list[dict[str, dict[str, Any]]] = [{"RandomResizedCrop": {"scale": [0.3, 0.5], "p": 1.0}}]
    assert Augmentation(steps, seed=0, size=12)(NOISE, 0, 0).shape == NOISE.shape
    with refused(option="data.augment", says=["RandomResizedCrop", "size"]):
        Augmentation(steps, seed=0)


@pytest.mark.parametrize(
    "config", sorted((Path(__file__).parents[1] / "configs").rglob("*.yaml")), ids=lambda p: p.stem
)
def test_steps_of_the_configurations_work(config: Path) -> None:
    steps = yaml.safe_load(config.read_text()).get("data", {}).get("augment", [])
    Augmentation(steps, seed=0, size=64)


def test_steps_after_d4_see_the_tile_in_its_symmetry(tmp_path: Path) -> None:
    path = str(tmp_path / "noise.png")
    cv2.imwrite(path, NOISE)
    inverted: list[dict[str, dict[str, Any]]] = [dict(D4), {"InvertImg": {"p": 1.0}}]
    alone, followed = (
        TileDataset(files([path], 12), augmentation=Augmentation(steps, seed=0)).fetch(list(range(20)))["image"].numpy()
        for steps in ([dict(D4)], inverted)
    )
    np.testing.assert_array_equal(followed, 255 - alone)
    assert len({picture.tobytes() for picture in alone}) > 4  # 20 epochs of one tile


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
def test_batches_do_not_depend_on_workers_order_or_what_came_before(tmp_path: Path) -> None:
    rng, paths = np.random.default_rng(0), [str(tmp_path / f"{i}.png") for i in range(17)]
    for path in paths:
        cv2.imwrite(path, rng.integers(256, size=(16, 16, 3), dtype=np.uint8))
    steps = [*RICH, {"RandomResizedCrop": {"p": 0.5}}, {"Haze": {"p": 0.5}}, {"Clouds": {"p": 0.5}}]

    def batches(num_workers: int) -> list[Batch]:
        dataset = TileDataset(files(paths, 16), augmentation=Augmentation(steps, seed=4, size=16))
        sampler = EpochSampler(17, seed=0)
        loader = training_loader(dataset, 4, num_workers, sampler)
        found = []
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            found += list(loader)
        return found

    def images(batch: Batch) -> Pixels:
        return np.asarray(batch["image"].numpy())

    alone = batches(0)
    for num_workers in (1, 3):
        others = batches(num_workers)
        assert len(others) == len(alone) == 8
        for one, other in zip(alone, others, strict=True):
            np.testing.assert_array_equal(images(other), images(one))
    # A tile is the same in whatever batch, whenever it is asked for.
    dataset = TileDataset(files(paths, 16), augmentation=Augmentation(steps, seed=4, size=16))
    for epoch, batch in ((1, alone[7]), (0, alone[0])):
        for slot in (3, 0):
            key = epoch * 17 + int(batch["index"][slot])
            np.testing.assert_array_equal(images(dataset.fetch([key]))[0], images(batch)[slot])


def test_mix_is_made_of_its_options_with_the_seed() -> None:
    assert Augmentation([], seed=0).mix is None
    pictures = []
    for seed in (1, 1, 2):
        mix = Augmentation([], seed, mix=Mix(mixup_alpha=1.0, seed=seed)).mix
        assert mix is not None
        images = np.stack([NOISE, 255 - NOISE])
        mix(images, np.zeros((2, 1), dtype=np.float32), 0, [0, 1])
        pictures.append(images.tobytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_no_steps_change_nothing() -> None:
    np.testing.assert_array_equal(Augmentation([], seed=0)(NOISE, 4, 2), NOISE)


@pytest.mark.parametrize("name", ["RandomFlop", "Compose", "os", "__doc__"])
def test_unknown_transform_is_refused_with_its_name(name: str) -> None:
    with refused(option="data.augment", says=[repr(name), "Haze, Clouds"]):
        Augmentation([{name: {}}], seed=0)


@pytest.mark.parametrize("arguments", [{"p": 7}, {"probability": 0.5}, {"p": "often"}])
def test_wrong_arguments_are_refused_with_the_transform(arguments: dict[str, Any]) -> None:
    with refused(option="data.augment", says=["D4", arguments]):
        Augmentation([{"D4": arguments}], seed=0)


@pytest.mark.parametrize("step", [{}, {"D4": {}, "Transpose": {}}])
def test_step_that_is_not_one_transform_is_refused_with_an_example(step: dict[str, dict[str, Any]]) -> None:
    with refused(option="data.augment", says=[step, "{'D4': {'p': 1.0}}"]):
        Augmentation([step], seed=0)


def test_copy_sent_to_another_process_does_the_same() -> None:
    augmentation = Augmentation(RICH, seed=9)
    augmentation(NOISE, 0, 0)
    copy = pickle.loads(pickle.dumps(augmentation))
    for index in range(5):
        np.testing.assert_array_equal(copy(NOISE, 1, index), augmentation(NOISE, 1, index))
