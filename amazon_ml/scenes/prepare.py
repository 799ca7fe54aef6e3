"""Prepares a scene for tagging: the request is checked, and windows are placed on the ground."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from amazon_ml.data.readers.reader_file import describe_reader
from amazon_ml.errors import InputError
from amazon_ml.models.engines import REFERENCE
from amazon_ml.runs.bundle import Bundle, Networks
from amazon_ml.runs.inference import all_members
from amazon_ml.runs.predict import made_of
from amazon_ml.runtime.files import sha256_of
from amazon_ml.scenes.area import shares_inside
from amazon_ml.scenes.config import SceneConfig
from amazon_ml.scenes.grid import Windows, place_windows
from amazon_ml.scenes.outputs import OUTPUTS, PARTS, check_folder
from amazon_ml.scenes.parts import PartStore, hash_request
from amazon_ml.scenes.placing import SAME, name_crs, place_files
from amazon_ml.scenes.sources import check_apart, describe_file, find_files
from amazon_ml.scenes.stored import read_frame
from amazon_ml.scenes.tagging import Job, Tagger, check_memory, rows_of_strips
from amazon_ml.scenes.unchanged import Watch, changed
from amazon_ml.scenes.values import choose_scaling, order_bands

log = logging.getLogger(__name__)

#: Version of the parts; increased when the same request gives other probabilities.
_FORMAT = 4


@dataclass(frozen=True)
class Prepared:
    """A scene that was checked, and can be predicted.

    Parameters
    ----------
    job
        What is predicted.
    request
        Hash of all that the probabilities depend on.
    notes
        What was decided about it.
    paths
        Its files.
    how
        Options.
    gsd
        Metres a pixel that the networks expect; None where that is not known.
    contents
        What the files that the probabilities depend on hold, see `check_unchanged`.
    """

    job: Job
    request: str
    notes: tuple[str, ...]
    paths: tuple[str, ...]
    how: SceneConfig
    gsd: float | None
    contents: dict[str, Any]

    def store(self, out: Path | None) -> PartStore:
        """Give the parts in an output folder."""
        return PartStore(out / PARTS if out else None, self.request)


def prepare(
    tagger: Tagger, scene: str | Path | Sequence[str | Path], how: SceneConfig, *, out: Path | None = None
) -> Prepared:
    """Check a scene and the options, and place its windows; nothing is written.

    Parameters
    ----------
    tagger
        The networks and the rule.
    scene, how, out
        As for `predict_scene`.
    """
    networks = _networks(tagger.bundle)
    named = [scene] if isinstance(scene, str | Path) else list(scene)
    paths = find_files(named, allow_remote=how.allow_remote)
    files = [describe_file(path, allow_remote=how.allow_remote) for path in paths]
    if out is not None:
        check_apart(out, named)
        check_folder(out, [*map(Path, paths), *_files_of(how)])
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
    stride = how.stride or (like.windows.stride if like else networks.size)
    windows = place_windows(mosaic.grid, networks.size, stride)
    needed = order_bands(files, networks.read, how.bands, how.nodata)
    check_memory(mosaic, windows, needed, networks.read.dtype)
    inside = np.ones(windows.shape, dtype=np.float32)
    if how.aoi is not None:
        inside = shares_inside(Path(how.aoi), mosaic.grid, windows)
    scaling, notes = choose_scaling(mosaic, needed, networks.read, how.limits)
    notes = [*mosaic.notes, *_size_notes(windows), *notes]
    for note in notes:
        log.warning(note)
    watch = Watch(place.file.path for place in mosaic.places)
    job = Job(tagger, networks.batch_size, mosaic, needed, scaling, windows, how.valid, inside, watch)
    rows, columns = windows.shape
    log.info(
        "%s x %s windows of %s px, every %s px, in %s", f"{rows:,}", f"{columns:,}", windows.size, windows.stride,
        name_crs(mosaic.grid.crs),
    )  # fmt: skip
    contents = _contents(job, how)
    return Prepared(job, _request(job, how, contents), tuple(notes), tuple(paths), how, gsd, contents)


def check_unchanged(prepared: Prepared) -> None:
    """Check that no file changed since the scene was prepared: the map would be of two scenes, and not say so.

    Raises
    ------
    WorkError
        If one did.
    """
    prepared.job.watch.check()
    try:
        same = _contents(prepared.job, prepared.how) == prepared.contents
    except (OSError, InputError):
        same = False
    if not same:
        raise changed()


def _files_of(how: SceneConfig) -> list[Path]:
    """List the files that options name."""
    like = [] if how.like is None else [Path(how.like) / name for name in OUTPUTS]
    return like if how.aoi is None else [*like, Path(how.aoi)]


def _networks(bundle: Bundle) -> Networks:
    """Give the networks whose tiles the windows are: of a blend, those with the largest; others get these scaled down.

    Members of a blend must read the same ground and bands.
    """
    members = all_members(bundle.networks)
    largest = max(members, key=lambda one: one.size)
    for other in members:
        if other.read != largest.read or not _same_ground(other, largest):
            raise InputError(
                "the members of the blend read tiles in different ways: other bands, limits, types (8 and 16 bits), or "
                "metres a tile",
                file=other.source, option="run", remedy="tag the scene with one of its runs",
            )  # fmt: skip
    return replace(largest, batch_size=max(one.batch_size for one in members))


def _same_ground(one: Networks, other: Networks) -> bool:
    """Whether tiles of networks show as many metres, or both do not know."""
    if one.gsd is None or other.gsd is None:
        return one.gsd is other.gsd
    return abs(one.gsd * one.size / (other.gsd * other.size) - 1) <= SAME


def _size_notes(windows: Windows) -> list[str]:
    if not windows.is_padded:
        return []
    return [
        f"the scene has {windows.across.length:,} x {windows.down.length:,} pixels, fewer than a window of "
        f"{windows.size}: the window is filled by reflection"
    ]


def _contents(job: Job, how: SceneConfig) -> dict[str, Any]:
    """Identify what the files hold: those of the scene, the area of interest, and the networks."""
    return {
        "files": [job.watch.identity(place.file.path) for place in job.mosaic.places],
        "aoi": how.aoi and sha256_of(Path(how.aoi)),
        "bundle": made_of(job.tagger.bundle),
    }


def _request(job: Job, how: SceneConfig, contents: dict[str, Any]) -> str:
    """Hash all that the probabilities depend on."""
    places = zip(contents["files"], job.mosaic.places, strict=True)
    files = [[*one, job.needed.orders[place.file.path]] for one, place in places]
    tagger, engine = job.tagger, job.tagger.engine
    return hash_request({
        **({} if engine in (None, str(REFERENCE)) else {"engine": engine}),
        "format": _FORMAT, "files": files, "grid": asdict(job.mosaic.grid), "size": job.windows.size,
        "stride": job.windows.stride, "valid": how.valid, "nodata": how.nodata, "wide": job.scaling.wide,
        "reader": describe_reader(job.scaling.reader), "aoi": contents["aoi"],
        "bundle": contents["bundle"], "tags": tagger.tags, "strips": rows_of_strips(job),
        "views": [[one.model.tta, one.size] for one in all_members(tagger.bundle.networks)],
    })  # fmt: skip
