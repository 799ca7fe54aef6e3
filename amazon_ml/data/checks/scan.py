"""One pass over image files: a table of their contents, and a thumbnail of each."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from amazon_ml.data.catalog.tiles import is_tif
from amazon_ml.data.checks.hashes import THUMBNAIL
from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.arrays import read_any_npy
from amazon_ml.data.readers.band_files import ARRAY_SUFFIX
from amazon_ml.data.readers.images import read_as_stored
from amazon_ml.data.readers.tif import open_tif
from amazon_ml.errors import InputError
from amazon_ml.runtime.progress import mapped

Pixels = npt.NDArray[np.generic]

#: Divisors of 16-bit values for thumbnails of uint8: PNGs use all 16 bits, while values in the competition's TIFs are
#: seldom above 12,000.
_PNG_SCALE, _TIF_SCALE = 256, 64


def scan(
    paths: Sequence[str], *, num_workers: int, max_pixels: int = MAX_PIXELS
) -> tuple[pd.DataFrame, npt.NDArray[np.uint8]]:
    """Decode each image file once; only a few are in memory at a time.

    Returns
    -------
    Table with one row for each file: ``fault`` (why it cannot be read; ``""`` where it can), ``size`` (such as
    ``256 x 256``), ``format`` (such as ``3 bands of uint8``), ``constant`` (whether all pixels are equal), ``black``
    and ``white`` (shares of pure black and white in the thumbnail) and ``digest`` (SHA-256 of size, format and
    pixels); and thumbnails, a uint8 array of shape (files, 32, 32, 3), blue, green, red, black where there is a fault.
    """
    thumbnails = np.zeros((len(paths), THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8)

    def look(position: int) -> tuple[str, str, str, bool, float, float, bytes]:
        path = Path(paths[position])
        try:
            pixels = read_stored(path, max_pixels)
        except InputError as error:
            return str(error), "", "", False, 0.0, 0.0, b""
        thumbnails[position] = small = _thumbnail(pixels, _TIF_SCALE if is_tif(path.name) else _PNG_SCALE)
        size, bands = describe(pixels)
        digest = hashlib.sha256(f"{size}, {bands}".encode())
        digest.update(np.ascontiguousarray(pixels).data)
        black, white = (float((small == pure).all(axis=-1).mean()) for pure in (0, 255))
        return "", size, bands, _is_constant(pixels), black, white, digest.digest()

    rows = list(mapped(look, range(len(paths)), num_workers=num_workers, what="reading tiles"))
    return pd.DataFrame(rows, columns=["fault", "size", "format", "constant", "black", "white", "digest"]), thumbnails


def read_stored(path: Path, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Read an image file with its stored bands and depth; of an array, all values as they lie in it."""
    if path.name.lower().endswith(ARRAY_SUFFIX):
        return read_any_npy(path, max_pixels)
    return open_tif(path, max_pixels).pixels if is_tif(path.name) else read_as_stored(path, max_pixels)


def describe(pixels: Pixels) -> tuple[str, str]:
    """Describe the size and the format of an image."""
    height, width, *bands = pixels.shape
    count = bands[0] if bands else 1
    return f"{width} x {height}", f"{count} band{'s' * (count != 1)} of {pixels.dtype}"


def _thumbnail(pixels: Pixels, scale: int) -> npt.NDArray[np.uint8]:
    """Scale the first three bands down by averaging; an image of one or two bands becomes grey."""
    bands: npt.NDArray[Any] = pixels.reshape(*pixels.shape[:2], -1)
    rgb = np.ascontiguousarray(bands[..., :3] if bands.shape[-1] >= 3 else bands[..., :1])
    if rgb.dtype not in (np.uint8, np.uint16):
        rgb = rgb.astype(np.float32)
    small = cv2.resize(rgb, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    if pixels.dtype != np.uint8:
        small = np.clip(np.nan_to_num(small / scale), 0, 255)
    return np.asarray(small.reshape(THUMBNAIL, THUMBNAIL, -1), dtype=np.uint8)


def _is_constant(pixels: Pixels) -> bool:
    # The first row shows it for most tiles, which saves the comparison of the others.
    return bool((pixels[0] == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all())
