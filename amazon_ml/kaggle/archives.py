"""Unpack archives completely or not at all: zip, tar, 7z, also one within another.

The content of an archive is checked first: names that lead out of the folder, links, devices and too many bytes are
refused before anything is unpacked.
"""

import filecmp
import os
import shutil
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from amazon_ml.errors import InputError, WorkError

#: Endings of members that are archives themselves, and are unpacked in place.
SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
#: Most bytes of an unpacked archive with those in it; the largest one of the competition has less than 2**36.
MAX_BYTES = 2**38
MAX_FILES = 1_000_000
#: Most levels of archives in archives; the competition has a tar in a 7z, and copies have both in a zip.
MAX_DEPTH = 4

_LOCKED = "it needs a password; take another archive, or unpack it yourself"
#: Flag of an encrypted entry in a zip.
_ENCRYPTED = 1


class BrokenArchiveError(WorkError):
    """An archive cannot be read, or holds something that is not allowed; it cannot be used."""


@dataclass(frozen=True)
class Member:
    """One entry of an archive: its name there, its unpacked bytes, and whether it is a file.

    `is_file` is None for entries that are neither files nor folders: links, devices.
    """

    name: str
    size: int
    is_file: bool | None


@dataclass(frozen=True)
class Format:
    """A format of archives: how it is recognised, opened, listed, and unpacked."""

    is_one: Callable[[Path], bool]
    opened: Callable[[Path], AbstractContextManager[Any]]
    members: Callable[[Any], list[Member]]
    extract: Callable[[Any, list[str], Path], None]


def is_archive(name: str) -> bool:
    """Whether the name of a file is that of an archive."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, target: Path, *, skip: Sequence[str] = (), limit: int = MAX_BYTES) -> None:
    """Unpack an archive into a new folder, and archives in it into their own folders.

    Parameters
    ----------
    archive
        The archive; its format is recognised by its content.
    target
        The folder, which must not exist; it appears when everything is unpacked.
    skip
        Patterns of names that are left out, such as ``*-tif*``; ``*`` also stands for slashes.
    limit
        Most bytes that may be unpacked; inner archives and their content both count.

    Raises
    ------
    BrokenArchiveError
        For an archive that cannot be read or that is refused; no unpacked file is left.
    WorkError
        Where the disk is too full, or the folder cannot be written to.
    """
    if target.exists():
        raise InputError(f"the folder exists already, and {archive} is unpacked into a new folder", file=target)
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        temporary.mkdir(parents=True)
        _unpack(archive, temporary, skip, limit, MAX_DEPTH)
        temporary.rename(target)
    except OSError as error:
        raise WorkError(f"cannot unpack {archive}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_into(source: Path, target: Path) -> None:
    """Move the content of a folder into another, where files of the same content may exist already.

    Raises
    ------
    InputError
        Where an existing file differs; nothing is moved then.
    WorkError
        Where the folder cannot be written to.
    """
    for path in _files(source):
        there = target / path.relative_to(source)
        if os.path.lexists(there) and not (there.is_file() and filecmp.cmp(path, there, shallow=False)):
            raise InputError(
                "the file exists already and differs from the one that would be written",
                file=there,
                remedy="move it, or name another folder",
            )
    try:
        target.mkdir(parents=True, exist_ok=True)
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    except OSError as error:
        raise WorkError(f"cannot write to {target}: {error.strerror or error}") from error


def need_space(folder: Path, needed: int, what: str) -> None:
    """Check that the disk has enough free bytes; a `WorkError` where it has not."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WorkError(f"{what} needs {in_units(needed)}, and the disk of {folder} has {in_units(free)} free; "
                        "make room, or name a folder on another disk")  # fmt: skip


def in_units(size: int) -> str:
    """Write a number of bytes with a unit, such as ``1.2 GB``."""
    value, units = float(size), iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:,.1f} {unit}"


def is_skipped(name: str, skip: Sequence[str]) -> bool:
    """Whether a name fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in skip)


def inner_path(name: str) -> PurePosixPath:
    """Give a name as a path below a folder.

    Raises
    ------
    ValueError
        For a name that is absolute or leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(mark in name for mark in "\\\0") or name[1:2] == ":":
        raise ValueError(f"the name {name!r}, which leads out of the folder")
    return path


def _unpack(archive: Path, into: Path, skip: Sequence[str], limit: int, depth: int) -> int:
    """Unpack one level and the archives in it; return how much of the limit is left."""
    with _reading(archive):
        kind = _format_of(archive)
        if kind is None:
            raise BrokenArchiveError(f"{archive.name} is broken: it is neither a zip nor a tar nor a 7z")
        with kind.opened(archive) as opened:
            members = [member for member in kind.members(opened) if not is_skipped(member.name, skip)]
            total = _examine(archive, members, limit)
            need_space(into, total, f"unpacking {archive.name}")
            kind.extract(opened, [member.name for member in members], into)
    limit -= total
    inner = [into / member.name for member in members if member.is_file and is_archive(member.name)]
    if inner and not depth:
        raise BrokenArchiveError(f"{archive.name} is refused: it has more than {MAX_DEPTH} levels of archives")
    for path in inner:
        beside = path.with_name(f".{path.name}.inner")
        beside.mkdir()
        limit = _unpack(path, beside, skip, limit, depth - 1)
        path.unlink()
        try:
            move_into(beside, path.parent)
        except InputError as error:
            raise BrokenArchiveError(f"{archive.name} is refused: it holds two files of one name. {error}") from None
        shutil.rmtree(beside)
    return limit


def _examine(archive: Path, members: list[Member], limit: int) -> int:
    """Check the members; return the number of bytes that they unpack to."""
    try:
        paths = Counter(inner_path(member.name) for member in members if member.is_file)
        for member in members:
            inner_path(member.name)
            if member.is_file is None:
                raise ValueError(f"{member.name!r}, which is a link or a device")
        twice = [str(path) for path, count in paths.items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} more than once")
    except ValueError as error:
        raise BrokenArchiveError(f"{archive.name} is refused: it holds {error}") from None
    total = sum(member.size for member in members)
    if total > limit or len(members) > MAX_FILES:
        raise BrokenArchiveError(
            f"{archive.name} is refused: it would unpack to {len(members):,} files of {in_units(total)}, "
            f"and {MAX_FILES:,} files of {in_units(limit)} are allowed"
        )
    return total


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except (InputError, WorkError):
        raise
    except Exception as error:  # parsers raise any kind of error for broken bytes
        if isinstance(error, OSError) and error.errno is not None:  # an error of the disk, not of the archive
            raise
        raise BrokenArchiveError(f"{archive.name} is broken: {error or type(error).__name__}") from error


def _move(entry: Path, goal: Path) -> None:
    if entry.is_dir() and goal.is_dir():
        for inner in entry.iterdir():
            _move(inner, goal / inner.name)
    else:
        entry.replace(goal)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _format_of(path: Path) -> Format | None:
    return next((kind for kind in FORMATS if kind.is_one(path)), None)


def _zip_members(archive: zipfile.ZipFile) -> list[Member]:
    def is_file(info: zipfile.ZipInfo) -> bool | None:
        kind = stat.S_IFMT(info.external_attr >> 16)
        return not info.is_dir() if kind in (0, stat.S_IFREG, stat.S_IFDIR) else None

    if any(info.flag_bits & _ENCRYPTED for info in archive.infolist()):
        raise BrokenArchiveError(f"{Path(str(archive.filename)).name} is refused: {_LOCKED}")
    return [Member(info.filename, info.file_size, is_file(info)) for info in archive.infolist()]


def _zip_extract(archive: zipfile.ZipFile, names: list[str], into: Path) -> None:
    archive.extractall(into, names)


def _tar_members(archive: tarfile.TarFile) -> list[Member]:
    def is_file(info: tarfile.TarInfo) -> bool | None:
        return info.isreg() if info.isreg() or info.isdir() else None

    members = []
    for info in archive:
        if info.size < 0:  # the next entry would be read from an earlier place, without end
            raise tarfile.ReadError(f"{info.name!r} has {info.size} bytes")
        members.append(Member(info.name, info.size, is_file(info)))
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(
        tarfile.BLOCKSIZE
    ):  # else an incomplete tar passes for a short one
        raise tarfile.ReadError("it has no end")
    return members


def _tar_extract(archive: tarfile.TarFile, names: list[str], into: Path) -> None:
    wanted = set(names)
    archive.extractall(into, (info for info in archive.getmembers() if info.name in wanted), filter="data")


@contextmanager
def _7z_opened(path: Path) -> Iterator[Any]:
    try:
        import py7zr
    except ImportError:
        raise InputError(
            "this is a 7z archive", file=path.name,
            remedy="install the package that reads it: pip install 'amazon-ml[archives]'",
        ) from None  # fmt: skip
    try:
        with py7zr.SevenZipFile(path) as archive:
            if archive.needs_password():
                raise py7zr.PasswordRequired
            yield archive
    except py7zr.PasswordRequired:  # also for an encrypted header
        raise BrokenArchiveError(f"{path.name} is refused: {_LOCKED}") from None


def _7z_members(archive: Any) -> list[Member]:
    def is_file(info: Any) -> bool | None:
        return bool(info.is_file) if info.is_file or info.is_directory else None

    return [Member(info.filename, info.uncompressed, is_file(info)) for info in archive.list()]


def _7z_extract(archive: Any, names: list[str], into: Path) -> None:
    archive.reset()
    archive.extract(into, names)


def _starts_with(*marks: bytes) -> Callable[[Path], bool]:
    def is_one(path: Path) -> bool:
        with path.open("rb") as stream:
            return stream.read(6).startswith(marks)

    return is_one


#: Recognised by their first bytes, since the end of a tar may be a whole zip; the mark of a tar lies further in.
FORMATS = (
    Format(_starts_with(b"7z\xbc\xaf\x27\x1c"), _7z_opened, _7z_members, _7z_extract),
    Format(_starts_with(b"PK\x03\x04", b"PK\x05\x06"), zipfile.ZipFile, _zip_members, _zip_extract),
    Format(tarfile.is_tarfile, tarfile.open, _tar_members, _tar_extract),
)
