"""Reads a JPG, PNG, WebP or BMP into an array of RGB, with a mask of transparent pixels."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.formats import content_fault, no_image
from amazon_ml.data.readers.headers import (
    INKS,
    PNG,
    Header,
    check_edges,
    check_pixels,
    fault_of_scans,
    parse_header,
    without_texts,
)
from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import cannot_read, check_regular, open_regular

Image = npt.NDArray[np.unsignedinteger[Any]]
Raw = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]

#: Endings of the files of tiles; `amazon_ml.runtime.outputs` repeats them.
TIF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", *TIF_SUFFIXES)
#: Largest number of bytes of a file for each pixel: 16 bits of four channels.
_BYTES = 8
#: Value of a masked pixel, in every channel.
MASKED = 0


class Picture(NamedTuple):
    """Pixels of an image file.

    Parameters
    ----------
    pixels
        Red, green and blue, uint8 or uint16 of shape (height, width, 3).
    valid
        Whether each pixel is valid, of shape (height, width); None where all are.
    """

    pixels: Raw
    valid: Mask | None = None


def read_tile(path: Path) -> Image:
    """Read an image with channels of 8 bits as RGB; transparent pixels become `MASKED`.

    The JPEGs of the competition hold four components (CMYK with K = 0); they are converted as in Pillow's
    ``convert("RGB")``. Orientation tags are not applied.

    Returns
    -------
    uint8 array of shape (height, width, 3), channels red, green, blue.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, no image, or has channels of 16 bits.
    """
    picture = read_picture(path)
    if picture.pixels.dtype != np.uint8:
        raise InputError("the file holds 16-bit values", file=path, remedy="convert it to 8 bits")
    return masked(np.asarray(picture.pixels, dtype=np.uint8), picture.valid)


def read_picture(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image as RGB with the depth of its file, and the mask of its transparent pixels.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, no image, or larger than `max_pixels`.
    """
    data = _read_whole(path, max_pixels)
    header = _checked_header(path, data, max_pixels)
    if header.kind == "JPEG":
        return Picture(_decode_jpeg(data, header, path))
    if header.depth == 8 and (not header.alpha or header.key is not None):
        values = _decode(data, path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        return Picture(values, None if header.key is None else _some(values[..., 0] != header.key))
    values = _decode(data, path, cv2.IMREAD_UNCHANGED)
    if values.ndim == 2:
        valid = None if header.key is None else _some(values != header.key)
        return Picture(np.repeat(values[..., None], 3, axis=-1), valid)
    return Picture(
        np.ascontiguousarray(values[..., 2::-1]), _some(values[..., 3] != 0) if values.shape[-1] == 4 else None
    )


def read_as_stored(path: Path, max_pixels: int = MAX_PIXELS) -> Raw:
    """Read an image with the bands and the depth of its file, while `read_tile` converts every tile to RGB.

    Returns
    -------
    Array of shape (height, width) or (height, width, bands), bands blue, green, red, alpha; uint8 or
    uint16. A CMYK JPEG gives three bands.

    Raises
    ------
    InputError
        As `read_picture`.
    """
    data = _read_whole(path, max_pixels)
    header = _checked_header(path, data, max_pixels)
    if header.kind != "JPEG":
        return np.asarray(_decode(data, path, cv2.IMREAD_UNCHANGED))
    if header.space == "Gray":
        return _strict(data, "GRAY", path)[..., 0]
    return np.ascontiguousarray(_decode_jpeg(data, header, path)[..., ::-1])


def masked(pixels: Image, valid: Mask | None, value: int = MASKED) -> Image:
    """Set masked pixels to a value, in place."""
    if valid is not None:
        pixels[~valid] = value
    return pixels


def resize(image: Image, size: int) -> Image:
    """Scale to `size` x `size` pixels: by area averages to shrink, cubic to enlarge."""
    height, width = image.shape[:2]
    if height == width == size:
        return image
    way = cv2.INTER_AREA if min(height, width) >= size else cv2.INTER_CUBIC
    # OpenCV averages areas of at most four channels.
    parts = [image[..., at : at + 4] for at in range(0, image.shape[-1], 4)]
    scaled = [cv2.resize(part, (size, size), interpolation=way).reshape(size, size, -1) for part in parts]
    return np.asarray(scaled[0] if len(scaled) == 1 else np.concatenate(scaled, axis=-1), dtype=image.dtype)


def check_file(path: Path, max_pixels: int = MAX_PIXELS) -> None:
    """Check that a file exists, is regular, not empty, and not longer than `max_pixels` pixels need."""
    try:
        about = path.stat()
    except OSError as error:
        raise cannot_read(path, error) from None
    check_regular(path)
    _check_length(path, about, max_pixels)


def is_empty(path: Path | str) -> InputError:
    """Make the error for an empty file."""
    return InputError("the file is empty", file=path, remedy="download it again")


def _check_length(path: Path, about: os.stat_result, max_pixels: int) -> None:
    if not about.st_size:
        raise is_empty(path)
    if about.st_size > _BYTES * max_pixels + 2**20:
        raise InputError(
            f"the file has {about.st_size:,} bytes, more than {max_pixels:,} pixels need", file=path,
            option="data.max_pixels", remedy="cut it into tiles, or raise `data.max_pixels` of the training",
        )  # fmt: skip


def _read_whole(path: Path, max_pixels: int) -> bytes:
    try:
        with open(open_regular(path), "rb", buffering=0) as stream:  # noqa: PTH123 (a descriptor)
            _check_length(path, os.fstat(stream.fileno()), max_pixels)
            data = stream.read()
    except OSError as error:
        raise cannot_read(path, error) from None
    return data


def _checked_header(path: Path, data: bytes, max_pixels: int) -> Header:
    header = parse_header(data)
    if header is not None:
        check_pixels(path, header.width, header.height, max_pixels)
        check_edges(path, header.width, header.height)
    problem, remedy = content_fault(data)
    if not problem and header is None:
        problem, remedy = no_image(data)
    if problem or header is None:
        raise InputError(problem, file=path, remedy=remedy)
    return header


def _decode(data: bytes, path: Path, flags: int) -> Any:
    image = None
    if data.startswith(PNG):
        data = without_texts(data)
    with suppress(cv2.error):  # a header that declares more pixels than OpenCV accepts
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if image is None:
        raise InputError("the file is damaged: it cannot be decoded", file=path, remedy="download it again")
    return image


def _decode_jpeg(data: bytes, header: Header, path: Path) -> Image:
    """Decode a JPEG as RGB; of inks without black, R, G, B = 255 - C, M, Y.

    OpenCV takes a third longer for these, and rounds most values up by one. For black ink there is only OpenCV.
    """
    if header.space not in INKS:
        return _strict(data, "RGB", path)
    inverted = _strict(data, "CMYK", path)  # files hold 255 - ink
    together = np.bitwise_and.reduce(inverted.reshape(-1).view(np.uint32), keepdims=True).view(np.uint8)
    if together[3] == 255 and header.space == "CMYK":
        return np.asarray(cv2.cvtColor(inverted, cv2.COLOR_RGBA2RGB), dtype=np.uint8)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(_decode(data, path, flags), dtype=np.uint8)


def _strict(data: bytes, space: str, path: Path) -> Image:
    """Decode a JPEG; warnings of libjpeg are errors, such as missing data that it replaces by grey."""
    if fault := fault_of_scans(data):
        raise InputError(f"the file is a damaged JPEG: {fault}", file=path)
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace=space, strict=True), dtype=np.uint8)
    except ValueError as error:
        problem = f"the file is a damaged JPEG ({error})"
        raise InputError(problem, file=path, remedy="download it again") from None


def _some(valid: Mask) -> Mask | None:
    return None if valid.all() else valid
