"""One image file to one array: RGB of a JPG, PNG, WebP or BMP, with a mask where pixels are transparent."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.formats import described, refusal_of
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
from amazon_ml.runtime.regular_files import check_regular, open_regular, unopened

Image = npt.NDArray[np.uint8]
Raw = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]

#: Endings that are read as tiles.
TIF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", *TIF_SUFFIXES)
#: Bytes of a file for each pixel that it may hold, at the most: 16 bits of four channels.
_BYTES = 8
#: Value of a pixel that the file masks, in every channel of colour.
MASKED = 0


class Picture(NamedTuple):
    """Pixels of an image file.

    Parameters
    ----------
    pixels
        Red, green and blue, uint8 or uint16 of shape (height, width, 3).
    valid
        Whether each pixel shows something, of shape (height, width); None where all do.
    """

    pixels: Raw
    valid: Mask | None = None


def read_tile(path: Path) -> Image:
    """Read an image of 8 bits a channel as RGB; transparent pixels become `MASKED`.

    The competition's JPEGs hold four components (CMYK with K = 0); they are converted as Pillow's
    ``convert("RGB")`` does. Orientation tags are not applied.

    Returns
    -------
    uint8 array of shape (height, width, 3), channels red, green, blue.

    Raises
    ------
    InputError
        For a file that is missing, empty, damaged, no image, or of 16 bits a channel.
    """
    picture = read_picture(path)
    if picture.pixels.dtype != np.uint8:
        raise InputError(f"{path} holds 16-bit values; convert it to 8 bits")
    return masked(np.asarray(picture.pixels, dtype=np.uint8), picture.valid)


def read_picture(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image as RGB with the depth of its file, and which of its pixels are transparent.

    Raises
    ------
    InputError
        For a file that is missing, empty, damaged, no image, or larger than `max_pixels`.
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
    """Read an image with the bands and the depth of its file, where `read_tile` makes every tile RGB.

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
    """Give masked pixels their value, in place."""
    if valid is not None:
        pixels[~valid] = value
    return pixels


def resize(image: Image, size: int) -> Image:
    """Scale to `size` x `size` pixels: averaging areas when shrinking, cubic when enlarging."""
    height, width = image.shape[:2]
    if height == width == size:
        return image
    way = cv2.INTER_AREA if min(height, width) >= size else cv2.INTER_CUBIC
    # OpenCV averages areas of four channels at the most.
    parts = [image[..., at : at + 4] for at in range(0, image.shape[-1], 4)]
    scaled = [cv2.resize(part, (size, size), interpolation=way).reshape(size, size, -1) for part in parts]
    return np.asarray(scaled[0] if len(scaled) == 1 else np.concatenate(scaled, axis=-1), dtype=np.uint8)


def check_file(path: Path, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse what is missing, no regular file, empty, or too long to hold so many pixels."""
    try:
        about = path.stat()
    except OSError as error:
        raise InputError(unopened(path, error)) from None
    check_regular(path)
    _check_length(path, about, max_pixels)


def _check_length(path: Path, about: os.stat_result, max_pixels: int) -> None:
    if not about.st_size:
        raise InputError(f"{path} is empty; fetch it again")
    if about.st_size > _BYTES * max_pixels + 2**20:
        raise InputError(
            f"{path} has {about.st_size:,} bytes, more than {max_pixels:,} pixels need; cut it into tiles, or "
            "raise `data.max_pixels` of the training"
        )


def _read_whole(path: Path, max_pixels: int) -> bytes:
    try:
        with open(open_regular(path), "rb", buffering=0) as stream:  # noqa: PTH123 (a descriptor)
            _check_length(path, os.fstat(stream.fileno()), max_pixels)
            data = stream.read()
    except OSError as error:
        raise InputError(unopened(path, error)) from None
    return data


def _checked_header(path: Path, data: bytes, max_pixels: int) -> Header:
    header = parse_header(data)
    if header is not None:
        check_pixels(path, header.width, header.height, max_pixels)
        check_edges(path, header.width, header.height)
    if refusal := refusal_of(data):
        raise InputError(f"{path} {refusal}")
    if header is None:
        raise InputError(f"{path} is not an image that can be read{described(data)}")
    return header


def _decode(data: bytes, path: Path, flags: int) -> Any:
    image = None
    if data.startswith(PNG):
        data = without_texts(data)
    with suppress(cv2.error):  # a header that claims more pixels than OpenCV takes
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if image is None:
        raise InputError(f"{path} is damaged: it cannot be decoded; fetch it again")
    return image


def _decode_jpeg(data: bytes, header: Header, path: Path) -> Image:
    """Decode a JPEG as RGB, R, G, B = 255 - C, M, Y where it holds inks without black.

    OpenCV takes a third longer for those, and rounds most values up by one. It alone converts black ink.
    """
    if header.space not in INKS:
        return _strict(data, "RGB", path)
    inverted = _strict(data, "CMYK", path)  # files hold 255 - ink
    together = np.bitwise_and.reduce(inverted.reshape(-1).view(np.uint32), keepdims=True).view(np.uint8)
    if together[3] == 255 and header.space == "CMYK":
        return np.asarray(cv2.cvtColor(inverted, cv2.COLOR_RGBA2RGB), dtype=np.uint8)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(_decode(data, path, flags), dtype=np.uint8)


def _strict(data: bytes, colours: str, path: Path) -> Image:
    """Decode a JPEG; what libjpeg only warns of, such as missing data that it fills with grey, is refused."""
    if fault := fault_of_scans(data):
        raise InputError(f"{path} is a damaged JPEG: {fault}")
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace=colours, strict=True), dtype=np.uint8)
    except ValueError as error:
        raise InputError(f"{path} is a damaged JPEG ({error}); fetch it again") from None


def _some(valid: Mask) -> Mask | None:
    return None if valid.all() else valid
