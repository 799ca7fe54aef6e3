"""Generates tiles in the layout of the competition, to try the package without its data.

The tags follow the frequencies of the real tag table; the pictures are drawn by
`amazon_ml.data.demo.painting`.
"""

import fcntl
import glob
import io
import logging
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from amazon_ml.data.demo.painting import draw_tile
from amazon_ml.errors import InputError, WorkError
from amazon_ml.labels import PLANET, MultiHot

__all__ = ["draw_tile", "is_generated", "sample_tags", "write_demo"]

log = logging.getLogger(__name__)

#: Version of the generator; it changes whenever the same arguments give other tiles than before.
VERSION = 1

_MARKER = "GENERATED.txt"
_CONSTANT_TAGS = "primary clear agriculture road water"
_QUALITY = 80

# ---------------------------------------------------------------- frequencies
# Counts of the competition's train_v2.csv: shares of all 40,479 rows, conditional shares of the
# 32,343 rows on which they were counted.

_CLOUDY = 0.052
#: The other weather tags, given not cloudy.
_WEATHER = {"clear": 0.7405, "partly_cloudy": 0.1888, "haze": 0.0707}

_ROAD = 0.2099
_AGRICULTURE = {"road": 0.75, "no road": 0.21}
#: Given (agriculture, road).
_HABITATION = {(1, 1): 0.37, (1, 0): 0.085, (0, 1): 0.286, (0, 0): 0.014}
_CULTIVATION = {(1, 1): 0.19, (1, 0): 0.352, (0, 1): 0.071, (0, 0): 0.039}
_WATER = {(1, 1): 0.193, (1, 0): 0.249, (0, 1): 0.481, (0, 0): 0.153}

_COMMON = ("road", "agriculture", "habitation", "cultivation", "water")

#: For each rare tag, its share of all tiles, and the shares of its tiles with another tag. Tags that are not listed
#: are as frequent beside the rare tag as elsewhere. Assumed, not counted: clear for slash_burn and conventional_mine.
_RARE: dict[str, tuple[float, dict[str, float]]] = {
    "bare_ground": (0.0213, {"road": 0.38, "water": 0.24, "agriculture": 0.27}),
    "selective_logging": (0.0084, {"road": 0.43, "clear": 0.90}),
    "artisinal_mine": (0.0084, {"water": 0.87, "road": 0.34, "clear": 0.90}),
    "blooming": (0.0082, {"agriculture": 0.08, "clear": 0.95}),
    "slash_burn": (0.0052, {"cultivation": 0.59, "agriculture": 0.57, "clear": 0.90}),
    "blow_down": (0.0025, {"clear": 0.88}),
    "conventional_mine": (0.0025, {"road": 0.59, "habitation": 0.32, "clear": 0.90}),
}
#: Assumed: few of the rare tiles that are not clear are hazy, since haze hides rare things.
_HAZE_SHARE_OF_UNCLEAR_RARE = 0.1

#: Share of tiles without primary, by the first of these tags that a tile has. Assumed, but so that .977 of the tiles
#: that are not cloudy have primary, as was counted.
_NOT_PRIMARY = {"bare_ground": 0.35, "water": 0.05, "habitation": 0.03}
_NOT_PRIMARY_ELSE = 0.003


@lru_cache(maxsize=1)
def _common_shares() -> npt.NDArray[np.float64]:
    """Tabulate the frequency of each combination of the five common tags, given not cloudy."""

    def chance(share: float, on: int) -> float:
        return share if on else 1 - share

    shares = np.empty((2,) * len(_COMMON))
    for road, agriculture, habitation, cultivation, water in np.ndindex(shares.shape):
        both = (agriculture, road)
        shares[road, agriculture, habitation, cultivation, water] = (
            chance(_ROAD, road)
            * chance(_AGRICULTURE["road" if road else "no road"], agriculture)
            * chance(_HABITATION[both], habitation)
            * chance(_CULTIVATION[both], cultivation)
            * chance(_WATER[both], water)
        )
    return shares


def _rare_shares(tag: str, on: dict[str, npt.NDArray[np.bool_]]) -> npt.NDArray[np.float64]:
    """Compute the frequency of a rare tag on each row, from the common and weather tags there.

    Bayes' rule: share of the tag, times the ratio of the frequencies of these other tags with and without it.
    """
    overall, beside = _RARE[tag]
    share = np.full(len(on["clear"]), overall / (1 - _CLOUDY))
    for other, frequency in beside.items():
        if other in _COMMON:
            share *= np.where(on[other], frequency, 1 - frequency)
    if "clear" in beside:
        unclear = 1 - beside["clear"]
        share *= np.select(
            [on["clear"], on["haze"]],
            [
                beside["clear"] / _WEATHER["clear"],
                unclear * _HAZE_SHARE_OF_UNCLEAR_RARE / _WEATHER["haze"],
            ],
            unclear * (1 - _HAZE_SHARE_OF_UNCLEAR_RARE) / _WEATHER["partly_cloudy"],
        )
    others = tuple(axis for axis, other in enumerate(_COMMON) if other not in beside)
    surrounding = _common_shares().sum(axis=others)
    share /= surrounding[tuple(on[other].astype(int) for other in _COMMON if other in beside)]
    return share


def sample_tags(n: int, rng: np.random.Generator) -> MultiHot:
    """Draw combinations of tags with the frequencies of the competition's training tiles.

    Parameters
    ----------
    n
        Number of tiles.
    rng
        Source of randomness. The first rows do not depend on ``n``.

    Returns
    -------
    uint8 array of shape (n, 17), 0 or 1, columns in the order of `amazon_ml.labels.PLANET`.
    """
    # One number for each row and tag, so that a row never depends on those after it.
    draws = dict(zip(PLANET.names, rng.random((n, len(PLANET))).T, strict=True))
    on: dict[str, npt.NDArray[np.bool_]] = {}
    cloudy = draws["cloudy"] < _CLOUDY
    limits = np.cumsum(list(_WEATHER.values()))[:-1]
    weather = np.searchsorted(limits, draws["clear"], side="right")
    for i, tag in enumerate(_WEATHER):
        on[tag] = weather == i

    on["road"] = draws["road"] < _ROAD
    on["agriculture"] = draws["agriculture"] < np.where(on["road"], _AGRICULTURE["road"], _AGRICULTURE["no road"])
    for tag, shares in (("habitation", _HABITATION), ("cultivation", _CULTIVATION), ("water", _WATER)):
        table = np.array([[shares[a, r] for r in (0, 1)] for a in (0, 1)])
        on[tag] = draws[tag] < table[on["agriculture"].astype(int), on["road"].astype(int)]
    for tag in _RARE:
        on[tag] = draws[tag] < _rare_shares(tag, on)
    reasons, shares_without = zip(*((on[tag], share) for tag, share in _NOT_PRIMARY.items()), strict=True)
    on["primary"] = draws["primary"] >= np.select(reasons, shares_without, _NOT_PRIMARY_ELSE)

    on = {tag: rows & ~cloudy for tag, rows in on.items()} | {"cloudy": cloudy}
    return np.stack([on[tag] for tag in PLANET.names], axis=1).astype(np.uint8)


# ---------------------------------------------------------------- files


def _encode_jpeg(rgb: npt.NDArray[np.uint8]) -> bytes:
    """Encode RGB as in the competition's tiles: CMYK, K = 0, without a marker of it.

    Pillow adds an Adobe marker, which the real files lack; its segment is removed. Readers treat the samples as
    inverted with and without it.
    """
    cmyk = np.zeros((*rgb.shape[:2], 4), dtype=np.uint8)
    cmyk[..., :3] = 255 - rgb
    buffer = io.BytesIO()
    Image.fromarray(cmyk, "CMYK").save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    data = buffer.getvalue()
    kept, at = [data[:2]], 2
    while (marker := data[at + 1]) != 0xDA:  # start of scan: only picture data from here
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not 0xE0 <= marker <= 0xEF:
            kept.append(data[at:end])
        at = end
    return b"".join(kept) + data[at:]


def _test_names(test_tiles: int) -> tuple[list[str], list[str]]:
    first = -(-2 * test_tiles // 3)
    return [f"test_{i}" for i in range(first)], [f"file_{i}" for i in range(test_tiles - first)]


def _write_tiles(folder: Path, names: Collection[str], size: int, seed: int, split: int) -> list[str]:
    """Write one folder of tiles and return their tag strings."""
    folder.mkdir()
    # The fourth number makes this seed differ from those of the tiles, which numpy pads with zeros.
    encoded = sample_tags(len(names), np.random.default_rng([seed, split, 0, 1]))
    tags = [" ".join(sorted(row.split())) for row in PLANET.decode(encoded)]
    for i, (name, row) in enumerate(zip(names, tags, strict=True)):
        rgb = draw_tile(row.split(), size, np.random.default_rng([seed, split, i]))
        (folder / f"{name}.jpg").write_bytes(_encode_jpeg(rgb))
    log.info("wrote %d tiles to %s", len(names), folder.name)
    return tags


def _write_table(path: Path, rows: Collection[tuple[str, str]]) -> None:
    lines = ["image_name,tags", *(f"{name},{tags}" for name, tags in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _describe(tiles: int, test_tiles: int, size: int, seed: int) -> str:
    return f"""These tiles are generated. They are not satellite images.

A program drew every picture in this folder and drew the tags by chance, with the tag frequencies
of the Kaggle competition "Planet: Understanding the Amazon from Space". They serve to try the
software out. A score on them says nothing about the score on the competition's tiles.

sample_submission_v2.csv names the test tiles, all with the same tags; the tags that they were
drawn from are not kept.

Generator version: {VERSION}
Training tiles: {tiles}
Test tiles: {test_tiles}
Size in pixels: {size}
Seed: {seed}
"""


def is_generated(tile: Path) -> bool:
    """Whether the file of a tile lies in a folder that `write_demo` made."""
    return (tile.parent.parent / _MARKER).is_file()


def _is_complete(folder: Path, description: str, tiles: int, test_tiles: int) -> bool:
    marker = folder / _MARKER
    if not marker.is_file() or marker.read_text(encoding="utf-8", errors="replace") != description:
        return False
    test, additional = _test_names(test_tiles)
    counts = {"train-jpg": tiles, "test-jpg": len(test), "test-jpg-additional": len(additional)}
    tables = all((folder / name).is_file() for name in ("train_v2.csv", "sample_submission_v2.csv"))
    return tables and all(len(list((folder / name).glob("*.jpg"))) == count for name, count in counts.items())


@contextmanager
def _built_aside(folder: Path) -> Iterator[Path]:
    """Make a temporary folder beside the wanted one, and rename it when all is done.

    It is locked while its process lives. So a killed process leaves an unlocked folder with a temporary name, which
    the next call recognises and removes.
    """
    prefix = f".{folder.name}.amazon-ml-demo-"
    for leftover in folder.parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(OSError), _locked(leftover) as free:
            if free and ((leftover / _MARKER).is_file() or not any(leftover.iterdir())):
                shutil.rmtree(leftover, ignore_errors=True)
    aside = folder.parent / f"{prefix}{secrets.token_hex(8)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
    except OSError as error:
        problem = f"cannot write beside the folder: {error.strerror}"
        raise InputError(problem, file=folder, option="folder", remedy="choose another folder") from error
    with _locked(aside):
        try:
            yield aside
            try:
                aside.rename(folder)
            except OSError as error:
                raise WorkError(f"cannot move the finished tiles to {folder}: {error.strerror}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder until the block or the process ends; yield whether that was possible."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:  # held by another process, or a file system without locks
            free = False
        yield free
    finally:
        os.close(handle)


def write_demo(folder: Path, *, tiles: int = 3000, test_tiles: int = 600, size: int = 64, seed: int = 0) -> None:
    """Generate tiles with tags in the layout of the competition.

    The tiles are drawn, not photographed: they serve to try the software, and a score on them says nothing about
    Kaggle. The same arguments give the same files (with the same releases of numpy, OpenCV and Pillow), and a tile does
    not depend on the number of tiles. A folder that the same call has filled before is not changed.

    Parameters
    ----------
    folder
        Folder to create; if it exists, it must be empty.
    tiles
        Number of training tiles, at least 1.
    test_tiles
        Number of test tiles; two thirds go to test-jpg, the rest to test-jpg-additional.
    size
        Side of a tile in pixels, at least 16.
    seed
        Seed of the tiles, at least 0.

    Raises
    ------
    InputError
        If a number is out of range, the folder holds anything else, or no file can be written beside it.
    WorkError
        If the finished tiles cannot be moved into place.
    """
    for name, value, least in (
        ("tiles", tiles, 1),
        ("test_tiles", test_tiles, 0),
        ("size", size, 16),
        ("seed", seed, 0),
    ):
        if value < least:
            raise InputError(f"`{name}` must be at least {least}, not {value}", option=name)
    folder = Path(folder).expanduser().resolve()
    description = _describe(tiles, test_tiles, size, seed)
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file", file=folder, option="folder",
                         remedy="name a folder that does not exist yet")  # fmt: skip
    if folder.is_dir() and any(folder.iterdir()):
        if _is_complete(folder, description, tiles, test_tiles):
            log.info("%s already holds these generated tiles; nothing to do", folder)
            return
        problem = "the folder is not empty and does not hold the tiles of this call"
        raise InputError(problem, file=folder, option="folder", remedy="name another folder, or remove it yourself")
    test, additional = _test_names(test_tiles)
    train = [f"train_{i}" for i in range(tiles)]
    with _built_aside(folder) as aside:
        (aside / _MARKER).write_text(description, encoding="utf-8")  # first: it marks the folder as ours
        tags = _write_tiles(aside / "train-jpg", train, size, seed, split=0)
        _write_tiles(aside / "test-jpg", test, size, seed, split=1)
        _write_tiles(aside / "test-jpg-additional", additional, size, seed, split=2)
        _write_table(aside / "train_v2.csv", list(zip(train, tags, strict=True)))
        # As in the competition's file: test_* by number, but file_* by spelling.
        listed = [(name, _CONSTANT_TAGS) for name in [*test, *sorted(additional)]]
        _write_table(aside / "sample_submission_v2.csv", listed)
    log.info("%s holds %d training and %d test tiles", folder, tiles, test_tiles)
