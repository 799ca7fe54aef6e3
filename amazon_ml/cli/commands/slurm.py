"""Verbs for jobs on a Slurm cluster: ``slurm train|predict|scene|status``."""

from pathlib import Path

from amazon_ml.runs.config import RunConfig


def train(
    config: RunConfig, *, site: Path | None = None, nodes: int = 1, gpus_per_node: int = 0, time: str | None = None,
    partition: str | None = None, memory: str | None = None, at_once: int | None = None, requeue: bool = True,
    submit: bool = False,
) -> None:  # fmt: skip
    """Write job scripts that train each fold in a task of its own, and a job that finishes the run.

    The last job gathers, tunes, reports and makes the submission. The options are those of train. They are checked
    before any job is submitted.

    Parameters
    ----------
    config
        Options of the run.
    site
        YAML file with the settings of the cluster.
    nodes
        Number of nodes of each fold.
    gpus_per_node
        GPUs of each node, with a process for each; 0 for the CPU.
    time
        Longest time of a job before it is queued again, HH:MM:SS.
    partition
        Queue of the jobs.
    memory
        Memory of a node, such as 64G.
    at_once
        Most folds that train at the same time.
    requeue
        Queue a fold again after it was stopped or preempted.
    submit
        Submit the jobs.
    """
    from amazon_ml.slurm.submit import site_with
    from amazon_ml.slurm.train import Resources, train_jobs

    here = site_with(site, time=time, partition=partition, memory=memory)
    train_jobs(config, here, Resources(nodes, gpus_per_node, at_once, requeue), submit=submit)
