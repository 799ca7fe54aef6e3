"""Reads the text of a table file: finds its encoding, and recognises files of another kind by their first bytes."""

import codecs
import logging
import re
from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import cannot_read, check_regular

log = logging.getLogger(__name__)

#: Replaces bytes that are not UTF-8.
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
#: The same for text, in lower case.
_OTHER_TEXTS = (("<!doctype", "a web page"), ("<html", "a web page"), ("<?xml", "XML"), ("{", "JSON"), ("[", "JSON"))
#: Endings by which other kinds of tables are read.
_ENDINGS = {"a Parquet file": ".parquet", "it is JSON Lines": ".jsonl", "it is JSON": ".json"}
#: Byte order marks; UTF-32 comes first, since its mark begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_INNER_MARK = re.compile(r"(\A|[\r\n])\ufeff+")
#: Least share of zeros at every second byte for text to be UTF-16.
_ZEROS = 0.2


def read_text(path: Path) -> str:
    """Read the text of a table; bytes that are not UTF-8 become `REPLACEMENT`, so that messages can name their line.

    UTF-16 and UTF-32 are recognised by a byte order mark, UTF-16 also by the zeros between letters.

    Raises
    ------
    InputError
        If there is no such file, or it is of another kind.
    """
    check_regular(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("there is no such table", file=path) from None
    except IsADirectoryError:
        problem = "this is a folder, not a CSV that can be read"
        raise InputError(problem, file=path, remedy="name the file in it") from None
    except OSError as error:
        raise cannot_read(path, error) from None
    if not data.strip():
        raise InputError("this is not a CSV that can be read: it is empty", file=path)
    for first, kind in _OTHER_FILES:
        if data.startswith(first):
            raise _no_csv(path, f"it is {kind}")
    text = _decode(path, data)
    if "\ufeff" in text:  # tables that were joined, or marked twice, have marks in front of later lines
        text = _INNER_MARK.sub(r"\1", text)
    start = text[:20].lstrip().lower()
    for first_letters, kind in _OTHER_TEXTS:
        if start.startswith(first_letters):
            raise _no_csv(path, f"it is {kind}{' Lines' * are_json_lines(text)}")
    return text


def are_json_lines(text: str) -> bool:
    """Whether the first lines of a text look like JSON Lines: an object on each."""
    first = [line.strip() for line in text.split("\n", 8)[:8] if line.strip()][:2]
    return len(first) > 1 and all(line[0] == "{" and line[-1] == "}" for line in first)


def _no_csv(path: Path, why: str) -> InputError:
    # Parquet and JSON are read, too, and the ending of a file says how.
    right = next((ending for kind, ending in _ENDINGS.items() if kind in why), "")
    remedy = (
        f"rename it to end in {right}, and name it with `data.labels_file`" if right else "save the table as CSV UTF-8"
    )
    return InputError(f"this is not a CSV that can be read: {why}", file=path, remedy=remedy)


def _decode(path: Path, data: bytes) -> str:
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", _guess(data)))
    if encoding == "utf-8":
        return data[len(mark) :].decode("utf-8", errors="replace")
    log.info("%s is %s", path, encoding.upper())
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise _no_csv(path, f"it is cut short or broken at byte {error.start} ({encoding})") from None


def _guess(data: bytes) -> str:
    """Recognise UTF-16 without a byte order mark by its zeros; text in other encodings has none."""
    sample = data[:4096]
    half = max(len(sample) // 2, 1)
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd >= _ZEROS and even < odd / 10:
        return "utf-16-le"
    if even >= _ZEROS and odd < even / 10:
        return "utf-16-be"
    return "utf-8"
