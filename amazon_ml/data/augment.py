"""Augmentation as a pure function of (seed, epoch, index).

albumentations keeps one random state in each copy of a pipeline, so with loader workers every
worker, and with fresh workers every epoch, would draw the same augmentations. Seeding the pipeline
anew for each tile mends that, and makes a resumed run see what an undisturbed one would have seen.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amazon_ml.data.images import Image
from amazon_ml.errors import InputError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for a newer release
import albumentations

#: The eight symmetries of the square: a tile seen from above has no right way up.
D4: Mapping[str, dict[str, Any]] = {"D4": {"p": 1.0}}


class Augmentation:
    """An albumentations pipeline with its randomness handed in.

    Parameters
    ----------
    steps
        One mapping a step, from the name of an albumentations transform to its arguments, such as
        ``{"RandomBrightnessContrast": {"p": 0.5}}``.
    seed
        Seed of the run.

    Raises
    ------
    InputError
        For an unknown transform or arguments that it refuses.
    """

    def __init__(self, steps: Sequence[Mapping[str, dict[str, Any]]], seed: int) -> None:
        self.seed = seed
        transforms = [_transform(step) for step in steps]
        # Seeding and calling a pipeline takes albumentations longer than reading a thumbnail. A symmetry is a
        # view in numpy: where D4 comes first, as by default, it is drawn here.
        self.begins_with_d4 = bool(steps) and steps[0] == D4
        self.pipeline = albumentations.Compose(transforms[1:] if self.begins_with_d4 else transforms)

    def __call__(self, image: Image, epoch: int, index: int) -> Image:
        """Augment one tile, uint8 (height, width, 3); equal arguments give equal pixels, perhaps as a view."""
        symmetry, entropy = np.random.SeedSequence((self.seed, epoch, index)).generate_state(2)
        if self.begins_with_d4:
            image = _symmetric(image, int(symmetry) % 8)
        if self.pipeline.transforms:
            self.pipeline.set_random_seed(int(entropy))
            image = self.pipeline(image=np.ascontiguousarray(image))["image"]  # OpenCV reads no backward views
        return image


def _symmetric(image: Image, which: int) -> Image:
    """Give one of the eight symmetries of a tile, as a view: a quarter turn is a transposition and a flip."""
    transposed = image.swapaxes(0, 1) if which & 4 else image
    return transposed[:: -1 if which & 2 else 1, :: -1 if which & 1 else 1]


def _transform(step: Mapping[str, dict[str, Any]]) -> Any:
    if len(step) != 1:
        raise InputError(
            f"data.augment: each step is one name with its arguments, such as {dict(D4)}; got {dict(step)}"
        )
    ((name, arguments),) = step.items()
    transform = getattr(albumentations, name, None)
    if not (isinstance(transform, type) and issubclass(transform, albumentations.BasicTransform)):
        raise InputError(f"data.augment: albumentations has no transform {name!r}")
    try:
        with warnings.catch_warnings():
            # It ignores arguments that it does not know, with no more than this warning.
            warnings.filterwarnings("error", message="Argument.* not valid for transform", category=UserWarning)
            return transform(**arguments)
    except (TypeError, ValueError, UserWarning) as error:
        raise InputError(f"data.augment: {name} refuses {arguments}: {error}") from None
