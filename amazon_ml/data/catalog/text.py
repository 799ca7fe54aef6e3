"""The text of a table file: its encoding is found, and files of another kind are refused by their first bytes."""

import codecs
import logging
import re
from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import check_regular

log = logging.getLogger(__name__)

#: What stands for bytes that are not UTF-8.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
#: First bytes of files that people take for a CSV, and what such a file is.
_OTHER_FILES = (
    (b"PK\x03\x04", "a spreadsheet (.xlsx, .ods) or a zip archive"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet (.xls)"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "a database"),
    (b"%PDF", "a PDF"),
    (b"\xff\xd8\xff", "a JPEG"),
    (b"\x89PNG", "a PNG"),
    (b"version https://git-lfs", "a pointer of Git LFS, which stands for a file that was not fetched"),
)
#: The same for text, in small letters.
_OTHER_TEXTS = (("<!doctype", "a web page"), ("<html", "a web page"), ("<?xml", "XML"), ("{", "JSON"), ("[", "JSON"))
#: Byte order marks; that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_INNER_MARK = re.compile(r"(\A|[\r\n])\ufeff+")
#: Share of zeros at every second byte from which on text is UTF-16.
_ZEROS = 0.2


def read_text(path: Path) -> str:
    """Read the text of a table; bytes that are not UTF-8 become `REPLACEMENT`, so that their line can be named.

    UTF-16 and UTF-32 are read where a byte order mark or the zeros between letters make them certain.

    Raises
    ------
    InputError
        When there is no such file, or it is of another kind.
    """
    check_regular(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no table {path}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a CSV that can be read; name the file in it") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if not data.strip():
        raise InputError(f"{path} is not a CSV that can be read: it is empty")
    for first, kind in _OTHER_FILES:
        if data.startswith(first):
            raise _refusal(path, kind)
    text = _decode(path, data)
    if "\ufeff" in text:  # tables that were joined, or marked twice, have marks in front of later lines
        text = _INNER_MARK.sub(r"\1", text)
    start = text[:20].lstrip().lower()
    for first_letters, kind in _OTHER_TEXTS:
        if start.startswith(first_letters):
            raise _refusal(path, kind)
    return text


def _refusal(path: Path, kind: str) -> InputError:
    return InputError(f"{path} is not a CSV that can be read: it is {kind}; save the table as CSV UTF-8")


def _decode(path: Path, data: bytes) -> str:
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", _guess(data)))
    if encoding == "utf-8":
        return data[len(mark) :].decode("utf-8", errors="replace")
    log.info("%s is %s", path, encoding.upper())
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a CSV that can be read: it is cut short or broken at byte {error.start} ({encoding}); "
            "save the table as CSV UTF-8"
        ) from None


def _guess(data: bytes) -> str:
    """Tell UTF-16 without a byte order mark by its zeros; text of other encodings has none."""
    sample = data[:4096]
    half = max(len(sample) // 2, 1)
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd >= _ZEROS and even < odd / 10:
        return "utf-16-le"
    if even >= _ZEROS and odd < even / 10:
        return "utf-16-be"
    return "utf-8"
