"""Stores a reader of tiles as JSON, ``bands.json`` of a run, and reads it back."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.bands import (
    Expected,
    TileReader,
    check_max_pixels,
    check_order,
    name_bands,
    parse_bands,
)
from amazon_ml.data.readers.named import named_from
from amazon_ml.data.readers.scaling import HIGHEST
from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json, write_json


def write_reader(path: Path, reader: TileReader) -> None:
    """Store a reader, so that later calls read tiles in the same way."""
    write_json(path, describe_reader(reader))


def describe_reader(reader: TileReader) -> dict[str, Any]:
    """Describe a reader for JSON, as `reader_from` takes it; the type of levels stands there if it is not 8 bits."""
    described = asdict(reader)
    if reader.dtype == "uint8":
        del described["dtype"]
    return described


def read_reader(path: Path) -> TileReader:
    """Read a reader that `write_reader` stored."""
    stored = read_json(path)
    try:
        return reader_from(stored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the file does not describe a reader of tiles: {error!r}", file=path) from None


def reader_from(stored: Any) -> TileReader:
    """Make a reader from the JSON of its ``dataclasses.asdict``; a `ValueError` if it describes none."""
    limits = {letter: (float(low), float(high)) for letter, (low, high) in stored["limits"].items()}
    reader = TileReader(
        tuple(stored["bands"]), limits, stored["tif_order"], stored["rgb_source"],
        _expected_from(stored["expected"]) if "expected" in stored else Expected(),
        int(stored.get("max_pixels", MAX_PIXELS)), named_from(stored["source"]) if stored.get("source") else None,
        stored.get("dtype", "uint8"),
    )  # fmt: skip
    if reader.dtype not in HIGHEST:
        raise ValueError(f"levels of {reader.dtype}")
    try:
        known = parse_bands(reader.bands if reader.source else name_bands(reader.bands))
        check_order(reader.tif_order, limits)
        check_max_pixels(reader.max_pixels)
    except InputError as error:
        raise ValueError(str(error)) from None
    if reader.source and reader.source.inputs.keys() != set(reader.bands):
        raise ValueError(f"bands {reader.bands} of the inputs {list(reader.source.inputs)}")
    if known != reader.bands or reader.rgb_source not in ("jpg", "tif"):
        raise ValueError(f"bands {reader.bands} of {reader.rgb_source} files")
    return reader


def _expected_from(stored: Any) -> Expected:
    ranges = {
        letter: (float(low), float(high), float(share)) for letter, (low, high, share) in stored["ranges"].items()
    }
    nodata = tuple(float(value) for value in stored["nodata"])
    return Expected(str(stored["image"]), str(stored["tif"]), str(stored["declared"]), ranges, nodata)
