"""Test-time augmentation: averages predictions over views of a tile.

A tile seen from above means the same when it is turned or mirrored, so the average over such views has less variance
than one view. Tags have no place in the tile, so the results need not be turned back.

In the mean of probabilities, the influence of each view is bounded. The mean of logits is the geometric mean of the
odds, where one very certain view can outweigh all others.
"""

from collections.abc import Callable, Iterator, Sequence

import torch

Views = Callable[[torch.Tensor], Iterator[torch.Tensor]]
#: A function from logits to probabilities, both (tiles, tags).
Link = Callable[[torch.Tensor], torch.Tensor]


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


#: By name, the views of a batch of images, (tiles, height, width, channels).
VIEWS: dict[str, Views] = {"none": _one, "flips": _flips, "d4": _d4}


def turned(name: str, images: torch.Tensor) -> Iterator[torch.Tensor]:
    """Give the views of a batch of levels by the name of `VIEWS`; signed numbers of 16 bits turn on every device."""
    if images.dtype != torch.uint16:
        return VIEWS[name](images)
    return (view.view(torch.uint16) for view in VIEWS[name](images.view(torch.int16)))


def _of_probabilities(views: Sequence[torch.Tensor], link: Link) -> torch.Tensor:
    return torch.stack([link(logits) for logits in views]).mean(dim=0)


def _of_logits(views: Sequence[torch.Tensor], link: Link) -> torch.Tensor:
    return link(torch.stack([*views]).mean(dim=0))


#: By name, the mean over views: from the logits of each view and the link of the loss to probabilities (tiles, tags).
MEANS: dict[str, Callable[[Sequence[torch.Tensor], Link], torch.Tensor]] = {
    "probability": _of_probabilities,
    "logit": _of_logits,
}
