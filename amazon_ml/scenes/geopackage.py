"""Writes the cells of a scene as a GeoPackage: one table of rectangles with an index, and a style for each tag.

The format is SQLite, which Python brings; its tables are those of GeoPackage 1.3 (OGC 12-128r17).
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from amazon_ml.scenes.geometry import Bounds, package_rectangle
from amazon_ml.scenes.placing import name_crs
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.style import tag_style
from amazon_ml.scenes.vectors import quoted

TABLE, GEOMETRY = "cells", "geom"
#: Names of columns beside those of tags.
_FIXED = ("fid", GEOMETRY, "row", "column", "valid", "tags")
#: Number of a CRS that no register knows.
_OWN_SRS = 100_000
_UNDEFINED = (
    ("Undefined cartesian", -1, "NONE", -1, "undefined"),
    ("Undefined geographic", 0, "NONE", 0, "undefined"),
)
_WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]]'
)
_SCHEMA = """
PRAGMA application_id = 0x47504B47;
PRAGMA user_version = 10300;
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '', last_change DATETIME NOT NULL, min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,
    srs_id INTEGER, CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
    geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
    CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
    CONSTRAINT uk_gc_table_name UNIQUE (table_name),
    CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
    CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL,
    definition TEXT NOT NULL, scope TEXT NOT NULL,
    CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name));
CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT, f_table_schema TEXT,
    f_table_name TEXT, f_geometry_column TEXT, styleName TEXT, styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN,
    description TEXT, owner TEXT, ui TEXT, update_time DATETIME);
"""
_INDEX = "http://www.geopackage.org/spec130/#extension_rtree"
#: Statements that keep the index right when a program changes the table, as the standard words them.
_TRIGGERS = """
CREATE TRIGGER rtree_{t}_{c}_insert AFTER INSERT ON {t} WHEN (new.{c} NOT NULL AND NOT ST_IsEmpty(NEW.{c}))
BEGIN INSERT OR REPLACE INTO rtree_{t}_{c} VALUES (NEW.fid, ST_MinX(NEW.{c}), ST_MaxX(NEW.{c}), ST_MinY(NEW.{c}),
    ST_MaxY(NEW.{c})); END;
CREATE TRIGGER rtree_{t}_{c}_update1 AFTER UPDATE OF {c} ON {t}
WHEN OLD.fid = NEW.fid AND (NEW.{c} NOTNULL AND NOT ST_IsEmpty(NEW.{c}))
BEGIN INSERT OR REPLACE INTO rtree_{t}_{c} VALUES (NEW.fid, ST_MinX(NEW.{c}), ST_MaxX(NEW.{c}), ST_MinY(NEW.{c}),
    ST_MaxY(NEW.{c})); END;
CREATE TRIGGER rtree_{t}_{c}_update2 AFTER UPDATE OF {c} ON {t}
WHEN OLD.fid = NEW.fid AND (NEW.{c} ISNULL OR ST_IsEmpty(NEW.{c}))
BEGIN DELETE FROM rtree_{t}_{c} WHERE id = OLD.fid; END;
CREATE TRIGGER rtree_{t}_{c}_update3 AFTER UPDATE ON {t}
WHEN OLD.fid != NEW.fid AND (NEW.{c} NOTNULL AND NOT ST_IsEmpty(NEW.{c}))
BEGIN DELETE FROM rtree_{t}_{c} WHERE id = OLD.fid;
    INSERT OR REPLACE INTO rtree_{t}_{c} VALUES (NEW.fid, ST_MinX(NEW.{c}), ST_MaxX(NEW.{c}), ST_MinY(NEW.{c}),
    ST_MaxY(NEW.{c})); END;
CREATE TRIGGER rtree_{t}_{c}_update4 AFTER UPDATE ON {t}
WHEN OLD.fid != NEW.fid AND (NEW.{c} ISNULL OR ST_IsEmpty(NEW.{c}))
BEGIN DELETE FROM rtree_{t}_{c} WHERE id IN (OLD.fid, NEW.fid); END;
CREATE TRIGGER rtree_{t}_{c}_delete AFTER DELETE ON {t} WHEN old.{c} NOT NULL
BEGIN DELETE FROM rtree_{t}_{c} WHERE id = OLD.fid; END;
"""


def write_geopackage(path: Path, result: SceneResult) -> None:
    """Write the cells of a scene.

    The table ``cells`` has a column ``p_…`` for the probability of each tag (NULL where a window has too few pixels
    with data), ``tags`` by the decision rule, separated by spaces, ``valid``, the share of the window's pixels with
    data, and ``row`` and ``column`` of the window.

    Parameters
    ----------
    path
        File to write; an existing one must be empty.
    result
        The cells.
    """
    columns = probability_columns(result.tags)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.executescript(_SCHEMA)
        base.execute("BEGIN")
        srs = _write_srs(base, result.grid.crs)
        named = ", ".join(f"{quoted(column)} REAL" for column in columns)
        base.execute(
            f"CREATE TABLE {TABLE} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, {GEOMETRY} POLYGON, "
            f'"row" INTEGER, "column" INTEGER, valid REAL, tags TEXT, {named})'
        )
        marks = ", ".join("?" * (len(_FIXED) + len(columns)))
        base.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", _rows(result, srs, len(columns)))
        _describe(base, _bounds(result), srs, now)
        _write_index(base, result)
        _write_styles(base, result, columns, now)
        base.execute("COMMIT")


def probability_columns(tags: Sequence[str]) -> list[str]:
    """Name the columns of the tags' probabilities; names that differ only in case get a number, as SQL needs it."""
    taken, columns = set(_FIXED), []
    for tag in tags:
        name, number = f"p_{tag}", 2
        while name.lower() in taken:
            name, number = f"p_{tag}_{number}", number + 1
        taken.add(name.lower())
        columns.append(name)
    return columns


def _rows(result: SceneResult, srs: int, tags: int) -> Iterator[tuple[object, ...]]:
    for fid, cell in enumerate(result.cells(), start=1):
        p: tuple[float | None, ...] = cell.p or (None,) * tags
        named = None if cell.p is None else " ".join(cell.tags)
        yield fid, package_rectangle(cell.bounds, srs), cell.row, cell.column, cell.valid, named, *p


def _write_srs(base: sqlite3.Connection, wkt: str) -> int:
    """Write the coordinate reference systems; return the number of that of the cells."""
    rows = [*_UNDEFINED, ("WGS 84", 4326, "EPSG", 4326, _WGS84)]
    srs = -1
    if wkt:
        from rasterio.crs import CRS

        code = CRS.from_wkt(wkt).to_authority()
        known = code is not None and code[0] == "EPSG"
        srs = int(code[1]) if known else _OWN_SRS
        if srs != 4326:
            rows.append((name_crs(wkt), srs, "EPSG" if known else "NONE", srs, wkt))
    base.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)", rows)
    return srs


def _bounds(result: SceneResult) -> Bounds:
    grid = result.grid
    return grid.left, grid.y(grid.height), grid.x(grid.width), grid.top


def _describe(base: sqlite3.Connection, bounds: Bounds, srs: int, now: str) -> None:
    left, bottom, right, top = bounds
    base.execute("INSERT INTO gpkg_contents VALUES (?, 'features', ?, '', ?, ?, ?, ?, ?, ?)",
                 (TABLE, TABLE, now, left, bottom, right, top, srs))  # fmt: skip
    base.execute("INSERT INTO gpkg_geometry_columns VALUES (?, ?, 'POLYGON', ?, 0, 0)", (TABLE, GEOMETRY, srs))
    base.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change) VALUES "
        "('layer_styles', 'attributes', 'layer_styles', ?)", (now,)
    )  # fmt: skip


def _write_index(base: sqlite3.Connection, result: SceneResult) -> None:
    """Write the spatial index; a SQLite without it leaves it out, and programs read the table as a whole."""
    index = f"rtree_{TABLE}_{GEOMETRY}"
    try:
        base.execute(f"CREATE VIRTUAL TABLE {index} USING rtree(id, minx, maxx, miny, maxy)")
    except sqlite3.OperationalError:
        return
    places = ((fid, b[0], b[2], b[1], b[3]) for fid, b in enumerate((one.bounds for one in result.cells()), start=1))
    base.executemany(f"INSERT INTO {index} VALUES (?, ?, ?, ?, ?)", places)
    base.execute("INSERT INTO gpkg_extensions VALUES (?, ?, 'gpkg_rtree_index', ?, 'write-only')",
                 (TABLE, GEOMETRY, _INDEX))  # fmt: skip
    for trigger in _TRIGGERS.format(t=TABLE, c=GEOMETRY).split("END;"):
        if trigger.strip():
            base.execute(f"{trigger}END")


def _write_styles(base: sqlite3.Connection, result: SceneResult, columns: Sequence[str], now: str) -> None:
    """Write a style for each tag; QGIS shows the first, and offers the others by their names."""
    known = result.p[result.known]
    spread = known.std(axis=0).tolist() if len(known) else [0.0] * len(columns)
    shown = spread.index(max(spread))  # the tag whose probabilities differ most says most about the scene
    base.executemany(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
        "styleQML, styleSLD, useAsDefault, description, owner, update_time) "
        "VALUES ('', '', ?, ?, ?, ?, '', ?, ?, '', ?)",
        [
            (TABLE, GEOMETRY, tag, tag_style(column), at == shown, f"Probability of {tag}", now)
            for at, (tag, column) in enumerate(zip(result.tags, columns, strict=True))
        ],
    )
