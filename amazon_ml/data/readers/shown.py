"""Picks the channels of a tile that a page or a picture shows as red, green and blue."""

import numpy as np

from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import Image
from amazon_ml.data.readers.scaling import FULL_RANGES, narrowed
from amazon_ml.data.readers.sensors import common_names


def shown_channels(read: TileReader, image: Image) -> Image:
    """Pick red, green and blue of a tile of named bands, where it has them.

    Parameters
    ----------
    read
        Reader of the tile.
    image
        Array of shape (height, width, bands), as the reader gives it.

    Returns
    -------
    The three channels in uint8, or the whole tile, whose first channels are then shown.
    """
    image = shown_levels(read, image)
    if read.source is None:
        return image
    held = read.source.names or (read.source.files.bands if read.source.files else read.source.needed)
    common = common_names([*dict.fromkeys((*held, *read.source.needed))])
    channel_of = {names[0]: at for at, names in enumerate(read.source.inputs.values()) if len(names) == 1}
    picked = [channel_of.get(common.get(name, ""), -1) for name in ("red", "green", "blue")]
    return image if -1 in picked else image[..., picked]


def shown_levels(read: TileReader, image: Image) -> Image:
    """Give the nearest levels of 8 bits; those of the whole range of a type are stretched, since they would be black.

    Then the least and the largest value of the training tiles become 0 and 255.
    """
    if image.dtype == np.uint8:
        return image
    shown = narrowed(image)
    for at, band in enumerate(read.bands):
        names = (band,) if read.source is None else read.source.inputs[band]
        limits = read.limits.get(names[0]) if len(names) == 1 else None
        if limits is not None and limits in FULL_RANGES.values() and names[0] in read.expected.ranges:
            least, most, _ = read.expected.ranges[names[0]]
            share = (image[..., at] + limits[0] - least) / np.float32(max(most - least, 1))
            shown[..., at] = np.rint(255 * np.clip(share, 0, 1))
    return shown
