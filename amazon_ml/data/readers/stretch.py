"""Which values of the files the levels 0 and 255 of each channel stand for."""

from amazon_ml.data.readers.bands import RGB, TileReader
from amazon_ml.data.readers.sensors import spelled

#: By the name of a band, the values of the files that become 0 and 255; None where the files hold these levels.
Stretch = dict[str, tuple[float, float] | None]


def stretch_of(reader: TileReader) -> Stretch:
    """Find the values that become 0 and 255 in each channel of a reader, in the order of its bands.

    A band has the name that it has in the files, or its common name if it was requested by that.

    Files of 8 bits hold levels, and an index (`ndvi`) has levels of its own: these have None.
    """
    stretch: Stretch = {}
    if reader.source is not None:
        for band, names in reader.source.inputs.items():
            levels = len(names) > 1 or reader.source.layers[names[0]].dtype == "uint8"
            # SR_B5 of a file, which `data.bands` may call B5, shows the sensor.
            name = names[0] if len(names) == 1 and spelled(names[0]) == spelled(band) else band
            stretch[name] = None if levels else reader.limits.get(names[0])
        return stretch
    for band in reader.bands:
        of_image = band in RGB and reader.rgb_source == "jpg"
        dtype = reader.expected.image if of_image else reader.expected.tif
        stretch[band] = None if dtype == "uint8" else reader.limits.get(band)
    return stretch
