"""Rectangles as well-known binary, for GeoPackage and GeoParquet."""

import struct
from collections.abc import Sequence

_RECTANGLE = struct.Struct("<BIII10d")
#: "GP", version 0, little-endian with an envelope of x and y, number of the CRS, envelope.
_HEADER = struct.Struct("<2sBBi4d")

#: Left, bottom, right and top.
Bounds = Sequence[float]


def rectangle(bounds: Bounds) -> bytes:
    """Well-known binary of a rectangle: left, bottom, right, top; counter-clockwise from the lower left."""
    left, bottom, right, top = bounds
    return _RECTANGLE.pack(1, 3, 1, 5, left, bottom, right, bottom, right, top, left, top, left, bottom)


def package_rectangle(bounds: Bounds, srs: int) -> bytes:
    """Geometry of a rectangle as a GeoPackage stores it."""
    left, bottom, right, top = bounds
    return _HEADER.pack(b"GP", 0, 0b011, srs, left, right, bottom, top) + rectangle(bounds)
