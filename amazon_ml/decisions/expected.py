"""Expected F-beta: each tile gets the set of tags that scores most on average over what may be true.

Cut-offs look at one tag at a time. But whether a doubtful tag pays depends on how many others the tile
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

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.calibration import Calibration, Isotonic, Platt, Temperature, platt
from amazon_ml.decisions.matrices import Floats, Hot
from amazon_ml.decisions.stacking import Stack
from amazon_ml.labels import TagSet

#: Tiles worked on at once, so that arrays of tiles x tags x sizes stay in a processor's cache.
_BLOCK = 256

#: What a decision's file calls each map to calibrated probabilities.
_CALIBRATIONS: dict[str, Any] = {"platt": Platt, "temperature": Temperature, "isotonic": Isotonic, "stack": Stack}


@dataclass(frozen=True)
class Structure:
    """How tags combine, by column: what `TagSet` declares by name.

    Parameters
    ----------
    exactly_one
        Columns of which every tile carries exactly one; empty where there is no such rule.
    alone
        Columns that exclude every other.
    """

    exactly_one: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()

    @classmethod
    def of(cls, tags: TagSet) -> Self:
        """Look up the columns of the declared tags."""
        return cls(*(tuple(map(tags.names.index, declared)) for declared in (tags.exactly_one, tags.alone)))


#: No tag says anything about another.
INDEPENDENT = Structure()


@dataclass(frozen=True)
class Expected:
    """Calibrate, then give each tile the tags with the greatest expected F-beta.

    Parameters
    ----------
    beta
        Weight of recall against precision.
    calibration
        Makes the probabilities mean what they say.
    structure
        How tags combine; all independent by default.
    """

    beta: float
    calibration: Calibration
    structure: Structure = INDEPENDENT

    def decide(self, probabilities: npt.ArrayLike) -> Hot:
        """Tags of each tile: multi-hot uint8 of shape (tiles, tags), never without a tag."""
        p = self.calibration.apply(probabilities)
        blocks = [
            maximise(joint_sizes(p[at : at + _BLOCK], self.structure), self.beta) for at in range(0, len(p), _BLOCK)
        ]
        return np.concatenate(blocks) if blocks else np.zeros(p.shape, dtype=np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """Give the rule as plain data."""
        kind = next(name for name, kind in _CALIBRATIONS.items() if isinstance(self.calibration, kind))
        return {
            "beta": self.beta,
            "calibration": {"kind": kind, **self.calibration.to_dict()},
            "structure": asdict(self.structure),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make the rule from `to_dict`'s data."""
        calibration, structure = content["calibration"], content["structure"]
        return cls(
            float(content["beta"]),
            _CALIBRATIONS[calibration["kind"]].from_dict(calibration),
            Structure(tuple(map(int, structure["exactly_one"])), tuple(map(int, structure["alone"]))),
        )


def expected(
    probabilities: npt.ArrayLike,
    targets: npt.ArrayLike,
    beta: float = 2.0,
    structure: Structure = INDEPENDENT,
    calibrate: Callable[[npt.ArrayLike, npt.ArrayLike], Calibration] = platt,
) -> Expected:
    """Fit the calibration; nothing else is fitted.

    Parameters
    ----------
    probabilities
        Finite values in 0..1, shape (tiles, tags); for `stack` also (tiles, networks x tags).
    targets
        Multi-hot truth, shape (tiles, tags).
    beta
        Weight of recall against precision in the F-beta that is expected.
    structure
        How tags combine; all independent by default. It need not hold for every tile.
    calibrate
        `platt`, `temperature`, `isotonic` or `stack`.
    """
    return Expected(beta, calibrate(probabilities, targets), structure)


def maximise(joint: Floats, beta: float) -> Hot:
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
    decided = np.zeros((tiles, tags), dtype=np.uint8)
    np.put_along_axis(decided, ranked, (np.arange(tags) <= best[:, None]).astype(np.uint8), axis=1)
    return decided


def joint_sizes(p: Floats, structure: Structure) -> Floats:
    """P(y_i = 1, |y| = s) of each tile, tag and size.

    Marginals are kept as far as the structure lets them: those of tags of which there is exactly one are
    scaled to add to 1, and those of the others hold over tiles with and without a tag that excludes them.
    Where the truth breaks the structure this is an approximation; nothing is refused.

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
    alone, choice = list(structure.alone), [tag for tag in structure.exactly_one if tag not in structure.alone]
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
