"""Finished strips of a scene in the output folder, where a call that was killed resumes, and shards are joined.

The folder holds::

    parts/
      request.json        a hash of all that the probabilities depend on
      shards.json         the call, for `scene merge`; only where there are shards
      strip-000003.npz    the rows of windows of one strip; complete or missing
      writing.json        only while the map is written: files of it that lie beside the folder are of this request
      lock                held by a call for the whole scene, and shared by those for its shards
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError, WorkError
from amazon_ml.runtime.files import atomic_write, read_json, write_json
from amazon_ml.runtime.locks import locked

#: How shards are divided.
PLAN = "shards.json"
_REQUEST, _LOCK, _PARTS, _ENGINE, _WRITING = "request.json", "lock", "strip-*.npz", "engine.json", "writing.json"


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
    seen
        Pixels that were looked at for values at the ends of their range, and how many of them have such: int64.
    """

    p: npt.NDArray[np.float32]
    valid: npt.NDArray[np.float32]
    picture: npt.NDArray[np.uint8]
    seen: npt.NDArray[np.int64]


def part_file(folder: Path, number: int) -> Path:
    """Give the file of a part."""
    return folder / f"strip-{number:06}.npz"


def read_plan(folder: Path) -> Any:
    """Read what `PartStore.shared` stored as the plan; None where there is none."""
    return read_json(folder / PLAN) if (folder / PLAN).exists() else None


def hash_request(request: Mapping[str, object]) -> str:
    """SHA-256 of all that the probabilities of a scene depend on."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _is_ours(name: str) -> bool:
    """Whether a file of a folder of parts has one of its names, or a temporary one."""
    path = PurePath(name)
    patterns = (_REQUEST, PLAN, _ENGINE, _WRITING, _PARTS)
    return path.match(_LOCK) or path.match(f"{_LOCK}-*") or any(
        path.match(pattern) or path.match(f".{pattern}.*.part") for pattern in patterns
    )  # fmt: skip


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

    def is_writing(self) -> bool:
        """Whether a call that was stopped had begun to write the map of this request."""
        return self.folder is not None and self.is_begun() and (self.folder / _WRITING).exists()

    def begin_writing(self) -> None:
        """Store that the map is written from now on."""
        if self.folder is not None:
            write_json(self.folder / _WRITING, {})

    @contextmanager
    def begun(self, *, overwrite: bool, anew: bool = True) -> Iterator[None]:
        """Prepare the folder, and lock it; it is removed at the end without an error.

        Parameters
        ----------
        overwrite
            Whether parts of another request are removed.
        anew
            Whether the request may begin here.

        Raises
        ------
        InputError
            If it holds parts of another request, without `overwrite`; if it is another folder; if it is not begun,
            without `anew`; or if another process uses it.
        """
        if self.folder is None:
            yield
            return
        again = "or start anew with `overwrite`"
        if not self.is_begun():
            self._check(again, overwrite=overwrite, anew=anew)
        self._make(self.folder)
        with locked(self.folder / _LOCK, f"another process tags this scene into {self.folder.parent}"):
            if not self.is_begun():
                if not anew:
                    self._drop_remade(self.folder)
                self._check(again, overwrite=overwrite, anew=anew)  # another process may have begun meanwhile
                self._restart(self.folder)
            yield
            shutil.rmtree(self.folder)

    @contextmanager
    def shared(self, plan: Mapping[str, object], *, anew: bool = False, overwrite: bool = False) -> Iterator[None]:
        """Prepare the folder for shards, and hold it together with processes that work on other shards.

        Parameters
        ----------
        plan
            What `scene merge` needs, see `read_plan`.
        anew
            Whether the plan replaces one that is there.
        overwrite
            Whether parts of another request are removed.

        Raises
        ------
        InputError
            If it holds parts of another request, without `overwrite`; if it is another folder; or if a process that
            does not share it uses it.
        """
        folder = self._named()
        busy = f"another process works in {folder}, on the whole scene or with other options"
        if not self.is_begun():
            self._check(f"or remove {folder}", overwrite=overwrite)
        self._make(folder)
        with ExitStack() as stack:
            with locked(folder / f"{_LOCK}-plan", f"waiting for another process to plan {folder}", wait=True):
                if not self.is_begun():
                    with locked(folder / _LOCK, busy):
                        self._check(f"or remove {folder}", overwrite=overwrite)
                        self._restart(folder)
                stack.enter_context(locked(folder / _LOCK, busy, shared=True))
                if not self.is_begun():  # another process took the lock meanwhile
                    raise InputError(busy)
                if anew or not (folder / PLAN).exists():
                    write_json(folder / PLAN, plan)
            yield

    @contextmanager
    def shard(self, number: int, count: int) -> Iterator[None]:
        """Lock one of some shards, within `shared`.

        Raises
        ------
        InputError
            If another process works on it.
        """
        busy = f"another process is working on shard {number}/{count} of {self._named()}; wait for it"
        with locked(self._named() / f"{_LOCK}-{number:05}-of-{count:05}", busy):
            yield

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"cannot write {folder}: {error.strerror}") from error

    def _drop_remade(self, folder: Path) -> None:
        """Remove the folder and the lock in it, where another call removed all else: the map is complete."""
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            shutil.rmtree(folder)

    def _restart(self, folder: Path) -> None:
        for part in [*folder.glob(_PARTS), folder / PLAN, folder / _ENGINE, folder / _WRITING]:
            part.unlink(missing_ok=True)
        write_json(folder / _REQUEST, {"request": self.request})

    def _check(self, remedy: str, *, overwrite: bool, anew: bool = True) -> None:
        """Check that the folder may be filled with parts of this request."""
        if not anew:
            there = self.folder is not None and os.path.lexists(self.folder)
            if there:
                problem, remedy = "another call has begun in the folder", "tag the shards again"
            else:
                problem = "the parts are gone: another call has joined or removed them"
                remedy = "where there is no map, tag the shards again"
            raise InputError(problem, file=self.folder, option="out", remedy=remedy)
        if self.folder is None or not os.path.lexists(self.folder):
            return
        if self.folder.is_symlink() or not self.folder.is_dir() or any(
            not _is_ours(path.name) for path in self.folder.iterdir()
        ):  # fmt: skip
            raise InputError("the folder is not one that this command made", file=self.folder, option="out",
                             remedy="name another folder")  # fmt: skip
        if not overwrite and any(self.folder.glob(_PARTS)):
            raise InputError(
                "the folder holds the beginning of a call with another scene, run or option", file=self.folder,
                option="out", remedy=f"name another folder, {remedy}",
            )  # fmt: skip

    def read(self, number: int, shape: tuple[int, ...], picture: tuple[int, ...]) -> Part | None:
        """Read a part; None where it is missing, damaged, or of other shapes of probabilities and picture."""
        if self.folder is None:
            return None
        try:
            with np.load(self._file(number), allow_pickle=False) as stored:
                part = Part(stored["p"], stored["valid"], stored["picture"], stored["seen"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        fits = (
            part.p.shape == shape
            and part.valid.shape == shape[:2]
            and part.p.dtype == part.valid.dtype == np.float32
            and part.picture.shape == picture
            and part.picture.dtype == np.uint8
            and part.seen.shape == (3,)
            and part.seen.dtype == np.int64
        )
        return part if fits else None

    def write(self, number: int, part: Part) -> None:
        """Store a part."""
        if self.folder is not None:
            with atomic_write(self._file(number)) as temporary, temporary.open("wb") as stream:
                np.savez(stream, p=part.p, valid=part.valid, picture=part.picture, seen=part.seen)

    def _file(self, number: int) -> Path:
        return part_file(self._named(), number)

    def _named(self) -> Path:
        if self.folder is None:
            raise ValueError("there is no folder")
        return self.folder

    def _recorded(self, folder: Path) -> str:
        try:
            return str(read_json(folder / _REQUEST)["request"])
        except (InputError, LookupError, TypeError):
            return ""
