"""Cut-offs: from probabilities to tags, and the exact search for the cut-offs that maximise F-beta.

Why exact, and why it is fast. Hold all cut-offs but one. A tile's F-beta then depends on the last
tag only through "on" or "off", so each tile has a fixed gain: F-beta with the tag on, minus F-beta
with it off. A cut-off turns the tag on for the tiles with the highest probabilities. Sort the tiles
by probability, and the running sum of their gains is the change of the score for every cut-off
there is; its maximum is the exact best cut, at the cost of one sort. Going round the tags until no
cut-off moves ends in a fixed point, since every move raises the score and there are finitely many
cuts. It is a local maximum: no single cut-off can be changed to gain more.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.fbeta import Floats

#: The cut-off that the search starts from, and the baseline it is compared with. With beta = 2 and
#: a handful of tags a tile, the best global cut-off of a calibrated network lies near it.
START = 0.2

#: Gains below this are rounding, not improvement; it keeps the search from moving back and forth.
_LEAST_GAIN = 1e-9


@dataclass(frozen=True)
class Thresholds:
    """One cut-off a tag. A tag is on where its probability reaches the cut-off.

    Parameters
    ----------
    values
        Cut-offs, one a tag. 0 is always on; a value above 1 is never on.
    at_least_one
        Give a tile that reaches no cut-off its most probable tag. Under F-beta an empty answer
        scores 0, so this never costs where every tile has a tag.
    """

    values: tuple[float, ...]
    at_least_one: bool = True

    def decide(self, probabilities: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Tags of each tile: multi-hot uint8 of the shape of `probabilities`, (tiles, tags)."""
        p = np.asarray(probabilities, dtype=np.float64)
        if p.ndim != 2 or p.shape[1] != len(self.values):
            raise ValueError(f"expected probabilities of shape (tiles, {len(self.values)}), got {p.shape}")
        on = p >= np.array(self.values)
        if self.at_least_one:
            empty = np.flatnonzero(~on.any(axis=1))
            on[empty, p[empty].argmax(axis=1)] = True
        return on.astype(np.uint8)


def fixed(probabilities: npt.ArrayLike, targets: npt.ArrayLike, beta: float = 2.0) -> Thresholds:
    """0.2 for every tag, whatever the data: the rule that others are compared with."""
    return Thresholds((START,) * np.asarray(targets).shape[1], at_least_one=_all_tagged(targets))


def per_class(probabilities: npt.ArrayLike, targets: npt.ArrayLike, beta: float = 2.0) -> Thresholds:
    """Cut-offs at a fixed point of the exact line search, tag by tag, from 0.2.

    Parameters
    ----------
    probabilities
        Finite values in 0..1, shape (tiles, tags).
    targets
        Multi-hot truth of the same shape.
    beta
        Weight of recall against precision in the F-beta that is maximised.

    Returns
    -------
    Thresholds whose mean F-beta on these rows no change of a single cut-off can raise. Where
    several cuts are equally good, the one next to the former cut-off is kept.
    """
    p, true = _checked(probabilities, targets)
    lines = [_cut_line(p[:, tag]) for tag in range(p.shape[1])]
    values = [START] * p.shape[1]
    on = p >= START
    need = beta**2 * true.sum(axis=1)
    # What is decided for a tile that reaches no cut-off: its most probable tag, or nothing.
    at_least_one = _all_tagged(targets)
    fallback = true[np.arange(len(p)), p.argmax(axis=1)] & at_least_one
    hits, count = (on & true).sum(axis=1), on.sum(axis=1)
    moved = True
    while moved:
        moved = False
        for tag, (order, ends, cuts) in enumerate(lines):
            hits_without = hits - (on[:, tag] & true[:, tag])
            count_without = count - on[:, tag]
            hits_off = np.where(count_without == 0, fallback, hits_without)
            count_off = np.maximum(count_without, int(at_least_one))
            # One tag on makes the denominator positive; off, it can be 0, and so is the numerator.
            score_on = (hits_without + true[:, tag]) / (need + count_without + 1)
            score_off = hits_off / np.maximum(need + count_off, 1)
            gain = np.concatenate([[0.0], np.cumsum((score_on - score_off)[order])])[ends]
            now = int(np.searchsorted(ends, on[:, tag].sum()))
            best = _nearest_maximum(gain, now)
            if gain[best] > gain[now] + _LEAST_GAIN:
                values[tag] = float(cuts[best])
                on[:, tag] = p[:, tag] >= values[tag]
                hits, count = hits_without + (on[:, tag] & true[:, tag]), count_without + on[:, tag]
                moved = True
    return Thresholds(tuple(values), at_least_one)


def _cut_line(p: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """Every way to cut one tag's probabilities in two.

    Returns the tiles in falling order of probability, and for each cut how many of them are on and
    a cut-off that does it. Tiles with equal probability are never parted.
    """
    order = np.argsort(-p, kind="stable")
    falling = p[order]
    last_of_equals = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) + 1
    ends = np.concatenate([[0], last_of_equals])
    distinct = falling[ends[1:] - 1]
    above = np.concatenate([[1.0], distinct[:-1]])
    middle = (above + distinct) / 2
    # Between neighbouring floats the middle may round to the lower one; the upper one parts them too.
    between = np.where(middle > distinct, middle, above)[1:]
    none_on = (distinct[0] + 1) / 2 if distinct[0] < 1 else np.nextafter(1.0, 2.0)
    return order, ends, np.concatenate([[none_on], between, [0.0]])


def _nearest_maximum(gain: Floats, now: int) -> int:
    best = np.flatnonzero(gain >= gain.max() - _LEAST_GAIN)
    return int(best[np.abs(best - now).argmin()])


def _checked(probabilities: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    p, true = np.asarray(probabilities, dtype=np.float64), np.asarray(targets, dtype=bool)
    if p.shape != true.shape or p.ndim != 2 or not p.size:
        raise ValueError(f"expected two filled arrays of one shape (tiles, tags), got {p.shape} and {true.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must be finite and in 0..1")
    return p, true


def _all_tagged(targets: npt.ArrayLike) -> bool:
    return bool(np.asarray(targets, dtype=bool).any(axis=1).all())
