"""Finds tags that look like several tags: marks within them that may be separators."""

import re
from collections.abc import Collection, Iterable, Sequence

from amazon_ml.data.catalog.faults import Doubt
from amazon_ml.labels import split_tags

#: Separators of tags in users' tables, the most likely first; those of other scripts at the end.
SEPARATORS = (",", ";", "|", "/", "\\", "+", "&", *"\uff0c\u3001\uff1b\uff5c\uff0f\u060c\u061b")
#: Separators that never are part of a name of a tag, as ``/`` is in ``Grass/Herbaceous``.
_PLAIN_SEPARATORS = (",", ";", "|", "\t", "\n")
#: Marks that no name holds: bullets, broken bars, tildes, and the separators of web pages and addresses.
#: The dot within the Catalan ``l·l`` is part of a letter.
_NEVER_WITHIN = re.compile(r"(?i)<br\s*/?>|%(?:20|2c|3b|7c|2f|09|0a|0d)|[•‣∙◦●¦~]|(?<!l)·|·(?!l)")
_BETWEEN = frozenset(("and", "or"))
#: A run of marks between letters; ``_``, ``-``, ``.`` and the apostrophe are parts of names.
_MARKS = re.compile(r"(?<=\w)\s*(?:[^\w\s.'\u2019-]|->|(?<=[^\w\s.'\u2019-])-)+\s*(?=\w)")
_JOINERS = re.compile(r"(?<=[^\W_])[_.-]+(?=[^\W_])")
#: Least share of the parts that stand in several places; some words are both a key and a value.
_RECURRING = 0.25
#: Least number of tags that are made of others, for ``_``, ``-`` or ``.`` to count as a separator.
_FEWEST_JOINED = 2


def several(token: str) -> Doubt | None:
    """Return a doubt for a tag that holds a separator where white space separates tags."""
    if token in SEPARATORS:
        return parted(token, token)
    if token.casefold() in _BETWEEN:
        return Doubt("separators", f"{token!r} stands between tags", "separate tags by blanks alone")
    if doubt := never_within(token):
        return doubt
    mark = next((mark for mark in SEPARATORS if mark in token.strip("+")), None)
    return parted(token, mark) if mark is not None else None


def several_beside(token: str, others: Collection[str], separator: str, *, never: bool) -> Doubt | None:
    """Return a doubt for a tag that holds another separator than the given one.

    Parameters
    ----------
    token
        The tag.
    others
        All other tags of the table.
    separator
        The given separator.
    never
        Whether it occurs nowhere in the table.
    """
    if "|" in token:
        return parted(token, "|")  # it is the separator of tags in the tables of a run
    if separator in token:
        return Doubt(
            "separators", f"{token!r} holds {separator!r}, which separates tags", "set another `data.tag_separator`"
        )
    for mark in (*SEPARATORS, "\t", "\n") if never else _PLAIN_SEPARATORS:
        parts = split_tags(token, mark) if mark in token else []
        is_other = never and not _is_phrase(token, mark)
        if parts and (is_other or mark in separator or any(part in others for part in parts) or len(parts) == 1):
            return parted(token, mark)
    words = token.split()
    if never and len(words) > 1 and any(word in others for word in words):
        return Doubt("separators", f"{token!r} holds blanks, and {separator!r} stands in no row",
                     "omit `data.tag_separator` where blanks separate tags")  # fmt: skip
    return never_within(token)


def _is_phrase(token: str, mark: str) -> bool:
    """Whether commas stand as in ``Developed, Open Space``, which is one tag where another separator is given."""
    return mark == "," and not re.search(r"\s,|,(?! )", token)


def in_list(token: str, others: Collection[str]) -> Doubt | None:
    """Return a doubt for a string of a list that looks like several tags; other commas and blanks are part of it."""
    if "|" in token:
        return parted(token, "|")
    for mark in _PLAIN_SEPARATORS:
        parts = split_tags(token, mark) if mark in token else []
        if len(parts) == 1 or any(part in others for part in parts):
            return Doubt("separators", f"the string {token!r} of a list has {mark!r} in it",
                         "write each tag as a string of its own, or list all tags with `data.tags`")  # fmt: skip
    return never_within(token)


def never_within(token: str) -> Doubt | None:
    """Return a doubt for a tag with a mark that no name holds."""
    found = _NEVER_WITHIN.search(token)
    return parted(token, found[0]) if found else None


def parted(token: str, mark: str) -> Doubt:
    """Make the doubt for a mark within a tag, with its remedy."""
    return Doubt("separators", f"{token!r} has {mark!r} in it",
                 f"set `data.tag_separator` {mark!r} if it separates tags, or list all tags with `data.tags` if it is "
                 "part of one")  # fmt: skip


def made_of_others(token: str, others: Collection[str], *, one: bool) -> Doubt | None:
    """Return a doubt for a tag that is made of other tags, or, where `one` is true, holds at least one of them."""
    parts, marks = _MARKS.split(token), [mark.strip() for mark in _MARKS.findall(token)]
    known = [part for part in parts if part in others]
    if marks and (known if one else len(known) == len(parts)):
        return Doubt("separators", f"{token!r} looks like several tags: it has {marks[0]!r} beside the tag "
                     f"{known[0]!r}", parted(token, marks[0]).remedy)  # fmt: skip
    return None


def recurring(tokens: Iterable[str]) -> dict[str, Doubt]:
    """Return doubts for all tags with a mark whose parts occur in different places: ``a:b`` beside ``b:c``.

    A part that always stands first is a key, such as that of ``landuse=forest`` beside ``landuse=grass``.
    """
    by_mark: dict[str, list[tuple[str, list[str]]]] = {}
    for token in tokens:
        marks = set(map(str.strip, _MARKS.findall(token)))
        if len(marks) == 1:
            by_mark.setdefault(marks.pop(), []).append((token, _MARKS.split(token)))
    doubts: dict[str, Doubt] = {}
    for mark, found in by_mark.items():
        places: dict[str, set[int]] = {}
        for _, parts in found:
            for place, part in enumerate(parts):
                places.setdefault(part, set()).add(place)
        if sum(len(seen) > 1 for seen in places.values()) >= _RECURRING * len(places):
            doubts |= {token: parted(token, mark) for token, _ in found}
    return doubts


def joined_by_a_name_mark(tokens: Sequence[str], cells: Iterable[Sequence[str]]) -> dict[str, Doubt]:
    """Return doubts for tags such as ``forest_river``.

    Only where no cell has two tags, and all tags with the mark are made of others.
    """
    if any(len(found) > 1 for found in cells):
        return {}
    known = frozenset(tokens)
    doubts: dict[str, Doubt] = {}
    for mark in "_-.":
        having = [token for token in tokens if mark in (marks := set(_JOINERS.findall(token))) and len(marks) == 1]
        if len(having) >= _FEWEST_JOINED and all(known.issuperset(token.split(mark)) for token in having):
            doubts |= {token: parted(token, mark) for token in having}
    return doubts
