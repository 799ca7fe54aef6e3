"""Thumbnails of tiles inside a page: small JPEGs in base64."""

import base64

import cv2
import numpy as np

from amazon_ml.data.readers.images import Image


def shown_bands(image: Image) -> Image:
    """Give the first three bands of a tile, or the first one three times: uint8 of shape (height, width, 3)."""
    return np.ascontiguousarray(image[..., [0, 1, 2] if image.shape[-1] > 2 else [0, 0, 0]])


def data_uri(image: Image, edge: int, quality: int = 80) -> str:
    """Encode a tile for the ``src`` of an image.

    Parameters
    ----------
    image
        uint8 of shape (height, width, bands); the first three are shown.
    edge
        Pixels; larger tiles are scaled down to this.
    quality
        Quality of the JPEG, 0 to 100.
    """
    shown = shown_bands(image)[..., ::-1]
    height, width = shown.shape[:2]
    scale = edge / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
