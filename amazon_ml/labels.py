"""Tags: the 17 of the Planet competition, or any other list; multi-hot encoding; the label logic.

A tag list is a value, `TagSet`, that is passed from stage to stage. No other module knows a tag by its name, except
the generator of tiles, which draws them.
"""

import difflib
import itertools
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError, listed
from amazon_ml.gaps import describe_gaps

MultiHot = npt.NDArray[np.uint8]
_Item = TypeVar("_Item")

#: Largest number of tags of a list, ten times that of the largest sets of satellite tiles; with more, a column of
#: names or notes was probably read as tags.
MOST_TAGS = 1000
#: Categories of characters that no name or tag may hold: control characters, line and paragraph separators, and
#: surrogates, which represent bytes that are not UTF-8.
UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class TagSet:
    """An ordered list of tags, and rules on their combinations.

    Parameters
    ----------
    names
        The tags; their order is the order of columns everywhere.
    groups
        Tags of each group, by its name.
    exactly_one
        Tags of which every tile has exactly one; empty if there is no such rule.
    alone
        Tags that exclude every other tag.

    Raises
    ------
    InputError
        When the list is empty, repeats a tag, holds an empty tag, one that is no text or one that clashes with the
        tables of a run, or a rule names a tag that is not in the list.

    Examples
    --------
    >>> tags = TagSet(("clear", "cloudy", "road"), exactly_one=("clear", "cloudy"), alone=("cloudy",))
    >>> tags.encode(["clear road", "cloudy"])
    array([[1, 0, 1],
           [0, 1, 0]], dtype=uint8)
    >>> tags.decode([[1, 0, 1]])
    ['clear road']
    >>> tags.logic_faults([[1, 1, 0]])
    {'more than one of clear, cloudy': array([0]), 'cloudy beside other tags': array([0])}
    """

    names: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exactly_one: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("names", "exactly_one", "alone"):
            given = getattr(self, name)
            if isinstance(given, str):  # else each letter would be a tag
                raise InputError(f"`{name}` is the text {given!r}", option=name, remedy="give a tuple of tags")
            object.__setattr__(self, name, tuple(given))
        if not self.names:
            raise InputError("the tag list is empty", option="tags")
        check_tags(self.names)
        if "" in self.names:
            raise InputError("the tag list holds an empty tag, ''", option="tags")
        clashing = [name for name in self.names if name in ("image_name", "tags") or "|" in name]
        if clashing:
            raise InputError(
                f"the tag list holds {clashing[0]!r}, but 'image_name', 'tags' and tags with '|' clash with the "
                "tables of a run", option="tags", remedy="rename it in the table, or set `data.tag_separator`",
            )  # fmt: skip
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise InputError(f"the tag list repeats {', '.join(repeated)}", option="tags")
        ruled = {*self.exactly_one, *self.alone, *(tag for tags in self.groups.values() for tag in tags)}
        if not ruled <= set(self.names):
            unlisted = sorted(map(str, ruled.difference(self.names)))
            raise InputError(f"rules name tags that are not listed: {', '.join(unlisted)}")

    def __len__(self) -> int:
        return len(self.names)

    def encode(
        self, tag_strings: Iterable[str], *, separator: str | None = None, rows: Iterable[str] | None = None
    ) -> MultiHot:
        """Convert tag strings to a multi-hot array.

        Tags are a set: a repeated tag counts once, and their order has no meaning.

        Parameters
        ----------
        tag_strings
            One string for each tile, such as ``"clear primary water"``; empty for a tile without tags.
        separator
            Separator of tags; any white space by default.
        rows
            Name of each row in errors; ``row 1`` and so on by default.

        Returns
        -------
        numpy.ndarray
            uint8 of shape (tiles, tags), 0 or 1.

        Raises
        ------
        InputError
            If tags are not in the list, with their number, rows and nearest tags; or if this is not one string for each
            tile.
        """
        strings, places = _listed("tag_strings", tag_strings, rows)
        for row, tags in enumerate(strings):
            if not isinstance(tags, str):
                many = isinstance(tags, list | tuple)
                raise InputError(
                    f"{places[row]}: {tags!r} is not a string of tags", option="tag_strings",
                    remedy="give lists of tags to `encode_split`" if many
                    else "write '' for a tile without tags; pandas reads an empty cell so with keep_default_na=False",
                )  # fmt: skip
        return self.encode_split([split_tags(tags, separator) for tags in strings], rows=places)

    def encode_split(self, tag_lists: Iterable[Iterable[str]], *, rows: Iterable[str] | None = None) -> MultiHot:
        """Convert the tags of each tile to a multi-hot array, as `encode` does with strings of tags."""
        lists, places = _listed("tag_lists", tag_lists, rows)
        column = {name: i for i, name in enumerate(self.names)}
        encoded = np.zeros((len(lists), len(self)), dtype=np.uint8)
        unknown: list[tuple[str, str]] = []
        for row, tags in enumerate(lists):
            if isinstance(tags, str) or not isinstance(tags, Iterable):
                raise InputError(f"{places[row]}: {tags!r} is not a list of tags", option="tag_lists",
                                 remedy="give strings of tags to `encode`")  # fmt: skip
            for tag in tags:
                if not isinstance(tag, str):
                    raise InputError(f"{places[row]}: {tag!r} is not a tag", option="tag_lists")
                if tag in column:
                    encoded[row, column[tag]] = 1
                else:
                    unknown.append((places[row], tag))
        if unknown:
            raise InputError(self.describe_unknown(unknown))
        return encoded

    def decode(self, encoded: npt.ArrayLike, *, separator: str = " ") -> list[str]:
        """Turn a multi-hot array into tag strings.

        Parameters
        ----------
        encoded
            Multi-hot array of shape (tiles, tags), 0 or 1. A decision rule makes it of probabilities.
        separator
            What to write between tags.

        Returns
        -------
        list of str
            One string for each tile, with its tags in the order of the list.

        Raises
        ------
        InputError
            For another shape, values that are masked or other than 0 and 1, or a column of a tag at the place of
            another one.
        """
        return [separator.join(self.names[i] for i in np.flatnonzero(row)) for row in self._hot(encoded)]

    def _hot(self, encoded: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Check a multi-hot array: its shape, its values, and the names of its columns where it has names."""
        columns = list(getattr(encoded, "columns", ()))
        # Columns of other names, such as p_road, follow the order of the tags as those of an array do.
        if any(name in self.names and self.names[at : at + 1] != (name,) for at, name in enumerate(columns)):
            raise InputError(
                f"the columns are {listed(columns)}, but the tags are {listed(self.names)}", option="encoded",
                remedy="take the columns of the tags alone, in the order of the tags",
            )  # fmt: skip
        if gaps := describe_gaps(encoded):
            raise InputError(gaps, option="encoded", remedy="fill them, or leave out these tiles")
        array = np.asarray(encoded)
        if array.ndim != 2 or array.shape[1] != len(self):
            raise InputError(f"expected an array of shape (tiles, {len(self)}), got {array.shape}", option="encoded")
        on = array.astype(bool)
        if array.dtype != on.dtype and not (array == on).all():
            row, column = np.argwhere(array != on)[0].tolist()
            raise InputError(
                f"row {row + 1} has {array[row, column]} for {self.names[column]}, not 0 or 1", option="encoded",
                remedy="decide about probabilities first, with a rule's `predict` or a threshold",
            )  # fmt: skip
        return on

    def separator(self, wanted: str | None = None) -> str:
        """Choose a separator for writing tags, so that they can be read back.

        Parameters
        ----------
        wanted
            Separator of tags in the table; any white space by default.

        Returns
        -------
        str
            `wanted`, or a blank. Where a tag holds that, a semicolon, and a bar where tags hold both.
        """
        marks = (unescaped(wanted or " "), ";", "|")
        return next(mark for mark in marks if not any(mark in name for name in self.names) or mark == "|")

    def logic_faults(self, encoded: npt.ArrayLike) -> dict[str, npt.NDArray[np.intp]]:
        """Report rows that break the label logic, without changing them.

        Parameters
        ----------
        encoded
            Multi-hot array of shape (tiles, tags).

        Returns
        -------
        dict
            Description of each rule to the indices of the rows that break it; broken rules only.

        Raises
        ------
        InputError
            As `decode`.
        """
        on = self._hot(encoded)
        count = on.sum(axis=1)
        broken: dict[str, npt.NDArray[np.bool_]] = {}
        if self.exactly_one:
            chosen = on[:, [self.names.index(tag) for tag in self.exactly_one]].sum(axis=1)
            listed = ", ".join(self.exactly_one)
            broken[f"none of {listed}"] = chosen == 0
            broken[f"more than one of {listed}"] = chosen > 1
        for tag in self.alone:
            broken[f"{tag} beside other tags"] = on[:, self.names.index(tag)] & (count > 1)
        return {rule: np.flatnonzero(rows) for rule, rows in broken.items() if rows.any()}

    def describe_unknown(self, unknown: Sequence[tuple[str, str]]) -> str:
        """Describe tags that are not in the list, given pairs of place and tag."""

        def describe(place: str, tag: str) -> str:
            near = difflib.get_close_matches(tag, self.names, n=1, cutoff=0.6)
            return f"{place}: {tag!r}" + (f" (nearest: {near[0]!r})" if near else "")

        shown = "; ".join(describe(place, tag) for place, tag in unknown[:3])
        more = f"; and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        noun = "unknown tag" if len(unknown) == 1 else f"{len(unknown)} unknown tags"
        return f"{noun}: {shown}{more}. Known tags: {', '.join(self.names)}"


def _listed(option: str, tags: Iterable[_Item], rows: Iterable[str] | None) -> tuple[list[_Item], list[str]]:
    """List the items once, since a generator gives them only once, and name their rows.

    One string for all tiles, and a table, are no items for each tile.
    """
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable) or getattr(tags, "ndim", 1) != 1:
        given = repr(tags) if isinstance(tags, str | bytes) else f"a {type(tags).__name__}"
        raise InputError(f"expected a list with an item for each tile, got {given}", option=option)
    items = list(tags)
    places = [f"row {row}" for row in range(1, len(items) + 1)] if rows is None else list(map(str, rows))
    if len(places) != len(items):
        raise InputError(f"there are {len(places)} names of rows for {len(items)} tiles", option="rows")
    return items, places


def check_tags(names: Collection[str]) -> None:
    """Check that there are not too many tags, and that all are texts that break no terminal and no line of a table.

    Raises
    ------
    InputError
        If there are too many tags, or a tag is no text or holds a control character.
    """
    check_count(names)
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"the tag {name!r} is no text", option="tags", remedy="convert all tags with `str`")
        if not name.isprintable() and any(unicodedata.category(mark) in UNWRITABLE for mark in name):
            raise InputError(f"the tag {name!a} holds a control character", option="tags",
                             remedy="remove it from the table")  # fmt: skip


def check_count(names: Collection[str]) -> None:
    """Check that there are not too many tags, before each is compared with each."""
    if len(names) > MOST_TAGS:
        raise InputError(
            f"{len(names):,} different tags, such as {listed(list(names))}, are more than {MOST_TAGS:,}",
            remedy="check whether `data.tags_column` and `data.tag_separator` are right",
        )


def unescaped(separator: str) -> str:
    r"""Replace the two characters ``\t`` by a tab and ``\n`` by a line end, since a shell passes both unchanged."""
    return separator.replace("\\t", "\t").replace("\\n", "\n")


def split_tags(tags: str, separator: str | None = None) -> list[str]:
    """Split a tag string, without white space around tags and without empty tags."""
    return [tag for part in tags.split(separator) if (tag := part.strip())]


_WEATHER = ("clear", "partly_cloudy", "haze", "cloudy")
_COMMON = ("primary", "agriculture", "road", "water", "cultivation", "habitation", "bare_ground")
_RARE = (
    "selective_logging",
    "artisinal_mine",
    "blooming",
    "slash_burn",
    "blow_down",
    "conventional_mine",
)

#: The tags of the competition, in the spelling of its tables. Every tile has one weather tag. A cloudy tile shows no
#: ground, so it has no other tag.
PLANET = TagSet(
    names=_WEATHER + _COMMON + _RARE,
    groups={"weather": _WEATHER, "common ground": _COMMON, "rare ground": _RARE},
    exactly_one=_WEATHER,
    alone=("cloudy",),
)

#: Number of training tiles of the competition, and of those with each tag; a row that repeats a tag counts once.
PLANET_TILES = 40_479
PLANET_COUNTS: Mapping[str, int] = {
    "clear": 28_431, "partly_cloudy": 7_261, "haze": 2_697, "cloudy": 2_089,
    "primary": 37_513, "agriculture": 12_315, "road": 8_071, "water": 7_411, "cultivation": 4_477,
    "habitation": 3_660, "bare_ground": 862,
    "selective_logging": 340, "artisinal_mine": 339, "blooming": 332, "slash_burn": 209, "blow_down": 98,
    "conventional_mine": 100,
}  # fmt: skip


def declared(names: Sequence[str]) -> TagSet:
    """Make a tag list: with the rules of the competition for its tags in any order, else without rules."""
    return replace(PLANET, names=tuple(names)) if set(names) == set(PLANET.names) else TagSet(tuple(names))


def shortened(tag: str, longest: int) -> str:
    """Cut a name for a picture to this many characters, the last of which is then an ellipsis."""
    return tag if len(tag) <= longest else tag[: longest - 1].rstrip() + "…"


def list_tags(tags: Iterable[str]) -> list[str]:
    """List the tags that a caller gave, and check them.

    Raises
    ------
    InputError
        For a text, whose letters would be tags, and for what a `TagSet` refuses.
    """
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InputError(f"`tags` is {tags!r}", option="tags", remedy="give a list of tags")
    return list(TagSet(tuple(tags)).names)


def first_difference(own: Sequence[str], other: Sequence[str]) -> tuple[int, str, str] | None:
    """Return the place, counted from 1, and the two tags where two lists first differ; None if they are equal."""
    pairs = enumerate(itertools.zip_longest(own, other, fillvalue="missing"), start=1)
    return next(((place, one, two) for place, (one, two) in pairs if one != two), None)
