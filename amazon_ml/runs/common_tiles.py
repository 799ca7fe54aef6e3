"""The tiles on which runs are compared: those that all of them held out, or those of a labelled folder."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.config import TABLE, Split
from amazon_ml.data.demo.demo import is_generated
from amazon_ml.decisions.matrices import MultiHot
from amazon_ml.errors import InputError
from amazon_ml.models.config import Tta
from amazon_ml.runs.decision import LEAST_TILES
from amazon_ml.runs.folder import Run, read_oof
from amazon_ml.runs.labelled_folder import LabelledFolder


class Rows(NamedTuple):
    """The labelled tiles of one run.

    ``true``, their tags by name of the tile and tag; ``predict`` gives the probabilities in the same form;
    ``generated``, whether the tiles are generated; ``split``, their published split in a folder.
    """

    true: pd.DataFrame
    predict: Callable[[], pd.DataFrame]
    generated: bool
    split: Split | None = None


def held_out(runs: Sequence[Run]) -> list[Rows]:
    """Give the tiles that each run held out, with the out-of-fold probabilities.

    Raises
    ------
    InputError
        If a run held nothing out.
    """
    return [_held_out(run) for run in runs]


def _held_out(run: Run) -> Rows:
    if not run.read_config().data.validate:
        raise InputError("the run was trained on every tile, so it has no held-out tiles to compare on", file=run.path,
                         option="data", remedy="name a folder of other labelled tiles with `data`")  # fmt: skip
    names, tags, p, true = read_oof(run)
    generated = bool(run.read_provenance()["data"]["generated"])
    return Rows(_table(names, tags, true), partial(_table, names, tags, p), generated)


def of_folder(runs: Sequence[Run], folder: LabelledFolder, tta: Tta | None) -> list[Rows]:
    """Read the tiles of a labelled folder as each run reads them; nothing is predicted yet.

    Raises
    ------
    InputError
        For a run that cannot predict, and for tiles or tables that are missing or damaged.
    """
    # Here, since tiles that were held out are compared without PyTorch.
    from amazon_ml.runs.bundle import Bundle
    from amazon_ml.runs.labelled import predict_labelled, read_labelled
    from amazon_ml.runs.views import open_with_views

    def rows(run: Run, bundle: Bundle) -> Rows:
        try:
            tiles = read_labelled(run.path, bundle, folder, catalogs)
        except InputError as error:
            if folder.table != TABLE:
                raise
            raise error.advise(f"without options of the table, those of {run.path} are used") from None
        names, tags = tiles.catalog.labelled["image_name"], bundle.decision.tags

        def predict() -> pd.DataFrame:
            return _table(names, tags, predict_labelled(bundle, tiles)[0])

        generated = is_generated(Path(tiles.catalog.labelled["path"].iloc[0]))
        return Rows(_table(names, tags, tiles.catalog.targets), predict, generated, tiles.catalog.split)

    catalogs: dict[str, Catalog] = {}  # runs that read alike share one
    bundles = [open_with_views(run.path, tta) for run in runs]
    for run, bundle in zip(runs, bundles, strict=True):
        _check_tags(runs[0], bundles[0].decision.tags, run, bundle.decision.tags)
    return [rows(run, bundle) for run, bundle in zip(runs, bundles, strict=True)]


def _table(names: Iterable[str], tags: Sequence[str], values: npt.NDArray[np.generic]) -> pd.DataFrame:
    return pd.DataFrame(values, index=pd.Index(names), columns=list(tags))


def _check_tags(first: Run, tags: Iterable[str], run: Run, own: Iterable[str]) -> None:
    if apart := sorted(set(tags).symmetric_difference(own)):
        raise InputError(f"the run has other tags than {first.path}: {', '.join(apart)}", file=run.path)


def shared_names(runs: Sequence[Run], rows: Sequence[Rows], folder: LabelledFolder | None) -> pd.Index:
    """Give the names of the tiles that all runs have, in the order of the first.

    Raises
    ------
    InputError
        For runs with other tags, and for too few tiles.
    """
    first = rows[0].true
    for run, row in zip(runs, rows, strict=True):
        _check_tags(runs[0], first.columns, run, row.true.columns)
    shared = first.index[np.all([first.index.isin(row.true.index) for row in rows], axis=0)]
    if len(shared) >= LEAST_TILES:
        return shared
    if folder is not None:
        raise InputError(f"the folder has {len(shared)} labelled tiles for all runs, and {LEAST_TILES} are needed",
                         file=folder.root, option="data")  # fmt: skip
    raise InputError(
        f"the runs have {len(shared)} held-out tiles in common, and {LEAST_TILES} are needed",
        remedy="train the same folds in each, with folds.csv of one copied into the new folders of the others",
    )


def common_truth(runs: Sequence[Run], rows: Sequence[Rows], names: pd.Index) -> MultiHot:
    """Give the tags of the tiles, which must be the same in all runs; columns are in the order of the first.

    Raises
    ------
    InputError
        For runs with other labels.
    """
    first = rows[0].true.loc[names]
    for run, row in zip(runs, rows, strict=True):
        differs = (row.true.loc[names, first.columns] != first).any(axis=1)
        if differs.any():
            raise InputError(
                f"the run has other labels than {runs[0].path}: those of {differs.sum():,} tiles differ, such as "
                f"{differs.idxmax()}",
                file=run.path,
                remedy="compare runs of one tag table",
            )
    return first.to_numpy()
