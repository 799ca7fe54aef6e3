"""Jobs on a Slurm cluster: ``slurm train|predict|status``."""

from pathlib import Path

from amazon_ml.cli.verb import Verb
from amazon_ml.runs.config import RunConfig

VERBS = {
    "slurm train": Verb("amazon_ml.cli.commands.slurm:train", "train on a cluster, a fold a task; options of train"),
    "slurm predict": Verb(
        "amazon_ml.slurm.predict:predict_jobs", "tag many tiles on a cluster, a shard a task", ("run",)
    ),
    "slurm status": Verb(
        "amazon_ml.slurm.status:status", "what became of the jobs", ("run",),
        show="amazon_ml.cli.show.jobs:print_jobs",
    ),
}  # fmt: skip


def train(
    config: RunConfig, *, site: Path | None = None, nodes: int = 1, gpus_per_node: int = 0, time: str | None = None,
    partition: str | None = None, memory: str | None = None, at_once: int | None = None, requeue: bool = True,
    submit: bool = False,
) -> None:  # fmt: skip
    """Write job scripts that train each fold in a task of its own, and a job that finishes the run.

    That job gathers, tunes, reports and makes the submission. All options of train are taken, and checked before
    any job is submitted.

    Parameters
    ----------
    config
        Options of the run.
    site
        YAML of what is particular to the cluster.
    nodes
        Nodes of each fold.
    gpus_per_node
        GPUs of each node, and processes; 0 for the CPU.
    time
        The longest a job may run before it is queued again, HH:MM:SS.
    partition
        Where jobs queue.
    memory
        Memory of a node, such as 64G.
    at_once
        How many folds may train at the same time.
    requeue
        Queue a fold again that was stopped or pushed out.
    submit
        Submit the jobs.
    """
    from amazon_ml.slurm.submit import site_with
    from amazon_ml.slurm.train import Resources, train_jobs

    here = site_with(site, time=time, partition=partition, memory=memory)
    train_jobs(config, here, Resources(nodes, gpus_per_node, at_once, requeue), submit=submit)
