"""VRT files: which files they read. A VRT may name any file of this machine, so each of its elements is checked."""

import os
from pathlib import Path
from xml.etree import ElementTree

from amazon_ml.errors import InputError
from amazon_ml.runtime.regular_files import check_regular

#: Largest VRT in bytes, and number of files that it may name.
_LARGEST, _MOST_SOURCES = 2**24, 10_000
#: Elements that place bands of other files. Any other element is refused: some of them run code or read raw bytes.
_KNOWN = frozenset((
    "VRTDataset", "SRS", "GeoTransform", "Metadata", "MDI", "OverviewList", "BlockXSize", "BlockYSize",
    "VRTRasterBand", "NoDataValue", "HideNoDataValue", "ColorInterp", "Description", "UnitType", "Offset", "Scale",
    "CategoryNames", "Category", "ColorTable", "Entry", "MaskBand", "Histograms",
    "SimpleSource", "ComplexSource", "AveragedSource", "SourceFilename", "SourceBand", "SourceProperties", "SrcRect",
    "DstRect", "NODATA", "UseMaskBand", "ScaleOffset", "ScaleRatio",
))  # fmt: skip
#: Kinds of datasets and bands that only place other files.
_CLASSES = (None, "VRTSourcedRasterBand")


def check_virtual(path: Path) -> list[Path]:
    """Check a VRT, and list the files that it reads.

    Raises
    ------
    InputError
        If it is no VRT, does more than place bands of files, or names a file that does not lie below its folder.
    """
    if path.stat().st_size > _LARGEST:
        raise _refused(path, f"the file has more than {_LARGEST:,} bytes")
    text = path.read_bytes()
    if b"<!" in text.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
        raise _refused(path, "the VRT declares entities of XML")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise _refused(path, f"this is no VRT ({error})") from None
    if root.tag != "VRTDataset":
        raise _refused(path, f"this is no VRT: its element is {root.tag}")
    sources: dict[Path, None] = {}
    for element in root.iter():
        if element.tag not in _KNOWN or element.get("subClass") not in _CLASSES:
            what = element.get("subClass") or element.tag
            raise _refused(path, f"the VRT holds {what}, and only bands of files are read")
        if element.tag == "SourceFilename":
            sources[_source(path, element)] = None
    if not sources:
        raise _refused(path, "the VRT names no file")
    if len(sources) > _MOST_SOURCES:
        raise _refused(path, f"the VRT names {len(sources):,} files, more than {_MOST_SOURCES:,}")
    return list(sources)


def _source(path: Path, element: ElementTree.Element) -> Path:
    """Find the file that an element names; it must lie below the folder of the VRT, also where links lead."""
    name = (element.text or "").strip()
    if not Path(name).is_absolute() and element.get("relativeToVRT") != "1":
        raise _refused(path, f"the VRT names {name!r} relative to the current folder", 'set relativeToVRT="1"')
    folder = Path(os.path.realpath(path.parent))
    source = Path(os.path.realpath(folder / name))
    if not name or "://" in name or name.startswith("/vsi") or not source.is_relative_to(folder):
        raise _refused(path, f"the VRT names {name!r}, which does not lie below its folder",
                       "copy the file below that folder, and name it there")  # fmt: skip
    if not source.is_file():
        raise _refused(path, f"the VRT names {name!r}, which is not there", "put the file there")
    check_regular(source)
    return source


def _refused(path: Path, problem: str, remedy: str = "build it again with gdalbuildvrt") -> InputError:
    return InputError(problem, file=path, option="scene", remedy=remedy)
