"""Writes a layer as GeoParquet and as GeoJSON."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from amazon_ml.scenes.geometry import rectangle
from amazon_ml.scenes.layer import Layer

#: Decimals of degrees, a centimetre; and of probabilities and shares.
_DEGREES, _SHARES = 7, 6


def write_geoparquet(path: Path, layer: Layer) -> None:
    """Write a table with a column ``geometry`` (GeoParquet 1.1, WKB) and the columns of the layer."""
    table: dict[str, pa.Array] = {"geometry": pa.array(list(map(rectangle, layer.bounds.tolist())), pa.binary())}
    for column in layer.columns:
        text = pa.string() if isinstance(column.data, list) else None
        table[column.name] = pa.array(column.data, type=text, from_pandas=True)  # NaN is no value
    about = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {
            "encoding": "WKB", "geometry_types": ["Polygon"], "crs": _projjson(layer.crs),
            "orientation": "counterclockwise", "bbox": list(layer.extent),
        }},
    }  # fmt: skip
    pq.write_table(pa.table(table).replace_schema_metadata({"geo": json.dumps(about)}), path)


def write_geojson(path: Path, layer: Layer) -> None:
    """Write rectangles in longitude and latitude (RFC 7946), one feature a line."""
    names = [column.name for column in layer.columns]
    rows = zip(*(column.plain() for column in layer.columns), strict=True)
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{"type": "FeatureCollection", "features": [\n')
        between = ""
        for ring, row in zip(_rings(layer), rows, strict=True):
            values = (round(value, _SHARES) if isinstance(value, float) else value for value in row)
            feature = {
                "type": "Feature", "geometry": _geometry(ring),
                "properties": dict(zip(names, values, strict=True)),
            }  # fmt: skip
            stream.write(between + json.dumps(feature, allow_nan=False))
            between = ",\n"
        stream.write("\n]}\n")


def _geometry(ring: list[list[float]]) -> dict[str, object]:
    """Make a polygon, or two of a ring that crosses the 180th meridian; one of a ring that only touches it."""
    longitudes = [x for x, _ in ring]
    if max(longitudes) - min(longitudes) <= 180:
        return {"type": "Polygon", "coordinates": [ring]}
    east = [[x % 360, y] for x, y in ring]
    halves = [_half(east, -1), [[x - 360, y] for x, y in _half(east, 1)]]
    areas = [half for half in halves if len({(x, y) for x, y in half}) > 2]
    if len(areas) == 1:
        return {"type": "Polygon", "coordinates": areas}
    return {"type": "MultiPolygon", "coordinates": [[half] for half in areas]}


def _half(ring: list[list[float]], side: int) -> list[list[float]]:
    """Cut a ring at the 180th meridian, and give the side with smaller (-1) or larger (1) longitudes."""
    half = []
    for (x, y), (other, above) in pairwise(ring):
        if side * (x - 180) >= 0:
            half.append([x, y])
        if (x - 180) * (other - 180) < 0:
            half.append([180.0, round(y + (180 - x) / (other - x) * (above - y), _DEGREES)])
    return [*half, *half[:1]]


def _rings(layer: Layer) -> list[list[list[float]]]:
    """Corners of each rectangle in longitude and latitude, the first one repeated."""
    from rasterio.warp import transform

    x, y = layer.bounds[:, [0, 2, 2, 0, 0]].ravel(), layer.bounds[:, [1, 1, 3, 3, 1]].ravel()
    longitude, latitude = transform(layer.crs, "EPSG:4326", x, y)
    corners = np.round(np.stack([longitude, latitude], axis=1), _DEGREES).reshape(-1, 5, 2)
    rings: list[list[list[float]]] = corners.tolist()
    return rings


def _projjson(wkt: str) -> object:
    """Give a CRS as GeoParquet holds it; None says that it is not known."""
    if not wkt:
        return None
    from rasterio.crs import CRS

    return CRS.from_wkt(wkt).to_dict(projjson=True)
