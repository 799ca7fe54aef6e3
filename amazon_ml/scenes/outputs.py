"""The results of a scene in a folder: GeoPackage, GeoParquet, raster, GeoJSON, table of areas, and what was done."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from amazon_ml.data.readers.images import Image
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import write_json, write_table, write_text
from amazon_ml.runtime.outputs import check_place
from amazon_ml.scenes.formats import write_geojson, write_geoparquet
from amazon_ml.scenes.geopackage import write_geopackage
from amazon_ml.scenes.map_files import map_file
from amazon_ml.scenes.page.scene import scene_page
from amazon_ml.scenes.picture import encode_picture
from amazon_ml.scenes.placing import name_crs
from amazon_ml.scenes.raster import write_raster
from amazon_ml.scenes.result import SceneResult
from amazon_ml.version import __version__

CELLS, PARQUET, RASTER = "cells.gpkg", "cells.parquet", "probabilities.tif"
GEOJSON, SUMMARY, RECORD = "cells.geojson", "summary.csv", "scene.json"
PICTURE, MAP = "picture.webp", "map.html"
#: Version of the record, increased when an older version would misread it.
FORMAT = 1
#: Folder of finished strips, while a call is not finished.
PARTS = "parts"
#: All files of a result.
OUTPUTS = (CELLS, PARQUET, RASTER, GEOJSON, SUMMARY, RECORD, PICTURE, MAP)


def check_folder(out: Path, inputs: Iterable[Path]) -> None:
    """Check that a folder can be written to, and that no output is one of the files that are read.

    Raises
    ------
    InputError
        If it is a file, or an output is an input.
    WorkError
        If it cannot be written to.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise InputError(f"`out` {out} is no folder", option="out", remedy="name another folder")
    read = {os.path.realpath(path) for path in inputs}
    for name in OUTPUTS:
        if os.path.realpath(out / name) in read:
            raise InputError(f"`out` {out} holds {name}, which is read", option="out", remedy="name another folder")
    check_place(out / RECORD)


def existing_outputs(out: Path) -> list[Path]:
    """List the outputs that a folder holds already."""
    return [out / name for name in OUTPUTS if os.path.lexists(out / name)]


def write_outputs(
    out: Path, result: SceneResult, picture: Image, about: Mapping[str, object], *, title: str, geojson: bool
) -> None:
    """Write all results; `scene.json` comes last, so that a folder with one is complete.

    Parameters
    ----------
    out
        The folder.
    result
        The results.
    picture
        The scene scaled down.
    about
        What was asked for, for the record.
    title
        Title of the page of the map.
    geojson
        Whether to write a GeoJSON.
    """
    for path in existing_outputs(out):
        if path.name == RECORD or (path.name == GEOJSON and not geojson):
            path.unlink()  # of the results that are replaced
    layer = result.layer()
    with map_file(out / CELLS) as temporary:
        write_geopackage(temporary, layer)
    with map_file(out / PARQUET) as temporary:
        write_geoparquet(temporary, layer)
    with map_file(out / RASTER) as temporary:
        write_raster(temporary, result)
    if geojson:
        with map_file(out / GEOJSON) as temporary:
            write_geojson(temporary, layer)
    summary = result.summary()
    write_table(out / SUMMARY, summary.round(4))
    encoded = encode_picture(picture)
    with map_file(out / PICTURE) as temporary:
        temporary.write_bytes(encoded)
    write_text(out / MAP, scene_page(title, result, summary, encoded))
    rows, columns = result.windows.shape
    write_json(out / RECORD, {
        **about,
        "format": FORMAT,
        "amazon_ml": __version__, "tags": list(result.tags), "crs": name_crs(result.grid.crs),
        "grid": asdict(result.grid), "size": result.windows.size, "stride": result.windows.stride,
        "rows": rows, "columns": columns, "cells": int((result.inside > 0).sum()), "known": int(result.known.sum()),
        "notes": list(result.notes),
    })  # fmt: skip
