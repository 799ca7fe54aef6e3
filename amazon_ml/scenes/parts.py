"""Finished strips of a scene in the output folder, so that a call that was killed goes on where it stopped."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.files import atomic_write, read_json, write_json
from amazon_ml.runtime.locks import locked

_REQUEST, _LOCK, _PARTS, _ENGINE = "request.json", "lock", "strip-*.npz", "engine.json"


@dataclass(frozen=True)
class Part:
    """Some rows of windows.

    Parameters
    ----------
    p
        Probabilities, float32 of shape (rows, columns, tags), NaN where there are none.
    valid
        Share of the pixels with data, float32 of shape (rows, columns).
    picture
        Rows of the picture of the scene that begin in these rows: red, green, blue and opacity.
    """

    p: npt.NDArray[np.float32]
    valid: npt.NDArray[np.float32]
    picture: npt.NDArray[np.uint8]


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

    def is_begun(self) -> bool:
        """Whether the folder holds the beginning of this request."""
        return self.folder is not None and self._recorded(self.folder) == self.request

    @property
    def engine(self) -> Path | None:
        """The file with the engine and the precision of the parts."""
        return None if self.folder is None else self.folder / _ENGINE

    def has_parts(self) -> bool:
        """Whether parts of this request are there."""
        return self.folder is not None and self.is_begun() and any(self.folder.glob(_PARTS))

    @contextmanager
    def begun(self, *, overwrite: bool) -> Iterator[None]:
        """Prepare the folder, and lock it; it is removed at the end without an error.

        Raises
        ------
        InputError
            If it holds parts of another request, without `overwrite`; if it is another folder; or if another process
            uses it.
        """
        if self.folder is None:
            yield
            return
        if not self.is_begun():
            self._check(overwrite)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"cannot write {self.folder}: {error.strerror}") from error
        with locked(self.folder / _LOCK, f"another process tags this scene into {self.folder.parent}"):
            if not self.is_begun():
                for part in (*self.folder.glob(_PARTS), self.folder / _ENGINE):
                    part.unlink(missing_ok=True)
                write_json(self.folder / _REQUEST, {"request": self.request})
            yield
            shutil.rmtree(self.folder)

    def _check(self, overwrite: bool) -> None:
        """Check that the folder may be filled with parts of this request."""
        if self.folder is None or not os.path.lexists(self.folder):
            return
        ours = (_REQUEST, _LOCK, _ENGINE)
        if self.folder.is_symlink() or not self.folder.is_dir() or any(
            path.name not in ours and not path.match(_PARTS) and not path.match(f".{_PARTS}.*.part")
            for path in self.folder.iterdir()
        ):  # fmt: skip
            raise InputError("the folder is not one that this command made", file=self.folder, option="out",
                             remedy="name another folder")  # fmt: skip
        if not overwrite and any(self.folder.glob(_PARTS)):
            raise InputError(
                "the folder holds the beginning of a call with another scene, run or option", file=self.folder,
                option="out", remedy="name another folder, or start anew with `overwrite`",
            )  # fmt: skip

    def read(self, number: int, shape: tuple[int, ...], picture: tuple[int, ...]) -> Part | None:
        """Read a part; None where it is missing, damaged, or of other shapes of probabilities and picture."""
        if self.folder is None:
            return None
        try:
            with np.load(self._file(number), allow_pickle=False) as stored:
                part = Part(stored["p"], stored["valid"], stored["picture"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        fits = (
            part.p.shape == shape
            and part.valid.shape == shape[:2]
            and part.p.dtype == part.valid.dtype == np.float32
            and part.picture.shape == picture
            and part.picture.dtype == np.uint8
        )
        return part if fits else None

    def write(self, number: int, part: Part) -> None:
        """Store a part."""
        if self.folder is not None:
            with atomic_write(self._file(number)) as temporary, temporary.open("wb") as stream:
                np.savez(stream, p=part.p, valid=part.valid, picture=part.picture)

    def _file(self, number: int) -> Path:
        if self.folder is None:
            raise ValueError("there is no folder")
        return self.folder / f"strip-{number:06}.npz"

    def _recorded(self, folder: Path) -> str:
        try:
            return str(read_json(folder / _REQUEST)["request"])
        except (InputError, LookupError, TypeError):
            return ""
