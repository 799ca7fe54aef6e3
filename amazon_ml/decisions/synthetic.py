"""Synthetic probabilities and true tags, to try rules on."""

import numpy as np

from amazon_ml.decisions.logistic import sigmoid
from amazon_ml.decisions.matrices import Floats, MultiHot
from amazon_ml.labels import PLANET

#: Shares of tiles, in the order of PLANET: weather tags, of which each tile has one, and ground tags of tiles that are
#: not cloudy.
_WEATHER = (0.70, 0.18, 0.07, 0.05)
_GROUND = (0.97, 0.32, 0.21, 0.19, 0.12, 0.10, 0.022, 0.009, 0.009, 0.009, 0.006, 0.003, 0.003)


def draw_rows(tiles: int, seed: int = 0, *, noise: float = 1.0) -> tuple[Floats, MultiHot]:
    """Draw probabilities and true tags with the difficulties of real ones.

    The true tags obey the label logic of the competition, and are common to rare; ground tags are correlated, as roads
    and habitation are. The probabilities order the tags imperfectly, have correlated errors within a tile, and are
    miscalibrated: each tag is over- or underconfident, and shifted.

    Parameters
    ----------
    tiles
        Number of rows.
    seed
        Equal seeds give equal rows.
    noise
        Spread of the errors; 1 gives an F2 near that of a small network on thumbnails.

    Returns
    -------
    Probabilities (float64) and multi-hot truth (uint8), both of shape (tiles, 17), tags as in `PLANET`.
    """
    rng = np.random.default_rng(seed)
    weather = rng.choice(4, size=tiles, p=_WEATHER)
    frequency = np.array(_GROUND)
    inhabited = rng.normal(size=(tiles, 1))
    ground = sigmoid(1.2 * inhabited + 1.2 * np.log(frequency / (1 - frequency))) > rng.random((tiles, 13))
    ground[:, 0] |= ~ground.any(axis=1)
    true = np.concatenate([np.eye(4)[weather], ground & (weather != PLANET.names.index("cloudy"))[:, None]], axis=1)
    error = 1.3 * rng.normal(size=(tiles, 17)) + 0.7 * rng.normal(size=(tiles, 1))
    share = true.mean(axis=0).clip(0.001, 0.999)
    score = 4.5 * (true - 0.5) + noise * error + 0.7 * np.log(share / (1 - share))
    confidence, shift = rng.uniform(0.6, 1.5, 17), rng.normal(0, 0.4, 17)
    return sigmoid(confidence * score + shift), true.astype(np.uint8)
