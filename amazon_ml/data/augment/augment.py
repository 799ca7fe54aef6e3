"""Augmentation as a pure function of (seed, epoch, index).

albumentations keeps one random state in each copy of a pipeline, so with loader workers every
worker, and with fresh workers every epoch, would draw the same augmentations. Handing the steps a
new random state for each tile mends that, and makes a resumed run see what an undisturbed one would
have seen. The steps share that state: with one each from the same seed, as Compose hands out, two
flips of p = 0.5 would always come together.
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

#: The eight symmetries of the square: a tile seen from above has no right way up.
D4: Step = {"D4": {"p": 1.0}}
#: OpenCV's code to reverse the columns, the rows, or both.
_FLIPS = {1: 1, 2: 0, 3: -1}
#: What is drawn, so that each is drawn on its own.
_SYMMETRY, _STEPS = 0, 1


class Augmentation:
    """Steps that change tiles, one after the other, with their randomness handed in.

    D4 as the first step is left to the caller, who draws it with `symmetries` for a whole batch and
    applies it with `symmetric`: seeding albumentations takes longer than that.

    Parameters
    ----------
    steps
        One mapping a step, from the name of a transform of albumentations, or of ours (Haze,
        Clouds), to its arguments, such as ``{"RandomBrightnessContrast": {"p": 0.5}}``.
    seed
        Seed of the run.
    size
        Edge of the tiles, pixels. When given, it is the ``size`` of steps that need one and have
        none, such as RandomResizedCrop, and every step is tried once.
    bands
        Of the tiles; for the trial.
    mix
        Mixing of whole batches.

    Attributes
    ----------
    mix
        To be called with each batch; None where batches are not mixed.

    Raises
    ------
    InputError
        For an unknown transform, arguments that it refuses, or steps that do not work on such tiles.
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
        """Whether calling does nothing: there are no steps but, perhaps, D4 as the first."""
        return not self.steps

    def symmetries(self, epoch: npt.ArrayLike, indices: npt.ArrayLike) -> npt.NDArray[np.uint8] | None:
        """Draw which of the eight symmetries each tile gets; none where D4 is not the first step.

        Parameters
        ----------
        epoch
            Counted from 0; one for all, or one a tile.
        indices
            Which tiles, of shape (tiles,).

        Returns
        -------
        uint8 array of shape (tiles,), numbers for `symmetric`, evenly distributed.
        """
        if not self.begins_with_d4:
            return None
        return (hashed(self.seed, _SYMMETRY, epoch, indices) >> np.uint64(61)).astype(np.uint8)

    def __call__(self, image: Image, epoch: int, index: int) -> Image:
        """Apply the steps, but for D4 as the first, to one tile.

        Parameters
        ----------
        image
            uint8 of shape (height, width, bands); stays as it is.
        epoch, index
            Of the tile, counted from 0. Equal arguments give equal pixels.

        Raises
        ------
        InputError
            Where a step fails, or the tile would not stay uint8 of its shape.
        """
        if self.only_symmetry:
            return image
        return self._stepped(image, int(hashed(self.seed, _STEPS, epoch, index)[0]))

    def _stepped(self, image: Image, entropy: int, always: bool = False) -> Image:
        generator, py_random = np.random.default_rng(entropy), random.Random(entropy)
        result = np.ascontiguousarray(image)  # OpenCV reads no backward views
        for step in self.steps:
            step.set_random_state(generator, py_random)
            try:
                result = step(image=result, force_apply=always)["image"]
            except Exception as error:  # OpenCV, albumentations and what they call each raise their own kinds
                raise InputError(
                    f"data.augment: {type(step).__name__} fails on a tile ({_described(result)}): {_told(error)}"
                ) from error
        if result.dtype != np.uint8 or result.shape != image.shape:
            raise InputError(
                f"data.augment: steps must keep {_described(image)}, since the network normalises; "
                f"these give {_described(result)}"
            )
        return result


def symmetric(image: Image, which: int, out: Image | None = None) -> Image:
    """Give one of the eight symmetries of a tile.

    numpy copies a view with backward or swapped axes byte by byte, ten times as slow as OpenCV does.

    Parameters
    ----------
    image
        uint8 of shape (height, width, bands), contiguous.
    which
        In 0..7. Bit 4 swaps rows and columns; then bit 2 reverses the rows and bit 1 the columns. A
        quarter turn is 4 and 2, or 4 and 1.
    out
        Where to put it, contiguous and of the shape that comes; a new array by default.

    Returns
    -------
    `out`.
    """
    height, width, bands = image.shape
    if out is None:
        out = np.empty((width, height, bands) if which & 4 else image.shape, dtype=np.uint8)
    flip = which & 3
    if bands not in (3, 4):  # no pixel of OpenCV's; numpy moves it as one
        pixels = image.view(np.dtype((np.void, bands)))
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
        raise InputError(
            f"data.augment: each step is one name with its arguments, such as {dict(D4)}; got {dict(step)}"
        )
    ((name, arguments),) = step.items()
    transform = WEATHER.get(name) or getattr(albumentations, name, None)
    if not (isinstance(transform, type) and issubclass(transform, albumentations.BasicTransform)):
        raise InputError(f"data.augment: albumentations has no transform {name!r}; ours are {', '.join(WEATHER)}")
    if size is not None and "size" in inspect.signature(transform).parameters:
        arguments = {"size": (size, size), **arguments}
    try:
        with warnings.catch_warnings():
            # It ignores arguments that it does not know, with no more than this warning.
            warnings.filterwarnings("error", message="Argument.* not valid for transform", category=UserWarning)
            return transform(**arguments)
    except (TypeError, ValueError, UserWarning) as error:
        raise InputError(f"data.augment: {name} refuses {arguments}: {_told(error)}") from None


def _described(image: npt.NDArray[Any]) -> str:
    height, width, *bands = image.shape
    return f"{image.dtype}, {height} x {width} px, {bands[0] if bands else 1} bands"


def _told(error: Exception) -> str:
    """Put into one line what a library says; albumentations checks arguments with pydantic, which says more."""
    faults: list[Any] = getattr(error.__cause__, "errors", list)()
    told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    return told or " ".join(str(error).split())
