"""The verb ``slurm train``; the other verbs of ``slurm`` are functions of the library, see `amazon_ml.cli.verbs`."""

from amazon_ml.runs.config import RunConfig
from amazon_ml.slurm.config import TrainJobsConfig


def train(config: RunConfig, jobs: TrainJobsConfig) -> None:
    """Write job scripts that train each fold in a task of its own, and a job that finishes the run.

    The last job gathers, tunes, reports and makes the submission. The options are those of train. They are checked
    before any job is submitted.

    Parameters
    ----------
    config
        Options of the run.
    jobs
        How the jobs run.
    """
    from amazon_ml.slurm.train import train_jobs

    train_jobs(config, jobs)
