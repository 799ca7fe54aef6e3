"""The table of tiles that touch, with one row for each tile; and the scenes that they form.

Two tiles touch when their border lines continue each other, as `amazon_ml.data.folds.borders` finds it. It cannot find
neighbours whose common border lies in clouds, in calm water or in a forest without marks; neighbours of a tile that
has a second copy, since the two copies are rivals; two pictures of one place from overlapping scenes; tiles that
overlap.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.folds.borders import match_borders, ratio_limit, read_borders
from amazon_ml.data.readers.band_files import ARRAY_SUFFIX
from amazon_ml.data.readers.images import TIF_SUFFIXES
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import write_table
from amazon_ml.runtime.regular_files import cannot_read, check_regular

log = logging.getLogger(__name__)

#: File name of the table, beside that of the folds.
NEIGHBOURS = "neighbours.csv"

#: For each place of a neighbour, the side of the tile and the side of the neighbour that meet.
_AGAIN = "delete it to make it again"
_MEETING = {"right": ("right", "left"), "below": ("bottom", "top")}


def find_neighbours(tiles: pd.DataFrame) -> pd.DataFrame:
    """Find the right and the lower neighbour of each tile.

    Parameters
    ----------
    tiles
        Table with ``image_name`` and ``path``; square JPGs or PNGs of one size, 16 px at least.

    Returns
    -------
    One row for each tile, in the order of `tiles`: ``image_name``; ``right`` and ``below``, the names of the
    neighbours, empty where none is known; ``right_ratio`` and ``below_ratio``, the dissimilarity of the borders
    relative to the best rival (0 to 1; lower is more certain).

    Raises
    ------
    InputError
        If a tile is a TIF or an array, cannot be read, or has another size than the first.
    """
    paths = tiles["path"].tolist()
    if unfit := without_borders(paths):
        raise InputError(
            f"tiles that touch are found among JPGs and PNGs alone, and {len(unfit):,} of {len(paths):,} tiles are "
            "other files", file=unfit[0], option="data.fold_by",
            remedy="fold by tags (`data.fold_by` tags); or, where JPGs of the same names lie beside TIFs, read their "
            "colours (`data.rgb_source` jpg)",
        )  # fmt: skip
    borders = read_borders(paths)
    pairs = {where: match_borders(borders[own], borders[other]) for where, (own, other) in _MEETING.items()}
    limit = ratio_limit(pd.concat(pairs.values()))
    names = tiles["image_name"].to_numpy()
    table = pd.DataFrame({"image_name": names})
    for where, found in pairs.items():
        sure = found[~found["mirrored"] & (found["ratio"] <= limit)]
        table[where], table[f"{where}_ratio"] = "", np.nan
        table.loc[sure["first"], where] = names[sure["second"]]
        table.loc[sure["first"], f"{where}_ratio"] = sure["ratio"].to_numpy().round(4)
    log.info("%s pairs of neighbours among %s tiles (ratio at most %.2f)",
             f"{len(touching(table)):,}", f"{len(table):,}", limit)  # fmt: skip
    return table


def without_borders(paths: Iterable[str]) -> list[str]:
    """List the files whose borders are not compared: TIFs and arrays, whose bands may be any."""
    return [path for path in paths if path.lower().endswith((*TIF_SUFFIXES, ARRAY_SUFFIX))]


def saved_neighbours(path: Path, tiles: pd.DataFrame) -> pd.DataFrame:
    """Read the neighbours of these tiles from a CSV; if it does not exist, find and write them.

    Raises
    ------
    InputError
        If the file is broken, or was made for other tiles.
    """
    if not path.exists():
        write_table(path, find_neighbours(tiles))
    check_regular(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        named = table["image_name"].tolist()
        neighbours = {*table["right"], *table["below"]} - {""}
    except OSError as error:
        raise cannot_read(path, error) from None
    except (ValueError, KeyError) as error:
        problem = f"this is not a table of neighbours ({error})"
        raise InputError(problem, file=path, remedy=_AGAIN) from None
    if named != tiles["image_name"].tolist() or not neighbours <= set(named):
        odd = set(named).symmetric_difference(tiles["image_name"]) | (neighbours - set(named))
        what = f"tiles, such as {min(odd)}" if odd else "tiles, or in another order of them"
        raise InputError(f"the table was made for other {what}", file=path, remedy=_AGAIN)
    return table


def touching(neighbours: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Return the positions of the two tiles of each pair, shape (pairs, 2)."""
    position = pd.Series(np.arange(len(neighbours)), index=neighbours["image_name"])
    pairs = [
        np.column_stack([position[known.index[known != ""]], position[known[known != ""]]])
        for known in (neighbours.set_index("image_name")[where] for where in _MEETING)
    ]
    return np.concatenate(pairs)


def scenes(tiles: int, pairs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Find the scene of each tile: a scene is a set of tiles that are connected by pairs of tiles that touch.

    Parameters
    ----------
    tiles
        Number of tiles.
    pairs
        Positions of tiles that touch, shape (pairs, 2).

    Returns
    -------
    int64 (tiles,): the position of the first tile of the scene.
    """
    leader = list(range(tiles))

    def first(tile: int) -> int:
        while leader[tile] != tile:
            leader[tile] = leader[leader[tile]]  # halve the path for later calls
            tile = leader[tile]
        return tile

    for one, other in pairs.tolist():
        a, b = first(one), first(other)
        leader[max(a, b)] = min(a, b)
    return np.array([first(tile) for tile in range(tiles)], dtype=np.intp)
