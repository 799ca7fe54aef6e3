"""Tags what is not stored yet of a scene, and writes the map."""

import logging
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.runs.predict import made_of
from amazon_ml.scenes.journals import check_closed
from amazon_ml.scenes.outputs import CELLS, existing_outputs, write_outputs
from amazon_ml.scenes.page.scene import scene_title
from amazon_ml.scenes.parts import PartStore
from amazon_ml.scenes.prepare import Prepared, check_unchanged
from amazon_ml.scenes.projecting import is_elsewhere
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.tagging import Found, decide, predict_windows

log = logging.getLogger(__name__)

#: Share of pixels that are 0 in all bands, from which on a scene seems to have undeclared pixels without data.
_BLACK = 0.01
#: Share of pixels beyond the limits, from which on a scene seems to hold values of another kind.
_CLIPPED = 0.5


def finish(prepared: Prepared, out: Path | None, *, geojson: bool, overwrite: bool) -> SceneResult:
    """Tag what is not stored yet, and write the results; see `predict_scene`."""
    crs = prepared.job.mosaic.grid.crs
    if geojson and (not crs or is_elsewhere(crs)):
        lacking = "another body than the Earth lacks" if crs else "pixel coordinates lack"
        raise InputError(f"a GeoJSON needs longitude and latitude, which {lacking}", option="geojson")
    store = prepared.store(out)
    if out is not None and not store.is_writing():  # else a call was stopped, and the results are its own
        check_free(out, overwrite)
    if out is not None:
        check_closed(out / CELLS)
    predictor = prepared.job.tagger.predictor
    with (
        # Without a predictor, strips are only joined: those of another call are left to it.
        store.begun(overwrite=overwrite, anew=predictor is not None),
        predictor.recorded(store.engine, store.has_parts()) if predictor else nullcontext(),
    ):
        return _tag(prepared, store, out, geojson=geojson)


def check_free(out: Path, overwrite: bool) -> None:
    """Check that a folder holds no results, or that they may be replaced."""
    there = existing_outputs(out)
    if there and not overwrite:
        raise InputError(f"`out` {out} holds {there[0].name} already", option="out",
                         remedy="name another folder, or replace it with `overwrite`")  # fmt: skip


def _tag(prepared: Prepared, store: PartStore, out: Path | None, *, geojson: bool) -> SceneResult:
    job, paths = prepared.job, prepared.paths
    tagger = job.tagger
    found = predict_windows(job, store)
    check_unchanged(prepared)
    more = _value_notes(found, job.mosaic.places[0].file.dtype)
    for note in more:
        log.warning(note)
    predicted = decide(tagger.bundle.decision.rule, found.p)
    notes = (*prepared.notes, *more)
    result = SceneResult(job.mosaic.grid, job.windows, tagger.tags, found.p, predicted, found.valid, job.inside, notes)
    if out is not None:
        about = {
            "scene": list(paths), "options": asdict(prepared.how), "gsd": prepared.gsd,
            "networks": made_of(tagger.bundle), "frequencies": dict(tagger.bundle.frequencies),
            "engine": tagger.engine,
        }  # fmt: skip
        store.begin_writing()
        write_outputs(out, result, found.picture, about, title=scene_title(paths), geojson=geojson)
        log.info("wrote %s: %s cells", out, f"{int((job.inside > 0).sum()):,}")
    return result


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
