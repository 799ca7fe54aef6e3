"""Reads the size of tiles from their headers."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from amazon_ml.data.readers.arrays import npy_size
from amazon_ml.data.readers.band_files import ARRAY_SUFFIX, BandFiles
from amazon_ml.data.readers.headers import read_header
from amazon_ml.data.readers.images import TIF_SUFFIXES

#: Number of tiles that are looked at, spread over all.
_SAMPLE = 32


def common_edge(files: Sequence[str], template: BandFiles | None = None) -> int | None:
    """Find the edge of tiles in pixels.

    Parameters
    ----------
    files
        First file of each tile; some of them are looked at.
    template
        The other files of a tile. The largest one counts, since the others are brought to its size.

    Returns
    -------
    The edge; None where tiles are not square, have different sizes, or have a header that cannot be read.
    """
    step = max(1, len(files) // _SAMPLE)
    each = (template.paths(file) if template else [file] for file in files[::step])
    sizes = {max(map(_size, paths)) for paths in each}
    width, height = sizes.pop() if len(sizes) == 1 else (0, 0)
    return width if width and width == height else None


def _size(file: str) -> tuple[int, int]:
    if file.lower().endswith(TIF_SUFFIXES):
        import rasterio

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", category=rasterio.errors.NotGeoreferencedWarning)
                with rasterio.open(file, driver="GTiff") as tif:
                    return tif.width, tif.height
        except (rasterio.errors.RasterioError, UnicodeDecodeError):
            return 0, 0
    if file.lower().endswith(ARRAY_SUFFIX):
        return npy_size(Path(file))
    header = read_header(Path(file))
    return (header.width, header.height) if header else (0, 0)
