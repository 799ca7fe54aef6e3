"""Find the tiles of a run again, for pages and pictures."""

import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd

from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.data.catalog.file_table import count_names
from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.reader_file import read_reader
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run, read_truth
from amazon_ml.runs.hashes import check_recorded
from amazon_ml.runs.tile_files import changed_tiles

log = logging.getLogger(__name__)


def read_bands(run: Run) -> TileReader:
    """Read how a run reads its tiles."""
    check_recorded(run.bands)
    return read_reader(run.bands)


def listed_tiles(run: Run, root: Path | None = None) -> pd.DataFrame | None:
    """List the labelled tiles of a run, if they are still there.

    Parameters
    ----------
    run
        Run folder.
    root
        Folder of the tiles; by default the one that the run was trained on.

    Returns
    -------
    The ``labelled`` table of a catalog, or None with a warning.
    """
    # With the run's own tags, no spelling of a tag is doubted.
    how = replace(run.read_config().data, tags=list(run.tags()), rgb_source=read_bands(run).rgb_source)
    place = root or Path(how.root)
    try:
        catalog = read_catalog(place, how)
    except InputError as error:
        log.warning("no tiles are drawn: %s", error)
        return None
    tiles = catalog.labelled
    if not read_truth(run).index.isin(tiles["image_name"]).all():
        log.warning("no tiles are drawn: %s does not hold all tiles of %s", place, run.path)
        return None
    if changed := changed_tiles(run, catalog):
        log.warning("no tiles are drawn: since %s began, %s in %s changed", run.path, count_names(changed), place)
        return None
    return tiles
