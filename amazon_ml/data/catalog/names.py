"""Normal form of the names of tiles, whatever program wrote them."""

import re
import unicodedata

from amazon_ml.data.readers.images import SUFFIXES

#: Characters without width that `str.strip` leaves.
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff"
_OUTER = INVISIBLE + " \t\r\n\v\f\u00a0\u2007\u202f\u3000"

#: A large number that a spreadsheet rounded; its last digits are lost.
_ROUNDED = re.compile(r"\d([.,]\d+)?E\+?\d+", re.IGNORECASE)
#: A path from the root of a machine, its drive or a server, as `clean_name` writes it.
_FOREIGN = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:/")


def is_foreign(name: str) -> bool:
    """Whether a name of a table is a whole path or a URL; where it leads to no file, it is one of another machine."""
    return _FOREIGN.match(name) is not None


def is_rounded(name: str) -> bool:
    """Whether a spreadsheet turned a name into a rounded number: ``1.23E+12``."""
    return _ROUNDED.fullmatch(name) is not None


def clean_name(name: str) -> str:
    """Write a name of a table as file names are written: one ``/`` between folders, no ``./``, no ending."""
    return without_suffix(_written(name))


def ending_of(name: str) -> str:
    """Return the image ending that a name of a table has, in small letters; ``""`` where it has none."""
    written = _written(name)
    return written[len(without_suffix(written)) :].lower()


def _written(name: str) -> str:
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
    return name


def composed(text: str) -> str:
    """Compose letters and accents (NFC), since programs write the same name in two forms."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def without_suffix(name: str) -> str:
    """Remove an image ending from a name."""
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
