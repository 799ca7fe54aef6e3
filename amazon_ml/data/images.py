"""One file to one array: RGB of a JPG or PNG, the bands of a TIF as they are."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from amazon_ml.data.formats import described, refusal_of
from amazon_ml.errors import InputError
from amazon_ml.regular import check_regular, read_regular, unopened

Image = npt.NDArray[np.uint8]

#: Endings that are read as tiles.
TIF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", *TIF_SUFFIXES)
#: Pixels along the edge of a tile at the most; beyond it a slip is likelier than a wish.
LARGEST_EDGE = 8192


def read_tile(path: Path) -> Image:
    """Read a JPG or PNG as RGB.

    The competition's JPEGs hold four components (CMYK with K = 0); they are converted as Pillow's
    ``convert("RGB")`` does. Orientation tags are not applied.

    Returns
    -------
    uint8 array of shape (height, width, 3), channels red, green, blue.

    Raises
    ------
    InputError
        For a file that is missing, empty, cut short, or no image.
    """
    data = _read_whole(path)
    image = _colours_of_inks(data)
    if image is None:
        image = _decode(data, path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(image, dtype=np.uint8)


def read_as_stored(path: Path) -> npt.NDArray[np.generic]:
    """Read a JPG or PNG with the bands and the depth of its file, where `read_tile` makes every tile RGB.

    Returns
    -------
    Array of shape (height, width) or (height, width, bands), bands blue, green, red, alpha; uint8 or
    uint16. A CMYK JPEG gives three bands.

    Raises
    ------
    InputError
        As `read_tile`.
    """
    return np.asarray(_decode(_read_whole(path), path, cv2.IMREAD_UNCHANGED))


def read_tif(path: Path) -> npt.NDArray[np.generic]:
    """Read all bands of a TIF, unscaled.

    The competition's hold 12-bit values in uint16, and their header calls the four bands red,
    green, blue and alpha; they are blue, green, red and near infrared.

    Returns
    -------
    Array of the file's own type, shape (height, width, bands), bands as they lie in the file.

    Raises
    ------
    InputError
        For a file that is missing, empty, cut short, or no TIF.
    """
    import rasterio  # only those who have TIFs wait for it

    check_regular(path)
    if not path.exists():
        raise InputError(f"cannot read {path}: there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as file:
                bands = file.read()
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path} is not a TIF that can be read ({error}); fetch it again") from None
    return np.ascontiguousarray(np.moveaxis(bands, 0, -1))


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


def _read_whole(path: Path) -> bytes:
    try:
        data = read_regular(path)
    except OSError as error:
        raise InputError(unopened(path, error)) from None
    if not data:
        raise InputError(f"{path} is empty; fetch it again")
    if refusal := refusal_of(data):
        raise InputError(f"{path} {refusal}")
    return data


def _decode(data: bytes, path: Path, flags: int) -> Any:
    image = None
    with suppress(cv2.error):  # a header that claims more pixels than OpenCV takes
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if image is None:
        raise InputError(f"{path} is not an image that can be read{described(data)}")
    return image


def _colours_of_inks(data: bytes) -> Any:
    """Decode a CMYK JPEG without black, where R, G, B = 255 - C, M, Y; nothing for any other file.

    OpenCV takes a third longer for those, and rounds most values up by one.
    """
    try:
        if not data.startswith(b"\xff\xd8") or simplejpeg.decode_jpeg_header(data)[2] != "CMYK":
            return None
        inverted = simplejpeg.decode_jpeg(data, colorspace="CMYK")  # files hold 255 - ink
    except ValueError:  # damaged; OpenCV may still make something of it
        return None
    together = np.bitwise_and.reduce(inverted.reshape(-1).view(np.uint32), keepdims=True).view(np.uint8)
    return cv2.cvtColor(inverted, cv2.COLOR_RGBA2RGB) if together[3] == 255 else None
