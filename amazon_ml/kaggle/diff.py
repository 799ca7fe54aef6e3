"""Compare two submissions, tile by tile and tag by tag."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from amazon_ml.errors import InputError
from amazon_ml.kaggle.form import run_around, separator_of
from amazon_ml.kaggle.rows import read_submission
from amazon_ml.labels import split_tags
from amazon_ml.runs.access import own_paths
from amazon_ml.runs.folder import Run
from amazon_ml.runtime.files import write_json
from amazon_ml.runtime.outputs import check_outputs


class TagDifference(TypedDict):
    """A tag that differs: the number of tiles in both that have it in ``a``, in ``b``, and in one of them only."""

    tag: str
    a: int
    b: int
    only_a: int
    only_b: int


class Change(TypedDict):
    """The tags of a tile that only ``a`` has, and those that only ``b`` has, sorted."""

    a: list[str]
    b: list[str]


class Difference(TypedDict):
    """The difference of two submissions.

    ``tiles``, the number in both; ``differing``, the number of these with other tags; ``tags``, a record for each tag
    that differs, sorted; ``only_a`` and ``only_b``, names of tiles in one of them only; ``changes`` of each differing
    tile, by its name.
    """

    tiles: int
    differing: int
    tags: list[TagDifference]
    only_a: list[str]
    only_b: list[str]
    changes: dict[str, Change]


class SubmissionDiff(Difference):
    """The difference of two submission files, and their paths ``a`` and ``b``."""

    a: str
    b: str


def diff_submissions(
    a: Path, b: Path, *, run: Path | None = None, json: Path | None = None, overwrite: bool = False
) -> SubmissionDiff:
    """Count the tiles that have other tags in another submission, and list these tags.

    Parameters
    ----------
    a
        One submission.
    b
        Another.
    run
        The run of both submissions: it gives the text between two tags. By default the folder of a file, where that is
        a run, else the folder of the other file; else it is a space, as in the competition.
    json
        File for all differences, tile by tile.
    overwrite
        Replace an existing file.

    Raises
    ------
    InputError
        Where one of them cannot be read as a submission.
    """
    around = [run_around(a), run_around(b)]
    own = [path for one in (run, *around) if one for path in own_paths(Run(one))]
    check_outputs({"json": json}, [a, b, *own], overwrite=overwrite)
    of_a, of_b = (separator_of(run or one or other) for one, other in (around, around[::-1]))
    found: SubmissionDiff = {"a": str(a), "b": str(b), **diff(_read_tags(a, of_a), _read_tags(b, of_b))}
    if json is not None:
        write_json(json, found)
    return found


def diff(a: Mapping[str, frozenset[str]], b: Mapping[str, frozenset[str]]) -> Difference:
    """Compare the tags of tiles as sets: neither the order of rows nor that of tags matters.

    Parameters
    ----------
    a, b
        Tags by the name of the tile.
    """
    both = [name for name in a if name in b]
    changed = [name for name in both if a[name] != b[name]]
    in_a = Counter(tag for name in both for tag in a[name])
    in_b = Counter(tag for name in both for tag in b[name])
    only_a = Counter(tag for name in changed for tag in a[name] - b[name])
    only_b = Counter(tag for name in changed for tag in b[name] - a[name])
    return {
        "tiles": len(both),
        "differing": len(changed),
        "tags": [
            {"tag": tag, "a": in_a[tag], "b": in_b[tag], "only_a": only_a[tag], "only_b": only_b[tag]}
            for tag in sorted(only_a | only_b)
        ],
        "only_a": [name for name in a if name not in b],
        "only_b": [name for name in b if name not in a],
        "changes": {name: {"a": sorted(a[name] - b[name]), "b": sorted(b[name] - a[name])} for name in changed},
    }


def _read_tags(path: Path, separator: str) -> dict[str, frozenset[str]]:
    """Read the tags of each tile; `separator` is the text between two tags."""
    submission = read_submission(path)
    rows, remedy = submission.rows, f"see amazon-ml submit lint {path}"
    broken = next((case for case in submission.cases if case.kind != "form"), None)
    if broken is not None:
        what = broken.item.removeprefix(f"line {broken.line}: ")
        raise InputError(f"this is not a submission: {what}", file=path, line=broken.line, remedy=remedy)
    again = rows[rows["image_name"].duplicated()]
    if len(again):
        raise InputError(
            f"{again['image_name'].iloc[0]} occurs twice", file=path, line=int(again["line"].iloc[0]), remedy=remedy
        )
    return {
        name: frozenset(split_tags(tags, separator))
        for name, tags in zip(rows["image_name"], rows["tags"], strict=True)
    }
