"""Writes files of maps atomically, with one kind of error."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amazon_ml.errors import WorkError
from amazon_ml.runtime.files import atomic_write
from amazon_ml.scenes.journals import check_closed, remove_journals


@contextmanager
def map_file(path: Path) -> Iterator[Path]:
    """Write a file atomically; errors of the libraries that write databases and rasters are a `WorkError`, too."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    is_database = path.suffix == ".gpkg"
    try:
        with atomic_write(path) as temporary:
            yield temporary
            if is_database:
                check_closed(path)
                remove_journals(path)
    except (sqlite3.Error, RasterioError, CPLE_BaseError) as error:
        raise WorkError(f"cannot write {path}: {error}; is the disk full?") from error
