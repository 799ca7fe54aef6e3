"""The order of training tiles where a teacher tags some of them: every batch has the same share of these."""

import numpy as np
import numpy.typing as npt

from amazon_ml.data.batches.dataset import EpochSampler
from amazon_ml.data.config import count_untagged

#: Third number of the seeds of untagged tiles, and of the order within batches.
_UNTAGGED, _WITHIN = 1, 2


class TaughtSampler(EpochSampler):
    """Order of tagged and untagged tiles as a pure function of (seed, epoch), with a fixed share in each batch.

    An epoch shows each tagged tile once, except those that do not fill the last batch. Where there are fewer tagged
    tiles than a batch has places for them, an epoch is one smaller batch of the same share. The untagged tiles are
    shuffled and shown one after the other; the next epoch begins where the last one ended, and when all have been
    shown, they are shuffled again.

    Parameters
    ----------
    tagged
        Number of tagged tiles; these have the first positions.
    untagged
        Number of untagged tiles.
    batch_size
        Tiles in a batch of one process.
    share
        Share of untagged tiles in a batch, between 0 and 1; rounded to whole tiles, at least one of both kinds.
    seed, rank, world_size
        As for `EpochSampler`.

    Raises
    ------
    InputError
        If a batch would have no tagged or no untagged tile.
    """

    def __init__(
        self, tagged: int, untagged: int, batch_size: int, share: float, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(tagged + untagged, seed, rank, world_size)
        self.tagged, self.untagged = tagged, untagged
        self.untagged_in_batch = count_untagged(share, batch_size)
        self.tagged_in_batch = batch_size - self.untagged_in_batch
        mine = tagged // world_size
        if mine < self.tagged_in_batch:  # fewer tiles than a batch make one batch, of the same share
            self.tagged_in_batch = max(1, mine)
            self.untagged_in_batch = max(1, round(share / (1 - share) * self.tagged_in_batch))
        self.batches = max(1, mine // self.tagged_in_batch)

    def __len__(self) -> int:
        return self.batches * (self.tagged_in_batch + self.untagged_in_batch)

    def order(self) -> npt.NDArray[np.int64]:
        """Give the positions of the tiles of this process in this epoch, batch after batch."""
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.tagged)
        parts = [
            part[: self.batches * size * self.world_size][self.rank :: self.world_size].reshape(self.batches, size)
            for part, size in ((order, self.tagged_in_batch), (self._untagged_order(), self.untagged_in_batch))
        ]
        batches = np.concatenate(parts, axis=1)
        rng = np.random.default_rng((self.seed, self.epoch, _WITHIN))
        return np.asarray(rng.permuted(batches, axis=1).ravel(), dtype=np.int64)

    def _untagged_order(self) -> npt.NDArray[np.int64]:
        """Give the positions of the untagged tiles of all processes in this epoch."""
        count = self.batches * self.untagged_in_batch * self.world_size
        first = self.epoch * count
        passes = range(first // self.untagged, (first + count - 1) // self.untagged + 1)
        shuffled = [
            np.random.default_rng((self.seed, number, _UNTAGGED)).permutation(self.untagged) for number in passes
        ]
        begin = first - passes[0] * self.untagged
        return self.tagged + np.concatenate(shuffled)[begin : begin + count]
