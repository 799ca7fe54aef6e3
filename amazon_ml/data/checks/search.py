"""The search for each kind of fault in the survey and the scan of a folder."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.join import shared_files
from amazon_ml.data.checks.duplicates import near_pairs
from amazon_ml.data.checks.findings import Case
from amazon_ml.data.checks.reading import UNIFORM
from amazon_ml.data.checks.registration import compare
from amazon_ml.data.checks.survey import Survey
from amazon_ml.runtime.progress import mapped

#: Least share of pure black or pure white for a tile to be partly blank.
_BLANK = 0.25
#: Edges that differ by at most this share are nearly the same.
_SAME_SIZE = 0.05


def table_faults(survey: Survey) -> Iterator[Case]:
    """Check the names and the tags of the table: faults that training raises, and remarks."""
    kinds = frozenset(fault.kind for fault in survey.table_faults)
    for fault in survey.table_faults:
        yield Case(fault.kind, fault.listed, () if fault.unread else fault.names)
    if "untagged_rows" not in kinds:  # `allow_untagged` allows them
        yield from (Case("untagged_tiles", name) for name in survey.rows.loc[survey.rows["untagged"], "image_name"])
    yield from (Case("similar_tags", slip) for slip in survey.slips)
    yield from (Case("phrases", phrase) for phrase in survey.phrases)
    if survey.unused_splits:
        yield Case("unused_splits", survey.unused_splits)
    yield from _logic_faults(survey)
    used = survey.used
    seen = frozenset(chain.from_iterable(used["tags"]))
    yield from (Case("unseen_tags", tag) for tag in survey.tags.names if tag not in seen)
    training = used[used["split"] == "train"]
    trained = frozenset(chain.from_iterable(training["tags"] if len(training) else used["tags"]))
    yield from (Case("untrained_tags", tag) for tag in survey.tags.names if tag in seen and tag not in trained)


def _logic_faults(survey: Survey) -> Iterator[Case]:
    """Check the label logic of rows that have tags, all of them known."""
    known = frozenset(survey.tags.names)
    rows = survey.rows[[bool(tags) and tags <= known for tags in survey.rows["tags"]]]
    encoded = np.array([[tag in tags for tag in survey.tags.names] for tags in rows["tags"]])
    if len(rows):
        for rule, broken in survey.tags.logic_faults(encoded).items():
            yield from (Case("label_logic", f"{name}: {rule}", (name,)) for name in rows["image_name"].iloc[broken])


def file_faults(survey: Survey, *, allow_missing: bool) -> Iterator[Case]:
    """Check which rows have files, and which files have rows."""
    yield from (Case("file_names", sentence) for sentence in survey.broken_names)
    missing = survey.tagged.loc[survey.tagged["path"].isna(), "image_name"]
    kind = "missing_tiles" if allow_missing and len(missing) < len(survey.tagged) else "missing_files"
    for name in missing:
        difference = survey.differences.get(name)
        yield Case(kind, f"{name}: {difference}" if difference else name, (name,))
    for path, rows in shared_files(survey.tagged).groupby("path", sort=False):
        yield Case("shared_files", f"{path}: {', '.join(rows['image_name'])}", tuple(rows["image_name"]))
    yield from (Case("surplus_files", name) for name in survey.without_row)
    yield from (Case("colourless", name) for name in survey.colourless)
    shared = survey.tagged["image_name"].isin(survey.untagged["image_name"])
    yield from (Case("shared_names", name) for name in survey.tagged.loc[shared, "image_name"])


def few_tiles(survey: Survey, n_folds: int) -> Iterator[Case]:
    """Check that the tagged tiles with a file are enough for the folds."""
    count = int(survey.tagged["path"].notna().sum())
    if 0 < count < n_folds:  # where none has a file, that is the fault
        yield Case("few_tiles", f"{count} tagged tile{'s' * (count != 1)}, {n_folds} folds")


def image_faults(tiles: pd.DataFrame) -> Iterator[Case]:
    """Check each image by itself."""
    broken = tiles["fault"] != ""
    yield from _each("unreadable", tiles, broken, "fault")
    whole = tiles[~broken]
    yield from _sizes(whole)
    yield from _odd(whole, "format")
    # A cloud may be all white; any other value that fills a tile means "no data".
    constant = whole["constant"].astype(bool) & (whole["white"] < 1)
    yield from _each("constant", whole, constant)
    yield from _each("blank_parts", whole, ((whole["black"] >= _BLANK) | (whole["white"] >= _BLANK)) & ~constant)


def duplicate_faults(tiles: pd.DataFrame, thumbnails: npt.NDArray[np.uint8], num_workers: int) -> Iterator[Case]:
    """Find tagged tiles that show the same as other tiles, tagged or not; constant tiles are another fault."""
    comparable = tiles[(tiles["fault"] == "") & ~tiles["constant"].astype(bool)]
    repeated = comparable["digest"].duplicated(keep=False)
    for _, group in comparable[repeated].groupby("digest", sort=False) if repeated.any() else ():
        names, others = (group.loc[group["tagged"] == tagged, "image_name"].tolist() for tagged in (True, False))
        if len(names) > 1:
            alike = len(set(group.loc[group["tagged"], "tags"])) == 1
            if len(set(group.loc[group["tagged"], "split"])) > 1:
                yield Case(
                    "same_pixels_across_splits", " = ".join(map(_with_split, *_columns(group))), tuple(names[1:])
                )
                continue
            kind = "same_pixels" if alike else "same_pixels_other_tags"
            yield Case(kind, " = ".join(names), tuple(names[1:] if alike else names))
        if names and others:
            yield Case("same_pixels_in_test", " = ".join([*names, *others]))
    different = comparable.index[~comparable["digest"].duplicated()]
    pairs = near_pairs(thumbnails, different.to_numpy(), int(tiles["tagged"].sum()), num_workers=num_workers)
    for first, second, correlation in zip(pairs["first"], pairs["second"], pairs["correlation"], strict=True):
        both = tiles.iloc[[first, second]]
        across = len(set(both["split"])) > 1
        kind = "near_duplicates_across_splits" if across else "near_duplicates"
        kind = kind if tiles["tagged"].iloc[second] else "near_duplicates_in_test"
        pair = " ~ ".join(map(_with_split, *_columns(both)))
        yield Case(kind, f"{pair} (correlation {correlation:.2f})")


def _columns(tiles: pd.DataFrame) -> tuple["pd.Series[str]", "pd.Series[str]"]:
    return tiles["image_name"], tiles["split"]


def _with_split(name: str, split: str | None) -> str:
    return f"{name} ({split})" if split else name


def tif_faults(tiles: pd.DataFrame, num_workers: int, max_pixels: int) -> Iterator[Case]:
    """Compare the TIFs beside JPGs with these, unless they are constant."""
    beside = (tiles["tif"] != "") & (tiles["tif"] != tiles["path"])
    pairs = tiles[beside & (tiles["fault"] == "") & ~tiles["constant"].astype(bool)]
    if pairs.empty:
        return
    jobs = list(zip(pairs["path"], pairs["tif"], strict=True))
    compared = list(
        mapped(lambda job: compare(*job, max_pixels), jobs, num_workers=num_workers, what="comparing JPGs with TIFs")
    )
    table = pairs.assign(**pd.DataFrame(compared, columns=["kind", "detail", "format"], index=pairs.index))
    for kind, group in table[table["kind"] != ""].groupby("kind"):
        yield from _each(str(kind), group, None, "detail")
    yield from _odd(table[table["format"] != ""], "format", "tif_")


def _sizes(tiles: pd.DataFrame) -> Iterator[Case]:
    """Find tiles of another size than nearly all; sizes that are nearly the same are only counted.

    Sets that were cropped by hand, such as UC Merced, have some tiles that are a few pixels smaller or larger.
    """
    counts = tiles["size"].value_counts()
    if counts.empty:
        return
    usual = _edges(counts.index[0])
    near = [size for size in counts.index if (np.abs(_edges(size) - usual) <= _SAME_SIZE * usual).all()]
    odd = ~tiles["size"].isin(near)
    if odd.any() and (~odd).sum() >= UNIFORM * len(tiles):
        yield from _each("odd_sizes", tiles, odd, "size")
        counts = counts[near]
    if len(counts) > 1:
        yield from (Case("mixed_sizes", f"{value}: {count:,} tiles") for value, count in counts.items())


def _edges(size: str) -> npt.NDArray[np.float64]:
    return np.array([float(edge) for edge in size.split(" x ")])


def _odd(tiles: pd.DataFrame, column: str, prefix: str = "") -> Iterator[Case]:
    """List tiles that differ from nearly all others in a column, or count the values if there is no majority."""
    counts = tiles[column].value_counts()
    if len(counts) > 1 and counts.iloc[0] >= UNIFORM * len(tiles):
        yield from _each(f"{prefix}odd_{column}s", tiles, tiles[column] != counts.index[0], column)
    elif len(counts) > 1:
        yield from (Case(f"{prefix}mixed_{column}s", f"{value}: {count:,} tiles") for value, count in counts.items())


def _each(
    kind: str, tiles: pd.DataFrame, chosen: "pd.Series[bool] | None" = None, column: str | None = None
) -> Iterator[Case]:
    """Make a case of each tile, or of those chosen; the list of tiles to exclude gets it if it is tagged."""
    if chosen is not None:
        if not chosen.any():  # as in most folders; an empty table is made slowly
            return
        tiles = tiles[chosen]
    texts = [""] * len(tiles) if column is None else [f": {detail}" for detail in tiles[column]]
    for name, tagged, detail in zip(tiles["image_name"], tiles["tagged"], texts, strict=True):
        yield Case(kind, f"{name}{detail}", (name,) if tagged else ())
