"""Test-time augmentation: the views of a tile whose probabilities are averaged.

A tile seen from above means the same turned or mirrored, so the average over such views has less
variance than one view. Tags have no place in the tile: nothing has to be turned back.
"""

from collections.abc import Callable, Iterator

import torch

Views = Callable[[torch.Tensor], Iterator[torch.Tensor]]


def _one(images: torch.Tensor) -> Iterator[torch.Tensor]:
    yield images


def _flips(images: torch.Tensor) -> Iterator[torch.Tensor]:
    for axes in ((), (1,), (2,), (1, 2)):
        yield images.flip(axes) if axes else images


def _d4(images: torch.Tensor) -> Iterator[torch.Tensor]:
    for quarter_turns in range(4):
        turned = images.rot90(quarter_turns, (1, 2))
        yield turned
        yield turned.flip(1)


#: Name to the views of a batch of images, (tiles, height, width, channels).
VIEWS: dict[str, Views] = {"none": _one, "flips": _flips, "d4": _d4}
