"""Checks of a whole column of tags: it may hold 0 and 1, names of files or tiles, or the same tags in all rows."""

import re
from collections.abc import Callable, Mapping, Sequence

from amazon_ml.data.catalog.columns import TICKS, WRITE_TAGS, is_mark
from amazon_ml.data.catalog.faults import Doubt, Row
from amazon_ml.data.catalog.names import clean_name
from amazon_ml.data.readers.images import SUFFIXES
from amazon_ml.errors import listed

NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
#: Several zeros and ones in one word: ``0110``, ``b0110``, ``YNN``, ``TFT``.
_BITS = re.compile(r"[01]+|(0?b)?[01]{3,}|[YN]{2,}|[TF]{2,}", re.IGNORECASE)
#: A single such sign, which is no tag where longer ones occur.
_SIGN = re.compile(r"[01YNTF]", re.IGNORECASE)
#: Endings of files that another column of a table may name.
_FILES = (
    *SUFFIXES, ".npy", ".npz", ".xml", ".json", ".geojson", ".txt", ".csv", ".shp", ".mask", ".gif", ".jp2", ".h5",
    ".hdf5", ".nc", ".zip", ".parquet", ".wkt", ".kml", ".yaml", ".yml", ".pkl",
)  # fmt: skip
#: Least numbers of tiles: to conclude that values that no two tiles share are no tags, and that tags that all tiles
#: have cannot be learned.
_UNIQUE, _SAME = 10, 3
_OTHER_COLUMN = "name the right column with `data.tags_column`"


def no_names(tokens: Sequence[str], *, is_given: bool, marks: Callable[[], str]) -> Doubt | None:
    """Return a doubt for a column that holds 0 and 1, yes and no, ticks or numbers instead of tags.

    Parameters
    ----------
    tokens
        All distinct values of the column.
    is_given
        Whether the tag list is given.
    marks
        Describes the other columns that hold 0 and 1, or counts; "" where there are none.
    """
    if not tokens:
        return None
    numbers = not is_given and all(map(NUMBER.fullmatch, tokens))
    fractions = numbers and any("." in token or "e" in token.lower() for token in tokens)
    ticks = not is_given and {token.casefold() for token in tokens} <= TICKS
    odd = fractions or ticks or all(map(is_mark, tokens)) or (not is_given and _are_bits(tokens))
    beside = marks() if odd or numbers else ""
    if not odd and not beside:  # other numbers are classes, unless the table has one column for each tag as well
        return None
    what = f"the column of tags holds {listed(list(map(repr, tokens)))}, which are no names of tags"
    return Doubt("marks", f"{what}; the table has {beside}" if beside else what, WRITE_TAGS)


def no_tags(rows: Sequence[Row], split: Mapping[str, tuple[str, ...]], tokens: Sequence[str]) -> Doubt | None:
    """Return a doubt for a column that names files or the tiles themselves, or has another value for each tile."""
    whole = [row for row in rows if row.whole and split[row.cell]]
    if not whole:
        return None
    if all(token.lower().endswith(_FILES) for token in tokens):
        what = f"the column of tags holds names of files, such as {listed(list(map(repr, tokens)))}"
        return Doubt("no_tags", what, _OTHER_COLUMN)
    if len(whole) > 1 and all(_names_tile(row) for row in whole):
        return Doubt("no_tags", "the column of tags holds the names of the tiles", _OTHER_COLUMN)
    first: dict[str, str] = {}
    tagged = {row.name for row in whole}
    if len(tagged) >= _UNIQUE and all(
        first.setdefault(tag, row.name) == row.name for row in whole for tag in split[row.cell]
    ):
        what = f"no two of {len(tagged):,} tiles have a tag in common: {listed(list(map(repr, tokens)))}"
        return Doubt("no_tags", what, f"{_OTHER_COLUMN}, or list the tags with `data.tags` if they are right")
    return None


def same_tags(rows: Sequence[Row], split: Mapping[str, tuple[str, ...]], tokens: Sequence[str]) -> Doubt | None:
    """Return a doubt for a column with the same tags on all tiles."""
    of_first = {tag for row in rows if row.name == rows[0].name for tag in split.get(row.cell, ())}
    if len(of_first) != len(tokens):  # so it is with nearly all tables
        return None
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.name, set()).update(split.get(row.cell, ()))
    if not tokens or not all(row.whole for row in rows) or any(len(tags) != len(tokens) for tags in found.values()):
        return None
    if len(tokens) > 1 and len(found) < _SAME:
        return None
    shown = f"the one tag {tokens[0]!r}" if len(tokens) == 1 else f"the same tags, {listed(list(map(repr, tokens)))}"
    return Doubt("one_tag", f"all {len(found):,} tiles have {shown}, so there is nothing to learn",
                 f"{_OTHER_COLUMN}, or list the tags with `data.tags` if more will follow")  # fmt: skip


def _are_bits(tokens: Sequence[str]) -> bool:
    """Whether all tokens are rows of zeros and ones, or of yes and no, in one word."""
    parts = [[part for part in re.split(r"[\W_]+", token) if part] for token in tokens]
    if any(len(each) > 1 for each in parts):
        return all(each and all(map(is_mark, each)) for each in parts)
    words = all(_BITS.fullmatch(token) or _SIGN.fullmatch(token) for token in tokens)
    return words and any(len(token) > 1 for token in tokens)


def _names_tile(row: Row) -> bool:
    name = clean_name(row.cell).rpartition("/")[2]
    return name == row.name.rpartition("/")[2]
