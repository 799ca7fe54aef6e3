import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amazon_ml.data.augment import D4, Augmentation
from amazon_ml.errors import InputError

Pixels = npt.NDArray[np.uint8]
NOISE: Pixels = np.random.default_rng(0).integers(256, size=(12, 12, 3), dtype=np.uint8)
#: Random in every way: which, how much, and pixel by pixel.
RICH: list[dict[str, dict[str, Any]]] = [
    dict(D4),
    {"RandomBrightnessContrast": {"p": 0.5}},
    {"HueSaturationValue": {"p": 0.5}},
    {"GaussNoise": {"p": 1.0}},
]


def symmetries(image: Pixels) -> list[Pixels]:
    """The image in all eight positions of a square."""
    return [np.rot90(side, turns) for side in (image, image[:, ::-1]) for turns in range(4)]


@settings(deadline=None, max_examples=60)
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


def test_d4_gives_each_of_the_eight_symmetries_about_equally_often() -> None:
    wanted = {picture.tobytes(): i for i, picture in enumerate(symmetries(NOISE))}
    assert len(wanted) == 8
    augmentation = Augmentation([dict(D4)], seed=3)
    counts = np.zeros(8, dtype=int)
    for index in range(1600):
        result = augmentation(NOISE, 0, index)
        assert result.shape == NOISE.shape
        assert result.dtype == np.uint8
        counts[wanted[result.tobytes()]] += 1
    # Chi-squared with 7 degrees of freedom stays below 24.3 in 999 of 1,000 cases.
    assert ((counts - 200) ** 2 / 200).sum() < 24.3


def test_steps_after_d4_see_the_symmetry_and_draw_for_themselves() -> None:
    steps: list[dict[str, dict[str, Any]]] = [dict(D4), {"InvertImg": {"p": 1.0}}, {"HorizontalFlip": {"p": 0.5}}]
    alone, followed = Augmentation([dict(D4)], seed=0), Augmentation(steps, seed=0)
    flipped = 0
    for index in range(40):
        inverted, result = 255 - alone(NOISE, 0, index), followed(NOISE, 0, index)
        assert np.array_equal(result, inverted) or np.array_equal(result, inverted[:, ::-1])
        flipped += not np.array_equal(result, inverted)
    assert 5 < flipped < 35


def test_tile_meets_all_symmetries_over_epochs() -> None:
    augmentation = Augmentation([dict(D4)], seed=0)
    assert len({augmentation(NOISE, epoch, 5).tobytes() for epoch in range(100)}) == 8


def test_steps_are_applied_in_their_order() -> None:
    steps: list[dict[str, dict[str, Any]]] = [
        {"HorizontalFlip": {"p": 1.0}},
        {"CenterCrop": {"height": 6, "width": 12, "p": 1.0}},
        {"Transpose": {"p": 1.0}},
    ]
    np.testing.assert_array_equal(Augmentation(steps, seed=0)(NOISE, 0, 0), NOISE[:, ::-1][3:9].transpose(1, 0, 2))


def test_no_steps_change_nothing() -> None:
    np.testing.assert_array_equal(Augmentation([], seed=0)(NOISE, 4, 2), NOISE)


@pytest.mark.parametrize("name", ["RandomFlop", "Compose", "os", "__doc__"])
def test_unknown_transform_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(InputError, match=rf"data\.augment: albumentations has no transform '{name}'"):
        Augmentation([{name: {}}], seed=0)


@pytest.mark.parametrize("arguments", [{"p": 7}, {"probability": 0.5}, {"p": "often"}])
def test_wrong_arguments_are_refused_with_the_transform(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"data\.augment: D4 refuses \{'p"):
        Augmentation([{"D4": arguments}], seed=0)


@pytest.mark.parametrize("step", [{}, {"D4": {}, "Transpose": {}}])
def test_step_that_is_not_one_transform_is_refused_with_an_example(step: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"data\.augment: each step is one name .* such as \{'D4'"):
        Augmentation([step], seed=0)


def test_copy_sent_to_another_process_does_the_same() -> None:
    augmentation = Augmentation(RICH, seed=9)
    augmentation(NOISE, 0, 0)
    copy = pickle.loads(pickle.dumps(augmentation))
    for index in range(5):
        np.testing.assert_array_equal(copy(NOISE, 1, index), augmentation(NOISE, 1, index))
