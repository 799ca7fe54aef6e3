"""Options of jobs: where they run, the nodes and GPUs of each task, and how many tasks run at the same time."""

from pathlib import Path

from amazon_ml.errors import InputError, check_least
from amazon_ml.settings import settings


@settings
class ClusterConfig:
    """Where jobs run.

    Parameters
    ----------
    site
        YAML file with the settings of the cluster.
    time
        Longest time of a task, HH:MM:SS.
    partition
        Queue of the jobs.
    memory
        Memory of a node, such as 64G.
    submit
        Submit the jobs.
    """

    site: Path | None = None
    time: str | None = None
    partition: str | None = None
    memory: str | None = None
    submit: bool = False


@settings
class TrainJobsConfig(ClusterConfig):
    """Jobs that train a fold in each task.

    Parameters
    ----------
    time
        Longest time of a job before it is queued again, HH:MM:SS.
    nodes
        Number of nodes of each fold.
    gpus_per_node
        GPUs of each node, with a process for each; 0 for the CPU.
    at_once
        Most folds that train at the same time.
    requeue
        Queue a fold again after it was stopped or preempted.
    """

    nodes: int = 1
    gpus_per_node: int = 0
    at_once: int | None = None
    requeue: bool = True


@settings
class PredictJobsConfig(ClusterConfig):
    """Jobs that predict a shard of tiles in each task.

    Parameters
    ----------
    gpus_per_node
        1 to predict on a GPU.
    at_once
        Most shards that are predicted at the same time.
    requeue
        Queue a shard again after it was preempted.
    """

    gpus_per_node: int = 0
    at_once: int | None = None
    requeue: bool = True


@settings
class SceneJobsConfig(PredictJobsConfig):
    """Jobs that tag a shard of a scene in each task.

    Parameters
    ----------
    at_once
        Most shards that are tagged at the same time.
    """


#: The default options of `slurm predict` and `slurm scene`.
PREDICT_JOBS, SCENE_JOBS = PredictJobsConfig(), SceneJobsConfig()


def check_train_jobs(jobs: TrainJobsConfig) -> None:
    """Check the numbers of nodes, GPUs and tasks that train folds.

    Raises
    ------
    InputError
        If one of them is too small.
    """
    check_least("nodes", jobs.nodes, 1)
    check_least("gpus_per_node", jobs.gpus_per_node, 0)
    _check_at_once(jobs.at_once)


def check_shard_jobs(jobs: PredictJobsConfig) -> None:
    """Check the numbers of GPUs and tasks that predict shards: each task is one process, on at most one GPU.

    Raises
    ------
    InputError
        If one of them is not possible.
    """
    if jobs.gpus_per_node not in (0, 1):
        raise InputError(f"`gpus_per_node` must be 0 or 1, not {jobs.gpus_per_node}: each shard is one process",
                         option="gpus_per_node", remedy="divide the work into more shards")  # fmt: skip
    _check_at_once(jobs.at_once)


def _check_at_once(at_once: int | None) -> None:
    check_least("at_once", at_once, 1, remedy="leave it out, and all tasks may run at the same time")
