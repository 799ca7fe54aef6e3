"""Verbs for training: ``train``, ``find lr``, ``find batch``."""

from amazon_ml.runs.config import RunConfig


def train(config: RunConfig, *, rounds: int | None = None) -> None:
    """Train, predict the held-out tiles, tune thresholds, score, tag the test tiles; a stopped run is resumed.

    Parameters
    ----------
    config
        Options of the run.
    rounds
        With `data.teacher`: train so many runs, RUN-1, RUN-2 and so on, each taught by the one before it. It ends
        earlier when a run is not better than its teacher by more than noise.
    """
    from amazon_ml.cli.show.scores import print_scores
    from amazon_ml.pipeline import train as job

    if rounds is not None:
        from amazon_ml.pipeline.rounds import train_rounds

        for one in train_rounds(config, rounds):
            print_scores(one.student.metrics)
        return
    result = job.train(config)
    if result.rank == 0:  # of processes that train together, one prints
        print_scores(result.metrics)


def find_lr(config: RunConfig, *, lowest: float = 1e-6, highest: float = 1.0, steps: int = 100) -> None:
    """Train a fresh network for a few steps, each at a higher learning rate, and suggest a rate for model.lr.

    Tile size and frozen layers are those of the first epoch. The only files written are lr.csv and lr.png in the run
    folder.

    Parameters
    ----------
    config
        Options of the run.
    lowest
        Learning rate of the first step.
    highest
        Learning rate of the last step.
    steps
        Number of steps.
    """
    from amazon_ml.cli.show.console import console
    from amazon_ml.pipeline.find import find_rate

    console().print(f"--model.lr={find_rate(config, lowest, highest, steps):.2g}", highlight=False)


def find_batch(config: RunConfig, *, limit: int = 512, steps: int = 5) -> None:
    """Train on batches of 8, 16, 32 … tiles until memory is full, and show the images/s of each size.

    The last line names the smallest size that is about as fast as any. No file is written.

    Parameters
    ----------
    config
        Options of the run.
    limit
        The largest batch to try.
    steps
        Steps to time for each size; their median counts.
    """
    from rich.table import Table

    from amazon_ml.cli.show.console import console
    from amazon_ml.pipeline.find import enough, measure_batches

    speeds, full = measure_batches(config, limit, steps)
    table = Table(title=f"{config.model.backbone}, {config.data.size} px", title_justify="left")
    for heading in ("batch", "images/s"):
        table.add_column(heading, justify="right")
    for size, speed in speeds.items():
        table.add_row(str(size), f"{speed:,.0f}")
    console().print(table)
    end = f"{2 * max(speeds)} do not fit in memory" if full else f"{max(speeds)} fit in memory"
    console().print(f"--data.batch_size={enough(speeds)} is as fast as any; {end}", highlight=False)
