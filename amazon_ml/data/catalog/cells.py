"""One cell of tags: splits it into tags, and finds what cannot be a tag."""

import json
import re
import unicodedata
from collections.abc import Collection

from amazon_ml.data.catalog.faults import Doubt
from amazon_ml.data.catalog.names import composed
from amazon_ml.data.catalog.separators import (
    SEPARATORS,
    in_list,
    made_of_others,
    several,
    several_beside,
)
from amazon_ml.labels import split_tags

#: Words that programs write for a cell without a value; none is a tag. Blanks and marks in them are ignored.
_NO_VALUE = frozenset((
    "nan", "na", "none", "null", "nul", "nil", "nat", "unknown", "unk", "undefined", "undef", "unspecified", "missing",
    "empty", "inf", "infinity", "nodata", "notag", "notags", "nolabel", "nolabels", "novalue", "nullvalue", "untagged",
    "unlabeled", "unlabelled", "notavailable", "notapplicable", "notassigned", "notset", "nonetype", "tbd", "tba",
    "todo", "pdna", "pdnat", "npnan", "numpynan", "mathnan", "floatnan",
))  # fmt: skip
#: The same, where the marks are part of the word.
_NO_VALUE_MARKED = frozenset(("#value!", "#ref!", "#name?", "#num!", "#null!", "#div/0!"))
_MARKS_WITHIN = re.compile(r"[\s_.\-/\\<>()#!?*+]+")
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
#: A list of strings as Python or JSON write it; other text in brackets is not read.
_LIST = re.compile(rf"[\[({{]\s*(?:{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*,?)?\s*[\])}}]")
_STRING = re.compile(_QUOTED)
_BRACKETS = {"[": "]", "(": ")", "{": "}", "<": ">"}


def in_brackets(cell: str) -> bool:
    """Whether brackets enclose a whole cell."""
    return len(cell) > 1 and _BRACKETS.get(cell[0]) == cell[-1] and cell[0] != "<"


def missing_bracket(cell: str) -> str | None:
    """Return the bracket that a list lacks at its end or its beginning; None where it lacks none, or both."""
    for first, end in _BRACKETS.items():
        if first != "<" and (cell[0] == first) != (cell[-1] == end):
            lacking = end if cell[0] == first else first
            return lacking if lacking not in cell else None
    return None


def read_list(cell: str) -> list[str] | None:
    """Read the text of a list of strings; None where the text is no such list."""
    parts = cell[1:-1].split('"') if cell[:1] == "[" and cell[-1:] == "]" and "\\" not in cell else []
    if len(parts) > 2 and len(parts) % 2 and _is_plain(parts[::2]):  # as JSON writes it, many times faster
        return [composed(string) for part in parts[1::2] if (string := part.strip())]
    if not _LIST.fullmatch(cell) or not in_brackets(cell):
        return None
    strings = []
    for quoted in _STRING.findall(cell[1:-1]):
        if "\\" not in quoted:
            strings.append(quoted[1:-1])
        elif quoted[0] == '"':
            try:
                strings.append(str(json.loads(quoted)))
            except ValueError:
                return None
        else:
            return None
    return [composed(string.strip()) for string in strings if string.strip()]


def _is_plain(between: list[str]) -> bool:
    """Whether only commas stand between the strings of a list, and nothing before and behind them."""
    return not between[0].strip() and not between[-1].strip() and all(mark.strip() == "," for mark in between[1:-1])


def split_cell(cell: str, separator: str | None) -> list[str]:
    """Split a cell into its tags, in composed Unicode (NFC)."""
    return split_tags(composed(cell), separator)


def no_value(text: str) -> Doubt | None:
    """Return a doubt for a word that means "no value", such as ``nan``, or for a mark such as ``-``."""
    plain = text.casefold()
    is_word = plain in _NO_VALUE_MARKED or _MARKS_WITHIN.sub("", plain) in _NO_VALUE
    if is_word or not any(letter.isalnum() or _is_picture(letter) for letter in text):
        return Doubt("no_value", f"{text!r} is no tag", "leave the cell empty where a tile has no tag, "
                     "or list all tags with `data.tags` if it is one")  # fmt: skip
    return None


def _is_picture(letter: str) -> bool:
    return unicodedata.category(letter) == "So"


def doubt_token(
    token: str, others: Collection[str], separator: str | None, *, never: bool, is_string: bool = False
) -> Doubt | None:
    """Return a doubt for a tag that looks like several tags, or like a tag with punctuation attached.

    Parameters
    ----------
    token
        The tag.
    others
        All other tags of the table.
    separator
        Separator of tags; any white space where it is None.
    never
        Whether the separator occurs nowhere in the table.
    is_string
        Whether the tag is a string of a list, where no separator applies.
    """
    blank = not is_string and (separator is None or not separator.strip(" "))
    if doubt := no_value(token) if token not in SEPARATORS else None:
        return doubt
    if is_string:
        return in_list(token, others) or _sticking(token, phrase=True)
    doubt = several(token) if blank else several_beside(token, others, separator or "", never=never)
    return (
        doubt
        or _sticking(token, phrase=not blank)
        or made_of_others(token, others, one=blank or never)
        or _phrase(token, others)
    )


def _phrase(token: str, others: Collection[str]) -> Doubt | None:
    """Return a doubt for a tag with blanks whose words are other tags."""
    words = token.split()
    if len(words) > 1 and all(word in others for word in words):
        return Doubt("separators", f"{token!r} looks like the tags {' and '.join(map(repr, words))}",
                     "separate them as in other rows, or list all tags with `data.tags` if it is one")  # fmt: skip
    return None


def _sticking(token: str, *, phrase: bool) -> Doubt | None:
    """Return a doubt for a tag that begins or ends with punctuation; a phrase may end in a word in brackets."""
    closed = phrase and re.fullmatch(r"[^(]+\(\w[^()]*\)", token)
    for letter in (token[0], "" if closed else token[-1]):
        if letter and letter != "_" and unicodedata.category(letter) in _PUNCTUATION:
            return Doubt("punctuation", f"{letter!r} is attached to {token!r}",
                         "remove it, or list all tags with `data.tags` if it is part of one")  # fmt: skip
    if re.search(r"[:=]\s*([\d.]+|true|false|yes|no)$", token, re.IGNORECASE):
        return Doubt("punctuation", f"{token!r} holds a value beside a tag",
                     "remove it, or list all tags with `data.tags` if it is part of one")  # fmt: skip
    return None


_PUNCTUATION = frozenset(("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk"))
