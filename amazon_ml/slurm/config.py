"""Options of jobs: where they run, and how a prediction in shards is divided among them."""

from pathlib import Path

from amazon_ml.errors import InputError
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


#: The options of both by default.
PREDICT_JOBS, SCENE_JOBS = PredictJobsConfig(), SceneJobsConfig()


def check_shard_jobs(jobs: PredictJobsConfig) -> None:
    """Check that tasks of one process each can do the work.

    Raises
    ------
    InputError
        If they cannot.
    """
    if jobs.gpus_per_node not in (0, 1) or (jobs.at_once is not None and jobs.at_once < 1):
        raise InputError("`gpus_per_node` must be 0 or 1: each shard is one process; `at_once` must be at least 1")
