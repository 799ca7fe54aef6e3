"""Expected F-beta: predicts for each tile the set of tags with the largest expected score.

Thresholds treat one tag at a time. But the gain of an uncertain tag depends on the number of other tags of the tile.
With y the unknown truth, s = |y|, and a prediction of k tags,

    E[F] = sum of D[i, k] over the tags i of the prediction,
    D[i, k] = sum over s of P(y_i = 1, |y| = s) (1 + beta^2) / (beta^2 s + k)

so for each k > 0 the best prediction is the k tags with the largest D[., k], and the best k is found by trying
all of them (the general F-measure maximiser: Dembczynski et al. 2011, *An exact algorithm for F-measure
maximization*; Waegeman et al. 2014, *On the Bayes-optimality of F-measure maximizers*). A prediction without tags, k =
0, scores 1 if the tile has none, and 0 otherwise: its expected score is P(|y| = 0). Where every tile is known to have
a tag, it is not tried. Elsewhere P(|y| = 0) is given: a product of all 1 - p is far too large where tags exclude each
other.

It remains to compute P(y_i = 1, |y| = s). If tags are independent, their number is Poisson-binomial. If the tag list
declares that tiles have exactly one of some tags, or that a tag excludes all others, these tags form one categorical
variable, and the other tags are independent if none excludes them.
"""

import numpy as np

from amazon_ml.decisions.constraints import INDEPENDENT, LabelConstraints
from amazon_ml.decisions.matrices import Floats, MultiHot

#: Number of tiles that are computed at once, so that arrays of tiles x tags x sizes fit into the cache.
_BLOCK = 256


def most_expected(
    p: Floats, beta: float, constraints: LabelConstraints = INDEPENDENT, untagged: Floats | None = None
) -> MultiHot:
    """Predict for each tile the tags with the largest expected F-beta.

    Parameters
    ----------
    p
        Calibrated probabilities, float64 of shape (tiles, tags), in 0..1.
    beta
        Weight of recall against precision; above 0.
    constraints
        Rules on combinations of tags, which hold for tiles with a tag; all independent by default.
    untagged
        Probability that a tile has no tag, shape (tiles,); None to predict at least one tag for each tile.

    Returns
    -------
    uint8 array of the shape of `p`.

    Examples
    --------
    >>> most_expected(np.array([[0.6, 0.4, 0.01], [0.02, 0.01, 0.01]]), 2.0, untagged=np.array([0.1, 0.95]))
    array([[1, 1, 0],
           [0, 0, 0]], dtype=uint8)
    """
    blocks = [
        maximise(joint_sizes(p[rows], constraints), beta, None if untagged is None else untagged[rows])
        for rows in (slice(at, at + _BLOCK) for at in range(0, len(p), _BLOCK))
    ]
    return np.concatenate(blocks) if blocks else np.zeros(p.shape, dtype=np.uint8)


def maximise(joint: Floats, beta: float, untagged: Floats | None = None) -> MultiHot:
    """Find the predictions with the largest expected F-beta.

    Parameters
    ----------
    joint
        P(y_i = 1, |y| = s), shape (tiles, tags, tags + 1): the last axis is s, from 0.
    beta
        Weight of recall against precision.
    untagged
        P(|y| = 0), shape (tiles,), in place of that of `joint`, whose other probabilities change in proportion; None
        to predict at least one tag for each tile.

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
    if untagged is not None:
        tagged = (joint[..., 1:] / answer_sizes).sum(axis=(1, 2))  # each truth of s tags is counted s times
        score = of_size.max(axis=1) / np.maximum(tagged, 1e-12) * (1 - untagged)
        predicted[untagged > score] = 0
    return predicted


def joint_sizes(p: Floats, constraints: LabelConstraints) -> Floats:
    """Compute P(y_i = 1, |y| = s) of each tile, tag and size.

    Marginals change only where the constraints require it: those of a group with exactly one tag are scaled to the sum
    1, and those of the others hold over tiles with and without a tag that excludes them. If the truth breaks the
    constraints, this is an approximation.

    Parameters
    ----------
    p
        Calibrated probabilities, shape (tiles, tags).
    constraints
        Rules on combinations of tags.

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
    least = int(bool(choice))  # number of tags of a tile without a free one
    joint[:, choice, least : least + len(free) + 1] = share[:, choice, None] * _sizes(given)[:, None]
    joint[:, free, least + 1 : least + 1 + len(free)] = (accompanied * given)[:, :, None] * without
    return joint


def _sizes(p: Floats) -> Floats:
    """Compute the probability of each number of independent tags (Poisson-binomial), shape (tiles, tags + 1)."""
    tiles, tags = p.shape
    columns = np.ascontiguousarray(p.T)
    sizes = np.zeros((tags + 1, tiles))
    sizes[0] = 1
    for tag in range(tags):
        _add_tag(sizes[: tag + 2], columns[tag])
    return sizes.T


def _sizes_without_each(p: Floats) -> Floats:
    """Compute the probability of each number of the other tags, for each tag: shape (tiles, tags, tags)."""
    tiles, tags = p.shape
    columns = np.ascontiguousarray(p.T)
    sizes = np.zeros((tags, tags, tiles))  # the last axis is the longest one
    sizes[:1] = 1  # there may be no tag
    for tag in range(tags):
        others = np.arange(tags) != tag
        _add_tag(sizes[: tag + 2], columns[tag] * others[:, None])
    return sizes.T


def _add_tag(sizes: Floats, p: Floats) -> None:
    """Change the probabilities of sizes, the first axis, to those with one more tag of probability p."""
    more = sizes[:-1] * p
    sizes *= 1 - p
    sizes[1:] += more
