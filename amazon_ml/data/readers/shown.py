"""Picks the channels of a tile that a page or a picture shows as red, green and blue."""

from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import Image
from amazon_ml.data.readers.scaling import narrowed
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
    image = narrowed(image)
    if read.source is None:
        return image
    held = read.source.names or (read.source.files.bands if read.source.files else read.source.needed)
    common = common_names([*dict.fromkeys((*held, *read.source.needed))])
    channel_of = {names[0]: at for at, names in enumerate(read.source.inputs.values()) if len(names) == 1}
    picked = [channel_of.get(common.get(name, ""), -1) for name in ("red", "green", "blue")]
    return image if -1 in picked else image[..., picked]
