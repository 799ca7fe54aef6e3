"""Tag a scene on a cluster: a task for each shard of its strips, and a job that joins them to the map."""

import json
from dataclasses import asdict, fields
from pathlib import Path

from amazon_ml.models.engines import EngineName, PrecisionName
from amazon_ml.runs.bundle import Bundle, open_bundle
from amazon_ml.runs.engine_choice import Requested
from amazon_ml.runs.inference import all_members, load_taggers, name_method
from amazon_ml.runs.predict import inputs_of
from amazon_ml.scenes.config import SCENE, SceneConfig
from amazon_ml.scenes.finish import check_free
from amazon_ml.scenes.outputs import check_folder
from amazon_ml.scenes.plan import read_former
from amazon_ml.scenes.prepare import prepare
from amazon_ml.scenes.shards import plan_shards, save_plan
from amazon_ml.scenes.sources import is_remote
from amazon_ml.scenes.tagging import Tagger
from amazon_ml.slurm.config import SCENE_JOBS, SceneJobsConfig, check_shard_jobs
from amazon_ml.slurm.job import TASK, Job
from amazon_ml.slurm.site import check_text
from amazon_ml.slurm.submit import check_not_live, job_folder, site_of, write_jobs

#: Options that name files.
_PATHS = ("aoi", "like")


def scene_jobs(
    run: Path, *, scene: list[str], out: Path, shards: int, how: SceneConfig = SCENE, engine: EngineName = "torch",
    precision: PrecisionName | None = None, geojson: bool = False, jobs: SceneJobsConfig = SCENE_JOBS,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write job scripts that tag a scene in shards, and join them to the map.

    The scene and all options are checked now. Strips that are done are not tagged again.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    scene
        Files or folders of the scene; see `amazon_ml.scenes.cut.cut_scene`.
    out
        Folder of the map; its subfolder slurm gets the scripts and their output.
    shards
        Number of shards; each is a task.
    how
        How the scene is read.
    engine
        What computes: ``torch``, ``folded`` or ``onnx``, as in amazon-ml scene predict. ``auto`` is refused, since
        tasks might choose different engines.
    precision
        ``float32`` or ``bf16``. By default float32 on a CPU, and the precision of training on a GPU.
    geojson
        Write cells.geojson, too, in longitude and latitude.
    jobs
        How the jobs run.
    overwrite
        Replace existing results, and the beginning of another call.
    """
    check_shard_jobs(jobs)
    options = {name: value for name, value in _given(how).items() if value is not None}
    for name, text in (("run", run), ("`out`", out), *((f"`{name}`", text) for name, text in options.items()),
                       *(("`scene`", one) for one in scene)):  # fmt: skip
        check_text(text, name)
    chosen = site_of(jobs)
    place = out.absolute()
    if jobs.submit:
        check_not_live(place)
    source = run.expanduser().absolute()
    files = [one if is_remote(one) else str(Path(one).expanduser().absolute()) for one in scene]
    requested, bundle = Requested(engine, precision), open_bundle(source)
    _check_networks(bundle)
    check_folder(out, [source, *inputs_of(source, bundle)])
    check_free(out, overwrite)
    former, on_gpu = read_former(place, source, files, engine, precision), jobs.gpus_per_node > 0
    if former is not None and former.on_gpu == on_gpu:
        method: str | None = former.method  # as tasks that ran recorded it
    else:
        method = _name(requested, bundle, on_gpu=on_gpu)
    tagger = Tagger(bundle, elsewhere=method)
    prepared = prepare(tagger, files, SceneConfig(**{**asdict(how), **_absolute(how)}), out=place)
    plan = plan_shards(source, prepared, files, shards, requested, on_gpu=on_gpu)
    save_plan(prepared, place, plan, overwrite=overwrite)
    words = [f"--{name}={value}" for name, value in options.items()]
    words += [] if engine == "torch" else [f"--engine={engine}"]
    words += [] if precision is None else [f"--precision={precision}"]
    tag = Job(
        "scene",
        f"Each task tags one of {shards} shards of {place.name}; strips that are done are not tagged again.",
        ("scene", "predict", str(source), "--scene", json.dumps(files, ensure_ascii=False), "--out", str(place),
         "--shard", f"{TASK}/{shards}", *words),
        job_folder(place),
        tasks=tuple(range(shards)),
        at_once=jobs.at_once,
        gpus_per_node=jobs.gpus_per_node,
        requeue=jobs.requeue,
    )  # fmt: skip
    more = ("--geojson", "true") if geojson else ()
    about = f"Joins the shards to the map {place.name}, or lists strips that are missing."
    merge = Job("scene-merge", about, ("scene", "merge", str(place), "--overwrite", *more), job_folder(place))
    write_jobs([tag, merge], chosen, submit_jobs=jobs.submit)


def _check_networks(bundle: Bundle) -> None:
    """Check that each network can be loaded, before a task has to; the engines of the nodes may be missing here."""
    for member in all_members(bundle.networks):
        for _ in load_taggers(member):
            pass


def _name(requested: Requested, bundle: Bundle, *, on_gpu: bool) -> str | None:
    """Name the engine and the precision of tasks that have not run yet; None where there is a choice."""
    if requested.fixed is None:
        return None
    return name_method(requested.fixed, all_members(bundle.networks), on_gpu=on_gpu)


def _given(how: SceneConfig) -> dict[str, str | None]:
    """Give the texts of the options that are not at their defaults, as the command line takes them."""
    values = {field.name: getattr(how, field.name) for field in fields(how)}
    changed = {name: value for name, value in values.items() if value != getattr(SCENE, name)}
    plain = {name: json.dumps(value) if isinstance(value, bool) else str(value) for name, value in changed.items()}
    return {**plain, **_absolute(how)}


def _absolute(how: SceneConfig) -> dict[str, str]:
    named = {name: getattr(how, name) for name in _PATHS}
    return {name: str(Path(path).expanduser().absolute()) for name, path in named.items() if path is not None}
