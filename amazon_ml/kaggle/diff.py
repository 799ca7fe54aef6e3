"""How two submissions differ, tile by tile and tag by tag."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError
from amazon_ml.kaggle.form import run_around, separator_of
from amazon_ml.kaggle.rows import read_submission
from amazon_ml.labels import split_tags
from amazon_ml.runs.access import own_paths
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs


def diff_submissions(a: Path, b: Path, *, json: Path | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Tell how many tiles two submissions answer differently, and in which tags.

    Parameters
    ----------
    a
        One submission.
    b
        Another.
    json
        File for all that differs, tile by tile.
    overwrite
        Replace a file that is there.

    Returns
    -------
    What differs, as `diff` gives it, and the two files as ``a`` and ``b``.

    Raises
    ------
    InputError
        When one is no submission that can be read.
    """
    runs = [path for run in map(run_around, (a, b)) if run for path in own_paths(Run(run))]
    check_outputs({"json": json}, [a, b, *runs], overwrite=overwrite)
    found = {"a": str(a), "b": str(b), **diff(_answers(a), _answers(b))}
    if json is not None:
        write_json(json, found)
    return found


def diff(a: Mapping[str, frozenset[str]], b: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Compare the tags of tiles, which are sets: neither the order of rows nor that of tags matters.

    Returns
    -------
    ``tiles`` in both; ``differing``, the number of these with other tags; ``tags``, sorted, a record for
    each that differs somewhere: how many of the tiles in both have it in ``a``, in ``b``, and in one alone;
    ``only_a`` and ``only_b``, names in one alone; ``changes``, of each differing tile what ``a`` and ``b``
    have alone.
    """
    both = [name for name in a if name in b]
    changed = [name for name in both if a[name] != b[name]]
    counts = {
        "a": Counter(tag for name in both for tag in a[name]),
        "b": Counter(tag for name in both for tag in b[name]),
        "only_a": Counter(tag for name in changed for tag in a[name] - b[name]),
        "only_b": Counter(tag for name in changed for tag in b[name] - a[name]),
    }
    return {
        "tiles": len(both),
        "differing": len(changed),
        "tags": [
            {"tag": tag, **{key: count[tag] for key, count in counts.items()}}
            for tag in sorted(counts["only_a"] | counts["only_b"])
        ],
        "only_a": [name for name in a if name not in b],
        "only_b": [name for name in b if name not in a],
        "changes": {name: {"a": sorted(a[name] - b[name]), "b": sorted(b[name] - a[name])} for name in changed},
    }


def _answers(path: Path) -> dict[str, frozenset[str]]:
    """Read the tags of each tile."""
    submission = read_submission(path)
    rows, remedy = submission.rows, f"see amazon-ml submit lint {path}"
    broken = [case.item for case in submission.cases if case.kind != "form"]
    if broken:
        raise InputError(f"{path} is not a submission: {broken[0]}; {remedy}")
    again = rows[rows["image_name"].duplicated()]
    if len(again):
        raise InputError(f"{path} line {again['line'].iloc[0]}: {again['image_name'].iloc[0]} stands twice; {remedy}")
    separator = separator_of(run_around(path))
    return {
        name: frozenset(split_tags(tags, separator))
        for name, tags in zip(rows["image_name"], rows["tags"], strict=True)
    }
