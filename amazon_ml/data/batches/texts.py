"""Texts of many tiles, such as their paths, in memory that loader processes share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from amazon_ml.data.catalog.arrow import text_array


class Texts:
    """Texts by position, in two arrays instead of an object for each.

    A loader process that is forked shares the pages of these arrays, also those that are mapped from a file. It would
    copy the pages of objects, whose counts of references it changes. Processes that are spawned get shared memory.

    Parameters
    ----------
    texts
        The texts; those that pandas holds in Arrow are not copied.
    """

    def __init__(self, texts: "pd.Series[str]") -> None:
        array = text_array(texts)
        _, ends, letters = array.buffers()
        first = array.offset
        self._ends = np.frombuffer(ends, dtype=np.int64)[first : first + len(array) + 1]
        self._letters = np.frombuffer(letters or b"", dtype=np.uint8)
        self._shared: tuple[torch.Tensor, torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, position: int) -> str:
        start, end = self._ends[position], self._ends[position + 1]
        return self._letters[start:end].tobytes().decode()

    def __reduce__(self) -> tuple[Callable[..., "Texts"], tuple[Any, ...]]:
        if self._shared is None:  # once for all processes
            start, end = self._ends[0], self._ends[-1]
            self._shared = _in_shared_memory(self._ends - start), _in_shared_memory(self._letters[start:end])
        return _from_shared, self._shared


def _in_shared_memory(array: npt.NDArray[Any]) -> torch.Tensor:
    shared: torch.Tensor = torch.from_numpy(array.copy()).share_memory_()  # type: ignore[no-untyped-call]
    return shared


def _from_shared(ends: torch.Tensor, letters: torch.Tensor) -> Texts:
    texts = Texts.__new__(Texts)
    texts._shared = ends, letters
    texts._ends, texts._letters = ends.numpy(), letters.numpy()
    return texts
