"""Decodes plain TIFs: one image of whole bytes, without compression or deflated. All others are left to GDAL.

GDAL takes about half a millisecond to open a file, and longer to separate interleaved bands than to read them. A file
that this module decodes gives the same values, descriptions and colours as by GDAL; whatever it does not know well,
such as masks, nodata values, transparency and other metadata, it does not decode.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.images import Raw

#: Tags that are decoded here.
_WIDTH, _HEIGHT, _BITS, _PACKING, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _STRIP_ROWS, _STRIP_LENGTHS, _PLANES, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_LENGTHS, _EXTRA, _FORMAT = 322, 323, 324, 325, 338, 339
_METADATA = 42112
#: Tags that change no value: resolutions, software, date, positions on the ground.
_HARMLESS = frozenset((282, 283, 296, 305, 306, 33550, 33922, 34735, 34736, 34737))
_KNOWN = _HARMLESS | {
    _WIDTH, _HEIGHT, _BITS, _PACKING, _PHOTOMETRIC, _STRIPS, _SAMPLES, _STRIP_ROWS, _STRIP_LENGTHS, _PLANES,
    _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_LENGTHS, _EXTRA, _FORMAT, _METADATA,
}  # fmt: skip
#: Types of the values of tags: bytes, letters, short and long numbers.
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I"}
#: Types of pixels, by format and bits.
_DTYPES = {(1, 8): "u1", (1, 16): "u2", (1, 32): "u4", (2, 16): "i2", (2, 32): "i4", (3, 32): "f4", (3, 64): "f8"}
_DEFLATE = (8, 32946)
#: Photometric interpretations, with the colours of their first bands.
_COLOURS: Mapping[int, tuple[str, ...]] = {1: ("gray",), 2: ("red", "green", "blue")}
_DESCRIPTION = re.compile(r'<Item name="DESCRIPTION" sample="(\d+)" role="description">([^<&]*)</Item>\s*')
#: Files beside a TIF in which GDAL finds masks and metadata.
_SIDECARS = (".aux.xml", ".msk")


class PlainTif(NamedTuple):
    """The contents of a plain TIF.

    Parameters
    ----------
    pixels
        Shape (height, width, bands).
    descriptions
        Of each band; None where there is none.
    colours
        Colour interpretation of each band, in the words of GDAL.
    """

    pixels: Raw
    descriptions: tuple[str | None, ...]
    colours: list[str]


class _NotPlain(Exception):  # noqa: N818 (no error: the file is left to GDAL)
    pass


class _Layout(NamedTuple):
    """Blocks of an image: strips or tiles, of one band each where planes are separate."""

    dtype: "np.dtype[np.generic]"
    height: int
    width: int
    bands: int
    block_height: int
    block_width: int
    separate: bool
    deflated: bool
    predicted: bool
    is_tiled: bool


def read_plain(path: Path, data: bytes, most_values: int) -> PlainTif | None:
    """Decode a TIF if it is plain.

    Parameters
    ----------
    path
        The file, beside which there may be others.
    data
        Its contents.
    most_values
        Largest number of values.

    Returns
    -------
    None for all other files, and for those that may be damaged.
    """
    try:
        order, tags = _directory(data)
        descriptions = _descriptions(tags)
        layout, offsets, lengths, colours = _layout(order, tags, most_values)
        if any(path.with_name(path.name + suffix).exists() for suffix in _SIDECARS):
            return None
        pixels = _pixels(data, layout, offsets, lengths)
    except (_NotPlain, struct.error, ValueError, KeyError, IndexError, zlib.error):
        return None
    texts = [descriptions.get(band) for band in range(layout.bands)]
    return PlainTif(pixels, tuple(texts), colours)


def _directory(data: bytes) -> tuple[str, dict[int, tuple[int, ...] | bytes]]:
    """Read the tags of the only image of a file."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise _NotPlain
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    if struct.unpack_from(f"{order}I", data, start + 2 + 12 * count)[0] != 0:
        raise _NotPlain  # a mask or an overview follows
    tags: dict[int, tuple[int, ...] | bytes] = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, at)
        if tag not in _KNOWN:
            raise _NotPlain
        if tag in _HARMLESS:
            continue
        letter = _TYPES[kind]
        length = number * struct.calcsize(letter)
        place = at + 8 if length <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
        if place + length > len(data):
            raise _NotPlain
        found = struct.unpack_from(f"{order}{number}{letter}", data, place)
        tags[tag] = found[0] if letter == "s" else found
    return order, tags


def _descriptions(tags: Mapping[int, tuple[int, ...] | bytes]) -> dict[int, str]:
    """Read the descriptions of the bands; other metadata may change what the values mean."""
    metadata = tags.get(_METADATA)
    if metadata is None:
        return {}
    if not isinstance(metadata, bytes):
        raise _NotPlain
    whole = re.fullmatch(r"\s*<GDALMetadata>\s*(.*?)</GDALMetadata>\s*", metadata.decode().rstrip("\0"), re.DOTALL)
    if whole is None or _DESCRIPTION.sub("", whole[1]):
        raise _NotPlain
    return {int(found[1]): found[2] for found in _DESCRIPTION.finditer(whole[1])}


def _layout(
    order: str, tags: Mapping[int, tuple[int, ...] | bytes], most_values: int
) -> tuple[_Layout, list[int], list[int], list[str]]:
    def numbers(tag: int, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        found = tags.get(tag, default)
        if not isinstance(found, tuple):
            raise _NotPlain
        return found

    (width,), (height,), (bands,) = numbers(_WIDTH), numbers(_HEIGHT), numbers(_SAMPLES, (1,))
    (packing,), (photometric,), (planes,) = numbers(_PACKING, (1,)), numbers(_PHOTOMETRIC), numbers(_PLANES, (1,))
    (predictor,) = numbers(_PREDICTOR, (1,))
    bits, formats = set(numbers(_BITS, (1,))), set(numbers(_FORMAT, (1,)))
    colours = _COLOURS.get(photometric, ())
    extra = numbers(_EXTRA, ())
    if (
        not 0 < width * height * bands <= most_values or len(bits) != 1 or len(formats) != 1 or not colours
        or len(colours) + len(extra) != bands or any(extra) or packing not in (1, *_DEFLATE)
        or planes not in (1, 2) or predictor not in (1, 2)
    ):  # fmt: skip
        raise _NotPlain
    dtype = np.dtype(order + _DTYPES[formats.pop(), bits.pop()])
    if predictor == 2 and (packing == 1 or dtype.kind == "f"):
        raise _NotPlain
    is_tiled = _TILES in tags
    if is_tiled:
        (block_width,), (block_height,) = numbers(_TILE_WIDTH), numbers(_TILE_HEIGHT)
    else:
        block_width, block_height = width, min(numbers(_STRIP_ROWS, (height,))[0], height)
    offsets = list(numbers(_TILES if is_tiled else _STRIPS))
    lengths = list(numbers(_TILE_LENGTHS if is_tiled else _STRIP_LENGTHS))
    layout = _Layout(
        dtype, height, width, bands, block_height, block_width, planes == 2 and bands > 1, packing != 1,
        predictor == 2, is_tiled,
    )  # fmt: skip
    return layout, offsets, lengths, [*colours, *["undefined"] * len(extra)]


def _pixels(data: bytes, layout: _Layout, offsets: list[int], lengths: list[int]) -> Raw:
    native = layout.dtype.newbyteorder("=")
    planes = layout.bands if layout.separate else 1
    rows, columns = -(-layout.height // layout.block_height), -(-layout.width // layout.block_width)
    if len(offsets) != planes * rows * columns or len(lengths) != len(offsets) or 0 in offsets or 0 in lengths:
        raise _NotPlain
    pixels: npt.NDArray[np.generic] = np.empty((layout.height, layout.width, layout.bands), dtype=native)
    if not layout.deflated and not layout.is_tiled and not layout.separate:
        ends = [start + length for start, length in zip(offsets, lengths, strict=True)]
        if offsets[1:] == ends[:-1]:  # the strips follow each other
            whole = data[offsets[0] : ends[-1]]
        else:
            whole = b"".join(data[start:end] for start, end in zip(offsets, ends, strict=True))
        if len(whole) != pixels.nbytes:
            raise _NotPlain
        return np.frombuffer(whole, dtype=layout.dtype).reshape(pixels.shape).astype(native)
    blocks = zip(offsets, lengths, _places(layout, planes), strict=True)
    for start, length, (top, left, band, height) in blocks:
        samples = 1 if layout.separate else layout.bands
        block = _block(data[start : start + length], layout, (height, layout.block_width, samples), native)
        shown = block[: layout.height - top, : layout.width - left]
        place = slice(band, band + 1) if layout.separate else slice(None)
        pixels[top : top + len(shown), left : left + shown.shape[1], place] = shown
    return pixels


def _places(layout: _Layout, planes: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield row, column, band and height of each block; the last strip ends with the image, tiles are whole."""
    for band in range(planes):
        for top in range(0, layout.height, layout.block_height):
            height = layout.block_height if layout.is_tiled else min(layout.block_height, layout.height - top)
            for left in range(0, layout.width, layout.block_width):
                yield top, left, band, height


def _block(
    data: bytes, layout: _Layout, shape: tuple[int, int, int], native: "np.dtype[np.generic]"
) -> npt.NDArray[np.generic]:
    length = int(np.prod(shape)) * native.itemsize
    if layout.deflated:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(data, length)
        if not unpacker.eof and unpacker.decompress(unpacker.unconsumed_tail, 1):
            raise _NotPlain
    if len(data) != length:
        raise _NotPlain
    block = np.frombuffer(data, dtype=layout.dtype).reshape(shape).astype(native, copy=False)
    return np.cumsum(block, axis=1, dtype=native) if layout.predicted else block
