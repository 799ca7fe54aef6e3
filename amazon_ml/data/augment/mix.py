"""Mixup and cutmix: each tile of a batch is mixed with the one before it, and so are their tags.

Batches are shuffled, so the tile before is as random a partner as any, and no tile is its own. Both
work in place: a batch of tiles is large, and the loader has just made it.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.images import Image

#: Shares of tags, in 0..1: float32 (tiles, tags).
Targets = npt.NDArray[np.float32]
#: What mixes tiles and targets in place, by a share.
Way = Callable[[Image, Targets, float, np.random.Generator], None]


class Mix:
    """Mixup or cutmix of whole batches, with the randomness handed in.

    Parameters
    ----------
    mixup_alpha, cutmix_alpha
        Alpha of the Beta(alpha, alpha) distribution that the share of a tile is drawn from, more than 0; where both
        are given, one is drawn for each batch, evenly.
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

    def __call__(self, images: Image, targets: Targets, epoch: int, indices: Sequence[int]) -> None:
        """Mix a batch in place, or leave it; equal arguments give equal batches.

        Parameters
        ----------
        images
            uint8 of shape (tiles, height, width, bands), contiguous.
        targets
            float32 of shape (tiles, tags).
        epoch
            Counted from 0.
        indices
            Which tiles the batch holds, in its order.
        """
        rng = np.random.default_rng((self.seed, epoch, *indices))
        if self.ways and rng.random() < self.prob:
            way, alpha = self.ways[rng.integers(len(self.ways))]
            way(images, targets, rng.beta(alpha, alpha), rng)


def mixup(images: Image, targets: Targets, share: float, rng: np.random.Generator) -> None:
    """Blend each tile with the one before it, in place (Zhang et al. 2018).

    Parameters
    ----------
    images, targets
        As in `Mix`.
    share
        Of a tile and its tags, in 0..1; what is missing to 1 is its partner's. Taken to the nearest
        1/256, which makes the sum exact in float32 and so each pixel the nearest integer.
    rng
        Not used: the share says all.
    """
    share = round(256 * share) / 256
    last = images[-1].copy()
    for i in range(len(images) - 1, 0, -1):  # backwards: each partner is as yet unmixed
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
        Of a tile that stays, in 0..1, where the box lies inside. Tags are mixed by the exact share.
    rng
        Draws the place of the box.
    """
    rows, columns = box(share, images.shape[1], images.shape[2], rng)
    part = images[:, rows, columns]
    part[:] = np.roll(part, 1, axis=0)
    _mix_targets(targets, 1 - part[0, ..., 0].size / images[0, ..., 0].size)


def box(share: float, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw rows and columns of a box that leaves a share of a tile, or more where it reaches over the border."""
    side = np.sqrt(1 - share)
    return _piece(round(side * height), height, rng), _piece(round(side * width), width, rng)


def _piece(length: int, whole: int, rng: np.random.Generator) -> slice:
    start = int(rng.integers(whole)) - length // 2
    return slice(max(start, 0), min(start + length, whole))


def _mix_targets(targets: Targets, share: float) -> None:
    partners = np.roll(targets, 1, axis=0)
    targets *= share
    targets += (1 - share) * partners
