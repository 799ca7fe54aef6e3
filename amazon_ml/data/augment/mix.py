"""Mixup and cutmix: mix each tile of a batch, and its tags, with the tile before it.

Batches are shuffled, so the tile before is a random partner, and no tile is its own partner. Both work in place: a
batch is large, and the loader has just made it.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.images import Image

#: Shares of tags, in 0..1: float32 (tiles, tags).
Targets = npt.NDArray[np.float32]
#: A function that mixes tiles and targets in place, by a share.
Way = Callable[[Image, Targets, float, np.random.Generator], None]


class Mix:
    """Mixup or cutmix of whole batches, with explicit randomness.

    Parameters
    ----------
    mixup_alpha, cutmix_alpha
        Alpha, above 0, of the Beta(alpha, alpha) distribution of the share of a tile; if both are given, each batch
        gets one of them with equal chance.
    prob
        Share of the batches that are mixed.
    seed
        Seed of the run.
    """

    def __init__(
        self, mixup_alpha: float | None = None, cutmix_alpha: float | None = None, prob: float = 1.0, seed: int = 0
    ) -> None:
        self.seed, self.prob = seed, prob
        both: tuple[tuple[Way, float | None], ...] = ((mixup, mixup_alpha), (cutmix, cutmix_alpha))
        self.ways = [(way, alpha) for way, alpha in both if alpha is not None]

    def __call__(
        self, images: Image, targets: Targets, epoch: int, indices: Sequence[int], weights: Targets | None = None
    ) -> None:
        """Mix a batch in place, or do not change it; equal arguments give equal batches.

        Parameters
        ----------
        images
            uint8 or uint16 of shape (tiles, height, width, bands), contiguous.
        targets
            float32 of shape (tiles, tags).
        epoch
            Counted from 0.
        indices
            Positions of the tiles of the batch, in its order.
        weights
            Weight of each tile in the loss, float32 (tiles,), mixed in place, too. The target of a mixed tile is then
            the mean of both targets by share and weight, as if each of both tiles had its own term in the loss.
        """
        rng = np.random.default_rng((self.seed, epoch, *indices))
        if self.ways and rng.random() < self.prob:
            way, alpha = self.ways[rng.integers(len(self.ways))]
            share = rng.beta(alpha, alpha)
            if weights is None or (weights == weights[0]).all():
                way(images, targets, share, rng)
                return
            both = np.column_stack([targets * weights[:, None], weights])
            way(images, both, share, rng)
            weights[:] = both[:, -1]
            targets[:] = both[:, :-1] / both[:, -1:]


def mixup(images: Image, targets: Targets, share: float, rng: np.random.Generator) -> None:
    """Blend each tile with the one before it, in place (Zhang et al. 2018).

    Parameters
    ----------
    images, targets
        As in `Mix`.
    share
        Share of a tile and its tags, in 0..1; the rest is the share of its partner. It is rounded to 1/256, so that
        the sum is exact in float32 and each pixel the nearest integer.
    rng
        Not used.
    """
    share = round(256 * share) / 256
    last = images[-1].copy()
    for i in range(len(images) - 1, 0, -1):  # backwards, so that each partner is not mixed yet
        cv2.addWeighted(images[i], share, images[i - 1], 1 - share, 0, dst=images[i])
    cv2.addWeighted(images[0], share, last, 1 - share, 0, dst=images[0])
    _mix_targets(targets, share)


def cutmix(images: Image, targets: Targets, share: float, rng: np.random.Generator) -> None:
    """Paste a box of the tile before into each tile, in place (Yun et al. 2019).

    Parameters
    ----------
    images, targets
        As in `Mix`.
    share
        Share of a tile that is not pasted over, in 0..1, if the box lies inside. Tags are mixed by the exact share.
    rng
        Draws the place of the box.
    """
    rows, columns = box(share, images.shape[1], images.shape[2], rng)
    part = images[:, rows, columns]
    part[:] = np.roll(part, 1, axis=0)
    _mix_targets(targets, 1 - part[0, ..., 0].size / images[0, ..., 0].size)


def box(share: float, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw rows and columns of a box outside of which a share of a tile remains, or more if it crosses the border."""
    side = np.sqrt(1 - share)
    return _piece(round(side * height), height, rng), _piece(round(side * width), width, rng)


def _piece(length: int, whole: int, rng: np.random.Generator) -> slice:
    start = int(rng.integers(whole)) - length // 2
    return slice(max(start, 0), min(start + length, whole))


def _mix_targets(targets: Targets, share: float) -> None:
    partners = np.roll(targets, 1, axis=0)
    targets *= share
    targets += (1 - share) * partners
