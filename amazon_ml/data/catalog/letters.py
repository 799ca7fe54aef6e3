"""The characters of a cell: finds invisible and misleading ones, and compares spellings of tags."""

import re
import unicodedata

from amazon_ml.data.catalog.faults import Doubt

#: Blanks other than the plain one, control characters, and characters without width or without a glyph.
_ODD = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u034f\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200b\u200e\u200f"
    "\u2028-\u202f\u205f-\u2064\u2066-\u206f\u2800\u3000\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffd"
    "\U000e0000-\U000e0fff]"
)
#: Joiners have a meaning within words of some scripts and within emoji, but not beside an English letter or a blank.
#: The same holds for selectors of an emoji's form behind a letter.
_JOINERS = re.compile("(?:^|(?<=[\\sA-Za-z]))[\u200c\u200d]|[\u200c\u200d](?=[\\sA-Za-z]|$)")
_FORMS = "\ufe0e\ufe0f"
#: Unicode categories of private and unassigned characters, and of surrogates.
_UNSEEN = frozenset(("Co", "Cn", "Cs"))
#: A question mark within a word: programs write it for a letter that an encoding lacks.
_LOST = re.compile(r"\w+\?\w+")
_NOT_LETTERS = re.compile(r"[\W_]+")
#: Marks that people omit or exchange within a name; between two digits they make another number.
_INNER_MARKS = re.compile(r"(?<![\d\s_.-])[\s_.-]++|[\s_.-]++(?!\d)")


def odd_character(cell: str) -> Doubt | None:
    """Return a doubt for a cell with characters that are invisible, or that look like others."""
    if odd := _first_odd(cell):
        name = unicodedata.name(odd, "a character without a name")
        what, remedy = f"{cell!r} holds U+{ord(odd):04X} ({name})", "write a plain blank, or nothing"
    elif lost := _LOST.search(cell):
        what, remedy = f"{lost[0]!r} has a letter that was lost in an encoding", "save the table again as CSV UTF-8"
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


def spelling(tag: str) -> str:
    """Reduce a tag to its letters: without case, forms of letters, blanks, ``_``, ``-`` and ``.``.

    A mark between two digits stays, since 1.1 and 11 are two numbers.
    """
    text = unicodedata.normalize("NFKC", tag).casefold()
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf" and letter not in _FORMS)
    return re.sub(r"[\s_.-]+", " ", _INNER_MARKS.sub("", text)).strip()


def _first_odd(cell: str) -> str:
    """Return the first character that no tag should hold, also private and unassigned ones; "" where there is none."""
    if found := _ODD.search(cell):
        return found[0]
    if cell.isascii():
        return ""
    if found := _JOINERS.search(cell):
        return found[0]
    before = " "
    for letter in cell:
        kind = unicodedata.category(letter)
        if kind in _UNSEEN or (kind[0] == "M" and not _carries(before, letter)):
            return letter
        before = letter
    return ""


def _carries(before: str, mark: str) -> bool:
    """Whether a character can carry the combining mark behind it."""
    if mark in _FORMS:
        return unicodedata.category(before) in ("So", "Sm", "Sk", "Po") or before in "0123456789#*\u200d"
    return unicodedata.category(before)[0] in "LNMS" or before in "\u200c\u200d\u25cc"


def _misread(cell: str) -> str:
    """Repair UTF-8 that was read as cp1252 or Latin-1; "" where that is not the case."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return cell.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return ""


def _alphabets(word: str) -> set[str]:
    """List the alphabets of a word, among those whose letters look alike."""
    return {unicodedata.name(letter, "").partition(" ")[0] for letter in word} & {"LATIN", "CYRILLIC", "GREEK"}
