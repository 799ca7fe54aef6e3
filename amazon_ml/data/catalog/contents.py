"""Messages on folders without tiles: other formats, archives, images without an ending."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from amazon_ml.data.catalog.structured import is_structured
from amazon_ml.data.catalog.walk import walk
from amazon_ml.data.readers.formats import ARCHIVES, IMAGES, MAGIC_BYTES, content_of, with_article
from amazon_ml.data.readers.images import SUFFIXES
from amazon_ml.errors import InputError, listed
from amazon_ml.runtime.regular_files import open_regular

#: Endings of archives; the content of some formats does not show what they are.
_PACKED = (".zip", ".7z", ".tar", ".tgz", ".tar.gz", ".gz", ".rar", ".xz", ".bz2", ".zst")
#: Endings of images that the readers do not support.
_UNREAD = (
    ".jp2", ".j2k", ".jpe", ".jfif", ".jxl", ".gif", ".avif", ".heic", ".heif", ".npy", ".npz", ".h5", ".hdf5", ".nc",
    ".ppm", ".pgm", ".exr", ".psd", ".svg", ".img", ".vrt", ".dng", ".nitf", ".ecw", ".sid",
)  # fmt: skip
#: Endings of JSON Lines.
_LINES = (".jsonl", ".ndjson")
#: Endings of tables: those that are read where an option names them, and other formats.
_TABLES, _WORKBOOKS = (
    (".tsv", ".txt", ".tab", ".parquet", ".json", *_LINES),
    (".xlsx", ".xls", ".ods", ".numbers"),
)
#: First words of the names of files that are notes.
_NO_TABLES = ("readme", "licen", "requirements", "credits", "changelog", "copying")
#: Number of files whose content is examined.
_SNIFFED = 200
#: Number of endings that a message counts.
_SHOWN = 6


def check_folder(folder: Path, named: str, *, has_table: bool = False, option: str = "") -> None:
    """Check that a path is a folder; the error suggests the right one.

    Parameters
    ----------
    folder
        The path.
    named
        Remedy: how to name a folder.
    has_table
        Whether the caller also takes the path of a table.
    option
        Name of the parameter or the setting that gave the path.

    Raises
    ------
    InputError
        If the path is no folder.
    """
    if folder.is_dir():
        return
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"this is a link to {folder.readlink()}, which does not exist", file=folder, option=option,
                         remedy=named)  # fmt: skip
    if not folder.exists():
        raise InputError("there is no such folder", file=folder, option=option, remedy=named)
    kind = _content(folder)
    if kind in ARCHIVES or folder.name.lower().endswith(_PACKED):
        remedy = "unpack it, and name the folder of tiles in it"
        raise InputError("this is an archive, not a folder", file=folder, option=option, remedy=remedy)
    what = f"{with_article(kind)} file" if kind in IMAGES else "a file"
    table = ", and the table with `data.labels_file`" if has_table and folder.suffix.lower() == ".csv" else ""
    remedy = f"name its folder, {folder.absolute().parent}{table}"
    raise InputError(f"this is {what}, not a folder", file=folder, option=option, remedy=remedy)


def no_images(folders: Sequence[Path]) -> InputError:
    """Make the error for folders without images: it names the files that lie there instead, and the remedy."""
    files = [listing.path / name for folder in folders for listing in walk(folder) for name in listing.files]
    where = " and ".join(map(str, folders))
    if not files:
        return InputError("no images: the folder is empty" if len(folders) == 1 else "no images: the folders are empty",
                          file=where)  # fmt: skip
    return InputError(f"no images of a supported format, only {_counted(files)}", file=where, remedy=_remedy(files))


def unread_images(folders: Sequence[Path]) -> str:
    """Describe images of unsupported formats that lie beside others, and give the remedy; ``""`` without such."""
    files = [
        listing.path / name
        for folder in folders
        for listing in walk(folder)
        for name in listing.files
        if name.lower().endswith(_UNREAD)
    ]
    return f"the folder also holds {_counted(files)}; {_remedy(files)}" if files else ""


def _counted(files: Sequence[Path]) -> str:
    endings = Counter(path.suffix.lower() or "files without an ending" for path in files)
    counted = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(_SHOWN))
    return f"{counted}{', …' * (len(endings) > _SHOWN)}"


def archives_in(folder: Path) -> str:
    """Name an archive in a folder, and the remedy; ``""`` where there is none."""
    for listing in walk(folder, depth=1):
        for name in listing.files:
            if name.lower().endswith(_PACKED):
                return f"{listing.path / name} is an archive; unpack it"
    return ""


def tables_in(folder: Path) -> list[Path]:
    """List the files of a folder, and of the folders in it, that may be a table which can be read."""
    return _named_as_tables(folder, (".csv", *_TABLES))


def lone_table(folder: Path) -> Path | None:
    """Find the only file that may be the table of a folder without a CSV, where it is Parquet or JSON.

    JSON Lines is the table where no other file is Parquet or JSON: beside one, it often is a log.
    """
    files = _named_as_tables(folder, (*_TABLES, *_WORKBOOKS))
    lines = [path for path in files if path.name.lower().endswith(_LINES)]
    others = [path for path in files if path not in lines]
    if any(map(is_structured, others)):
        files = others
    return files[0] if len(files) == 1 and is_structured(files[0]) else None


def other_tables(folder: Path) -> str:
    """Name files that may be the table of a folder without a CSV, and how to use them; ``""`` where there are none."""
    files = _named_as_tables(folder, (*_TABLES, *_WORKBOOKS))
    books = [path for path in files if path.name.lower().endswith(_WORKBOOKS)]
    if len(files) > 1:
        save = ", and save a spreadsheet as CSV UTF-8" if books else ""
        return f"{listed(files)} may be tables: name the right one with `data.labels_file`{save}"
    if books:
        return f"{files[0]} may be the table: save it as CSV UTF-8"
    return f"{files[0]} may be the table: name it with `data.labels_file`" if files else ""


def _named_as_tables(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return [
        listing.path / name
        for listing in walk(folder, depth=1)
        for name in listing.files
        if name.lower().endswith(endings) and not name.lower().startswith(_NO_TABLES)
    ]


def _remedy(files: Sequence[Path]) -> str:
    read = f"files that end in {' '.join(SUFFIXES)} are read"
    packed = next((path for path in files if path.name.lower().endswith(_PACKED)), None)
    if packed is not None:
        return f"{read}; unpack {packed}"
    for path in files[:_SNIFFED]:
        kind = _content(path)
        if kind in IMAGES:
            ending = {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}")
            return f"{read}; {path} is {with_article(kind)} by its content: rename it and its like to end in {ending}"
        if kind in ARCHIVES:
            return f"{read}; {path} is {with_article(kind)} by its content: unpack it"
    if any(path.name.lower().endswith(".npy") for path in files):
        return f"{read}; arrays are read with `data.files` {{name}}.npy, a list in `data.bands` and `data.band_names`"
    return f"{read}; convert the tiles to one of these"


def _content(path: Path) -> str:
    try:
        with open(open_regular(path), "rb", buffering=0) as stream:  # noqa: PTH123 (a descriptor)
            return content_of(stream.read(MAGIC_BYTES) or b"?")
    except (OSError, InputError):
        return ""
