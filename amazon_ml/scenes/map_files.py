"""Writes files of maps atomically, with one kind of error."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amazon_ml.errors import WorkError
from amazon_ml.runtime.files import atomic_write


@contextmanager
def map_file(path: Path) -> Iterator[Path]:
    """Write a file atomically; errors of the libraries that write databases and rasters are a `WorkError`, too."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        with atomic_write(path) as temporary:
            yield temporary
    except (sqlite3.Error, RasterioError, CPLE_BaseError) as error:
        raise WorkError(f"cannot write {path}: {error}; is the disk full?") from error
