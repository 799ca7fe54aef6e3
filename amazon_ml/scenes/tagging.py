"""Predicts the windows of a scene, strip by strip."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from amazon_ml.data.config import LevelType
from amazon_ml.data.readers.band_order import Bands
from amazon_ml.data.readers.images import Image, Mask
from amazon_ml.decisions.crossfit import Rule
from amazon_ml.errors import InputError, listed
from amazon_ml.labels import MultiHot
from amazon_ml.predictor import Predictor
from amazon_ml.runs.bundle import Bundle
from amazon_ml.runtime.progress import counted
from amazon_ml.scenes.grid import Windows
from amazon_ml.scenes.parts import Part, PartStore, part_file
from amazon_ml.scenes.picture import colours, empty_picture, picture_factor, picture_rows, picture_size, shrink
from amazon_ml.scenes.placing import Mosaic
from amazon_ml.scenes.strips import MosaicReader, Needed, Strip, read_ahead, read_strips
from amazon_ml.scenes.unchanged import Watch
from amazon_ml.scenes.values import Scaling

#: Bytes of a strip that several rows of windows share, and the largest number of bytes of a strip.
_STRIP, _MOST = 2**27, 2**32
#: Bytes of windows that are predicted together, beyond one batch.
_WINDOWS = 2**28
#: Every `_STEP`-th row and column of pixels is looked at for values at the ends of their range.
_STEP = 4
#: Rows of cells that the decision rule gets at once.
_DECIDED = 50_000

log = logging.getLogger(__name__)

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True)
class Tagger:
    """The networks and the rule that a scene is tagged with.

    Parameters
    ----------
    bundle
        The networks and the rule.
    predictor
        What computes; None where all strips are computed elsewhere, so that no networks are loaded.
    elsewhere
        Name of the engine and the precision there.
    """

    bundle: Bundle
    predictor: Predictor | None = None
    elsewhere: str | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, in the order of the probabilities."""
        return tuple(self.bundle.decision.tags)

    @property
    def engine(self) -> str | None:
        """The engine and the precision; None where ``auto`` has not been decided yet."""
        return self.elsewhere if self.predictor is None else self.predictor.engine


@dataclass(frozen=True)
class Job:
    """What is predicted, and how.

    Parameters
    ----------
    tagger
        The networks and the rule.
    batch_size
        Windows that the networks take at once.
    mosaic, needed, scaling
        The files on their grid, the bands that are read, and how values become channels.
    windows
        The windows.
    least
        Least share of valid pixels of a window that gets probabilities.
    inside
        Share of each cell inside the area of interest; cells with 0 get no probabilities.
    watch
        Notices files that change.
    """

    tagger: Tagger
    batch_size: int
    mosaic: Mosaic
    needed: Needed
    scaling: Scaling
    windows: Windows
    least: float
    inside: npt.NDArray[np.float32]
    watch: Watch


@dataclass(frozen=True)
class Found:
    """Probabilities of all windows.

    Parameters
    ----------
    p
        Probabilities, float32 of shape (rows, columns, tags); NaN where there are none.
    valid
        Share of the pixels of each window that have data.
    black
        Share of the pixels with data that are 0 in all channels.
    clipped
        Share of the values of these pixels at the lowest or the highest level, in the channel where it is largest.
    picture
        The scene scaled down: red, green, blue and opacity.
    """

    p: npt.NDArray[np.float32]
    valid: npt.NDArray[np.float32]
    black: float
    clipped: float
    picture: Image


def check_memory(mosaic: Mosaic, windows: Windows, needed: Needed, levels: LevelType) -> None:
    """Check that a strip of one row of windows fits into memory.

    Raises
    ------
    InputError
        If it does not.
    """
    size = windows.size * _row_bytes(mosaic, needed, levels)
    if size > _MOST:
        problem = f"a strip of {windows.size} rows of {mosaic.grid.width:,} pixels takes {size / 2**30:.1f} GiB"
        raise InputError(problem, option="scene", remedy="cut the scene into parts of fewer columns")


def strips_of(job: Job) -> list[tuple[int, slice]]:
    """Divide the rows of windows into strips, and list those with cells inside the area of interest, with numbers."""
    rows, together = job.windows.shape[0], rows_of_strips(job)
    parts = (slice(first, min(rows, first + together)) for first in range(0, rows, together))
    return [(number, part) for number, part in enumerate(parts) if job.inside[part].any()]


def stored_part(job: Job, store: PartStore, number: int, part: slice) -> Part | None:
    """Read the part of a strip; None where it is missing or damaged."""
    first, last = picture_rows(job.windows, part, picture_factor(job.mosaic.grid))
    columns, width = job.windows.shape[1], picture_size(job.mosaic.grid)[1]
    return store.read(number, (part.stop - part.start, columns, len(job.tagger.tags)), (max(0, last - first), width, 4))


def predict_windows(job: Job, store: PartStore) -> Found:
    """Predict all windows, part by part; parts that are stored are not predicted again."""
    strips = strips_of(job)
    p = np.full((*job.windows.shape, len(job.tagger.tags)), np.nan, dtype=np.float32)
    valid = np.zeros(job.windows.shape, dtype=np.float32)
    picture, factor = empty_picture(job.mosaic.grid), picture_factor(job.mosaic.grid)
    seen = np.zeros(3, dtype=np.int64)
    todo = []

    def add(part: slice, found: Part) -> None:
        p[part], valid[part] = found.p, found.valid
        picture[slice(*picture_rows(job.windows, part, factor))] = found.picture
        seen[:] += found.seen

    for number, part in strips:
        stored = stored_part(job, store, number, part)
        if stored is None:
            todo.append((number, part))
        else:
            add(part, stored)
    for part, found in predict_strips(job, store, todo, _rows(strips)):
        add(part, found)
    black, clipped = (seen[1:] / max(1, seen[0])).tolist()
    return Found(p, valid, black, clipped, picture)


def predict_strips(
    job: Job, store: PartStore, todo: Sequence[tuple[int, slice]], total: int
) -> Iterator[tuple[slice, Part]]:
    """Predict the windows of strips, and store each.

    Parameters
    ----------
    job, store
        What is predicted, and where it is stored.
    todo
        Numbers and rows of windows of the strips.
    total
        Rows of windows that the progress counts; those beyond `todo` are done already.

    Raises
    ------
    InputError
        If strips are left, and all are computed elsewhere: they were removed after they were listed.
    WorkError
        If a file that a strip shows changed since the scene was prepared.
    """
    predictor = job.tagger.predictor
    if predictor is None:
        if todo:
            raise _gone(store, [number for number, _ in todo])
        return
    done = total - _rows(todo)
    if done:
        log.info("%s of %s rows of windows are done already", f"{done:,}", f"{total:,}")
    strips = read_ahead(_look(job, todo))
    with closing(strips), counted(total, done, "tagging, rows of windows") as advance:
        for (number, part), (strip, picture, seen) in zip(todo, strips, strict=True):
            job.watch.check(_files_in(job, part))  # hours would be lost if only the end noticed
            found = Part(*_predict_strip(job, predictor, part, strip), picture, seen)
            store.write(number, found)
            yield part, found
            advance(part.stop - part.start)


def _look(
    job: Job, strips: Sequence[tuple[int, slice]]
) -> Generator[tuple[Strip, Image, npt.NDArray[np.int64]], None, None]:
    """Read strips, and make of each what the networks are not needed for: its part of the picture, and its extremes."""
    with closing(read_strips_of(job, strips)) as read:
        for (_, part), strip in zip(strips, read, strict=True):
            yield strip, _picture(job, part, strip), _extremes(strip)


def _files_in(job: Job, part: slice) -> list[str]:
    """List the files that lie in some rows of windows."""
    top, end = job.windows.span(part.start, part.stop)
    return [place.file.path for place in job.mosaic.places if place.row < end and place.row + place.height > top]


def _gone(store: PartStore, numbers: Sequence[int]) -> InputError:
    names = [part_file(Path(), number).name for number in numbers]
    return InputError(f"{listed(names)} were removed or damaged while the strips were joined", file=store.folder,
                      remedy="run scene merge again: it names the shards to tag")  # fmt: skip


def _rows(strips: Sequence[tuple[int, slice]]) -> int:
    return sum(part.stop - part.start for _, part in strips)


def decide(rule: Rule, p: npt.NDArray[np.float32]) -> MultiHot:
    """Apply the decision rule to all cells with probabilities; the others get no tags."""
    flat = p.reshape(-1, p.shape[-1])
    known = np.flatnonzero(~np.isnan(flat[:, 0]))
    predicted = np.zeros(flat.shape, dtype=np.uint8)
    for first in range(0, len(known), _DECIDED):
        some = known[first : first + _DECIDED]
        predicted[some] = rule.predict(flat[some])
    return predicted.reshape(p.shape)


def fill_holes(tile: Image, valid: Mask) -> None:
    """Set pixels without data to the mean of the others, in place: 0 would look like water, and 255 like a cloud."""
    if not valid.all():
        tile[~valid] = np.rint(tile[valid].mean(axis=0)).astype(tile.dtype)


def _extremes(strip: Strip) -> npt.NDArray[np.int64]:
    """Count pixels with data, black ones, and those at an end of the channel with most of these; of a sample."""
    channels, valid = strip.channels[::_STEP, ::_STEP], strip.valid[::_STEP, ::_STEP]
    black = ~channels.any(axis=-1) & valid
    ends = ((channels == 0) | (channels == np.iinfo(channels.dtype).max)) & valid[..., None]
    return np.array([valid.sum(), black.sum(), ends.sum(axis=(0, 1)).max()], dtype=np.int64)


def _row_bytes(mosaic: Mosaic, needed: Needed, levels: LevelType) -> int:
    """Bytes that a row of pixels takes: values, channels, and copies of both on the way."""
    itemsize = np.dtype(mosaic.places[0].file.dtype).itemsize
    return mosaic.grid.width * len(needed.letters) * (2 * itemsize + 4 + 3 * np.dtype(levels).itemsize)


def rows_of_strips(job: Job) -> int:
    """Rows of windows of a strip: as many as one batch holds, if their pixels take little memory; at least one."""
    bytes_each = max(1, _row_bytes(job.mosaic, job.needed, job.scaling.reader.dtype) * job.windows.stride)
    return max(1, min(job.batch_size // job.windows.shape[1], _STRIP // bytes_each))


def read_strips_of(job: Job, strips: Sequence[tuple[int, slice]]) -> Generator[Strip, None, None]:
    """Read the pixels of strips, which are given by their numbers and rows of windows."""
    spans = [job.windows.span(part.start, part.stop) for _, part in strips]
    with MosaicReader(job.mosaic, job.needed) as reader:

        def rows(top: int, end: int) -> tuple[Image, Mask]:
            bands, valid = reader.rows(top, end)
            return job.scaling(Bands(bands, dict.fromkeys(bands))), valid

        yield from read_strips(rows, spans)


def _predict_strip(
    job: Job, predictor: Predictor, part: slice, strip: Strip
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Predict the windows of a strip, and give the share of valid pixels of each.

    Windows with too few of these, or outside of the area of interest, get no probabilities.
    """
    windows, size = job.windows, job.windows.size
    channels, shown = _padded(strip.channels, windows), _padded(strip.valid, windows)
    whole = bool(shown.all())
    p = np.full((part.stop - part.start, windows.shape[1], len(job.tagger.tags)), np.nan, dtype=np.float32)
    valid = np.ones(p.shape[:2], dtype=np.float32)
    places = [
        [np.s_[top : top + size, left : left + size] for left in windows.across.starts.tolist()]
        for top in (windows.down.starts[part] - strip.top).tolist()
    ]
    if not whole:
        valid[:] = [[shown[here].mean() for here in row] for row in places]
    chosen = np.argwhere((valid >= job.least) & (valid > 0) & (job.inside[part] > 0))
    most = max(1, _WINDOWS // (size * size * channels.shape[-1] * channels.itemsize))
    for first in range(0, len(chosen), most):
        some = chosen[first : first + most]
        tiles = np.empty((len(some), size, size, channels.shape[-1]), dtype=channels.dtype)
        for slot, (row, column) in enumerate(some.tolist()):
            here = places[row][column]
            tiles[slot] = channels[here]
            if not whole:
                fill_holes(tiles[slot], shown[here])
        # Scaled for members of a blend that read smaller ones.
        p[some[:, 0], some[:, 1]] = predictor.predict_proba(tiles, scale=True)
    return p, valid


def _picture(job: Job, part: slice, strip: Strip) -> Image:
    """Scale down the rows of the scene that a part shows."""
    factor = picture_factor(job.mosaic.grid)
    first, last = picture_rows(job.windows, part, factor)
    rows = slice(first * factor - strip.top, last * factor - strip.top)
    return shrink(colours(job.scaling.reader, strip.channels[rows]), strip.valid[rows], factor)


def _padded(pixels: npt.NDArray[_Pixel], windows: Windows) -> npt.NDArray[_Pixel]:
    """Extend a scene that is smaller than a window by reflection."""
    down, across = windows.down.padding, windows.across.padding
    if not down and not across:
        return pixels
    return np.pad(pixels, [(0, down), (0, across), *[(0, 0)] * (pixels.ndim - 2)], mode="reflect")
