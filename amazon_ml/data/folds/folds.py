"""Folds: the tiles that a network is not trained on. A run writes them once, and then reads them.

Folds by tags are similar to each other, as the test tiles of the competition are similar to its training tiles: both
were cut from the same scenes. Folds by scenes measure more: how well a network works on ground far from its training
tiles.
"""

import logging
import warnings
from collections.abc import Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.catalog.names import without_suffix
from amazon_ml.data.folds.neighbours import NEIGHBOURS, find_neighbours, saved_neighbours, scenes, touching
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot
from amazon_ml.runtime.files import write_table
from amazon_ml.runtime.regular_files import cannot_read, check_regular, no_file

log = logging.getLogger(__name__)

#: In place of the number of a fold: a tile that no fold holds out, and every network is trained on.
NEVER_HELD_OUT = -1


def make_folds(names: pd.Series, targets: MultiHot, folds: int, seed: int) -> pd.DataFrame:
    """Make folds stratified by all tags at once.

    Iterative stratification after Sechidis, Tsoumakas and Vlahavas 2011, *On the Stratification of
    Multi-label Data*.

    Parameters
    ----------
    names
        Names of the labelled tiles.
    targets
        Multi-hot array of shape (tiles, tags).
    folds
        Number of folds, from 2 to the number of tiles.

    Returns
    -------
    Table of ``image_name`` and ``fold`` (0 to folds - 1), in the order of `names`.
    """
    # Slow to import (scikit-learn), and needed only here.
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    if not 2 <= folds <= len(names):
        raise InputError(f"cannot make {folds} folds of {len(names)} tiles", option="data.n_folds",
                         remedy=f"set `data.n_folds` between 2 and {max(len(names), 2)}")  # fmt: skip
    if targets.shape[1] == 1:
        targets = np.hstack([targets, 1 - targets])  # the splitter needs two columns
    fold = np.zeros(len(names), dtype=np.int64)
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        for k, (_, held_out) in enumerate(splitter.split(np.zeros((len(names), 1)), targets)):
            fold[held_out] = k
    return pd.DataFrame({"image_name": names.to_numpy(), "fold": fold})


def make_folds_by_scene(
    names: pd.Series, targets: MultiHot, scene: npt.NDArray[np.intp], folds: int, seed: int
) -> pd.DataFrame:
    """Make folds that do not split a scene, with the tags spread as evenly as possible.

    Scenes are assigned one by one, those with the largest share of any tag first, each to the fold where it raises
    the sum over tags of the squared relative deviation least: the greedy rule of scikit-learn's StratifiedGroupKFold,
    for many tags at once. The number of tiles counts as one more tag.

    Parameters
    ----------
    names
        Names of the labelled tiles.
    targets
        Multi-hot array of shape (tiles, tags).
    scene
        A number for each tile, the same for tiles of one scene.
    folds
        Number of folds, from 2 to the number of scenes.
    seed
        Orders scenes with equal shares.

    Returns
    -------
    Table of ``image_name`` and ``fold`` (0 to folds - 1), in the order of `names`.
    """
    _, member, sizes = np.unique(scene, return_inverse=True, return_counts=True)
    if not 2 <= folds <= len(sizes):
        raise InputError(f"cannot make {folds} folds of {len(sizes)} scenes", option="data.n_folds",
                         remedy=f"set `data.n_folds` between 2 and {max(len(sizes), 2)}, or fold by tags")  # fmt: skip
    if sizes.max() > len(names) / folds:
        log.warning("one scene holds %d of the %d tiles, more than the share of a fold; it stays in one fold",
                    sizes.max(), len(names))  # fmt: skip
    counts = np.zeros((len(sizes), targets.shape[1] + 1))
    np.add.at(counts, member, np.column_stack([targets, np.ones(len(targets))]))
    # Counts of tags relative to those of an even fold.
    parts = counts * folds / np.maximum(counts.sum(axis=0), 1)
    rng = np.random.default_rng(seed)
    held, fold_of = np.zeros((folds, parts.shape[1])), np.empty(len(sizes), dtype=np.int64)
    shuffled = rng.permutation(len(sizes))
    for one in shuffled[np.argsort(-parts[shuffled].max(axis=1), kind="stable")]:
        # The squares grow by 2 · held · part + part², and only the first depends on the fold.
        fold_of[one] = np.argmin(held @ parts[one])
        held[fold_of[one]] += parts[one]
    return pd.DataFrame({"image_name": names.to_numpy(), "fold": fold_of[member]})


def fold_catalog(
    catalog: Catalog, by: Literal["tags", "scenes"], folds: int, seed: int, neighbours: Path | None = None
) -> pd.DataFrame:
    """Make the folds of a catalog's labelled tiles, stratified, and by scenes if requested.

    A published validation split is the only fold, 0; the other tiles are in none.

    Parameters
    ----------
    catalog
        The tiles.
    by
        ``tags`` or ``scenes``.
    folds
        Number of folds.
    seed
        Seed of the folds.
    neighbours
        CSV of the tiles that touch, which make the scenes. If it does not exist, they are found and written there.
        If None, they are found, and nothing is written.

    Returns
    -------
    Table of ``image_name`` and ``fold``, in the order of the catalog.

    Raises
    ------
    InputError
        If there cannot be such folds.
    """
    names, targets = catalog.labelled["image_name"], catalog.targets
    if catalog.valid is not None:
        if by != "tags":
            raise InputError("the tiles have a published validation split, which is the only fold",
                             option="data.fold_by", remedy="leave the option out, or give no splits")  # fmt: skip
        if catalog.valid.all():
            raise InputError("all tiles are in the published validation split, and none is to train on",
                             option="data.labels_file", remedy="name the training tiles, too")  # fmt: skip
        return pd.DataFrame({"image_name": names.to_numpy(), "fold": np.where(catalog.valid, 0, NEVER_HELD_OUT)})
    if by == "tags":
        return make_folds(names, targets, folds, seed)
    tiles = catalog.labelled
    pairs = touching(find_neighbours(tiles) if neighbours is None else saved_neighbours(neighbours, tiles))
    return make_folds_by_scene(names, targets, scenes(len(names), pairs), folds, seed)


def write_folds(path: Path, catalog: Catalog, by: Literal["tags", "scenes"], folds: int, seed: int) -> None:
    """Write the folds that `fold_catalog` makes, with the neighbours in neighbours.csv beside `path`."""
    write_table(path, fold_catalog(catalog, by, folds, seed, path.with_name(NEIGHBOURS)))


def tag_deviations(targets: MultiHot, tags: Sequence[Hashable], fold: "pd.Series[int]") -> pd.DataFrame:
    """Relative deviation of each tag's share in each fold from its share overall, without tiles in no fold.

    0 is perfect. With 100 tiles of a tag in 5 folds, one tile too many is 0.05. -1 means that a fold has none.

    Returns
    -------
    One row for each fold, one column for each tag that occurs.
    """
    overall, inside = targets.mean(axis=0), (fold >= 0).to_numpy()
    present = overall > 0
    shares = pd.DataFrame(targets, columns=list(tags)).loc[inside, present].groupby(fold.to_numpy()[inside]).mean()
    deviations: pd.DataFrame = shares / overall[present] - 1
    return deviations


def worst_deviation(targets: MultiHot, fold: "pd.Series[int]") -> float:
    """Largest absolute value of the `tag_deviations`."""
    deviations = tag_deviations(targets, range(targets.shape[1]), fold)
    return float(deviations.abs().to_numpy().max(initial=0))


def leaking(fold: "pd.Series[int]", pairs: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Whether each held-out tile touches a tile of another fold, which is in the training set when it is held out.

    Parameters
    ----------
    fold
        Fold of each tile.
    pairs
        Positions of tiles that touch, shape (pairs, 2).
    """
    of = fold.to_numpy()
    leaks = np.zeros(len(of), dtype=bool)
    leaks[pairs[of[pairs[:, 0]] != of[pairs[:, 1]]]] = True
    return leaks & (of >= 0)


def fold_numbers(fold: "pd.Series[int]") -> list[int]:
    """List the numbers of the folds, without `NEVER_HELD_OUT`."""
    return sorted({int(number) for number in fold if number >= 0})


def read_folds(path: Path, names: pd.Series) -> "pd.Series[int]":
    """Read folds and put them in the order of `names`.

    Returns
    -------
    Fold of each tile, or `NEVER_HELD_OUT`, with the index of `names`.

    Raises
    ------
    InputError
        If the file is missing or broken, or does not hold exactly the tiles in `names`.
    """
    fold = _stored(path)
    if fold.index.has_duplicates:
        raise InputError(f"{fold.index[fold.index.duplicated()][0]} stands more than once", file=path)
    odd = fold.index.symmetric_difference(pd.Index(names))
    if len(odd):
        problem = f"the folds do not fit the tag table: {len(odd)} tiles are in only one of them, such as {odd[0]}"
        remedy = "give the table that they were made for, or make them again"
        known = frozenset(names)
        for name in odd[odd.isin(fold.index)]:
            if (bare := without_suffix(str(name))) != name and bare in known:
                problem = f"the folds name {name} with its ending {str(name)[len(bare) :]}; the tile is {bare}"
                remedy = "write the names without the ending, as `amazon-ml data folds` writes them"
                break
        raise InputError(problem, file=path, remedy=remedy)
    if not fold.ge(NEVER_HELD_OUT).all():
        raise InputError(f"{fold.idxmin()} has the fold {fold.min()}", file=path, remedy="write numbers from 0, or "
                         f"{NEVER_HELD_OUT} for a tile that is trained on in every fold")  # fmt: skip
    if fold.eq(NEVER_HELD_OUT).all():
        raise InputError("no tile is in a fold", file=path)
    aligned: pd.Series[int] = fold.loc[names].set_axis(names.index)
    return aligned


def stored_fold_numbers(path: Path) -> list[int]:
    """List the numbers of the folds in a file, whatever tiles it holds."""
    numbers = fold_numbers(_stored(path))
    if not numbers:
        raise InputError("no tile is in a fold", file=path)
    return numbers


def _stored(path: Path) -> "pd.Series[int]":
    """Read the fold of each tile by its name, in the order of the file."""
    check_regular(path)
    try:
        about = path.stat()
        return _parsed(path, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    except FileNotFoundError:
        raise no_file(path) from None
    except OSError as error:
        raise cannot_read(path, error) from None
    except (ValueError, KeyError, OverflowError) as error:
        problem = f"the table must have the columns image_name and fold, one row for each tile: {error}"
        raise InputError(problem, file=path) from None


@lru_cache(maxsize=4)
def _parsed(path: Path, *state: int) -> "pd.Series[int]":
    """Parse the file once in a process, as long as it does not change: a run reads it five times.

    Callers must not change the series.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    fold: pd.Series[int] = table.set_index("image_name")["fold"].astype("int64")
    return fold


def split_difference(fold: "pd.Series[int]", catalog: Catalog) -> str | None:
    """Say how folds that are one division of the tiles differ from the published one; None where they do not.

    Parameters
    ----------
    fold
        Fold of each labelled tile, as `read_folds` gives it. Folds with other numbers than 0 and `NEVER_HELD_OUT` are
        a cross-validation that somebody wrote, and are not compared.
    catalog
        The tiles.
    """
    if catalog.valid is None or not fold.isin((0, NEVER_HELD_OUT)).all():
        return None
    differs = (fold == 0).to_numpy() != catalog.valid
    if not differs.any():
        return None
    at = int(differs.argmax())
    where = ("the validation split", "fold 0")
    here, there = where if catalog.valid[at] else where[::-1]
    return (
        f"fold 0 is not the published validation split: {differs.sum():,} tiles are in only one of them, such as "
        f"{catalog.labelled['image_name'].iloc[at]}, which is in {here} and not in {there}"
    )


def kind_difference(fold: "pd.Series[int]", catalog: Catalog) -> str | None:
    """Say where folds are one division and no validation split is published, or the other way; None where not.

    Parameters
    ----------
    fold
        Fold of each labelled tile, as `fold_catalog` made it; or as a person wrote it for a run that was begun with a
        published validation split.
    catalog
        The tiles.
    """
    was_published = bool(fold.isin((0, NEVER_HELD_OUT)).all())  # a cross-validation has two folds or more
    if was_published == (catalog.valid is not None):
        return None
    if was_published:
        return "the run was begun with a published validation split, and now no such split is given"
    return "the folds are those of a cross-validation, and now a published validation split is given"
