"""Which border lines go on in which others: the art of jigsaw puzzles, on arrays.

Tiles were cut from larger scenes, so the last column of one may go on in the first column of
another. For the right borders against all left ones, and the bottom ones against all top ones:

1. *Candidates.* The outermost line becomes its lowest frequencies (a cosine transform) in three
   nearly independent colours, standardised. If r is the correlation of a coefficient between lines
   that touch, the log-likelihood ratio of "a and b touch" to "a and b are strangers" is, up to what
   depends on a alone, the sum over coefficients of ``(r a b - r² b² / 2) / (1 - r²)``: a matrix
   product. r is measured on the tiles: the outermost line and the one behind it do touch.
2. *Dissimilarity* of each candidate pair: Mahalanobis gradient compatibility (Gallagher 2012,
   *Jigsaw Puzzles with Pieces of Unknown Orientation*). The step across the border, less the mean
   of the last step within the tile, is measured by the covariance of that last step. It knows that
   20 grey levels are much in calm water and little in a town. Pairs above `MOST_DISSIMILAR` are dropped.
3. *Ratio* of this dissimilarity to that of the best rival, that is any other candidate pair with
   one of the two borders; 1 is added to both, since less than that is rounding. Below 1, the two are
   each other's best.
4. *Limit.* Mirrored borders stand among the candidates: of the same colours and texture, and never
   true. Two borders without features fit mirrored as well as they fit, which makes their ratio 1.
   And the mirrored pairs that pass a limit tell how many of the others pass it by chance (target
   and decoy, Elias and Gygi 2007): the limit is the highest with at most two to a hundred.
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

#: Shorter borders, in pixels, hold too little.
LEAST_SIZE = 16
#: Dissimilarity of a pair, at most. It is 6 (3 colours, 2 views) where the step across the border is like
#: the last step within; of real tiles cut into pieces of 128 px, 99.5 % of the cuts are below 9, and the
#: best match of borders that do not touch is seldom below 11.
MOST_DISSIMILAR = 12.0
#: Limit of the ratio where no mirrored pair asks for a lower one.
LARGEST_RATIO = 0.8
#: Mirrored pairs within the limit for each other one, at most.
MIRRORED_SHARE = 0.02

_SIDES = ("left", "right", "top", "bottom")
_FREQUENCIES = 32
#: Columns: brightness, red against blue, green against both (Ohta 1980: the axes of natural colours).
_COLOURS = np.array([[1, 1, -1], [1, 0, 2], [1, -1, -1]]) / np.sqrt([3, 2, 6])
_CANDIDATES = 16
#: Variance of a step, in squared grey levels, that rounding and compression make where there is none.
_NOISE = 9.0
#: Dissimilarity that is no more than rounding; without it, chance would decide in cloud.
_ROUNDING = 1.0
#: Rows of the matrix product and pairs that are worked on at once: they bound the memory.
_BLOCK, _PAIRS = 512, 8192


def read_borders(paths: Sequence[str]) -> dict[str, Lines]:
    """Read each tile once, and keep the two outermost lines of its sides.

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
        For a tile that cannot be read, or that has another size than the first; names the file.
    """
    size = len(read_tile(Path(paths[0]))) if paths else LEAST_SIZE
    if size < LEAST_SIZE:
        raise InputError(f"{paths[0]} is {size} px high; neighbours are found among tiles of {LEAST_SIZE} px at least")
    borders = np.empty((len(_SIDES), len(paths), 2, size, 3), dtype=np.uint8)
    with ThreadPoolExecutor() as readers:
        lines = readers.map(lambda path: _lines(path, size), paths)
        for i, of_tile in enumerate(tracked(lines, len(paths), "reading tiles")):
            borders[:, i] = of_tile
    return dict(zip(_SIDES, borders, strict=True))


def match_borders(first: Lines, second: Lines) -> pd.DataFrame:
    """Pair borders that are each other's best continuation, mirrored ones included.

    Parameters
    ----------
    first, second
        Opposite sides of the same tiles, such as all right and all left borders.

    Returns
    -------
    Table of ``first`` and ``second`` (positions of the two tiles), ``mirrored`` (the second line
    was taken backwards, so that the pair cannot be true) and ``ratio`` (of its dissimilarity to the
    best rival's, 0 to 1); at most one row for each line of either side.
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
    """Give the highest ratio up to which mirrored pairs are few: see `MIRRORED_SHARE`.

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
        raise InputError(
            f"{path} is {width} x {height} px, but neighbours are found among square tiles of one size, here {size} px"
        )
    columns = tile.swapaxes(0, 1)
    return np.stack([columns[:2], columns[:-3:-1], tile[:2], tile[:-3:-1]])


def _candidates(first: Lines, either: Lines) -> Rows:
    """Find the most likely continuations of each line, shape (tiles, candidates); never the tile itself."""
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
    """Transform lines, shape (lines, size, 3), to their lowest frequencies in three colours."""
    size = lines.shape[1]
    frequencies = np.arange(min(_FREQUENCIES, size))
    cosines = np.cos(np.pi / size * np.outer(frequencies, np.arange(size) + 0.5)) / np.sqrt(size)
    basis = np.einsum("fp,cd->pcfd", cosines, _COLOURS).reshape(3 * size, -1)
    spectrum: Floats = lines.reshape(len(lines), -1).astype(np.float32) @ basis.astype(np.float32)
    return spectrum


def _dissimilarity(first: Lines, second: Lines, i: Rows, j: Rows) -> Floats:
    """Mahalanobis gradient compatibility of the pairs (i, j), both tiles' views added; per pixel."""
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
    """Mean (tiles, 3) and inverse covariance (tiles, 3, 3) of the outermost line less the one behind it."""
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
    """Second moment about a centre, of what has this second moment about 0 and this mean; (pairs, 3, 3)."""
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
