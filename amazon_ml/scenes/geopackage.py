"""Writes a layer as a GeoPackage: one table of rectangles with an index and styles.

The format is SQLite, which Python brings; its tables are those of GeoPackage 1.3 (OGC 12-128r17).
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from amazon_ml.scenes.geometry import package_rectangle
from amazon_ml.scenes.layer import Layer
from amazon_ml.scenes.placing import name_crs
from amazon_ml.scenes.style import column_style
from amazon_ml.scenes.vectors import quoted

GEOMETRY = "geom"
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


def write_geopackage(path: Path, layer: Layer) -> None:
    """Write a layer as a table of that name, with its styles.

    Parameters
    ----------
    path
        File to write; an existing one must be empty.
    layer
        The layer. No column may have the name ``fid`` or ``geom``.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    table = quoted(layer.name)
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode = OFF")  # the file is temporary; a journal would lie beside it after a crash
        base.executescript(_SCHEMA)
        base.execute("BEGIN")
        srs = _write_srs(base, layer.crs)
        named = ", ".join(f"{quoted(column.name)} {column.kind}" for column in layer.columns)
        base.execute(
            f"CREATE TABLE {table} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, {GEOMETRY} POLYGON, {named})"
        )
        shapes = (package_rectangle(one, srs) for one in layer.bounds.tolist())
        rows = zip(range(1, len(layer.bounds) + 1), shapes, *(one.plain() for one in layer.columns), strict=True)
        marks = ", ".join("?" * (2 + len(layer.columns)))
        base.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        _describe(base, layer, srs, now)
        _write_index(base, layer)
        _write_styles(base, layer, now)
        base.execute("COMMIT")


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


def _describe(base: sqlite3.Connection, layer: Layer, srs: int, now: str) -> None:
    base.execute(
        "INSERT INTO gpkg_contents VALUES (?, 'features', ?, '', ?, ?, ?, ?, ?, ?)",
        (layer.name, layer.name, now, *layer.extent, srs),
    )
    base.execute("INSERT INTO gpkg_geometry_columns VALUES (?, ?, 'POLYGON', ?, 0, 0)", (layer.name, GEOMETRY, srs))
    base.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change) VALUES "
        "('layer_styles', 'attributes', 'layer_styles', ?)",
        (now,),
    )


def _write_index(base: sqlite3.Connection, layer: Layer) -> None:
    """Write the spatial index; a SQLite without it leaves it out, and programs read the table as a whole."""
    index = f"rtree_{layer.name}_{GEOMETRY}"
    try:
        base.execute(f"CREATE VIRTUAL TABLE {index} USING rtree(id, minx, maxx, miny, maxy)")
    except sqlite3.OperationalError:
        return
    places = enumerate(layer.bounds[:, [0, 2, 1, 3]].tolist(), start=1)
    base.executemany(f"INSERT INTO {index} VALUES (?, ?, ?, ?, ?)", ((fid, *place) for fid, place in places))
    base.execute(
        "INSERT INTO gpkg_extensions VALUES (?, ?, 'gpkg_rtree_index', ?, 'write-only')", (layer.name, GEOMETRY, _INDEX)
    )
    for trigger in _TRIGGERS.format(t=layer.name, c=GEOMETRY).split("END;"):
        if trigger.strip():
            base.execute(f"{trigger}END")


def _write_styles(base: sqlite3.Connection, layer: Layer, now: str) -> None:
    """Write the styles; QGIS shows the first, and offers the others by their titles."""
    base.executemany(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
        "styleQML, styleSLD, useAsDefault, description, owner, update_time) "
        "VALUES ('', '', ?, ?, ?, ?, '', ?, ?, '', ?)",
        [
            (layer.name, GEOMETRY, title, column_style(column), at == 0, f"Probability: {title}", now)
            for at, (column, title) in enumerate(layer.styles.items())
        ],
    )
