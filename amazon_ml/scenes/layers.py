"""Writes the cells of a scene as GeoParquet and as GeoJSON."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from amazon_ml.scenes.geometry import rectangle
from amazon_ml.scenes.geopackage import probability_columns
from amazon_ml.scenes.result import Cell, SceneResult

#: Decimals of degrees: a centimetre.
_DECIMALS = 7


def write_geoparquet(path: Path, result: SceneResult) -> None:
    """Write a table with a column ``geometry`` (GeoParquet 1.1, WKB) and the columns of the GeoPackage."""
    cells = list(result.cells())
    columns: dict[str, pa.Array] = {
        "geometry": pa.array([rectangle(cell.bounds) for cell in cells], pa.binary()),
        "row": pa.array([cell.row for cell in cells], pa.int32()),
        "column": pa.array([cell.column for cell in cells], pa.int32()),
        "valid": pa.array([cell.valid for cell in cells], pa.float32()),
        "tags": pa.array([None if cell.p is None else " ".join(cell.tags) for cell in cells], pa.string()),
    }
    for at, name in enumerate(probability_columns(result.tags)):
        columns[name] = pa.array([None if cell.p is None else cell.p[at] for cell in cells], pa.float32())
    about = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {
            "encoding": "WKB", "geometry_types": ["Polygon"], "crs": _projjson(result.grid.crs),
            "orientation": "counterclockwise", "bbox": _bbox(cells),
        }},
    }  # fmt: skip
    pq.write_table(pa.table(columns).replace_schema_metadata({"geo": json.dumps(about)}), path)


def write_geojson(path: Path, result: SceneResult) -> None:
    """Write cells in longitude and latitude (RFC 7946), one feature a line."""
    names = probability_columns(result.tags)
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{"type": "FeatureCollection", "features": [\n')
        between = ""
        for cell, ring in zip(result.cells(), _rings(result), strict=True):
            p = [None] * len(names) if cell.p is None else [round(one, 6) for one in cell.p]
            properties = {
                "row": cell.row, "column": cell.column, "valid": round(cell.valid, 6),
                "tags": None if cell.p is None else " ".join(cell.tags), **dict(zip(names, p, strict=True)),
            }  # fmt: skip
            geometry = {"type": "Polygon", "coordinates": [ring]}
            feature = {"type": "Feature", "geometry": geometry, "properties": properties}
            stream.write(between + json.dumps(feature, allow_nan=False))
            between = ",\n"
        stream.write("\n]}\n")


def _rings(result: SceneResult) -> list[list[list[float]]]:
    """Corners of each cell in longitude and latitude, the first one repeated."""
    from rasterio.warp import transform

    bounds = np.array([cell.bounds for cell in result.cells()]).reshape(-1, 4)
    x, y = bounds[:, [0, 2, 2, 0, 0]].ravel(), bounds[:, [1, 1, 3, 3, 1]].ravel()
    longitude, latitude = transform(result.grid.crs, "EPSG:4326", x, y)
    corners = np.round(np.stack([longitude, latitude], axis=1), _DECIMALS).reshape(-1, 5, 2)
    rings: list[list[list[float]]] = corners.tolist()
    return rings


def _projjson(wkt: str) -> object:
    """Give a CRS as GeoParquet holds it; None says that it is not known."""
    if not wkt:
        return None
    from rasterio.crs import CRS

    return CRS.from_wkt(wkt).to_dict(projjson=True)


def _bbox(cells: list[Cell]) -> list[float]:
    bounds = np.array([cell.bounds for cell in cells])
    return [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()]
