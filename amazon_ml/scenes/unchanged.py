"""Notices files of a scene that change while it is tagged: the map would be of two scenes, and not say so.

A file is identified by its size and samples of its bytes: to hash a whole scene would take as long as to read it. Its
time is only looked at to notice when the samples must be read again: copies, backups and the coarse clocks of network
file systems change the time of a file that is the same.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from amazon_ml.errors import InputError, WorkError
from amazon_ml.scenes.virtual import check_virtual

log = logging.getLogger(__name__)

#: Bytes at the start of a file that are hashed, and number and size of the samples of the rest.
_HEAD, _SAMPLES, _SAMPLE = 2**20, 16, 2**12

Identity = list[Any]
_Stamp = tuple[int, int] | None


class Watch:
    """The files of a scene as they were when it was prepared.

    Parameters
    ----------
    files
        The files, and addresses in a network, which count as unchanged.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._sources: dict[str, list[str]] = {}
        self._stamps: dict[str, list[_Stamp]] = {}
        self._identities: dict[str, Identity] = {}
        for file in files:
            self._sources[file] = _read_by(file)
            self._stamps[file] = self._stamps_of(file)
            self._identities[file] = _identity(file)

    def identity(self, file: str) -> Identity:
        """Give what a file was identified by."""
        return self._identities[file]

    def check(self, files: Sequence[str] | None = None) -> None:
        """Check that files are as they were, by their sizes and times, and by their bytes where these differ.

        Parameters
        ----------
        files
            Some of the files; by default all, and these by their bytes in any case.

        Raises
        ------
        WorkError
            If one changed.
        """
        for file in self._identities if files is None else files:
            stamps = self._stamps_of(file)
            if stamps == self._stamps[file] and files is not None:
                continue
            try:
                same = _identity(file) == self._identities[file]
            except (OSError, InputError):
                same = False
            if not same:
                raise changed()
            if stamps != self._stamps[file]:
                log.warning("the time of %s changed while the scene is tagged, and its content did not", file)
                self._stamps[file] = stamps

    def _stamps_of(self, file: str) -> list[_Stamp]:
        return [_stamp(one) for one in self._sources[file]]


def changed() -> WorkError:
    """Make the error for a scene that changed while it was tagged."""
    return WorkError("no map was written: a file of the scene, of `aoi` or of the networks changed while the scene "
                     "was tagged; tag it again with `overwrite`, which removes what was tagged")  # fmt: skip


def _read_by(path: str) -> list[str]:
    """List the files of this machine that are read with a file: itself, and those that a VRT names."""
    file = Path(path)
    if not file.is_file():  # an address in a network
        return []
    return [path, *map(str, check_virtual(file))] if _is_virtual(file) else [path]


def _stamp(path: str) -> _Stamp:
    try:
        about = Path(path).stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns


def _identity(path: str) -> Identity:
    """Identify a file by its size and samples of its bytes, and a VRT by the files that it reads, too."""
    file = Path(path)
    if not file.is_file():
        return [path]
    size, samples = file.stat().st_size, hashlib.sha256()
    with file.open("rb") as stream:
        samples.update(stream.read(_HEAD))
        for number in range(_SAMPLES if size > _HEAD else 0):
            stream.seek(_HEAD + max(0, size - _HEAD - _SAMPLE) * number // (_SAMPLES - 1))
            samples.update(stream.read(_SAMPLE))
    own: Identity = [size, samples.hexdigest()]
    return [*own, [_identity(str(source)) for source in check_virtual(file)]] if _is_virtual(file) else own


def _is_virtual(file: Path) -> bool:
    return file.suffix.lower() == ".vrt"
