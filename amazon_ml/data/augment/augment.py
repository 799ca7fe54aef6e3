"""Augmentation as a pure function of (seed, epoch, index).

albumentations stores one random state in each copy of a pipeline. So all loader processes would draw the same
augmentations, and new ones would draw them again in every epoch. Here the steps get a new random state for each tile,
so a resumed run sees the same tiles as an uninterrupted one. All steps share that state: with a state of its own for
each step, but from the same seed as in Compose, two flips of p = 0.5 would always come together.
"""

import inspect
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import albumentations
import cv2
import numpy as np
import numpy.typing as npt

from amazon_ml.data.augment.draws import hashed
from amazon_ml.data.augment.mix import Mix
from amazon_ml.data.augment.weather import WEATHER
from amazon_ml.data.readers.images import Image
from amazon_ml.errors import InputError

Step = Mapping[str, dict[str, Any]]

#: The eight symmetries of the square: a tile seen from above has no upright position.
D4: Step = {"D4": {"p": 1.0}}
#: OpenCV's code to reverse the columns, the rows, or both.
_FLIPS = {1: 1, 2: 0, 3: -1}
#: Numbers of the independent draws.
_SYMMETRY, _STEPS = 0, 1


class Augmentation:
    """Steps of augmentation, applied in order, with explicit randomness.

    The caller applies D4 as the first step: it draws the symmetries with `symmetries` for a whole batch and applies
    them with `symmetric`, since seeding albumentations takes longer.

    Parameters
    ----------
    steps
        One mapping for each step, from the name of a transform of albumentations or of this package (Haze, Clouds) to
        its arguments, such as ``{"RandomBrightnessContrast": {"p": 0.5}}``.
    seed
        Seed of the run.
    size
        Edge of the tiles, pixels. If given, it is the ``size`` of steps that need one and have none, such as
        RandomResizedCrop, and every step is tried once.
    bands
        Number of bands of the tiles, for the trial.
    mix
        Mixing of whole batches.

    Attributes
    ----------
    mix
        Mixing, called with each batch; None where batches are not mixed.

    Raises
    ------
    InputError
        If a transform is unknown, its arguments are wrong, or steps do not work on such tiles.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        seed: int,
        size: int | None = None,
        bands: int = 3,
        mix: Mix | None = None,
    ) -> None:
        self.seed = seed
        self.steps = [_transform(step, size) for step in steps]
        first = self.steps[0] if self.steps else None
        self.begins_with_d4 = isinstance(first, albumentations.D4) and first.p == 1
        if self.begins_with_d4:
            del self.steps[0]
        self.mix = mix
        if size is not None:
            noise = np.random.default_rng(0).integers(256, size=(size, size, bands), dtype=np.uint8)
            self._stepped(noise, entropy=0, always=True)

    @property
    def only_symmetry(self) -> bool:
        """Whether there are no steps except D4 as the first, so that a call does nothing."""
        return not self.steps

    def symmetries(self, epoch: npt.ArrayLike, indices: npt.ArrayLike) -> npt.NDArray[np.uint8] | None:
        """Draw one of the eight symmetries for each tile; None if D4 is not the first step.

        Parameters
        ----------
        epoch
            Counted from 0; one for all tiles, or one for each.
        indices
            Positions of the tiles, of shape (tiles,).

        Returns
        -------
        uint8 array of shape (tiles,), numbers for `symmetric`, evenly distributed.
        """
        if not self.begins_with_d4:
            return None
        return (hashed(self.seed, _SYMMETRY, epoch, indices) >> np.uint64(61)).astype(np.uint8)

    def __call__(self, image: Image, epoch: int, index: int) -> Image:
        """Apply the steps, except D4 as the first, to one tile.

        Parameters
        ----------
        image
            uint8 of shape (height, width, bands); it is not changed.
        epoch, index
            Epoch, and position of the tile, counted from 0. Equal arguments give equal pixels.

        Raises
        ------
        InputError
            If a step fails, or changes the type or the shape of the tile.
        """
        if self.only_symmetry:
            return image
        return self._stepped(image, int(hashed(self.seed, _STEPS, epoch, index)[0]))

    def _stepped(self, image: Image, entropy: int, always: bool = False) -> Image:
        generator, py_random = np.random.default_rng(entropy), random.Random(entropy)
        result = np.ascontiguousarray(image)  # OpenCV cannot read views with negative strides
        for step in self.steps:
            step.set_random_state(generator, py_random)
            try:
                result = step(image=result, force_apply=always)["image"]
            except Exception as error:  # OpenCV, albumentations and others each raise their own types
                raise InputError(
                    f"`data.augment`: {type(step).__name__} fails on a tile ({_describe(result)}): "
                    f"{_describe_error(error)}", option="data.augment",
                ) from error  # fmt: skip
        if result.dtype != np.uint8 or result.shape != image.shape:
            raise InputError(
                f"`data.augment`: steps must return {_describe(image)}, since the network normalises; these return "
                f"{_describe(result)}", option="data.augment",
            )  # fmt: skip
        return result


def symmetric(image: Image, which: int, out: Image | None = None) -> Image:
    """Apply one of the eight symmetries to a tile.

    numpy copies a view with reversed or swapped axes byte by byte, ten times as slow as OpenCV.

    Parameters
    ----------
    image
        uint8 of shape (height, width, bands), contiguous.
    which
        In 0..7. Bit 4 swaps rows and columns; then bit 2 reverses the rows and bit 1 the columns. A
        quarter turn is 4 and 2, or 4 and 1.
    out
        Array for the result, contiguous and of its shape; a new array by default.

    Returns
    -------
    `out`.
    """
    height, width, bands = image.shape
    if out is None:
        out = np.empty((width, height, bands) if which & 4 else image.shape, dtype=image.dtype)
    flip = which & 3
    if bands not in (3, 4):  # OpenCV has no such pixels; numpy moves each as one element
        pixels = image.view(np.dtype((np.void, bands * image.itemsize)))
        turned = pixels.swapaxes(0, 1) if which & 4 else pixels
        out.view(pixels.dtype)[:] = turned[:: -1 if which & 2 else 1, :: -1 if which & 1 else 1]
    elif flip:
        cv2.flip(cv2.transpose(image) if which & 4 else image, _FLIPS[flip], dst=out)
    elif which & 4:
        cv2.transpose(image, dst=out)
    else:
        out[:] = image
    return out


def _transform(step: Step, size: int | None) -> Any:
    if len(step) != 1:
        problem = f"`data.augment`: each step is one name with its arguments, such as {dict(D4)}, not {dict(step)}"
        raise InputError(problem, option="data.augment")
    ((name, arguments),) = step.items()
    transform = WEATHER.get(name) or getattr(albumentations, name, None)
    if not (isinstance(transform, type) and issubclass(transform, albumentations.BasicTransform)):
        problem = f"`data.augment`: albumentations has no transform {name!r}; this package has {', '.join(WEATHER)}"
        raise InputError(problem, option="data.augment")
    if size is not None and "size" in inspect.signature(transform).parameters:
        arguments = {"size": (size, size), **arguments}
    try:
        with warnings.catch_warnings():
            # albumentations ignores unknown arguments with only this warning.
            warnings.filterwarnings("error", message="Argument.* not valid for transform", category=UserWarning)
            return transform(**arguments)
    except (TypeError, ValueError, UserWarning) as error:
        problem = f"`data.augment`: {name} does not accept {arguments}: {_describe_error(error)}"
        raise InputError(problem, option="data.augment") from None


def _describe(image: npt.NDArray[Any]) -> str:
    height, width, *bands = image.shape
    return f"{image.dtype}, {height} x {width} px, {bands[0] if bands else 1} bands"


def _describe_error(error: Exception) -> str:
    """Write the message of a library in one line; pydantic, with which albumentations checks arguments, has details."""
    faults: list[Any] = getattr(error.__cause__, "errors", list)()
    details = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    return details or " ".join(str(error).split())
