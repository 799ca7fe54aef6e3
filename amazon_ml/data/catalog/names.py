"""Names of tiles: one form of each, whatever program wrote it."""

import re
import unicodedata

from amazon_ml.data.readers.images import SUFFIXES

#: Characters without width that `str.strip` leaves.
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff"
_OUTER = INVISIBLE + " \t\r\n\v\f\u00a0\u2007\u202f\u3000"

#: A large number as a spreadsheet shows it; the digits behind are lost.
_ROUNDED = re.compile(r"\d([.,]\d+)?E\+?\d+", re.IGNORECASE)


def is_rounded(name: str) -> bool:
    """Whether a spreadsheet made a name a number, and rounded it: ``1.23E+12``."""
    return _ROUNDED.fullmatch(name) is not None


def clean_name(name: str) -> str:
    """Give a name of a table the form that file names have: one ``/`` between folders, no ``./``, no ending."""
    name = name.strip()
    if name[:7].lower() == "file://":
        name = name[7:]
    if "\\" in name:
        name = name.replace("\\", "/")
    if not name.isascii():
        name = composed(name.strip(_OUTER))
    if "//" in name or "/./" in name:
        name = re.sub(r"/(\.?/)+", "/", name)
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return without_suffix(name)


def composed(text: str) -> str:
    """Compose letters and accents (NFC): programs write the same name in two forms."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def without_suffix(name: str) -> str:
    """Drop an image ending from a name."""
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
