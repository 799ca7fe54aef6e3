"""Files of a scene: which ones there are, whether they may be opened, and what their headers say.

A raster library opens a hundred formats, and some of them read other files, or ask the network. So each file is opened
by the one driver that its first bytes name: GeoTIFF (also cloud-optimised) or JPEG 2000. A VRT names other files; it
is opened only where the caller names it, and where those files lie below its folder.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from amazon_ml.data.readers.band_names import ALPHA, UNNAMED, join_colours
from amazon_ml.errors import InputError
from amazon_ml.runtime.addresses import has_secret
from amazon_ml.runtime.regular_files import check_regular
from amazon_ml.scenes.virtual import check_virtual

#: Endings of the files that a folder is searched for.
ENDINGS = (".tif", ".tiff", ".jp2", ".j2k")
#: Largest number of files of a scene, and of bands of a file.
MOST_FILES, MOST_BANDS = 10_000, 1000
#: Largest number of pixels along an edge of a file, and of bytes of a block that is decoded at once.
MOST_PIXELS, MOST_BLOCK = 2**31 - 1, 2**30
#: First bytes of TIFF, BigTIFF and JPEG 2000.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
#: Text by which other drivers recognise their files; in a TIFF it would be a trap.
_TRAPS = (b"<VRTDataset", b"<MRF_META", b"<GDAL_WMS")
_HEAD = 2**14
_COLOURS = {"red": "r", "green": "g", "blue": "b", "nir": "n", "alpha": ALPHA}
#: Colour interpretations whose values are not the brightness of a band.
_FOREIGN = {"palette", "hue", "saturation", "lightness", "cyan", "magenta", "yellow", "black", "Y", "Cb", "Cr"}
#: Ways to a file that needs a secret, without one in its address.
_SECRETS = (
    "set the secret in the environment: for s3://... the variables of AWS, for /vsiaz/... AZURE_STORAGE_ACCOUNT and "
    "AZURE_STORAGE_SAS_TOKEN, for https://... GDAL_HTTP_USERPWD; for the Planetary Computer, GDAL signs "
    "/vsicurl?pc_url_signing=yes&pc_collection=NAME&url=https://..."
)
_TYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")

#: How a file says which pixels are valid.
Validity = Literal["all", "nodata", "mask", "alpha"]


@dataclass(frozen=True)
class SceneFile:
    """What the header of a file says.

    Parameters
    ----------
    path
        The file.
    driver
        Name of the driver that opens it.
    crs
        Coordinate reference system as WKT; empty where it has none.
    transform
        The six numbers of the affine transform from column and row to coordinates, as rasterio orders them.
    width, height, count
        Pixels and bands.
    dtype
        Type of the values.
    letters
        A letter for each band: r, g, b, n, `ALPHA` or `UNNAMED`.
    descriptions
        Description of each band; empty where it has none.
    validity
        How it says which pixels are valid.
    nodata
        Value of pixels without data; None where it declares none.
    block
        Height and width of the blocks that it is stored in.
    hint
        What else says where a file without coordinates of its pixels lies: ``crs``, a CRS without a position; ``gcps``,
        ground control points; ``rpcs``, a camera model; empty for nothing.
    """

    path: str
    driver: str
    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    count: int
    dtype: str
    letters: str
    descriptions: tuple[str, ...]
    validity: Validity
    nodata: float | None
    block: tuple[int, int]
    hint: str = ""

    @property
    def is_north_up(self) -> bool:
        """Whether columns run to the east and rows to the south."""
        a, b, _, d, e, _ = self.transform
        return b == d == 0 and a > 0 > e


def find_files(named: Sequence[str | Path], *, allow_remote: bool = False) -> list[str]:
    """List the files of a scene: those that are named, and those in the folders that are named, by name.

    Raises
    ------
    InputError
        If there is none, too many, an address in a network without `allow_remote`, or one that holds a secret.
    """
    found: list[str] = []
    for name in map(str, named):
        if is_remote(name):
            if not allow_remote:
                problem = f"{name!r} is not a file on this machine"
                raise InputError(problem, option="scene", remedy="download it, or allow it with `allow_remote`")
            if has_secret(name):
                problem = "results store the addresses of a scene, so these must not hold a secret"
                raise InputError(problem, option="scene", remedy=_SECRETS)
            found.append(name)
            continue
        path = Path(name).expanduser()
        if path.is_dir():
            inside = sorted(
                str(each) for each in path.rglob("*") if each.suffix.lower() in ENDINGS and not each.is_dir()
            )
            if not inside:
                problem = f"the folder holds no {', '.join(ENDINGS)} file"
                raise InputError(problem, file=path, option="scene", remedy="name the file, also a .vrt")
            found += inside
        else:
            found.append(str(path))
    if not found:
        raise InputError("no file is named", option="scene", remedy="name a GeoTIFF, or a folder of them")
    if len(found) > MOST_FILES:
        problem = f"there are {len(found):,} files, more than {MOST_FILES:,}"
        raise InputError(problem, option="scene", remedy="merge them, or tag parts of them")
    return list(dict.fromkeys(found))


def describe_file(path: str, *, allow_remote: bool = False) -> SceneFile:
    """Read the header of a file.

    Raises
    ------
    InputError
        If the file is missing or damaged, or of a format, a type or a size that is not read.
    """
    remote = allow_remote and is_remote(path)
    driver = _remote_driver(path) if remote else _driver(Path(path))
    with opened(path, driver) as file:
        _check_sizes(path, file)
        interpreted = [one.name for one in file.colorinterp]
        _check_meaning(path, file, interpreted)
        letters = _letters(path, file.descriptions, interpreted)
        descriptions = tuple(text or "" for text in file.descriptions)
        placed = bool(file.crs) and not file.transform.is_identity
        return SceneFile(
            path, driver, file.crs.to_wkt() if placed else "", tuple(file.transform)[:6], file.width, file.height,
            file.count, file.dtypes[0], letters, descriptions, _validity(file, letters), file.nodata,
            file.block_shapes[0], "" if placed else _hint(file),
        )  # fmt: skip


def check_apart(out: Path, named: Sequence[str | Path]) -> None:
    """Check that results do not lie in a folder of the scene, where the next call would read them as files of it.

    Raises
    ------
    InputError
        If they do.
    """
    place = Path(os.path.realpath(out))
    for folder in (Path(name).expanduser() for name in map(str, named) if not is_remote(name)):
        if folder.is_dir() and place.is_relative_to(os.path.realpath(folder)):
            raise InputError(f"`out` {out} lies in {folder}, a folder of the scene", option="out",
                             remedy="name a folder outside, or name the files of the scene")  # fmt: skip


@contextmanager
def opened(path: str, driver: str) -> Iterator[Any]:
    """Open a file by one driver; faults of the raster library are an `InputError`."""
    import rasterio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, driver=driver) as file:
                yield file
    except (rasterio.errors.RasterioError, UnicodeDecodeError) as error:
        raise damaged(path, error) from None


def damaged(path: str, error: Exception) -> InputError:
    """Make the error for a file that the raster library cannot read."""
    reason = error.__cause__ or error
    return InputError(f"the file cannot be read ({reason})", file=path, option="scene", remedy="download it again")


def _hint(file: Any) -> str:
    """Say what is known of the place of a file whose pixels have no coordinates."""
    if file.gcps[0]:
        return "gcps"
    return "rpcs" if file.rpcs else "crs" if file.crs else ""


def is_remote(name: str) -> bool:
    """Whether a name is an address, not a file of this machine."""
    return "://" in name or name.startswith("/vsi")


def _remote_driver(path: str) -> str:
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path!r} does not end in {' or '.join(ENDINGS)}", option="scene")
    return "GTiff" if ending.startswith(".tif") else "JP2OpenJPEG"


def _driver(path: Path) -> str:
    """Choose the driver by the first bytes of a file."""
    if not path.exists():
        raise InputError("there is no such file", file=path, option="scene")
    check_regular(path)
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if path.suffix.lower() == ".vrt":
        for source in check_virtual(path):
            _check_plain(source)
        return "VRT"
    return _plain_driver(path, head)


def _check_plain(path: Path) -> None:
    with path.open("rb") as stream:
        _plain_driver(path, stream.read(_HEAD))


def _plain_driver(path: Path, head: bytes) -> str:
    if not head:
        raise InputError("the file is empty", file=path, option="scene", remedy="download it again")
    trap = next((text for text in _TRAPS if text in head), None)
    if trap is None and head.startswith(_TIFF):
        return "GTiff"
    if trap is None and head.startswith(_JPEG2000):
        from rasterio import Env

        with Env() as env:
            if "JP2OpenJPEG" in env.drivers():
                return "JP2OpenJPEG"
        raise InputError("the installed raster library reads no JPEG 2000", file=path, option="scene",
                         remedy="convert it to GeoTIFF with gdal_translate")  # fmt: skip
    raise InputError("this is neither a GeoTIFF nor a JPEG 2000", file=path, option="scene",
                     remedy="convert it with gdal_translate -of COG")  # fmt: skip


def _check_sizes(path: str, file: Any) -> None:
    if file.count > MOST_BANDS or max(file.width, file.height) > MOST_PIXELS:
        problem = f"the header declares {file.width:,} x {file.height:,} pixels and {file.count:,} bands"
        raise InputError(problem, file=path, option="scene", remedy="download it again")
    if len(set(file.dtypes)) > 1:
        problem = f"the bands have different types: {', '.join(sorted(set(file.dtypes)))}"
        raise InputError(problem, file=path, option="scene", remedy="convert them to one with gdal_translate -ot")
    if file.dtypes[0] not in _TYPES:
        problem = f"the file holds {file.dtypes[0]} values"
        raise InputError(problem, file=path, option="scene", remedy=f"convert them to one of {', '.join(_TYPES)}")
    height, width = file.block_shapes[0]
    together = file.count if (file.interleaving and file.interleaving.name == "pixel") else 1
    if height * width * together * _bytes(file.dtypes[0]) > MOST_BLOCK:
        problem = f"the file is stored in blocks of {width:,} x {height:,} pixels, each of which is decoded as a whole"
        raise InputError(problem, file=path, option="scene", remedy="store it in tiles: gdal_translate -of COG")


def _bytes(dtype: str) -> int:
    import numpy as np

    return np.dtype(dtype).itemsize


def _check_meaning(path: str, file: Any, interpreted: list[str]) -> None:
    """Check that the values are brightness by the header."""
    foreign = [name for name in interpreted if name in _FOREIGN]
    if foreign:
        problem = f"the file holds {foreign[0]} values, not bands"
        raise InputError(problem, file=path, option="scene", remedy="expand it with gdal_translate -expand rgb")
    if file.count == 1 and "MINISWHITE" in file.tags(ns="IMAGE_STRUCTURE"):
        problem = "the file stores white as 0 (MINISWHITE)"
        raise InputError(problem, file=path, option="scene", remedy="convert it to MINISBLACK")
    bits = int(file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 0))
    if 0 < bits < 8:
        raise InputError(f"the file holds values of {bits} bits", file=path, option="scene",
                         remedy="scale them to 8 with gdal_translate -ot Byte -scale")  # fmt: skip


def _letters(path: str, descriptions: Sequence[str | None], interpreted: Sequence[str]) -> str:
    """Name each band by its description, or by its colour interpretation where no description has a name."""
    letters, _ = join_colours(tuple(descriptions), [_COLOURS.get(name, UNNAMED) for name in interpreted])
    for letter in set(letters) - {UNNAMED}:
        if letters.count(letter) > 1:
            problem = f"the file gives {letters.count(letter)} bands one name ({', '.join(letters)})"
            raise InputError(problem, file=path, option="bands", remedy="name them with `bands`, such as bgrn")
    return letters


def _validity(file: Any, letters: str) -> Validity:
    from rasterio.enums import MaskFlags

    flags = {flag for each in file.mask_flag_enums for flag in each}
    if ALPHA in letters:
        return "alpha"
    if MaskFlags.nodata in flags:
        return "nodata"
    if MaskFlags.alpha in flags:  # of a band that its description names otherwise
        return "all"
    return "mask" if MaskFlags.per_dataset in flags else "all"
