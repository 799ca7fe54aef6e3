"""Keeps the latest results of a function of arrays, for the next call with the same content."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

_Result = TypeVar("_Result")

#: Results that are kept: those of all tiles, and of each of five cross-fits.
_KEPT = 8


class Latest(Generic[_Result]):
    """The latest results of a function, which several callers share and none may change."""

    def __init__(self) -> None:
        self._results: dict[bytes, _Result] = {}
        self._lock = threading.Lock()

    def get(
        self, arrays: Sequence[npt.NDArray[np.generic]], settings: tuple[object, ...], compute: Callable[[], _Result]
    ) -> _Result:
        """Return the result for these arrays and settings: a kept one, or else that of `compute`.

        Parameters
        ----------
        arrays
            Arrays of the same types in each call.
        settings
            What else the result depends on.
        compute
            Computes the result.
        """
        content = hashlib.sha256(repr(([array.shape for array in arrays], settings)).encode())
        for array in arrays:
            content.update(np.ascontiguousarray(array).data)
        key = content.digest()
        with self._lock:
            found = self._results.pop(key, None)
        if found is None:
            found = compute()
        with self._lock:
            self._results[key] = found
            while len(self._results) > _KEPT:
                del self._results[next(iter(self._results))]
        return found
