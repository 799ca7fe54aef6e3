"""Tags a scene: the request is checked, the windows are predicted, and the map is written."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from amazon_ml.data.readers.reader_file import describe_reader
from amazon_ml.errors import InputError
from amazon_ml.predictor import Predictor
from amazon_ml.runs.bundle import Networks
from amazon_ml.runs.inference import all_members
from amazon_ml.runs.predict import inputs_of, made_of
from amazon_ml.runtime.files import sha256_of
from amazon_ml.scenes.area import shares_inside
from amazon_ml.scenes.config import SCENE, SceneConfig
from amazon_ml.scenes.grid import Windows, place_windows
from amazon_ml.scenes.outputs import PARTS, check_folder, existing_outputs, write_outputs
from amazon_ml.scenes.page.scene import scene_title
from amazon_ml.scenes.parts import PartStore, hash_request
from amazon_ml.scenes.placing import name_crs, place_files
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.sources import describe_file, find_files
from amazon_ml.scenes.stored import read_frame
from amazon_ml.scenes.tagging import Found, Job, check_memory, decide, predict_windows
from amazon_ml.scenes.values import choose_scaling, order_bands

log = logging.getLogger(__name__)

#: Version of the parts; increased when the same request gives other probabilities.
_FORMAT = 1
#: Bytes at the start of a file that are hashed to notice another file of the same size and time.
_HEAD = 2**20
#: Share of pixels that are 0 in all bands, from which on a scene seems to have undeclared pixels without data.
_BLACK = 0.01
#: Share of pixels beyond the limits, from which on a scene seems to hold values of another kind.
_CLIPPED = 0.5


def tag_scene(
    run: Path, *, scene: list[str], out: Path, how: SceneConfig = SCENE, geojson: bool = False, overwrite: bool = False
) -> SceneResult:
    """Tag a scene: write a map with a cell for each window, and the area of each tag.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    scene
        GeoTIFF, JPEG 2000 or VRT, several of them, or folders. All files together make one scene; where several show
        the same place, the first that has data counts.
    out
        Folder to write: map.html, cells.gpkg, cells.parquet, probabilities.tif, summary.csv and scene.json.
    how
        How the scene is read.
    geojson
        Write cells.geojson, too, in longitude and latitude.
    overwrite
        Replace existing results, and the beginning of another call.
    """
    predictor = Predictor.load(run)
    check_folder(out, [run, *inputs_of(run, predictor.bundle), *map(Path, scene)])
    return predict_scene(predictor, scene, how, out=out, geojson=geojson, overwrite=overwrite)


def predict_scene(
    predictor: Predictor, scene: str | Path | Sequence[str | Path], how: SceneConfig = SCENE, *,
    out: Path | None = None, geojson: bool = False, overwrite: bool = False,
) -> SceneResult:  # fmt: skip
    """Predict the tags of a scene.

    Parameters
    ----------
    predictor
        The networks and the decision rule.
    scene
        File or folder, or several of them.
    how
        Options.
    out
        Folder for the results; None writes nothing. A call that was killed goes on there.
    geojson
        Write a GeoJSON, too.
    overwrite
        Replace existing results.

    Returns
    -------
    SceneResult
        Probabilities and tags of each cell.

    Raises
    ------
    InputError
        If a file cannot be read, does not fit the networks, or an output exists.
    """
    networks = _networks(predictor)
    named = [scene] if isinstance(scene, str | Path) else list(scene)
    paths = find_files(named, allow_remote=how.allow_remote)
    files = [describe_file(path, allow_remote=how.allow_remote) for path in paths]
    if out is not None:
        check_folder(out, map(Path, paths))
    gsd = how.gsd if how.gsd is not None else networks.gsd
    if how.like is not None and how.gsd is not None:
        raise InputError("`gsd` and `like` exclude each other: the other result has a resolution", option="gsd")
    like = None if how.like is None else read_frame(Path(how.like), "like")
    if like is not None and like.windows.size != networks.size:
        problem = (
            f"the windows of the other result have {like.windows.size} pixels, and those of this run {networks.size}"
        )
        raise InputError(problem, file=how.like, option="like", remedy="tag both scenes with the same run")
    grid = like.grid if like else None
    mosaic = place_files(files, gsd, pixel_coordinates=how.pixel_coordinates, like=grid)
    if geojson and not mosaic.grid.crs:
        raise InputError("a GeoJSON needs longitude and latitude, which pixel coordinates lack", option="geojson")
    stride = how.stride or (like.windows.stride if like else networks.size)
    windows = place_windows(mosaic.grid, networks.size, stride)
    needed = order_bands(files, networks.read, how.bands, how.nodata)
    check_memory(mosaic, windows, needed)
    inside = np.ones(windows.shape, dtype=np.float32)
    if how.aoi is not None:
        inside = shares_inside(Path(how.aoi), mosaic.grid, windows)
    scaling, notes = choose_scaling(mosaic, needed, networks.read, how.limits)
    notes = [*mosaic.notes, *_size_notes(windows), *notes]
    for note in notes:
        log.warning(note)
    job = Job(predictor, networks.batch_size, mosaic, needed, scaling, windows, how.valid, inside)
    store = PartStore(out / PARTS if out else None, _request(job, how))
    if out is not None and not store.is_begun():
        _check_free(out, overwrite)
    rows, columns = windows.shape
    log.info(
        "%s x %s windows of %s px, every %s px, in %s", f"{rows:,}", f"{columns:,}", windows.size, windows.stride,
        name_crs(mosaic.grid.crs),
    )  # fmt: skip
    with store.begun(overwrite=overwrite):
        found = predict_windows(job, store)
        for note in _value_notes(found, files[0].dtype):
            notes.append(note)
            log.warning(note)
        predicted = decide(predictor, found.p)
        result = SceneResult(
            mosaic.grid, windows, predictor.tags, found.p, predicted, found.valid, inside, tuple(notes)
        )
        if out is not None:
            about = {
                "scene": paths, "options": asdict(how), "gsd": gsd, "networks": made_of(predictor.bundle),
                "frequencies": dict(predictor.bundle.frequencies),
            }  # fmt: skip
            write_outputs(out, result, found.picture, about, title=scene_title(paths), geojson=geojson)
            log.info("wrote %s: %s cells", out, f"{int((inside > 0).sum()):,}")
    return result


def _check_free(out: Path, overwrite: bool) -> None:
    there = existing_outputs(out)
    if there and not overwrite:
        raise InputError(f"`out` {out} holds {there[0].name} already", option="out",
                         remedy="name another folder, or replace it with `overwrite`")  # fmt: skip


def _networks(predictor: Predictor) -> Networks:
    """Give the networks whose tiles the windows are; members of a blend must read the same ones."""
    first, *others = all_members(predictor.bundle.networks)
    for other in others:
        if (other.size, other.read, other.gsd) != (first.size, first.read, first.gsd):
            raise InputError(
                "the members of the blend read tiles in different ways: another size, other bands or limits",
                file=other.source, option="run", remedy="tag the scene with one of its runs",
            )  # fmt: skip
    return replace(first, batch_size=max(one.batch_size for one in (first, *others)))


def _size_notes(windows: Windows) -> list[str]:
    if not windows.is_padded:
        return []
    return [
        f"the scene has {windows.across.length:,} x {windows.down.length:,} pixels, fewer than a window of "
        f"{windows.size}: the window is filled by reflection"
    ]


def _value_notes(found: Found, dtype: str) -> list[str]:
    """Say which values of the scene look unlike those of tiles."""
    notes = []
    if found.black > _BLACK:
        notes.append(
            f"{found.black:.0%} of the pixels are 0 in all bands, although the files do not declare them as pixels "
            "without data (`nodata` 0 does so)"
        )
    if found.clipped > _CLIPPED and dtype != "uint8":
        notes.append(
            f"{found.clipped:.0%} of the pixels lie beyond the limits of the values: they are of another kind than the "
            "training tiles"
        )
    return notes


def _request(job: Job, how: SceneConfig) -> str:
    """Hash all that the probabilities depend on."""
    files = [[*_identity(place.file.path), job.needed.orders[place.file.path]] for place in job.mosaic.places]
    return hash_request({
        "format": _FORMAT, "files": files, "grid": asdict(job.mosaic.grid), "size": job.windows.size,
        "stride": job.windows.stride, "valid": how.valid, "nodata": how.nodata, "wide": job.scaling.wide,
        "reader": describe_reader(job.scaling.reader), "aoi": how.aoi and sha256_of(Path(how.aoi)),
        "bundle": made_of(job.predictor.bundle), "tags": job.predictor.tags,
    })  # fmt: skip


def _identity(path: str) -> list[object]:
    """Identify a file by size, time and its first bytes; to hash a whole scene would take as long as to read it."""
    file = Path(path)
    if not file.is_file():  # an address in a network
        return [path]
    about = file.stat()
    with file.open("rb") as stream:
        return [about.st_size, about.st_mtime_ns, hashlib.sha256(stream.read(_HEAD)).hexdigest()]
