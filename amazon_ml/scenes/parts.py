"""Finished strips of a scene in the output folder, so that a call that was killed goes on where it stopped."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError
from amazon_ml.runtime.files import atomic_write, read_json, write_json

_REQUEST = "request.json"


@dataclass(frozen=True)
class Part:
    """Some rows of windows.

    Parameters
    ----------
    p
        Probabilities, float32 of shape (rows, columns, tags), NaN where there are none.
    valid
        Share of the pixels with data, float32 of shape (rows, columns).
    """

    p: npt.NDArray[np.float32]
    valid: npt.NDArray[np.float32]


def hash_request(request: Mapping[str, object]) -> str:
    """SHA-256 of all that the probabilities of a scene depend on."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class PartStore:
    """The folder of the parts of one request; without a folder, nothing is stored.

    Parameters
    ----------
    folder
        The folder.
    request
        Hash of the request, see `hash_request`.
    """

    folder: Path | None
    request: str

    def begin(self, *, overwrite: bool) -> bool:
        """Prepare the folder; return whether it holds parts of this request.

        Raises
        ------
        InputError
            If it holds parts of another request, without `overwrite`.
        """
        if self.folder is None:
            return False
        record = self.folder / _REQUEST
        if record.is_file():
            if self._recorded(record) == self.request:
                return True
            if not overwrite:
                raise InputError(
                    "the folder holds the beginning of a call with another scene, run or option", file=self.folder,
                    option="out", remedy="name another folder, or start anew with `overwrite`",
                )  # fmt: skip
        elif self.folder.exists() and not self.folder.is_symlink() and any(self.folder.iterdir()):
            raise InputError("the folder is not one that this command made", file=self.folder, option="out",
                             remedy="name another folder")  # fmt: skip
        self.remove()
        write_json(record, {"request": self.request})
        return False

    def read(self, number: int, shape: tuple[int, ...]) -> Part | None:
        """Read a part; None where it is missing, damaged or of another shape."""
        if self.folder is None:
            return None
        try:
            with np.load(self._file(number), allow_pickle=False) as stored:
                part = Part(stored["p"], stored["valid"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        fits = (
            part.p.shape == shape and part.valid.shape == shape[:2] and part.p.dtype == part.valid.dtype == np.float32
        )
        return part if fits else None

    def write(self, number: int, part: Part) -> None:
        """Store a part."""
        if self.folder is not None:
            with atomic_write(self._file(number)) as temporary, temporary.open("wb") as stream:
                np.savez(stream, p=part.p, valid=part.valid)

    def remove(self) -> None:
        """Remove all parts."""
        if self.folder is not None and self.folder.is_symlink():
            self.folder.unlink()
        elif self.folder is not None and self.folder.exists():
            shutil.rmtree(self.folder)

    def _file(self, number: int) -> Path:
        if self.folder is None:
            raise ValueError("there is no folder")
        return self.folder / f"strip-{number:06}.npz"

    def _recorded(self, record: Path) -> str:
        try:
            return str(read_json(record)["request"])
        except (InputError, LookupError, TypeError):
            return ""
