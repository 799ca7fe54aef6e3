"""Columns of text as one array of Arrow."""

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]


def text_array(texts: "pd.Series[str]") -> pa.LargeStringArray:
    """Give a column of text as one array; it is not copied where pandas holds one of this kind."""
    array = pa.array(texts, from_pandas=True)
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    # pandas mixes offsets of 32 and 64 bits where it joins tables.
    wide = [chunk.cast(pa.large_string()) for chunk in chunks]
    if len(wide) == 1:
        return wide[0]
    return pa.concat_arrays(wide) if wide else pa.array([], pa.large_string())
