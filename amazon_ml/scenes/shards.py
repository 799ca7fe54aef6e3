"""A scene in shards: each process tags some of its strips, and a last one joins them to the map.

Strips are divided and predicted as in one process, so that the map is the same to the byte.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from amazon_ml.errors import InputError, listed
from amazon_ml.runs.bundle import open_bundle
from amazon_ml.runs.engine_choice import Requested, read_method
from amazon_ml.runs.predict import inputs_of
from amazon_ml.runs.shards import Shard
from amazon_ml.scenes.config import SceneConfig
from amazon_ml.scenes.finish import check_free, finish
from amazon_ml.scenes.outputs import PARTS, check_folder
from amazon_ml.scenes.parts import PartStore, part_file
from amazon_ml.scenes.plan import Plan, read_former, read_shards, strips_of_shard
from amazon_ml.scenes.prepare import Prepared, prepare
from amazon_ml.scenes.result import SceneResult
from amazon_ml.scenes.sources import is_remote
from amazon_ml.scenes.tagging import Tagger, predict_strips, stored_part, strips_of
from amazon_ml.settings import build

log = logging.getLogger(__name__)


def plan_shards(
    run: Path, prepared: Prepared, scene: Sequence[str], count: int, requested: Requested, *, on_gpu: bool
) -> Plan:
    """Divide the strips of a scene into shards.

    Parameters
    ----------
    run
        Run or bundle.
    prepared
        The scene.
    scene
        Its files and folders as they were named.
    count
        Number of shards.
    requested
        What computes.
    on_gpu
        Whether the shards are for machines with a GPU.

    Raises
    ------
    InputError
        If there are more shards than strips, or the engine is to be chosen.
    """
    method = prepared.job.tagger.engine
    if requested.fixed is None or method is None:
        raise InputError("the processes of shards might choose different engines", option="engine",
                         remedy="name the engine and the precision, without auto")  # fmt: skip
    strips = tuple(number for number, _ in strips_of(prepared.job))
    if not 1 <= count <= len(strips):
        problem = f"{count:,} shards are not possible: number of strips of the scene: {len(strips):,}"
        raise InputError(problem, option="shard", remedy=f"choose 1 to {len(strips):,} shards")
    return Plan(
        str(run),
        tuple(scene),
        asdict(prepared.how),
        str(Path.cwd()),
        count,
        strips,
        requested.engine,
        requested.precision,
        method,
        on_gpu,
    )


def save_plan(prepared: Prepared, out: Path, plan: Plan, *, overwrite: bool = False) -> None:
    """Store how a scene is divided, before its shards are tagged.

    Raises
    ------
    InputError
        If the output folder holds parts of another call, without `overwrite`.
    """
    with prepared.store(out).shared(asdict(plan), anew=True, overwrite=overwrite):
        pass


def predict_shard(run: Path, prepared: Prepared, scene: Sequence[str], out: Path, shard: Shard) -> None:
    """Tag the strips of a shard into the parts of an output folder; strips that are there are not tagged again.

    Parameters
    ----------
    run
        Run folder or bundle.
    prepared
        The scene, with a predictor.
    scene
        Its files and folders as they were named.
    out
        The output folder.
    shard
        The shard.
    """
    job, store, predictor = prepared.job, prepared.store(out), prepared.job.tagger.predictor
    if predictor is None:
        raise ValueError("nothing computes")
    requested = predictor.requested
    former = read_former(out, run, scene, requested.engine, requested.precision)
    # A job may get a GPU that `gpus_per_node` does not ask for: what was planned counts.
    on_gpu = predictor.on_gpu and (former is None or former.on_gpu)
    plan = plan_shards(run, prepared, scene, shard.count, requested, on_gpu=on_gpu)
    everything = strips_of(job)
    strips = [everything[at] for at in strips_of_shard(shard, len(everything))]
    with (
        store.shared(asdict(plan)),
        store.shard(shard.number, shard.count),
        predictor.recorded(store.engine, store.has_parts()),
    ):
        todo = [(number, part) for number, part in strips if stored_part(job, store, number, part) is None]
        if todo:
            for _ in predict_strips(job, store, todo, sum(part.stop - part.start for _, part in strips)):
                pass
    log.info("shard %s/%s of %s is done: %s strips", shard.number, shard.count, out, f"{len(strips):,}")


def merge_scene(out: Path, *, geojson: bool = False, overwrite: bool = False) -> SceneResult:
    """Join the shards of a scene; the map is the same as without shards.

    Parameters
    ----------
    out
        Folder that ``amazon-ml scene predict`` with ``shard`` wrote its parts to.
    geojson
        Write cells.geojson, too, in longitude and latitude.
    overwrite
        Replace existing results.
    """
    plan = read_shards(out)
    if plan is None:
        raise InputError("the folder holds no parts of a scene", file=out / PARTS, option="out",
                         remedy="name the folder that scene predict `shard` wrote to")  # fmt: skip
    run = _there(plan.run, plan)
    named = {name: _there(path, plan) for name in ("aoi", "like") if (path := plan.options.get(name))}
    how = build(SceneConfig, {**plan.options, **named})
    bundle = open_bundle(Path(run))
    check_folder(out, inputs_of(Path(run), bundle))
    tagger = Tagger(bundle, elsewhere=plan.method)
    prepared = prepare(tagger, [_there(path, plan) for path in plan.scene], how, out=out)
    store = prepared.store(out)
    if not store.is_begun():
        raise InputError(
            "the parts are of another scene, run or option: a file has changed since they were made", file=out / PARTS,
            option="out", remedy="remove them, and tag the shards again",
        )  # fmt: skip
    if not store.is_writing():  # else a merge was stopped, and the results are its own
        check_free(out, overwrite)
    strips = strips_of(prepared.job)
    missing = {number for number, part in strips if stored_part(prepared.job, store, number, part) is None}
    if missing:
        names = [part_file(Path(), number).name for number in sorted(missing)]
        problem = f"the folder lacks {len(missing)} of {len(strips)} strips, or they are damaged: {listed(names)}"
        shards = [
            f"{shard}/{plan.shards}"
            for shard in range(plan.shards)
            if any(plan.strips[at] in missing for at in strips_of_shard(Shard(shard, plan.shards), len(strips)))
        ]
        raise InputError(problem, file=out / PARTS, remedy=f"run scene predict with `shard` {listed(shards)}")
    _check_engine(store, plan)
    return finish(prepared, out, geojson=geojson, overwrite=overwrite)


def _check_engine(store: PartStore, plan: Plan) -> None:
    """Check that the strips were computed as planned."""
    file, planned = store.engine, Requested(plan.engine, plan.precision).fixed
    if file is None:
        return
    remedy = f"put the file back, or remove {file.parent} and tag the shards again"
    try:
        used = read_method(file)
    except InputError as error:
        raise InputError(error.problem, file=file, line=error.line, remedy=remedy) from None
    if used != planned:
        raise InputError(f"the strips were computed with {used}, and planned with {planned}", file=file, remedy=remedy)


def _there(path: str, plan: Plan) -> str:
    """Give a path from the current folder, where the shards were tagged from another one."""
    if is_remote(path):
        return path
    place = Path(path).expanduser()
    return str(place if Path(plan.folder) == Path.cwd() else Path(plan.folder) / place)
