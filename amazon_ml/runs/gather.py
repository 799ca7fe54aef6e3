"""Gather the folds of a run: probabilities of every held-out tile once, and averages for the untagged tiles."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.folds.folds import fold_numbers, read_folds
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import FoldFolder, Run, probability_table, read_probabilities, read_truth
from amazon_ml.runs.hashes import check_recorded, check_task, write_table


def gather_folds(run: Run) -> None:
    """Write oof.parquet and test.parquet from the folds that are finished.

    Raises
    ------
    InputError
        Where no fold is finished; where a fold did not predict exactly the tiles that folds.csv holds out in it; and
        where it predicted other untagged tiles than the other folds.
    """
    tags, untagged = run.tags(), _untagged(run)
    finished = _finished(run, untagged)
    if not finished:
        raise InputError(
            "the run has no finished fold", file=run.path, remedy=f"train one with amazon-ml train --run {run.path}"
        )
    for fold in finished:
        check_task(fold.path, str(run.read_provenance()["task"]))
    valid = [read_probabilities(fold.valid, tags) for fold in finished]
    expected = _held_out(run)
    for fold, (names, _) in zip(finished, valid, strict=True):
        _check_held_out(run, fold, names, expected.get(fold.number, pd.Series(dtype=str)))
    held_out, probabilities = pd.concat([names for names, _ in valid]), np.concatenate([p for _, p in valid])
    parts = [path for fold in finished for path in (fold.weights, fold.valid)]
    write_table(run.oof, probability_table(held_out.tolist(), tags, probabilities), made_of=[run.folds, *parts])
    if untagged:
        test_names, mean = _mean_of([(fold, *read_probabilities(fold.test, tags)) for fold in finished], untagged)
        write_table(run.test, probability_table(test_names, tags, mean), made_of=[fold.test for fold in finished])


def missing_folds(run: Run) -> list[int]:
    """List the folds of folds.csv that are not finished."""
    return sorted(set(_held_out(run)) - {fold.number for fold in predicted_folds(run)})


def predicted_folds(run: Run) -> list[FoldFolder]:
    """List the folds that are finished, with probabilities of the untagged tiles, if the run has any."""
    return _finished(run, _untagged(run)) if run.provenance.exists() else []


def _finished(run: Run, untagged: int) -> list[FoldFolder]:
    return [fold for fold in run.finished_folds() if fold.test.exists() or not untagged]


def _untagged(run: Run) -> int:
    count = run.read_provenance()["data"]["unlabelled"]
    if not isinstance(count, int):
        raise InputError(f"data.unlabelled is {count!r}, not a number of tiles", file=run.provenance)
    return count


def _held_out(run: Run) -> dict[int, pd.Series]:
    """Give the names of the tiles that each fold holds out."""
    names = read_truth(run).index.to_series()
    if not run.read_config().data.validate:
        return {0: names}  # the only network is validated on the tiles that it was trained on
    check_recorded(run.folds)
    fold = read_folds(run.folds, names)
    return {int(number): names[fold == number] for number in fold_numbers(fold)}


def _check_held_out(run: Run, fold: FoldFolder, names: pd.Series, expected: pd.Series) -> None:
    place = f"{run.folds} holds out in fold {fold.number}"
    for wrong, problem in (
        (names[names.duplicated()], "the table holds {} more than once"),
        (names[~names.isin(expected)], f"the table holds {{}}, which is none of the tiles that {place}"),
        (expected[~expected.isin(names)], f"the table lacks {{}}, which {place}"),
    ):
        if len(wrong):
            raise InputError(
                f"{problem.format(wrong.iloc[0])} ({len(wrong):,} such tiles)",
                file=fold.valid,
                remedy=f"delete {fold.path} and train fold {fold.number} again",
            )


def _mean_of(
    test: list[tuple[FoldFolder, pd.Series, npt.NDArray[np.float32]]], untagged: int
) -> tuple[list[str], npt.NDArray[np.float32]]:
    first = test[0][1]
    for fold, names, _ in test:
        if len(names) != untagged or not names.equals(first):
            raise InputError(
                f"the table holds other tiles than the {untagged:,} untagged ones of the run, which changed between "
                "folds",
                file=fold.test,
                remedy="delete the test.parquet of every fold and train again",
            )
    mean: npt.NDArray[np.float32] = np.mean([p for _, _, p in test], axis=0)
    return first.tolist(), mean
