"""Archives, unpacked whole or not at all: zip, tar, 7z, and one within another.

Nothing is believed that an archive says of itself: names that lead out of the folder, links, devices and more
bytes than are allowed are refused before anything is unpacked.
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

#: Endings of members that are archives themselves, and are unpacked where they lie.
SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
#: Bytes that an archive may unpack to, all within it together; the competition's largest holds less than 2**36.
MAX_BYTES = 2**38
MAX_FILES = 1_000_000
#: How deep archives may lie in archives; the competition's are a tar in a 7z, mirrored in a zip.
MAX_DEPTH = 4

_LOCKED = "it asks for a password; take another archive, or unpack it yourself"
#: Flag of an entry of a zip.
_ENCRYPTED = 1


class BrokenArchiveError(WorkError):
    """An archive cannot be read, or asks for what it must not have; it is of no further use."""


@dataclass(frozen=True)
class Member:
    """One entry of an archive: its name as it stands there, its unpacked bytes, and whether it is a file.

    `is_file` is None for what is neither a file nor a folder: links, devices.
    """

    name: str
    size: int
    is_file: bool | None


@dataclass(frozen=True)
class Format:
    """A kind of archive: how it is told from others, opened, listed, and unpacked."""

    is_one: Callable[[Path], bool]
    opened: Callable[[Path], AbstractContextManager[Any]]
    members: Callable[[Any], list[Member]]
    extract: Callable[[Any, list[str], Path], None]


def is_archive(name: str) -> bool:
    """Whether a file of this name is meant to be an archive."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, target: Path, *, skip: Sequence[str] = (), limit: int = MAX_BYTES) -> None:
    """Unpack an archive into a new folder, and the archives that it holds into the folders that they lie in.

    Parameters
    ----------
    archive
        The archive; it is told by its content.
    target
        The folder, which must not be there yet; it appears when all is unpacked.
    skip
        Patterns such as ``*-tif*``, of names that are passed over; ``*`` stands for slashes, too.
    limit
        Bytes that may be unpacked, inner archives counted as well as what they hold.

    Raises
    ------
    BrokenArchiveError
        For an archive that cannot be read or that is refused; nothing is left of it.
    WorkError
        When the disk lacks the space, or the folder cannot be written to.
    """
    if target.exists():
        raise InputError(f"{target} is there already; {archive} is unpacked into a new folder")
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
    """Move all that a folder holds into another; files that are there already with the same bytes may stay.

    Raises
    ------
    InputError
        When a file that is there differs; nothing has been moved then.
    WorkError
        When the folder cannot be written to.
    """
    for path in _files(source):
        there = target / path.relative_to(source)
        if os.path.lexists(there) and not (there.is_file() and filecmp.cmp(path, there, shallow=False)):
            raise InputError(f"{there} is there already and differs from what would be written; move it, "
                             "or name another folder")  # fmt: skip
    try:
        target.mkdir(parents=True, exist_ok=True)
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    except OSError as error:
        raise WorkError(f"cannot write to {target}: {error.strerror or error}") from error


def need_space(folder: Path, needed: int, what: str) -> None:
    """Refuse with a `WorkError` to begin with what the disk has no room for; `needed` is in bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WorkError(f"{what} needs {in_units(needed)}, and the disk of {folder} has {in_units(free)} free; "
                        "make room, or name a folder on another disk")  # fmt: skip


def in_units(size: int) -> str:
    """Write a number of bytes as people read it, such as ``1.2 GB``."""
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
    """Unpack one level and what lies within; gives how much of the limit is left."""
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
        raise BrokenArchiveError(f"{archive.name} is refused: archives lie more than {MAX_DEPTH} deep in archives")
    for path in inner:
        beside = path.with_name(f".{path.name}.inner")
        beside.mkdir()
        limit = _unpack(path, beside, skip, limit, depth - 1)
        path.unlink()
        try:
            move_into(beside, path.parent)
        except InputError as error:
            raise BrokenArchiveError(f"{archive.name} is refused: it holds two of one name. {error}") from None
        shutil.rmtree(beside)
    return limit


def _examine(archive: Path, members: list[Member], limit: int) -> int:
    """Refuse what is hostile; gives the bytes that the members unpack to."""
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
    except Exception as error:  # what the parsers raise over broken bytes is anybody's guess
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the archive
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
        if info.size < 0:  # the next would be looked for further up, and so on for ever
            raise tarfile.ReadError(f"{info.name!r} has {info.size} bytes")
        members.append(Member(info.name, info.size, is_file(info)))
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # else a cut tar passes for a short one
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
            f"{path.name} is a 7z archive; install what reads it: pip install 'amazon-ml[archives]'"
        ) from None
    try:
        with py7zr.SevenZipFile(path) as archive:
            if archive.needs_password():
                raise py7zr.PasswordRequired
            yield archive
    except py7zr.PasswordRequired:  # of a header that is encrypted, too
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


#: Told by their first bytes, since the end of a tar may well be a whole zip; a tar's own mark lies further in.
FORMATS = (
    Format(_starts_with(b"7z\xbc\xaf\x27\x1c"), _7z_opened, _7z_members, _7z_extract),
    Format(_starts_with(b"PK\x03\x04", b"PK\x05\x06"), zipfile.ZipFile, _zip_members, _zip_extract),
    Format(tarfile.is_tarfile, tarfile.open, _tar_members, _tar_extract),
)
