"""Reads the header of an image file: format, size, depth, transparency. No pixel is decoded."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import simplejpeg

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import cannot_read

#: Number of first bytes of a file that hold its header, unless other data before the size is long.
HEAD = 65536
#: First bytes of a PNG.
PNG = b"\x89PNG\r\n\x1a\n"
#: Colour spaces of JPEGs with inks.
INKS = ("CMYK", "YCCK")
#: Largest number of pixels along an edge: libpng and OpenCV accept no more.
_LONGEST = 1_000_000
#: Largest number of scans of a progressive JPEG; encoders write twelve or fewer, and each takes time.
_MOST_SCANS = 100
#: Chunks of a PNG with texts, profiles and camera data.
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")
#: Markers of a JPEG: start of frame of any coding, of the progressive ones, start of scan, end of the image.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _SCAN, _END = frozenset({0xC2, 0xCA}), 0xDA, 0xD9
#: Bytes after 0xFF within coded data, or in the padding of a marker.
_IN_DATA = frozenset({0, *range(0xD0, 0xD8), 0xFF})


class Header(NamedTuple):
    """The header of an image file.

    Parameters
    ----------
    kind
        Format: ``JPEG``, ``PNG``, ``WebP`` or ``BMP``.
    width, height
        Pixels.
    depth
        Bits of a decoded value: 8 or 16.
    alpha
        Whether it has a channel of transparency, or a transparent colour.
    key
        Grey value of transparent pixels, scaled to `depth`.
    space
        Colour space of a JPEG: ``Gray``, ``RGB``, ``YCbCr``, or one of `INKS`.
    """

    kind: str
    width: int
    height: int
    depth: int = 8
    alpha: bool = False
    key: int | None = None
    space: str = ""

    @property
    def dtype(self) -> str:
        """Type of the values: ``uint8`` or ``uint16``."""
        return f"uint{self.depth}"


def parse_header(data: bytes) -> Header | None:
    """Read the header of an image from its first bytes.

    Returns
    -------
    The header; None if the format is unknown, or the header is damaged or cut short.
    """
    for signature, parse in _PARSERS.items():
        if data.startswith(signature):
            try:
                return parse(data)
            except (ValueError, IndexError, struct.error):
                return None
    return None


def read_header(path: Path, length: int = HEAD) -> Header | None:
    """Read the header of an image file, as `parse_header` does, from its first `length` bytes."""
    try:
        with path.open("rb") as file:
            return parse_header(file.read(length))
    except OSError as error:
        raise cannot_read(path, error) from None


def check_pixels(path: Path, width: int, height: int, most: int) -> None:
    """Check that an image has at most `most` pixels by its header, before they are decoded."""
    if width * height > most:
        raise InputError(
            f"the header declares {width:,} x {height:,} pixels, more than {most:,}", file=path,
            option="data.max_pixels", remedy="cut the image into tiles, or raise `data.max_pixels` of the training",
        )  # fmt: skip


def check_edges(path: Path, width: int, height: int) -> None:
    """Check that the edges of an image are not longer than decoders accept."""
    if max(width, height) > _LONGEST:
        problem = f"the header declares {width:,} x {height:,} pixels, more than {_LONGEST:,} along an edge"
        raise InputError(problem, file=path, remedy="cut the image into tiles")


def fault_of_scans(data: bytes) -> str:
    """Describe a fault of the scans of a progressive JPEG of which libjpeg does not warn; ``""`` if there is none.

    It ends before its last refinement, or it has so many scans that decoding takes minutes.
    """
    if not _is_progressive(data):
        return ""
    missing: dict[int, set[int]] = {}  # the coefficients of each component that are not exact yet
    at, scans = 2, 0
    while 0 <= at < len(data) - 4:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker in _FRAMES:
            if marker not in _PROGRESSIVE:
                return ""
            missing = {segment[6 + 3 * i]: set(range(64)) for i in range(segment[5])}
        elif marker == _SCAN:
            scans += 1
            if scans > _MOST_SCANS:
                return f"it has more than {_MOST_SCANS} scans; save it again"
            components, (first, last, bits) = segment[1 : 1 + 2 * segment[0] : 2], segment[-3:]
            if bits & 15 == 0:
                for component in components:
                    missing.get(component, set()).difference_update(range(first, last + 1))
        at = _next_marker(data, at + 2 + length)
    return "it lacks its last scans; download it again" if any(missing.values()) else ""


def _is_progressive(data: bytes) -> bool:
    """Whether the first frame of a JPEG is progressive; a thumbnail within a segment before it does not count."""
    at = 2
    while 0 <= at < len(data) - 4:
        marker = data[at + 1]
        if marker in _FRAMES or marker == _SCAN:
            return marker in _PROGRESSIVE
        at = _next_marker(data, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"))
    return False


def without_texts(data: bytes) -> bytes:
    """Remove the chunks of a PNG without pixels that the decoder would inflate, to up to a GB each."""
    if not any(name in data for name in _TEXTS):
        return data
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if name not in _TEXTS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _next_marker(data: bytes, at: int) -> int:
    """Find the next segment after coded data, where 0xFF is followed by 0 or a restart marker; -1 for none."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] not in _IN_DATA:
            return -1 if data[at + 1] == _END else at
        at += 1
    return -1


def _jpeg(data: bytes) -> Header:
    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    return Header("JPEG", width, height, space=space)


def _png(data: bytes) -> Header:
    name, width, height, depth, colour = struct.unpack_from(">4sIIBB", data, 12)
    if name != b"IHDR" or depth not in (1, 2, 4, 8, 16):
        raise ValueError("no header of a PNG")
    transparent = _png_transparency(data)
    key = None
    if transparent is not None and colour == 0:
        key = struct.unpack(">H", transparent[:2])[0] * (255 // (2**depth - 1) if depth < 8 else 1)
    alpha = colour in (4, 6) or transparent is not None
    return Header("PNG", width, height, 16 if depth == 16 else 8, alpha, key)


def _png_transparency(data: bytes) -> bytes | None:
    """Return the contents of the chunk tRNS, which stands before the pixels; None where there is none."""
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"tRNS":
            return data[at + 8 : at + 8 + length]
        if name == b"IDAT":
            return None
        at += 12 + length
    return None


def _webp(data: bytes) -> Header:
    chunk = data[12:16]
    if data[8:12] != b"WEBP":
        raise ValueError("no WebP")
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Header("WebP", width, height, alpha=bool(data[20] & 0x10))
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, alpha=bool(bits >> 28 & 1))
    width, height = struct.unpack_from("<HH", data, 26)
    return Header("WebP", width & 0x3FFF, height & 0x3FFF)


def _bmp(data: bytes) -> Header:
    # The fourth byte of a pixel has no meaning in most files, so it never counts as transparency.
    if int.from_bytes(data[14:18], "little") == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Header("BMP", abs(width), abs(height))


_PARSERS: dict[bytes, Callable[[bytes], Header]] = {
    b"\xff\xd8": _jpeg,
    PNG: _png,
    b"RIFF": _webp,
    b"BM": _bmp,
}
