"""Checks by its first and last bytes whether a file can be a tile; without decoding, many files take seconds."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2

from amazon_ml.data.readers.arrays import npy_fault
from amazon_ml.data.readers.band_files import ARRAY_SUFFIX
from amazon_ml.data.readers.formats import (
    MAGIC_BYTES,
    SOUND,
    ContentFault,
    content_fault,
    content_of,
    declared_length,
    is_animated,
    no_image,
)
from amazon_ml.data.readers.images import TIF_SUFFIXES, is_empty
from amazon_ml.data.readers.tif import read_tif
from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import cannot_read, open_regular, read_regular

#: Number of last bytes of a file that hold its end marker, if nothing follows the image.
_TAIL = 64
#: Types of offsets and sizes in the directory of a TIF: their length and their letter for `struct`.
_TIF_TYPES = {3: (2, "H"), 4: (4, "I"), 13: (4, "I"), 16: (8, "Q")}
#: Tags of the directory of a TIF: width, height, bits and kind of values, number of bands, and offsets and lengths of
#: the parts (strips, then tiles).
_WIDTH, _HEIGHT, _BITS, _KIND, _BANDS = 256, 257, 258, 339, 277
_PARTS = ((273, 279), (324, 325))
#: Types of the values of a TIF by their bits and kind; the reader changes others, or refuses them.
_DTYPES = {
    (8, 1): "uint8", (16, 1): "uint16", (32, 1): "uint32", (16, 2): "int16", (32, 2): "int32", (32, 3): "float32",
    (64, 3): "float64",
}  # fmt: skip


class FileShape(NamedTuple):
    """What the header of a file says of its values.

    Parameters
    ----------
    dtype
        Their type; ``""`` where the header does not tell as what they are read.
    width, height, bands
        Pixels and number of bands; 0 where they are not known.
    """

    dtype: str = ""
    width: int = 0
    height: int = 0
    bands: int = 0


#: The shape of a file that is not known.
UNKNOWN = FileShape()


def look_at(path: str) -> tuple[str, FileShape]:
    """Describe why a file cannot be read as a tile, ``""`` where its header has no fault; and what it holds.

    A file without a fault here may still have damaged pixels, which only decoding finds.
    """
    try:
        descriptor = open_regular(path)
    except InputError as error:
        return str(error), UNKNOWN
    except OSError as error:
        return str(cannot_read(path, error)), UNKNOWN
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, MAGIC_BYTES, 0)
        if not size or not head:
            return str(is_empty(path)), UNKNOWN
        shape = UNKNOWN
        if path.lower().endswith(ARRAY_SUFFIX):
            problem, remedy, dtype = npy_fault(descriptor, size)
            shape = FileShape(dtype)
        elif path.lower().endswith(TIF_SUFFIXES):
            (problem, remedy), shape = _look_at_tif(path, descriptor, head, size)
        else:
            problem, remedy = _fault_of_image(path, descriptor, head, size)
            shape = _shape_of_image(head)
        return str(InputError(problem, file=path, remedy=remedy)) if problem else "", shape
    except OSError as error:
        return str(cannot_read(path, error)), UNKNOWN
    finally:
        os.close(descriptor)


def _fault_of_image(path: str, descriptor: int, head: bytes, size: int) -> ContentFault:
    kind = content_of(head)
    check = _CHECKS.get(kind)
    if check is None:  # OpenCV reads some formats beside the usual ones; it also goes by the header
        readable = kind != "TIFF" and cv2.haveImageReader(path)
        return SOUND if readable else no_image(head)
    if kind == "WebP" and is_animated(head):
        return content_fault(head)
    if not check(descriptor, head, size):  # unusual, such as bytes after the end: check the whole file
        return content_fault(read_regular(path))
    return SOUND


def _ends_jpeg(descriptor: int, head: bytes, size: int) -> bool:
    return os.pread(descriptor, _TAIL, max(0, size - _TAIL)).endswith(b"\xff\xd9")


def _ends_png(descriptor: int, head: bytes, size: int) -> bool:
    return b"IEND" in os.pread(descriptor, _TAIL, max(0, size - _TAIL))


def _is_declared_long(descriptor: int, head: bytes, size: int) -> bool:
    return size >= declared_length(head)


#: For each format, the check of the end of a file by its descriptor, its first bytes and its size.
_CHECKS: dict[str, Callable[[int, bytes, int], bool]] = {
    "JPEG": _ends_jpeg,
    "PNG": _ends_png,
    "BMP": _is_declared_long,
    "WebP": _is_declared_long,
}


def _shape_of_image(head: bytes) -> FileShape:
    """Give the type of the values; the size may be turned by a mark of the camera."""
    kind = content_of(head)
    if kind == "PNG" and len(head) > 24:  # the byte after width and height holds the bits
        return FileShape("uint16" if head[24] == 16 else "uint8")
    return FileShape("uint8") if kind == "JPEG" else UNKNOWN


def _look_at_tif(path: str, descriptor: int, head: bytes, size: int) -> tuple[ContentFault, FileShape]:
    if content_of(head) != "TIFF":
        kind = content_of(head)
        if kind in _CHECKS:
            return (f"this is not a TIF that can be read: it is a {kind}", "give it that ending"), UNKNOWN
        return no_image(head, "a TIF"), UNKNOWN
    try:
        end, shape = _read_directory(descriptor, head, size)
    except KeyError:  # an unexpected type of value there; the decoder decides
        return SOUND, UNKNOWN
    except struct.error:
        end, shape = size + 1, UNKNOWN
    if end <= size or _is_tif(path):  # some programs count too many bytes, and their files can be read
        return SOUND, shape
    return (f"the file is cut short, or its directory is damaged ({size:,} bytes)", "download it again"), UNKNOWN


def _is_tif(path: str) -> bool:
    try:
        read_tif(Path(path))
    except InputError:
        return False
    return True


def _read_directory(descriptor: int, head: bytes, size: int) -> tuple[int, FileShape]:
    """Return the byte after the last part of the first image of a TIF, 0 where that is not known, and its shape."""
    order = "<" if head.startswith(b"II") else ">"
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    offset = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)[0]
    count_of, entry, inline = ("Q", 20, 8) if big else ("H", 12, 4)
    if offset >= size:
        return int(offset) + 1, UNKNOWN
    width = struct.calcsize(count_of)
    count = struct.unpack(f"{order}{count_of}", os.pread(descriptor, width, offset))[0]
    directory = os.pread(descriptor, min(count, 4096) * entry, offset + width)
    if len(directory) < min(count, 4096) * entry:
        return int(offset + width + count * entry), UNKNOWN
    entries = {}
    for at in range(0, len(directory), entry):
        tag, kind = struct.unpack_from(f"{order}HH", directory, at)
        entries[tag] = (
            kind,
            struct.unpack_from(f"{order}{'Q' if big else 'I'}", directory, at + 4)[0],
            at + entry - inline,
        )
    end = 0
    for offsets, lengths in _PARTS:
        if offsets in entries and lengths in entries:
            parts = [_values(descriptor, size, directory, entries[tag], order, inline) for tag in (offsets, lengths)]
            end = max([end, *(start + length for start, length in zip(*parts, strict=False))])

    def value(tag: int, default: int) -> int:
        """Give the value that a tag has for all bands."""
        if tag not in entries:
            return default
        values = set(_values(descriptor, size, directory, entries[tag], order, inline))
        return values.pop() if len(values) == 1 else 0

    try:
        return end, _shape_of(value)
    except (KeyError, struct.error):
        return end, UNKNOWN


def _shape_of(value: Callable[[int, int], int]) -> FileShape:
    dtype = _DTYPES.get((value(_BITS, 1), value(_KIND, 1)), "")
    return FileShape(dtype, value(_WIDTH, 0), value(_HEIGHT, 0), value(_BANDS, 1))


def _values(
    descriptor: int, size: int, directory: bytes, entry: tuple[int, int, int], order: str, inline: int
) -> tuple[int, ...]:
    kind, count, at = entry
    length, letter = _TIF_TYPES[kind]
    if count * length > size:
        raise struct.error("more values than the file has bytes")
    if count * length <= inline:
        return struct.unpack_from(f"{order}{count}{letter}", directory, at)
    start = struct.unpack_from(f"{order}{'Q' if inline == 8 else 'I'}", directory, at)[0]
    return struct.unpack(f"{order}{count}{letter}", os.pread(descriptor, count * length, start))
