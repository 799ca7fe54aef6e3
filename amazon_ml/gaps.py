"""Values that an array or a table lacks: masked ones, and empty cells."""

from typing import Any

import numpy as np


def describe_gaps(values: Any) -> str:
    """Say how many values of a masked array are masked, or how many cells of a table are empty; nothing if none are.

    As an array of numbers, masked values would be what lies under the mask.
    """
    if np.ma.is_masked(values):
        return f"{int(np.ma.getmaskarray(values).sum()):,} values are masked, and a mask cannot be used here"
    empty = int(np.asarray(values.isna()).sum()) if hasattr(values, "isna") else 0  # of pandas
    return f"{empty:,} cells of the table are empty" if empty else ""
