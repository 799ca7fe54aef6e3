"""Tags a scene: windows are cut out of strips of rows, the networks predict them, and each gives one cell of a map."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.band_order import Bands
from amazon_ml.data.readers.images import Image, Mask
from amazon_ml.errors import InputError
from amazon_ml.labels import MultiHot
from amazon_ml.predictor import Predictor
from amazon_ml.runs.bundle import Networks
from amazon_ml.runs.inference import all_members
from amazon_ml.runs.predict import inputs_of, made_of
from amazon_ml.runtime.files import sha256_of
from amazon_ml.runtime.progress import counted
from amazon_ml.scenes.area import shares_inside
from amazon_ml.scenes.config import SCENE, SceneConfig
from amazon_ml.scenes.grid import Windows, place_windows
from amazon_ml.scenes.outputs import PARTS, check_folder, existing_outputs, write_outputs
from amazon_ml.scenes.parts import Part, PartStore, hash_request
from amazon_ml.scenes.placing import Mosaic, name_crs, place_files
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.sources import describe_file, find_files
from amazon_ml.scenes.strips import MosaicReader, Needed, Strip, read_ahead, read_strips
from amazon_ml.scenes.values import Scaling, choose_scaling, order_bands

_Pixel = TypeVar("_Pixel", bound=np.generic)

log = logging.getLogger(__name__)

#: Version of the parts; increased when the same request gives other probabilities.
_FORMAT = 1
#: Bytes of a strip that several rows of windows share, and the largest number of bytes of a strip.
_STRIP, _MOST = 2**27, 2**32
#: Bytes of windows that are predicted together, beyond one batch.
_WINDOWS = 2**28
#: Bytes at the start of a file that are hashed to notice another file of the same size and time.
_HEAD = 2**20
#: Rows of cells that the decision rule gets at once.
_DECIDED = 50_000
#: Share of pixels that are 0 in all bands, from which on a scene seems to have undeclared pixels without data.
_BLACK = 0.01


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
        Folder to write: cells.gpkg, cells.parquet, probabilities.tif, summary.csv and scene.json.
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
    files = [describe_file(path, allow_remote=how.allow_remote) for path in find_files(
        named, allow_remote=how.allow_remote)]  # fmt: skip
    gsd = how.gsd if how.gsd is not None else networks.gsd
    mosaic = place_files(files, gsd, pixel_coordinates=how.pixel_coordinates)
    if geojson and not mosaic.grid.crs:
        raise InputError("a GeoJSON needs longitude and latitude, which pixel coordinates lack", option="geojson")
    windows = place_windows(mosaic.grid, networks.size, how.stride or networks.size)
    needed = order_bands(files, networks.read, how.bands, how.nodata)
    scaling, notes = choose_scaling(mosaic, needed, networks.read, how.limits)
    _check_memory(mosaic, windows, needed)
    inside = (
        np.ones(windows.shape, dtype=np.float32) if how.aoi is None
        else shares_inside(Path(how.aoi), mosaic.grid, windows)
    )  # fmt: skip
    notes = [*mosaic.notes, *_size_notes(windows), *notes]
    for note in notes:
        log.warning(note)
    store = PartStore(out / PARTS if out else None, _request(predictor, networks, mosaic, needed, scaling, how))
    rows, columns = windows.shape
    log.info(
        "%s x %s windows of %s px, every %s px, in %s", f"{rows:,}", f"{columns:,}", windows.size, windows.stride,
        name_crs(mosaic.grid.crs),
    )  # fmt: skip
    if out is not None:
        check_folder(out, [Path(file.path) for file in files if not how.allow_remote])
    resumed = store.begin(overwrite=overwrite)
    if out is not None and not resumed:
        _check_free(out, overwrite)
    p, valid, black = _predict_parts(predictor, networks, mosaic, windows, needed, scaling, how, inside, store)
    if black > _BLACK:
        notes.append(
            f"{black:.0%} of the pixels are 0 in all bands, although the files do not declare them as pixels without "
            "data (`nodata` 0 does so)"
        )
        log.warning(notes[-1])
    result = SceneResult(
        mosaic.grid, windows, predictor.tags, p, _decide(predictor, p), valid, inside, tuple(notes)
    )  # fmt: skip
    if out is not None:
        about = {"scene": [file.path for file in files], "options": asdict(how), "gsd": gsd}
        write_outputs(out, result, about, geojson=geojson)
        store.remove()
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


def _check_memory(mosaic: Mosaic, windows: Windows, needed: Needed) -> None:
    """Check that a strip of one row of windows fits into memory."""
    size = windows.size * _row_bytes(mosaic, needed)
    if size > _MOST:
        problem = f"a strip of {windows.size} rows of {mosaic.grid.width:,} pixels takes {size / 2**30:.1f} GiB"
        raise InputError(problem, option="scene", remedy="cut the scene into parts of fewer columns")


def _row_bytes(mosaic: Mosaic, needed: Needed) -> int:
    """Bytes that a row of pixels takes: values, channels, and copies of both on the way."""
    itemsize = np.dtype(mosaic.places[0].file.dtype).itemsize
    return mosaic.grid.width * len(needed.letters) * (2 * itemsize + 4 + 3)


def _request(
    predictor: Predictor, networks: Networks, mosaic: Mosaic, needed: Needed, scaling: Scaling, how: SceneConfig
) -> str:
    """Hash all that the probabilities depend on."""
    files = [[*_identity(place.file.path), needed.orders[place.file.path]] for place in mosaic.places]
    return hash_request({
        "format": _FORMAT, "files": files, "grid": asdict(mosaic.grid), "size": networks.size,
        "stride": how.stride or networks.size, "valid": how.valid, "nodata": how.nodata, "wide": scaling.wide,
        "reader": asdict(scaling.reader), "aoi": how.aoi and sha256_of(Path(how.aoi)),
        "bundle": made_of(predictor.bundle), "tags": predictor.tags,
    })  # fmt: skip


def _identity(path: str) -> list[object]:
    """Identify a file by size, time and its first bytes; to hash a whole scene would take as long as to read it."""
    file = Path(path)
    if not file.is_file():  # an address in a network
        return [path]
    about = file.stat()
    with file.open("rb") as stream:
        return [about.st_size, about.st_mtime_ns, hashlib.sha256(stream.read(_HEAD)).hexdigest()]


# ---------------------------------------------------------------- strips


def _predict_parts(
    predictor: Predictor, networks: Networks, mosaic: Mosaic, windows: Windows, needed: Needed, scaling: Scaling,
    how: SceneConfig, inside: npt.NDArray[np.float32], store: PartStore,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]:  # fmt: skip
    """Predict all windows, part by part; return probabilities, shares of valid pixels, and the share of black ones."""
    rows, columns = windows.shape
    tags = len(predictor.tags)
    p = np.full((rows, columns, tags), np.nan, dtype=np.float32)
    valid = np.zeros((rows, columns), dtype=np.float32)
    todo: list[tuple[int, slice]] = []
    for number, part in enumerate(_divide(windows, networks, _row_bytes(mosaic, needed))):
        stored = store.read(number, (part.stop - part.start, columns, tags))
        if stored is not None:
            p[part], valid[part] = stored.p, stored.valid
        elif inside[part].any():
            todo.append((number, part))
    spans = [windows.span(part.start, part.stop) for _, part in todo]
    seen = np.zeros(2, dtype=np.int64)
    done = rows - sum(part.stop - part.start for _, part in todo)
    strips = read_ahead(_strips(mosaic, needed, scaling, spans))
    with closing(strips), counted(rows, done, "tagging, rows of windows") as advance:
        for (number, part), strip in zip(todo, strips, strict=True):
            found = _predict_strip(predictor, windows, part, strip, how.valid, inside)
            p[part], valid[part] = found.p, found.valid
            store.write(number, found)
            seen += [int((~strip.channels.any(axis=-1) & strip.valid).sum()), strip.valid.size]
            advance(part.stop - part.start)
    return p, valid, float(seen[0] / seen[1]) if seen[1] else 0.0


def _divide(windows: Windows, networks: Networks, row_bytes: int) -> Iterator[slice]:
    """Divide the rows of windows into parts that fill a batch, as far as their pixels take little memory."""
    rows, columns = windows.shape
    together = max(1, min(-(-networks.batch_size // columns), _STRIP // max(1, row_bytes * windows.stride)))
    for first in range(0, rows, together):
        yield slice(first, min(rows, first + together))


def _strips(mosaic: Mosaic, needed: Needed, scaling: Scaling, spans: Sequence[tuple[int, int]]) -> Iterator[Strip]:
    with MosaicReader(mosaic, needed) as reader:

        def rows(top: int, end: int) -> tuple[Image, Mask]:
            bands, valid = reader.rows(top, end)
            return scaling(Bands(bands, dict.fromkeys(bands))), valid

        yield from read_strips(rows, spans)


def _predict_strip(
    predictor: Predictor, windows: Windows, part: slice, strip: Strip, least: float, inside: npt.NDArray[np.float32]
) -> Part:
    """Predict the windows of a strip; those with too few valid pixels, or outside, get no probabilities."""
    columns, size = windows.shape[1], windows.size
    channels, shown = _padded(strip.channels, windows), _padded(strip.valid, windows)
    p = np.full((part.stop - part.start, columns, len(predictor.tags)), np.nan, dtype=np.float32)
    valid = np.zeros(p.shape[:2], dtype=np.float32)
    whole = bool(shown.all())
    chosen: list[tuple[int, int]] = []
    for row in range(part.start, part.stop):
        top = int(windows.down.starts[row]) - strip.top
        for column in range(columns):
            left = int(windows.across.starts[column])
            share = 1.0 if whole else float(shown[top : top + size, left : left + size].mean())
            valid[row - part.start, column] = share
            if share >= least and share > 0 and inside[row, column] > 0:
                chosen.append((row, column))
    most = max(1, _WINDOWS // (size * size * channels.shape[-1]))
    for first in range(0, len(chosen), most):
        some = chosen[first : first + most]
        tiles = np.empty((len(some), size, size, channels.shape[-1]), dtype=np.uint8)
        for slot, (row, column) in enumerate(some):
            top, left = int(windows.down.starts[row]) - strip.top, int(windows.across.starts[column])
            here = np.s_[top : top + size, left : left + size]
            tiles[slot] = channels[here]
            if not whole:
                fill_holes(tiles[slot], shown[here])
        at = np.array(some) - [part.start, 0]
        p[at[:, 0], at[:, 1]] = predictor.predict_proba(tiles)
    return Part(p, valid)


def fill_holes(tile: Image, valid: Mask) -> None:
    """Set pixels without data to the mean of the others, in place: 0 would look like water, and 255 like a cloud."""
    if not valid.all():
        tile[~valid] = np.rint(tile[valid].mean(axis=0)).astype(np.uint8)


def _padded(pixels: npt.NDArray[_Pixel], windows: Windows) -> npt.NDArray[_Pixel]:
    """Extend a scene that is smaller than a window by reflection."""
    down, across = windows.down.padding, windows.across.padding
    if not down and not across:
        return pixels
    return np.pad(pixels, [(0, down), (0, across), *[(0, 0)] * (pixels.ndim - 2)], mode="reflect")


def _decide(predictor: Predictor, p: npt.NDArray[np.float32]) -> MultiHot:
    """Apply the decision rule to all cells with probabilities."""
    flat = p.reshape(-1, p.shape[-1])
    known = np.flatnonzero(~np.isnan(flat[:, 0]))
    predicted = np.zeros(flat.shape, dtype=np.uint8)
    for first in range(0, len(known), _DECIDED):
        some = known[first : first + _DECIDED]
        predicted[some] = predictor.rule.predict(flat[some])
    return predicted.reshape(p.shape)
