"""Recognises file formats by their first bytes, whatever the ending, and checks whether a file is complete."""

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass

#: Number of bytes that `content_of` needs.
MAGIC_BYTES = 512
#: Problem and remedy of a file, for an `InputError`; two empty texts where it has no fault.
ContentFault = tuple[str, str]
SOUND: ContentFault = ("", "")


@dataclass(frozen=True)
class Magic:
    """The bytes that identify a format.

    Parameters
    ----------
    name
        Name of the format in messages.
    mark
        Bytes that its files hold, in lower case where `text` is true.
    at
        Position of these bytes.
    text
        Whether to ignore case, and blanks before the mark.
    """

    name: str
    mark: bytes
    at: int = 0
    text: bool = False


#: Names in `MAGICS` of the formats of tiles.
IMAGES = ("JPEG", "PNG", "BMP", "WebP", "TIFF")
#: Names in `MAGICS` of archives, which must be unpacked.
ARCHIVES = ("ZIP archive", "7z archive", "tar archive", "gzip archive", "RAR archive", "xz archive", "bzip2 archive")

#: Known formats; the first that fits is used.
MAGICS = (
    Magic("JPEG", b"\xff\xd8"),
    Magic("PNG", b"\x89PNG\r\n\x1a\n"),
    Magic("WebP", b"WEBP", 8),  # after RIFF and a length
    Magic("TIFF", b"II*\0"),
    Magic("TIFF", b"MM\0*"),
    Magic("TIFF", b"II+\0"),
    Magic("TIFF", b"MM\0+"),
    Magic("GIF image", b"GIF87a"),
    Magic("GIF image", b"GIF89a"),
    Magic("JPEG 2000 image", b"\0\0\0\x0cjP  "),
    Magic("JPEG 2000 image", b"\xff\x4f\xff\x51"),
    Magic("JPEG XL image", b"\0\0\0\x0cJXL "),
    Magic("JPEG XL image", b"\xff\x0a"),
    Magic("AVIF image", b"ftypavif", 4),
    Magic("HEIC image", b"ftyphei", 4),
    Magic("HEIC image", b"ftypmif1", 4),
    Magic("Photoshop image", b"8BPS"),
    Magic("NumPy array", b"\x93NUMPY"),
    Magic("HDF5 file", b"\x89HDF\r\n\x1a\n"),
    Magic("Parquet table", b"PAR1"),
    Magic("PDF document", b"%PDF"),
    Magic("ZIP archive", b"PK\x03\x04"),
    Magic("ZIP archive", b"PK\x05\x06"),
    Magic("7z archive", b"7z\xbc\xaf\x27\x1c"),
    Magic("gzip archive", b"\x1f\x8b"),
    Magic("RAR archive", b"Rar!\x1a\x07"),
    Magic("xz archive", b"\xfd7zXZ\0"),
    Magic("bzip2 archive", b"BZh"),
    Magic("tar archive", b"ustar", 257),
    Magic("SVG drawing", b"<svg", text=True),
    Magic("HTML page", b"<!doctype html", text=True),
    Magic("HTML page", b"<html", text=True),
    Magic("HTML page", b"<head", text=True),
    Magic("HTML page", b"<body", text=True),
    Magic("HTML page", b"<script", text=True),
    Magic("HTML page", b"<!--", text=True),
    Magic("XML document", b"<?xml", text=True),
    Magic("pointer of Git LFS (run git lfs pull)", b"version https://git-lfs", text=True),
    Magic("JSON document", b"{", text=True),
    Magic("BMP", b"BM"),  # two letters, with which a text may also begin
)


def content_of(head: bytes) -> str:
    """Name the format of a file by its first `MAGIC_BYTES` bytes; ``""`` where it is not known."""
    for magic in MAGICS:
        if magic.text:
            found = head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(magic.mark)
        else:
            found = head.startswith(magic.mark, magic.at)
        if found:
            return magic.name
    return "" if head.strip(b"\0") else "block of zero bytes"


def no_image(data: bytes, wanted: str = "an image") -> ContentFault:
    """Return problem and remedy of a file that is no readable image, with its format where that is known."""
    problem, kind = f"this is not {wanted} that can be read", content_of(data[:MAGIC_BYTES])
    if kind == "TIFF":
        return f"{problem}: it is a TIF", "give it the ending .tif"
    if kind in IMAGES:
        return f"{problem}: it begins as a {kind}, and is damaged", "download it again"
    return f"{problem}: it is {with_article(kind)}" if kind else problem, "JPG, PNG, WebP, BMP and TIF can be read"


def with_article(name: str) -> str:
    """Put ``a`` or ``an`` before the name of a format."""
    return f"{'an' if name.startswith(('AVIF', 'HTML', 'HDF5', 'RAR', 'SVG', 'XML', 'xz')) else 'a'} {name}"


def content_fault(data: bytes) -> ContentFault:
    """Find why an image cannot be a tile, though decoders may accept it: its end is missing, or it is animated.

    Parameters
    ----------
    data
        The whole file.

    Returns
    -------
    Problem and remedy; two empty texts where there is no fault.
    """
    kind = content_of(data[:MAGIC_BYTES])
    if kind == "WebP" and is_animated(data[:MAGIC_BYTES]):
        return "the file is an animated WebP of several pictures", "save the right one"
    is_whole = _WHOLE.get(kind)
    if is_whole is None or is_whole(data):
        return SOUND
    return f"the file is cut short ({len(data):,} bytes)", "download it again"


def is_animated(head: bytes) -> bool:
    """Whether the header of a WebP declares several pictures."""
    return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)


def declared_length(head: bytes) -> int:
    """Return the least length in bytes of a BMP or WebP by its header; 0 where the header does not show it."""
    kind = content_of(head)
    try:
        if kind == "WebP":
            return int(struct.unpack_from("<I", head, 4)[0]) + 8
        return _length_of_bmp(head) if kind == "BMP" else 0
    except struct.error:
        return len(head) + 1  # the header itself is cut short


def _length_of_bmp(head: bytes) -> int:
    start, of_header = struct.unpack_from("<II", head, 10)
    if of_header < 40:
        width, height, _, depth = struct.unpack_from("<HHHH", head, 18)
        packing = size = 0
    else:
        width, height, _, depth, packing, size = struct.unpack_from("<iiHHII", head, 18)
    if packing in (0, 3, 6):  # not compressed: the size follows from the edges
        size = (abs(width) * depth + 31) // 32 * 4 * abs(height)
    return int(start + size)


def _is_whole_jpeg(data: bytes) -> bool:
    # After the last start of scan, 0xFFD9 can only be the end of the image: in the coded data 0xFF is followed by 0
    # or a restart marker. Ends before it belong to embedded thumbnails.
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _is_whole_png(data: bytes) -> bool:
    """Whether the chunks are complete from the header to the end, and some hold pixels.

    OpenCV reads on after an end without pixels, and allocates memory for a chunk of any length before it reads it.
    """
    at, has_pixels = 8, False
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IEND":
            return has_pixels and length == 0
        has_pixels |= name == b"IDAT" and length > 0
        at += 12 + length
    return False


def _is_declared_long(data: bytes) -> bool:
    return len(data) >= declared_length(data[:MAGIC_BYTES])


#: Checks of the end of a file: for a missing end, OpenCV gives grey or black pixels instead of an error.
_WHOLE: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _is_whole_jpeg,
    "PNG": _is_whole_png,
    "BMP": _is_declared_long,
    "WebP": _is_declared_long,
}
