"""The files of a tile by a template, such as ``{name}/{name}_{band}.tif``: one file for each band, or one for all."""

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from amazon_ml.data.readers.images import SUFFIXES
from amazon_ml.errors import InputError, listed

#: Ending of arrays of numpy.
ARRAY_SUFFIX = ".npy"
NAME, BAND = "{name}", "{band}"


def check_template(template: str) -> None:
    """Check a template: a path below a folder of tiles, with the name of the tile in it."""
    problem = ""
    if NAME not in template:
        problem = f"has no {NAME}"
    elif set(re.findall(r"\{[^}]*\}", template)) - {NAME, BAND} or re.search(r"[{}]", _emptied(template)):
        problem = f"may hold {NAME} and {BAND} alone in braces"
    elif template.startswith("/") or {"..", ".", ""} & set(template.split("/")) or "\\" in template:
        problem = "must be a path below the folder of tiles, with / between folders"
    elif not template.lower().endswith((*SUFFIXES, ARRAY_SUFFIX)):
        problem = f"must end in one of {' '.join((*SUFFIXES, ARRAY_SUFFIX))}"
    if problem:
        raise InputError(f"`data.files` {template!r} {problem}", option="data.files",
                         remedy=f"write it such as {NAME}/{NAME}_{BAND}.tif")  # fmt: skip


def _emptied(template: str) -> str:
    return template.replace(NAME, "").replace(BAND, "")


@dataclass(frozen=True)
class BandFiles:
    """The files of a tile: a template with the name of the tile and, for a file for each band, that of the band.

    The template is the end of a path, so that tiles may lie in folders of scenes.

    Parameters
    ----------
    template
        The template, which `check_template` accepts.
    bands
        Names of the bands that are read. The file of the first one stands for its tile.
    """

    template: str
    bands: tuple[str, ...]

    @property
    def each_band(self) -> bool:
        """Whether each band has its own file."""
        return BAND in self.template

    @property
    def suffix(self) -> str:
        """Ending of the files."""
        return PurePosixPath(self.template).suffix

    @property
    def tail(self) -> str:
        """The text that ends the path of a tile's first file, whatever its name."""
        return self.template.rpartition(NAME)[2].replace(BAND, self.bands[0] if self.bands else "")

    def named(self, path: str) -> tuple[str, str] | None:
        """Split the path of a tile's first file into the folder above the template and the name; None for others."""
        band = self.bands[0] if self.bands else ""
        # The template gives the number of folders, so that only the end of a path is compared with it.
        folders = self.template.count("/") + self.template.count(BAND) * band.count("/")
        parts = path.rsplit("/", folders + 1)
        above = f"{parts[0]}/" if len(parts) == folders + 2 else ""
        found = _compiled(self.template, re.escape(band)).fullmatch(path, len(above))
        return (above, found["name"]) if found else None

    def of(self, path: str) -> dict[str, str]:
        """Give the file of each band, by its name, for a tile with this first file.

        Raises
        ------
        InputError
            If the template does not give such a path.
        """
        if not self.each_band:
            return dict.fromkeys(self.bands, path)
        parts = self.named(path)
        if parts is None:
            first = self.template.replace(BAND, self.bands[0])
            raise InputError(f"this is not the file of a tile as {first} names them", file=path, option="data.files",
                             remedy="name that file, or the folder of tiles")  # fmt: skip
        above, name = parts
        return {band: above + self.template.replace(NAME, name).replace(BAND, band) for band in self.bands}

    def paths(self, path: str) -> list[str]:
        """List the files of a tile with this first file, each once."""
        return list(dict.fromkeys(self.of(path).values())) if self.each_band else [path]

    def bands_beside(self, path: str) -> list[str]:
        """Find all bands of a tile that have a file, by the names of files."""
        above, name = self.named(path) or ("", "")
        pattern = _compiled(self.template, "[^/]+?", above=True)
        beside = Path(above).glob(self.template.replace(NAME, glob.escape(name)).replace(BAND, "*"))
        found = (pattern.fullmatch(str(file)) for file in beside)
        return sorted({each["band"] for each in found if each and (each["above"], each["name"]) == (above, name)})

    def tile_among(self, names: Iterable[str], paths: Iterable[str]) -> tuple[str, list[str]] | None:
        """Find the first of some tiles that has files, none of the first band: the path of that, and its bands."""
        names = dict.fromkeys(names)
        pattern, found = _compiled(self.template, "[^/]+?", above=True), dict[str, tuple[str, set[str]]]()
        for each in map(pattern.fullmatch, paths):  # each file once: both tiles and files may be many
            if each and each["name"] in names:
                found.setdefault(each["name"], (each["above"], set()))[1].add(each["band"])
        for name in names:
            if name in found:
                above, bands = found[name]
                return above + self.template.replace(NAME, name).replace(BAND, self.bands[0]), sorted(bands)
        return None

    def bands_among(self, paths: Iterable[str]) -> list[str]:
        """Find the names of bands in the paths of files, for a message."""
        pattern = _compiled(self.template, "[^/_]+", above=True)
        return sorted({each["band"] for each in map(pattern.fullmatch, paths) if each})


@lru_cache(64)
def _compiled(template: str, band: str, *, above: bool = False) -> re.Pattern[str]:
    """Compile a template to a regular expression, with one for the name of the band, and for folders above it."""
    pattern, seen = "(?P<above>(?:.*/)?)" if above else "", set[str]()
    for part in re.split(r"(\{name\}|\{band\})", template):
        if part in (NAME, BAND):
            group = part[1:-1]
            pattern += f"(?P={group})" if part in seen else f"(?P<{group}>{'[^/]+' if part == NAME else band})"
            seen.add(part)
        else:
            pattern += re.escape(part)
    return re.compile(pattern)


def lacks_band(files: BandFiles, band: str, found: Iterable[str], file: str) -> InputError:
    """Make the error for a band without a file."""
    held = sorted(found)
    return InputError(
        f"band {band} has no file as `data.files` {files.template} names it"
        f"{f'; the tile has {listed_all(held)}' if held else ''}", file=file, option="data.bands",
        remedy="download the tile again, exclude it, or name other bands",
    )  # fmt: skip


def listed_all(names: Iterable[str]) -> str:
    """List up to twenty names; a list of bands helps only if it is whole."""
    names = list(names)
    return ", ".join(names) if len(names) <= 20 else listed(names)
