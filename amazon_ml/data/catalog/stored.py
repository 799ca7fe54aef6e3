"""Stores a catalog as an Arrow file, which each process of a training maps: all of them share one copy in memory."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from amazon_ml.data.catalog.arrow import text_array
from amazon_ml.data.catalog.catalog import Catalog
from amazon_ml.data.readers.named import named_from
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot, TagSet
from amazon_ml.runtime.files import atomic_write
from amazon_ml.runtime.regular_files import check_regular

#: Key of the description in the schema of the file.
_ABOUT = b"amazon_ml"
_TEXTS = ("image_name", "path", "tif", "tags")


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Write a catalog for `map_catalog`: labelled tiles in one batch of the file, the others in a second.

    Parameters
    ----------
    path
        The file. One of its name is replaced, and stays as it was for processes that have mapped it.
    catalog
        The tiles.
    """
    tags, tested = len(catalog.tags), len(catalog.tested)
    about = {
        "tags": asdict(catalog.tags), "rgb_source": catalog.rgb_source, "tested": tested, "split": catalog.split,
        "source": None if catalog.source is None else asdict(catalog.source), "valid": catalog.valid is not None,
    }  # fmt: skip
    schema = pa.schema(
        [*((name, pa.large_string()) for name in _TEXTS), ("line", pa.int64()), ("valid", pa.uint8()),
         ("targets", pa.binary(tags))], metadata={_ABOUT: json.dumps(about).encode()},
    )  # fmt: skip
    others = len(catalog.unlabelled)
    untagged = np.zeros((others - tested, tags), dtype=np.uint8)
    unlabelled = catalog.unlabelled.assign(
        tags=[*catalog.tested["tags"], *[""] * len(untagged)], line=[*catalog.tested["line"], *[0] * len(untagged)]
    )
    parts = [
        (catalog.labelled, catalog.valid, catalog.targets),
        (unlabelled, None, np.concatenate([catalog.tested_targets.reshape(tested, tags), untagged])),
    ]
    with atomic_write(path) as temporary, pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
        for tiles, valid, targets in parts:
            texts = [text_array(tiles[name]) for name in _TEXTS]
            lines = pa.array(tiles["line"].to_numpy(dtype=np.int64))
            marks = pa.array(np.zeros(len(tiles), dtype=np.uint8) if valid is None else valid.astype(np.uint8))
            encoded = pa.Array.from_buffers(
                pa.binary(tags), len(tiles), [None, pa.py_buffer(np.ascontiguousarray(targets))]
            )
            out.write_batch(pa.record_batch([*texts, lines, marks, encoded], schema=schema))


def map_catalog(path: Path) -> Catalog:
    """Map a catalog that `write_catalog` wrote: its texts and targets stay in the file, and are read as they are used.

    Raises
    ------
    InputError
        If the file is missing, or holds something else.
    """
    check_regular(path)
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        about = json.loads(file.schema.metadata[_ABOUT])
        labelled, unlabelled = file.get_batch(0), file.get_batch(1)
        tags = TagSet(**{key: _tuples(value) for key, value in about["tags"].items()})
        source = None if about["source"] is None else named_from(about["source"])
        tested = unlabelled.slice(0, about["tested"])
        return Catalog(
            tags=tags,
            labelled=_frame(labelled, (*_TEXTS, "line")),
            targets=_targets(labelled),
            unlabelled=_frame(unlabelled, _TEXTS[:3]),
            rgb_source=about["rgb_source"],
            source=source,
            valid=labelled["valid"].to_numpy().astype(bool) if about["valid"] else None,
            tested=_frame(tested, (*_TEXTS, "line")),
            tested_targets=_targets(tested),
            split=about["split"],
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
        raise InputError(f"the file does not hold a catalog: {error}", file=path, remedy="delete it") from None


def _frame(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pd.DataFrame:
    """Give some columns as a table; pandas takes the texts as they lie in the file."""
    return cast(pd.DataFrame, batch.select(list(columns)).to_pandas(split_blocks=True))


def _targets(batch: pa.RecordBatch) -> MultiHot:
    column = batch["targets"]
    width, start = column.type.byte_width, column.offset
    flat = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8)
    return cast(MultiHot, flat[start * width : (start + len(column)) * width].reshape(len(column), width))


def _tuples(value: Any) -> Any:
    """Turn the lists of JSON into the tuples of a tag list."""
    if isinstance(value, dict):
        return {key: tuple(names) for key, names in value.items()}
    return tuple(value)
