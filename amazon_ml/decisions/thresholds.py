"""Thresholds: their application to probabilities, and the exact search for those that maximise F-beta.

The estimators on top of it are in `amazon_ml.decisions.threshold_rules`.

Why the search is exact, and fast. Fix all thresholds except one. The F-beta of a tile then depends on the last tag only
through "on" or "off", so each tile has a fixed gain: F-beta with the tag on, minus F-beta with it off. A threshold
switches the tag on for the tiles with the highest probabilities. After sorting the tiles by probability, the running
sum of their gains is the change of the score for every possible threshold; its maximum is the exact best cut, at the
cost of one sort. Repeating this for all tags until no threshold changes ends in a fixed point, since every change
raises the score and the number of cuts is finite. It is a local maximum: no change of a single threshold gains more.

A threshold that all tags share is found in the same way, and there the maximum is global: as the threshold falls, tags
switch on one after the other over all tiles, and each adds its gain in its tile.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from amazon_ml.decisions.matrices import Bools, Floats, MultiHot, as_multi_hot

#: First threshold of the search, and the baseline. With beta = 2 and a few tags per tile, the best global threshold of
#: a calibrated network is near it.
DEFAULT_THRESHOLD = 0.2

#: Smaller gains are rounding errors; without this limit the search could move back and forth.
_LEAST_GAIN = 1e-9


def apply_thresholds(p: Floats, thresholds: npt.ArrayLike, at_least_one: bool = True) -> MultiHot:
    """Predict the tags whose probability reaches the threshold.

    Parameters
    ----------
    p
        Probabilities, float64 of shape (tiles, tags).
    thresholds
        Shape (tags,), or (tiles, tags) if each tile has its own.
    at_least_one
        Predict the most probable tag of a tile that reaches no threshold.

    Returns
    -------
    uint8 array of the shape of `p`.

    Examples
    --------
    >>> apply_thresholds(np.array([[0.1, 0.4], [0.6, 0.9]]), [0.5, 0.5])
    array([[0, 1],
           [1, 1]], dtype=uint8)
    """
    on = p >= np.asarray(thresholds)
    if at_least_one:
        empty = np.flatnonzero(~on.any(axis=1))
        on[empty, p[empty].argmax(axis=1)] = True
    return on.astype(np.uint8)


def all_tagged(targets: npt.ArrayLike) -> bool:
    """Whether every tile has a tag, so that no prediction may be empty."""
    return bool(as_multi_hot(targets).any(axis=1).all())


class CutLine(NamedTuple):
    """All cuts of a column of probabilities into "on" and "off", from none on to all on.

    Parameters
    ----------
    order
        The entries in falling order of probability.
    ends
        Number of entries that are on, for each cut; entries of equal probability are never separated.
    cuts
        A threshold for each cut.
    """

    order: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    cuts: Floats

    def best(self, gains: Floats, on: int) -> float | None:
        """Find the threshold that turns on the entries with the greatest sum of gains.

        Parameters
        ----------
        gains
            Gain of each entry if it is on.
        on
            Number of entries that are on now.

        Returns
        -------
        The best threshold, of equals the one next to the present one; None if the present one is as good.
        """
        running = np.zeros(len(gains) + 1)
        np.cumsum(gains[self.order], out=running[1:])
        sums = running[self.ends]
        now, most = int(self.ends.searchsorted(on)), sums.max()
        if most <= sums[now] + _LEAST_GAIN:
            return None
        best = np.flatnonzero(sums >= most - _LEAST_GAIN)
        return float(self.cuts[best[np.abs(best - now).argmin()]])


def cut_line(p: Floats) -> CutLine:
    """Find all cuts of one column of probabilities."""
    order = np.argsort(-p)  # in any order among equals, since no cut separates them
    falling = p[order]
    last_of_equals = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) + 1
    ends = np.concatenate([[0], last_of_equals])
    distinct = falling[ends[1:] - 1]
    above = np.concatenate([[1.0], distinct[:-1]])
    middle = (above + distinct) / 2
    # Between neighbouring floats the middle may round to the lower one; the upper one separates them, too.
    between = np.where(middle > distinct, middle, above)[1:]
    none_on = (distinct[0] + 1) / 2 if distinct[0] < 1 else np.nextafter(1.0, 2.0)
    return CutLine(order, ends, np.concatenate([[none_on], between, [0.0]]))


def own_search(p: Floats, true: Bools, beta: float, at_least_one: bool) -> Callable[[npt.ArrayLike], tuple[float, ...]]:
    """Prepare the search for the threshold of each tag on some rows.

    Parameters
    ----------
    p, true
        Rows as `as_rows` gives them.
    beta
        Weight of recall against precision.
    at_least_one
        Whether a tile that reaches no threshold gets its most probable tag.

    Returns
    -------
    A function from the weights of the tiles to the thresholds. The sorting is done once for all searches.
    """
    lines = [cut_line(column) for column in p.T]
    columns, truth = np.ascontiguousarray(p.T), np.ascontiguousarray(true.T)
    need = beta**2 * truth.sum(axis=0)
    # Prediction for a tile that reaches no threshold: its most probable tag, or none, which is right without true tags.
    fallback = true[np.arange(len(p)), p.argmax(axis=1)] & at_least_one
    right_if_empty = ~true.any(axis=1) & (not at_least_one)

    def search(weights: npt.ArrayLike) -> tuple[float, ...]:
        values, weight = [DEFAULT_THRESHOLD] * len(lines), np.asarray(weights, dtype=np.float64)
        on = columns >= DEFAULT_THRESHOLD
        hits, count = (on & truth).sum(axis=0), on.sum(axis=0)
        tag = still = 0
        while still < len(lines):  # so many in a row have not moved
            hits_without, count_without = hits - (on[tag] & truth[tag]), count - on[tag]
            total = need + count_without
            # Scores are F-beta over 1 + beta^2. With the tag on, the denominator is positive; with it off, it can be 0.
            score_on = (hits_without + truth[tag]) / (total + 1)
            if (empty := count_without == 0).any():
                hits_off = np.where(empty, fallback, hits_without)
                score_off = hits_off / np.maximum(np.where(empty, need + int(at_least_one), total), 1)
                score_off[empty & right_if_empty] = 1 / (1 + beta**2)
            else:
                score_off = hits_without / total
            best = lines[tag].best((score_on - score_off) * weight, int(np.count_nonzero(on[tag])))
            still += 1
            if best is not None:
                values[tag] = best
                on[tag] = columns[tag] >= best
                hits, count = hits_without + (on[tag] & truth[tag]), count_without + on[tag]
                still = 1  # the threshold that moved is the best already
            tag = (tag + 1) % len(lines)
        return tuple(values)

    return search


def common_search(p: Floats, true: Bools, beta: float, at_least_one: bool) -> Callable[[npt.ArrayLike], float]:
    """Prepare the search for a threshold that all tags share; otherwise like `own_search`."""
    by_rank = np.argsort(-p, axis=1, kind="stable")
    hits = np.take_along_axis(true, by_rank, axis=1).cumsum(axis=1)
    score = (1 + beta**2) * hits / (beta**2 * true.sum(axis=1, keepdims=True) + np.arange(1, p.shape[1] + 1))
    # If each tile must have a tag, its first is on already, and switching it on changes nothing. Otherwise no tag is
    # on, which is right for a tile without tags.
    first = score[:, 0] if at_least_one else (hits[:, -1] == 0).astype(np.float64)
    before = np.column_stack([first, score[:, :-1]])
    line = cut_line(np.take_along_axis(p, by_rank, axis=1).ravel())
    on = int((p >= DEFAULT_THRESHOLD).sum())

    def search(weights: npt.ArrayLike) -> float:
        best = line.best(((score - before) * np.asarray(weights)[:, None]).ravel(), on)
        return DEFAULT_THRESHOLD if best is None else best

    return search
