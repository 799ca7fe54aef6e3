"""Predict many tiles on a cluster: a task for each shard of the list of tiles, and a job that joins the parts."""

from pathlib import Path

from amazon_ml.models.config import Tta
from amazon_ml.models.engines import EngineName, PrecisionName
from amazon_ml.runs.bundle import open_bundle
from amazon_ml.runs.engine_choice import Requested
from amazon_ml.runs.predict import inputs_of, plan_shards
from amazon_ml.runs.saving import check_defuse
from amazon_ml.runs.shards import Parts, check_ending
from amazon_ml.runs.skipping import Policy
from amazon_ml.runtime.outputs import check_outputs
from amazon_ml.slurm.config import PREDICT_JOBS, PredictJobsConfig, check_shard_jobs
from amazon_ml.slurm.job import TASK, Job
from amazon_ml.slurm.site import check_text
from amazon_ml.slurm.submit import check_not_live, job_folder, site_of, write_jobs


def predict_jobs(
    run: Path,
    tiles: Path,
    out: Path,
    shards: int,
    *,
    tta: Tta | None = None,
    engine: EngineName = "torch",
    precision: PrecisionName | None = None,
    jobs: PredictJobsConfig = PREDICT_JOBS,
    skip_broken: bool = False,
    broken: Path | None = None,
    defuse: bool = False,
    overwrite: bool = False,
) -> None:
    """Write job scripts that tag a folder of tiles in shards, and join the parts.

    The list of tiles is written now. It lies with the parts in a folder that is named after the table, such as
    tags.parquet.parts. Existing parts are not computed again.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    tiles
        Folder of images, with its subfolders.
    out
        File to write, .parquet or .csv.
    shards
        Number of parts; each is a task.
    tta
        Views of each tile that are averaged; see `amazon_ml.runs.evaluate.evaluate`.
    engine
        What computes: ``torch``, ``folded``, ``onnx`` or ``auto``, as in amazon-ml predict. With ``auto``, the first
        task chooses for all.
    precision
        Precision of the operations; see `amazon_ml.runs.evaluate.evaluate`.
    jobs
        How the jobs run.
    skip_broken
        Leave out tiles that cannot be read, instead of refusing the folder.
    broken
        CSV to write: the tiles that cannot be read, with the reasons, as far as they are found now.
    defuse
        Put an apostrophe before cells that look like formulas; see `amazon_ml.runs.shards.merge`.
    overwrite
        Replace an existing table.
    """
    check_ending(out)
    check_defuse(out, defuse)
    Requested(engine, precision)  # refuses what no task could do
    check_shard_jobs(jobs)
    for name, value in (("run", run), ("`tiles`", tiles), ("`out`", out)):
        check_text(value, name)
    chosen = site_of(jobs)
    parts = Parts(out.absolute().with_name(f"{out.name}.parts"))
    if jobs.submit:
        check_not_live(parts.path)
    inputs = inputs_of(run, open_bundle(run), tiles)
    check_outputs({"out": out, "broken": broken}, inputs, overwrite=overwrite)
    plan_shards(run, tiles, parts, shards, Policy(skip_broken, listing=broken), tta=tta)
    folder = job_folder(parts.path)
    skip = ("--skip_broken", "true") if skip_broken else ()
    plain = ("--defuse", "true") if defuse else ()
    how: tuple[str, ...] = () if engine == "torch" else ("--engine", engine)
    how += () if precision is None else ("--precision", precision)
    how += () if tta is None else ("--tta", tta)
    source, of = str(run.absolute()), ("--tiles", str(tiles.absolute()), "--out", str(parts.path))
    predict = Job(
        "predict",
        f"Each task predicts one of {shards} shards of {tiles}; an existing part is not computed again.",
        ("predict", source, *of, "--shard", f"{TASK}/{shards}", *how, *skip),
        folder,
        tasks=tuple(range(shards)),
        at_once=jobs.at_once,
        gpus_per_node=jobs.gpus_per_node,
        requeue=jobs.requeue,
    )
    about = f"Joins the parts to {out.name}, or lists missing parts."
    merge = Job("merge", about, ("merge", str(parts.path), "--out", str(out.absolute()), "--overwrite", *plain), folder)
    write_jobs([predict, merge], chosen, submit_jobs=jobs.submit)
