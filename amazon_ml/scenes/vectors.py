"""Reads points and polygons with their properties from GeoJSON and GeoPackage files."""

import json
import logging
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from amazon_ml.errors import InputError, listed
from amazon_ml.runtime.files import read_json
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.scenes.journals import CLOSE, pending
from amazon_ml.scenes.projecting import Points, project

log = logging.getLogger(__name__)

#: A polygon: its outline, and the outlines of its holes; each of shape (points, 2).
Polygon = tuple[Points, ...]

#: Largest file in bytes, and number of features.
_LARGEST, _MOST = 2**28, 1_000_000
_DEGREES = 4326
_CHECK = "check the coordinate reference system of the file; a GeoJSON without one is in longitude and latitude"
#: Numbers of geometries in well-known binary.
_POINT, _POLYGON, _MULTIPOINT, _MULTIPOLYGON = 1, 3, 4, 6


@dataclass(frozen=True)
class Feature:
    """Points or polygons with properties.

    Parameters
    ----------
    points
        Points of shape (n, 2).
    polygons
        Polygons.
    properties
        Text of each property, without those that are empty.
    number
        Its number in the file, from 1; 0 where it is not from a file.
    """

    points: Points
    polygons: tuple[Polygon, ...]
    properties: Mapping[str, str]
    number: int = 0


@dataclass(frozen=True)
class Features:
    """The features of a file.

    Parameters
    ----------
    path
        The file.
    crs
        Their coordinate reference system as WKT.
    features
        The features.
    without_geometry
        Numbers of the features that were left out, since they have no geometry.
    """

    path: Path
    crs: str
    features: tuple[Feature, ...]
    without_geometry: tuple[int, ...] = ()

    def projected(self, crs: str) -> "Features":
        """Convert the coordinates to another CRS; they stay where the CRS is empty (pixel coordinates)."""
        if crs in ("", self.crs):
            return self
        moved = [
            replace(
                one, points=_moved(one.points, self, crs),
                polygons=tuple(tuple(_moved(ring, self, crs) for ring in polygon) for polygon in one.polygons),
            )
            for one in self.features
        ]  # fmt: skip
        return replace(self, crs=crs, features=tuple(moved))


def read_features(path: Path, option: str) -> Features:
    """Read the points and polygons of a file.

    Parameters
    ----------
    path
        GeoJSON (``.geojson``, ``.json``) or GeoPackage (``.gpkg``), whose first table of features is read.
    option
        Option that names the file, for messages.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another format, or holds lines or no feature.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], Features]] = {
        ".gpkg": _read_geopackage, ".geojson": _read_geojson, ".json": _read_geojson,
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError("this is neither a GeoJSON nor a GeoPackage", file=path, option=option,
                         remedy=f"name a file that ends in {', '.join(readers)}")  # fmt: skip
    check_regular(path)
    if not path.exists():
        raise InputError("there is no such file", file=path, option=option)
    if path.stat().st_size > _LARGEST:
        raise InputError(f"the file has more than {_LARGEST:,} bytes", file=path, option=option)
    try:
        features = reader(path)
    except (LookupError, TypeError, ValueError, AttributeError, struct.error, sqlite3.Error) as error:
        if isinstance(error, InputError):
            raise
        remedy = CLOSE if isinstance(error, sqlite3.Error) and pending(path.resolve()) else ""
        raise InputError(f"the file cannot be read ({error})", file=path, option=option, remedy=remedy) from None
    features = replace(features, features=tuple(map(_with_area, features.features)))
    empty = [one.number for one in features.features if not len(one.points) and not one.polygons]
    if lacking := sorted({*features.without_geometry, *empty}):
        log.warning("%s: features without geometry, or with one without area, are not used (%d): %s", path,
                    len(lacking), listed([f"feature {number}" for number in lacking]))  # fmt: skip
    if not features.features:
        raise InputError("the file holds no point and no polygon", file=path, option=option)
    if len(features.features) > _MOST:
        raise InputError(f"the file holds more than {_MOST:,} features", file=path, option=option)
    return features


def _with_area(feature: Feature) -> Feature:
    """Leave out rings of fewer than three points, which have no area, and polygons whose outline is one."""
    rings = ([(ring, len(np.unique(ring, axis=0)) > 2) for ring in polygon] for polygon in feature.polygons)
    kept = (tuple(ring for ring, fits in polygon if fits) for polygon in rings if polygon and polygon[0][1])
    return replace(feature, polygons=tuple(kept))


def crs_of(code: int) -> str:
    """Give the WKT of an EPSG code."""
    from rasterio.crs import CRS

    return str(CRS.from_epsg(code).to_wkt())


def _moved(points: Points, features: Features, crs: str) -> Points:
    try:
        moved = project(points, features.crs, crs)
    except ValueError as error:
        raise InputError(f"the coordinates cannot be projected ({error})", file=features.path, remedy=_CHECK) from None
    if not np.isfinite(moved).all():
        raise InputError("some coordinates cannot be projected to those of the scene", file=features.path,
                         remedy=_CHECK)  # fmt: skip
    return moved


# ---------------------------------------------------------------- GeoJSON


def _read_geojson(path: Path) -> Features:
    content = read_json(path)
    kind = content["type"]
    entries = content["features"] if kind == "FeatureCollection" else [content]
    features, lacking = [], []
    for number, one in enumerate(entries, start=1):
        geometry = one["geometry"] if one["type"] == "Feature" else one
        if geometry is None:
            lacking.append(number)
            continue
        points, polygons = _from_geojson(geometry)
        features.append(Feature(points, polygons, _texts(one.get("properties") or {}), number))
    return Features(path, _geojson_crs(content), tuple(features), tuple(lacking))


def _geojson_crs(content: Any) -> str:
    """Give the CRS of a GeoJSON: longitude and latitude, or the one that an older file names."""
    from rasterio.crs import CRS

    named = (content.get("crs") or {}).get("properties", {}).get("name")
    if named is None or "CRS84" in named:
        return crs_of(_DEGREES)
    return str(CRS.from_string(named).to_wkt())


def _from_geojson(geometry: Any) -> tuple[Points, tuple[Polygon, ...]]:
    kind, none = geometry["type"], np.zeros((0, 2))
    if kind == "GeometryCollection":
        parts = [_from_geojson(one) for one in geometry["geometries"]]
        return np.concatenate([none, *(points for points, _ in parts)]), tuple(p for _, each in parts for p in each)
    at = geometry["coordinates"]
    if kind in ("Point", "MultiPoint"):
        return _points([at] if kind == "Point" else at), ()
    if kind in ("Polygon", "MultiPolygon"):
        return none, tuple(tuple(_points(ring) for ring in one) for one in ([at] if kind == "Polygon" else at))
    raise ValueError(f"a {kind} is neither a point nor a polygon")


def _points(coordinates: Sequence[Sequence[float]]) -> Points:
    points = np.array([one[:2] for one in coordinates], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a coordinate is not finite")
    return points


def _texts(properties: Mapping[str, object]) -> dict[str, str]:
    plain = {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in properties.items()}
    return {str(name): str(value) for name, value in plain.items() if value is not None}


# ---------------------------------------------------------------- GeoPackage


def _read_geopackage(path: Path) -> Features:
    real = path.resolve()
    # Without locks, a file in a folder that is not writable can be read, too, but what lies beside it is not seen.
    how = "mode=ro" if pending(real) else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"file:{quote(str(real))}?{how}", uri=True)) as base:
        named = "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns ORDER BY table_name"
        table, column, srs = base.execute(named).fetchone()
        crs = _geopackage_crs(base, int(srs))
        features, lacking = [], []
        cursor = base.execute(f"SELECT * FROM {quoted(table)} LIMIT {_MOST + 1}")
        names = [about[0] for about in cursor.description]
        for number, row in enumerate(cursor, start=1):
            values = dict(zip(names, row, strict=True))
            blob = values.pop(column)
            if blob is None:
                lacking.append(number)
                continue
            points, polygons = read_geometry(blob)
            features.append(Feature(points, polygons, _texts(values), number))
    return Features(path, crs, tuple(features), tuple(lacking))


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _geopackage_crs(base: sqlite3.Connection, srs: int) -> str:
    from rasterio.crs import CRS

    asked = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
    organization, code, definition = base.execute(asked, (srs,)).fetchone()
    if str(organization).upper() == "EPSG":
        return crs_of(int(code))
    return str(CRS.from_wkt(definition).to_wkt())


def read_geometry(blob: bytes) -> tuple[Points, tuple[Polygon, ...]]:
    """Read the points and polygons of a geometry as a GeoPackage stores it."""
    if blob[:2] != b"GP":
        raise ValueError("a geometry is not one of a GeoPackage")
    envelope = (0, 32, 48, 48, 64)[(blob[3] >> 1) & 7]
    points, polygons, _ = _from_wkb(blob, 8 + envelope)
    return np.concatenate([np.zeros((0, 2)), *points]), tuple(polygons)


def _from_wkb(blob: bytes, at: int) -> tuple[list[Points], list[Polygon], int]:
    """Read well-known binary at a place; return points, polygons and the place behind it."""
    order = "<" if blob[at] == 1 else ">"
    (code,) = struct.unpack_from(f"{order}I", blob, at + 1)
    at += 5
    extra = {0: 0, 1: 1, 2: 1, 3: 2}[(code & 0xFFFF) // 1000] + bool(code & 0x80000000) + bool(code & 0x40000000)
    kind = (code & 0xFFFF) % 1000
    if kind == _POINT:
        one, at = _ring(blob, at, order, 1, 2 + extra)
        return [one], [], at
    if kind == _POLYGON:
        (count,) = struct.unpack_from(f"{order}I", blob, at)
        at += 4
        rings = []
        for _ in range(count):
            (length,) = struct.unpack_from(f"{order}I", blob, at)
            ring, at = _ring(blob, at + 4, order, length, 2 + extra)
            rings.append(ring)
        return [], [tuple(rings)], at
    if kind in (_MULTIPOINT, _MULTIPOLYGON, 7):
        (count,) = struct.unpack_from(f"{order}I", blob, at)
        at += 4
        points: list[Points] = []
        polygons: list[Polygon] = []
        for _ in range(count):
            more, others, at = _from_wkb(blob, at)
            points += more
            polygons += others
        return points, polygons, at
    raise ValueError(f"a geometry of kind {kind} is neither a point nor a polygon")


def _ring(blob: bytes, at: int, order: str, length: int, axes: int) -> tuple[Points, int]:
    end = at + 8 * axes * length
    if end > len(blob):
        raise ValueError("a geometry is cut short")
    values = np.frombuffer(blob, dtype=f"{order}f8", count=axes * length, offset=at).reshape(length, axes)
    ring = values[:, :2].astype(np.float64)
    if not np.isfinite(ring).all():
        raise ValueError("a coordinate is not finite")
    return ring, end


def shapes(features: Features) -> Iterator[dict[str, object]]:
    """Give each polygon as a plain geometry, as the rasteriser takes it."""
    for one in features.features:
        for polygon in one.polygons:
            yield {"type": "Polygon", "coordinates": [ring.tolist() for ring in polygon]}
