"""Expected F-beta: each tile gets the set of tags that scores most on average over what may be true.

Thresholds look at one tag at a time. But whether a doubtful tag pays depends on how many others the tile
carries. With y the unknown truth, s = |y|, and an answer of k tags,

    E[F] = sum of D[i, k] over the tags i of the answer,
    D[i, k] = sum over s of P(y_i = 1, |y| = s) (1 + beta^2) / (beta^2 s + k)

so for each k the best answer is the k tags with the largest D[., k], and the best k is found by trying
all of them (the general F-measure maximiser: Dembczynski et al. 2011, *An exact algorithm for F-measure
maximization*; Waegeman et al. 2014, *On the Bayes-optimality of F-measure maximizers*). An answer
without tags scores 0 whatever is true, so there is always at least one.

What remains is P(y_i = 1, |y| = s). Where tags are independent the number of them is Poisson-binomial.
Where the tag list declares that tiles carry exactly one of some tags, or that a tag excludes all others,
those make one categorical variable, and the remaining tags are independent given that none excludes them.
"""

import numpy as np

from amazon_ml.decisions.constraints import INDEPENDENT, LabelConstraints
from amazon_ml.decisions.matrices import Floats, MultiHot

#: Tiles worked on at once, so that arrays of tiles x tags x sizes stay in a processor's cache.
_BLOCK = 256


def most_expected(p: Floats, beta: float, constraints: LabelConstraints = INDEPENDENT) -> MultiHot:
    """Predict for each tile the tags with the greatest expected F-beta.

    Parameters
    ----------
    p
        Calibrated probabilities, float64 of shape (tiles, tags), in 0..1.
    beta
        Weight of recall against precision; above 0.
    constraints
        How tags combine; all independent by default.

    Returns
    -------
    uint8 array of the shape of `p`; no row is empty.

    Examples
    --------
    >>> most_expected(np.array([[0.6, 0.4, 0.01]]), 2.0)
    array([[1, 1, 0]], dtype=uint8)
    """
    blocks = [maximise(joint_sizes(p[at : at + _BLOCK], constraints), beta) for at in range(0, len(p), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros(p.shape, dtype=np.uint8)


def maximise(joint: Floats, beta: float) -> MultiHot:
    """Give the answers with the greatest expected F-beta.

    Parameters
    ----------
    joint
        P(y_i = 1, |y| = s), shape (tiles, tags, tags + 1): the last axis is s, from 0.
    beta
        Weight of recall against precision.

    Returns
    -------
    Multi-hot uint8 array of shape (tiles, tags).
    """
    tiles, tags, _ = joint.shape
    answer_sizes, true_sizes = np.arange(1, tags + 1), np.arange(tags + 1)
    worth = joint @ ((1 + beta**2) / (beta**2 * true_sizes[:, None] + answer_sizes))
    falling = -np.sort(-worth, axis=1)
    of_size = falling.cumsum(axis=1)[:, answer_sizes - 1, answer_sizes - 1]
    best = of_size.argmax(axis=1)
    ranked = np.argsort(-worth[np.arange(tiles), :, best], axis=1, kind="stable")
    predicted = np.zeros((tiles, tags), dtype=np.uint8)
    np.put_along_axis(predicted, ranked, (np.arange(tags) <= best[:, None]).astype(np.uint8), axis=1)
    return predicted


def joint_sizes(p: Floats, constraints: LabelConstraints) -> Floats:
    """P(y_i = 1, |y| = s) of each tile, tag and size.

    Marginals are kept as far as the constraints let them: those of tags of which there is exactly one are
    scaled to add to 1, and those of the others hold over tiles with and without a tag that excludes them.
    Where the truth breaks the constraints this is an approximation; nothing is refused.

    Parameters
    ----------
    p
        Calibrated probabilities, shape (tiles, tags).
    structure
        How tags combine.

    Returns
    -------
    Array of shape (tiles, tags, tags + 1): the last axis is the size of the truth, from 0.
    """
    tiles, tags = p.shape
    alone, choice = list(constraints.alone), [tag for tag in constraints.exactly_one if tag not in constraints.alone]
    free = [tag for tag in range(tags) if tag not in (*alone, *choice)]
    total = p[:, alone + choice].sum(axis=1, keepdims=True)
    share = p / np.maximum(total, 1e-12 if choice else 1.0)
    accompanied = np.clip(1 - share[:, alone].sum(axis=1), 0, 1)[:, None]
    given = np.minimum(p[:, free] / np.maximum(accompanied, 1e-12), 1)
    without = _sizes_without_each(given)
    joint = np.zeros((tiles, tags, tags + 1))
    joint[:, alone, 1] = share[:, alone]
    least = int(bool(choice))  # tags of a tile that carries no free one
    joint[:, choice, least : least + len(free) + 1] = share[:, choice, None] * _sizes(given)[:, None]
    joint[:, free, least + 1 : least + 1 + len(free)] = (accompanied * given)[:, :, None] * without
    return joint


def _sizes(p: Floats) -> Floats:
    """Poisson-binomial: probability of each number of independent tags, shape (tiles, tags + 1)."""
    tiles, tags = p.shape
    sizes = np.zeros((tiles, tags + 1))
    sizes[:, 0] = 1
    for tag in range(tags):
        sizes = _with_one_more(sizes, p[:, tag, None])
    return sizes


def _sizes_without_each(p: Floats) -> Floats:
    """Probability of each number of the others, for each tag left out in turn: shape (tiles, tags, tags)."""
    tiles, tags = p.shape
    sizes = np.zeros((tiles, tags, tags))
    sizes[:, :, 0] = 1
    for tag in range(tags):
        others = np.arange(tags) != tag
        sizes = _with_one_more(sizes, (p[:, tag, None] * others)[:, :, None])
    return sizes


def _with_one_more(sizes: Floats, p: Floats) -> Floats:
    """Probabilities of sizes after another tag that is there with probability p; the last axis is the size."""
    more = sizes * (1 - p)
    more[..., 1:] += sizes[..., :-1] * p
    return more
