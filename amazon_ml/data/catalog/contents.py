"""What lies in a folder without tiles, for messages: other formats, archives, images without an ending."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from amazon_ml.data.catalog.walk import walk
from amazon_ml.data.readers.formats import ARCHIVES, HEAD, IMAGES, content_of, with_article
from amazon_ml.data.readers.images import SUFFIXES
from amazon_ml.errors import InputError, listed
from amazon_ml.runtime.regular_files import open_regular

#: Endings of archives; of some formats the content tells nothing.
_PACKED = (".zip", ".7z", ".tar", ".tgz", ".tar.gz", ".gz", ".rar", ".xz", ".bz2", ".zst")
#: Endings of images that are not read.
_UNREAD = (
    ".jp2", ".j2k", ".jpe", ".jfif", ".jxl", ".gif", ".avif", ".heic", ".heif", ".npy", ".npz", ".h5", ".hdf5", ".nc",
    ".ppm", ".pgm", ".exr", ".psd", ".svg", ".img", ".vrt", ".dng", ".nitf", ".ecw", ".sid",
)  # fmt: skip
#: Endings of tables: of text, which are read where they are named, and of other kinds.
_TABLES, _WORKBOOKS = (".tsv", ".txt", ".tab"), (".xlsx", ".xls", ".ods", ".numbers", ".parquet", ".json")
#: What names of files begin with that are notes.
_NO_TABLES = ("readme", "licen", "requirements", "credits", "changelog", "copying")
#: Files whose content is looked at.
_SNIFFED = 200
#: Endings that a message counts.
_SHOWN = 6


def check_folder(folder: Path, named: str, *, has_table: bool = False) -> None:
    """Refuse what is no folder of tiles, and say which folder was meant perhaps.

    Parameters
    ----------
    folder
        What was named.
    named
        How a folder is named, for the remedy.
    has_table
        Whether a table can be named beside the folder.
    """
    if folder.is_dir():
        return
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"{folder} is a link to {folder.readlink()}, which is not there; {named}")
    if not folder.exists():
        raise InputError(f"there is no folder {folder}; {named}")
    kind = _content(folder)
    if kind in ARCHIVES or folder.name.lower().endswith(_PACKED):
        raise InputError(f"{folder} is an archive, not a folder; unpack it, and name the folder of tiles in it")
    what = f"{with_article(kind)} file" if kind in IMAGES else "a file"
    table = ", and the table with `data.labels_file`" if has_table and folder.suffix.lower() == ".csv" else ""
    raise InputError(f"{folder} is {what}, not a folder; name its folder, {folder.absolute().parent}{table}")


def no_images(folders: Sequence[Path]) -> str:
    """Say that folders hold no images, what lies there instead, and what is to be done about it."""
    files = [listing.path / name for folder in folders for listing in walk(folder) for name in listing.files]
    where = " and ".join(map(str, folders))
    if not files:
        return f"{where} holds no images: {'it is' if len(folders) == 1 else 'they are'} empty"
    return f"{where} holds no images that are read, only {_counted(files)}. {_remedy(files)}"


def unread_images(folders: Sequence[Path]) -> str:
    """Say that images of formats that are not read lie beside others, as a sentence to follow; ``""`` without such."""
    files = [
        listing.path / name
        for folder in folders
        for listing in walk(folder)
        for name in listing.files
        if name.lower().endswith(_UNREAD)
    ]
    return f". {_counted(files)} lie there, too. {_remedy(files)}" if files else ""


def _counted(files: Sequence[Path]) -> str:
    endings = Counter(path.suffix.lower() or "files without an ending" for path in files)
    counted = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(_SHOWN))
    return f"{counted}{', …' * (len(endings) > _SHOWN)}"


def archives_in(folder: Path) -> str:
    """Say that archives lie in a folder, as a sentence of its own; ``""`` where there are none."""
    for listing in walk(folder, depth=1):
        for name in listing.files:
            if name.lower().endswith(_PACKED):
                return f"{listing.path / name} is an archive; unpack it"
    return ""


def other_tables(folder: Path) -> str:
    """Say what may be the table in a folder without a CSV, and how it is read; ``""`` without such."""
    files = [
        listing.path / name
        for listing in walk(folder, depth=1)
        for name in listing.files
        if name.lower().endswith((*_TABLES, *_WORKBOOKS)) and not name.lower().startswith(_NO_TABLES)
    ]
    if len(files) > 1:
        found = listed(files)
        return f"{found} may be tables: name the right one with `data.labels_file`, and save a spreadsheet as CSV UTF-8"
    if files and files[0].name.lower().endswith(_WORKBOOKS):
        return f"{files[0]} may be the table: save it as CSV UTF-8"
    return f"{files[0]} may be the table: name it with `data.labels_file`" if files else ""


def _remedy(files: Sequence[Path]) -> str:
    read = f"Files that end in {' '.join(SUFFIXES)} are read"
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
    return f"{read}; convert the tiles to one of these"


def _content(path: Path) -> str:
    try:
        with open(open_regular(path), "rb", buffering=0) as stream:  # noqa: PTH123 (a descriptor)
            return content_of(stream.read(HEAD) or b"?")
    except (OSError, InputError):
        return ""
