"""Options of training: epochs, devices, precision. They go to Lightning's Trainer under the same names."""

from typing import Annotated, Literal

from pydantic import Field

from amazon_ml.settings import settings

#: Epochs to train, where nothing else says how long.
EPOCHS = 10

_Count = Annotated[int, Field(ge=1)]
#: A whole number counts batches, any other is a share of them.
_Batches = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)]
_Interval = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)]


@settings
class TrainerConfig:
    """How long, on what and how exactly networks are trained.

    Parameters
    ----------
    accelerator
        Hardware that trains: ``auto``, ``cpu``, ``gpu``, or another of Lightning's names.
    strategy
        How processes train together: ``auto``, ``ddp`` or ``ddp_find_unused_parameters_true``.
    devices
        Number of devices on a host, a list of their numbers, or ``auto``.
    num_nodes
        Number of hosts.
    precision
        Precision of the arithmetic, such as ``32-true``, ``16-mixed`` or ``bf16-mixed``.
    max_epochs
        Epochs to train; 10 by default, and with `max_steps` as many as these take. -1 sets no limit.
    min_epochs
        Least number of epochs.
    max_steps
        Steps of the optimizer to train; -1 for no limit.
    min_steps
        Least number of steps.
    max_time
        Longest time to train, as ``DD:HH:MM:SS``.
    limit_train_batches
        Batches of an epoch that are trained on: a number, or a share in 0..1.
    limit_val_batches
        Batches that are validated on: a number, or a share in 0..1.
    val_check_interval
        How often within an epoch to validate: after so many batches, or a share of the epoch.
    check_val_every_n_epoch
        Validate after every so many epochs.
    log_every_n_steps
        Steps between two rows of the log; 50 by default.
    enable_progress_bar
        Whether to draw progress bars; on a terminal only, by default.
    enable_model_summary
        Whether to print the layers of the network.
    accumulate_grad_batches
        Batches whose gradients are added up for one step.
    gradient_clip_val
        Limit that gradients are clipped to.
    gradient_clip_algorithm
        Clip by ``norm`` or by ``value``.
    deterministic
        Whether to use deterministic algorithms only; ``warn`` warns where there is none.
    benchmark
        Whether cuDNN searches for the fastest algorithms.
    profiler
        What measures the time of each part: ``simple``, ``advanced``, ``pytorch`` or ``xla``.
    detect_anomaly
        Whether to search for the operation that gives values that are not numbers; slow.
    sync_batchnorm
        Whether batch norms take the statistics of all processes.
    """

    accelerator: str = "auto"
    strategy: str = "auto"
    devices: int | list[int] | str = "auto"
    num_nodes: _Count = 1
    precision: Literal[
        "transformer-engine", "transformer-engine-float16", "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true",
        "64-true", "16", "32", "64", "bf16",
    ] | None = None  # fmt: skip
    max_epochs: Annotated[int, Field(ge=-1)] | None = None
    min_epochs: _Count | None = None
    max_steps: Annotated[int, Field(ge=-1)] = -1
    min_steps: _Count | None = None
    max_time: str | None = None
    limit_train_batches: _Batches | None = None
    limit_val_batches: _Batches | None = None
    val_check_interval: _Interval | None = None
    check_val_every_n_epoch: _Count | None = 1
    log_every_n_steps: _Count | None = None
    enable_progress_bar: bool | None = None
    enable_model_summary: bool | None = None
    accumulate_grad_batches: _Count = 1
    gradient_clip_val: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    profiler: Literal["simple", "advanced", "pytorch", "xla"] | None = None
    detect_anomaly: bool = False
    sync_batchnorm: bool = False

    @property
    def epochs(self) -> int | None:
        """Epochs to train; None where `max_steps` alone says how long. Lightning's default is 1,000."""
        if self.max_epochs is None and self.max_steps == -1:
            return max(EPOCHS, self.min_epochs or 0)
        return self.max_epochs
