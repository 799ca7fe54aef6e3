"""One cell of tags: how its tags are parted, and what in it cannot be a tag."""

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

#: Words for a cell without a value; programs write them, and none is a tag. Blanks and marks in them do not matter.
_NO_VALUE = frozenset((
    "nan", "na", "none", "null", "nul", "nil", "nat", "unknown", "unk", "undefined", "undef", "unspecified", "missing",
    "empty", "inf", "infinity", "nodata", "notag", "notags", "nolabel", "nolabels", "novalue", "nullvalue", "untagged",
    "unlabeled", "unlabelled", "notavailable", "notapplicable", "notassigned", "notset", "nonetype", "tbd", "tba",
    "todo", "pdna", "pdnat", "npnan", "numpynan", "mathnan", "floatnan",
))  # fmt: skip
#: The same where the marks do matter.
_NO_VALUE_MARKED = frozenset(("#value!", "#ref!", "#name?", "#num!", "#null!", "#div/0!"))
_MARKS_WITHIN = re.compile(r"[\s_.\-/\\<>()#!?*+]+")
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
#: A list of strings as Python or JSON write it; nothing else in brackets is read.
_LIST = re.compile(rf"[\[({{]\s*(?:{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*,?)?\s*[\])}}]")
_STRING = re.compile(_QUOTED)
_BRACKETS = {"[": "]", "(": ")", "{": "}", "<": ">"}


def in_brackets(cell: str) -> bool:
    """Whether a cell is in brackets as a whole."""
    return len(cell) > 1 and _BRACKETS.get(cell[0]) == cell[-1] and cell[0] != "<"


def read_list(cell: str) -> list[str] | None:
    """Read a list of strings as text; None where it is something else."""
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


def split_cell(cell: str, separator: str | None) -> list[str]:
    """Split a cell into its tags, composed."""
    return split_tags(composed(cell), separator)


def no_value(text: str) -> Doubt | None:
    """Doubt a word that stands for no value, such as ``nan``, or a mark such as ``-``."""
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
    """Doubt a tag that looks like several, or like one with something that sticks to it.

    Parameters
    ----------
    token
        The tag.
    others
        All other tags of the table.
    separator
        What parts tags; any white space where it is None.
    never
        Whether that stands nowhere in the table.
    is_string
        Whether it is a string of a list, so that nothing parts tags within it.
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
    """Doubt a tag with blanks that is made of other tags."""
    words = token.split()
    if len(words) > 1 and all(word in others for word in words):
        return Doubt("separators", f"{token!r} looks like the tags {' and '.join(map(repr, words))}",
                     "part them as in other rows, or list all tags with `data.tags` if it is one")  # fmt: skip
    return None


def _sticking(token: str, *, phrase: bool) -> Doubt | None:
    """Doubt a tag that begins or ends with punctuation; a phrase may end in a word in brackets."""
    closed = phrase and re.fullmatch(r"[^(]+\(\w[^()]*\)", token)
    for letter in (token[0], "" if closed else token[-1]):
        if letter and letter != "_" and unicodedata.category(letter) in _PUNCTUATION:
            return Doubt("punctuation", f"{letter!r} sticks to {token!r}",
                         "remove it, or list all tags with `data.tags` if it is part of one")  # fmt: skip
    if re.search(r"[:=]\s*([\d.]+|true|false|yes|no)$", token, re.IGNORECASE):
        return Doubt("punctuation", f"{token!r} holds a value beside a tag",
                     "remove it, or list all tags with `data.tags` if it is part of one")  # fmt: skip
    return None


_PUNCTUATION = frozenset(("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk"))
