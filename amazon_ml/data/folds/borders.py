"""Matches border lines of tiles that continue each other, as solvers of jigsaw puzzles do.

Tiles were cut from larger scenes, so the last column of one may continue in the first column of
another. For the right borders against all left ones, and the bottom ones against all top ones:

1. *Candidates.* The outermost line becomes its lowest frequencies (a cosine transform) in three
   nearly independent colours, standardised. If r is the correlation of a coefficient between lines
   that touch, the log-likelihood ratio of "a and b touch" to "a and b are independent" is, up to a
   term that depends on a alone, the sum over coefficients of ``(r a b - r² b² / 2) / (1 - r²)``: a
   matrix product. r is measured on the tiles, since the outermost line and the one behind it touch.
2. *Dissimilarity* of each candidate pair: Mahalanobis gradient compatibility (Gallagher 2012,
   *Jigsaw Puzzles with Pieces of Unknown Orientation*). The step across the border, less the mean
   of the last step within the tile, is measured by the covariance of that last step. So 20 grey
   levels are much in calm water and little in a town. Pairs above `MOST_DISSIMILAR` are dropped.
3. *Ratio* of this dissimilarity to that of the best rival, that is any other candidate pair with
   one of the two borders; 1 is added to both, since smaller values are rounding errors. Below 1,
   each of the two is the best match of the other.
4. *Limit.* Mirrored borders are candidates, too: they have the same colours and texture, and are
   never true. Two borders without features fit as well when one is mirrored, so their ratio is 1.
   The number of mirrored pairs within a limit estimates how many others are within it by chance
   (target and decoy, Elias and Gygi 2007): the limit is the highest with at most two to a hundred.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.readers.images import read_tile
from amazon_ml.errors import InputError
from amazon_ml.runtime.progress import tracked

#: uint8 (tiles, 2, size, 3): one side of every tile, the outermost line and the one behind it.
Lines = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]

#: Least length of borders in pixels; shorter ones hold too little information.
LEAST_SIZE = 16
#: Largest dissimilarity of a pair. It is 6 (3 colours, 2 views) where the step across the border is like the last
#: step within. Of real tiles cut into pieces of 128 px, 99.5 % of the cuts are below 9; the best match of borders
#: that do not touch is seldom below 11.
MOST_DISSIMILAR = 12.0
#: Limit of the ratio where no mirrored pair requires a lower one.
LARGEST_RATIO = 0.8
#: Largest number of mirrored pairs within the limit for each other pair.
MIRRORED_SHARE = 0.02

_SIDES = ("left", "right", "top", "bottom")
_FREQUENCIES = 32
#: Columns: brightness, red against blue, green against both (Ohta 1980: the axes of natural colours).
_COLOURS = np.array([[1, 1, -1], [1, 0, 2], [1, -1, -1]]) / np.sqrt([3, 2, 6])
_CANDIDATES = 16
#: Variance of a step from rounding and compression alone, in squared grey levels.
_NOISE = 9.0
#: Dissimilarity from rounding alone; without it, chance would decide in clouds.
_ROUNDING = 1.0
#: Numbers of rows of the matrix product and of pairs that are computed at once: they bound the memory.
_BLOCK, _PAIRS = 512, 8192


def read_borders(paths: Sequence[str]) -> dict[str, Lines]:
    """Read each tile once, and return the two outermost lines of its sides.

    Parameters
    ----------
    paths
        Image files, square and of one size.

    Returns
    -------
    "left", "right", "top" and "bottom" to an array of shape (tiles, 2, size, 3).

    Raises
    ------
    InputError
        If a tile cannot be read, or has another size than the first.
    """
    size = len(read_tile(Path(paths[0]))) if paths else LEAST_SIZE
    if size < LEAST_SIZE:
        problem = f"the tile is {size} px high, but neighbours can be found among tiles of {LEAST_SIZE} px at least"
        raise InputError(problem, file=paths[0])
    borders = np.empty((len(_SIDES), len(paths), 2, size, 3), dtype=np.uint8)
    with ThreadPoolExecutor() as readers:
        lines = readers.map(lambda path: _lines(path, size), paths)
        for i, of_tile in enumerate(tracked(lines, len(paths), "reading tiles")):
            borders[:, i] = of_tile
    return dict(zip(_SIDES, borders, strict=True))


def match_borders(first: Lines, second: Lines) -> pd.DataFrame:
    """Pair borders of which each is the best continuation of the other, including mirrored ones.

    Parameters
    ----------
    first, second
        Opposite sides of the same tiles, such as all right and all left borders.

    Returns
    -------
    Table of ``first`` and ``second`` (positions of the two tiles), ``mirrored`` (the second line
    is reversed, so the pair cannot be true) and ``ratio`` (of its dissimilarity to that of the best
    rival, 0 to 1); at most one row for each line of either side.
    """
    tiles = len(first)
    either = np.concatenate([second, second[:, :, ::-1]])
    j = _candidates(first, either)
    i = np.repeat(np.arange(tiles), j.shape[1])
    j = j.ravel()
    dissimilarity = _dissimilarity(first, either, i, j)
    rival = np.minimum(_best_other(i, dissimilarity), _best_other(j % max(tiles, 1), dissimilarity))
    best = np.flatnonzero((dissimilarity < rival) & (dissimilarity <= MOST_DISSIMILAR))
    return pd.DataFrame(
        {
            "first": i[best],
            "second": j[best] % max(tiles, 1),
            "mirrored": j[best] >= tiles,
            "ratio": (dissimilarity[best] + _ROUNDING) / (rival[best] + _ROUNDING),
        }
    )


def ratio_limit(pairs: pd.DataFrame) -> float:
    """Return the highest ratio up to which mirrored pairs are few: see `MIRRORED_SHARE`.

    Parameters
    ----------
    pairs
        As `match_borders` gives them, of one or more sides.
    """
    ordered = pairs[pairs["ratio"] <= LARGEST_RATIO].sort_values("ratio")
    mirrored = ordered["mirrored"].cumsum()
    bearable = mirrored <= MIRRORED_SHARE * (~ordered["mirrored"]).cumsum()
    if bearable.all():
        return LARGEST_RATIO
    return float(ordered.loc[bearable, "ratio"].max()) if bearable.any() else 0.0


def _lines(path: str, size: int) -> Lines:
    tile = read_tile(Path(path))
    if tile.shape[:2] != (size, size):
        height, width = tile.shape[:2]
        problem = f"the tile is {width} x {height} px, but neighbours need square tiles of one size, here {size} px"
        raise InputError(problem, file=path)
    columns = tile.swapaxes(0, 1)
    return np.stack([columns[:2], columns[:-3:-1], tile[:2], tile[:-3:-1]])


def _candidates(first: Lines, either: Lines) -> Rows:
    """Find the most likely continuations of each line among the other tiles, shape (tiles, candidates)."""
    tiles, count = len(first), min(_CANDIDATES, len(either) - 2)
    if count <= 0:
        return np.empty((tiles, 0), dtype=np.intp)
    a, b, behind = _spectrum(first[:, 0]), _spectrum(either[:, 0]), _spectrum(first[:, 1])
    mean, deviation = a.mean(axis=0), a.std(axis=0) + 1e-3
    a, b, behind = ((x - mean) / deviation for x in (a, b, behind))
    r = np.clip((a * behind).mean(axis=0), 0, 0.999)
    weight = r / (1 - r**2)
    strangers: Floats = -0.5 * b**2 @ (r * weight)
    found = np.empty((tiles, count), dtype=np.intp)
    for start in tracked(range(0, tiles, _BLOCK), -(-tiles // _BLOCK), "comparing borders"):
        block = slice(start, start + _BLOCK)
        likelihood = (a[block] * weight) @ b.T
        likelihood += strangers
        own = np.arange(len(likelihood))
        likelihood[own, start + own] = likelihood[own, tiles + start + own] = -np.inf
        found[block] = np.argpartition(likelihood, -count, axis=1)[:, -count:]
    return found


def _spectrum(lines: npt.NDArray[np.uint8]) -> Floats:
    """Transform lines, shape (lines, size, 3), to their lowest frequencies in three colour axes."""
    size = lines.shape[1]
    frequencies = np.arange(min(_FREQUENCIES, size))
    cosines = np.cos(np.pi / size * np.outer(frequencies, np.arange(size) + 0.5)) / np.sqrt(size)
    basis = np.einsum("fp,cd->pcfd", cosines, _COLOURS).reshape(3 * size, -1)
    spectrum: Floats = lines.reshape(len(lines), -1).astype(np.float32) @ basis.astype(np.float32)
    return spectrum


def _dissimilarity(first: Lines, second: Lines, i: Rows, j: Rows) -> Floats:
    """Mahalanobis gradient compatibility of the pairs (i, j) per pixel, summed over the views of both tiles."""
    mean_a, inverse_a = _last_step(first)
    mean_b, inverse_b = _last_step(second)
    a, b, size = first[:, 0], second[:, 0], first.shape[2]
    result = np.empty(len(i), dtype=np.float32)
    for start in range(0, len(i), _PAIRS):
        rows, columns = i[start : start + _PAIRS], j[start : start + _PAIRS]
        step = b[columns].astype(np.float32) - a[rows]
        mean, square = step.mean(axis=1), step.swapaxes(1, 2) @ step / size
        seen_from_a = _spread(square, mean, mean_a[rows]) * inverse_a[rows]
        seen_from_b = _spread(square, -mean, mean_b[columns]) * inverse_b[columns]
        result[start : start + _PAIRS] = (seen_from_a + seen_from_b).sum(axis=(1, 2))
    return result


def _last_step(lines: Lines) -> tuple[Floats, Floats]:
    """Mean (tiles, 3) and inverse covariance (tiles, 3, 3) of the outermost line minus the one behind it."""
    mean, inverse = np.empty((len(lines), 3), np.float32), np.empty((len(lines), 3, 3), np.float32)
    for start in range(0, len(lines), _PAIRS):
        part = lines[start : start + _PAIRS].astype(np.float32)
        step = part[:, 0] - part[:, 1]
        average = step.mean(axis=1)
        covariance = _spread(step.swapaxes(1, 2) @ step / step.shape[1], average, average)
        mean[start : start + _PAIRS] = average
        inverse[start : start + _PAIRS] = np.linalg.inv(covariance + _NOISE * np.eye(3, dtype=np.float32))
    return mean, inverse


def _spread(square: Floats, mean: Floats, centre: Floats) -> Floats:
    """Second moment about a centre, from the second moment about 0 and the mean; shape (pairs, 3, 3)."""
    crossed = mean[:, :, None] * centre[:, None]
    about: Floats = square - crossed - crossed.swapaxes(1, 2) + centre[:, :, None] * centre[:, None]
    return about


def _best_other(group: Rows, value: Floats) -> Floats:
    """For each entry, the least value among the others of its group; infinite where it is alone."""
    order = np.lexsort((value, group))
    leads = np.diff(group[order], prepend=-1) != 0
    ranked = value[order]
    least = ranked[leads][np.cumsum(leads) - 1]
    following = np.append(np.where(leads[1:], np.inf, ranked[1:]), np.inf)[: len(ranked)]
    other = np.empty_like(value)
    other[order] = np.where(leads, following, least)
    return other
