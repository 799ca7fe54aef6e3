"""One cell of tags: how its tags are parted, and what in it cannot be a tag."""

import json
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from amazon_ml.data.catalog.names import composed
from amazon_ml.labels import split_tags

#: Marks that part tags in tables that people bring, the likeliest first; those of other scripts at the end.
SEPARATORS = (",", ";", "|", "/", "\\", "+", "&", *"\uff0c\u3001\uff1b\uff5c\uff0f\u060c\u061b")
#: Those of them that do not stand within a name of a tag, such as ``Grass/Herbaceous``.
_PLAIN_SEPARATORS = (",", ";", "|", "\t", "\n")
#: Words for a cell without a value; programs write them, and none is a tag.
_NO_VALUE = frozenset((
    "nan", "na", "n/a", "n\\a", "n.a.", "none", "null", "nil", "nat", "unknown", "undefined", "missing",
    "#n/a", "#na", "<na>", "<none>", "<null>", "#value!", "#ref!", "#name?", "#num!", "#null!", "#div/0!",
))  # fmt: skip
_BETWEEN = frozenset(("and", "or"))
#: Blanks other than that of the keyboard, control characters, and characters without width.
_ODD = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f"
    "\u3000\ufeff\ufffd]"
)
#: Unicode's categories of private and unassigned characters, and of halves of characters.
_UNSEEN = frozenset(("Co", "Cn", "Cs"))
#: A question mark within a word: an encoding that lacks a letter leaves it.
_LOST = re.compile(r"\w+\?\w+")
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
#: A list of strings as Python or JSON write it; nothing else in brackets is read.
_LIST = re.compile(rf"[\[({{]\s*(?:{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*,?)?\s*[\])}}]")
_STRING = re.compile(_QUOTED)
_BRACKETS = {"[": "]", "(": ")", "{": "}", "<": ">"}
_NOT_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Doubt:
    """Why a cell is not read: a kind of fault, what was seen, and what to do about it."""

    kind: str
    what: str
    remedy: str


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


def odd_character(cell: str) -> Doubt | None:
    """Doubt a cell with characters that cannot be seen, or that look like others."""
    if odd := _first_odd(cell):
        name = unicodedata.name(odd, "a character without a name")
        what, remedy = f"{cell!r} holds U+{ord(odd):04X} ({name})", "write a plain blank, or nothing"
    elif lost := _LOST.search(cell):
        what, remedy = f"{lost[0]!r} has a letter that was lost in an encoding", "save the table anew as CSV UTF-8"
    elif cell.isascii():
        return None
    elif right := _misread(cell):
        what, remedy = f"{cell!r} looks like {right!r} in a wrong encoding", "save the table as CSV UTF-8"
    elif word := next((word for word in _NOT_LETTERS.split(cell) if len(_alphabets(word)) > 1), ""):
        what = f"{word!r} mixes letters of {' and '.join(sorted(_alphabets(word)))}"
        remedy = "write it with letters of one alphabet"
    else:
        return None
    return Doubt("odd_characters", what, remedy)


def _first_odd(cell: str) -> str:
    """Give the first character that no tag should hold, private and unassigned ones included; "" without such."""
    if found := _ODD.search(cell):
        return found[0]
    return "" if cell.isascii() else next((letter for letter in cell if unicodedata.category(letter) in _UNSEEN), "")


def _misread(cell: str) -> str:
    """Undo the slip of reading UTF-8 as the encoding of Western Windows; "" where that is not what happened."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return cell.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return ""


def _alphabets(word: str) -> set[str]:
    """List those alphabets of a word that have letters of the same looks."""
    return {unicodedata.name(letter, "").partition(" ")[0] for letter in word} & {"LATIN", "CYRILLIC", "GREEK"}


def no_value(text: str) -> Doubt | None:
    """Doubt a word that stands for no value, such as ``nan``, or a mark such as ``-``."""
    if text.casefold() in _NO_VALUE or not any(letter.isalnum() or _is_picture(letter) for letter in text):
        return Doubt("no_value", f"{text!r} is no tag", "leave the cell empty where a tile has no tag, "
                     "or list all tags with --data.tags if it is one")  # fmt: skip
    return None


def _is_picture(letter: str) -> bool:
    return unicodedata.category(letter) == "So"


def doubt_token(token: str, others: Collection[str], separator: str | None, *, never: bool) -> Doubt | None:
    """Doubt a tag that looks like several, or like one with something that sticks to it.

    Parameters
    ----------
    token
        The tag.
    others
        All tags of the table.
    separator
        What parts tags; any white space where it is None.
    never
        Whether that stands nowhere in the table.
    """
    blank = separator is None or not separator.strip(" ")
    doubt = _between(token) if blank else None
    doubt = doubt or no_value(token)
    if doubt is None and blank:
        doubt = _several(token)
    elif doubt is None:
        doubt = _several_beside(token, others, separator or "", never=never)
    return doubt or _sticking(token, phrase=not blank) or _joined(token, others)


def _between(token: str) -> Doubt | None:
    """Doubt a word that stands between tags: a separator with blanks around it."""
    if token in SEPARATORS:
        return _parted(token, token)
    if token.casefold() in _BETWEEN:
        return Doubt("separators", f"{token!r} stands between tags", "part tags by blanks alone")
    return None


def _several(token: str) -> Doubt | None:
    """Doubt a tag with a separator in it where white space parts tags."""
    mark = next((mark for mark in SEPARATORS if mark in token.strip("+")), None)
    return None if mark is None else _parted(token, mark)


def _several_beside(token: str, others: Collection[str], separator: str, *, never: bool) -> Doubt | None:
    """Doubt a tag with another separator in it than the one that is given."""
    if "|" in token:
        return _parted(token, "|")  # the tables of a run part tags by it
    if separator in token:
        return Doubt(
            "separators", f"{token!r} holds {separator!r}, which parts tags", "set another --data.tag_separator"
        )
    for mark in (*SEPARATORS, "\t", "\n") if never else _PLAIN_SEPARATORS:
        parts = split_tags(token, mark) if mark in token else []
        if parts and (never or mark in separator or any(part in others for part in parts) or len(parts) == 1):
            return _parted(token, mark)
    words = token.split()
    if never and len(words) > 1 and any(word in others for word in words):
        return Doubt("separators", f"{token!r} holds blanks, and {separator!r} stands in no row",
                     "leave --data.tag_separator out where blanks part tags")  # fmt: skip
    return None


def _parted(token: str, mark: str) -> Doubt:
    return Doubt("separators", f"{token!r} has {mark!r} in it",
                 f"set --data.tag_separator {mark!r} if that parts tags, or list all tags with --data.tags if it is "
                 "part of one")  # fmt: skip


def _sticking(token: str, *, phrase: bool) -> Doubt | None:
    """Doubt a tag that begins or ends with punctuation; a phrase may end in a word in brackets."""
    closed = phrase and re.fullmatch(r"[^(]+\(\w[^()]*\)", token)
    for letter in (token[0], "" if closed else token[-1]):
        if letter and letter != "_" and unicodedata.category(letter) in _PUNCTUATION:
            return Doubt("punctuation", f"{letter!r} sticks to {token!r}",
                         "remove it, or list all tags with --data.tags if it is part of one")  # fmt: skip
    if re.search(r"[:=]\s*([\d.]+|true|false|yes|no)$", token, re.IGNORECASE):
        return Doubt("punctuation", f"{token!r} holds a value beside a tag",
                     "remove it, or list all tags with --data.tags if it is part of one")  # fmt: skip
    return None


_PUNCTUATION = frozenset(("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk"))


def _joined(token: str, others: Collection[str]) -> Doubt | None:
    """Doubt a tag that is made of other tags of the table."""
    parts = [part for part in _NOT_LETTERS.split(token) if part]
    if len(parts) > 1 and all(part in others for part in parts):
        return Doubt("separators", f"{token!r} looks like the tags {' and '.join(map(repr, parts))}",
                     "part them as in other rows, or list all tags with --data.tags if it is one")  # fmt: skip
    return None


def spelling(tag: str) -> str:
    """Reduce a tag to what is left without case, the forms of letters, the kinds of blanks, ``_`` and ``-``."""
    text = unicodedata.normalize("NFKC", tag).casefold()
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return " ".join(re.split(r"[\s_-]+", text)).strip()
