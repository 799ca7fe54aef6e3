"""Cuts tiles with tags out of a scene: a folder that trains as any other, split by place."""

import csv
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from amazon_ml.data.catalog.tags import doubt_separators
from amazon_ml.errors import InputError
from amazon_ml.labels import TagSet
from amazon_ml.runtime.files import atomic_write, write_text
from amazon_ml.runtime.outputs import check_place
from amazon_ml.runtime.progress import counted
from amazon_ml.scenes.config import CUT, CutConfig
from amazon_ml.scenes.grid import Grid, place_windows
from amazon_ml.scenes.labelling import Place, label_tiles, split_by_place
from amazon_ml.scenes.placing import Mosaic, metres_per_unit, place_files
from amazon_ml.scenes.raster import save
from amazon_ml.scenes.sources import check_apart, describe_file, find_files
from amazon_ml.scenes.strips import MosaicReader, Needed, read_ahead
from amazon_ml.scenes.values import check_one_type, order_letters
from amazon_ml.scenes.vectors import read_features

log = logging.getLogger(__name__)

TILES, LABELS, CONFIG = "tiles", "labels.csv", "train.yaml"
_WORDS = {"r": "red", "g": "green", "b": "blue", "n": "nir"}


@dataclass(frozen=True)
class CutTiles:
    """What was cut.

    Parameters
    ----------
    folder
        The folder of the tile set.
    splits
        Number of tiles in each split.
    tags
        Number of tiles with each tag.
    without_data
        Number of labelled tiles that were left out since too few of their pixels have data.
    overlapping
        Number of labelled tiles that were left out since they overlap a tile of another split.
    """

    folder: Path
    splits: dict[str, int]
    tags: dict[str, int]
    without_data: int
    overlapping: int


def cut_scene(scene: list[str], *, labels: Path, out: Path, how: CutConfig = CUT) -> CutTiles:
    """Cut tiles with tags out of a scene.

    Parameters
    ----------
    scene
        GeoTIFF, JPEG 2000 or VRT, several of them, or folders. All files together make one scene.
    labels
        GeoJSON or GeoPackage of points and polygons with tags.
    out
        Folder to make: tiles/ with a GeoTIFF for each tile, labels.csv with names, tags and splits, and train.yaml,
        the options to train with.
    how
        How the scene is read, and which tiles are labelled.

    Returns
    -------
    CutTiles
        How many tiles there are.

    Raises
    ------
    InputError
        If a file cannot be read, the files hold values of different types, the labels do not lie on the scene, or the
        folder exists and is not empty.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        if out.is_dir() and {path.name for path in out.iterdir()} == {TILES}:
            raise InputError(f"`out` {out} holds tiles of a cut that was not finished", option="out",
                             remedy="remove it, or name a new folder")  # fmt: skip
        raise InputError(f"`out` {out} exists already", option="out", remedy="name a new folder")
    check_apart(out, scene)
    paths = find_files(scene, allow_remote=how.allow_remote)
    files = [describe_file(path, allow_remote=how.allow_remote) for path in paths]
    mosaic = place_files(files, how.gsd, pixel_coordinates=how.pixel_coordinates)
    for note in mosaic.notes if how.gsd is not None else ():
        log.warning(note)
    grid = mosaic.grid
    if min(grid.width, grid.height) < how.size:
        problem = f"the scene has {grid.width:,} x {grid.height:,} pixels, fewer than a tile of `size` {how.size}"
        raise InputError(problem, option="size")
    needed = order_letters(files, how.bands, how.nodata)
    check_one_type(mosaic)
    features = read_features(labels, "labels").projected(grid.crs)
    labelled = label_tiles(features, grid, place_windows(grid, how.size, how.stride or how.size), how)
    tags = TagSet(tuple(sorted({tag for one in labelled.tags for tag in one})))
    targets = tags.encode_split(labelled.tags)
    splits = split_by_place(labelled.places, targets, how)
    check_place(out / LABELS)
    kept = [at for at, split in enumerate(splits) if split]
    written = _write_tiles(out / TILES, mosaic, needed, [labelled.places[at] for at in kept], how)
    done = [at for at in kept if labelled.places[at] in written]
    if not done:
        raise InputError("no labelled tile has enough pixels with data", file=labels, option="valid")
    separator = tags.separator()
    with atomic_write(out / LABELS) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("image_name", "tags", "split"))
        for at in done:
            writer.writerow((_name(labelled.places[at]), separator.join(labelled.tags[at]), splits[at]))
    write_text(out / CONFIG, _config(out, grid, needed, how, [labelled.tags[at] for at in done], separator))
    counts = targets[done].sum(axis=0, dtype=int).tolist()
    result = CutTiles(
        out, {name: sum(splits[at] == name for at in done) for name in ("train", "val", "test")},
        dict(zip(tags.names, counts, strict=True)), len(kept) - len(done), len(splits) - len(kept),
    )  # fmt: skip
    log.info("wrote %s: %s tiles", out, f"{len(done):,}")
    return result


def _name(place: Place) -> str:
    return f"r{place[0]:06}_c{place[1]:06}"


def _write_tiles(folder: Path, mosaic: Mosaic, needed: Needed, places: list[Place], how: CutConfig) -> set[Place]:
    """Write the tiles with enough pixels with data; return their places."""
    written = set()
    rows: dict[int, list[int]] = {}
    for row, column in places:
        rows.setdefault(row, []).append(column)
    strips = read_ahead(_strips(mosaic, needed, sorted(rows), how.size))
    with counted(len(places), 0, "cutting, tiles") as advance:
        for row, (bands, valid) in zip(sorted(rows), strips, strict=True):
            for column in rows[row]:
                here = np.s_[:, column : column + how.size]
                shown = valid[here]
                if shown.mean() >= how.valid and shown.any():
                    tile = np.stack([bands[letter][here] for letter in needed.letters])
                    _write_tile(folder / f"{_name((row, column))}.tif", tile, shown, mosaic.grid, (row, column), needed)
                    written.add((row, column))
            advance(len(rows[row]))
    return written


def _strips(
    mosaic: Mosaic, needed: Needed, tops: list[int], size: int
) -> Iterator[tuple[dict[str, npt.NDArray[np.generic]], npt.NDArray[np.bool_]]]:
    with MosaicReader(mosaic, needed) as reader:
        for top in tops:
            yield reader.rows(top, top + size)


def _write_tile(
    path: Path, tile: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], grid: Grid, place: Place, needed: Needed
) -> None:
    """Write a tile as a GeoTIFF with names of its bands and, where pixels lack data, a mask."""
    import rasterio
    from rasterio.io import MemoryFile

    row, column = place
    corner = Grid(grid.crs, grid.x(column), grid.y(row), grid.dx, grid.dy, tile.shape[2], tile.shape[1])
    about = {
        "driver": "GTiff", "width": corner.width, "height": corner.height, "count": len(tile), "dtype": tile.dtype,
        "transform": corner.transform, "compress": "deflate", "photometric": "MINISBLACK", "alpha": "NO",
    }  # fmt: skip
    if grid.crs:
        about["crs"] = grid.crs
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory, atomic_write(path) as temporary:
        with memory.open(**about) as file:
            file.write(tile)
            file.descriptions = [_WORDS[letter] for letter in needed.letters]
            if not valid.all():
                file.write_mask(valid)
        save(memory, temporary)


def _config(
    out: Path, grid: Grid, needed: Needed, how: CutConfig, tags: Sequence[Sequence[str]], separator: str
) -> str:
    """Write the options that training on these tiles needs."""
    import yaml

    bands = "".join(letter for letter in "rgbn" if letter in needed.letters)
    data: dict[str, object] = {
        "root": str(out), "labels_file": LABELS, "split_column": "split", "size": how.size, "bands": bands,
        "rgb_source": "tif",
    }  # fmt: skip
    if separator != " ":
        data["tag_separator"] = separator
    if doubt_separators(map(separator.join, tags), separator):  # a tag of a list: training takes it where it is listed
        data["tags"] = sorted({tag for one in tags for tag in one})
    if grid.crs:
        data["gsd"] = float(round((grid.dx * grid.dy) ** 0.5 * metres_per_unit(grid.crs), 6))
    return (
        f"# amazon-ml train --config CONFIG --config {out / CONFIG}\n{yaml.safe_dump({'data': data}, sort_keys=False)}"
    )
