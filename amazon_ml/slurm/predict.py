"""Many tiles predicted by an array of jobs, each a shard of the list of tiles, and a job that makes one table."""

from pathlib import Path

from amazon_ml.errors import InputError
from amazon_ml.runs.bundle import open_bundle
from amazon_ml.runs.predict import inputs_of, plan_shards
from amazon_ml.runs.saving import check_defuse
from amazon_ml.runs.shards import Parts, check_ending
from amazon_ml.runs.skipping import Policy
from amazon_ml.runtime.outputs import check_outputs
from amazon_ml.slurm.job import TASK, Job
from amazon_ml.slurm.site import check_text
from amazon_ml.slurm.submit import check_not_live, job_folder, site_with, write_jobs


def predict_jobs(
    run: Path,
    tiles: Path,
    out: Path,
    shards: int,
    *,
    site: Path | None = None,
    gpus_per_node: int = 0,
    time: str | None = None,
    partition: str | None = None,
    memory: str | None = None,
    at_once: int | None = None,
    requeue: bool = True,
    skip_broken: bool = False,
    broken: Path | None = None,
    defuse: bool = False,
    submit: bool = False,
    overwrite: bool = False,
) -> None:
    """Write job scripts that tag a folder of tiles in shards, and put them together.

    The list of tiles is made now, and lies with the parts in a folder beside the table, which is named after it:
    tags.parquet.parts. Parts that are there are not made again.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    tiles
        Folder of images; those in folders beneath are found, too.
    out
        File to write, .parquet or .csv.
    shards
        How many parts; each is a task of its own.
    site
        YAML of what is particular to the cluster.
    gpus_per_node
        1 to predict on a GPU.
    time
        The longest a task may run, HH:MM:SS.
    partition
        Where jobs queue.
    memory
        Memory of a node, such as 64G.
    at_once
        How many shards may be predicted at the same time.
    requeue
        Queue a shard again that was pushed out.
    skip_broken
        Leave out tiles that cannot be read, instead of refusing the folder.
    broken
        CSV to write: the tiles that are found now to be unreadable, each with the reason.
    defuse
        Put an apostrophe before cells of a CSV that a spreadsheet would take for a formula.
    submit
        Hand the jobs in.
    overwrite
        Replace a table that is there.
    """
    check_ending(out)
    check_defuse(out, defuse)
    if gpus_per_node not in (0, 1) or (at_once or 1) < 1:
        raise InputError("`gpus_per_node` must be 0 or 1: each shard is one process; `at_once` must be at least 1")
    for name, value in (("run", run), ("`tiles`", tiles), ("`out`", out)):
        check_text(value, name)
    chosen = site_with(site, time=time, partition=partition, memory=memory)
    parts = Parts(out.absolute().with_name(f"{out.name}.parts"))
    if submit:
        check_not_live(parts.path)
    inputs = inputs_of(run, open_bundle(run), tiles)
    check_outputs({"out": out, "broken": broken}, inputs, overwrite=overwrite)
    plan_shards(run, tiles, parts, shards, Policy(skip_broken, listing=broken))
    folder = job_folder(parts.path)
    skip = ("--skip_broken", "true") if skip_broken else ()
    plain = ("--defuse", "true") if defuse else ()
    source, of = str(run.absolute()), ("--tiles", str(tiles.absolute()), "--out", str(parts.path))
    predict = Job(
        "predict",
        f"Each task predicts one of {shards} shards of {tiles}; a part that is there is left as it is.",
        ("predict", source, *of, "--shard", f"{TASK}/{shards}", *skip),
        folder,
        tasks=tuple(range(shards)),
        at_once=at_once,
        gpus_per_node=gpus_per_node,
        requeue=requeue,
    )
    about = f"Puts the parts together as {out.name}, or tells which are missing."
    merge = Job("merge", about, ("merge", str(parts.path), "--out", str(out.absolute()), "--overwrite", *plain), folder)
    write_jobs([predict, merge], chosen, submit_jobs=submit)
